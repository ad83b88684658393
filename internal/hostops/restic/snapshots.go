package restic

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
)

// Snapshot is a backup in a repository.
type Snapshot struct {
	ID       string // of the backup
	Snapshot string // restic's
	Time     time.Time
	Path     string // of its staging directory
	Stack    string // that made it: restic's host
}

// OfStack leaves the backups of one stack. When there are others only, the error is ErrNoBackup and names them.
func OfStack(all []Snapshot, stack string) (own []Snapshot, err error) {
	var others []string
	for _, s := range all {
		if s.Stack == stack {
			own = append(own, s)
		} else if !slices.Contains(others, s.Stack) {
			others = append(others, s.Stack)
		}
	}
	if len(own) == 0 && len(others) > 0 {
		return nil, fmt.Errorf("%w: it holds none of stack %s, but those of %s", ErrNoBackup, stack,
			strings.Join(others, ", "))
	}
	return own, nil
}

// Made is the time that the backup's ID tells; the zero time when it tells none.
func (s Snapshot) Made() time.Time {
	t, _ := time.Parse(hostspec.BackupIDLayout, s.ID)
	return t
}

// Snapshots lists the backups of a destination, oldest first.
func Snapshots(ctx context.Context, spec hostspec.Backup, from, program string) (destination string, all []Snapshot,
	err error,
) {
	repo, err := Find(ctx, spec, from, program)
	if err != nil {
		return "", nil, err
	}
	all, err = repo.Snapshots(ctx)
	return repo.Name, all, err
}

// Snapshots lists the backups in the repository, oldest first. Without a repository the error is ErrNoBackup.
func (r Repository) Snapshots(ctx context.Context) ([]Snapshot, error) {
	if err := r.opens(ctx); errors.Is(err, errNoRepository) {
		return nil, fmt.Errorf("%w: %w", ErrNoBackup, err)
	} else if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := r.Run(ctx, &out, "snapshots", "--json", "--no-lock", "--tag", "momentstudio"); err != nil {
		return nil, err
	}
	var listed []struct {
		ID    string    `json:"id"`
		Time  time.Time `json:"time"`
		Tags  []string  `json:"tags"`
		Paths []string  `json:"paths"`
		Host  string    `json:"hostname"`
	}
	if err := json.Unmarshal(out.Bytes(), &listed); err != nil {
		return nil, errors.New("its list of snapshots is not the JSON that this program knows")
	}
	var all []Snapshot
	for _, s := range listed {
		if i := slices.IndexFunc(s.Tags, hostspec.IsBackupID); i >= 0 && len(s.Paths) == 1 {
			all = append(all, Snapshot{ID: s.Tags[i], Snapshot: s.ID, Time: s.Time.UTC(), Path: s.Paths[0], Stack: s.Host})
		}
	}
	// By ID, never by the snapshot's own time: a clock may have been wrong, and the ID is what people name.
	slices.SortFunc(all, func(a, b Snapshot) int { return strings.Compare(a.ID, b.ID) })
	return all, nil
}

// clockTolerance is how far two machines' clocks may be apart.
const clockTolerance = time.Hour

// Future are those of sorted backups that are still to come: they were made by a clock that was wrong.
func Future(all []Snapshot, now time.Time) []Snapshot {
	limit := now.Add(clockTolerance).UTC().Format(hostspec.BackupIDLayout)
	first, _ := slices.BinarySearchFunc(all, limit, func(s Snapshot,
		limit string,
	) int {
		return strings.Compare(s.ID, limit)
	})
	return all[first:]
}

// Pick chooses among sorted backups by a text that hostspec.ParseBackupChoice reads. There is no latest backup while
// one has an ID in the future: nobody can tell which of them holds the newest data.
func Pick(all []Snapshot, want string, now time.Time) (Snapshot, error) {
	if len(all) == 0 {
		return Snapshot{}, fmt.Errorf("%w: it holds none", ErrNoBackup)
	}
	choice, err := hostspec.ParseBackupChoice(want)
	if err != nil {
		return Snapshot{}, fmt.Errorf("%w: %w", ErrNoBackup, err)
	}
	later := Future(all, now)
	past := all[:len(all)-len(later)]
	if choice.Latest && len(later) > 0 {
		text := fmt.Sprintf("the latest cannot be told: %d of them are of a time that is still to come, as %s, so the "+
			"clock is wrong here (timedatectl) or was where they were made", len(later), later[len(later)-1].ID)
		if len(past) > 0 {
			text += "; the newest of before is " + past[len(past)-1].ID
		}
		return Snapshot{}, fmt.Errorf("%w: %s; fix: name one by its ID, or remove those that are wrong "+
			"(docs/guides/back-up.md)", ErrNoBackup, text)
	}
	if choice.Latest {
		return past[len(past)-1], nil
	}
	among, wanted := past, func(s Snapshot) bool { return s.ID <= choice.Until.Format(hostspec.BackupIDLayout) }
	if choice.ID != "" {
		among, wanted = all, func(s Snapshot) bool { return s.ID == choice.ID }
	}
	for _, s := range slices.Backward(among) { // of several snapshots of one run, the last was read back
		if wanted(s) {
			return s, nil
		}
	}
	return Snapshot{}, fmt.Errorf("%w: %s; the oldest is %s, the newest %s", ErrNoBackup, want, all[0].ID,
		all[len(all)-1].ID)
}
