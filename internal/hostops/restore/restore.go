package restore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/moby/moby/client"

	"github.com/prekzursil/momentstudio-infra/internal/hostops/docker"
	"github.com/prekzursil/momentstudio-infra/internal/hostops/journal"
	"github.com/prekzursil/momentstudio-infra/internal/hostops/postgres"
	"github.com/prekzursil/momentstudio-infra/internal/hostops/release"
	"github.com/prekzursil/momentstudio-infra/internal/hostops/restic"
	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
)

// ErrNewerSchema refuses a backup whose schema the deployed release does not know.
var ErrNewerSchema = errors.New("the backup's schema is newer than the release")

// Restoration is a restore to be made.
type Restoration struct {
	Spec    hostspec.Backup
	Restic  string // the program
	From    string // name of the destination; default: the first that is not on the data volume, or the only one
	Backup  string // "latest", a backup's ID, or a time: the newest backup of then
	Archive string // path of an archive of the old scripts, instead of a backup
	Of      string // stack whose backup it is; default: the host's own, and any in a drill
	// Confirm is asked once everything that can be known beforehand was checked; its error ends the restore.
	Confirm func(what string) error
}

// timed runs a part of the restore and tells how long it took.
func timed(s *hostspec.RestoreState, name string, out io.Writer, work func() error) error {
	began := time.Now()
	err := work()
	p := hostspec.RestorePhase{Name: name, Seconds: time.Since(began).Seconds()}
	s.Phases = append(s.Phases, p)
	if err == nil {
		fmt.Fprintf(out, "%s: done in %.1f s\n", name, p.Seconds)
	}
	return err
}

// Run brings database and files of a backup beside the live ones, proves them there, and only then stops
// what writes and switches. What was live before stays until Drop.
func Run(ctx context.Context, r Restoration, out io.Writer) error {
	old, err := journal.Read(hostspec.RestoreJournal)
	if err != nil {
		return err
	}
	switch {
	case old == nil, !old.Prepared:
	case old.Dropping:
		return fmt.Errorf("%w: what the one of %s left aside is being removed; fix: `restore drop` finishes that",
			journal.ErrUnfinished, old.Source)
	case !old.Switched:
		return journal.HalfSwitched(hostspec.RestoreJournal)
	default:
		return fmt.Errorf("%w: what the one of %s left aside is still kept; fix: `restore drop` removes it for good, "+
			"`restore undo` goes back to it", journal.ErrUnfinished, old.Source)
	}
	engine, err := docker.Connect()
	if err != nil {
		return err
	}
	defer engine.Close()
	db, err := openDatabases(ctx)
	if err != nil {
		return err
	}
	defer db.close(ctx)
	state := hostspec.RestoreState{ID: time.Now().UTC().Format(hostspec.BackupIDLayout), Target: hostspec.SideRestored}
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
		if err := discard(ctx, engine, db); err != nil {
			return err
		}
	}
	if err := r.prepare(ctx, &state, engine, db, out); err != nil {
		// Its last step may have written that all is there: what is removed now is not.
		if state.Prepared {
			state.Prepared = false
			err = errors.Join(err, journal.Save(state))
		}
		return errors.Join(err, discard(context.WithoutCancel(ctx), engine, db))
	}
	return switchTo(ctx, &state, hostspec.SideRestored, engine, db, out)
}

