package toolchain

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// pluginDir is where the engine looks for a plugin, and what `pulumi plugin install resource
// NAME VERSION --file` creates.
func pluginDir(home string, p Plugin) string {
	return filepath.Join(home, "plugins", fmt.Sprintf("resource-%s-v%s", p.Name, p.Version))
}

// install puts a plugin into a PULUMI_HOME. The directory must be real, because the engine
// does not follow links to directories, but the binary in it may be the same file under a
// second name. A running engine keeps the old file: the new one takes its name in one step.
func install(p Plugin, binary, home string) error {
	dir := pluginDir(home, p)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	// The engine takes a plugin with a .partial file beside it for half installed.
	if err := os.Remove(dir + ".partial"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	target := filepath.Join(dir, p.binary())
	if sameFile(binary, target) {
		return nil
	}
	fresh := target + ".new"
	if err := os.Remove(fresh); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Link(binary, fresh); err != nil {
		// Another file system, or one without hard links.
		if err := copyFile(binary, fresh); err != nil {
			return err
		}
	}
	return os.Rename(fresh, target)
}

func sameFile(a, b string) bool {
	left, err := os.Stat(a)
	if err != nil {
		return false
	}
	right, err := os.Stat(b)
	if err != nil {
		return false
	}
	if os.SameFile(left, right) {
		return true
	}
	return left.Size() == right.Size() && left.ModTime().Equal(right.ModTime())
}

// copyFile keeps the time of the original, by which sameFile recognises the copy.
func copyFile(from, to string) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	info, err := source.Stat()
	if err != nil {
		return err
	}
	target, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o755)
	if err != nil {
		return err
	}
	if _, err := io.Copy(target, source); err != nil {
		_ = target.Close()
		return err
	}
	if err := target.Close(); err != nil {
		return err
	}
	return os.Chtimes(to, info.ModTime(), info.ModTime())
}
