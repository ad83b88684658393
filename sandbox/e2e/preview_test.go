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

// desk is an operator's machine with a clone and no account.
type desk struct {
	root, cli, studio string
	env               []string
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	root := clone(t)
	s, err := runner.FromEnvironment(root)
	if err != nil {
		t.Fatal(err)
	}
	s.CLI = runner.BuiltPulumi
	tools, err := s.Tools(t.Context(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	d := &desk{root: root, cli: tools.CLI, studio: filepath.Join(t.TempDir(), "studio")}
	d.env = append(tools.Env(os.Environ()), "PULUMI_BACKEND_URL=file://"+t.TempDir(),
		"PULUMI_CONFIG_PASSPHRASE=placeholder",
		"HCLOUD_TOKEN="+strings.Repeat("0", 64), "CLOUDFLARE_API_TOKEN="+strings.Repeat("0", 40),
		// Whoever is dialled here is nobody: the test fails instead of reaching a cloud.
		"HTTPS_PROXY=http://127.0.0.1:9", "HTTP_PROXY=http://127.0.0.1:9", "GOFLAGS=-mod=mod", "GOPROXY=off")
	program := filepath.Join(t.TempDir(), "program")
	d.run(t, "go", "build", "-o", d.studio, "./cmd/studio")
	d.run(t, "go", "build", "-o", program, ".")
	useBuiltProgram(t, s, program)
	return d
}

func (d *desk) run(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir, cmd.Env = d.root, d.env
	var errOut strings.Builder
	cmd.Stderr = &errOut
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s\n%s", name, strings.Join(args, " "), err, tail(string(out), 30), tail(errOut.String(), 30))
	}
	return string(out)
}

// The files of the hand-made deployment, with every setting of the shop, become a stack that previews.
func TestImportedSettingsPreview(t *testing.T) {
	d := newDesk(t)
	d.run(t, d.cli, "stack", "init", "prod", "--secrets-provider", "passphrase", "--non-interactive")
	for key, value := range map[string]string{ // of the destination of backups, which the hand-made deployment lacks
		"backupS3AccessKey": "id", "backupS3SecretKey": "key", "backupWebhook": "https://told.example/x",
	} {
		d.run(t, d.cli, "config", "set", "--secret", "momentstudio:"+key, value, "--stack", "prod", "--non-interactive")
	}
	from := filepath.Join(d.root, "internal", "importenv", "testdata")
	file := filepath.Join(d.root, "Pulumi.prod.yaml")
	out := d.run(t, d.studio, "import-env", "--stack", "prod", "--backend", filepath.Join(from, "backend.env"),
		"--frontend", filepath.Join(from, "frontend.env"), "--infra", filepath.Join(from, "infra.env"))
	if !strings.Contains(out, "which is complete") {
		t.Errorf("the import ends with\n%s", tail(out, 12))
	}
	written, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	previewed := d.run(t, d.cli, "preview", "--stack", "prod", "--diff", "--non-interactive")
	names := 0
	for _, name := range []string{"backend.env", "frontend.env", "infra.env"} {
		text, err := os.ReadFile(filepath.Join(from, name))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			key, value, ok := strings.Cut(strings.TrimSpace(line), "=")
			if !ok || strings.HasPrefix(line, "#") {
				continue
			}
			names++
			if !regexp.MustCompile(`(?m)^` + strings.TrimSuffix(name, ".env") + ` +` + key +
				` +(set|secret|default|dropped)`).MatchString(out) {
				t.Errorf("%s's %s was lost in silence", name, key)
			}
			if !regexp.MustCompile(`(SECRET|PASSWORD|TOKEN|API_KEY)`).MatchString(key) || value == "" {
				continue
			}
			for where, text := range map[string]string{
				"the terminal": out, "the stack's file": string(written),
				"the preview": previewed,
			} {
				if len(value) > 8 && strings.Contains(text, value) {
					t.Errorf("%s shows the value of %s", where, key)
				}
			}
		}
	}
	if !strings.Contains(out, strconv.Itoa(names)+" names:") || names < 250 {
		t.Errorf("the files hold %d names; the import says\n%s", names, tail(out, 3))
	}
	if !strings.Contains(string(written), "# Production.") {
		t.Error("the stack file's own comments are gone")
	}
}

// A pull request from a stranger is previewed with no account, no host and no secret.
func TestPreviewsOfPublicStacksNeedNoAccount(t *testing.T) {
	d := newDesk(t)
	for _, stack := range []string{"prod", "staging"} {
		t.Run(stack, func(t *testing.T) {
			copied := filepath.Join(t.TempDir(), "Pulumi."+stack+".yaml")
			d.run(t, d.cli, "stack", "init", stack, "--secrets-provider", "passphrase", "--non-interactive")
			d.run(t, d.studio, "placeholders", "--stack", stack, "--to", copied)
			// Not --json: this CLI panics on secrets that are still unknown, as they are in a new stack.
			out := d.run(t, d.cli, "preview", "--stack", stack, "--config-file", copied, "--diff", "--non-interactive")
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
			cmd := exec.CommandContext(t.Context(), d.cli, "up", "--yes", "--skip-preview", "--stack", stack, "--config-file",
				copied, "--non-interactive")
			cmd.Dir, cmd.Env = d.root, d.env
			refused, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(refused), "placeholders serve previews only") {
				t.Errorf("an update with placeholders is not refused: %v\n%s", err, tail(string(refused), 20))
			}
		})
	}
}