// prepare does all that leaves the shop alone.
func (r Restoration) prepare(ctx context.Context, state *hostspec.RestoreState, engine *client.Client, db *databases,
	out io.Writer,
) error {
	src, err := r.find(ctx)
	if err != nil {
		return err
	}
	state.Source = src.Name()
	if state.Manifest, err = src.Describe(ctx); err != nil {
		return err
	}
	if state.Replicas, err = replicasOf(ctx, engine, nil); err != nil {
		return err
	}
	migration, err := migrationAside(ctx, engine, r.Spec, db)
	if err != nil {
		return err
	}
	for _, image := range []string{migration.Image, migration.ClientImage} {
		if err := docker.Pull(ctx, engine, image, migration.RegistryAuth); err != nil {
			return err
		}
	}
	if err := accepts(ctx, migration, engine, state.Manifest); err != nil {
		return err
	}
	if err := restic.EnoughRoom(hostspec.DataDir, state.Manifest, db.local); err != nil {
		return err
	}
	fmt.Fprintf(out, "%s: schema %s, %d files of %d MB, a dump of %d MB\n", state.Source,
		cmp.Or(state.Manifest.Revision, "as its dump says"),
		state.Manifest.FileCount(), state.Manifest.FileBytes()>>20, state.Manifest.Database.Bytes>>20)
	if err := r.Confirm(state.Source); err != nil {
		return err
	}
	if err := journal.Save(*state); err != nil {
		return err
	}
	if err := timed(state, "fetch", out, func() error {
		if err := src.Fetch(ctx, hostspec.RestoreFiles); err != nil {
			return err
		}
		return own(hostspec.RestoreFiles, os.Getuid())
	}); err != nil {
		return err
	}
	if err := timed(state, "compare with the manifest", out, func() error {
		return compare(hostspec.RestoreFiles,
			&state.Manifest)
	}); err != nil {
		return err
	}
	if err := timed(state, "load the database", out, func() error {
		return db.load(ctx, engine, r.Spec,
			state.Manifest)
	}); err != nil {
		return err
	}
	if err := timed(state, "migrate", out, func() error {
		return db.migrate(ctx, engine, migration, &state.Manifest,
			out)
	}); err != nil {
		return err
	}
	return seal(ctx, state, db)
}

