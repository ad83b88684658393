package ops

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
)

const backupIDLayout = "20060102T150405Z"

// source is where a restore takes its data from.
type source interface {
	name() string                                   // for people
	describe(ctx context.Context) (Manifest, error) // what it holds; no file is kept
	fetch(ctx context.Context, dir string) error    // puts uploads, private_uploads and db.dump into a new directory
}

// Snapshot is a backup in a repository.
type Snapshot struct {
	ID       string // of the backup
	Snapshot string // restic's
	Time     time.Time
	path     string // of its staging directory
}

// made is the time that the backup's ID tells; the zero time when it tells none.
func (s Snapshot) made() time.Time {
	t, _ := time.Parse(backupIDLayout, s.ID)
	return t
}

// find resolves what the restore is told to take.
func (r Restoration) find(ctx context.Context) (source, error) {
	if r.Archive != "" {
		return archive{r.Archive}, nil
	}
	repo, err := repositoryOf(ctx, r.Spec, r.From, r.Restic)
	if err != nil {
		return nil, err
	}
	all, err := repo.snapshots(ctx)
	if err != nil {
		return nil, fmt.Errorf("destination %s: %w", repo.Name, err)
	}
	s, err := pick(all, r.Backup, time.Now())
	if err != nil {
		return nil, fmt.Errorf("destination %s: %w", repo.Name, err)
	}
	return stored{repo, s}, nil
}

// repositoryOf finds a destination by its name; without one, the first that is not on the data volume.
func repositoryOf(ctx context.Context, spec hostspec.Backup, name, program string) (repository, error) {
	chosen := slices.IndexFunc(spec.Destinations, func(d hostspec.Destination) bool {
		return d.Name == name || name == "" && !strings.HasPrefix(d.Repository, "/")
	})
	if chosen < 0 && name == "" {
		chosen = 0
	}
	if chosen < 0 || len(spec.Destinations) == 0 {
		return repository{}, fmt.Errorf("%w: %w", ErrNoBackup, HasDestination(spec, name))
	}
	return repository{Destination: spec.Destinations[chosen], password: spec.Password, program: program}.withPassword(ctx, spec.OldPasswords), nil
}

// HasDestination is an error that names those there are when a spec has none of that name.
func HasDestination(spec hostspec.Backup, name string) error {
	var names []string
	for _, d := range spec.Destinations {
		if d.Name == name {
			return nil
		}
		names = append(names, d.Name)
	}
	return fmt.Errorf("no destination is named %q; there are %s", name, strings.Join(names, ", "))
}

// withPassword takes an earlier generation's password when the newest does not open the repository yet: the
// next backup is what replaces it there.
func (r repository) withPassword(ctx context.Context, old []string) repository {
	if !errors.Is(r.opens(ctx), errWrongPassword) {
		return r
	}
	for _, password := range old {
		before := r
		if before.password = password; before.opens(ctx) == nil {
			return before
		}
	}
	return r
}

// Snapshots lists the backups of a destination, oldest first.
func Snapshots(ctx context.Context, spec hostspec.Backup, from, program string) (destination string, all []Snapshot, err error) {
	repo, err := repositoryOf(ctx, spec, from, program)
	if err != nil {
		return "", nil, err
	}
	all, err = repo.snapshots(ctx)
	return repo.Name, all, err
}

var backupID = regexp.MustCompile(`^\d{8}T\d{6}Z$`)

func (r repository) snapshots(ctx context.Context) ([]Snapshot, error) {
	if err := r.opens(ctx); errors.Is(err, errNoRepository) {
		return nil, fmt.Errorf("%w: %w", ErrNoBackup, err)
	} else if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := r.restic(ctx, &out, "snapshots", "--json", "--no-lock", "--tag", "momentstudio"); err != nil {
		return nil, err
	}
	var listed []struct {
		ID    string    `json:"id"`
		Time  time.Time `json:"time"`
		Tags  []string  `json:"tags"`
		Paths []string  `json:"paths"`
	}
	if err := json.Unmarshal(out.Bytes(), &listed); err != nil {
		return nil, errors.New("its list of snapshots is not the JSON that this program knows")
	}
	var all []Snapshot
	for _, s := range listed {
		if i := slices.IndexFunc(s.Tags, backupID.MatchString); i >= 0 && len(s.Paths) == 1 {
			all = append(all, Snapshot{ID: s.Tags[i], Snapshot: s.ID, Time: s.Time.UTC(), path: s.Paths[0]})
		}
	}
	// By ID, never by the snapshot's own time: a clock may have been wrong, and the ID is what people name.
	slices.SortFunc(all, func(a, b Snapshot) int { return strings.Compare(a.ID, b.ID) })
	return all, nil
}

// clockTolerance is how far two machines' clocks may be apart.
const clockTolerance = time.Hour

// future are those of sorted backups that are still to come: they were made by a clock that was wrong.
func future(all []Snapshot, now time.Time) []Snapshot {
	limit := now.Add(clockTolerance).UTC().Format(backupIDLayout)
	first, _ := slices.BinarySearchFunc(all, limit, func(s Snapshot, limit string) int { return strings.Compare(s.ID, limit) })
	return all[first:]
}

