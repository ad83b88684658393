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
func Program(tb testing.TB, names ...string) {
	tb.Helper()
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			missing(tb, name)
		}
	}
}

// Working skips or fails the test when a command does not succeed: one that only asks whether something is installed.
func Working(tb testing.TB, name string, args ...string) {
	tb.Helper()
	//nolint:gosec // tests name the program
	if err := exec.CommandContext(tb.Context(), name, args...).Run(); err != nil {
		missing(tb, name)
	}
}

// That skips or fails the test when the machine lacks something else.
func That(tb testing.TB, met bool, what string) {
	tb.Helper()
	if !met {
		missing(tb, what)
	}
}

func missing(tb testing.TB, name string) {
	tb.Helper()
	if os.Getenv(maySkip) != "" {
		tb.Skipf("%s is missing on this machine, and this test needs it", name)
	}
	tb.Fatalf("%s is missing, and this test needs it. Fix: `make prepare` (root, Debian), or `make unit` skips it", name)
}
