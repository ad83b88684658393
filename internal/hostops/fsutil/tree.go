package fsutil

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
)

// MeasureTree reads every file of a directory.
func MeasureTree(root string) (hostspec.FileTree, error) {
	return Tally(root, func(path string, _ fs.DirEntry) (string, int64, error) { return HashFile(path) })
}

// Tally sums up a directory's files, as read tells of each.
func Tally(root string, read func(path string, d fs.DirEntry) (sum string, size int64, err error)) (hostspec.FileTree,
	error,
) {
	var t hostspec.FileTree
	list := sha256.New()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		sum, size, err := read(path, d)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		t.Files++
		t.Bytes += size
		fmt.Fprintf(list, "%s  %s\n", sum, name)
		return nil
	})
	t.SHA256 = hex.EncodeToString(list.Sum(nil))
	return t, err
}
