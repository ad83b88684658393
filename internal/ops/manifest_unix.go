package ops

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

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
