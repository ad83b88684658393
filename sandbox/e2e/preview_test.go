package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/prekzursil/momentstudio-infra/sandbox/runner"
)

// A pull request from a stranger is previewed with no account, no host and no secret.
func TestPreviewsOfPublicStacksNeedNoAccount(t *testing.T) {
	root := clone(t)
	s, err := runner.FromEnvironment(root)
	if err != nil {
		t.Fatal(err)
	}
	tools, err := s.Tools(t.Context(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	env := append(tools.Env(os.Environ()), "PULUMI_BACKEND_URL=file://"+t.TempDir(), "PULUMI_CONFIG_PASSPHRASE=placeholder",
		"HCLOUD_TOKEN="+strings.Repeat("0", 64), "CLOUDFLARE_API_TOKEN="+strings.Repeat("0", 40),
		// Whoever is dialled here is nobody: the test fails instead of reaching a cloud.
		"HTTPS_PROXY=http://127.0.0.1:9", "HTTP_PROXY=http://127.0.0.1:9", "GOFLAGS=-mod=mod", "GOPROXY=off")
	run := func(t *testing.T, name string, args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), name, args...)
		cmd.Dir, cmd.Env = root, env
		var errOut strings.Builder
		cmd.Stderr = &errOut
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s %s: %v\n%s\n%s", name, strings.Join(args, " "), err, tail(string(out), 30), tail(errOut.String(), 30))
		}
		return string(out)
	}
	studio := filepath.Join(t.TempDir(), "studio")
	run(t, "go", "build", "-o", studio, "./cmd/studio")
	for _, stack := range []string{"prod", "staging"} {
		t.Run(stack, func(t *testing.T) {
			copied := filepath.Join(t.TempDir(), "Pulumi."+stack+".yaml")
			run(t, tools.CLI, "stack", "init", stack, "--secrets-provider", "passphrase", "--non-interactive")
			run(t, studio, "placeholders", "--stack", stack, "--to", copied)
			// Not --json: this CLI panics on secrets that are still unknown, as they are in a new stack.
			out := run(t, tools.CLI, "preview", "--stack", stack, "--config-file", copied, "--diff", "--non-interactive")
			summary := regexp.MustCompile(`\+ (\d+) to create`).FindStringSubmatch(out)
			if len(summary) != 2 {
				t.Fatalf("the preview counts nothing:\n%s", tail(out, 20))
			}
			if n, _ := strconv.Atoi(summary[1]); n < 45 {
				t.Errorf("the preview plans %d resources only", n)
			}
			if regexp.MustCompile(`to (update|delete|replace)`).MatchString(out) {
				t.Errorf("a new stack plans more than creations:\n%s", tail(out, 10))
			}
			if strings.Contains(out, "placeholder-sentryDsn") {
				t.Error("the preview shows a secret")
			}

			// The very same file must not become an update.
			cmd := exec.CommandContext(t.Context(), tools.CLI, "up", "--yes", "--skip-preview", "--stack", stack, "--config-file", copied, "--non-interactive")
			cmd.Dir, cmd.Env = root, env
			refused, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(refused), "placeholders serve previews only") {
				t.Errorf("an update with placeholders is not refused: %v\n%s", err, tail(string(refused), 20))
			}
		})
	}
}
