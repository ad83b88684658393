package repocheck

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// The step that tells of a failure runs as the workflow has it: in a new issue, and then in a comment on that one.
func TestTell(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ workflow, job, file, text, told string }{
		{"drift", "drift", "drift.txt", "one finding\nanother\n", "    one finding\n    another\n"},
		{"drill", "drill", "report/report.md", "| a | report |\n", "| a | report |\n"},
		{"drill", "drill", "", "", ""},
	} {
		dir := t.TempDir()
		calls, open, body := filepath.Join(dir, "calls"), filepath.Join(dir, "open"), filepath.Join(dir, "told")
		gh := "#!/bin/sh\necho \"$*\" >> " + calls + "\n[ \"$2\" != list ] || { cat " + open +
			"; exit; }\nwhile [ $# -gt 1 ]; do [ \"$1\" != --body-file ] || cat \"$2\" > " + body + "; shift; done\n"
		for path, text := range map[string]string{"bin/gh": gh, "open": "", c.file: c.text} {
			if path == "" {
				continue
			}
			path = filepath.Join(dir, path)
			if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o700); err != nil { //nolint:gosec // one of them is a program
				t.Fatal(err)
			}
		}
		if err := os.Symlink(filepath.Join(root, "scripts"), filepath.Join(dir, "scripts")); err != nil {
			t.Fatal(err)
		}
		for _, number := range []string{"", "12"} {
			if err := os.WriteFile(open, []byte(number), 0o600); err != nil {
				t.Fatal(err)
			}
			_ = os.Remove(calls)
			cmd := exec.Command("bash", "-e", "-c", stepOf(t, c.workflow, c.job, "Tell")) //nolint:gosec // the workflow's own
			cmd.Dir = dir
			cmd.Env = append(os.Environ(), "PATH="+filepath.Join(dir, "bin")+":"+os.Getenv("PATH"),
				"GITHUB_REPOSITORY=owner/infra", "STACK=prod", "RUN=https://run")
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%s: %v\n%s", c.workflow, err, out)
			}
			asked, _ := os.ReadFile(calls)
			want := "issue create --repo owner/infra --title "
			if number != "" {
				want = "issue comment 12 --repo owner/infra "
			}
			if !strings.Contains(string(asked), want) {
				t.Errorf("%s, open issue %q: gh is asked for\n%s", c.workflow, number, asked)
			}
			told, _ := os.ReadFile(body)
			if string(told) != "https://run\n\n"+c.told {
				t.Errorf("%s tells %q", c.workflow, told)
			}
		}
	}
}

// stepOf is the script of a workflow's step.
func stepOf(t *testing.T, workflow, job, step string) string {
	t.Helper()
	var file struct {
		Jobs map[string]struct {
			Steps []struct{ Name, Run string } `yaml:"steps"`
		} `yaml:"jobs"`
	}
	if err := yaml.Unmarshal(read(t, ".github/workflows/"+workflow+".yml"), &file); err != nil {
		t.Fatal(err)
	}
	for _, s := range file.Jobs[job].Steps {
		if s.Name == step {
			return s.Run
		}
	}
	t.Fatalf("%s, %s has no step %s", workflow, job, step)
	return ""
}
