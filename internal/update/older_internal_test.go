package update

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/prekzursil/momentstudio-infra/internal/engine"
	"github.com/prekzursil/momentstudio-infra/internal/engine/enginetest"
)

func TestTheCommitOfTheLastUpdate(t *testing.T) {
	entry := func(kind, result, commit string) engine.Entry {
		return engine.Entry{Kind: kind, Result: result, Commit: commit}
	}
	for _, c := range []struct {
		name    string
		history []engine.Entry
		want    string
	}{
		{"the newest", []engine.Entry{entry("update", "succeeded", "b"), entry("update", "succeeded", "a")}, "b"},
		{
			"one that failed may have migrated",
			[]engine.Entry{entry("update", "failed", "b"), entry("update", "succeeded", "a")},
			"b",
		},
		{
			"others change no release",
			[]engine.Entry{entry("refresh", "succeeded", "c"), entry("update", "succeeded", "a")},
			"a",
		},
		{"one outside git", []engine.Entry{entry("update", "succeeded", ""), entry("update", "succeeded", "a")}, "a"},
		{"a new stack", nil, ""},
	} {
		if got := lastCommit(c.history); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

func TestAnOlderCommitIsRefused(t *testing.T) {
	p := &enginetest.Programs{}
	c, out := enginetest.NewStack(t, p, "prod", "config: {}\n")
	git := func(args ...string) string {
		t.Helper()
		args = append([]string{"-c", "user.name=t", "-c", "user.email=t@t"}, args...)
		cmd := exec.CommandContext(t.Context(), "git", args...) //nolint:gosec // the test's own
		cmd.Dir = c.Root
		text, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("git %q: %v\n%s", args, err, text)
		}
		return strings.TrimSpace(string(text))
	}
	commit := func(message string) string {
		git("commit", "-q", "--allow-empty", "-m", message)
		return git("rev-parse", "HEAD")
	}
	git("init", "-q", "-b", "main")
	first := commit("1")
	second := commit("2")
	git("checkout", "-q", "-b", "side", first)
	side := commit("3")
	for _, test := range []struct{ name, last, at, want string }{
		{"the same commit", second, second, ""},
		{"a newer one", first, second, ""},
		{"an older one", second, first, "would take the stack back"},
		{"one of another branch", side, second, "would take the stack back"},
		{"one that this clone lacks", strings.Repeat("0", 40), second, "git cannot tell"},
		{"no commit", "", first, ""},
	} {
		git("checkout", "-q", test.at)
		p.History = fmt.Sprintf(`[{"kind":"update","environment":{"git.head":%q}}]`, test.last)
		err := refuseOlder(t.Context(), c)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q\n%s", test.name, err, test.want, out)
		}
		if err != nil && !strings.Contains(err.Error(), "Fix: ") {
			t.Errorf("%s: the error has no way out: %v", test.name, err)
		}
	}
}
