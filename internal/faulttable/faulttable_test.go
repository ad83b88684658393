package faulttable_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prekzursil/momentstudio-infra/internal/faulttable"
)

func table(t *testing.T) map[string]map[string]faulttable.Row {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../..", faulttable.Path))
	if err != nil {
		t.Fatal(err)
	}
	rows := faulttable.Parse(string(text))
	if got := faulttable.Format(rows); got != string(text) {
		t.Errorf("%s was edited by hand: run make faults", faulttable.Path)
	}
	return rows
}

// A test that is renamed or deleted takes its row along: every fault's name stands in the source of a test.
func TestEveryRowHasItsTest(t *testing.T) {
	var sources strings.Builder
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && strings.HasPrefix(d.Name(), ".") && d.Name() != ".." && path != "../.." {
			if d != nil && d.IsDir() {
				return filepath.SkipDir
			}
			return err
		}
		if strings.HasSuffix(path, "_test.go") {
			text, err := os.ReadFile(path)
			sources.Write(text)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	number := 0
	for area, rows := range table(t) {
		for fault := range rows {
			number++
			if !strings.Contains(sources.String(), `"`+fault+`"`) {
				t.Errorf("%s: no test tries %q any more: delete its row", area, fault)
			}
		}
	}
	if number < 60 {
		t.Errorf("the table has %d faults, want 60 at least", number)
	}
}

func TestMessages(t *testing.T) {
	for _, c := range []struct {
		name, message string
		bad           int
	}{
		{"one that says all", "the disk is full\n  what to do: make room", 0},
		{"a config's", "Pulumi.prod.yaml is not valid:\n  - x: got 1, want 2; fix: set it", 0},
		{"nothing", " \n", 1},
		{"a trace", "panic: runtime error\n  what to do: nothing", 1},
		{"a place in the source", "main.go:17: it failed; want more", 1},
		{"a dump", "{\"error\": 1}\nwhat to do: read it", 1},
		{"no advice", "it failed", 1},
		{"a secret", "hunter2 is wrong\n  what to do: type another", 1},
	} {
		if bad := faulttable.Problems(c.message, "hunter2"); len(bad) != c.bad {
			t.Errorf("%s: %q", c.name, bad)
		}
	}
}

func TestWhatChangesIsLeftOut(t *testing.T) {
	got := faulttable.Reduce("two things are not valid:\n  - host 10.0.0.1:22 of 1234567 waits 3.5s since 2026-11-27 " +
		"10:00:00 UTC, see /tmp/x1/log, sha256:0123456789abcdef0123\n    more\n  what to do: wait")
	if want := "host ADDRESS of … waits SECONDS since TIME, see FILE, sha256:… / what to do: wait"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestRowsSurviveTheirForm(t *testing.T) {
	row := faulttable.Row{Area: "A", Fault: "a | b", Shows: "x <y> | z", Kept: "k"}
	rows := faulttable.Parse(faulttable.Format(map[string]map[string]faulttable.Row{"A": {"a | b": row}}))
	if got := rows["A"]["a | b"]; got != row {
		t.Errorf("got %+v", got)
	}
}

func TestRowsAreAlikeThatBeginAndEndAlike(t *testing.T) {
	t.Setenv("MOMENTSTUDIO_FAULTS", "") // nothing is recorded here
	t.Chdir(t.TempDir())
	if err := os.MkdirAll("docs/reference", 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"Pulumi.yaml": "", faulttable.Path: faulttable.Format(map[string]map[string]faulttable.Row{
			"A": {"f": {
				Area: "A", Fault: "f", Shows: "a beginning of more than thirty letters: xyz / what to do: wait",
				Kept: "k",
			}},
		}),
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name, fault, message, kept string
		fails                      bool
	}{
		{"the same", "f", "a beginning of more than thirty letters: xyz\n  what to do: wait", "k", false},
		{"another quotation", "f", "a beginning of more than thirty letters: abc\n  what to do: wait", "k", false},
		{"another beginning", "f", "the beginning of more than thirty letters: xyz\n  what to do: wait", "k", true},
		{"another way out", "f", "a beginning of more than thirty letters: xyz\n  what to do: go", "k", true},
		{"other proof", "f", "a beginning of more than thirty letters: xyz\n  what to do: wait", "other", true},
		{"a fault that is not listed", "g", "a beginning of more than thirty letters: xyz\n  what to do: wait", "k", true},
	} {
		probe := &probe{TB: t}
		faulttable.Try(probe, "A", c.fault, c.message, c.kept)
		if probe.failed != c.fails {
			t.Errorf("%s: it fails: %v", c.name, probe.failed)
		}
	}
}

// probe is a test that may fail.
type probe struct {
	testing.TB
	failed bool
}

func (p *probe) Errorf(string, ...any) { p.failed = true }
func (p *probe) Helper()               {}
