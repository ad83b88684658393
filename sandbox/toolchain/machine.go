package toolchain

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// OldestCLI is the oldest release of the CLI that is known to run the program.
const OldestCLI = "3.228.0"

// FromMachine returns the machine's own Pulumi instead of a built one: the first pulumi on
// PATH with the plugins of PULUMI_HOME. It reports everything that is missing at once: a CLI
// older than OldestCLI, the language host, each plugin that is not installed in the version
// that the program asks for.
func FromMachine(ctx context.Context) (Toolchain, error) {
	cli, err := exec.LookPath("pulumi")
	if err != nil {
		return Toolchain{}, errors.New("no pulumi on PATH; install it, or let the sandbox build its own")
	}
	var problems []error
	output, err := exec.CommandContext(ctx, cli, "version").Output()
	switch version := strings.TrimPrefix(strings.TrimSpace(string(output)), "v"); {
	case err != nil:
		problems = append(problems, fmt.Errorf("%s version: %w", cli, err))
	case !atLeast(version, OldestCLI):
		problems = append(problems, fmt.Errorf("%s: got version %q, want %s or newer", cli, version, OldestCLI))
	}
	binDir := filepath.Dir(cli)
	if _, err := exec.LookPath("pulumi-language-go"); err != nil {
		if _, err := os.Stat(filepath.Join(binDir, "pulumi-language-go")); err != nil {
			problems = append(problems, fmt.Errorf("no pulumi-language-go on PATH or beside %s", cli))
		}
	}
	home, err := machineHome()
	if err != nil {
		return Toolchain{}, err
	}
	for _, p := range Plugins() {
		if _, err := os.Stat(filepath.Join(pluginDir(home, p), p.binary())); err != nil {
			problems = append(problems, fmt.Errorf("plugin %s %s is not in %s; run: pulumi plugin install resource %s v%s",
				p.Name, p.Version, home, p.Name, p.Version))
		}
	}
	if len(problems) > 0 {
		return Toolchain{}, fmt.Errorf("the machine's own Pulumi cannot run the sandbox:\n%w", errors.Join(problems...))
	}
	return Toolchain{CLI: cli, BinDir: binDir, PulumiHome: home}, nil
}

func machineHome() (string, error) {
	if home := os.Getenv("PULUMI_HOME"); home != "" {
		return home, nil
	}
	user, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("find PULUMI_HOME: %w", err)
	}
	return filepath.Join(user, ".pulumi"), nil
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
