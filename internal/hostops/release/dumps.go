package release

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/moby/moby/client"

	"github.com/prekzursil/momentstudio-infra/internal/hostops/postgres"
)

// keptDumps is how many dumps of before a migration stay on the data volume.
const keptDumps = 10

// backup dumps the database beside the migration's own connection.
func (m Migration) backup(ctx context.Context, docker *client.Client, conn *pgx.Conn, before string,
	out io.Writer,
) error {
	d := postgres.Dump{
		Container: "momentstudio-migration-dump", ClientImage: m.ClientImage, Network: m.Network,
		RegistryAuth: m.RegistryAuth, Dir: m.BackupDir,
		Name: time.Now().UTC().Format("20060102T150405Z") + "-" + before + ".dump",
	}
	tables, err := d.Make(ctx, docker, conn)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "backed up to %s, and read back: %d tables\n", filepath.Join(d.Dir, d.Name), tables)
	return forgetDumps(m.BackupDir)
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
