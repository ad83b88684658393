// Package postgres connects to the database, sets up its roles and dumps it.
package postgres

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/client"

	"github.com/prekzursil/momentstudio-infra/internal/atomicfile"
	"github.com/prekzursil/momentstudio-infra/internal/hostops/docker"
	"github.com/prekzursil/momentstudio-infra/internal/hostops/fsutil"
	"github.com/prekzursil/momentstudio-infra/internal/redact"
)

// clientMemory holds the longest row that pg_dump reads, and its description of every table.
const clientMemory = 512 << 20

// Dump is one dump of the database to a file.
type Dump struct {
	Container    string // name of its container, one for each kind of dump
	ClientImage  string // has pg_dump and pg_restore
	Network      string
	RegistryAuth string
	Dir, Name    string // the file; its directory is also the host's
	Snapshot     string // exported by the connection; empty: one of its own
	Plain        bool   // not compressed: what stores it finds what it has already, and compresses itself
}

// dumpScript gets a file's name, a snapshot and a compression. pg_restore without a database reads and decompresses all
// of the archive.
const dumpScript = `set -e
pg_dump -Fc --no-password ${2:+--snapshot="$2"} ${3:+--compress="$3"} -f "/backup/$1"
pg_restore -f /dev/null "/backup/$1"
echo "tables=$(pg_restore --list "/backup/$1" | grep -c 'TABLE DATA')"`

// tooLong is the exit code of a shell whose command wrote more than it may: 128 and SIGXFSZ.
const tooLong = 128 + 25

// Make dumps the database and reads the dump back whole; it returns how many tables have data in it. A
// partial dump never has the name of a complete one.
func (d Dump) Make(ctx context.Context, engine *client.Client, conn *pgx.Conn) (tables int, err error) {
	if err := os.MkdirAll(d.Dir, 0o700); err != nil {
		return 0, err
	}
	var size int64
	if err := conn.QueryRow(ctx, "SELECT pg_database_size(current_database())").Scan(&size); err != nil {
		return 0, fmt.Errorf("measure the database: %w", err)
	}
	free, err := fsutil.FreeMB(d.Dir)
	if err != nil {
		return 0, err
	}
	if need := size>>20 + fsutil.ReserveMB; free < need {
		return 0, fmt.Errorf("the data volume has %d MB free, and a dump of the database may need %d MB; raise "+
			"host.volumeSizeGB", free, need)
	}
	// Large values are compressed in the database, and a dump may be longer than it: Postgres keeps its reserve all the
	// same.
	most := (free - fsutil.ReserveMB) << 20
	if err := docker.Pull(ctx, engine, d.ClientImage, d.RegistryAuth); err != nil {
		return 0, err
	}
	partial := d.Name + ".partial"
	config := conn.Config()
	compression := ""
	if d.Plain {
		compression = "0"
	}
	var log strings.Builder
	code, err := docker.Run(ctx, engine, docker.Task{
		Killable: true,
		Name:     d.Container, Image: d.ClientImage, Network: d.Network,
		Config: container.Config{
			User: "0:0", Entrypoint: []string{"sh", "-c", dumpScript, "sh"}, Cmd: []string{partial, d.Snapshot, compression},
			Env: ClientEnv(config),
		},
		Host: container.HostConfig{
			Mounts: []mount.Mount{{Type: mount.TypeBind, Source: d.Dir, Target: "/backup"}},
			Resources: container.Resources{
				Ulimits: []*container.Ulimit{{Name: "fsize", Soft: most, Hard: most}}, Memory: clientMemory,
			},
			OomScoreAdj: 500, // ended before the database when the host runs out of memory
		},
		Files: map[string]string{PassFilePath: PassFile(config.Password)},
	}, &log)
	if err == nil && code == tooLong {
		err = fmt.Errorf("the dump is longer than the %d MB that it may take of the %d MB that are free on the data "+
			"volume; raise host.volumeSizeGB", most>>20, free)
	}
	if err == nil && code != 0 {
		err = fmt.Errorf("pg_dump or pg_restore exited with code %d:\n%s", code, docker.Keep(d.Container, log.String()))
	}
	if err == nil {
		tables, err = tablesOf(log.String())
	}
	if err != nil {
		_ = os.Remove(filepath.Join(d.Dir, partial))
		return 0, err
	}
	return tables, atomicfile.Publish(filepath.Join(d.Dir, partial), filepath.Join(d.Dir, d.Name), 0o600)
}

// PassFilePath holds the password in a container of Postgres' own clients.
const PassFilePath = "/pgpass"

// PassFile is the content of a .pgpass file with this password for every server and database.
func PassFile(password string) string {
	return "*:*:*:*:" + strings.NewReplacer(`\`, `\\`, `:`, `\:`).Replace(password) + "\n"
}

// ClientEnv points Postgres' own clients to where a connection goes.
func ClientEnv(config *pgx.ConnConfig) []string {
	return []string{
		"PGHOST=" + config.Host, fmt.Sprintf("PGPORT=%d", config.Port), "PGUSER=" + config.User,
		"PGDATABASE=" + config.Database, "PGPASSFILE=" + PassFilePath, "PGSSLMODE=prefer",
	}
}

// tablesOf reads the dump's last line; the server may have warned before it.
func tablesOf(log string) (int, error) {
	_, count, found := strings.Cut(log, "tables=")
	n, err := strconv.Atoi(strings.TrimSpace(count))
	if !found || err != nil {
		return 0, fmt.Errorf("the dump does not tell its tables:\n%s", redact.Tail(log, 20))
	}
	return n, nil
}

// CountRows counts the rows of every table in the connection's transaction.
func CountRows(ctx context.Context, tx pgx.Tx) (map[string]int64, error) {
	rows, err := tx.Query(ctx, "SELECT quote_ident(schemaname)||'.'||quote_ident(tablename) FROM pg_tables WHERE "+
		"schemaname NOT IN ('pg_catalog','information_schema') AND schemaname NOT LIKE 'pg_temp%' ORDER BY 1")
	if err != nil {
		return nil, err
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, err
	}
	counts := map[string]int64{}
	for _, table := range tables {
		var n int64
		if err := tx.QueryRow(ctx, "SELECT count(*) FROM "+table).Scan(&n); err != nil { // quoted by the server
			return nil, fmt.Errorf("count the rows of %s: %w", table, err)
		}
		counts[table] = n
	}
	return counts, nil
}
