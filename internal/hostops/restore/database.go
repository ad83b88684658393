package restore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/client"

	"github.com/prekzursil/momentstudio-infra/internal/hostops/docker"
	"github.com/prekzursil/momentstudio-infra/internal/hostops/journal"
	"github.com/prekzursil/momentstudio-infra/internal/hostops/postgres"
	"github.com/prekzursil/momentstudio-infra/internal/hostops/release"
	"github.com/prekzursil/momentstudio-infra/internal/hostops/restic"
	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
	"github.com/prekzursil/momentstudio-infra/internal/redact"
)

// databases are the live database and the one beside it, on the same server.
type databases struct {
	admin       *pgx.Conn // on another database of the server: neither can be renamed by who is on it
	local       bool      // the server is this stack's own, on the data volume
	live, aside string    // names
	urlLive     string
	urlAside    string
}

// openDatabases connects as the superuser to the stack's own server, and with the application's own login to
// an external one, which must then be allowed to create databases.
func openDatabases(ctx context.Context) (*databases, error) {
	url, err := postgres.ReadURL("")
	if err != nil {
		return nil, err
	}
	d := &databases{urlLive: url}
	if d.live, err = postgres.NameOf(d.urlLive); err != nil {
		return nil, err
	}
	d.aside = d.live + hostspec.AsideDatabase
	d.urlAside = postgres.WithName(d.urlLive, d.aside)
	password, err := postgres.ReadPassword(hostspec.SuperuserSecret)
	switch {
	case err == nil:
		d.local = true
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		d.admin, err = postgres.Connect(ctx, hostspec.PostgresHost, hostspec.SuperuserName, password, "postgres")
	case errors.Is(err, fs.ErrNotExist):
		if d.live == "postgres" {
			return nil, errors.New("the application's database is the server's own database postgres, which cannot be " +
				"renamed: move it to one of its own first")
		}
		d.admin, err = postgres.ConnectURL(ctx, postgres.WithName(d.urlLive, "postgres"))
	}
	if err != nil {
		return nil, err
	}
	var may bool
	if err := d.admin.QueryRow(ctx, `SELECT (SELECT rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user)
		AND (SELECT pg_has_role(datdba, 'USAGE') FROM pg_database WHERE datname = $1)`, d.live).Scan(&may); err != nil ||
		!may {
		d.close(ctx)
		return nil, errors.Join(fmt.Errorf("the role that restores may not create databases, or does not own %s: a restore "+
			"needs both", d.live), err)
	}
	return d, nil
}

func (d *databases) close(ctx context.Context) { _ = d.admin.Close(context.WithoutCancel(ctx)) }

// restoreContainer is fixed, so that a killed run's container is found and not doubled.
const restoreContainer = "momentstudio-restore-load"

// noneAside fails when the database beside the live one is there.
func (d *databases) noneAside(ctx context.Context) error {
	var there bool
	if err := d.admin.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)",
		d.aside).Scan(&there); err != nil {
		return fmt.Errorf("look for database %s: %w", d.aside, err)
	}
	if there {
		return fmt.Errorf("%w: there is a database %s, and no journal says of which; fix: look at it, and when nobody "+
			"needs it, drop it by hand (DROP DATABASE)", journal.ErrUnfinished, d.aside)
	}
	return nil
}

// load restores the dump into a new database: a dump that is taken into an existing one breaks on what is
// there (app-contract §6.3).
func (d *databases) load(ctx context.Context, engine *client.Client, spec hostspec.Backup, m hostspec.Manifest) error {
	create := "CREATE DATABASE " + pgx.Identifier{d.aside}.Sanitize() + " TEMPLATE template0"
	if d.local {
		create += " OWNER " + pgx.Identifier{hostspec.OwnerRole}.Sanitize()
	}
	if _, err := d.admin.Exec(ctx, create); err != nil {
		return fmt.Errorf("create database %s: %w", d.aside, err)
	}
	conn, err := postgres.ConnectURL(ctx, d.urlAside)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var log strings.Builder
	code, err := docker.Run(ctx, engine, docker.Task{
		Killable: true, Name: restoreContainer, Image: spec.ClientImage, Network: spec.Network,
		Config: container.Config{
			User: "0:0", Entrypoint: []string{"pg_restore"}, Env: postgres.ClientEnv(conn.Config()),
			Cmd: []string{
				"--no-password", "--no-owner", "--no-privileges", "--exit-on-error", "--jobs=2", "--dbname=" + d.aside,
				"/restore/" + hostspec.DumpPart,
			},
		},
		Host: container.HostConfig{Mounts: []mount.Mount{{
			Type: mount.TypeBind, Source: hostspec.RestoreFiles,
			Target: "/restore", ReadOnly: true,
		}}},
		Files: map[string]string{postgres.PassFilePath: postgres.PassFile(conn.Config().Password)},
	}, &log)
	if err != nil {
		return err
	}
	if code != 0 && conn.Ping(ctx) != nil {
		return fmt.Errorf("the database went away while the dump was loaded:\n%s",
			docker.Keep(restoreContainer, log.String()))
	}
	if code != 0 {
		return fmt.Errorf("%w: pg_restore exited with code %d:\n%s", restic.OrNoRoom(restic.ErrDamaged), code,
			docker.Keep(restoreContainer, log.String()))
	}
	tx, err := conn.Begin(ctx)
	if err != nil {
		return err
	}
	defer tx.Rollback(context.WithoutCancel(ctx)) //nolint:errcheck // it only reads
	rows, err := postgres.CountRows(ctx, tx)
	if err != nil {
		return err
	}
	for table, want := range m.Database.Rows {
		if have, ok := rows[table]; !ok || have != want {
			return fmt.Errorf("%w: %s has %d rows after the restore, its manifest says %d", restic.ErrDamaged, table, have, want)
		}
	}
	return nil
}

