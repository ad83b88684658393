package runner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// packages are the Debian packages that the sandbox needs, by a program of each.
var packages = map[string]string{
	"dockerd": "docker.io", "iptables": "iptables", "mmdebstrap": "mmdebstrap", "mkfs.ext4": "e2fsprogs",
	"losetup": "mount", "ip": "iproute2", "nsenter": "util-linux", "ssh": "openssh-client", "curl": "curl",
}

// prepare installs what the machine lacks and makes sure that a Docker engine answers.
func (s Settings) prepare(ctx context.Context, log io.Writer) error {
	if os.Geteuid() != 0 {
		return errors.New("the sandbox boots hosts and makes networks: run it as root")
	}
	for _, dir := range []string{
		s.Home, s.Cache, s.path("run"), s.path("log"), s.path("state"), s.path("ca"),
		s.path("registry"),
	} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("prepare the sandbox: %w", err)
		}
	}
	var missing []string
	for program, pkg := range packages {
		if _, err := exec.LookPath(program); err != nil {
			missing = append(missing, pkg)
		}
	}
	if len(missing) > 0 {
		fmt.Fprintln(log, "installing", strings.Join(missing, " "))
		for _, args := range [][]string{
			{"apt-get", "update", "-q"},
			append([]string{"apt-get", "install", "-y", "-q", "--no-install-recommends"}, missing...),
		} {
			cmd := exec.CommandContext(ctx, args[0], args[1:]...)
			cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
			if out, err := cmd.CombinedOutput(); err != nil {
				return fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), err, out)
			}
		}
	}
	return s.ensureDocker(ctx, log)
}

func dockerAnswers(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return exec.CommandContext(ctx, "docker", "version", "--format", "{{.Server.Version}}").Run() == nil
}

// ensureDocker starts an engine when none answers, and remembers that it did.
func (s Settings) ensureDocker(ctx context.Context, log io.Writer) error {
	if dockerAnswers(ctx) {
		return nil
	}
	fmt.Fprintln(log, "starting a Docker engine")
	if _, err := s.daemon("dockerd", "dockerd"); err != nil {
		return err
	}
	for range 60 {
		if dockerAnswers(ctx) {
			return nil
		}
		time.Sleep(time.Second)
	}
	return fmt.Errorf("the Docker engine does not answer; see %s", s.path("log", "dockerd.log"))
}

// daemon starts a program in a session of its own and keeps its process ID in run/<name>.pid. The
// channel closes when the program ends while this process still lives; /proc cannot tell it that
// early, as it shows no command line of a program whose start is not complete.
func (s Settings) daemon(name, program string, args ...string) (ended <-chan struct{}, err error) {
	out, err := os.OpenFile(s.path("log", name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	defer out.Close()
	cmd := exec.Command(program, args...) //nolint:noctx // it outlives this process by design
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	if err := os.WriteFile(s.path("run", name+".pid"), []byte(strconv.Itoa(cmd.Process.Pid)), 0o600); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	end := make(chan struct{})
	go func() {
		_ = cmd.Wait() // a child that ends early must not stay a zombie
		close(end)
	}()
	return end, nil
}

// running returns the process of run/<name>.pid when it is alive and still that program: a process
// ID may have been given to another one since.
func (s Settings) running(name, program string) (pid int, ok bool) {
	text, err := os.ReadFile(s.path("run", name+".pid"))
	if err != nil {
		return 0, false
	}
	pid, err = strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0, false
	}
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return pid, err == nil && strings.Contains(string(line), program)
}

// stop ends a daemon and waits for its end.
func (s Settings) stop(name, program string) error {
	pid, ok := s.running(name, program)
	if !ok {
		return nil
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("stop %s: %w", name, err)
	}
	for range 100 {
		if _, ok := s.running(name, program); !ok {
			return nil
		}
		time.Sleep(200 * time.Millisecond)
	}
	return fmt.Errorf("stop %s: process %d does not end", name, pid)
}
