package toolchain

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// OldestCLI is the oldest release of the CLI that the program accepts (internal/engine has the reason; a test of the
// repository compares the two).
const OldestCLI = "3.256.0"

// ErrNoPulumi says that the machine has no CLI.
var ErrNoPulumi = errors.New("no pulumi on PATH")

// FromMachine returns the machine's own Pulumi instead of a built one: the first pulumi on PATH, which installs its
// plugins itself into home. Its error names a CLI older than OldestCLI, a missing language host, and each plugin that
// cannot be installed.
func FromMachine(ctx context.Context, home string, log io.Writer) (Toolchain, error) {
	cli, err := exec.LookPath("pulumi")
	if err != nil {
		return Toolchain{}, fmt.Errorf("%w. Fix: install it, or let the sandbox build its own", ErrNoPulumi)
	}
	output, err := exec.CommandContext(ctx, cli, "version").Output()
	if err != nil {
		return Toolchain{}, fmt.Errorf("%s version: %w", cli, err)
	}
	if version := strings.TrimPrefix(strings.TrimSpace(string(output)), "v"); !atLeast(version, OldestCLI) {
		return Toolchain{}, fmt.Errorf("%s has version %q, want %s or newer", cli, version, OldestCLI)
	}
	t := Toolchain{CLI: cli, BinDir: filepath.Dir(cli), PulumiHome: home}
	if _, err := exec.LookPath("pulumi-language-go"); err != nil {
		if _, err := os.Stat(filepath.Join(t.BinDir, "pulumi-language-go")); err != nil {
			return Toolchain{}, fmt.Errorf("there is no pulumi-language-go on PATH or in %s", t.BinDir)
		}
	}
	var problems []error
	for _, p := range Plugins() {
		problems = append(problems, t.download(ctx, p, log))
	}
	return t, errors.Join(problems...)
}

// download makes the CLI install a plugin into the toolchain's home, unless it is there.
func (t Toolchain) download(ctx context.Context, p Plugin, log io.Writer) error {
	if _, err := os.Stat(filepath.Join(pluginDir(t.PulumiHome, p), p.binary())); err == nil {
		return nil
	}
	fmt.Fprintf(log, "installing plugin %s %s\n", p.Name, p.Version)
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, t.CLI, "plugin", "install", "resource", p.Name, "v"+p.Version)
	cmd.Env = append(os.Environ(), "PULUMI_HOME="+t.PulumiHome)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("plugin %s %s cannot be installed: %w: %s", p.Name, p.Version, err, tail(string(out), 3))
	}
	return nil
}

// atLeast compares versions of three numbers. What follows a dash or a plus is left out of
// the comparison: the binaries that the sandbox builds itself carry no release number.
func atLeast(version, oldest string) bool {
	have, ok := numbers(version)
	if !ok {
		return false
	}
	want, _ := numbers(oldest)
	for i := range want {
		if have[i] != want[i] {
			return have[i] > want[i]
		}
	}
	return true
}

func numbers(version string) ([3]int, bool) {
	var out [3]int
	version, _, _ = strings.Cut(version, "-")
	version, _, _ = strings.Cut(version, "+")
	parts := strings.Split(version, ".")
	if len(parts) != len(out) {
		return out, false
	}
	for i, part := range parts {
		n, err := strconv.Atoi(part)
		if err != nil {
			return out, false
		}
		out[i] = n
	}
	return out, true
}
