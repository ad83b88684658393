package ops

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/docker/client"
	"github.com/jackc/pgx/v5"
)

// keptDumps is how many dumps of before a migration stay on the data volume.
const keptDumps = 10

// dump is one dump of the database to a file.
type dump struct {
	container    string // name of its container, one for each kind of dump
	clientImage  string // has pg_dump and pg_restore
	network      string
	registryAuth string
	dir, name    string // the file; its directory is also the host's
	snapshot     string // exported by the connection; empty: one of its own
	plain        bool   // not compressed: what stores it finds what it has already, and compresses itself
}

// backup dumps the database beside the migration's own connection.
func (m Migration) backup(ctx context.Context, docker *client.Client, conn *pgx.Conn, before string, out io.Writer) error {
	d := dump{
		container: "momentstudio-migration-dump", clientImage: m.ClientImage, network: m.Network, registryAuth: m.RegistryAuth, dir: m.BackupDir,
		name: time.Now().UTC().Format("20060102T150405Z") + "-" + before + ".dump",
	}
	tables, err := d.make(ctx, docker, conn)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "backed up to %s, and read back: %d tables\n", filepath.Join(d.dir, d.name), tables)
	return forgetDumps(m.BackupDir)
}

// tooLong is the exit code of a shell whose command wrote more than it may: 128 and SIGXFSZ.
const tooLong = 128 + 25

// make dumps the database and reads the dump back whole; it returns how many tables have data in it. A
// partial dump never has the name of a complete one.
func (d dump) make(ctx context.Context, docker *client.Client, conn *pgx.Conn) (tables int, err error) {
	if err := os.MkdirAll(d.dir, 0o700); err != nil {
		return 0, err
	}
	var size int64
	if err := conn.QueryRow(ctx, "SELECT pg_database_size(current_database())").Scan(&size); err != nil {
		return 0, fmt.Errorf("measure the database: %w", err)
	}
	free, err := freeMB(d.dir)
	if err != nil {
		return 0, err
	}
	if need := size>>20 + diskReserveMB; free < need {
		return 0, fmt.Errorf("the data volume has %d MB free, and a dump of the database may need %d MB; raise host.volumeSizeGB", free, need)
	}
	// Large values are compressed in the database, and a dump may be longer than it: Postgres keeps its reserve all the same.
	most := (free - diskReserveMB) << 20
	if err := pull(ctx, docker, d.clientImage, d.registryAuth); err != nil {
		return 0, err
	}
	partial := d.name + ".partial"
	config := conn.Config()
	compression := ""
	if d.plain {
		compression = "0"
	}
	var log strings.Builder
	// pg_restore without a database reads and decompresses all of the archive.
	script := `set -e; pg_dump -Fc --no-password ${2:+--snapshot="$2"} ${3:+--compress="$3"} -f "/backup/$1"; pg_restore -f /dev/null "/backup/$1"; echo "tables=$(pg_restore --list "/backup/$1" | grep -c 'TABLE DATA')"`
	code, err := run(ctx, docker, task{
		killable: true,
		name:     d.container, image: d.clientImage, net: d.network,
		config: container.Config{
			User: "0:0", Entrypoint: []string{"sh", "-c", script, "sh"}, Cmd: []string{partial, d.snapshot, compression},
			Env: clientEnv(config),
		},
		host: container.HostConfig{
			Mounts:    []mount.Mount{{Type: mount.TypeBind, Source: d.dir, Target: "/backup"}},
			Resources: container.Resources{Ulimits: []*container.Ulimit{{Name: "fsize", Soft: most, Hard: most}}},
		},
		files: map[string]string{pgpassFile: pgpass(config.Password)},
	}, &log)
	if err == nil && code == tooLong {
		err = fmt.Errorf("the dump is longer than the %d MB that it may take of the %d MB that are free on the data volume; raise host.volumeSizeGB", most>>20, free)
	}
	if err == nil && code != 0 {
		err = fmt.Errorf("pg_dump or pg_restore exited with code %d:\n%s", code, log.String())
	}
	if err == nil {
		tables, err = tablesOf(log.String())
	}
	if err != nil {
		_ = os.Remove(filepath.Join(d.dir, partial))
		return 0, err
	}
	return tables, publish(filepath.Join(d.dir, partial), filepath.Join(d.dir, d.name))
}

// pgpassFile holds the password in a container of Postgres' own clients.
const pgpassFile = "/pgpass"

func pgpass(password string) string {
	return "*:*:*:*:" + strings.NewReplacer(`\`, `\\`, `:`, `\:`).Replace(password) + "\n"
}

// clientEnv points Postgres' own clients to where a connection goes.
func clientEnv(config *pgx.ConnConfig) []string {
	return []string{
		"PGHOST=" + config.Host, fmt.Sprintf("PGPORT=%d", config.Port), "PGUSER=" + config.User,
		"PGDATABASE=" + config.Database, "PGPASSFILE=" + pgpassFile, "PGSSLMODE=prefer",
	}
}

// tablesOf reads the dump's last line; the server may have warned before it.
func tablesOf(log string) (int, error) {
	_, count, found := strings.Cut(log, "tables=")
	n, err := strconv.Atoi(strings.TrimSpace(count))
	if !found || err != nil {
		return 0, fmt.Errorf("the dump does not tell its tables:\n%s", log)
	}
	return n, nil
}

// publish gives a complete file its name, on disk before anything goes on.
func publish(partial, name string) error {
	file, err := os.OpenFile(partial, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	if err := errors.Join(file.Chmod(0o600), file.Sync(), file.Close()); err != nil {
		return fmt.Errorf("write %s to the disk: %w", partial, err)
	}
	if err := os.Rename(partial, name); err != nil {
		return err
	}
	return syncDirectories(filepath.Dir(name))
}

// forgetDumps removes all but the newest dumps, and partial ones of killed runs: the migration lock
// is held, so nobody writes them any more.
func forgetDumps(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var dumps []string
	var bad []error
	for _, e := range entries {
		switch {
		case strings.HasSuffix(e.Name(), ".partial"):
			bad = append(bad, os.Remove(filepath.Join(dir, e.Name())))
		case strings.HasSuffix(e.Name(), ".dump"):
			dumps = append(dumps, e.Name())
		}
	}
	slices.Sort(dumps) // by time
	for _, name := range dumps[:max(0, len(dumps)-keptDumps)] {
		bad = append(bad, os.Remove(filepath.Join(dir, name)))
	}
	return errors.Join(bad...)
}
