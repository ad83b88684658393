package release

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/client"

	"github.com/prekzursil/momentstudio-infra/internal/hostops/docker"
	"github.com/prekzursil/momentstudio-infra/internal/hostops/postgres"
	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
	"github.com/prekzursil/momentstudio-infra/internal/redact"
)

// Migration runs the application's migrations with a release's image.
type Migration struct {
	Image        string   // the release's backend, reference with digest
	ClientImage  string   // image with pg_dump and pg_restore, of the server's version or newer
	EnvFile      string   // the application's .env on the host, mounted as /app/.env
	Network      string   // attachable network on which the database is reached
	BackupDir    string   // where the dump of before a migration is kept
	RegistryAuth string   // file with the registry's credentials; may be missing
	Compatible   []string // revisions newer than the image's that the release is declared to work with

	// LockLimit is how long a statement of the migration may wait for a lock; required.
	LockLimit time.Duration

	Dotenv string // content of the application's .env, instead of EnvFile
}

// MigrationContainer is fixed, so that a killed run's container is found and not doubled.
const MigrationContainer = "momentstudio-migration"

// Migrate brings the schema to the head of the image's migrations: under an advisory lock, because
// two upgrades at once break each other (app-contract §4.2), and after a backup that was read back.
// A schema that is there already needs neither.
func Migrate(ctx context.Context, m Migration, out io.Writer) error {
	url, err := postgres.ReadURL("")
	if err != nil {
		return err
	}
	conn, err := postgres.ConnectURL(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	fmt.Fprintln(out, "waiting for the migration lock")
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock($1)", int64(hostspec.MigrationLock)); err != nil {
		return fmt.Errorf("take the migration lock: %w", err)
	}
	engine, err := docker.Connect()
	if err != nil {
		return err
	}
	defer engine.Close()
	if err := docker.Pull(ctx, engine, m.Image, m.RegistryAuth); err != nil {
		return err
	}
	if err := docker.Settle(ctx, engine, MigrationContainer); err != nil { // a killed run's migration may still be at work
		return err
	}
	before, err := postgres.Revision(ctx, conn)
	if err != nil {
		return err
	}
	head, err := m.head(ctx, engine)
	if err != nil {
		return err
	}
	if before == head {
		fmt.Fprintln(out, "the schema is at", head, "already")
		return nil
	}
	if before != "" {
		known, err := m.Knows(ctx, engine, before)
		if err != nil {
			return err
		}
		if !known {
			return m.ahead(before, head, out)
		}
		if err := m.backup(ctx, engine, conn, before, out); err != nil {
			return fmt.Errorf("back up the database before its migration from %s to %s: %w", before, head, err)
		}
	}
	if err := m.upgrade(ctx, engine, url, cmp.Or(before, "nothing"), head, out); err != nil {
		return err
	}
	after, err := postgres.Revision(ctx, conn)
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "the schema is at", after)
	return nil
}

// upgrade migrates, and tries again when the migration was ended because it waited too long for a lock.
func (m Migration) upgrade(ctx context.Context, engine *client.Client, url, before, head string, out io.Writer) error {
	for try := 1; ; try++ {
		code, printed, blockers, err := m.upgradeOnce(ctx, engine, url, out)
		if err != nil {
			return err
		}
		if code == 0 {
			if said := redact.Tail(printed, longestUpgrade); said != "" {
				fmt.Fprintln(out, said)
			}
			return nil
		}
		if len(blockers) == 0 {
			return fmt.Errorf("alembic upgrade head exited with code %d; the schema may be between %s and %s, the old release "+
				"keeps serving\n%s", code, before, head, docker.Keep(MigrationContainer, printed))
		}
		fmt.Fprintf(out, "try %d of %d: the migration waited %s for a lock and was ended. The lock is held by %s\n",
			try, lockTries, m.LockLimit, blockers[0])
		if try == lockTries {
			return held(blockers, m.LockLimit, before, head)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(lockPause):
		}
	}
}

