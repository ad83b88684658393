package studio

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/prekzursil/momentstudio-infra/internal/engine/enginetest"
)

func TestTheHistoryNamesWhoChangedWhat(t *testing.T) {
	run := func(kind, result, start, end, commit, dirty, release string) string {
		return fmt.Sprintf(`{"kind":%q,"result":%q,"startTime":"2026-12-01T%s.000Z","endTime":"2026-12-01T%s.000Z",
			"environment":{"git.head":%q,"git.dirty":%q,"git.author":"Ana"},"resourceChanges":{"same":50,"update":2,"create":1},
			"config":{"momentstudio:release":{"value":"{\"name\":\"%s\"}"}}}`, kind, result, start, end, commit, dirty, release)
	}
	newer, older := strings.Repeat("b", 40), strings.Repeat("a", 40)
	p := &enginetest.Programs{History: "[" + strings.Join([]string{
		run("update", "succeeded", "13:00:00", "13:02:30", "", "", older),
		run("refresh", "succeeded", "12:30:00", "12:30:05", newer, "false", newer),
		run("update", "failed", "12:00:00", "12:01:00", newer, "true", newer),
		run("update", "succeeded", "11:00:00", "11:04:00", older, "false", older),
		`{"kind":"import","result":"in-progress","startTime":"2026-12-01T10:00:00.000Z"}`,
	}, ",") + "]"}
	c, out := enginetest.NewStack(t, p, "prod", "config: {}\n")
	if err := History(t.Context(), c, false); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	for i, want := range [][]string{
		{"STARTED", "AUTHOR"},
		{"2026-12-01T13:00:00Z", "2m30s", "update", "succeeded", "aaaaaaaaaaaa (back)", "Ana", "1 create, 2 update"},
		{"refresh", "5s", "bbbbbbbbbbbb "},
		{"failed", "1m0s", "bbbbbbbbbbbb-changed"},
		{"4m0s", "aaaaaaaaaaaa "},
		{"import", "in-progress", "0s", "none"},
	} {
		for _, w := range want {
			if i >= len(lines) || !strings.Contains(lines[i], w) {
				t.Errorf("line %d has no %q in\n%s", i, w, out)
			}
		}
	}
	if strings.Count(out.String(), "(back)") != 1 {
		t.Errorf("one update goes back:\n%s", out)
	}
	out.Reset()
	if err := History(t.Context(), c, true); err != nil {
		t.Fatal(err)
	}
	var runs []HistoryEntry
	if err := json.Unmarshal(out.Bytes(), &runs); err != nil || len(runs) != 5 || !runs[0].Back ||
		runs[0].Seconds != 150 || runs[2].Changes["same"] != 0 || !runs[2].Changed {
		t.Errorf("as JSON: %v\n%s", err, out)
	}
	p.History = "no history"
	if err := History(t.Context(), c, false); err == nil {
		t.Error("something else is read as a history")
	}
	p.History = "[]"
	if err := History(t.Context(), c, false); err != nil {
		t.Errorf("a new stack: %v", err)
	}
}
