package restic

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
)

// IDLayout is the form of a backup ID: the UTC time of its beginning.
const IDLayout = "20060102T150405Z"

// Snapshot is a backup in a repository.
type Snapshot struct {
	ID       string // of the backup
	Snapshot string // restic's
	Time     time.Time
	Path     string // of its staging directory
}

// Made is the time that the backup's ID tells; the zero time when it tells none.
func (s Snapshot) Made() time.Time {
	t, _ := time.Parse(IDLayout, s.ID)
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

var backupID = regexp.MustCompile(`^\d{8}T\d{6}Z$`)

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
	}
	if err := json.Unmarshal(out.Bytes(), &listed); err != nil {
		return nil, errors.New("its list of snapshots is not the JSON that this program knows")
	}
	var all []Snapshot
	for _, s := range listed {
		if i := slices.IndexFunc(s.Tags, backupID.MatchString); i >= 0 && len(s.Paths) == 1 {
			all = append(all, Snapshot{ID: s.Tags[i], Snapshot: s.ID, Time: s.Time.UTC(), Path: s.Paths[0]})
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
	limit := now.Add(clockTolerance).UTC().Format(IDLayout)
	first, _ := slices.BinarySearchFunc(all, limit, func(s Snapshot,
		limit string,
	) int {
		return strings.Compare(s.ID, limit)
	})
	return all[first:]
}

// Pick chooses among backups, which are sorted: "latest", an ID, or the newest that is not younger than a time. There
// is no latest while one is of a time that is still to come: which of them holds the newest data, nobody can tell.
func Pick(all []Snapshot, want string, now time.Time) (Snapshot, error) {
	if len(all) == 0 {
		return Snapshot{}, fmt.Errorf("%w: it holds none", ErrNoBackup)
	}
	later := Future(all, now)
	past := all[:len(all)-len(later)]
	if want == "latest" && len(later) > 0 {
		text := fmt.Sprintf("the latest cannot be told: %d of them are of a time that is still to come, as %s, so the "+
			"clock is wrong here (timedatectl) or was where they were made", len(later), later[len(later)-1].ID)
		if len(past) > 0 {
			text += "; the newest of before is " + past[len(past)-1].ID
		}
		return Snapshot{}, fmt.Errorf("%w: %s; fix: name one by its ID, or remove those that are wrong "+
			"(docs/guides/back-up.md)", ErrNoBackup, text)
	}
	if want == "latest" {
		return past[len(past)-1], nil
	}
	for _, s := range slices.Backward(all) { // of several of one run, the last is what was read back
		if s.ID == want {
			return s, nil
		}
	}
	var then time.Time
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04Z", "2006-01-02 15:04", "2006-01-02"} {
		t, err := time.Parse(layout, want)
		if err != nil {
			continue
		}
		then = t.UTC()
		if layout == "2006-01-02" {
			then = then.Add(24*time.Hour - time.Second) // the whole day
		}
		break
	}
	if then.IsZero() && !backupID.MatchString(want) {
		return Snapshot{},
			fmt.Errorf(`%w: %q is neither "latest" nor a backup's ID nor a time such as 2026-11-25T04:30Z or 2026-11-25`,
				ErrNoBackup, want)
	}
	for _, s := range slices.Backward(past) {
		if !then.IsZero() && s.ID <= then.Format(IDLayout) {
			return s, nil
		}
	}
	return Snapshot{}, fmt.Errorf("%w: %s; the oldest is %s, the newest %s", ErrNoBackup, want, all[0].ID,
		all[len(all)-1].ID)
}
