package restic

import (
	"errors"
	"testing"
	"time"

	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
)

func TestABackupIsPickedByIDOrTime(t *testing.T) {
	all := snapshotsOf("20261101T043000Z", "20261124T043000Z", "20261125T043000Z")
	for want, picked := range map[string]string{
		"latest":                    "20261125T043000Z",
		"20261101T043000Z":          "20261101T043000Z",
		"2026-11-24":                "20261124T043000Z",
		"2026-11-25T04:29Z":         "20261124T043000Z",
		"2026-11-25T06:30:00+02:00": "20261125T043000Z",
		"2026-11-10 12:00":          "20261101T043000Z",
	} {
		if got, err := Pick(all, want, noonOfThe25th); err != nil || got.ID != picked {
			t.Errorf("%s: got %s (%v), want %s", want, got.ID, err, picked)
		}
	}
	for _, want := range []string{"20261124T043001Z", "2026-10-31", "yesterday", ""} {
		if got, err := Pick(all, want, noonOfThe25th); !errors.Is(err, ErrNoBackup) {
			t.Errorf("%q: got %s (%v)", want, got.ID, err)
		}
	}
	if _, err := Pick(nil, "latest", noonOfThe25th); !errors.Is(err, ErrNoBackup) {
		t.Errorf("of none: %v", err)
	}
}

func TestResticsPlacesInItsSourceAreNotTold(t *testing.T) {
	got := withoutFrames("Fatal: pack is damaged\n" +
		"github.com/restic/restic/internal/repository.check\n\t/restic/check.go:12\n" +
		"main.main\n\t/restic/main.go:3\nand more")
	if got != "Fatal: pack is damaged\nand more" {
		t.Errorf("got %q", got)
	}
}

var noonOfThe25th = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

func snapshotsOf(ids ...string) (all []Snapshot) {
	for _, id := range ids {
		all = append(all, Snapshot{ID: id})
	}
	return all
}

func TestTheDestinationOfARestore(t *testing.T) {
	local, rest := hostspec.Destination{Name: "local", Repository: hostspec.LocalRepo}, hostspec.Destination{
		Name:       "rest",
		Repository: "rest:https://x/",
	}
	for _, c := range []struct {
		have       []hostspec.Destination
		name, want string
	}{
		{[]hostspec.Destination{local, rest}, "", "rest"},
		{[]hostspec.Destination{local, rest}, "local", "local"},
		{[]hostspec.Destination{local}, "", "local"},
		{[]hostspec.Destination{local, rest}, "s3", ""},
		{nil, "", ""},
	} {
		got, err := Find(t.Context(), hostspec.Backup{Destinations: c.have}, c.name, "/bin/true")
		if got.Name != c.want || (err != nil) != (c.want == "") {
			t.Errorf("%q of %v: got %q, %v", c.name, c.have, got.Name, err)
		}
	}
}
