package engine_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prekzursil/momentstudio-infra/internal/engine"
)

// fakePulumi puts a directory with nothing but this script on PATH.
func fakePulumi(t *testing.T, script string) {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	if script == "" {
		return
	}
	//nolint:gosec // it is a program
	if err := os.WriteFile(filepath.Join(dir, "pulumi"), []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
}

func TestOnlyACLIThatIsNewEnoughIsAccepted(t *testing.T) {
	for name, c := range map[string]struct {
		script string
		want   string // in the error; empty: the CLI is accepted
	}{
		"the lowest version":      {"echo v" + engine.OldestCLI, ""},
		"a newer one":             {"echo v3.274.1", ""},
		"a newer development one": {"echo v3.274.1-dev.0+0123abc", ""},
		"a newer major one":       {"echo v4.0.0", ""},
		"more digits":             {"echo v3.1000.0", ""},
		"a warning beside it":     {"echo warning: a note >&2; echo v3.274.1", ""},
		"an older one":            {"echo v3.255.9", "pulumi is v3.255.9; studio needs 3.256.0 or newer"},
		"fewer digits":            {"echo v3.99.0", "is v3.99.0;"},
		"before the lowest":       {"echo v3.256.0-alpha.1", "is v3.256.0-alpha.1;"},
		"nonsense":                {"echo hello there", `printed "hello there", which is not a version`},
		"nothing":                 {":", `printed "", which is not a version`},
		"a CLI that fails":        {"exit 3", "exit status 3"},
		"no CLI":                  {"", "pulumi is not on PATH; studio needs 3.256.0 or newer"},
	} {
		fakePulumi(t, c.script)
		err := engine.CheckCLI(t.Context())
		if c.want == "" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") ||
			!strings.Contains(err.Error(), " Fix: curl ") {
			t.Errorf("%s: %v; want one line with %q and a Fix:", name, err, c.want)
		}
	}
}

func TestTheCLIIsAskedForItsVersionAndNotForUpdates(t *testing.T) {
	fakePulumi(t, `[ "$*" = version ] && [ "$PULUMI_SKIP_UPDATE_CHECK" = true ] && echo v3.274.1`)
	if err := engine.CheckCLI(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestAnInterruptedCheckDoesNotBlameTheCLI(t *testing.T) {
	fakePulumi(t, "echo v3.274.1")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := engine.CheckCLI(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that the context ended", err)
	}
}
