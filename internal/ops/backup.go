package ops

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
)

// BackupPaths are where a backup finds and leaves things; they are the host's own.
type BackupPaths struct {
	Restic string // the program
	Root   string // prefix of every path of hostspec; empty on a host
}

// BackupState is what is known of the runs; `studio status` and the next run read it.
type BackupState struct {
	Last     BackupRun  `json:"last"`               // the newest run, whatever its end
	Verified *BackupRun `json:"verified,omitempty"` // the newest that was verified at every destination
	// Repositories hold a verified copy, by destination.
	Repositories map[string]Place `json:"repositories,omitempty"`
}

// place is where a destination's verified copies are. A run of before places were written down tells only that there are some.
func (s BackupState) place(r repository) Place {
	p, known := s.Repositories[r.Name]
	if !known && s.Verified != nil && s.Verified.Destinations[r.Name].Snapshot != "" {
		return Place{Location: r.location()}
	}
	return p
}

// FailedBy reports whether the newest run failed, or was killed and wrote nothing in the last hour.
func (s BackupState) FailedBy(now time.Time) bool {
	return s.Last.Error != "" || now.Sub(s.Last.Ended) > time.Hour
}

// BackupRun is one run.
type BackupRun struct {
	ID           string                         `json:"id"`
	Started      time.Time                      `json:"started"`
	Ended        time.Time                      `json:"ended"`
	Error        string                         `json:"error,omitempty"`
	Destinations map[string]BackupAtDestination `json:"destinations"`
}

// BackupAtDestination is what one destination has of a run.
type BackupAtDestination struct {
	Snapshot   string `json:"snapshot,omitempty"`
	Repository *Place `json:"repository,omitempty"` // once the copy was read back
	Added      int64  `json:"added"`                // bytes that were new to the repository, after compression
	Error      string `json:"error,omitempty"`
}

const (
	uploadsPart = "uploads"
	privatePart = "private_uploads"
	dumpPart    = "db.dump"
	sampleFiles = 20 // files that are read back from a destination, beside dump and manifest
)

// mediaParts are the directories that a backup covers.
var mediaParts = []string{uploadsPart, privatePart}

// ErrNotBackedUp is of a run that made nothing that could be stored, ErrNotEverywhere of one that did not reach every destination.
var (
	ErrNotBackedUp   = errors.New("no backup was made")
	ErrNotEverywhere = errors.New("not every destination has a copy")
)

// Backup backs the shop up to every destination and reads it back from there. It succeeds only when
// all of them hold a verified copy; what succeeded stays when another destination fails. A repository that had earlier backups and is
// gone is made anew only at the destinations that anew names.
func Backup(ctx context.Context, spec hostspec.Backup, p BackupPaths, anew []string, out io.Writer) error {
	if spec.ReadOnly {
		return errors.New("the destinations are another stack's: a drill makes no backup")
	}
	now := time.Now().UTC()
	state := BackupRun{ID: now.Format("20060102T150405Z"), Started: now, Destinations: map[string]BackupAtDestination{}}
	err := backUp(ctx, spec, p, anew, &state, out)
	state.Ended = time.Now().UTC()
	if err != nil {
		state.Error = err.Error()
		if !errors.Is(err, ErrNotEverywhere) {
			err = fmt.Errorf("%w: %w", ErrNotBackedUp, err)
		}
	}
	return errors.Join(err, recordRun(p.Root, state))
}

