package hostssh

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"github.com/prekzursil/momentstudio-infra/internal/engine"
	"github.com/prekzursil/momentstudio-infra/internal/sshfiles"
)

// SSHFailed is ssh's own exit code for a host that cannot be reached; others are the script's.
const SSHFailed = 255

// Quote quotes a text for a POSIX shell.
func Quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

func lastLine(text string) string {
	text = strings.TrimSpace(text)
	return text[strings.LastIndex(text, "\n")+1:]
}

// sshLimit is how long the host may take to answer a caller that says nothing else: a Docker that hangs never does.
const sshLimit = 2 * time.Minute

// Run runs a script on the host with the stack's own SSH files.
func Run(ctx context.Context, c engine.Stack, address, script string) ([]byte, error) {
	if _, limited := ctx.Deadline(); !limited {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, sshLimit)
		defer cancel()
	}
	cmd := Command(ctx, c, address, script)
	cmd.WaitDelay = 5 * time.Second // somebody whom it started may hold its output
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := c.Exec(cmd); err != nil {
		return nil, fmt.Errorf("ssh %s: %w: %s", address, reason(ctx, err), strings.TrimSpace(errOut.String()))
	}
	return out.Bytes(), nil
}

// reason is why a command failed. One that was killed at its limit says "signal: killed", which explains nothing.
func reason(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("no answer within the limit: %w", ctx.Err())
	}
	return err
}

// Command is a script that is to run on the host, with the stack's own SSH files.
func Command(ctx context.Context, c engine.Stack, address, script string) *exec.Cmd {
	//nolint:gosec // our own script
	cmd := exec.CommandContext(ctx, "ssh", append(sshfiles.Options(c.Name), address, script)...)
	cmd.Dir = c.Root
	return cmd
}

// Reach writes the SSH files and takes the host's lock, when the stack has a host: a first update has none, and
// nobody is at work there.
func Reach(ctx context.Context, c engine.Stack, what string) (address string, release func(), err error) {
	switch err := WriteConfig(ctx, c); {
	case errors.Is(err, engine.ErrNoHost):
		return "", func() {}, nil
	case err != nil:
		return "", nil, err
	}
	o, err := c.HostOutputs(ctx)
	if err != nil {
		return "", nil, err
	}
	release, err = LockServices(ctx, c, o.Address, what)
	return o.Address, release, err
}

// WriteConfig writes the files by which the Docker provider reaches the host, from state. They make
// `pulumi refresh` and `pulumi destroy` work in a fresh clone.
func WriteConfig(ctx context.Context, c engine.Stack) error {
	o, err := c.HostOutputs(ctx)
	if err != nil {
		return err
	}
	return sshfiles.Write(c.Root, c.Name, sshfiles.Files{
		Address: o.Address, PrivateKeys: o.SSHKeys,
		KnownHosts: o.KnownHosts,
	})
}
