package ops

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

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/docker/client"

	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
)

// sampleParts are the parts of a repository of which a check by sample reads one. It says which, so that a second look sees the same.
const sampleParts = 10

// secondLook is when a fault is looked at again that may be none.
var secondLook = 10 * time.Minute

// CheckBackups has every destination's repository checked by restic: its structure, and the content of a
// sample of its packs, or of all of them. With whole, the newest backup's dump is also restored into a Postgres
// that is thrown away, and its rows are counted.
func CheckBackups(ctx context.Context, spec hostspec.Backup, program string, whole bool, out io.Writer) error {
	read := "--read-data"
	if !whole {
		read = fmt.Sprintf("--read-data-subset=%d/%d", 1+rand.IntN(sampleParts), sampleParts) //nolint:gosec // a sample, no secret
	}
	var bad []error
	for i, d := range spec.Destinations {
		if i > 0 {
			// A backup that became due meanwhile takes its turn between two destinations: longer than it takes to look.
			select {
			case <-ctx.Done():
				return errors.Join(append(bad, ctx.Err())...)
			case <-time.After(2 * lockPoll):
			}
		}
		err := func() error {
			who := "a check of the backups, since " + time.Now().UTC().Format(time.RFC3339)
			release, err := LockInTurn(ctx, hostspec.BackupLock, "a backup", who, out)
			if err != nil {
				return err
			}
			defer release()
			r := repository{Destination: d, password: spec.Password, program: program}.withPassword(ctx, spec.OldPasswords)
			return r.check(ctx, spec, read, whole, out)
		}()
		if err != nil {
			bad = append(bad, fmt.Errorf("destination %s: %w", d.Name, err))
		}
	}
	return errors.Join(bad...)
}

func (r repository) check(ctx context.Context, spec hostspec.Backup, read string, whole bool, out io.Writer) error {
	all, err := r.snapshots(ctx)
	if err != nil {
		return err
	}
	if len(all) == 0 {
		return fmt.Errorf("%w: it holds none", ErrNoBackup)
	}
	// Without a lock of restic's: one that a killed check left would keep backups out for half an hour. This host's own keeps its backups
	// away, and of others only those write there who remove old snapshots.
	look := func() error {
		err := r.restic(ctx, io.Discard, "check", "--quiet", "--no-lock", "--no-cache", read)
		return stored{r, all[len(all)-1]}.judge(ctx, err)
	}
	if err = look(); errors.Is(err, ErrDamaged) && !r.Prune {
		fmt.Fprintf(out, "%s: %v; others remove old snapshots there, which looks like a fault while it lasts: it is looked at again in %s\n", r.Name, err, secondLook)
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
	newest, err := pick(all, "latest", time.Now())
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s: %d backups, the newest of %s; restic check %s finds no fault\n", r.Name, len(all), newest.ID, read)
	if !whole {
		return nil
	}
	rows, err := r.prove(ctx, spec, newest)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s: the dump of %s was restored into a new Postgres: %d rows, as its manifest says\n", r.Name, newest.ID, rows)
	return nil
}

// prove restores a backup's dump into a Postgres of its own, without network, and compares the rows of
// every table with the manifest.
func (r repository) prove(ctx context.Context, spec hostspec.Backup, s Snapshot) (rows int64, err error) {
	src := stored{r, s}
	m, err := src.describe(ctx)
	if err != nil {
		return 0, err
	}
	// Beside the dump there are the tables, with their indexes.
	if err := enoughRoom(hostspec.DataDir, Manifest{Format: m.Format, Database: m.Database}, true); err != nil {
		return 0, err
	}
	docker, err := connectDocker()
	if err != nil {
		return 0, err
	}
	defer docker.Close()
	if err := pull(ctx, docker, spec.ClientImage, hostspec.RegistrySecret); err != nil {
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
	file, err := os.OpenFile(filepath.Join(dir, dumpPart), os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o600)
	if err != nil {
		return 0, err
	}
	err = r.restic(ctx, file, "dump", "--no-lock", "--no-cache", s.Snapshot, path.Join(s.path, dumpPart))
	if err := errors.Join(src.judge(ctx, err), file.Close()); err != nil {
		return 0, err
	}
	if sum, _, err := hashFile(file.Name()); err != nil || sum != m.Database.SHA256 {
		return 0, errors.Join(fmt.Errorf("%w: its dump of the database is not the one of its manifest", ErrDamaged), err)
	}
	return countInThrowAway(ctx, docker, spec.ClientImage, dir, m.Database)
}

// throwAway runs as the image's own postgres user: initdb refuses root.
const throwAway = `set -e
d=/check/postgres
initdb --pgdata "$d" --username postgres --auth trust --no-sync >/dev/null
pg_ctl --pgdata "$d" --wait --silent --log /check/log -o "-c listen_addresses= -c unix_socket_directories=/tmp -c fsync=off" start || { cat /check/log; exit 1; }
export PGHOST=/tmp PGUSER=postgres
createdb restored
pg_restore --no-owner --no-privileges --exit-on-error --dbname restored /check/db.dump
psql --no-psqlrc --tuples-only --no-align --dbname restored --file /check/count.sql
pg_ctl --pgdata "$d" --silent --mode immediate stop`

func countInThrowAway(ctx context.Context, docker *client.Client, image, dir string, want DatabasePart) (rows int64, err error) {
	var count strings.Builder
	for table := range want.Rows { // quoted by the server that listed them
		fmt.Fprintf(&count, "SELECT 'rows', $momentstudio$%s$momentstudio$, count(*) FROM %s;\n", table, table)
	}
	if err := os.WriteFile(filepath.Join(dir, "count.sql"), []byte(count.String()), 0o600); err != nil {
		return 0, err
	}
	for _, name := range []string{".", dumpPart, "count.sql"} {
		if err := os.Chown(filepath.Join(dir, name), hostspec.PostgresUID, hostspec.PostgresUID); err != nil {
			return 0, err
		}
	}
	user := fmt.Sprintf("%d:%d", hostspec.PostgresUID, hostspec.PostgresUID)
	var log bytes.Buffer
	code, err := run(ctx, docker, task{
		killable: true, name: "momentstudio-backup-check-postgres", image: image,
		config: container.Config{User: user, Entrypoint: []string{"sh", "-c", throwAway}},
		host:   container.HostConfig{Mounts: []mount.Mount{{Type: mount.TypeBind, Source: dir, Target: "/check"}}},
	}, &log)
	if err != nil {
		return 0, err
	}
	if code != 0 {
		return 0, fmt.Errorf("%w: a new Postgres does not take its dump (exit code %d):\n%s", orNoRoom(ErrDamaged), code, lastLines(log.String(), 20))
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
			return 0, fmt.Errorf("%w: %s has %d rows after the restore, its manifest says %d", ErrDamaged, table, got, n)
		}
		rows += n
	}
	return rows, nil
}

// BackupAge says how old the newest verified backup is, and fails when that is more than the spec allows.
// Before the first backup it is the age of the data volume.
func BackupAge(spec hostspec.Backup, state BackupState, volume, now time.Time) (string, error) {
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
		return text, fmt.Errorf("backups are overdue: backup.maxAgeHours is %d; fix: `journalctl -u momentstudio-backup` tells what stops them, and `systemctl start momentstudio-backup` makes one now", spec.MaxAgeHours)
	case age < -time.Hour:
		return text, fmt.Errorf("the newest backup is of %s, which is still to come: the host's clock was wrong then, or is now; fix: set it (timedatectl), then make a backup (systemctl start momentstudio-backup)", newest.UTC().Format(time.RFC3339))
	}
	return text, nil
}
