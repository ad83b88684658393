// Package enginetest answers in the place of the Pulumi CLI and of ssh, so that commands are tested without processes.
package enginetest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/prekzursil/momentstudio-infra/internal/engine"
	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
)

// Programs is a process.Runner. It answers pulumi's and ssh's commands with its fields and keeps what it was asked.
type Programs struct {
	State   string // of `stack export`
	Plan    string // of `preview --save-plan`
	Refresh string // of `refresh --preview-only --json`
	Outputs string // of `stack output`
	History string // of `stack history`

	Report hostspec.HostReport // of `hostops inspect`
	Holder string              // who holds the host's lock; empty: nobody

	// Fails ends a command with an error: the key is how the command begins, for example "pulumi up".
	Fails map[string]error

	mu       sync.Mutex
	calls    []string
	imported []string
}

// NewStack is a stack in an empty directory, whose commands p answers. File is the text of the stack's file.
func NewStack(t testing.TB, p *Programs, name, file string) (engine.Stack, *bytes.Buffer) {
	t.Helper()
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "Pulumi."+name+".yaml"), []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	out := &bytes.Buffer{}
	return engine.Stack{Root: root, Name: name, Out: out, Err: out, Programs: p}, out
}

// Calls are the commands so far that begin with one of the words, in their order: "pulumi refresh --yes …".
func (p *Programs) Calls(begin ...string) (found []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, call := range p.calls {
		if slices.ContainsFunc(begin, func(b string) bool { return strings.HasPrefix(call, b) }) {
			found = append(found, call)
		}
	}
	return found
}

// Imported are the states that were imported, in their order.
func (p *Programs) Imported() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.imported)
}

// Run answers one command.
func (p *Programs) Run(cmd *exec.Cmd) error {
	call := filepath.Base(cmd.Args[0]) + " " + strings.Join(cmd.Args[1:], " ")
	if cmd.Args[0] == "ssh" { // its options are of no interest here
		call = "ssh " + cmd.Args[len(cmd.Args)-1]
	}
	p.mu.Lock()
	p.calls = append(p.calls, call)
	p.mu.Unlock()
	for begin, err := range p.Fails {
		if strings.HasPrefix(call, begin) {
			return err
		}
	}
	if cmd.Args[0] == "ssh" {
		return p.answerHost(cmd, call)
	}
	return p.answerEngine(cmd)
}

func (p *Programs) answerHost(cmd *exec.Cmd, call string) error {
	switch {
	case strings.Contains(call, "flock") && p.Holder != "":
		_, err := fmt.Fprintln(cmd.Stdout, "held by", p.Holder)
		return err
	case strings.Contains(call, "flock"):
		if _, err := fmt.Fprintln(cmd.Stdout, "taken"); err != nil {
			return err
		}
		_, err := io.Copy(io.Discard, cmd.Stdin) // the lock is held as long as its input is open
		return err
	case strings.Contains(call, " inspect --contract "):
		return json.NewEncoder(cmd.Stdout).Encode(p.Report)
	}
	return nil
}

func (p *Programs) answerEngine(cmd *exec.Cmd) error {
	answer := ""
	switch args := strings.Join(cmd.Args[1:], " "); {
	case strings.HasPrefix(args, "stack export"):
		answer = p.State
	case strings.HasPrefix(args, "stack output"):
		answer = p.Outputs
	case strings.HasPrefix(args, "stack history"):
		answer = p.History
	case strings.HasPrefix(args, "stack import"):
		state, err := io.ReadAll(cmd.Stdin)
		if err != nil {
			return err
		}
		p.mu.Lock()
		p.imported = append(p.imported, string(state))
		p.mu.Unlock()
	case strings.Contains(args, "--preview-only --json"):
		answer = p.Refresh
	case strings.Contains(args, "--save-plan"):
		file := cmd.Args[slices.Index(cmd.Args, "--save-plan")+1]
		if err := os.WriteFile(file, []byte(p.Plan), 0o600); err != nil {
			return err
		}
	}
	if cmd.Stdout == nil {
		return nil
	}
	_, err := io.WriteString(cmd.Stdout, answer)
	return err
}
