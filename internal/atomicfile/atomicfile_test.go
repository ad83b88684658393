package atomicfile_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prekzursil/momentstudio-infra/internal/atomicfile"
)

// only fails unless the directory holds the named files and no other.
func only(t *testing.T, dir string, names ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, e := range entries {
		found = append(found, e.Name())
	}
	if got, want := strings.Join(found, " "), strings.Join(names, " "); got != want {
		t.Errorf("the directory holds %q, want %q", got, want)
	}
}

func content(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestAFileHasItsAttributesWhenItHasItsName(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	modified := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	a := atomicfile.Attributes{
		Mode: 0o440, Modified: modified, Owner: &atomicfile.Owner{UID: os.Getuid(), GID: os.Getgid()},
	}
	for _, text := range []string{"old", "new"} { // the second replaces a file that may not be written to
		if err := atomicfile.Write(path, []byte(text), a); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := content(t, path); got != text || info.Mode().Perm() != 0o440 || !info.ModTime().Equal(modified) {
			t.Errorf("got %q with mode %o of %s, want %q with 440 of %s",
				got, info.Mode().Perm(), info.ModTime(), text, modified)
		}
	}
	only(t, dir, "file")
}

func TestAnInterruptedWriteLeavesTheOldFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	if err := atomicfile.Write(path, []byte("old"), atomicfile.Attributes{Mode: 0o600}); err != nil {
		t.Fatal(err)
	}
	failure := errors.New("the source ended")
	half := io.MultiReader(strings.NewReader("ne"), failing{failure})
	if err := atomicfile.Copy(path, half, atomicfile.Attributes{Mode: 0o600}); !errors.Is(err, failure) {
		t.Errorf("got %v, want the source's error", err)
	}
	if got := content(t, path); got != "old" {
		t.Errorf("the file holds %q, want the old content", got)
	}
	only(t, dir, "file")
}

func TestAPartialFileIsPublishedWithItsMode(t *testing.T) {
	dir := t.TempDir()
	partial, path := filepath.Join(dir, "dump.partial"), filepath.Join(dir, "dump")
	if err := os.WriteFile(partial, []byte("whole"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := atomicfile.Publish(partial, path, 0o640); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := content(t, path); got != "whole" || info.Mode().Perm() != 0o640 {
		t.Errorf("got %q with mode %o, want \"whole\" with 640", got, info.Mode().Perm())
	}
	only(t, dir, "dump")
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }
