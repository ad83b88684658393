// Package backup backs the shop up, reads the copies back, checks them and reports failures.
package backup

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/prekzursil/momentstudio-infra/internal/hostops/docker"
	"github.com/prekzursil/momentstudio-infra/internal/hostops/fsutil"
	"github.com/prekzursil/momentstudio-infra/internal/hostops/postgres"
	"github.com/prekzursil/momentstudio-infra/internal/hostops/restic"
	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
)

// Paths are where a backup finds and leaves things; they are the host's own.
type Paths struct {
	Restic string // the program
	Root   string // prefix of every path of hostspec; empty on a host
}

const sampleFiles = 20 // files that are read back from a destination, beside dump and manifest

// ErrNotBackedUp is of a run that made nothing that could be stored, ErrNotEverywhere of one that did not reach every
// destination.
var (
	ErrNotBackedUp   = errors.New("no backup was made")
	ErrNotEverywhere = errors.New("not every destination has a copy")
)

// Run backs the shop up to every destination and reads it back from there. It succeeds only when all of them hold
// a verified copy; what succeeded stays when another destination fails. A repository that had earlier backups and is
// gone is made anew only at the destinations that anew names.
func Run(ctx context.Context, spec hostspec.Backup, p Paths, anew []string, out io.Writer) error {
	if spec.ReadOnly {
		return errors.New("the destinations are another stack's: a drill makes no backup")
	}
	now := time.Now().UTC()
	state := hostspec.BackupRun{
		ID: now.Format(hostspec.BackupIDLayout), Started: now,
		Destinations: map[string]hostspec.BackupAtDestination{},
	}
	err := run(ctx, spec, p, anew, &state, out)
	state.Ended = time.Now().UTC()
	if err != nil {
		state.Error = err.Error()
		if !errors.Is(err, ErrNotEverywhere) {
			err = fmt.Errorf("%w: %w", ErrNotBackedUp, err)
		}
	}
	return errors.Join(err, recordRun(p.Root, state))
}

func run(ctx context.Context, spec hostspec.Backup, p Paths, anew []string, state *hostspec.BackupRun,
	out io.Writer,
) error {
	staging := p.Root + hostspec.BackupStaging
	for _, dir := range []string{staging, p.Root + hostspec.BackupCheck} { // of killed runs
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("clear %s: %w", dir, err)
		}
	}
	if err := os.MkdirAll(staging, 0o700); err != nil {
		return fmt.Errorf("make the staging directory: %w", err)
	}
	defer os.RemoveAll(staging)
	files := &staged{dir: staging}
	manifest, err := stage(ctx, spec, p, files, state, out)
	if err != nil {
		return err
	}
	known, err := ReadState(p.Root + hostspec.BackupStatus)
	if err != nil {
		return err
	}
	var bad []error
	for _, d := range spec.Destinations {
		r := restic.Repository{Destination: d, Password: spec.Password, Program: p.Restic}
		if !slices.Contains(anew, d.Name) {
			r.Expected = knownPlace(known, r)
		}
		at, err := store(ctx, r, spec, files, &manifest, out)
		if err != nil {
			err = fmt.Errorf("destination %s: %w", d.Name, err)
			at.Error = err.Error()
		}
		state.Destinations[d.Name] = at
		bad = append(bad, err)
	}
	if err := errors.Join(bad...); err != nil {
		return fmt.Errorf("%w: %w", ErrNotEverywhere, err)
	}
	return nil
}

