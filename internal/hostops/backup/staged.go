package backup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/prekzursil/momentstudio-infra/internal/atomicfile"
	"github.com/prekzursil/momentstudio-infra/internal/hostops/fsutil"
	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
)

// linkTree makes a copy of a directory out of hard links, without what vanishes meanwhile. Called twice, the second
// call adds what is new. What the application writes into a file later, it writes into the link as well:
// staged.measure sees to that.
func linkTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, name)
		switch {
		case d.IsDir():
			info, err := d.Info()
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil {
				return err
			}
			return fsutil.CopyDirectory(target, info)
		case d.Type().IsRegular():
			//nolint:gosec // whatever is swapped in, a link never leaves the data volume
			if err := os.Link(path, target); err != nil && !errors.Is(err, fs.ErrExist) && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			return nil
		default:
			return nil // neither sockets nor links are the application's
		}
	})
}

// staged is what a backup collected, and how each of its files was when it was read. They are links to the
// application's own files, and some of those it writes in place: an upload that is still coming in, a variant that is
// made anew (media_dam.py, storage.py of the application). A file that is written into becomes a file of its own,
// which nobody else has.
type staged struct {
	dir  string
	seen map[string]seenFile // by path
}

type seenFile struct {
	sum  string
	size int64
	at   time.Time // when its content was last changed
}

func (f seenFile) is(info fs.FileInfo) bool {
	return f.size == info.Size() && f.at.Equal(info.ModTime())
}

// measure brings a manifest's files to what is staged now. It reads what it has not read, or what was written into
// since; changed says whether there was any of the latter.
func (s *staged) measure(m *hostspec.Manifest) (changed bool, err error) {
	if s.seen == nil {
		s.seen = map[string]seenFile{}
	}
	for _, part := range hostspec.MediaParts {
		m.Files[part], err = fsutil.Tally(filepath.Join(s.dir, part),
			func(path string, d fs.DirEntry) (string, int64, error) {
				info, err := d.Info()
				if err != nil {
					return "", 0, err
				}
				f, known := s.seen[path]
				if !known || !f.is(info) {
					changed = changed || known
					if f, err = readSteady(path, known); err != nil {
						return "", 0, err
					}
					s.seen[path] = f
				}
				return f.sum, f.size, nil
			})
		if err != nil {
			return changed, fmt.Errorf("read %s: %w", part, err)
		}
	}
	if err := fsutil.WriteJSON(filepath.Join(s.dir, "manifest.json"), m); err != nil {
		return changed, fmt.Errorf("write the manifest: %w", err)
	}
	return changed, nil
}

// readSteady reads a file that stays as it was read: one that is written into is made a file of its own first.
func readSteady(path string, written bool) (f seenFile, err error) {
	for range 2 {
		if written {
			if err := detach(path); err != nil {
				return f, err
			}
		}
		before, err := os.Stat(path)
		if err != nil {
			return f, err
		}
		f.at = before.ModTime()
		if f.sum, f.size, err = fsutil.HashFile(path); err != nil {
			return f, err
		}
		after, err := os.Stat(path)
		if err != nil {
			return f, err
		}
		if f.is(after) {
			return f, nil
		}
		written = true
	}
	return f, fmt.Errorf("%s changes, and nobody else has it", filepath.Base(path))
}

// Whoever writes into a file is given this long to come to an end before it is copied.
const (
	quiet    = time.Second
	patience = 10 * time.Second
)

// detach replaces a link by a copy with the same owner, mode and time.
func detach(path string) error {
	info, err := os.Stat(path)
	for until := time.Now().Add(patience); err == nil && time.Since(info.ModTime()).Abs() < quiet &&
		time.Now().Before(until); info, err = os.Stat(path) {
		time.Sleep(quiet / 4)
	}
	if err != nil {
		return err
	}
	from, err := os.Open(path)
	if err != nil {
		return err
	}
	defer from.Close()
	a := atomicfile.Attributes{Mode: info.Mode().Perm(), Modified: info.ModTime()}
	if owner, ok := info.Sys().(*syscall.Stat_t); ok {
		a.Owner = &atomicfile.Owner{UID: int(owner.Uid), GID: int(owner.Gid)}
	}
	if err := atomicfile.Copy(path, from, a); err != nil {
		return fmt.Errorf("copy %s: %w", filepath.Base(path), err)
	}
	return nil
}
