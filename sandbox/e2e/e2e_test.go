// Package e2e runs the program through the sandbox, with the real engine and real servers, the way its users do. Groups
// of steps share a sandbox, because making one takes minutes.
package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/prekzursil/momentstudio-infra/sandbox/runner"
	"github.com/prekzursil/momentstudio-infra/sandbox/toolchain"
)

// env is the sandbox under test.
type env struct {
	t     testing.TB
	ctx   context.Context
	s     runner.Settings
	tools toolchain.Toolchain

	group     testing.TB // of the group that runs
	isUp      bool       // the stack was brought up and not destroyed since
	destroyed bool       // the stack was destroyed, the sandbox was not
	broken    bool       // the group before failed
	first     []byte     // the stack's file when the sandbox came up
	applied   []byte     // the stack's file at the last update that succeeded

	oldBypassToken string       // of before the rotations
	sftpPause      atomic.Int64 // of the SFTP server before each read, in nanoseconds
}

// newEnv prepares the n-th of the tests' own sandboxes, which is removed at the end of the test unless E2E_REUSE keeps
// it. Its name and home are fixed, so that the next run finds it.
func newEnv(t testing.TB, n int) *env {
	t.Helper()
	s, err := runner.FromEnvironment(clone(t))
	if err != nil {
		t.Fatal(err)
	}
	s.CLI = runner.BuiltPulumi
	s.Name = "e2e"
	if n > 0 {
		s.Name += strconv.Itoa(n)
	}
	s.Home = "/var/lib/momentstudio-" + s.Name
	s.Subnet = netip.MustParsePrefix(fmt.Sprintf("10.201.%d.0/24", 65+n))
	s.PrivateNetwork = netip.MustParsePrefix(fmt.Sprintf("10.%d.0.0/16", 78+2*n))
	w := &env{t: t, group: t, ctx: t.Context(), s: s}
	built := s.Program("momentstudio-infra")
	if record != "" {
		built = filepath.Join(s.Project, "bin", "edited") // a program of its own: some plans are of edited ones
	}
	useBuiltProgram(t, s, built)
	if !chosen.reuse {
		w.remove() // what a killed run left
	}
	t.Cleanup(func() {
		if chosen.reuse && w.isUp {
			t.Logf("the sandbox in %s is kept; a run without E2E_REUSE removes it", s.Home)
			return
		}
		w.remove()
	})
	return w
}

// remove takes the sandbox down with all that it made.
func (w *env) remove() {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	if err := w.s.Down(ctx, io.Discard, false); err != nil {
		w.t.Errorf("the sandbox was not removed: %v", err)
	}
	w.isUp = false
}

// readFile reads the stack's file; there is none before the first update.
func (w *env) readFile() []byte {
	w.t.Helper()
	text, err := os.ReadFile(w.s.ConfigFile())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		w.t.Fatal(err)
	}
	return text
}

