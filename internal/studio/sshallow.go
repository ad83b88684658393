package studio

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"github.com/hetznercloud/hcloud-go/v2/hcloud"
	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/prekzursil/momentstudio-infra/internal/commandline"
	"github.com/prekzursil/momentstudio-infra/internal/naming"
	"github.com/prekzursil/momentstudio-infra/internal/sshallow"
)

// Allow says for how long and to whom the host's SSH port is opened.
type Allow struct {
	For     time.Duration // 0: not at all, the port is open already
	Address string        // default: the one that Cloudflare sees
}

// echo tells a caller's IPv4 address, which is what a host with an IPv4 address meets.
const echo = "https://1.1.1.1/cdn-cgi/trace"

// AllowSSH does work while the host's SSH port is open to this machine.
func (c CLI) AllowSSH(ctx context.Context, a Allow, work func(context.Context) error) error {
	if a.For == 0 {
		return work(ctx)
	}
	if a.For < 0 {
		return commandline.Usage(fmt.Errorf("%s is no time for which a port could be open", a.For))
	}
	from, err := netip.ParseAddr(a.Address)
	switch {
	case a.Address == "":
		from, err = sshallow.OwnAddress(ctx, echo)
	case err != nil:
		err = commandline.Usage(fmt.Errorf("--address %q is no IP address", a.Address))
	}
	if err != nil {
		return err
	}
	api, err := c.hetzner()
	if err != nil {
		return err
	}
	return sshallow.Door{API: api, Stack: c.Stack, Out: c.Err}.Open(ctx, from, a.For, work)
}

// hetzner reaches the stack's project.
func (c CLI) hetzner() (*hcloud.Client, error) {
	token := os.Getenv("HCLOUD_TOKEN")
	if token == "" {
		return nil, errors.New("HCLOUD_TOKEN is not set")
	}
	wanted, err := c.wanted()
	if err != nil {
		return nil, err
	}
	options := []hcloud.ClientOption{hcloud.WithToken(token), hcloud.WithApplication(naming.Project+"-studio", "")}
	if wanted.Endpoints.Hcloud != "" {
		options = append(options, hcloud.WithEndpoint(wanted.Endpoints.Hcloud))
	}
	return hcloud.NewClient(options...), nil
}

// CommandError is a command that ended with another exit code than 0.
type CommandError struct {
	Code int
	err  error
}

func (e CommandError) Error() string { return e.err.Error() }
func (e CommandError) Unwrap() error { return e.err }

// patience is how long an interrupted command may take to end.
const patience = 10 * time.Minute

// Command runs a command with this process's streams. When ctx ends, the command and what it started are
// interrupted, waited for, and after ten minutes killed.
func Command(ctx context.Context, in *os.File, out, errOut io.Writer, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...) //nolint:gosec // the operator's own command
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, out, errOut
	interruptOnce(cmd)
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) } // a shell alone would wait for its child
	cmd.WaitDelay = patience
	if fd := int(in.Fd()); term.IsTerminal(fd) {
		cmd.SysProcAttr.Foreground, cmd.SysProcAttr.Ctty = true, fd
		defer takeTerminal(fd)
	}
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() > 0 {
		return CommandError{exit.ExitCode(), fmt.Errorf("%s: %w", name, err)}
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// takeTerminal makes this process's group the terminal's again, so that what comes after may read from it.
func takeTerminal(fd int) {
	signal.Ignore(syscall.SIGTTOU) // which a group in the background gets for asking
	defer signal.Reset(syscall.SIGTTOU)
	_ = unix.IoctlSetPointerInt(fd, unix.TIOCSPGRP, syscall.Getpgrp())
}

// interruptOnce makes the end of the command's context its one interrupt. A terminal would send another to the whole
// group, and the engine takes a second one as the wish to end in the middle of what it does.
func interruptOnce(cmd *exec.Cmd) {
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
}
