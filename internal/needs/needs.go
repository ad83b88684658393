// Package needs lets a test say what it needs of the machine: a program, for example. `make unit` works on any Linux
// and skips the test when that is missing; everywhere else the test fails.
package needs

import (
	"os"
	"os/exec"
	"testing"
)

// maySkip is set by `make unit` alone.
const maySkip = "UNIT_MAY_SKIP"

// Program skips or fails the test when one of the programs is missing.
func Program(t testing.TB, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			missing(t, name)
		}
	}
}

// Working skips or fails the test when a command does not succeed: one that only asks whether something is installed.
func Working(t testing.TB, name string, args ...string) {
	t.Helper()
	if err := exec.CommandContext(t.Context(), name, args...).Run(); err != nil {
		missing(t, name)
	}
}

// That skips or fails the test when the machine lacks something else.
func That(t testing.TB, met bool, what string) {
	t.Helper()
	if !met {
		missing(t, what)
	}
}

func missing(t testing.TB, name string) {
	t.Helper()
	if os.Getenv(maySkip) != "" {
		t.Skipf("%s is missing on this machine, and this test needs it", name)
	}
	t.Fatalf("%s is missing, and this test needs it. Fix: `make prepare` (root, Debian), or `make unit` skips it", name)
}
