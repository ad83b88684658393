package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"golang.org/x/mod/semver"

	"github.com/prekzursil/momentstudio-infra/internal/process"
)

// OldestCLI is the lowest version of the Pulumi CLI that studio runs. Older ones cannot write the state to some
// S3-compatible stores (pulumi#23764, fixed by pulumi#24109).
const OldestCLI = "3.256.0"

// installCLI works in the root of a clone.
const installCLI = `Fix: curl -fsSL https://get.pulumi.com | sh -s -- --version "$(cat .pulumi.version)"`

// CheckCLI returns an error when the pulumi on PATH is missing, is older than OldestCLI or does not print its version.
func CheckCLI(ctx context.Context) error {
	path, err := exec.LookPath("pulumi")
	if errors.Is(err, exec.ErrNotFound) {
		return fmt.Errorf("pulumi is not on PATH; studio needs %s or newer. %s", OldestCLI, installCLI)
	}
	if err != nil {
		return fmt.Errorf("find pulumi: %w", err)
	}
	cmd := exec.CommandContext(ctx, path, "version") //nolint:gosec // the program that every command runs
	cmd.Env = append(os.Environ(), "PULUMI_SKIP_UPDATE_CHECK=true")
	process.InterruptOnce(cmd)
	out, err := cmd.Output()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("%s version: %w; studio needs %s or newer. %s", path, err, OldestCLI, installCLI)
	}
	version := strings.TrimSpace(string(out))
	switch {
	case !semver.IsValid(version):
		return fmt.Errorf("%s version printed %.60q, which is not a version; studio needs %s or newer. %s",
			path, version, OldestCLI, installCLI)
	case semver.Compare(version, "v"+OldestCLI) < 0:
		return fmt.Errorf("%s is %s; studio needs %s or newer. %s", path, version, OldestCLI, installCLI)
	}
	return nil
}
