package backup

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/prekzursil/momentstudio-infra/internal/hostops/restic"
	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
)

func TestAWrongClockNeitherChoosesNorRemovesBackups(t *testing.T) {
	all := snapshotsOf("20261124T043000Z", "20261125T043000Z", "20991231T043000Z")
	if got, err := restic.Pick(all, "latest", noonOfThe25th); !errors.Is(err,
		restic.ErrNoBackup) || !strings.Contains(err.Error(), "20261125T043000Z") ||
		!strings.Contains(err.Error(), "20991231T043000Z") {
		t.Errorf("the latest is %s (%v), and one is still to come", got.ID, err)
	}
	if got, err := restic.Pick(all, "20991231T043000Z", noonOfThe25th); err != nil || got.ID != "20991231T043000Z" {
		t.Errorf("by its name: %s (%v)", got.ID, err)
	}
	if got, err := restic.Pick(all, "2099-12-31", noonOfThe25th); err != nil || got.ID != "20261125T043000Z" {
		t.Errorf("by a time: %s (%v)", got.ID, err)
	}
	if _, err := restic.Pick(all[2:], "latest", noonOfThe25th); !errors.Is(err, restic.ErrNoBackup) {
		t.Errorf("only one that is still to come: %v", err)
	}
	jumped := snapshotsOf("20261124T043000Z", "20261125T043000Z", "20991231T043000Z", "21000101T043000Z",
		"21000102T043000Z")
	month := snapshotsOf("20261125T043000Z")
	for day := range 31 {
		month = append(month, snapshotsOf(time.Date(2100, 1, 1+day, 4, 30, 0, 0,
			time.UTC).Format(hostspec.BackupIDLayout))...)
	}
	for _, c := range []struct {
		name  string
		all   []restic.Snapshot
		now   string
		doubt string
	}{
		{"every night one", all[:2], "20261125T120000Z", ""},
		{"the first", all[:1], "20261124T120000Z", ""},
		{"one of the future counts for nothing", all, "20261125T120000Z", ""},
		{"the clock jumped tonight", jumped[:3], "20991231T043100Z", "20261125T043000Z"},
		{"it jumped two nights ago", jumped, "21000102T043100Z", "20261125T043000Z"},
		{"it jumped more nights ago than backups are kept", month, "21000131T043100Z", ""},
	} {
		now, err := time.Parse(hostspec.BackupIDLayout, c.now)
		if err != nil {
			t.Fatal(err)
		}
		if got := clockDoubt(c.all, now, 30); (got == "") != (c.doubt == "") || !strings.Contains(got, c.doubt) {
			t.Errorf("%s: %q", c.name, got)
		}
	}
}

var noonOfThe25th = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

func snapshotsOf(ids ...string) (all []restic.Snapshot) {
	for _, id := range ids {
		all = append(all, restic.Snapshot{ID: id})
	}
	return all
}
