// Package studio is the operator's side of the program: it runs the Pulumi CLI and adds what the
// engine alone does not do (running failed jobs again, checking what really serves, telling why).
package studio

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/prekzursil/momentstudio-infra/internal/fault"
	"github.com/prekzursil/momentstudio-infra/internal/recovery"
)

// CLI runs the Pulumi CLI for one stack.
type CLI struct {
	Root       string // the project's root, where Pulumi.yaml lies
	Stack      string
	ConfigFile string        // instead of Pulumi.<stack>.yaml; may be empty
	Parallel   int           // resources at a time; sshd's limits allow 8
	Wait       time.Duration // for somebody else who changes the host's services; default 0: refuse at once
	Out, Err   io.Writer

	env []string // beside the process's own
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

func (c CLI) command(ctx context.Context, args ...string) *exec.Cmd {
	full := append([]string{args[0], "--non-interactive", "--stack", c.Stack}, args[1:]...)
	if c.ConfigFile != "" {
		switch args[0] {
		case "up", "preview", "refresh", "destroy":
			full = append(full, "--config-file", c.ConfigFile)
		}
	}
	cmd := exec.CommandContext(ctx, "pulumi", full...) //nolint:gosec // the arguments are ours
	cmd.Dir, cmd.Env = c.Root, append(os.Environ(), c.env...)
	interruptOnce(cmd) // lets the engine save its state
	return cmd
}

// Run runs one CLI command with its output shown.
func (c CLI) Run(ctx context.Context, args ...string) error {
	_, err := c.run(ctx, args...)
	return err
}

// run is Run, which also returns the end of what was shown.
func (c CLI) run(ctx context.Context, args ...string) (shown string, err error) {
	err = c.unlocking(ctx, func() (string, error) {
		cmd := c.command(ctx, args...)
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

// output runs one CLI command and returns what it printed.
func (c CLI) output(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "pulumi", append(args, "--non-interactive", "--stack", c.Stack)...) //nolint:gosec // the arguments are ours
	cmd.Dir = c.Root
	interruptOnce(cmd)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil {
		return nil, tornNote(fmt.Errorf("pulumi %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(errOut.String())))
	}
	return out.Bytes(), nil
}

// tornNote says what to do about a state in a directory that the engine does not read any more: beside each file of it stands a note
// of its own (gocloud.dev/blob/fileblob, sidecar files), and a run that is killed while it writes one leaves that empty.
func tornNote(err error) error {
	if !strings.Contains(err.Error(), "failed to load checkpoint: EOF") {
		return err
	}
	return fault.Hint(err, "the state itself is whole: a run was killed while it wrote the note beside it. Remove the empty file STACK.json.attrs in "+
		".pulumi/stacks/momentstudio below the directory of PULUMI_BACKEND_URL, and append ?metadata=skip to that URL: then none is written any more")
}

// Outputs are the stack's outputs. They hold secrets: print none of them.
type Outputs struct {
	URL        string   `json:"url"`
	Address    string   `json:"address"`
	KnownHosts []string `json:"knownHosts"`
	SSHKeys    []string `json:"sshPrivateKeys"`
	Release    string   `json:"release"`
	Images     struct {
		Backend  string `json:"backend"`
		Frontend string `json:"frontend"`
	} `json:"images"`
}

// ErrNoHost means that the stack has no host yet.
var ErrNoHost = errors.New("the stack has no host yet")

// Outputs reads the stack's outputs from its state.
func (c CLI) Outputs(ctx context.Context) (Outputs, error) {
	var o Outputs
	text, err := c.output(ctx, "stack", "output", "--json", "--show-secrets")
	if err != nil {
		return o, fmt.Errorf("read the outputs of stack %s: %w", c.Stack, err)
	}
	if err := json.Unmarshal(text, &o); err != nil {
		return o, fmt.Errorf("read the outputs of stack %s: not the JSON that this program knows", c.Stack)
	}
	if o.Address == "" || len(o.SSHKeys) == 0 {
		return o, fmt.Errorf("stack %s: %w", c.Stack, ErrNoHost)
	}
	return o, nil
}

// hostOutputs are those Outputs by which the host is reached. The engine writes a stack's outputs when it knows all of them; a first
// update that was killed before has left a host all the same, and the component's own record says where it is.
func (c CLI) hostOutputs(ctx context.Context) (Outputs, error) {
	o, err := c.Outputs(ctx)
	if !errors.Is(err, ErrNoHost) {
		return o, err
	}
	state, errState := c.output(ctx, "stack", "export", "--show-secrets")
	if errState != nil {
		return o, fmt.Errorf("read the state of stack %s: %w", c.Stack, errState)
	}
	if recorded, ok := hostOf(state); ok {
		return recorded, nil
	}
	return o, err
}

// hostOf reads the host's record from an exported state; ok is false as long as there is no server.
func hostOf(state []byte) (o Outputs, ok bool) {
	all, err := resources(state)
	if err != nil {
		return o, false
	}
	server := false
	for _, r := range all {
		switch r.Type {
		case recovery.Server:
			server = true
		case "momentstudio:host:Host":
			o.Address, _ = r.Outputs["address"].(string)
			o.KnownHosts, o.SSHKeys = texts(r.Outputs["knownHosts"]), texts(r.Outputs["sshPrivateKeys"])
		}
	}
	return o, server && o.Address != "" && len(o.SSHKeys) > 0
}

// texts reads a list of texts.
func texts(v any) (list []string) {
	parts, _ := revealed(v).([]any)
	for _, p := range parts {
		if text, ok := p.(string); ok {
			list = append(list, text)
		}
	}
	return list
}

// resource is a record of an exported state.
type resource struct {
	URN     string          `json:"urn"`
	ID      string          `json:"id"`
	Type    string          `json:"type"`
	Delete  bool            `json:"delete"`
	Inputs  json.RawMessage `json:"inputs"`
	Outputs map[string]any  `json:"outputs"`
}

func (r resource) name() string { return r.URN[strings.LastIndex(r.URN, "::")+2:] }

// resources reads the records of an exported state, without those that only wait to be deleted.
func resources(state []byte) ([]resource, error) {
	var export struct {
		Deployment struct {
			Resources []resource `json:"resources"`
		} `json:"deployment"`
	}
	if err := json.Unmarshal(state, &export); err != nil {
		return nil, errors.New("the exported state is not the JSON that this program knows")
	}
	return slices.DeleteFunc(export.Deployment.Resources, func(r resource) bool { return r.Delete }), nil
}

// jobType is what a one-shot job is to the engine.
const jobType = recovery.DockerContainer

// failedJobs lists the URNs of one-shot jobs whose record says that they failed, or does not say how they ended: a refresh writes an
// exit code of 0 for a container that was never started, and only a job that was waited for has its log there.
func failedJobs(state []byte) ([]string, error) {
	records, err := resources(state)
	if err != nil {
		return nil, err
	}
	var urns []string
	for _, r := range records {
		if r.Type != jobType {
			continue
		}
		code, ended := r.Outputs["exitCode"].(float64)
		if logs := r.Outputs["containerLogs"]; !ended || code != 0 || logs == nil || logs == "" {
			urns = append(urns, r.URN)
		}
	}
	return urns, nil
}
