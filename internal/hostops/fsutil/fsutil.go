// Package fsutil writes files whole, with owner and mode, and measures file systems and directories.
package fsutil

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/prekzursil/momentstudio-infra/internal/atomicfile"
)

// WriteAll writes a text.
func WriteAll(w io.Writer, text string) error {
	_, err := io.WriteString(w, text)
	return err
}

// ReadJSON reads a file that this program or the Pulumi program wrote. Its error never quotes the
// content, which may hold secrets.
func ReadJSON(path string, into any) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("%s is not the JSON that this program writes", path)
	}
	return nil
}

// WriteJSON replaces a file of mode 0600 whole.
func WriteJSON(path string, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	_, err = EnsureFile(path, append(text, '\n'), 0o600)
	return err
}

// FreeMB is what a file system has left for root's processes.
func FreeMB(path string) (int64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return 0, fmt.Errorf("measure the free space of %s: %w", path, err)
	}
	return int64(s.Bavail) * s.Bsize >> 20, nil //nolint:gosec // far from its limit
}

// CopyDirectory makes a directory with the owner and mode of another.
func CopyDirectory(path string, like fs.FileInfo) error {
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if s, ok := like.Sys().(*syscall.Stat_t); ok {
		if err := os.Lchown(path, int(s.Uid), int(s.Gid)); err != nil {
			return err
		}
	}
	return os.Chmod(path, like.Mode().Perm())
}

// EnsureFile is EnsureOwned for a file of this process's own user.
func EnsureFile(path string, content []byte, mode os.FileMode) (bool, error) {
	return EnsureOwned(path, content, mode, os.Getuid())
}

// owner is the numeric owner of a file.
func owner(info fs.FileInfo) (uid int, known bool) {
	if info == nil {
		return 0, false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return int(stat.Uid), true
}

// EnsureOwned replaces the file whole when content, mode or owner differ, and reports whether it did.
func EnsureOwned(path string, content []byte, mode os.FileMode, uid int) (bool, error) {
	if old, err := os.ReadFile(path); err == nil && string(old) == string(content) {
		info, err := os.Stat(path)
		if owner, known := owner(info); err == nil && info.Mode().Perm() == mode && (!known || owner == uid) {
			return false, nil
		}
	}
	//nolint:gosec // every sensitive parent is a directory of its own, made before
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return false, err
	}
	a := atomicfile.Attributes{Mode: mode}
	if uid != os.Getuid() {
		a.Owner = &atomicfile.Owner{UID: uid, GID: uid}
	}
	return true, atomicfile.Write(path, content, a)
}

// HashFile returns the SHA-256 of a file in hexadecimal, and its size in bytes.
func HashFile(path string) (sum string, size int64, err error) {
	file, err := os.Open(path)
	if err != nil {
		return "", 0, err
	}
	defer file.Close()
	h := sha256.New()
	size, err = io.Copy(h, file)
	return hex.EncodeToString(h.Sum(nil)), size, err
}

// ReserveMB is what must stay free on every file system.
const ReserveMB = 512