// stage collects what the backup covers. Files are linked before the database is dumped and after it: one that is
// moved or deleted meanwhile is there as the dump's rows name it, and what the shop writes meanwhile is at most a
// file that no row names yet. Files move between the two directories, and within the private one, when they are
// approved, trashed or brought back, so both are looked at twice.
func stage(ctx context.Context, spec hostspec.Backup, p Paths, files *staged, state *hostspec.BackupRun,
	out io.Writer,
) (hostspec.Manifest, error) {
	m := hostspec.Manifest{
		Format: 1, ID: state.ID, Stack: spec.Stack, Release: spec.Release, Images: spec.Images,
		Started: state.Started, Files: map[string]hostspec.FileTree{},
	}
	url, err := postgres.ReadURL(p.Root)
	if err != nil {
		return m, err
	}
	conn, err := postgres.ConnectURL(ctx, url)
	if err != nil {
		return m, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if err := collect(p, files.dir); err != nil {
		return m, err
	}
	if err := dump(ctx, spec, p, files.dir, conn, &m); err != nil {
		return m, err
	}
	m.Database.SHA256, m.Database.Bytes, err = fsutil.HashFile(filepath.Join(files.dir, hostspec.DumpPart))
	if err != nil {
		return m, err
	}
	for range 2 {
		if err := collect(p, files.dir); err != nil {
			return m, err
		}
	}
	m.Staged = time.Now().UTC()
	if _, err := files.measure(&m); err != nil {
		return m, err
	}
	fmt.Fprintf(out, "backup %s: schema %s, %d tables, a dump of %d bytes, %d files of %d bytes\n", m.ID, m.Revision,
		len(m.Database.Rows), m.Database.Bytes,
		m.Files[hostspec.UploadsPart].Files+m.Files[hostspec.PrivatePart].Files,
		m.Files[hostspec.UploadsPart].Bytes+m.Files[hostspec.PrivatePart].Bytes)
	return m, nil
}

// collect links the shop's files into the staging directory.
func collect(p Paths, dir string) error {
	for _, part := range hostspec.MediaParts {
		if err := linkTree(filepath.Join(p.Root+hostspec.DataDir, part), filepath.Join(dir, part)); err != nil {
			return fmt.Errorf("collect %s: %w", part, err)
		}
	}
	return nil
}

// dump writes the database into the staging directory, and its revision and rows into the manifest.
func dump(ctx context.Context, spec hostspec.Backup, p Paths, dir string, conn *pgx.Conn,
	m *hostspec.Manifest,
) (err error) {
	// A migration waits here, at its own lock, and not in the middle of its work at those of the dump.
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock_shared($1)", int64(hostspec.MigrationLock)); err != nil {
		return fmt.Errorf("keep migrations out: %w", err)
	}
	if m.Revision, err = postgres.Revision(ctx, conn); err != nil {
		return err
	}
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return fmt.Errorf("begin the backup's transaction: %w", err)
	}
	defer tx.Rollback(context.WithoutCancel(ctx)) //nolint:errcheck // it only reads
	var snapshot string
	if err := tx.QueryRow(ctx, "SELECT pg_export_snapshot()").Scan(&snapshot); err != nil {
		return fmt.Errorf("export the database's snapshot: %w", err)
	}
	engine, err := docker.Connect()
	if err != nil {
		return err
	}
	defer engine.Close()
	d := postgres.Dump{
		Container: "momentstudio-backup-dump", ClientImage: spec.ClientImage, Network: spec.Network,
		RegistryAuth: p.Root + hostspec.RegistrySecret,
		Dir:          dir, Name: hostspec.DumpPart, Snapshot: snapshot, Plain: true,
	}
	if _, err := d.Make(ctx, engine, conn); err != nil {
		return fmt.Errorf("dump the database: %w", err)
	}
	m.Database.Name = hostspec.DumpPart
	if m.Database.Rows, err = postgres.CountRows(ctx, tx); err != nil {
		return err
	}
	// Not longer: its locks would keep a migration waiting while the files are read.
	if err := tx.Rollback(ctx); err != nil {
		return fmt.Errorf("end the backup's transaction: %w", err)
	}
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_unlock_shared($1)", int64(hostspec.MigrationLock)); err != nil {
		return fmt.Errorf("let migrations in: %w", err)
	}
	return nil
}

// mostTries is how often a destination is sent what changed while it was sent. What changed is a file of its own from
// then on, so one more is enough, unless others are written into each time.
const mostTries = 5

