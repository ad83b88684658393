package docker

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestTheOutputOfAFailedTaskStaysOnTheHost(t *testing.T) {
	dir := t.TempDir()
	dump := filepath.Join(dir, "20200101T000000Z-0158.dump")
	if err := os.WriteFile(dump, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	start := time.Date(2026, 12, 1, 10, 0, 0, 0, time.UTC)
	var said string
	for n := range keptLogs + 3 {
		printed := fmt.Sprintf("KeyError: 'whsec_%d'\nDETAIL: a@b.ro", n)
		said = keepIn(dir, "migration", printed, start.Add(time.Duration(n)*time.Second))
	}
	newest := filepath.Join(dir, "20261201T100012.000Z-migration.log")
	want := "KeyError\n(1 lines are withheld)\nthe whole output is on the host, for root: " + newest
	if said != want {
		t.Errorf("got %q, want %q", said, want)
	}
	text, err := os.ReadFile(newest)
	if err != nil || string(text) != "KeyError: 'whsec_12'\nDETAIL: a@b.ro" {
		t.Errorf("the file holds %q, %v", text, err)
	}
	if info, err := os.Stat(newest); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file is not root's alone: %v, %v", info, err)
	}
	if logs, _ := filepath.Glob(filepath.Join(dir, "*.log")); len(logs) != keptLogs {
		t.Errorf("%d files are kept: %q", len(logs), logs)
	}
	if _, err := os.Stat(dump); err != nil {
		t.Error("a dump went with the old logs")
	}
	said = keepIn(filepath.Join(dump, "no directory"), "migration", "KeyError: 'whsec_1'", start)
	if !strings.HasPrefix(said, "KeyError\nthe whole output could not be kept: ") || strings.Contains(said, "whsec") {
		t.Errorf("without room for the file it says %q", said)
	}
}
