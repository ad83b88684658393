// Package engine runs the Pulumi CLI on one stack and reads its state and its stack file.
package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/prekzursil/momentstudio-infra/internal/diagnosis"
	"github.com/prekzursil/momentstudio-infra/internal/fault"
	"github.com/prekzursil/momentstudio-infra/internal/process"
)

// Stack runs the Pulumi CLI for one stack.
type Stack struct {
	Root       string // the project's root, where Pulumi.yaml lies
	Name       string
	ConfigFile string        // instead of Pulumi.<stack>.yaml; may be empty
	Parallel   int           // resources at a time; sshd's limits allow 8
	Wait       time.Duration // for somebody else who changes the host's services; default 0: refuse at once
	Out, Err   io.Writer

	Env []string // beside the process's own

	Programs process.Runner // runs pulumi and ssh; nil: as processes of this machine. Tests answer in their place
}

// Exec runs a prepared command of pulumi or ssh to its end.
func (c Stack) Exec(cmd *exec.Cmd) error {
	if c.Programs == nil {
		return cmd.Run()
	}
	return c.Programs.Run(cmd)
}

// combined is Exec with what the command prints on both its outputs.
func (c Stack) combined(cmd *exec.Cmd) ([]byte, error) {
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := c.Exec(cmd)
	return out.Bytes(), err
}

// FindRoot returns the nearest directory with a Pulumi.yaml, from dir upwards.
func FindRoot(dir string) (string, error) {
	for d := dir; ; d = filepath.Dir(d) {
		if _, err := os.Stat(filepath.Join(d, "Pulumi.yaml")); err == nil {
			return d, nil
		}
		if d == filepath.Dir(d) {
			return "", fmt.Errorf("no Pulumi.yaml in %s or above it; run studio inside a clone", dir)
		}
	}
}

// Command is one call of the CLI on this stack, not started yet. When ctx ends, the engine gets one interrupt, so that
// it saves its state.
func (c Stack) Command(ctx context.Context, args ...string) *exec.Cmd {
	full := append([]string{args[0], "--non-interactive", "--stack", c.Name}, args[1:]...)
	if c.ConfigFile != "" {
		switch args[0] {
		case "up", "preview", "refresh", "destroy":
			full = append(full, "--config-file", c.ConfigFile)
		}
	}
	cmd := exec.CommandContext(ctx, "pulumi", full...) //nolint:gosec // the arguments are ours
	cmd.Dir, cmd.Env = c.Root, append(os.Environ(), c.Env...)
	process.InterruptOnce(cmd) // lets the engine save its state
	return cmd
}

// Run runs one CLI command with its output shown.
func (c Stack) Run(ctx context.Context, args ...string) error {
	return c.run(ctx, func() *exec.Cmd { return c.Command(ctx, args...) }, c.Out)
}

// run runs a command of the CLI, and a second time when the first met the lock of a killed run.
func (c Stack) run(ctx context.Context, command func() *exec.Cmd, out io.Writer) error {
	return c.unlocking(ctx, func() (string, error) {
		cmd := command()
		shown, shownErr := &taskLogFilter{to: out}, &taskLogFilter{to: c.Err}
		errOut := &tee{to: shownErr}
		cmd.Stdout, cmd.Stderr = shown, errOut
		err := c.Exec(cmd)
		shown.flush()
		shownErr.flush()
		if err != nil {
			err = fmt.Errorf("pulumi %s: %w", cmd.Args[1], err)
		}
		return errOut.kept.String(), err
	})
}

// RunLogged is Run for up, preview, refresh and destroy. It also returns what the engine's event log says of the run,
// which is what there is of it when the run failed or was killed.
func (c Stack) RunLogged(ctx context.Context, args ...string) (Events, error) {
	return c.runLogged(ctx, c.Out, args...)
}

// RunQuietly is RunLogged without the output on standard output.
func (c Stack) RunQuietly(ctx context.Context, args ...string) (Events, error) {
	return c.runLogged(ctx, io.Discard, args...)
}

func (c Stack) runLogged(ctx context.Context, out io.Writer, args ...string) (Events, error) {
	dir, err := os.MkdirTemp("", "momentstudio-events-*")
	if err != nil {
		return Events{}, fmt.Errorf("make a directory for the engine's events: %w", err)
	}
	defer os.RemoveAll(dir)
	log := filepath.Join(dir, "events.json")
	command := func() *exec.Cmd {
		cmd := c.Command(ctx, append(args, "--event-log", log, "--color", "never")...)
		cmd.Env = append(cmd.Env, "PULUMI_DEBUG_COMMANDS=true") // without it the CLI does not know --event-log
		return cmd
	}
	ran := c.run(ctx, command, out)
	events, err := readEvents(log)
	return events, errors.Join(ran, err)
}

// Output runs one CLI command and returns what it printed.
func (c Stack) Output(ctx context.Context, args ...string) ([]byte, error) {
	//nolint:gosec // the arguments are ours
	cmd := exec.CommandContext(ctx, "pulumi", append(args, "--non-interactive", "--stack", c.Name)...)
	cmd.Dir = c.Root
	process.InterruptOnce(cmd)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := c.Exec(cmd); err != nil {
		return nil, tornNote(fmt.Errorf("pulumi %s: %w: %s", strings.Join(args, " "), err,
			strings.TrimSpace(errOut.String())))
	}
	return out.Bytes(), nil
}

// tornNote adds the fix for a state in a directory that the engine does not read any more: beside each file of
// it stands a note of its own (gocloud.dev/blob/fileblob, sidecar files), and a run that is killed while it writes
// one leaves that empty.
func tornNote(err error) error {
	if !diagnosis.TornState(err.Error()) {
		return err
	}
	return fault.Hint(err, "the state itself is whole: a run was killed while it wrote the note beside it. Remove the "+
		"empty file STACK.json.attrs in "+
		".pulumi/stacks/momentstudio below the directory of PULUMI_BACKEND_URL, and append ?metadata=skip to that URL: "+
		"then none is written any more")
}