// store puts the staged backup into a repository, reads it back, and removes old snapshots only then.
func store(ctx context.Context, r restic.Repository, spec hostspec.Backup, files *staged, m *hostspec.Manifest,
	out io.Writer,
) (hostspec.BackupAtDestination, error) {
	var at hostspec.BackupAtDestination
	id, err := r.Open(ctx, spec.OldPasswords, out)
	if err != nil {
		return at, err
	}
	if err := roomFor(ctx, r, spec, files.dir, fsutil.FreeMB, out); err != nil {
		return at, err
	}
	if _, err := files.measure(m); err != nil { // since the destination before
		return at, err
	}
	for try, changed := 1, true; changed; try++ {
		var printed bytes.Buffer
		// Hard links are new names of old files: their change time says nothing, size and time of the content do.
		if err := r.Run(ctx, &printed, "backup", "--json", "--quiet", "--ignore-ctime", "--host", spec.Stack,
			"--tag", "momentstudio", "--tag", m.ID, files.dir); err != nil {
			return at, err
		}
		if s := summaryOf(printed.Bytes()); s != nil {
			at.Snapshot = s.Snapshot
			at.Added += s.Packed
		}
		if at.Snapshot == "" {
			return at, errors.New("restic names no snapshot that it made")
		}
		if changed, err = files.measure(m); err != nil {
			return at, err
		}
		if changed && try == mostTries {
			return at, fmt.Errorf("the shop wrote into its files each of %d times that they were sent", try)
		}
	}
	if err := verify(ctx, r, at.Snapshot, files.dir, *m); err != nil {
		return at, fmt.Errorf("the copy there is not what was sent: %w", err)
	}
	at.Repository = &hostspec.RepositoryRef{Location: r.Location(), ID: id}
	fmt.Fprintf(out, "%s: snapshot %.8s, %d bytes new, read back\n", r.Name, at.Snapshot, at.Added)
	if !r.Prune {
		return at, nil
	}
	return at, forget(ctx, r, spec, out)
}

// summary is the last line of `restic backup --json`.
type summary struct {
	Type     string `json:"message_type"`
	Snapshot string `json:"snapshot_id"`
	Added    int64  `json:"data_added"`        // bytes that are new to the repository
	Packed   int64  `json:"data_added_packed"` // the same after compression
}

// summaryOf finds the summary in what restic printed; nil without one.
func summaryOf(out []byte) *summary {
	for line := range bytes.Lines(out) {
		var s summary
		if json.Unmarshal(line, &s) == nil && s.Type == "summary" {
			return &s
		}
	}
	return nil
}

// errTooLittle is a copy that does not fit on the data volume.
var errTooLittle = errors.New("the copy does not fit")

// roomFor checks that a repository on the data volume leaves room for the database and the uploads there. When it does
// not, old snapshots go before the new one is stored: otherwise a full repository would never be thinned.
func roomFor(ctx context.Context, r restic.Repository, spec hostspec.Backup, staging string,
	free func(string) (int64, error), out io.Writer,
) error {
	if !strings.HasPrefix(r.Repository, "/") {
		return nil
	}
	err := fits(ctx, r, spec, staging, free)
	if !errors.Is(err, errTooLittle) || !r.Prune {
		return err
	}
	fmt.Fprintf(out, "%s: %v; old snapshots are removed first\n", r.Name, err)
	if errForget := forget(ctx, r, spec, out); errForget != nil {
		return errors.Join(err, errForget)
	}
	return fits(ctx, r, spec, staging, free)
}

func fits(ctx context.Context, r restic.Repository, spec hostspec.Backup, staging string,
	free func(string) (int64, error),
) error {
	var out bytes.Buffer
	if err := r.Run(ctx, &out, "backup", "--dry-run", "--json", "--quiet", "--ignore-ctime", "--host", spec.Stack, "--tag",
		"momentstudio", staging); err != nil {
		return err
	}
	s := summaryOf(out.Bytes())
	if s == nil {
		return errors.New("restic does not tell how much it would add")
	}
	need := s.Added>>20 + fsutil.ReserveMB
	if have, err := free(staging); err != nil {
		return err
	} else if have < need {
		return fmt.Errorf("%w: the data volume has %d MB free, and this copy needs %d MB; raise host.volumeSizeGB, or lower "+
			"backup.keepDays", errTooLittle, have, need)
	}
	return nil
}
