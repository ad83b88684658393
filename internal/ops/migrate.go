package ops

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/docker/client"
	"github.com/jackc/pgx/v5"

	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
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

	dotenv string // content of the application's .env, instead of EnvFile
}

// migrationContainer is fixed, so that a killed run's container is found and not doubled.
const migrationContainer = "momentstudio-migration"

// Migrate brings the schema to the head of the image's migrations: under an advisory lock, because
// two upgrades at once break each other (app-contract §4.2), and after a backup that was read back.
// A schema that is there already needs neither.
func Migrate(ctx context.Context, m Migration, out io.Writer) error {
	text, err := os.ReadFile(m.EnvFile)
	if err != nil {
		return fmt.Errorf("read the application's settings: %w", err)
	}
	conn, err := connectURL(ctx, databaseURL(string(text)))
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	fmt.Fprintln(out, "waiting for the migration lock")
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock($1)", int64(hostspec.MigrationLock)); err != nil {
		return fmt.Errorf("take the migration lock: %w", err)
	}
	docker, err := connectDocker()
	if err != nil {
		return err
	}
	defer docker.Close()
	if err := pull(ctx, docker, m.Image, m.RegistryAuth); err != nil {
		return err
	}
	if err := settle(ctx, docker, migrationContainer); err != nil { // a killed run's migration may still be at work
		return err
	}
	before, err := revision(ctx, conn)
	if err != nil {
		return err
	}
	head, err := m.head(ctx, docker)
	if err != nil {
		return err
	}
	if before == head {
		fmt.Fprintln(out, "the schema is at", head, "already")
		return nil
	}
	if before != "" {
		known, err := m.knows(ctx, docker, before)
		if err != nil {
			return err
		}
		if !known {
			return m.ahead(before, head, out)
		}
		if err := m.backup(ctx, docker, conn, before, out); err != nil {
			return fmt.Errorf("back up the database before its migration from %s to %s: %w", before, head, err)
		}
	}
	code, err := run(ctx, docker, m.alembic("upgrade", "head"), out)
	if err != nil {
		return err
	}
	if code != 0 {
		return fmt.Errorf("alembic upgrade head exited with code %d; the schema may be between %s and %s, the old release keeps serving", code, cmp.Or(before, "nothing"), head)
	}
	after, err := revision(ctx, conn)
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "the schema is at", after)
	return nil
}

// knows asks the image for a revision. One that it does not know is a newer release's.
func (m Migration) knows(ctx context.Context, docker *client.Client, revision string) (bool, error) {
	var log strings.Builder
	code, err := run(ctx, docker, m.alembic("show", revision), &log)
	switch {
	case err != nil:
		return false, err
	case code == 0:
		return true, nil
	case strings.Contains(log.String(), "Can't locate revision identified by"):
		return false, nil
	default:
		return false, fmt.Errorf("alembic show %s exited with code %d:\n%s", revision, code, log.String())
	}
}

// ahead judges a schema that is newer than the image.
func (m Migration) ahead(before, head string, out io.Writer) error {
	if slices.Contains(m.Compatible, before) {
		fmt.Fprintf(out, "the schema is at %s, which this release (%s) is declared to work with\n", before, head)
		return nil
	}
	return fmt.Errorf(`the database is at revision %[1]s, which the release's image (%[2]s) does not know: a newer release has migrated it. Nothing was changed, and there are two ways out:
  - this release works with that schema: set release.compatibleRevisions to ["%[1]s"] and update again
  - it does not: take the schema back with the newer image first (alembic downgrade), as docs/guides/roll-back.md says`, before, head)
}

// alembic is a command of the release's image. The entrypoint would migrate by itself; the command
// is the one that counts.
func (m Migration) alembic(args ...string) task {
	t := task{
		name: migrationContainer, image: m.Image, net: m.Network,
		config: container.Config{Cmd: append([]string{"alembic"}, args...), Env: []string{"RUN_DB_MIGRATIONS=0", "ENVIRONMENT=production"}},
	}
	if m.dotenv != "" {
		t.files = map[string]string{hostspec.AppEnvFile: m.dotenv}
	} else {
		t.host.Mounts = []mount.Mount{{Type: mount.TypeBind, Source: m.EnvFile, Target: hostspec.AppEnvFile, ReadOnly: true}}
	}
	return t
}

