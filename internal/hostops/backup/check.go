package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/client"

	"github.com/prekzursil/momentstudio-infra/internal/hostops/docker"
	"github.com/prekzursil/momentstudio-infra/internal/hostops/fsutil"
	"github.com/prekzursil/momentstudio-infra/internal/hostops/lock"
	"github.com/prekzursil/momentstudio-infra/internal/hostops/restic"
	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
)

// sampleParts are the parts of a repository of which a check by sample reads one. It says which, so that a second
// look sees the same.
const sampleParts = 10

// secondLook is when a fault is looked at again that may be none.
var secondLook = 10 * time.Minute

// Check has every destination's repository checked by restic: its structure, and the content of a
// sample of its packs, or of all of them. With whole, the newest backup's dump is also restored into a Postgres
// that is thrown away, and its rows are counted.
func Check(ctx context.Context, spec hostspec.Backup, program string, whole bool, out io.Writer) error {
	read := "--read-data"
	if !whole {
		//nolint:gosec // a sample, no secret
		read = fmt.Sprintf("--read-data-subset=%d/%d", 1+rand.IntN(sampleParts), sampleParts)
	}
	var bad []error
	for i, d := range spec.Destinations {
		if i > 0 {
			// A backup that became due meanwhile takes its turn between two destinations: longer than it takes to look.
			select {
			case <-ctx.Done():
				return errors.Join(append(bad, ctx.Err())...)
			case <-time.After(2 * lock.LockPoll):
			}
		}
		err := func() error {
			who := "a check of the backups, since " + time.Now().UTC().Format(time.RFC3339)
			release, err := lock.AcquireInTurn(ctx, hostspec.BackupLock, "a backup", who, out)
			if err != nil {
				return err
			}
			defer release()
			r := restic.Repository{Destination: d, Password: spec.Password, Program: program}.WithPassword(ctx,
				spec.OldPasswords)
			return check(ctx, r, spec, read, whole, out)
		}()
		if err != nil {
			bad = append(bad, fmt.Errorf("destination %s: %w", d.Name, err))
		}
	}
	return errors.Join(bad...)
}

func check(ctx context.Context, r restic.Repository, spec hostspec.Backup, read string, whole bool,
	out io.Writer,
) error {
	all, err := r.Snapshots(ctx)
	if err == nil {
		all, err = restic.OfStack(all, spec.Stack)
	}
	if err != nil {
		return err
	}
	if len(all) == 0 {
		return fmt.Errorf("%w: it holds none", restic.ErrNoBackup)
	}
	// Without a lock of restic's: one that a killed check left would keep backups out for half an hour. This host's own
	// keeps its backups away, and of others only those write there who remove old snapshots.
	look := func() error {
		err := r.Run(ctx, io.Discard, "check", "--quiet", "--no-lock", "--no-cache", read)
		return restic.Stored{Repo: r, Snapshot: all[len(all)-1]}.Judge(ctx, err)
	}
	if err = look(); errors.Is(err, restic.ErrDamaged) && !r.Prune {
		fmt.Fprintf(out, "%s: %v; others remove old snapshots there, which looks like a fault while it lasts: it is looked "+
			"at again in %s\n", r.Name, err, secondLook)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(secondLook):
		}
		err = look()
	}
	if err != nil {
		return err
	}
	newest, err := restic.Pick(all, hostspec.LatestBackup, time.Now())
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s: %d backups, the newest of %s; restic check %s finds no fault\n", r.Name, len(all), newest.ID,
		read)
	if !whole {
		return nil
	}
	rows, err := prove(ctx, r, spec, newest)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s: the dump of %s was restored into a new Postgres: %d rows, as its manifest says\n", r.Name,
		newest.ID, rows)
	return nil
}

