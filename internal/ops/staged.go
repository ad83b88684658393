package ops

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// staged is what a backup collected, and how each of its files was when it was read. They are links to the application's own
// files, and some of those it writes in place: an upload that is still coming in, a variant that is made anew (media_dam.py,
// storage.py of the application). A file that is written into becomes a file of its own, which nobody else has.
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

// measure brings a manifest's files to what is staged now. It reads what it has not read, or what was written into since; changed
// says whether there was any of the latter.
func (s *staged) measure(m *Manifest) (changed bool, err error) {
	if s.seen == nil {
		s.seen = map[string]seenFile{}
	}
	for _, part := range mediaParts {
		m.Files[part], err = tally(filepath.Join(s.dir, part), func(path string, d fs.DirEntry) (string, int64, error) {
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
	if err := writeJSON(filepath.Join(s.dir, "manifest.json"), m); err != nil {
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
		if f.sum, f.size, err = hashFile(path); err != nil {
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
	for until := time.Now().Add(patience); err == nil && time.Since(info.ModTime()).Abs() < quiet && time.Now().Before(until); info, err = os.Stat(path) {
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
	to, err := os.CreateTemp(filepath.Dir(path), ".copy-*")
	if err != nil {
		return err
	}
	defer os.Remove(to.Name())
	_, errCopy := io.Copy(to, from)
	// The owner comes last: what follows would need more rights over somebody else's file.
	err = errors.Join(errCopy, to.Chmod(info.Mode().Perm()), to.Close(), os.Chtimes(to.Name(), time.Time{}, info.ModTime()))
	if owner, ok := info.Sys().(*syscall.Stat_t); ok {
		err = errors.Join(err, os.Lchown(to.Name(), int(owner.Uid), int(owner.Gid)))
	}
	if err != nil {
		return fmt.Errorf("copy %s: %w", filepath.Base(path), err)
	}
	return os.Rename(to.Name(), path)
}