// upgradeOnce migrates and returns alembic's exit code, what it printed, and the sessions that kept it from its lock.
func (m Migration) upgradeOnce(ctx context.Context, engine *client.Client, url string, out io.Writer) (code int64,
	printed string, blockers []Blocker, err error,
) {
	conn, err := postgres.ConnectURL(ctx, url)
	if err != nil {
		return 0, "", nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	// The login acts as the owner of the schema, who may not cancel what the login runs.
	if _, err := conn.Exec(ctx, "SET ROLE NONE"); err != nil {
		return 0, "", nil, fmt.Errorf("watch the migration's locks: %w", err)
	}
	watched, end := context.WithCancel(ctx)
	defer end()
	found := make(chan []Blocker, 1)
	go func() { found <- lockWatch{conn: conn, limit: m.LockLimit}.run(watched, engine, out) }()
	var log strings.Builder
	code, err = docker.Run(ctx, engine, m.Alembic("upgrade", "head"), &log)
	end()
	return code, log.String(), <-found, err
}

// longestUpgrade is more lines than the application has migrations.
const longestUpgrade = 500

// held is the error of a migration that did not get its lock.
func held(blockers []Blocker, limit time.Duration, before, head string) error {
	lines := make([]string, 0, len(blockers))
	for _, b := range blockers {
		lines = append(lines, "  - "+b.String())
	}
	return fmt.Errorf("the migration from %s to %s needs a lock that others hold: it was tried %d times, waited %s each "+
		"time, and was rolled back; the old release keeps serving. Sessions that hold the lock:\n%s\n"+
		"Fix: wait until they end, or end them on the host with `docker exec $(docker ps -q --filter name=%s.) psql -U "+
		"postgres -c 'SELECT pg_terminate_backend(%d)'`, and run `studio up` again",
		before, head, lockTries, limit, strings.Join(lines, "\n"), hostspec.PostgresService, blockers[0].PID)
}

// unknownRevision is what alembic prints of a revision that its migrations lack (alembic/script/base.py); its exit code
// is that of every other failure.
var unknownRevision = regexp.MustCompile(`Can't locate revision identified by '([^']+)'`)

// UnknownRevision reads from the output of alembic which revision the image does not know.
func UnknownRevision(output string) (revision string, unknown bool) {
	m := unknownRevision.FindStringSubmatch(output)
	if m == nil {
		return "", false
	}
	return redact.Revision(m[1]), true
}

// Knows asks the image for a revision. One that it does not know is a newer release's.
func (m Migration) Knows(ctx context.Context, engine *client.Client, revision string) (bool, error) {
	var log strings.Builder
	code, err := docker.Run(ctx, engine, m.Alembic("show", revision), &log)
	switch {
	case err != nil:
		return false, err
	case code == 0:
		return true, nil
	default:
		if _, unknown := UnknownRevision(log.String()); unknown {
			return false, nil
		}
		return false, fmt.Errorf("alembic show %s exited with code %d:\n%s", revision, code, docker.Keep(MigrationContainer,
			log.String()))
	}
}

// ahead judges a schema that is newer than the image.
func (m Migration) ahead(before, head string, out io.Writer) error {
	if slices.Contains(m.Compatible, before) {
		fmt.Fprintf(out, "the schema is at %s, which this release (%s) is declared to work with\n", before, head)
		return nil
	}
	return fmt.Errorf(`the database is at revision %[1]s, which the release's image (%[2]s) does not know: `+
		`a newer release has migrated it. Nothing was changed, and there are two ways out:
  - this release works with that schema: set release.compatibleRevisions to ["%[1]s"] and update again
  - it does not: take the schema back with the newer image first (alembic downgrade), as docs/guides/roll-back.md says`,
		before, head)
}

// Alembic is a command of the release's image. The entrypoint would migrate by itself; the command
// is the one that counts.
func (m Migration) Alembic(args ...string) docker.Task {
	t := docker.Task{
		Name: MigrationContainer, Image: m.Image, Network: m.Network,
		Config: container.Config{
			Cmd: append([]string{"alembic"}, args...),
			Env: []string{"RUN_DB_MIGRATIONS=0", "ENVIRONMENT=production"},
		},
	}
	if m.Dotenv != "" {
		t.Files = map[string]string{hostspec.AppEnvFile: m.Dotenv}
	} else {
		t.Host.Mounts = []mount.Mount{{Type: mount.TypeBind, Source: m.EnvFile, Target: hostspec.AppEnvFile, ReadOnly: true}}
	}
	return t
}

// head asks the image for the newest of its migrations.
func (m Migration) head(ctx context.Context, engine *client.Client) (string, error) {
	var log strings.Builder
	code, err := docker.Run(ctx, engine, m.Alembic("heads"), &log)
	if err != nil {
		return "", err
	}
	var heads []string
	for line := range strings.Lines(log.String()) {
		if name, ok := strings.CutSuffix(strings.TrimSpace(line), " (head)"); ok {
			heads = append(heads, name)
		}
	}
	if code != 0 || len(heads) != 1 {
		return "", fmt.Errorf("the release's image names %d newest migrations, want one (alembic heads exited with code "+
			"%d):\n%s", len(heads), code, docker.Keep(MigrationContainer, log.String()))
	}
	return heads[0], nil
}
