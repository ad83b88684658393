package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// emptyProgram declares nothing.
const emptyProgram = `package main

import "github.com/pulumi/pulumi/sdk/v3/go/pulumi"

func main() { pulumi.Run(func(*pulumi.Context) error { return nil }) }
`

// BenchmarkPreview compares a preview of the whole stack, which is up and unchanged, with one of a program that
// declares nothing; both are compiled beforehand, and they take turns.
func BenchmarkPreview(b *testing.B) {
	w := newWorld(b)
	w.up()
	empty := filepath.Join(b.TempDir(), "empty")
	source := filepath.Join(w.s.Project, "cmd", "empty")
	for path, text := range map[string]string{
		filepath.Join(source, "main.go"):     emptyProgram,
		filepath.Join(empty, "Pulumi.yaml"):  "name: empty\nruntime:\n  name: go\n  options:\n    binary: " + filepath.Join(empty, "program") + "\n",
		filepath.Join(empty, "state", "dir"): "",
	} {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			b.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	run := func(dir string, name string, args ...string) time.Duration {
		b.Helper()
		cmd := exec.CommandContext(w.ctx, name, args...)
		cmd.Dir, cmd.Env = dir, w.s.Env(w.tools)
		if dir == empty {
			cmd.Env = append(cmd.Env, "PULUMI_BACKEND_URL=file://"+filepath.Join(empty, "state"))
		}
		began := time.Now()
		if out, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("%s %v: %v\n%s", name, args, err, tail(string(out), 30))
		}
		return time.Since(began)
	}
	run(w.s.Project, "go", "build", "-o", filepath.Join(empty, "program"), "./cmd/empty")
	run(empty, w.tools.CLI, "stack", "init", "empty", "--non-interactive")
	for range b.N {
		var ours, none []time.Duration
		for range 7 {
			none = append(none, run(empty, w.tools.CLI, "preview", "--stack", "empty", "--non-interactive"))
			ours = append(ours, run(w.s.Project, w.tools.CLI, "preview", "--stack", w.s.Stack, "--config-file", w.s.ConfigFile(), "--non-interactive"))
		}
		slices.Sort(ours)
		slices.Sort(none)
		half := len(ours) / 2
		b.ReportMetric(ours[half].Seconds()/none[half].Seconds(), "preview/empty")
		b.Logf("medians of %d: the stack %.2f s, an empty program %.2f s", len(ours), ours[half].Seconds(), none[half].Seconds())
	}
}
