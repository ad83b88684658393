// Package engine runs the Pulumi CLI on one stack and reads its state and its stack file.
package engine

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

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

// Command is one call of the CLI on this stack, not started yet. When ctx ends, the engine gets one interrupt, so that it
// saves its state.
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
	_, err := c.RunShown(ctx, args...)
	return err
}

// RunShown is Run, which also returns the end of what was shown.
func (c Stack) RunShown(ctx context.Context, args ...string) (shown string, err error) {
	err = c.unlocking(ctx, func() (string, error) {
		cmd := c.Command(ctx, args...)
		out, errOut := &tee{to: c.Out}, &tee{to: c.Err}
		cmd.Stdout, cmd.Stderr = out, errOut
		err := cmd.Run()
		shown = out.kept.String() + errOut.kept.String()
		if err != nil {
			err = fmt.Errorf("pulumi %s: %w", args[0], err)
		}
		return shown, err
	})
	return shown, err
}

// Output runs one CLI command and returns what it printed.
func (c Stack) Output(ctx context.Context, args ...string) ([]byte, error) {
	//nolint:gosec // the arguments are ours
	cmd := exec.CommandContext(ctx, "pulumi", append(args, "--non-interactive", "--stack", c.Name)...)
	cmd.Dir = c.Root
	process.InterruptOnce(cmd)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil {
		return nil, tornNote(fmt.Errorf("pulumi %s: %w: %s", strings.Join(args, " "), err,
			strings.TrimSpace(errOut.String())))
	}
	return out.Bytes(), nil
}

// tornNote says what to do about a state in a directory that the engine does not read any more: beside each file of
// it stands a note of its own (gocloud.dev/blob/fileblob, sidecar files), and a run that is killed while it writes
// one leaves that empty.
func tornNote(err error) error {
	if !strings.Contains(err.Error(), "failed to load checkpoint: EOF") {
		return err
	}
	return fault.Hint(err, "the state itself is whole: a run was killed while it wrote the note beside it. Remove the "+
		"empty file STACK.json.attrs in "+
		".pulumi/stacks/momentstudio below the directory of PULUMI_BACKEND_URL, and append ?metadata=skip to that URL: "+
		"then none is written any more")
}