func backUp(ctx context.Context, spec hostspec.Backup, p BackupPaths, anew []string, state *BackupRun, out io.Writer) error {
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
	known, err := ReadBackupState(p.Root + hostspec.BackupStatus)
	if err != nil {
		return err
	}
	var bad []error
	for _, d := range spec.Destinations {
		r := repository{Destination: d, password: spec.Password, program: p.Restic}
		if !slices.Contains(anew, d.Name) {
			r.expected = known.place(r)
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

// stage collects what the backup covers. Files are linked before the database is dumped and after it: one that is moved or deleted
// meanwhile is there as the dump's rows name it, and what the shop writes meanwhile is at most a file that no row names yet. Files move
// between the two directories, and within the private one, when they are approved, trashed or brought back, so both are looked at twice.
func stage(ctx context.Context, spec hostspec.Backup, p BackupPaths, files *staged, state *BackupRun, out io.Writer) (Manifest, error) {
	staging := files.dir
	collect := func(times int) error {
		for range times {
			for _, part := range mediaParts {
				if err := linkTree(filepath.Join(p.Root+hostspec.DataDir, part), filepath.Join(staging, part)); err != nil {
					return fmt.Errorf("collect %s: %w", part, err)
				}
			}
		}
		return nil
	}
	m := Manifest{Format: 1, ID: state.ID, Stack: spec.Stack, Release: spec.Release, Images: spec.Images, Started: state.Started, Files: map[string]Tree{}}
	text, err := os.ReadFile(p.Root + hostspec.AppEnvSecret)
	if err != nil {
		return m, fmt.Errorf("read the application's settings: %w", err)
	}
	conn, err := connectURL(ctx, databaseURL(string(text)))
	if err != nil {
		return m, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if err := collect(1); err != nil {
		return m, err
	}
	// A migration waits here, at its own lock, and not in the middle of its work at those of the dump.
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock_shared($1)", int64(hostspec.MigrationLock)); err != nil {
		return m, fmt.Errorf("keep migrations out: %w", err)
	}
	if m.Revision, err = revision(ctx, conn); err != nil {
		return m, err
	}
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return m, fmt.Errorf("begin the backup's transaction: %w", err)
	}
	defer tx.Rollback(context.WithoutCancel(ctx)) //nolint:errcheck // it only reads
	var snapshot string
	if err := tx.QueryRow(ctx, "SELECT pg_export_snapshot()").Scan(&snapshot); err != nil {
		return m, fmt.Errorf("export the database's snapshot: %w", err)
	}
	docker, err := connectDocker()
	if err != nil {
		return m, err
	}
	defer docker.Close()
	d := dump{
		container: "momentstudio-backup-dump", clientImage: spec.ClientImage, network: spec.Network, registryAuth: p.Root + hostspec.RegistrySecret,
		dir: staging, name: dumpPart, snapshot: snapshot, plain: true,
	}
	if _, err := d.make(ctx, docker, conn); err != nil {
		return m, fmt.Errorf("dump the database: %w", err)
	}
	m.Database.Name = dumpPart
	if m.Database.Rows, err = countRows(ctx, tx); err != nil {
		return m, err
	}
	// Not longer: its locks would keep a migration waiting while the files are read.
	if err := tx.Rollback(ctx); err != nil {
		return m, fmt.Errorf("end the backup's transaction: %w", err)
	}
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_unlock_shared($1)", int64(hostspec.MigrationLock)); err != nil {
		return m, fmt.Errorf("let migrations in: %w", err)
	}
	if m.Database.SHA256, m.Database.Bytes, err = hashFile(filepath.Join(staging, dumpPart)); err != nil {
		return m, err
	}
	if err := collect(2); err != nil {
		return m, err
	}
	m.Staged = time.Now().UTC()
	if _, err := files.measure(&m); err != nil {
		return m, err
	}
	fmt.Fprintf(out, "backup %s: schema %s, %d tables, a dump of %d bytes, %d files of %d bytes\n", m.ID, m.Revision, len(m.Database.Rows), m.Database.Bytes,
		m.Files[uploadsPart].Files+m.Files[privatePart].Files, m.Files[uploadsPart].Bytes+m.Files[privatePart].Bytes)
	return m, nil
}

// mostTries is how often a destination is sent what changed while it was sent. What changed is a file of its own from then on, so one
// more is enough, unless others are written into each time.
const mostTries = 5

// store puts the staged backup into a repository, reads it back, and removes old snapshots only then.
func store(ctx context.Context, r repository, spec hostspec.Backup, files *staged, m *Manifest, out io.Writer) (BackupAtDestination, error) {
	var at BackupAtDestination
	id, err := r.open(ctx, spec.OldPasswords, out)
	if err != nil {
		return at, err
	}
	if err := r.fits(ctx, spec, files.dir); err != nil {
		return at, err
	}
	if _, err := files.measure(m); err != nil { // since the destination before
		return at, err
	}
	for try, changed := 1, true; changed; try++ {
		var printed bytes.Buffer
		// Hard links are new names of old files: their change time says nothing, size and time of the content do.
		if err := r.restic(ctx, &printed, "backup", "--json", "--quiet", "--ignore-ctime", "--host", spec.Stack,
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
	if err := r.verify(ctx, at.Snapshot, files.dir, *m); err != nil {
		return at, fmt.Errorf("the copy there is not what was sent: %w", err)
	}
	at.Repository = &Place{Location: r.location(), ID: id}
	fmt.Fprintf(out, "%s: snapshot %.8s, %d bytes new, read back\n", r.Name, at.Snapshot, at.Added)
	if !r.Prune {
		return at, nil
	}
	return at, r.forget(ctx, spec, out)
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

// fits checks that a repository on the data volume leaves room for the database and the uploads there.
func (r repository) fits(ctx context.Context, spec hostspec.Backup, staging string) error {
	if !strings.HasPrefix(r.Repository, "/") {
		return nil
	}
	var out bytes.Buffer
	if err := r.restic(ctx, &out, "backup", "--dry-run", "--json", "--quiet", "--ignore-ctime", "--host", spec.Stack, "--tag", "momentstudio", staging); err != nil {
		return err
	}
	s := summaryOf(out.Bytes())
	if s == nil {
		return errors.New("restic does not tell how much it would add")
	}
	need := s.Added>>20 + diskReserveMB
	if free, err := freeMB(staging); err != nil {
		return err
	} else if free < need {
		return fmt.Errorf("the data volume has %d MB free, and this copy needs %d MB; raise host.volumeSizeGB, or switch backup.local off", free, need)
	}
	return nil
}

// forget removes old snapshots. A lock that a killed run left would stop it for half an hour: the backup is
// a good one all the same, and the next run tries again.
func (r repository) forget(ctx context.Context, spec hostspec.Backup, out io.Writer) error {
	all, err := r.snapshots(ctx)
	if err != nil {
		return fmt.Errorf("look for old snapshots: %w", err)
	}
	if doubt := clockDoubt(all, time.Now(), spec.KeepDays); doubt != "" {
		fmt.Fprintf(out, "%s: old snapshots stay: %s\n", r.Name, doubt)
		return nil
	}
	err = r.restic(ctx, io.Discard, "forget", "--quiet", "--host", spec.Stack, "--tag", "momentstudio", "--group-by", "host",
		"--keep-within", fmt.Sprintf("%dd", spec.KeepDays), "--keep-daily", strconv.Itoa(spec.KeepDays), "--keep-weekly", "8", "--keep-monthly", "12", "--prune")
	if errors.Is(err, errRepoLocked) {
		fmt.Fprintf(out, "%s: old snapshots stay until the next run: %v\n", r.Name, err)
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove old snapshots: %w", err)
	}
	return nil
}

// clockGap is how long nothing may have been backed up before it looks as if a clock had jumped.
const clockGap = 7 * 24 * time.Hour

// clockDoubt says why sorted snapshots are not to be thrown away by their age; empty when nothing speaks against it. restic
// counts from the newest that is not still to come: a clock that runs ahead would make all others old, in the night after
// its jump as well. So nothing goes until the newest keepDays days are without a gap.
func clockDoubt(all []Snapshot, now time.Time, keepDays int) string {
	past := all[:len(all)-len(future(all, now))]
	if len(past) == 0 {
		return ""
	}
	newest := past[len(past)-1].made()
	for i := len(past) - 1; i > 0 && newest.Sub(past[i].made()) < time.Duration(keepDays)*24*time.Hour; i-- {
		if gap := past[i].made().Sub(past[i-1].made()); gap > clockGap {
			return fmt.Sprintf("there is none between %s and %s; when a clock jumped, those before are younger than they look", past[i-1].ID, past[i].ID)
		}
	}
	return ""
}

// sample chooses some of the files, or all when there are few: half of them those that were written last, which no run before has read back,
// and half by chance.
func sample(paths []string) []string {
	written := map[string]time.Time{}
	for _, path := range paths {
		if info, err := os.Stat(path); err == nil { // one that is not there differs when it is compared
			written[path] = info.ModTime()
		}
	}
	slices.SortFunc(paths, func(a, b string) int { return written[b].Compare(written[a]) })
	n := min(sampleFiles, len(paths))
	rest := paths[n/2:]
	rand.Shuffle(len(rest), func(i, j int) { rest[i], rest[j] = rest[j], rest[i] }) //nolint:gosec // a sample, no secret
	return paths[:n]
}

// verify downloads, past restic's own cache, a snapshot's manifest and dump whole, and a sample of its files, and compares the
// list of its files with the manifest.
func (r repository) verify(ctx context.Context, snapshot, staging string, m Manifest) error {
	var manifest bytes.Buffer
	if err := r.restic(ctx, &manifest, "dump", "--no-lock", "--no-cache", snapshot, filepath.Join(staging, "manifest.json")); err != nil {
		return err
	}
	sent, err := os.ReadFile(filepath.Join(staging, "manifest.json"))
	if err != nil {
		return err
	}
	if !bytes.Equal(sent, manifest.Bytes()) {
		return errors.New("its manifest differs")
	}
	if sum, err := r.hash(ctx, snapshot, filepath.Join(staging, dumpPart)); err != nil {
		return err
	} else if sum != m.Database.SHA256 {
		return errors.New("its dump of the database differs")
	}
	var list bytes.Buffer
	if err := r.restic(ctx, &list, "ls", "--no-lock", "--no-cache", "--json", snapshot); err != nil {
		return err
	}
	found := map[string]Tree{}
	var paths []string
	for line := range bytes.Lines(list.Bytes()) {
		var node struct {
			Type string `json:"type"`
			Path string `json:"path"`
			Size int64  `json:"size"`
		}
		if err := json.Unmarshal(line, &node); err != nil {
			return errors.New("its list is not the JSON that this program knows")
		}
		part, _, inside := strings.Cut(strings.TrimPrefix(node.Path, staging+"/"), "/")
		if node.Type != "file" || !inside {
			continue
		}
		t := found[part]
		t.Files, t.Bytes = t.Files+1, t.Bytes+node.Size
		found[part], paths = t, append(paths, node.Path)
	}
	for part, want := range m.Files {
		if have := found[part]; have.Files != want.Files || have.Bytes != want.Bytes {
			return fmt.Errorf("%s has %d files of %d bytes there, want %d of %d", part, have.Files, have.Bytes, want.Files, want.Bytes)
		}
	}
	for _, path := range sample(paths) {
		sum, err := r.hash(ctx, snapshot, path)
		if err != nil {
			return err
		}
		if want, _, err := hashFile(path); err != nil || sum != want {
			return errors.Join(fmt.Errorf("%s differs", strings.TrimPrefix(path, staging+"/")), err)
		}
	}
	return nil
}

func (r repository) hash(ctx context.Context, snapshot, path string) (string, error) {
	h := sha256.New()
	err := r.restic(ctx, h, "dump", "--no-lock", "--no-cache", snapshot, path)
	return hex.EncodeToString(h.Sum(nil)), err
}

// recordRun writes what is known of the runs, and the time that the admin page shows when the run was
// a good one.
func recordRun(root string, run BackupRun) error {
	path := root + hostspec.BackupStatus
	state, err := ReadBackupState(path)
	if err != nil {
		return err
	}
	state.Last = run
	for name, at := range run.Destinations {
		if at.Repository == nil {
			continue
		}
		if state.Repositories == nil {
			state.Repositories = map[string]Place{}
		}
		state.Repositories[name] = *at.Repository
	}
	if run.Error == "" {
		state.Verified = &run
	}
	if err := writeJSON(path, state); err != nil {
		return fmt.Errorf("record the run: %w", err)
	}
	if run.Error != "" {
		return nil
	}
	if _, err := ensureFile(root+hostspec.LastBackupFile, []byte(run.Started.Format(time.RFC3339)+"\n"), 0o644); err != nil {
		return fmt.Errorf("record the run: %w", err)
	}
	return nil
}

// ReadBackupState reads what is known; nothing before the first run.
func ReadBackupState(path string) (BackupState, error) {
	var state BackupState
	if err := readJSON(path, &state); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return state, fmt.Errorf("read what is known of the backups: %w", err)
	}
	return state, nil
}

// ReadBackupSpec reads what host-apply wrote.
func ReadBackupSpec(path string) (hostspec.Backup, error) {
	var spec hostspec.Backup
	if err := readJSON(path, &spec); err != nil {
		return spec, fmt.Errorf("read the backup's destinations: %w", err)
	}
	if spec.Password == "" || len(spec.Destinations) == 0 {
		return spec, fmt.Errorf("read the backup's destinations: %s names no destination or no password", path)
	}
	return spec, nil
}