// prove restores a backup's dump into a Postgres of its own, without network, and compares the rows of
// every table with the manifest.
func prove(ctx context.Context, r restic.Repository, spec hostspec.Backup, s restic.Snapshot) (rows int64, err error) {
	src := restic.Stored{Repo: r, Snapshot: s, Stack: spec.Stack}
	m, err := src.Describe(ctx)
	if err != nil {
		return 0, err
	}
	// Beside the dump there are the tables, with their indexes.
	if err := restic.EnoughRoom(hostspec.DataDir, hostspec.Manifest{Format: m.Format, Database: m.Database},
		true); err != nil {
		return 0, err
	}
	engine, err := docker.Connect()
	if err != nil {
		return 0, err
	}
	defer engine.Close()
	if err := docker.Pull(ctx, engine, spec.ClientImage, hostspec.RegistrySecret); err != nil {
		return 0, err
	}
	dir := hostspec.BackupCheck
	if err := os.RemoveAll(dir); err != nil { // of a killed run
		return 0, err
	}
	defer os.RemoveAll(dir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return 0, err
	}
	file, err := os.OpenFile(filepath.Join(dir, hostspec.DumpPart), os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o600)
	if err != nil {
		return 0, err
	}
	err = r.Run(ctx, file, "dump", "--no-lock", "--no-cache", s.Snapshot, path.Join(s.Path, hostspec.DumpPart))
	if err := errors.Join(src.Judge(ctx, err), file.Close()); err != nil {
		return 0, err
	}
	if sum, _, err := fsutil.HashFile(file.Name()); err != nil || sum != m.Database.SHA256 {
		return 0, errors.Join(fmt.Errorf("%w: its dump of the database is not the one of its manifest", restic.ErrDamaged),
			err)
	}
	return countInThrowAway(ctx, engine, spec.ClientImage, dir, m.Database)
}

// throwAway runs as the image's own postgres user: initdb refuses root.
const throwAway = `set -e
d=/check/postgres
initdb --pgdata "$d" --username postgres --auth trust --no-sync >/dev/null
options="-c listen_addresses= -c unix_socket_directories=/tmp -c fsync=off"
pg_ctl --pgdata "$d" --wait --silent --log /check/log -o "$options" start || { cat /check/log; exit 1; }
export PGHOST=/tmp PGUSER=postgres
createdb restored
pg_restore --no-owner --no-privileges --exit-on-error --dbname restored /check/db.dump
psql --no-psqlrc --tuples-only --no-align --dbname restored --file /check/count.sql
pg_ctl --pgdata "$d" --silent --mode immediate stop`

func countInThrowAway(ctx context.Context, engine *client.Client, image, dir string,
	want hostspec.DatabaseDump,
) (rows int64, err error) {
	var count strings.Builder
	for table := range want.Rows { // quoted by the server that listed them
		fmt.Fprintf(&count, "SELECT 'rows', $momentstudio$%s$momentstudio$, count(*) FROM %s;\n", table, table)
	}
	if err := os.WriteFile(filepath.Join(dir, "count.sql"), []byte(count.String()), 0o600); err != nil {
		return 0, err
	}
	for _, name := range []string{".", hostspec.DumpPart, "count.sql"} {
		if err := os.Chown(filepath.Join(dir, name), hostspec.PostgresUID, hostspec.PostgresUID); err != nil {
			return 0, err
		}
	}
	user := fmt.Sprintf("%d:%d", hostspec.PostgresUID, hostspec.PostgresUID)
	var log bytes.Buffer
	code, err := docker.Run(ctx, engine, docker.Task{
		Killable: true, Name: "momentstudio-backup-check-postgres", Image: image,
		Config: container.Config{User: user, Entrypoint: []string{"sh", "-c", throwAway}},
		Host:   container.HostConfig{Mounts: []mount.Mount{{Type: mount.TypeBind, Source: dir, Target: "/check"}}},
	}, &log)
	if err != nil {
		return 0, err
	}
	if code != 0 {
		return 0, fmt.Errorf("%w: a new Postgres does not take its dump (exit code %d):\n%s",
			restic.OrNoRoom(restic.ErrDamaged), code, docker.Keep("momentstudio-backup-check-postgres", log.String()))
	}
	have := map[string]int64{}
	for line := range strings.Lines(log.String()) {
		parts := strings.Split(strings.TrimSpace(line), "|")
		if len(parts) < 3 || parts[0] != "rows" {
			continue
		}
		n, err := strconv.ParseInt(parts[len(parts)-1], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("count the restored rows: %w", err)
		}
		have[strings.Join(parts[1:len(parts)-1], "|")] = n
	}
	for table, n := range want.Rows {
		if got, ok := have[table]; !ok || got != n {
			return 0, fmt.Errorf("%w: %s has %d rows after the restore, its manifest says %d", restic.ErrDamaged, table, got, n)
		}
		rows += n
	}
	return rows, nil
}
