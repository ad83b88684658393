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
	"strconv"
	"strings"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/client"
	"github.com/docker/docker/pkg/stdcopy"
	"github.com/jackc/pgx/v5"

	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
)

// Migration runs the application's migrations with a release's image.
type Migration struct {
	Image   string // reference with digest
	EnvFile string // the application's .env on the host, mounted as /app/.env
	Network string // attachable network on which the database is reached
}

// migrationContainer is fixed, so that a killed run's container is found and not doubled.
const migrationContainer = "momentstudio-migration"

// Migrate holds the advisory lock and runs `alembic upgrade head` in a container of the image. Two
// upgrades at once break each other (app-contract §4.2); the second waits here.
func Migrate(ctx context.Context, m Migration, out io.Writer) error {
	text, err := os.ReadFile(m.EnvFile)
	if err != nil {
		return fmt.Errorf("read the application's settings: %w", err)
	}
	conn, err := connectURL(ctx, dotEnvValue(string(text), "DATABASE_URL"))
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	fmt.Fprintln(out, "waiting for the migration lock")
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock($1)", int64(hostspec.MigrationLock)); err != nil {
		return fmt.Errorf("take the migration lock: %w", err)
	}
	docker, err := client.NewClientWithOpts(client.FromEnv, client.WithAPIVersionNegotiation())
	if err != nil {
		return fmt.Errorf("reach Docker: %w", err)
	}
	defer docker.Close()
	if err := runMigration(ctx, docker, m, out); err != nil {
		return err
	}
	var revision string
	if err := conn.QueryRow(ctx, "SELECT string_agg(version_num, ',') FROM alembic_version").Scan(&revision); err != nil {
		return fmt.Errorf("read the schema's revision after the migration: %w", err)
	}
	fmt.Fprintln(out, "the schema is at", revision)
	return nil
}

func runMigration(ctx context.Context, docker *client.Client, m Migration, out io.Writer) error {
	// A container of this name is a killed run's: the lock is ours, so nobody watches it any more,
	// but it may still be migrating. It is waited for, never killed in the middle of a revision.
	if old, err := docker.ContainerInspect(ctx, migrationContainer); err == nil {
		if old.State.Running {
			fmt.Fprintln(out, "an earlier run's migration is still at work; waiting for its end")
			if _, err := waitFor(ctx, docker, old.ID); err != nil {
				return err
			}
		}
		if err := docker.ContainerRemove(ctx, old.ID, container.RemoveOptions{}); err != nil {
			return fmt.Errorf("remove an earlier migration's container: %w", err)
		}
	}
	if err := ensureImage(ctx, docker, m.Image); err != nil {
		return err
	}
	made, err := docker.ContainerCreate(ctx,
		&container.Config{
			Image: m.Image, Cmd: []string{"alembic", "upgrade", "head"},
			// The entrypoint would migrate by itself; the command is the one that counts.
			Env: []string{"RUN_DB_MIGRATIONS=0", "ENVIRONMENT=production"},
		},
		&container.HostConfig{
			Mounts:  []mount.Mount{{Type: mount.TypeBind, Source: m.EnvFile, Target: hostspec.AppEnvFile, ReadOnly: true}},
			CapDrop: []string{"ALL"},
		},
		&network.NetworkingConfig{EndpointsConfig: map[string]*network.EndpointSettings{m.Network: {}}}, nil, migrationContainer)
	if err != nil {
		return fmt.Errorf("create the migration's container: %w", err)
	}
	defer docker.ContainerRemove(context.WithoutCancel(ctx), made.ID, container.RemoveOptions{}) //nolint:errcheck // the next run removes it
	if err := docker.ContainerStart(ctx, made.ID, container.StartOptions{}); err != nil {
		return fmt.Errorf("start the migration: %w", err)
	}
	logs, err := docker.ContainerLogs(ctx, made.ID, container.LogsOptions{ShowStdout: true, ShowStderr: true, Follow: true})
	if err != nil {
		return fmt.Errorf("read the migration's log: %w", err)
	}
	lines := &lineWriter{out: out}
	_, _ = stdcopy.StdCopy(lines, lines, logs)
	lines.Flush()
	logs.Close()
	code, err := waitFor(ctx, docker, made.ID)
	if err != nil {
		return err
	}
	if code != 0 {
		return fmt.Errorf("alembic upgrade head exited with code %d; the schema may be between two revisions, the old release keeps serving", code)
	}
	return nil
}

func waitFor(ctx context.Context, docker *client.Client, id string) (int64, error) {
	result, failed := docker.ContainerWait(ctx, id, container.WaitConditionNotRunning)
	select {
	case r := <-result:
		return r.StatusCode, nil
	case err := <-failed:
		return 0, fmt.Errorf("wait for the migration: %w", err)
	}
}

func ensureImage(ctx context.Context, docker *client.Client, reference string) error {
	if _, err := docker.ImageInspect(ctx, reference); err == nil {
		return nil
	}
	progress, err := docker.ImagePull(ctx, reference, image.PullOptions{})
	if err != nil {
		return fmt.Errorf("pull %s: %w", reference, err)
	}
	defer progress.Close()
	if _, err := io.Copy(io.Discard, progress); err != nil {
		return fmt.Errorf("pull %s: %w", reference, err)
	}
	return nil
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

// dotEnvValue reads one value of a file that render.DotEnv wrote.
func dotEnvValue(text, name string) string {
	for line := range strings.Lines(text) {
		if v, ok := strings.CutPrefix(strings.TrimRight(line, "\n"), name+"="); ok {
			v = strings.TrimSuffix(strings.TrimPrefix(v, "'"), "'")
			return strings.NewReplacer(`\'`, `'`, `\\`, `\`).Replace(v)
		}
	}
	return ""
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
