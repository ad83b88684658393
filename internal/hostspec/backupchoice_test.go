package hostspec

import (
	"strings"
	"testing"
	"time"
)

func TestABackupIsChosenByLatestByIDOrByTime(t *testing.T) {
	for text, want := range map[string]BackupChoice{
		"latest":                    {Latest: true},
		"20261125T043000Z":          {ID: "20261125T043000Z"},
		"2026-11-25T04:30Z":         {Until: time.Date(2026, 11, 25, 4, 30, 0, 0, time.UTC)},
		"2026-11-25 04:30":          {Until: time.Date(2026, 11, 25, 4, 30, 0, 0, time.UTC)},
		"2026-11-25T06:30:00+02:00": {Until: time.Date(2026, 11, 25, 4, 30, 0, 0, time.UTC)},
		"2026-11-25":                {Until: time.Date(2026, 11, 25, 23, 59, 59, 0, time.UTC)},
	} {
		if got, err := ParseBackupChoice(text); err != nil || got != want {
			t.Errorf("%s: got %+v (%v), want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "nonsense", "Latest", "20261125", "2026-13-01", "2026-11-25T04:30", "yesterday"} {
		got, err := ParseBackupChoice(text)
		if err == nil {
			t.Errorf("%q chooses %+v", text, got)
		} else if !strings.Contains(err.Error(), "Fix: use an ID such as") {
			t.Errorf("%q: the error names no fix: %v", text, err)
		}
	}
}
