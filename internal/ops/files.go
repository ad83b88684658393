package ops

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// readJSON reads a file that this program or the Pulumi program wrote. Its error never quotes the
// content, which may hold secrets.
func readJSON(path string, into any) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("%s is not the JSON that this program writes", path)
	}
	return nil
}

// writeJSON replaces a file of mode 0600 whole.
func writeJSON(path string, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	_, err = ensureFile(path, append(text, '\n'), 0o600)
	return err
}

// syncDirectories writes the names in directories to the disk.
func syncDirectories(paths ...string) error {
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

// freeMB is what a file system has left for root's processes.
func freeMB(path string) (int64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return 0, fmt.Errorf("measure the free space of %s: %w", path, err)
	}
	return int64(s.Bavail) * s.Bsize >> 20, nil //nolint:gosec // far from its limit
}

// copyDirectory makes a directory with the owner and mode of another.
func copyDirectory(path string, like fs.FileInfo) error {
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