// head asks the image for the newest of its migrations.
func (m Migration) head(ctx context.Context, docker *client.Client) (string, error) {
	var log strings.Builder
	code, err := run(ctx, docker, m.alembic("heads"), &log)
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
		return "", fmt.Errorf("the release's image names %d newest migrations, want one (alembic heads exited with code %d):\n%s", len(heads), code, log.String())
	}
	return heads[0], nil
}

// revision reads where the schema is; empty for a database without one.
func revision(ctx context.Context, conn *pgx.Conn) (string, error) {
	var known bool
	if err := conn.QueryRow(ctx, "SELECT to_regclass('alembic_version') IS NOT NULL").Scan(&known); err != nil || !known {
		return "", errors.Join(err)
	}
	var at *string
	if err := conn.QueryRow(ctx, "SELECT string_agg(version_num, ',') FROM alembic_version").Scan(&at); err != nil {
		return "", fmt.Errorf("read the schema's revision: %w", err)
	}
	if at == nil {
		return "", nil
	}
	return *at, nil
}

// connectURL connects by the application's own URL.
func connectURL(ctx context.Context, raw string) (*pgx.Conn, error) {
	u, err := url.Parse(strings.Replace(raw, "postgresql+asyncpg://", "postgresql://", 1))
	if err != nil || u.Host == "" {
		return nil, errors.New("DATABASE_URL in the application's settings is not a URL") // never quote it
	}
	port, err := strconv.ParseUint(cmp.Or(u.Port(), strconv.Itoa(hostspec.PostgresPort)), 10, 16)
	if err != nil {
		return nil, errors.New("DATABASE_URL in the application's settings has no usable port")
	}
	// The port belongs into the text: the attempt without TLS copies it from there.
	config, err := pgx.ParseConfig(fmt.Sprintf("host=%s port=%d sslmode=prefer connect_timeout=5", u.Hostname(), port))
	if err != nil {
		return nil, errors.New("DATABASE_URL in the application's settings names no usable host")
	}
	config.User = u.User.Username()
	config.Password, _ = u.User.Password()
	config.Database = strings.TrimPrefix(u.Path, "/")
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("connect to the database at %s as %s: %w", u.Hostname(), config.User, err)
	}
	return conn, nil
}

// databaseURL reads the database's address from a file that render.DotEnv wrote.
func databaseURL(text string) string {
	for line := range strings.Lines(text) {
		if v, ok := strings.CutPrefix(strings.TrimRight(line, "\n"), "DATABASE_URL="); ok {
			v = strings.TrimSuffix(strings.TrimPrefix(v, "'"), "'")
			return strings.NewReplacer(`\'`, `'`, `\\`, `\`).Replace(v)
		}
	}
	return ""
}

// withDatabaseURL is the application's settings with another database in them.
func withDatabaseURL(text, url string) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "DATABASE_URL=") {
			line = "DATABASE_URL='" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(url) + "'\n"
		}
		out.WriteString(line)
	}
	return out.String()
}

// lineWriter passes whole lines on, each cut at 8 KiB: a longer one would end the Docker provider
// of older releases, which reads a job's log by lines of at most 64 KiB.
type lineWriter struct {
	out io.Writer
	buf []byte
}

func (w *lineWriter) Write(p []byte) (int, error) {
	w.buf = append(w.buf, p...)
	for {
		advance, line, _ := bufio.ScanLines(w.buf, false)
		if advance == 0 {
			return len(p), nil
		}
		fmt.Fprintf(w.out, "%s\n", line[:min(len(line), 8<<10)])
		w.buf = w.buf[advance:]
	}
}

// Flush passes on what came after the last line break.
func (w *lineWriter) Flush() {
	if len(w.buf) > 0 {
		fmt.Fprintf(w.out, "%s\n", w.buf[:min(len(w.buf), 8<<10)])
		w.buf = nil
	}
}
