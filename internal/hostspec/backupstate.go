package hostspec

import (
	"time"
)

// BackupState is what is known of the runs; `studio status` and the next run read it.
type BackupState struct {
	Last     BackupRun  `json:"last"`               // the newest run, whatever its end
	Verified *BackupRun `json:"verified,omitempty"` // the newest that was verified at every destination
	// Repositories hold a verified copy, by destination.
	Repositories map[string]RepositoryRef `json:"repositories,omitempty"`
}

// FailedBy reports whether the newest run failed, or was killed and wrote nothing in the last hour.
func (s BackupState) FailedBy(now time.Time) bool {
	return s.Last.Error != "" || now.Sub(s.Last.Ended) > time.Hour
}

// BackupRun is one run.
type BackupRun struct {
	ID           string                         `json:"id"`
	Started      time.Time                      `json:"started"`
	Ended        time.Time                      `json:"ended"`
	Error        string                         `json:"error,omitempty"`
	Destinations map[string]BackupAtDestination `json:"destinations"`
}

// BackupAtDestination is what one destination has of a run.
type BackupAtDestination struct {
	Snapshot   string         `json:"snapshot,omitempty"`
	Repository *RepositoryRef `json:"repository,omitempty"` // once the copy was read back
	Added      int64          `json:"added"`                // bytes that were new to the repository, after compression
	Error      string         `json:"error,omitempty"`
}

// RepositoryRef is one repository among those that there are.
type RepositoryRef struct {
	Location string `json:"location"`     // without credentials
	ID       string `json:"id,omitempty"` // restic's own; empty when an older run wrote it down
}