// own gives fetched media to the user of the application's tasks, who may write nowhere else: they run without the
// capability to write into what others own. A server that was set up by hand may have files of its operator's user.
func own(dir string, uid int) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("give the restored files to the application: %w", err)
	}
	defer root.Close() //nolint:errcheck // it was only opened
	for _, part := range hostspec.MediaParts {
		err := fs.WalkDir(root.FS(), part, func(path string, entry fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := entry.Info()
			if err != nil {
				return err
			}
			if stat := info.Sys().(*syscall.Stat_t); int(stat.Uid) != uid || int(stat.Gid) != uid {
				if err := root.Lchown(path, uid, uid); err != nil {
					return err
				}
			}
			if least := os.FileMode(0o700); entry.IsDir() && info.Mode().Perm()&least != least {
				return root.Chmod(path, info.Mode().Perm()|least)
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("give the restored files to the application: %w", err)
		}
	}
	return nil
}

// migrationAside migrates the database that is not live, with the image that serves: after an update that
// failed, that is not the one that was asked for.
func migrationAside(ctx context.Context, engine *client.Client, spec hostspec.Backup, db *databases) (release.Migration,
	error,
) {
	settings, err := os.ReadFile(hostspec.AppEnvSecret)
	if err != nil {
		return release.Migration{}, fmt.Errorf("read the application's settings: %w", err)
	}
	m := release.Migration{
		ClientImage: spec.ClientImage, Network: spec.Network, RegistryAuth: hostspec.RegistrySecret,
		Dotenv: postgres.DotEnvWithURL(string(settings), db.urlAside),
	}
	found, err := engine.ServiceInspect(ctx, hostspec.BackendService, client.ServiceInspectOptions{})
	if err != nil {
		return m, fmt.Errorf("read the service %s: %w", hostspec.BackendService, err)
	}
	m.Image = found.Service.Spec.TaskTemplate.ContainerSpec.Image
	if m.Image == spec.Images["backend"] {
		m.Compatible = spec.Compatible
	}
	return m, nil
}

// seal notes what is live and what is to be, and says on the disk that all of it is there.
func seal(ctx context.Context, s *hostspec.RestoreState, db *databases) (err error) {
	if s.Databases, err = db.oids(ctx); err != nil {
		return err
	}
	s.Directories = map[string]map[hostspec.RestoreSide]uint64{}
	for _, part := range hostspec.MediaParts {
		live, err := inode(filepath.Join(hostspec.DataDir, part))
		if err != nil {
			return err
		}
		brought, err := inode(filepath.Join(hostspec.RestoreFiles, part))
		if err != nil {
			return err
		}
		s.Directories[part] = map[hostspec.RestoreSide]uint64{hostspec.SideRestored: brought, hostspec.SideBefore: live}
	}
	if err := syncAll(); err != nil {
		return err
	}
	s.Prepared = true
	return journal.Save(*s)
}

// Continue finishes a switch that was interrupted, to the side that it was to make serve or to the given
// one.
func Continue(ctx context.Context, spec hostspec.Backup, to hostspec.RestoreSide, out io.Writer) error {
	return resume(ctx, spec, func(s *hostspec.RestoreState) (hostspec.RestoreSide, error) {
		if s.Switched {
			return "", fmt.Errorf("nothing is to be continued: the restore of %s is complete", s.Source)
		}
		return cmp.Or(to, s.Target), nil
	}, out)
}

// Undo makes the state of before the restore serve again; what the shop wrote since then stays
// aside, with what was restored.
func Undo(ctx context.Context, spec hostspec.Backup, out io.Writer) error {
	return resume(ctx, spec, func(s *hostspec.RestoreState) (hostspec.RestoreSide, error) {
		if s.Switched && s.Target == hostspec.SideBefore {
			return "", fmt.Errorf("the state of before the restore of %s serves already", s.Source)
		}
		return hostspec.SideBefore, nil
	}, out)
}

func resume(ctx context.Context, spec hostspec.Backup, side func(*hostspec.RestoreState) (hostspec.RestoreSide, error),
	out io.Writer,
) error {
	state, err := journal.Read(hostspec.RestoreJournal)
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
	engine, err := docker.Connect()
	if err != nil {
		return err
	}
	defer engine.Close()
	db, err := openDatabases(ctx)
	if err != nil {
		return err
	}
	defer db.close(ctx)
	if err := bothThere(ctx, state, db); err != nil {
		return err
	}
	if aside, err := db.oid(ctx, db.aside); err != nil {
		return err
	} else if aside == state.Databases[target] { // the release may be another one by now
		migration, err := migrationAside(ctx, engine, spec, db)
		if err != nil {
			return err
		}
		if err := db.migrate(ctx, engine, migration, &hostspec.Manifest{}, out); err != nil {
			// Its kind is not passed on: it is no backup that is to blame, and nothing else can be taken.
			return fmt.Errorf("bring the database of the side %q to the schema of the release that is deployed: %v; fix: "+
				"deploy the release that served it, then again (`restore status` shows where it stands)", target, err)
		}
	}
	return switchTo(ctx, state, target, engine, db, out)
}

// Drop removes the side that does not serve, for good.
func Drop(ctx context.Context, spec hostspec.Backup, out io.Writer) error {
	state, err := journal.Read(hostspec.RestoreJournal)
	if err != nil {
		return err
	}
	if state == nil {
		fmt.Fprintln(out, "nothing is kept of a restore")
		return nil
	}
	if state.Prepared && !state.Switched {
		return fmt.Errorf("%w: it stands in the middle of its switch; fix: `restore continue` finishes it, `restore undo` "+
			"goes back", journal.ErrUnfinished)
	}
	db, err := openDatabases(ctx)
	if err != nil {
		return err
	}
	defer db.close(ctx)
	engine, err := docker.Connect()
	if err != nil {
		return err
	}
	defer engine.Close()
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
	if err := journal.Save(*state); err != nil {
		return err
	}
	if err := discard(ctx, engine, db); err != nil {
		return err
	}
	fmt.Fprintf(out, "removed what the restore of %s kept aside\n", state.Source)
	return nil
}

// discard removes what lies aside, and the containers of killed runs, which hold the database's password. The
// journal goes last: a killed run is met again.
func discard(ctx context.Context, engine *client.Client, db *databases) error {
	for _, name := range []string{restoreContainer, release.MigrationContainer} {
		if err := docker.Settle(ctx, engine, name); err != nil {
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