func (w *env) writeFile(text []byte) {
	w.t.Helper()
	if err := os.WriteFile(w.s.ConfigFile(), text, 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// useBuiltProgram makes the CLI run the program that the sandbox built, as a pipeline does: it would link
// the same one again for each of some sixty commands. Further clones are left as a newcomer has them.
func useBuiltProgram(t testing.TB, s runner.Settings, built string) {
	t.Helper()
	path := filepath.Join(s.Project, "Pulumi.yaml")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	now := strings.Replace(string(text), "runtime: go\n", "runtime:\n  name: go\n  options:\n    binary: "+built+"\n", 1)
	if now == string(text) {
		t.Fatal("Pulumi.yaml does not say runtime: go")
	}
	if err := os.WriteFile(path, []byte(now), 0o600); err != nil {
		t.Fatal(err)
	}
}

// clone copies what git tracks of this repository, and what it does not ignore, to a clean directory.
func clone(t testing.TB) string {
	t.Helper()
	from, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	to := t.TempDir()
	list := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	list.Dir = from
	files, err := list.Output()
	if err != nil {
		t.Fatalf("list the clone's files: %v", err)
	}
	pack := exec.Command("tar", "-C", from, "--null", "--ignore-failed-read", "-T", "-", "-cf", "-")
	pack.Stdin = bytes.NewReader(files)
	unpack := exec.Command("tar", "-C", to, "-xf", "-")
	if unpack.Stdin, err = pack.StdoutPipe(); err != nil {
		t.Fatal(err)
	}
	if err := unpack.Start(); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(pack.Run(), unpack.Wait()); err != nil {
		t.Fatalf("copy the clone: %v", err)
	}
	return to
}

// up brings the stack to its config and returns what the run printed.
func (w *env) up() (runner.Result, string) {
	w.t.Helper()
	var out bytes.Buffer
	r, err := w.s.Up(w.ctx, &out)
	if err != nil {
		w.t.Fatalf("sandbox up: %v\n%s", err, tail(out.String(), 60))
	}
	w.tools, w.isUp, w.applied = r.Tools, true, w.readFile()
	return r, out.String()
}

// pulumi runs the CLI and returns its output and error.
func (w *env) pulumi(args ...string) (string, error) {
	var out bytes.Buffer
	err := w.s.Pulumi(w.ctx, &out, &out, append(args, "--non-interactive")...)
	return out.String(), err
}

func (w *env) mustPulumi(args ...string) string {
	w.t.Helper()
	out, err := w.pulumi(args...)
	if err != nil {
		w.t.Fatalf("pulumi %s: %v\n%s", strings.Join(args, " "), err, tail(out, 60))
	}
	return out
}

// studio runs our own command in the current clone.
func (w *env) studio(args ...string) (string, error) {
	cmd := exec.CommandContext(w.ctx, w.s.Program("studio"), append(args, "--stack", w.s.Stack)...)
	cmd.Dir, cmd.Env = w.s.Project, w.s.Env(w.tools)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// configure sets one value of the stack's file, as an operator would; nil removes it.
func (w *env) configure(group, field string, value any) {
	w.t.Helper()
	text, err := os.ReadFile(w.s.ConfigFile())
	if err != nil {
		w.t.Fatal(err)
	}
	var file map[string]any
	if err := yaml.Unmarshal(text, &file); err != nil {
		w.t.Fatal(err)
	}
	config := file["config"].(map[string]any)
	if field == "" {
		config["momentstudio:"+group] = value
	} else {
		m, _ := config["momentstudio:"+group].(map[string]any)
		if m == nil {
			m = map[string]any{}
		}
		m[field] = value
		if value == nil {
			delete(m, field)
		}
		config["momentstudio:"+group] = m
	}
	out, err := yaml.Marshal(file)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(w.s.ConfigFile(), out, 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// keepConfig returns what puts the stack's file back as it is now.
func (w *env) keepConfig() (back func()) {
	w.t.Helper()
	file := w.readFile()
	return func() {
		w.t.Helper()
		w.writeFile(file)
	}
}

// planStep is one line of a preview.
type planStep struct {
	Op  string `json:"op"`
	URN string `json:"urn"`
}

func (s planStep) name() string { return s.URN[strings.LastIndex(s.URN, "::")+2:] }

// preview returns the steps that change something.
func (w *env) preview() []planStep {
	w.t.Helper()
	var out, errOut bytes.Buffer
	if err := w.s.Pulumi(w.ctx, &out, &errOut, "preview", "--json", "--non-interactive"); err != nil {
		w.t.Fatalf("pulumi preview --json: %v\n%s%s", err, tail(out.String(), 40), tail(errOut.String(), 20))
	}
	var doc struct {
		Steps []planStep `json:"steps"`
	}
	if err := json.Unmarshal(out.Bytes(), &doc); err != nil {
		w.t.Fatalf("the preview's JSON: %v\n%s", err, tail(out.String(), 20))
	}
	if len(doc.Steps) == 0 {
		w.t.Fatal("the preview has no steps at all")
	}
	return slices.DeleteFunc(doc.Steps, func(s planStep) bool { return s.Op == "same" })
}

// configured reads one group of the stack's file.
func (w *env) configured(group string) map[string]any {
	w.t.Helper()
	text, err := os.ReadFile(w.s.ConfigFile())
	if err != nil {
		w.t.Fatal(err)
	}
	var file struct {
		Config map[string]any `yaml:"config"`
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		w.t.Fatal(err)
	}
	m, _ := file.Config["momentstudio:"+group].(map[string]any)
	return m
}

// hostID returns the container that is the booted host.
func (w *env) hostID() string {
	w.t.Helper()
	out, err := exec.CommandContext(w.ctx, "docker", "ps", "-q", "--filter",
		"label=momentstudio-sandbox=momentstudio-"+w.s.Name).Output()
	id := strings.TrimSpace(string(out))
	if err != nil || id == "" || strings.Contains(id, "\n") {
		w.t.Fatalf("want one host, got %q (%v)", id, err)
	}
	return id
}

// host runs a command on the booted host, as root.
func (w *env) host(command string) string {
	w.t.Helper()
	text, err := exec.CommandContext(w.ctx, "docker", "exec", w.hostID(), "sh", "-c", command).CombinedOutput()
	if err != nil {
		w.t.Fatalf("on the host, %s: %v\n%s", command, err, text)
	}
	return strings.TrimSpace(string(text))
}

// sql runs a statement in the application's database.
func (w *env) sql(statement string) string {
	return w.host(fmt.Sprintf("docker exec $(docker ps -q --filter name=momentstudio-postgres. | head -1) psql -h "+
		"127.0.0.1 -U postgres -At -d adrianaart -c %q", statement))
}

func tail(text string, lines int) string {
	all := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
