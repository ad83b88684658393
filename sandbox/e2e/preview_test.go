package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prekzursil/momentstudio-infra/sandbox/runner"
)

// A pull request from a stranger is previewed with no account, no host and no secret.
func TestPreviewsOfPublicStacksNeedNoAccount(t *testing.T) {
	project, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	root := clone(t, project)
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
	run := func(name string, args ...string) string {
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
	run("go", "build", "-o", studio, "./cmd/studio")
	for _, stack := range []string{"prod", "staging"} {
		t.Run(stack, func(t *testing.T) {
			copied := filepath.Join(t.TempDir(), "Pulumi."+stack+".yaml")
			run(tools.CLI, "stack", "init", stack, "--secrets-provider", "passphrase", "--non-interactive")
			run(studio, "placeholders", "--stack", stack, "--to", copied)
			out := run(tools.CLI, "preview", "--stack", stack, "--config-file", copied, "--json", "--non-interactive")
			var doc struct {
				Steps []step `json:"steps"`
			}
			if err := json.Unmarshal([]byte(out), &doc); err != nil {
				t.Fatal(err)
			}
			if len(doc.Steps) < 45 {
				t.Errorf("the preview has %d steps only", len(doc.Steps))
			}
			for _, s := range doc.Steps {
				if s.Op != "create" {
					t.Errorf("a new stack plans to %s %s", s.Op, s.name())
				}
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