// pick chooses among backups, which are sorted: "latest", an ID, or the newest that is not younger than a time. There is no
// latest while one is of a time that is still to come: which of them holds the newest data, nobody can tell.
func pick(all []Snapshot, want string, now time.Time) (Snapshot, error) {
	if len(all) == 0 {
		return Snapshot{}, fmt.Errorf("%w: it holds none", ErrNoBackup)
	}
	later := future(all, now)
	past := all[:len(all)-len(later)]
	if want == "latest" && len(later) > 0 {
		text := fmt.Sprintf("the latest cannot be told: %d of them are of a time that is still to come, as %s, so the clock is wrong here (timedatectl) or was where they were made", len(later), later[len(later)-1].ID)
		if len(past) > 0 {
			text += "; the newest of before is " + past[len(past)-1].ID
		}
		return Snapshot{}, fmt.Errorf("%w: %s; fix: name one by its ID, or remove those that are wrong (docs/guides/back-up.md)", ErrNoBackup, text)
	}
	if want == "latest" {
		return past[len(past)-1], nil
	}
	for _, s := range slices.Backward(all) { // of several of one run, the last is what was read back
		if s.ID == want {
			return s, nil
		}
	}
	var then time.Time
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04Z", "2006-01-02 15:04", "2006-01-02"} {
		t, err := time.Parse(layout, want)
		if err != nil {
			continue
		}
		then = t.UTC()
		if layout == "2006-01-02" {
			then = then.Add(24*time.Hour - time.Second) // the whole day
		}
		break
	}
	if then.IsZero() && !backupID.MatchString(want) {
		return Snapshot{}, fmt.Errorf(`%w: %q is neither "latest" nor a backup's ID nor a time such as 2026-11-25T04:30Z or 2026-11-25`, ErrNoBackup, want)
	}
	for _, s := range slices.Backward(past) {
		if !then.IsZero() && s.ID <= then.Format(backupIDLayout) {
			return s, nil
		}
	}
	return Snapshot{}, fmt.Errorf("%w: %s; the oldest is %s, the newest %s", ErrNoBackup, want, all[0].ID, all[len(all)-1].ID)
}

// stored is a backup in a repository.
type stored struct {
	repo     repository
	snapshot Snapshot
}

func (s stored) name() string {
	return fmt.Sprintf("backup %s of destination %s", s.snapshot.ID, s.repo.Name)
}

func (s stored) describe(ctx context.Context) (Manifest, error) {
	var m Manifest
	var text bytes.Buffer
	if err := s.repo.restic(ctx, &text, "dump", "--no-lock", "--no-cache", s.snapshot.Snapshot, path.Join(s.snapshot.path, "manifest.json")); err != nil {
		return m, s.judge(ctx, err)
	}
	if err := json.Unmarshal(text.Bytes(), &m); err != nil || m.Format != 1 || m.ID != s.snapshot.ID {
		return m, fmt.Errorf("%w: its manifest is not one", ErrDamaged)
	}
	return m, nil
}

func (s stored) fetch(ctx context.Context, dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	err := s.repo.restic(ctx, io.Discard, "restore", "--quiet", "--no-lock", "--no-cache", s.snapshot.Snapshot+":"+s.snapshot.path, "--target", dir)
	return s.judge(ctx, err)
}

// judge tells a damaged backup from a destination that is away.
func (s stored) judge(ctx context.Context, err error) error {
	if err == nil || ctx.Err() != nil {
		return err
	}
	if away := s.repo.opens(ctx); away != nil {
		return fmt.Errorf("destination %s: %w", s.repo.Name, away)
	}
	return fmt.Errorf("%w: %w; `restore list` shows the others", orNoRoom(ErrDamaged), err)
}

// orNoRoom names a full disk as the cause of what fails on one.
func orNoRoom(cause error) error {
	if free, err := freeMB(hostspec.DataDir); err == nil && free < 16 {
		return fmt.Errorf("%w: the data volume is full", ErrNoRoom)
	}
	return cause
}

// archive is a file that the old scripts made: uploads/, private_uploads/, db.dump and manifest.txt at its
// top (app-contract §6.2).
type archive struct{ path string }

func (a archive) name() string { return "archive " + filepath.Base(a.path) }

