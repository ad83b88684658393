package studio

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/hetznercloud/hcloud-go/v2/hcloud"
	"golang.org/x/term"

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
	from, err := netip.ParseAddr(a.Address)
	switch {
	case a.Address == "":
		from, err = sshallow.OwnAddress(ctx, echo)
	case err != nil:
		err = fmt.Errorf("--address %q is no IP address", a.Address)
	}
	if err != nil {
		return err
	}
	token := os.Getenv("HCLOUD_TOKEN")
	if token == "" {
		return errors.New("HCLOUD_TOKEN is not set: the firewall of the opening is made with it")
	}
	wanted, err := c.wanted()
	if err != nil {
		return err
	}
	options := []hcloud.ClientOption{hcloud.WithToken(token), hcloud.WithApplication(naming.Project+"-studio", "")}
	if wanted.Endpoints.Hcloud != "" {
		options = append(options, hcloud.WithEndpoint(wanted.Endpoints.Hcloud))
	}
	door := sshallow.Door{API: hcloud.NewClient(options...), Stack: c.Stack, Server: naming.Physical(c.Stack, "node-1"), Out: c.Err}
	return door.Open(ctx, from, a.For, work)
}

// CommandError is a command that ended with another exit code than 0.
type CommandError struct {
	Code int
	err  error
}

func (e CommandError) Error() string { return e.err.Error() }
func (e CommandError) Unwrap() error { return e.err }

// Command runs a command with this process's streams. When ctx ends, the command is interrupted, and waited for.
func Command(ctx context.Context, in *os.File, out, errOut io.Writer, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...) //nolint:gosec // the operator's own command
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, out, errOut
	interruptOnce(cmd)
	if term.IsTerminal(int(in.Fd())) {
		cmd.SysProcAttr.Foreground, cmd.SysProcAttr.Ctty = true, int(in.Fd())
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

// interruptOnce makes the end of the command's context its one interrupt. A terminal would send another to the whole
// group, and the engine takes a second one as the wish to end in the middle of what it does.
func interruptOnce(cmd *exec.Cmd) {
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
}
