package repocheck_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A proposal is made once, also when one with the same content was closed before.
func TestPropose(t *testing.T) {
	dir := t.TempDir()
	calls := filepath.Join(dir, "calls")
	gh := "#!/bin/sh\necho \"$1 $2\" >> " + calls + "\n[ \"$2\" != list ] || cat " + filepath.Join(dir, "open") + "\n"
	write := func(path, text string, mode os.FileMode) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(dir, "bin", "gh"), gh, 0o700)
	clone := filepath.Join(dir, "clone")
	run := func(name string, args ...string) string {
		t.Helper()
		cmd := exec.Command(name, args...) //nolint:gosec // the test's own commands
		cmd.Dir = clone
		cmd.Env = append(os.Environ(), "PATH="+filepath.Join(dir, "bin")+":"+os.Getenv("PATH"), "HOME="+dir,
			"GIT_CONFIG_NOSYSTEM=1")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	if err := os.MkdirAll(clone, 0o750); err != nil {
		t.Fatal(err)
	}
	run("git", "init", "-q", "--bare", "-b", "main", filepath.Join(dir, "remote"))
	run("git", "init", "-q", "-b", "main")
	run("git", "config", "user.email", "test@example.com")
	run("git", "config", "user.name", "test")
	run("git", "remote", "add", "origin", filepath.Join(dir, "remote"))
	write(filepath.Join(clone, "a.yaml"), "old\n", 0o600)
	run("git", "add", "a.yaml")
	run("git", "commit", "-q", "-m", "first")

	script, err := filepath.Abs("../../scripts/propose.sh")
	if err != nil {
		t.Fatal(err)
	}
	propose := func(open, want string, wantCalls ...string) {
		t.Helper()
		write(filepath.Join(dir, "open"), open+"\n", 0o600)
		_ = os.Remove(calls)
		if out := run(script, "raise it", "a.yaml"); !strings.Contains(out, want) {
			t.Errorf("it says %q, want %q", out, want)
		}
		text, _ := os.ReadFile(calls)
		if got := strings.Fields(strings.ReplaceAll(string(text), "pr ", "")); strings.Join(got,
			" ") != strings.Join(wantCalls, " ") {
			t.Errorf("gh is asked for %q, want %q", got, wantCalls)
		}
	}
	propose("0", "nothing to propose")
	write(filepath.Join(clone, "a.yaml"), "new\n", 0o600)
	propose("0", "", "list", "create")
	branch := strings.TrimSpace(run("git", "branch", "--show-current"))
	if got := run("git", "ls-remote", "origin", branch); !strings.HasPrefix(branch, "propose/") || got == "" {
		t.Errorf("branch %q is not pushed: %q", branch, got)
	}
	again := func() {
		t.Helper()
		run("git", "switch", "-q", "main")
		run("sh", "-c", "git branch -q -D "+branch+" || true") // an open proposal made none
		write(filepath.Join(clone, "a.yaml"), "new\n", 0o600)
	}
	again()
	propose("1", "is proposed already", "list")
	again()
	propose("0", "", "list", "create")
}
