// Package restore replaces database and files by those of a backup and keeps the replaced ones.
package restore

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/prekzursil/momentstudio-infra/internal/hostops/fsutil"
	"github.com/prekzursil/momentstudio-infra/internal/hostops/restic"
	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
)

// source is where a restore takes its data from.
type source interface {
	Name() string                                            // for people
	Describe(ctx context.Context) (hostspec.Manifest, error) // what it holds; no file is kept
	// puts uploads, private_uploads and db.dump into a new directory
	Fetch(ctx context.Context, dir string) error
}

// find resolves what the restore is told to take.
func (r Restoration) find(ctx context.Context) (source, error) {
	if r.Archive != "" {
		return archive{r.Archive}, nil
	}
	repo, err := restic.Find(ctx, r.Spec, r.From, r.Restic)
	if err != nil {
		return nil, err
	}
	all, err := repo.Snapshots(ctx)
	if err != nil {
		return nil, fmt.Errorf("destination %s: %w", repo.Name, err)
	}
	stack := r.Of
	if stack == "" && !r.Spec.ReadOnly { // a drill reads another stack's backups, and nothing else does by itself
		stack = r.Spec.Stack
	}
	if stack != "" {
		if all, err = restic.OfStack(all, stack); err != nil {
			return nil, fmt.Errorf("destination %s: %w; fix: --of names another stack", repo.Name, err)
		}
	}
	s, err := restic.Pick(all, r.Backup, time.Now())
	if err != nil {
		return nil, fmt.Errorf("destination %s: %w", repo.Name, err)
	}
	return restic.Stored{Repo: repo, Snapshot: s, Stack: stack}, nil
}

// archive is a file that the old scripts made: uploads/, private_uploads/, db.dump and manifest.txt at its
// top (app-contract §6.2).
type archive struct{ path string }

func (a archive) Name() string { return "archive " + filepath.Base(a.path) }

// describe reads all of the archive once: a truncated or altered one ends here.
func (a archive) Describe(context.Context) (hostspec.Manifest, error) {
	m := hostspec.Manifest{Files: map[string]hostspec.FileTree{}}
	notes := ""
	sizes := map[string]int64{}
	err := a.each(func(head *tar.Header, name string, r io.Reader) error {
		part, _, inside := strings.Cut(name, "/")
		switch {
		case name == "manifest.txt":
			text, err := io.ReadAll(io.LimitReader(r, 64<<10))
			notes = string(text)
			return err
		case name == hostspec.DumpPart:
			m.Database = hostspec.DatabaseDump{Name: hostspec.DumpPart, Bytes: head.Size}
		case slices.Contains(hostspec.MediaParts, part):
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
	for _, part := range hostspec.MediaParts {
		if _, ok := m.Files[part]; !ok {
			missing = append(missing, part+"/")
		}
	}
	if m.Database.Name == "" {
		missing = append(missing, hostspec.DumpPart)
	}
	if notes == "" {
		missing = append(missing, "manifest.txt")
	}
	if len(missing) > 0 {
		return m, fmt.Errorf("%w: %s has no %s at its top", restic.ErrDamaged, a.path, strings.Join(missing, ", "))
	}
	for line := range strings.Lines(notes) {
		switch key, value, _ := strings.Cut(strings.TrimSpace(line), "="); key {
		case "timestamp_utc":
			m.ID = value
			m.Started, _ = time.Parse(hostspec.BackupIDLayout, strings.ToUpper(value))
		case "git_rev":
			m.Release = value
		}
	}
	return m, nil
}

func (a archive) Fetch(_ context.Context, dir string) error {
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
		if name != hostspec.DumpPart && !slices.Contains(hostspec.MediaParts, part) {
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
			if name == hostspec.DumpPart {
				return nil // pg_restore reads it as the owner that it has now
			}
		case tar.TypeLink:
			return root.Link(plain(head.Linkname), name)
		default:
			return nil // neither sockets nor links are the application's
		}
		return root.Chmod(name, head.FileInfo().Mode().Perm())
	})
}

// each calls work for everything in the archive, with its name made plain.
func (a archive) each(work func(head *tar.Header, name string, r io.Reader) error) error {
	file, err := os.Open(a.path)
	if err != nil {
		return fmt.Errorf("%w: %w", restic.ErrNoBackup, err)
	}
	defer file.Close()
	packed, err := gzip.NewReader(file)
	if err != nil {
		return fmt.Errorf("%w: %s is no gzip file: %w", restic.ErrDamaged, a.path, err)
	}
	for r := tar.NewReader(packed); ; {
		head, err := r.Next()
		if errors.Is(err, io.EOF) {
			// The checksum comes behind the last file.
			if _, err := io.Copy(io.Discard, packed); err != nil { //nolint:gosec // nothing is kept
				return fmt.Errorf("%w: %s: %w", restic.ErrDamaged, a.path, err)
			}
			return nil
		}
		if err != nil {
			return fmt.Errorf("%w: %s: %w", restic.ErrDamaged, a.path, err)
		}
		name := plain(head.Name)
		if name == "" {
			continue
		}
		content := &watched{from: r}
		if err := work(head, name, content); err != nil {
			if content.bad {
				err = fmt.Errorf("%w: %w", restic.ErrDamaged, err)
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
func compare(dir string, m *hostspec.Manifest) error {
	sum, size, err := fsutil.HashFile(filepath.Join(dir, hostspec.DumpPart))
	if err != nil {
		return fmt.Errorf("%w: %w", restic.ErrDamaged, err)
	}
	if m.Format == 0 {
		m.Database.SHA256 = sum
	}
	if sum != m.Database.SHA256 || size != m.Database.Bytes {
		return fmt.Errorf("%w: its dump of the database is not the one of its manifest", restic.ErrDamaged)
	}
	for _, part := range hostspec.MediaParts {
		have, err := fsutil.MeasureTree(filepath.Join(dir, part))
		if err != nil {
			return fmt.Errorf("%w: %w", restic.ErrDamaged, err)
		}
		want := m.Files[part]
		if m.Format == 0 {
			want.SHA256 = have.SHA256
			m.Files[part] = want
		}
		if have != want {
			return fmt.Errorf("%w: %s has %d files of %d bytes, its manifest says %d of %d, or their contents differ",
				restic.ErrDamaged, part, have.Files, have.Bytes, want.Files, want.Bytes)
		}
	}
	return nil
}
