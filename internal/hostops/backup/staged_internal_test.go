package backup

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prekzursil/momentstudio-infra/internal/hostops/filetest"
	"github.com/prekzursil/momentstudio-infra/internal/hostops/fsutil"
	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
)

// rewrite writes into a file as the application's libraries do: without a new name.
func rewrite(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestWhatIsWrittenIntoIsAFileOfItsOwn(t *testing.T) {
	live := t.TempDir()
	s := &staged{dir: t.TempDir()}
	for _, part := range hostspec.MediaParts {
		root := filepath.Join(live, part)
		if err := os.MkdirAll(root, 0o700); err != nil {
			t.Fatal(err)
		}
		rewrite(t, filepath.Join(root, "same"), "same")
		rewrite(t, filepath.Join(root, "variant.jpg"), "old")
		//nolint:gosec // the mode is what is tested
		if err := os.Chmod(filepath.Join(root, "variant.jpg"), 0o640); err != nil {
			t.Fatal(err)
		}
		if err := linkTree(root, filepath.Join(s.dir, part)); err != nil {
			t.Fatal(err)
		}
	}
	m := hostspec.Manifest{Files: map[string]hostspec.FileTree{}}
	if changed, err := s.measure(&m); err != nil || changed {
		t.Fatalf("changed %v, %v", changed, err)
	}
	if changed, err := s.measure(&m); err != nil || changed {
		t.Fatalf("nothing changed: %v, %v", changed, err)
	}
	first := m.Files[hostspec.UploadsPart]

	rewrite(t, filepath.Join(live, hostspec.UploadsPart, "variant.jpg"), "new") // as long as before
	if changed, err := s.measure(&m); err != nil || !changed {
		t.Fatalf("changed %v, %v", changed, err)
	}
	second := m.Files[hostspec.UploadsPart]
	if second == first || second.Files != 2 || second.Bytes != first.Bytes {
		t.Errorf("the manifest has %+v, had %+v", second, first)
	}
	if have, err := fsutil.MeasureTree(filepath.Join(s.dir, hostspec.UploadsPart)); err != nil || have != second {
		t.Errorf("staged is %+v, the manifest has %+v: %v", have, second, err)
	}
	var written hostspec.Manifest
	if err := fsutil.ReadJSON(filepath.Join(s.dir, "manifest.json"),
		&written); err != nil || written.Files[hostspec.UploadsPart] != second {
		t.Errorf("on the disk is %+v: %v", written.Files, err)
	}
	if info, err := os.Stat(filepath.Join(s.dir, hostspec.UploadsPart,
		"variant.jpg")); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("the copy's mode: %v, %v", info, err)
	}
	// From now on nobody else has it.
	rewrite(t, filepath.Join(live, hostspec.UploadsPart, "variant.jpg"), "newer")
	if changed, err := s.measure(&m); err != nil || changed || m.Files[hostspec.UploadsPart] != second {
		t.Errorf("changed %v, %+v, %v", changed, m.Files[hostspec.UploadsPart], err)
	}
}

func TestALinkedTreeHoldsWhatWasThere(t *testing.T) {
	from := filetest.Tree(t, map[string]string{"a.png": "a", "originals/1/b.png": "bb", "variants/1/b.jpg": "v"})
	if err := os.Chmod(filepath.Join(from, "originals"), 0o711); err != nil { //nolint:gosec // the mode is what is tested
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(from, "link")); err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(t.TempDir(), "uploads")
	if err := linkTree(from, to); err != nil {
		t.Fatal(err)
	}
	first, err := fsutil.MeasureTree(to)
	if err != nil || first.Files != 3 || first.Bytes != 4 {
		t.Fatalf("got %+v, %v", first, err)
	}
	if info, err := os.Stat(filepath.Join(to, "originals")); err != nil || info.Mode().Perm() != 0o711 {
		t.Errorf("the directory's mode is lost: %v, %v", info, err)
	}
	// The application replaces and removes files while the backup is made: the copy keeps what it saw,
	// and a second look adds what came from the other directory meanwhile.
	if err := os.Remove(filepath.Join(from, "a.png")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(from, "c.png"), []byte("c"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := linkTree(from, to); err != nil {
		t.Fatal(err)
	}
	second, err := fsutil.MeasureTree(to)
	if err != nil || second.Files != 4 || second.SHA256 == first.SHA256 {
		t.Errorf("after the second look: %+v, %v", second, err)
	}
	if text, err := os.ReadFile(filepath.Join(to, "a.png")); err != nil || string(text) != "a" {
		t.Errorf("what was removed meanwhile is lost: %q, %v", text, err)
	}
	if err := linkTree(filepath.Join(from, "gone"), to); err != nil {
		t.Errorf("a directory that vanished: %v", err)
	}
}

func TestAFailedBackupNeverMovesTheTime(t *testing.T) {
	root := t.TempDir()
	at := func(hour int) time.Time { return time.Date(2026, 11, 25, hour, 0, 0, 0, time.UTC) }
	last := func() string {
		text, _ := os.ReadFile(root + hostspec.LastBackupFile)
		return string(text)
	}
	for _, run := range []struct {
		run  hostspec.BackupRun
		want string
	}{
		{hostspec.BackupRun{ID: "0", Started: at(1), Error: "no destination"}, ""},
		{hostspec.BackupRun{ID: "1", Started: at(2)}, "2026-11-25T02:00:00Z\n"},
		{hostspec.BackupRun{ID: "2", Started: at(3), Error: "disk full"}, "2026-11-25T02:00:00Z\n"},
		{hostspec.BackupRun{ID: "3", Started: at(4)}, "2026-11-25T04:00:00Z\n"},
	} {
		if err := recordRun(root, run.run); err != nil {
			t.Fatal(err)
		}
		if got := last(); got != run.want {
			t.Errorf("after run %s: %q, want %q", run.run.ID, got, run.want)
		}
		state, err := ReadState(root + hostspec.BackupStatus)
		if err != nil || state.Last.ID != run.run.ID || (state.Verified != nil) != (run.want != "") ||
			state.Verified != nil && state.Verified.Error != "" {
			t.Errorf("after run %s: %+v, %v", run.run.ID, state, err)
		}
	}
}

func TestABrokenSpecificationIsNotQuoted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "backup.json")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, text := range []string{`{"password": "canary`, `{"password": "canary", "destinations": []}`, `{}`} {
		write(text)
		if _, err := ReadSpec(path); err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v", text, err)
		}
	}
	//nolint:gosec // made up
	good, err := json.Marshal(hostspec.Backup{Password: "p", Destinations: []hostspec.Destination{{
		Name:       "local",
		Repository: "/x",
	}}})
	if err != nil {
		t.Fatal(err)
	}
	write(string(good))
	if spec, err := ReadSpec(path); err != nil || spec.Destinations[0].Name != "local" {
		t.Errorf("got %+v, %v", spec, err)
	}
}
