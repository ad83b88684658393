package ops

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/docker/docker/api/types/swarm"
	"github.com/docker/docker/client"

	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
)

// Why a restore refuses. All are found before anything of the shop is stopped or changed.
var (
	ErrNoBackup    = errors.New("there is no such backup")
	ErrDamaged     = errors.New("the backup is damaged")
	ErrNoRoom      = errors.New("there is no room for the restore")
	ErrNewerSchema = errors.New("the backup's schema is newer than the release")
	ErrUnfinished  = errors.New("an earlier restore comes first")
)

// ErrWrongPassword is a repository's refusal; the password is the stack's own.
var ErrWrongPassword = errWrongPassword

// Restoration is a restore to be made.
type Restoration struct {
	Spec    hostspec.Backup
	Restic  string // the program
	From    string // name of the destination; default: the first that is not on the data volume, or the only one
	Backup  string // "latest", a backup's ID, or a time: the newest backup of then
	Archive string // path of an archive of the old scripts, instead of a backup
	// Confirm is asked once everything that can be known beforehand was checked; its error ends the restore.
	Confirm func(what string) error
}

// Side is one of the two states of the shop that a restore leaves on the host.
type Side string

// The state that the restore brought, and the one that it replaced.
const (
	Restored Side = "restored"
	Before   Side = "before"
)

// RestoreState is the journal of a restore: whoever reads it can finish or undo a killed one. Databases and
// directories are known by what never changes with their names: OID and inode.
type RestoreState struct {
	ID          string                     `json:"id"`     // UTC time of its beginning
	Source      string                     `json:"source"` // for people
	Manifest    Manifest                   `json:"manifest"`
	Prepared    bool                       `json:"prepared"` // all is there and checked; nothing was touched before
	Live        uint32                     `json:"live"`     // OID of the database that served when it began
	Dropping    bool                       `json:"dropping"` // what does not serve is being removed
	Target      Side                       `json:"target"`   // what is to serve
	Switched    bool                       `json:"switched"` // the target serves
	Databases   map[Side]uint32            `json:"databases"`
	Directories map[string]map[Side]uint64 `json:"directories"`
	Replicas    map[string]uint64          `json:"replicas"` // of the services, before they were stopped
	Phases      []RestorePhase             `json:"phases"`
}

// RestorePhase is how long a part of the restore took.
type RestorePhase struct {
	Name    string  `json:"name"`
	Seconds float64 `json:"seconds"`
}

func (s RestoreState) save() error {
	if err := os.MkdirAll(hostspec.RestoreDir, 0o700); err != nil {
		return fmt.Errorf("write the restore's journal: %w", err)
	}
	if err := writeJSON(hostspec.RestoreJournal, s); err != nil {
		return fmt.Errorf("write the restore's journal: %w", err)
	}
	// A power cut must not bring an older journal back than the databases and directories show.
	return syncDirectories(hostspec.RestoreDir, hostspec.DataDir)
}

// HalfSwitched fails while a restore stands in the middle of its switch: what would start or back up the shop
// then would mix two states of it.
func HalfSwitched(path string) error {
	s, err := ReadRestoreState(path)
	if err != nil || s == nil || !s.Prepared || s.Switched {
		return err
	}
	return fmt.Errorf("%w: the one of %s stands in the middle of its switch; fix: `%s restore continue` on the host finishes it, `restore undo` goes back",
		ErrUnfinished, s.Source, hostspec.HostopsCommand)
}

// ReadRestoreState reads the journal; nil without one.
func ReadRestoreState(path string) (*RestoreState, error) {
	var s RestoreState
	switch err := readJSON(path, &s); {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil //nolint:nilnil // no restore is no error
	case err != nil:
		return nil, fmt.Errorf("read the restore's journal: %w", err)
	}
	return &s, nil
}

// timed runs a part of the restore and tells how long it took.
func (s *RestoreState) timed(name string, out io.Writer, work func() error) error {
	began := time.Now()
	err := work()
	p := RestorePhase{Name: name, Seconds: time.Since(began).Seconds()}
	s.Phases = append(s.Phases, p)
	if err == nil {
		fmt.Fprintf(out, "%s: done in %.1f s\n", name, p.Seconds)
	}
	return err
}

