// Package atomicfile replaces files whole: whoever reads a file finds its old content or its new one, also after a
// crash or a power cut, and a full disk leaves the old one. It never makes a directory.
package atomicfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// Attributes are what a file has from the moment it has its name.
type Attributes struct {
	Mode     os.FileMode // permissions; required
	Owner    *Owner      // nil: this process's user and group
	Modified time.Time   // zero: now
}

// Owner is a file's user and group.
type Owner struct {
	UID, GID int
}

// Write replaces the file at path, or makes it.
func Write(path string, content []byte, a Attributes) error {
	return Copy(path, bytes.NewReader(content), a)
}

// Copy replaces the file at path with what from yields until its end.
func Copy(path string, from io.Reader, a Attributes) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) // after the rename there is none
	_, err = io.Copy(tmp, from)
	if err = errors.Join(err, a.set(tmp), tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	return Rename(tmp.Name(), path)
}

// set ends with the owner: changing somebody else's file needs more rights.
func (a Attributes) set(file *os.File) error {
	if err := file.Chmod(a.Mode); err != nil {
		return err
	}
	if !a.Modified.IsZero() {
		if err := os.Chtimes(file.Name(), time.Time{}, a.Modified); err != nil {
			return err
		}
	}
	if a.Owner == nil {
		return nil
	}
	return file.Chown(a.Owner.UID, a.Owner.GID)
}

// Publish gives a complete file of another program its mode and its name, which it has only once its content is on
// the disk.
func Publish(partial, path string, mode os.FileMode) error {
	file, err := os.OpenFile(partial, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	if err := errors.Join(file.Chmod(mode), file.Sync(), file.Close()); err != nil {
		return fmt.Errorf("write %s to the disk: %w", partial, err)
	}
	return Rename(partial, path)
}

// Rename gives a file or directory another name, on the disk when it returns. Both names are in one directory.
func Rename(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return SyncDirectories(filepath.Dir(to))
}

// SyncDirectories writes the names in directories to the disk.
func SyncDirectories(paths ...string) error {
	for _, path := range paths {
		dir, err := os.Open(path)
		if err != nil {
			return err
		}
		if err := errors.Join(dir.Sync(), dir.Close()); err != nil {
			return fmt.Errorf("write %s to the disk: %w", path, err)
		}
	}
	return nil
}
