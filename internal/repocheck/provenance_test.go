package repocheck

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

func TestEachUpdateOfTheWorkflowsChecksWhereItsImagesWereBuilt(t *testing.T) {
	var deploy struct {
		Jobs map[string]struct {
			Permissions map[string]string `yaml:"permissions"`
			Steps       []struct {
				Run string `yaml:"run"`
			} `yaml:"steps"`
		} `yaml:"jobs"`
	}
	if err := yaml.Unmarshal(read(t, ".github/workflows/deploy.yml"), &deploy); err != nil {
		t.Fatal(err)
	}
	updates := 0
	for name, job := range deploy.Jobs {
		checked := false
		for _, s := range job.Steps {
			checked = checked || strings.HasPrefix(s.Run, "scripts/check-provenance.sh ")
			if strings.Contains(s.Run, "bin/studio up ") {
				updates++
				if !checked || job.Permissions["attestations"] != "read" {
					t.Errorf("job %s updates a stack and does not check before where its images were built", name)
				}
			}
		}
	}
	if updates != 2 {
		t.Errorf("%d jobs update a stack, want staging and prod", updates)
	}
}

// The script's own programs are GitHub's; what it asks them is looked at.
func TestTheScriptAsksForTheProvenanceOfBothImages(t *testing.T) {
	dir := t.TempDir()
	const recorder = `#!/bin/sh
cat >/dev/null
echo "$(basename "$0") $*" >>"$ASKED"
! grep -q foreign "$ASKED"
`
	for _, name := range []string{"gh", "docker"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(recorder), 0o700); err != nil { //nolint:gosec // a program
			t.Fatal(err)
		}
	}
	digest := "@sha256:" + strings.Repeat("a", 64)
	const opsFrom, edgeFrom = "ghcr.io/o/r/ops", "ghcr.io/o/r/edge"
	for _, c := range []struct {
		name, ops, edge string
		asked           int
		ok              bool
	}{
		{"both are pinned", opsFrom + digest, edgeFrom + digest, 2, true},
		{"one that GitHub did not attest", "ghcr.io/foreign/ops" + digest, edgeFrom + digest, 1, false},
		{"one by its tag", opsFrom + ":latest", edgeFrom + digest, 0, false},
		{"one is missing", opsFrom + digest, "", 0, false},
	} {
		file, asked := filepath.Join(dir, "Pulumi.x.yaml"), filepath.Join(dir, "asked")
		text := "config:\n  momentstudio:images:\n    ops: " + c.ops + "\n    edge: " + c.edge + "\n"
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_ = os.Remove(asked)
		//nolint:gosec // the repository's own script
		cmd := exec.CommandContext(t.Context(), "bash", "../../scripts/check-provenance.sh", file)
		cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"), "ASKED="+asked, "GH_TOKEN=t", "GITHUB_ACTOR=a",
			"GITHUB_REPOSITORY=o/r")
		out, err := cmd.CombinedOutput()
		said, _ := os.ReadFile(asked)
		if (err == nil) != c.ok || strings.Count(string(said), "gh attestation verify oci://") != c.asked {
			t.Errorf("%s: %v\n%s\nasked\n%s", c.name, err, out, said)
		}
		if c.ok && strings.Count(string(said), "--signer-workflow o/r/.github/workflows/images.yml") != 2 {
			t.Errorf("%s: any workflow may have signed:\n%s", c.name, said)
		}
	}
}
