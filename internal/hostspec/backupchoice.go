package hostspec

import (
	"fmt"
	"regexp"
	"time"
)

// BackupIDLayout is the form of a backup ID: the UTC time at which the backup began.
const BackupIDLayout = "20060102T150405Z"

// LatestBackup chooses the newest backup.
const LatestBackup = "latest"

var backupID = regexp.MustCompile(`^\d{8}T\d{6}Z$`)

// IsBackupID reports whether a text has the form of a backup ID.
func IsBackupID(text string) bool { return backupID.MatchString(text) }

// BackupChoice is the value of `--backup`: it names the backup to restore. Exactly one of its fields is set.
type BackupChoice struct {
	Latest bool
	ID     string    // of one backup
	Until  time.Time // the newest backup that began at this time or before
}

// ParseBackupChoice reads "latest", a backup ID, or a time in UTC: RFC 3339, a minute, or a whole day.
func ParseBackupChoice(text string) (BackupChoice, error) {
	switch {
	case text == LatestBackup:
		return BackupChoice{Latest: true}, nil
	case IsBackupID(text):
		return BackupChoice{ID: text}, nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04Z", "2006-01-02 15:04"} {
		if at, err := time.Parse(layout, text); err == nil {
			return BackupChoice{Until: at.UTC()}, nil
		}
	}
	if day, err := time.Parse(time.DateOnly, text); err == nil {
		return BackupChoice{Until: day.Add(24*time.Hour - time.Second)}, nil
	}
	return BackupChoice{}, fmt.Errorf(`%q is neither %q nor a backup ID nor a time. Fix: use an ID such as `+
		`20261125T043000Z, or a time such as 2026-11-25T04:30Z or 2026-11-25`, text, LatestBackup)
}
