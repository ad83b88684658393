package repocheck

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/semver"

	"github.com/prekzursil/momentstudio-infra/internal/engine"
)

// The version of the Pulumi CLI has one home, .pulumi.version, and so has the lowest one that studio accepts. What
// cannot read them is compared with them.
func TestEveryMentionOfThePulumiCLIAgrees(t *testing.T) {
	pinned := strings.TrimSuffix(string(read(t, ".pulumi.version")), "\n")
	if !semver.IsValid("v"+pinned) || semver.Compare("v"+pinned, "v"+engine.OldestCLI) < 0 {
		t.Errorf(".pulumi.version holds %q, want a version of at least %s", pinned, engine.OldestCLI)
	}
	// The sandbox is a module of its own: it cannot read either.
	for _, c := range []struct{ file, pattern, want string }{
		{"sandbox/engine/cli/go.mod", `github\.com/pulumi/pulumi/pkg/v3 v(\S+)`, pinned},
		{"sandbox/toolchain/machine.go", `const OldestCLI = "(.*)"`, engine.OldestCLI},
	} {
		got := regexp.MustCompile(c.pattern).FindStringSubmatch(string(read(t, c.file)))
		if got == nil || got[1] != c.want {
			t.Errorf("%s: got %q, want %s", c.file, got, c.want)
		}
	}

	version := regexp.MustCompile(`\b3\.[0-9]{3}(?:\.[0-9]+)?\b`)
	oldest := 0
	for _, name := range files(t, "README.md", "CONTRIBUTING.md", "docs", ".github") {
		if strings.HasPrefix(name, "docs/adr/") {
			continue // a decision keeps the versions of its day
		}
		for _, got := range version.FindAllString(string(read(t, name)), -1) {
			if !slices.Contains([]string{pinned, engine.OldestCLI}, got) {
				t.Errorf("%s names version %s of the Pulumi CLI; want %s, which studio accepts, or %s, which CI installs",
					name, got, engine.OldestCLI, pinned)
			}
			if got == engine.OldestCLI {
				oldest++
			}
		}
	}
	if oldest < 2 {
		t.Errorf("%d mentions of version %s were found: the check saw nothing", oldest, engine.OldestCLI)
	}
}