// Restore brings database and files of a backup beside the live ones, proves them there, and only then stops
// what writes and switches. What was live before stays until Drop.
func Restore(ctx context.Context, r Restoration, out io.Writer) error {
	old, err := ReadRestoreState(hostspec.RestoreJournal)
	if err != nil {
		return err
	}
	switch {
	case old == nil, !old.Prepared:
	case old.Dropping:
		return fmt.Errorf("%w: what the one of %s left aside is being removed; fix: `restore drop` finishes that", ErrUnfinished, old.Source)
	case !old.Switched:
		return HalfSwitched(hostspec.RestoreJournal)
	default:
		return fmt.Errorf("%w: what the one of %s left aside is still kept; fix: `restore drop` removes it for good, `restore undo` goes back to it", ErrUnfinished, old.Source)
	}
	docker, err := connectDocker()
	if err != nil {
		return err
	}
	defer docker.Close()
	db, err := openDatabases(ctx)
	if err != nil {
		return err
	}
	defer db.close(ctx)
	state := RestoreState{ID: time.Now().UTC().Format(backupIDLayout), Target: Restored}
	if state.Live, err = db.oid(ctx, db.live); err != nil {
		return err
	}
	if old == nil {
		// The journal is written before the database is made: without one, it is not a restore's to drop.
		if err := db.noneAside(ctx); err != nil {
			return err
		}
	} else {
		if err := db.serves(ctx, old.Live); err != nil {
			return err
		}
		fmt.Fprintln(out, "an earlier restore ended before it touched anything: what it brought is removed")
		if err := discard(ctx, docker, db); err != nil {
			return err
		}
	}
	if err := r.prepare(ctx, &state, docker, db, out); err != nil {
		// Its last step may have written that all is there: what is removed now is not.
		if state.Prepared {
			state.Prepared = false
			err = errors.Join(err, state.save())
		}
		return errors.Join(err, discard(context.WithoutCancel(ctx), docker, db))
	}
	return switchTo(ctx, &state, Restored, docker, db, out)
}

// prepare does all that leaves the shop alone.
func (r Restoration) prepare(ctx context.Context, state *RestoreState, docker *client.Client, db *databases, out io.Writer) error {
	src, err := r.find(ctx)
	if err != nil {
		return err
	}
	state.Source = src.name()
	if state.Manifest, err = src.describe(ctx); err != nil {
		return err
	}
	if state.Replicas, err = replicasOf(ctx, docker, nil); err != nil {
		return err
	}
	migration, err := migrationAside(ctx, docker, r.Spec, db)
	if err != nil {
		return err
	}
	for _, image := range []string{migration.Image, migration.ClientImage} {
		if err := pull(ctx, docker, image, migration.RegistryAuth); err != nil {
			return err
		}
	}
	if err := migration.accepts(ctx, docker, state.Manifest); err != nil {
		return err
	}
	if err := enoughRoom(hostspec.DataDir, state.Manifest, db.local); err != nil {
		return err
	}
	fmt.Fprintf(out, "%s: schema %s, %d files of %d MB, a dump of %d MB\n", state.Source, cmp.Or(state.Manifest.Revision, "as its dump says"),
		state.Manifest.files(), state.Manifest.bytes()>>20, state.Manifest.Database.Bytes>>20)
	if err := r.Confirm(state.Source); err != nil {
		return err
	}
	if err := state.save(); err != nil {
		return err
	}
	if err := state.timed("fetch", out, func() error { return src.fetch(ctx, hostspec.RestoreFiles) }); err != nil {
		return err
	}
	if err := state.timed("compare with the manifest", out, func() error { return compare(hostspec.RestoreFiles, &state.Manifest) }); err != nil {
		return err
	}
	if err := state.timed("load the database", out, func() error { return db.load(ctx, docker, r.Spec, state.Manifest) }); err != nil {
		return err
	}
	if err := state.timed("migrate", out, func() error { return db.migrate(ctx, docker, migration, &state.Manifest, out) }); err != nil {
		return err
	}
	return state.seal(ctx, db)
}

// migrationAside migrates the database that is not live, with the image that serves: after an update that
// failed, that is not the one that was asked for.
func migrationAside(ctx context.Context, docker *client.Client, spec hostspec.Backup, db *databases) (Migration, error) {
	m := Migration{ClientImage: spec.ClientImage, Network: spec.Network, RegistryAuth: hostspec.RegistrySecret, dotenv: db.dotenvAside}
	service, _, err := docker.ServiceInspectWithRaw(ctx, BackendService, swarm.ServiceInspectOptions{})
	if err != nil {
		return m, fmt.Errorf("read the service %s: %w", BackendService, err)
	}
	m.Image = service.Spec.TaskTemplate.ContainerSpec.Image
	if m.Image == spec.Images["backend"] {
		m.Compatible = spec.Compatible
	}
	return m, nil
}

// seal notes what is live and what is to be, and says on the disk that all of it is there.
func (s *RestoreState) seal(ctx context.Context, db *databases) (err error) {
	if s.Databases, err = db.oids(ctx); err != nil {
		return err
	}
	s.Directories = map[string]map[Side]uint64{}
	for _, part := range mediaParts {
		live, err := inode(filepath.Join(hostspec.DataDir, part))
		if err != nil {
			return err
		}
		brought, err := inode(filepath.Join(hostspec.RestoreFiles, part))
		if err != nil {
			return err
		}
		s.Directories[part] = map[Side]uint64{Restored: brought, Before: live}
	}
	if err := syncAll(); err != nil {
		return err
	}
	s.Prepared = true
	return s.save()
}

// ContinueRestore finishes a switch that was interrupted, to the side that it was to make serve or to the given
// one.
func ContinueRestore(ctx context.Context, spec hostspec.Backup, to Side, out io.Writer) error {
	return resume(ctx, spec, func(s *RestoreState) (Side, error) {
		if s.Switched {
			return "", fmt.Errorf("nothing is to be continued: the restore of %s is complete", s.Source)
		}
		return cmp.Or(to, s.Target), nil
	}, out)
}

