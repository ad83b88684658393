package drill_test

import (
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prekzursil/momentstudio-infra/internal/drill"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const proof = `{
  "source": "backup 20261127T013000Z of destination s3",
  "manifest": {
    "format": 1, "id": "20261127T013000Z", "stack": "prod", "release": "95a6edf0a00ebc1a8af37fdfd198a7dc136a846a",
    "revision": "0159_add_theme_docs", "started": "2026-11-27T01:30:00Z",
    "database": {"bytes": 52428800, "rows": {"public.users": 1200, "public.orders": 3400}},
    "files": {"uploads": {"files": 900, "bytes": 1500000000}, "private_uploads": {"files": 100, "bytes": 2048}}
  },
  "phases": [{"name": "fetch", "seconds": 31.2}],
  "checks": [
    {"name": "every row is there", "result": "passed", "detail": "4600 rows in 2 tables"},
    {
      "name": "staff can use the trash", "result": "not possible",
      "detail": "the backup has nothing to check this with: it has no picture"
    }
  ]
}`

func report(t *testing.T) drill.Report {
	t.Helper()
	p, err := drill.ReadProof([]byte(proof))
	if err != nil {
		t.Fatal(err)
	}
	return drill.Report{
		Stack: "drill-20261127-030000", Began: time.Date(2026, 11, 27, 3, 0, 0, 0,
			time.UTC), Age: 5400, Proof: p, Removed: true,
		Phases: []drill.Phase{
			{Name: "make a host with the shop", Seconds: 190.4},
			{Name: "restore: fetch", Seconds: 31.2},
			{Name: "remove it all", Seconds: 12},
		},
	}
}

func TestTheReportForPeople(t *testing.T) {
	got := report(t).Markdown()
	const golden = "testdata/report.md"
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil { //nolint:gosec // a golden file
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestSuccessIsOnlyWhatIsProvenAndGone(t *testing.T) {
	good := report(t)
	if err := good.Err(); err != nil {
		t.Errorf("a good one: %v", err)
	}
	kept := report(t)
	kept.Removed, kept.Kept = false, time.Date(2026, 11, 27, 9, 0, 0, 0, time.UTC)
	if err := kept.Err(); err != nil || !strings.Contains(kept.Markdown(), "is kept** until 2026-11-27 09:00 UTC") {
		t.Errorf("one that is kept as asked: %v\n%s", err, kept.Markdown())
	}
	for name, c := range map[string]struct {
		spoil func(*drill.Report)
		want  string
	}{
		"a check failed": {
			func(r *drill.Report) { r.Proof.Checks[0].Result = "failed" },
			"not so: every row is there",
		},
		"a result of no kind":   {func(r *drill.Report) { r.Proof.Checks[0].Result = "" }, "not so: every row is there"},
		"it ended early":        {func(r *drill.Report) { r.Error = "exit status 1" }, "exit status 1"},
		"nothing was checked":   {func(r *drill.Report) { r.Proof = nil }, "nothing was checked"},
		"no check at all":       {func(r *drill.Report) { r.Proof.Checks = nil }, "nothing was checked"},
		"something may be left": {func(r *drill.Report) { r.Removed = false }, "may be left"},
	} {
		r := report(t)
		c.spoil(&r)
		if err := r.Err(); err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(r.Markdown(),
			"# The backup is NOT proven\n\n> ") {
			t.Errorf("%s: %v\n%s", name, err, r.Markdown())
		}
	}
}

func TestAnotherStacksBackupAndAnOldOneProveNothing(t *testing.T) {
	for _, c := range []struct {
		name     string
		expected drill.Expected
		began    time.Time
		want     string
	}{
		{
			"as expected",
			drill.Expected{Stack: "prod", MaxAge: 30 * time.Hour},
			time.Date(2026, 11, 27, 3, 0, 0, 0, time.UTC),
			"",
		},
		{"any of any age", drill.Expected{}, time.Date(2027, 11, 27, 3, 0, 0, 0, time.UTC), ""},
		{
			"another stack's",
			drill.Expected{Stack: "staging"},
			time.Date(2026, 11, 27, 3, 0, 0, 0, time.UTC),
			"it is of prod, and staging is drilled",
		},
		{
			"an old one",
			drill.Expected{MaxAge: 30 * time.Hour},
			time.Date(2026, 12, 27, 3, 0, 0, 0, time.UTC),
			"it is 30 d 1 h old",
		},
		{
			"one of tomorrow",
			drill.Expected{MaxAge: 30 * time.Hour},
			time.Date(2026, 11, 26, 3, 0, 0, 0, time.UTC),
			"the backup is not too old",
		},
	} {
		r := report(t)
		r.Began = c.began
		r.Judge(c.expected)
		if err := r.Err(); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestAProofThatIsNoneIsRefused(t *testing.T) {
	for _, text := range []string{"", "{}", `{"checks": []}`, "panic: runtime error"} {
		if p, err := drill.ReadProof([]byte(text)); err == nil {
			t.Errorf("%q: %v", text, p)
		}
	}
}

func TestTimesInWords(t *testing.T) {
	for d, want := range map[time.Duration]string{
		1500 * time.Millisecond: "1.5 s", 90 * time.Second: "1 min 30 s", 3*time.Hour + 5*time.Minute: "3 h 5 min",
		49 * time.Hour: "2 d 1 h",
	} {
		if got := drill.Words(d); got != want {
			t.Errorf("%s is %q, want %q", d, got, want)
		}
	}
}