// migrate brings the new database to the release's schema. The revision of an old archive is known only here.
func (d *databases) migrate(ctx context.Context, engine *client.Client, m release.Migration,
	manifest *hostspec.Manifest, out io.Writer,
) error {
	conn, err := postgres.ConnectURL(ctx, d.urlAside)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if manifest.Revision, err = postgres.Revision(ctx, conn); err != nil {
		return err
	}
	if manifest.Revision == "" {
		return fmt.Errorf("%w: its database has no schema of the shop", restic.ErrDamaged)
	}
	known, err := m.Knows(ctx, engine, manifest.Revision)
	if err != nil {
		return err
	}
	if !known {
		return accepts(ctx, m, engine, *manifest)
	}
	var log strings.Builder
	code, err := docker.Run(ctx, engine, m.Alembic("upgrade", "head"), &log)
	if err != nil {
		return err
	}
	if code != 0 {
		return fmt.Errorf("alembic upgrade head exited with code %d on the restored database:\n%s", code,
			docker.Keep(release.MigrationContainer, log.String()))
	}
	if said := redact.Tail(log.String(), 500); said != "" {
		fmt.Fprintln(out, said)
	}
	_, err = conn.Exec(ctx, "ANALYZE") // pg_restore leaves the planner without statistics
	return err
}

// accepts refuses a schema that is newer than the release and that the release is not declared to work with.
func accepts(ctx context.Context, m release.Migration, engine *client.Client, manifest hostspec.Manifest) error {
	if manifest.Revision == "" { // an old archive's: its dump tells later
		return nil
	}
	for _, r := range m.Compatible {
		if r == manifest.Revision {
			return nil
		}
	}
	known, err := m.Knows(ctx, engine, manifest.Revision)
	if err != nil || known {
		return err
	}
	return fmt.Errorf("%w: its revision %s is unknown to the image %s; fix: deploy the release that it was made with "+
		"(%s) first, or take an older backup; nothing was changed",
		ErrNewerSchema, manifest.Revision, m.Image, cmp.Or(manifest.Release, "its archive does not say which"))
}

// oids identifies both databases whatever they are called.
func (d *databases) oids(ctx context.Context) (map[hostspec.RestoreSide]uint32, error) {
	at := map[hostspec.RestoreSide]uint32{}
	for side, name := range map[hostspec.RestoreSide]string{hostspec.SideBefore: d.live, hostspec.SideRestored: d.aside} {
		oid, err := d.oid(ctx, name)
		if err != nil {
			return nil, err
		}
		at[side] = oid
	}
	return at, nil
}

func (d *databases) oid(ctx context.Context, name string) (oid uint32, err error) {
	if err := d.admin.QueryRow(ctx, "SELECT oid FROM pg_database WHERE datname = $1", name).Scan(&oid); err != nil {
		return 0, fmt.Errorf("look for database %s: %w", name, err)
	}
	return oid, nil
}

// serves fails when another database has the live name.
func (d *databases) serves(ctx context.Context, want uint32) error {
	if have, err := d.oid(ctx, d.live); err != nil || have != want {
		return errors.Join(fmt.Errorf("database %s is not the one that the journal names: nothing is removed", d.live), err)
	}
	return nil
}

// exchange gives the two databases each other's name, in one transaction, unless that is done.
func (d *databases) exchange(ctx context.Context, want uint32) error {
	live, aside := pgx.Identifier{d.live}.Sanitize(), pgx.Identifier{d.aside}.Sanitize()
	between := pgx.Identifier{d.live + "_between"}.Sanitize()
	for try := 0; ; try++ {
		if d.serves(ctx, want) == nil {
			return nil
		}
		if have, err := d.oid(ctx, d.aside); err != nil || have != want {
			return errors.Join(fmt.Errorf("neither %s nor %s is the database that the journal names", d.live, d.aside), err)
		}
		// What this does not end, somebody else's, makes the renaming fail and be tried again.
		_, _ = d.admin.Exec(ctx, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname IN ($1, $2) AND "+
			"backend_type = 'client backend'", d.live, d.aside)
		_, err := d.admin.Exec(ctx, fmt.Sprintf("BEGIN; ALTER DATABASE %[1]s RENAME TO %[3]s; ALTER DATABASE %[2]s RENAME "+
			"TO %[1]s; ALTER DATABASE %[3]s RENAME TO %[2]s; COMMIT", live, aside, between))
		if err == nil {
			continue // look whether it is the wanted one now
		}
		_, _ = d.admin.Exec(ctx, "ROLLBACK")
		var answer *pgconn.PgError
		if !errors.As(err, &answer) || answer.Code != "55006" || try == 20 { // object_in_use: somebody has connected again
			return fmt.Errorf("exchange the databases %s and %s: %w", d.live, d.aside, err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(500 * time.Millisecond):
		}
	}
}

func (d *databases) dropAside(ctx context.Context) error {
	if _, err := d.admin.Exec(ctx, "DROP DATABASE IF EXISTS "+pgx.Identifier{d.aside}.Sanitize()+
		" WITH (FORCE)"); err != nil {
		return fmt.Errorf("drop database %s: %w", d.aside, err)
	}
	return nil
}
