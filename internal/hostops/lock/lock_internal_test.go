package lock

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestALockIsTakenInTurn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	first, err := Acquire(path, "work", "the first")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Acquire(path, "work", "the second"); !errors.Is(err, ErrHeld) || !strings.Contains(err.Error(),
		"the first") {
		t.Errorf("the second at once: %v", err)
	}
	var out strings.Builder
	time.AfterFunc(100*time.Millisecond, first)
	release, err := AcquireInTurn(t.Context(), path, "work", "the second", &out)
	if err != nil || !strings.Contains(out.String(), "the first") {
		t.Fatalf("in turn: %v, %q", err, out.String())
	}
	release()
}

func TestOneAtATime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	release, err := Acquire(path, "a release", "ana@desk, since noon: a release")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Acquire(path, "a release", "somebody else"); err == nil || !strings.Contains(err.Error(),
		"ana@desk, since noon: a release") {
		t.Errorf("the second does not learn who is at it: %v", err)
	}
	release()
	release, err = Acquire(path, "a release", "b")
	if err != nil {
		t.Fatalf("the lock is not free again: %v", err)
	}
	release()
	if text, _ := os.ReadFile(path); string(text) != "b\n" {
		t.Errorf("the file says %q", text)
	}
}
