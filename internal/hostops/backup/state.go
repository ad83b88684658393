package backup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/prekzursil/momentstudio-infra/internal/hostops/fsutil"
	"github.com/prekzursil/momentstudio-infra/internal/hostops/restic"
	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
)

// place is where a destination's verified copies are. A run of before places were written down tells only that there
// are some.
func knownPlace(s hostspec.BackupState, r restic.Repository) hostspec.RepositoryRef {
	p, known := s.Repositories[r.Name]
	if !known && s.Verified != nil && s.Verified.Destinations[r.Name].Snapshot != "" {
		return hostspec.RepositoryRef{Location: r.Location()}
	}
	return p
}

// recordRun writes what is known of the runs, and the time that the admin page shows when the run was
// a good one.
func recordRun(root string, run hostspec.BackupRun) error {
	path := root + hostspec.BackupStatus
	state, err := ReadState(path)
	if err != nil {
		return err
	}
	state.Last = run
	for name, at := range run.Destinations {
		if at.Repository == nil {
			continue
		}
		if state.Repositories == nil {
			state.Repositories = map[string]hostspec.RepositoryRef{}
		}
		state.Repositories[name] = *at.Repository
	}
	if run.Error == "" {
		state.Verified = &run
	}
	if err := fsutil.WriteJSON(path, state); err != nil {
		return fmt.Errorf("record the run: %w", err)
	}
	if run.Error != "" {
		return nil
	}
	if _, err := fsutil.EnsureFile(root+hostspec.LastBackupFile, []byte(run.Started.Format(time.RFC3339)+"\n"),
		0o644); err != nil {
		return fmt.Errorf("record the run: %w", err)
	}
	return nil
}

// ReadState reads what is known; nothing before the first run.
func ReadState(path string) (hostspec.BackupState, error) {
	var state hostspec.BackupState
	if err := fsutil.ReadJSON(path, &state); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return state, fmt.Errorf("read what is known of the backups: %w", err)
	}
	return state, nil
}

// ReadSpec reads what host-apply wrote.
func ReadSpec(path string) (hostspec.Backup, error) {
	var spec hostspec.Backup
	if err := fsutil.ReadJSON(path, &spec); err != nil {
		return spec, fmt.Errorf("read the backup's destinations: %w", err)
	}
	if spec.Password == "" || len(spec.Destinations) == 0 {
		return spec, fmt.Errorf("read the backup's destinations: %s names no destination or no password", path)
	}
	return spec, nil
}

// Age says how old the newest verified backup is, and fails when that is more than the spec allows.
// Before the first backup it is the age of the data volume.
func Age(spec hostspec.Backup, state hostspec.BackupState, volume, now time.Time) (string, error) {
	newest, what := volume, "there is no verified backup yet, and the data volume is"
	if state.Verified != nil {
		newest, what = state.Verified.Started, "the newest verified backup is"
	}
	age := now.Sub(newest).Round(time.Minute)
	text := fmt.Sprintf("%s %s old", what, age)
	if state.Last.Error != "" {
		text += fmt.Sprintf("; the run of %s failed: %s", state.Last.Started.Format(time.RFC3339), state.Last.Error)
	}
	text += "\n"
	switch limit := time.Duration(spec.MaxAgeHours) * time.Hour; {
	case age > limit:
		return text, fmt.Errorf("backups are overdue: backup.maxAgeHours is %d; fix: `journalctl -u momentstudio-backup` "+
			"tells what stops them, and `systemctl start momentstudio-backup` makes one now", spec.MaxAgeHours)
	case age < -time.Hour:
		return text, fmt.Errorf("the newest backup is of %s, which is still to come: the host's clock was wrong then, or "+
			"is now; fix: set it (timedatectl), then make a backup (systemctl start momentstudio-backup)",
			newest.UTC().Format(time.RFC3339))
	}
	return text, nil
}

// AgeOn is Age of the host whose file system is mounted at root.
func AgeOn(root string, now time.Time) (string, error) {
	spec, err := ReadSpec(root + hostspec.BackupSecret)
	if err != nil {
		return "", err
	}
	state, err := ReadState(root + hostspec.BackupStatus)
	if err != nil {
		return "", err
	}
	volume, err := os.Stat(root + hostspec.GuardFile) // made with the volume
	if err != nil {
		return "", err
	}
	return Age(spec, state, volume.ModTime(), now)
}