// UndoRestore makes the state of before the restore serve again; what the shop wrote since then stays
// aside, with what was restored.
func UndoRestore(ctx context.Context, spec hostspec.Backup, out io.Writer) error {
	return resume(ctx, spec, func(s *RestoreState) (Side, error) {
		if s.Switched && s.Target == Before {
			return "", fmt.Errorf("the state of before the restore of %s serves already", s.Source)
		}
		return Before, nil
	}, out)
}

func resume(ctx context.Context, spec hostspec.Backup, side func(*RestoreState) (Side, error), out io.Writer) error {
	state, err := ReadRestoreState(hostspec.RestoreJournal)
	if err != nil {
		return err
	}
	if state == nil || !state.Prepared {
		return errors.New("no restore has touched the shop: there is nothing to continue or undo")
	}
	if state.Dropping {
		return errors.New("what does not serve is being removed: `restore drop` finishes that")
	}
	target, err := side(state)
	if err != nil {
		return err
	}
	docker, err := connectDocker()
	if err != nil {
		return err
	}
	defer docker.Close()
	db, err := openDatabases(ctx)
	if err != nil {
		return err
	}
	defer db.close(ctx)
	if err := state.bothThere(ctx, db); err != nil {
		return err
	}
	if aside, err := db.oid(ctx, db.aside); err != nil {
		return err
	} else if aside == state.Databases[target] { // the release may be another one by now
		migration, err := migrationAside(ctx, docker, spec, db)
		if err != nil {
			return err
		}
		if err := db.migrate(ctx, docker, migration, &Manifest{}, out); err != nil {
			// Its kind is not passed on: it is no backup that is to blame, and nothing else can be taken.
			return fmt.Errorf("bring the database of the side %q to the schema of the release that is deployed: %v; fix: deploy the release that served it, then again (`restore status` shows where it stands)", target, err) //nolint:errorlint // see above
		}
	}
	return switchTo(ctx, state, target, docker, db, out)
}

// DropRestore removes the side that does not serve, for good.
func DropRestore(ctx context.Context, spec hostspec.Backup, out io.Writer) error {
	state, err := ReadRestoreState(hostspec.RestoreJournal)
	if err != nil {
		return err
	}
	if state == nil {
		fmt.Fprintln(out, "nothing is kept of a restore")
		return nil
	}
	if state.Prepared && !state.Switched {
		return fmt.Errorf("%w: it stands in the middle of its switch; fix: `restore continue` finishes it, `restore undo` goes back", ErrUnfinished)
	}
	db, err := openDatabases(ctx)
	if err != nil {
		return err
	}
	defer db.close(ctx)
	docker, err := connectDocker()
	if err != nil {
		return err
	}
	defer docker.Close()
	live := state.Live
	if state.Prepared {
		live = state.Databases[state.Target]
	}
	if err := db.serves(ctx, live); err != nil {
		return err
	}
	for part, sides := range state.Directories {
		if have, err := inode(filepath.Join(hostspec.DataDir, part)); err != nil || have != sides[state.Target] {
			return errors.Join(fmt.Errorf("%s is not the directory that the journal names: nothing is removed", part), err)
		}
	}
	state.Dropping = true
	if err := state.save(); err != nil {
		return err
	}
	if err := discard(ctx, docker, db); err != nil {
		return err
	}
	fmt.Fprintf(out, "removed what the restore of %s kept aside\n", state.Source)
	return nil
}

// discard removes what lies aside, and the containers of killed runs, which hold the database's password. The
// journal goes last: a killed run is met again.
func discard(ctx context.Context, docker *client.Client, db *databases) error {
	for _, name := range []string{restoreContainer, migrationContainer} {
		if err := settle(ctx, docker, name); err != nil {
			return err
		}
	}
	if err := db.dropAside(ctx); err != nil {
		return err
	}
	if err := os.RemoveAll(hostspec.RestoreFiles); err != nil {
		return fmt.Errorf("remove what lies aside: %w", err)
	}
	if err := os.Remove(hostspec.RestoreJournal); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the restore's journal: %w", err)
	}
	return nil
}

// enoughRoom checks that the data volume takes the files, the dump and, when the database lies there too,
// its tables with their indexes, and a gigabyte of write-ahead log. Tables and indexes are given three times
// our own dump, which is not compressed, and twelve times an old archive's, which is.
func enoughRoom(volume string, m Manifest, local bool) error {
	need := m.bytes() + m.Database.Bytes
	if local {
		factor := int64(3)
		if m.Format == 0 {
			factor = 12
		}
		need += factor*m.Database.Bytes + 1<<30
	}
	free, err := freeMB(volume)
	if err != nil {
		return err
	}
	if need = need>>20 + diskReserveMB; free < need {
		return fmt.Errorf("%w: the data volume has %d MB free, and it may need %d MB beside the live data; raise host.volumeSizeGB", ErrNoRoom, free, need)
	}
	return nil
}