// describe reads all of the archive once: a truncated or altered one ends here.
func (a archive) describe(context.Context) (Manifest, error) {
	m := Manifest{Files: map[string]Tree{}}
	notes := ""
	sizes := map[string]int64{}
	err := a.each(func(head *tar.Header, name string, r io.Reader) error {
		part, _, inside := strings.Cut(name, "/")
		switch {
		case name == "manifest.txt":
			text, err := io.ReadAll(io.LimitReader(r, 64<<10))
			notes = string(text)
			return err
		case name == dumpPart:
			m.Database = DatabasePart{Name: dumpPart, Bytes: head.Size}
		case slices.Contains(mediaParts, part):
			t := m.Files[part]
			size := head.Size
			if head.Typeflag == tar.TypeLink {
				size = sizes[plain(head.Linkname)]
			}
			if inside && (head.Typeflag == tar.TypeReg || head.Typeflag == tar.TypeLink) {
				t.Files, t.Bytes, sizes[name] = t.Files+1, t.Bytes+size, size
			}
			m.Files[part] = t
		}
		_, err := io.Copy(io.Discard, r)
		return err
	})
	if err != nil {
		return m, err
	}
	var missing []string
	for _, part := range mediaParts {
		if _, ok := m.Files[part]; !ok {
			missing = append(missing, part+"/")
		}
	}
	if m.Database.Name == "" {
		missing = append(missing, dumpPart)
	}
	if notes == "" {
		missing = append(missing, "manifest.txt")
	}
	if len(missing) > 0 {
		return m, fmt.Errorf("%w: %s has no %s at its top", ErrDamaged, a.path, strings.Join(missing, ", "))
	}
	for line := range strings.Lines(notes) {
		switch key, value, _ := strings.Cut(strings.TrimSpace(line), "="); key {
		case "timestamp_utc":
			m.ID = value
			m.Started, _ = time.Parse(backupIDLayout, strings.ToUpper(value))
		case "git_rev":
			m.Release = value
		}
	}
	return m, nil
}

func (a archive) fetch(_ context.Context, dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir) // whatever the archive's names say, nothing leaves the directory
	if err != nil {
		return err
	}
	defer root.Close() //nolint:errcheck // it was only opened
	return a.each(func(head *tar.Header, name string, r io.Reader) error {
		part, _, _ := strings.Cut(name, "/")
		if name != dumpPart && !slices.Contains(mediaParts, part) {
			return nil
		}
		if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
			return err
		}
		switch head.Typeflag {
		case tar.TypeDir:
			if err := root.Mkdir(name, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
				return err
			}
		case tar.TypeReg:
			file, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
			if err != nil {
				return err
			}
			_, err = io.Copy(file, r)
			if err := errors.Join(err, file.Close()); err != nil {
				return err
			}
			if name == dumpPart {
				return nil // pg_restore reads it as the owner that it has now
			}
		case tar.TypeLink:
			return root.Link(plain(head.Linkname), name)
		default:
			return nil // neither sockets nor links are the application's
		}
		if err := root.Lchown(name, head.Uid, head.Gid); err != nil {
			return err
		}
		return root.Chmod(name, head.FileInfo().Mode().Perm())
	})
}

// each calls work for everything in the archive, with its name made plain.
func (a archive) each(work func(head *tar.Header, name string, r io.Reader) error) error {
	file, err := os.Open(a.path)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNoBackup, err)
	}
	defer file.Close()
	packed, err := gzip.NewReader(file)
	if err != nil {
		return fmt.Errorf("%w: %s is no gzip file: %w", ErrDamaged, a.path, err)
	}
	for r := tar.NewReader(packed); ; {
		head, err := r.Next()
		if errors.Is(err, io.EOF) {
			// The checksum comes behind the last file.
			if _, err := io.Copy(io.Discard, packed); err != nil { //nolint:gosec // nothing is kept
				return fmt.Errorf("%w: %s: %w", ErrDamaged, a.path, err)
			}
			return nil
		}
		if err != nil {
			return fmt.Errorf("%w: %s: %w", ErrDamaged, a.path, err)
		}
		name := plain(head.Name)
		if name == "" {
			continue
		}
		content := &watched{from: r}
		if err := work(head, name, content); err != nil {
			if content.bad {
				err = fmt.Errorf("%w: %w", ErrDamaged, err)
			}
			return fmt.Errorf("%s in %s: %w", name, a.path, err)
		}
	}
}

// plain is a name in an archive as it is below the archive's top.
func plain(name string) string { return strings.TrimPrefix(path.Clean("/"+name), "/") }

// watched remembers whether reading failed: what fails otherwise is not the archive's fault.
type watched struct {
	from io.Reader
	bad  bool
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.from.Read(p)
	w.bad = w.bad || err != nil && !errors.Is(err, io.EOF)
	return n, err
}

// compare checks what was fetched against the manifest, or fills in what an old archive's does not have.
func compare(dir string, m *Manifest) error {
	sum, size, err := hashFile(filepath.Join(dir, dumpPart))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if m.Format == 0 {
		m.Database.SHA256 = sum
	}
	if sum != m.Database.SHA256 || size != m.Database.Bytes {
		return fmt.Errorf("%w: its dump of the database is not the one of its manifest", ErrDamaged)
	}
	for _, part := range mediaParts {
		have, err := measureTree(filepath.Join(dir, part))
		if err != nil {
			return fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		want := m.Files[part]
		if m.Format == 0 {
			want.SHA256 = have.SHA256
			m.Files[part] = want
		}
		if have != want {
			return fmt.Errorf("%w: %s has %d files of %d bytes, its manifest says %d of %d, or their contents differ", ErrDamaged, part, have.Files, have.Bytes, want.Files, want.Bytes)
		}
	}
	return nil
}
