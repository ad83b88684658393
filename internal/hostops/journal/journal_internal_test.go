package journal

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prekzursil/momentstudio-infra/internal/hostops/fsutil"
	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
)

func TestAHalfSwitchedRestoreIsTold(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.json")
	for _, c := range []struct {
		state *hostspec.RestoreState
		half  bool
	}{{nil, false}, {&hostspec.RestoreState{}, false}, {
		&hostspec.RestoreState{Prepared: true},
		true,
	}, {&hostspec.RestoreState{Prepared: true, Switched: true}, false}} {
		if c.state != nil {
			if err := fsutil.WriteJSON(path, c.state); err != nil {
				t.Fatal(err)
			}
		}
		if err := HalfSwitched(path); errors.Is(err, ErrUnfinished) != c.half {
			t.Errorf("%+v: %v", c.state, err)
		}
	}
}

func TestAJournalIsReadAsItWasWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.json")
	if s, err := Read(path); s != nil || err != nil {
		t.Errorf("without one: %+v, %v", s, err)
	}
	want := hostspec.RestoreState{
		ID: "1", Prepared: true, Target: hostspec.SideBefore, Databases: map[hostspec.RestoreSide]uint32{
			hostspec.SideBefore: 5, hostspec.SideRestored: 6,
		}, Manifest: hostspec.Manifest{Started: time.Unix(1, 0).UTC()},
		Directories: map[string]map[hostspec.RestoreSide]uint64{"uploads": {
			hostspec.SideBefore:   1 << 63,
			hostspec.SideRestored: 2,
		}}, Replicas: map[string]uint64{"a": 1},
	}
	if err := fsutil.WriteJSON(path, want); err != nil {
		t.Fatal(err)
	}
	// The lock of an update looks for these words (internal/studio/lock.go).
	if text, err := os.ReadFile(path); err != nil || !strings.Contains(string(text),
		`"prepared": true`) || !strings.Contains(string(text), `"switched": false`) {
		t.Errorf("the journal is %s, %v", text, err)
	}
	got, err := Read(path)
	if err != nil || got.Databases[hostspec.SideRestored] != 6 ||
		got.Directories["uploads"][hostspec.SideBefore] != 1<<63 || got.Target != hostspec.SideBefore || !got.Prepared ||
		got.Switched {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestTheMarkOfAnUnfinishedCutoverComesAndGoesWithIt(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "restore")
	mark := filepath.Join(dir, filepath.Base(hostspec.RestoreUnfinished))
	for _, c := range []struct {
		name   string
		state  hostspec.RestoreState
		marked bool
	}{
		{"prepared nothing yet", hostspec.RestoreState{Source: "backup 1"}, false},
		{"in its cutover", hostspec.RestoreState{Source: "backup 1", Prepared: true}, true},
		{"complete", hostspec.RestoreState{Source: "backup 1", Prepared: true, Switched: true}, false},
		{"being undone", hostspec.RestoreState{Source: "backup 1", Prepared: true}, true},
		{"given up", hostspec.RestoreState{Source: "backup 1"}, false},
	} {
		if err := save(dir, c.state); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if _, err := os.Stat(mark); (err == nil) != c.marked {
			t.Errorf("%s: the mark exists: %v, want %v", c.name, err == nil, c.marked)
		}
		got, err := Read(filepath.Join(dir, filepath.Base(hostspec.RestoreJournal)))
		if err != nil || got.HalfSwitched() != c.marked {
			t.Errorf("%s: read back %+v, %v", c.name, got, err)
		}
	}
}
