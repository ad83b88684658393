package runner

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"

	"github.com/prekzursil/momentstudio-infra/sandbox/toolchain"
)

// Tools returns the engine, building it on first use.
func (s Settings) Tools(ctx context.Context, log io.Writer) (toolchain.Toolchain, error) {
	return s.tools(ctx, log)
}

// Pulumi runs the CLI in the clone on the sandbox's stack and its config file. The error is an
// *exec.ExitError when the CLI itself failed.
func (s Settings) Pulumi(ctx context.Context, out, errOut io.Writer, args ...string) error {
	if len(args) == 0 {
		return fmt.Errorf("pulumi: no command given")
	}
	t, err := s.tools(ctx, errOut)
	if err != nil {
		return err
	}
	full := append([]string{args[0]}, "--stack", s.Stack)
	switch args[0] {
	case "up", "preview", "refresh", "destroy", "config":
		full = append(full, "--config-file", s.ConfigFile())
	}
	full = append(full, args[1:]...)
	cmd := exec.CommandContext(ctx, t.CLI, full...)
	cmd.Dir, cmd.Env = s.Project, s.Env(t)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, out, errOut
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	return cmd.Run()
}

// Outputs are the stack's outputs, secrets hidden.
type Outputs struct {
	Address string
	Text    string // as the CLI prints them
}

// Outputs reads the stack's outputs.
func (s Settings) Outputs(ctx context.Context, t toolchain.Toolchain) (Outputs, error) {
	var text, raw bytes.Buffer
	for _, o := range []struct {
		args []string
		into *bytes.Buffer
	}{{[]string{"stack", "output"}, &text}, {[]string{"stack", "output", "--json"}, &raw}} {
		cmd := exec.CommandContext(ctx, t.CLI, append(o.args, "--stack", s.Stack)...)
		cmd.Dir, cmd.Env = s.Project, s.Env(t)
		cmd.Stdout, cmd.Stderr = o.into, os.Stderr
		if err := cmd.Run(); err != nil {
			return Outputs{}, fmt.Errorf("read the stack's outputs: %w", err)
		}
	}
	var values struct {
		Address string `json:"address"`
	}
	if err := json.Unmarshal(raw.Bytes(), &values); err != nil {
		return Outputs{}, fmt.Errorf("read the stack's outputs: %w", err)
	}
	return Outputs{Address: values.Address, Text: text.String()}, nil
}
