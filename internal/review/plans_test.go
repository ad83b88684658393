package review_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prekzursil/momentstudio-infra/internal/review"
)

var update = flag.Bool("update", false, "rewrite testdata/verdicts.golden")

const refused = "refused by the preview"

// wanted is what each recorded plan has to be judged as, decided by hand from what the edit does
// (sandbox/e2e/plans_test.go): its worst risk, and the exit code.
var wanted = map[string]struct {
	risk review.Risk
	code int
}{
	"nothing":                      {review.None, 0},
	"backend-release":              {review.Restart, 0},
	"frontend-release":             {review.Restart, 0},
	"whole-release":                {review.Restart, 0},
	"release-name":                 {review.Restart, 0},
	"ops-image":                    {review.None, 0},
	"edge-image":                   {review.Interruption, 0},
	"postgres-image":               {review.Interruption, 21},
	"redis-image":                  {review.Interruption, 0},
	"edge-body-size":               {review.None, 0},
	"edge-rate-limits":             {review.None, 0},
	"volume-grows":                 {review.None, 0},
	"volume-shrinks":               {review.Irreversible, 22},
	"server-type":                  {review.Interruption, 0},
	"host-generation":              {review.DataAtRisk, 21},
	"ssh-from-elsewhere":           {review.Security, 21},
	"ssh-from-everywhere":          {review.Security, 23},
	"private-network":              {review.Interruption, 21},
	"prune-time":                   {review.None, 0},
	"reboot-window":                {review.None, 0},
	"backup-time":                  {review.None, 0},
	"backup-destination":           {review.DataAtRisk, 21},
	"no-backups":                   {review.DataAtRisk, 21},
	"another-domain":               {review.Interruption, 21},
	"dns-ttl":                      {review.None, 0},
	"dns-proxied":                  {review.Interruption, 0},
	"turnstile-mode":               {review.Interruption, 21},
	"turnstile-hostnames":          {review.Interruption, 21},
	"no-turnstile":                 {review.DataAtRisk, 21},
	"postgres-connections":         {review.Interruption, 0},
	"postgres-memory":              {review.Interruption, 0},
	"redis-memory":                 {review.Interruption, 0},
	"backend-replicas":             {review.Restart, 0},
	"backend-memory":               {review.Restart, 0},
	"worker-memory":                {review.Restart, 0},
	"frontend-replicas":            {review.Restart, 0},
	"site-name":                    {review.Restart, 0},
	"maintenance":                  {review.Interruption, 0},
	"tokens-rotated":               {review.Restart, 0},
	"superuser-rotated":            {review.Restart, 0},
	"backup-password-rotated":      {review.None, 0},
	"app-key-rotated":              {review.DataAtRisk, 21},
	"protection-on":                {review.None, 0},
	"internal-certificates":        {review.None, 0},
	"postgres-elsewhere":           {review.DataAtRisk, 21},
	"renamed-component":            {review.DataAtRisk, 21},
	"renamed-host":                 {review.Irreversible, 22},
	"renamed-secrets":              {review.Irreversible, 22},
	"another-volume-format":        {review.None, 0}, // the program never changes the format of a volume that is there
	"without-limits":               {review.Interruption, 23},
	"another-owner-of-the-address": {review.Irreversible, 22},
}

