// Package process starts other programs so that one interrupt reaches them once.
package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// Runner runs a prepared command to its end, as (*exec.Cmd).Run does.
type Runner interface {
	Run(cmd *exec.Cmd) error
}

// CommandError is a command that ended with another exit code than 0.
type CommandError struct {
	Code int
	err  error
}

func (e CommandError) Error() string { return e.err.Error() }

func (e CommandError) Unwrap() error { return e.err }

// timeout is how long an interrupted command may take to end.
const timeout = 10 * time.Minute

// Command runs a command with this process's streams. When ctx ends, the command and what it started are
// interrupted, waited for, and after ten minutes killed.
func Command(ctx context.Context, in *os.File, out, errOut io.Writer, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...) //nolint:gosec // the operator's own command
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, out, errOut
	InterruptOnce(cmd)
	// a shell alone would wait for its child
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) }
	cmd.WaitDelay = timeout
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

// InterruptOnce makes the end of the command's context its one interrupt. A terminal would send another to the whole
// group, and the engine takes a second one as the wish to end in the middle of what it does.
func InterruptOnce(cmd *exec.Cmd) {
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
}