// TestRecordedPlans judges the plans of real previews, recorded in the sandbox by `make plans`.
func TestRecordedPlans(t *testing.T) {
	files, err := filepath.Glob("testdata/plans/*.json")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 40 || len(files) != len(wanted) {
		t.Errorf("%d plans are recorded, and %d are expected: want 40 or more, and each", len(files), len(wanted))
	}
	var golden strings.Builder
	for _, path := range files {
		name := strings.TrimSuffix(filepath.Base(path), ".json")
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		r, err := review.New(text, review.Subject{Stack: "sandbox", Now: now})
		want, known := wanted[name]
		if !known {
			t.Errorf("nobody said how %s is to be judged", name)
		}
		if err != nil {
			fmt.Fprintf(&golden, "%s: %s\n  %s\n", name, refused, strings.ReplaceAll(strings.TrimSpace(err.Error()), "\n",
				"\n  "))
			if want.code != 1 {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if r.Risk != want.risk || r.Code() != want.code {
			t.Errorf("%s: risk %q and code %d, want %q and %d", name, r.Risk, r.Code(), want.risk, want.code)
		}
		fmt.Fprintf(&golden, "%s: %s\n", name, r.Verdict())
		for _, v := range r.Violations {
			fmt.Fprintf(&golden, "  policy: %s: %s\n", v.Name, v.What)
		}
		for _, c := range r.Changes {
			if c.Risk > review.None {
				fmt.Fprintf(&golden, "  %s %s [%s]: %s\n", c.Op, c.Name, c.Risk, c.Why)
			}
		}
	}
	const file = "testdata/verdicts.golden"
	if *update {
		if err := os.WriteFile(file, []byte(golden.String()), 0o644); err != nil { //nolint:gosec // a golden file is public
			t.Fatal(err)
		}
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != golden.String() {
		t.Errorf("%s is stale; `go test ./internal/review -update` rewrites it, then read its diff (%v)", file, err)
	}
}

// The engine's events, one a line, hold what the document holds.
func TestEventsAreReadAsTheDocumentIs(t *testing.T) {
	for _, name := range []string{"whole-release", "no-turnstile", "host-generation"} {
		document, err := os.ReadFile("testdata/plans/" + name + ".json")
		if err != nil {
			t.Fatal(err)
		}
		var plan struct {
			Steps []map[string]any `json:"steps"`
		}
		if err := json.Unmarshal(document, &plan); err != nil {
			t.Fatal(err)
		}
		events := []map[string]any{
			{"sequence": 0, "timestamp": 1, "preludeEvent": map[string]any{"config": nil}},
			{"sequence": 1, "timestamp": 1, "diagnosticEvent": map[string]any{
				"prefix": "warning: ", "message": "x",
				"severity": "warning",
			}},
		}
		for _, s := range plan.Steps {
			events = append(events, map[string]any{"timestamp": 1, "resourcePreEvent": map[string]any{"metadata": map[string]any{
				"op": s["op"], "urn": s["urn"], "old": wrapped(s["oldState"]), "new": wrapped(s["newState"]),
				"keys": s["replaceReasons"], "diffs": s["diffReasons"], "detailedDiff": s["detailedDiff"],
			}}})
		}
		events = append(events, map[string]any{"timestamp": 1, "summaryEvent": map[string]any{}})
		var lines bytes.Buffer
		lines.WriteString("warning: a new version\n")
		for _, e := range events {
			if err := json.NewEncoder(&lines).Encode(e); err != nil {
				t.Fatal(err)
			}
		}
		subject := review.Subject{Stack: "sandbox", Now: time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC)}
		want, err := review.New(document, subject)
		if err != nil {
			t.Fatal(err)
		}
		got, err := review.New(lines.Bytes(), subject)
		if err != nil || got.Text() != want.Text() || got.Fingerprint != want.Fingerprint {
			t.Errorf("%s: %v, as events\n%s\nas a document\n%s", name, err, got.Text(), want.Text())
		}

		failed := strings.Replace(lines.String(), `"severity":"warning"`, `"severity":"error"`, 1)
		if _, err := review.New([]byte(failed), subject); err == nil || !strings.Contains(err.Error(), "the preview failed") {
			t.Errorf("%s: an error among the events is %v", name, err)
		}
		if _, err := review.New([]byte(lines.String()[:lines.Len()-5]), subject); err == nil {
			t.Errorf("%s: events that are cut off are taken", name)
		}
	}
}

// wrapped words secrets as events do.
func wrapped(v any) any {
	switch v := v.(type) {
	case string:
		if v == "[secret]" {
			return map[string]any{
				"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270",
				"ciphertext":                       "[secret]",
			}
		}
	case map[string]any:
		for key, value := range v {
			v[key] = wrapped(value)
		}
	case []any:
		for i, value := range v {
			v[i] = wrapped(value)
		}
	}
	return v
}
