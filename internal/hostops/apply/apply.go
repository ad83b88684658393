// Package apply brings the host's files, secrets and timers to what the program specifies.
package apply

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/prekzursil/momentstudio-infra/internal/atomicfile"
	"github.com/prekzursil/momentstudio-infra/internal/hostops/fsutil"
	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
)

// Units asks systemd for what host-apply needs of it.
type Units interface {
	// DaemonReload makes systemd read changed unit files.
	DaemonReload(ctx context.Context) error
	// Reload reloads the unit, or restarts it when it cannot reload; units that are not running
	// are left alone.
	Reload(ctx context.Context, unit string) error
	// Enable makes systemd start the unit at every boot, and starts it now, or anew when changed.
	Enable(ctx context.Context, unit string, changed bool) error
	// Disable stops the unit for good.
	Disable(ctx context.Context, unit string) error
}

// Run makes spec true below root and removes the uploaded secrets. It reports each change
// on out, by path only.
func Run(ctx context.Context, spec hostspec.Apply, root string, units Units, out io.Writer) error {
	if _, err := os.Stat(root + hostspec.GuardFile); err != nil {
		return fmt.Errorf("the data volume is not mounted: %s is missing", hostspec.GuardFile)
	}
	changed := 0
	for _, d := range spec.Directories {
		did, err := ensureDirectory(root+d.Path, d)
		if err != nil {
			return fmt.Errorf("make directory %s: %w", d.Path, err)
		}
		if did {
			fmt.Fprintln(out, "directory", d.Path)
		}
	}
	changedFiles := map[string]bool{}
	write := func(path string, content []byte, mode os.FileMode, uid int) error {
		did, err := fsutil.EnsureOwned(root+path, content, mode, uid)
		if err != nil {
			return fmt.Errorf("write %s: %w", path, err)
		}
		if did {
			changed++
			changedFiles[path] = true
			fmt.Fprintln(out, "file", path)
		}
		return nil
	}
	// Secrets before files: no unit of a timer, and no command, is ever there without the secrets that it reads.
	for _, s := range spec.Secrets {
		content, err := os.ReadFile(s.Upload)
		if err != nil {
			return fmt.Errorf("read the upload for %s: %w", s.Path, err)
		}
		if s.KeepOld {
			if err := keepOld(root+s.Path, content, s.UID); err != nil {
				return fmt.Errorf("keep the old content of %s: %w", s.Path, err)
			}
		}
		if err := write(s.Path, content, 0o400, s.UID); err != nil {
			return err
		}
	}
	for _, f := range spec.Files {
		if err := write(f.Path, []byte(f.Content), os.FileMode(f.Mode), os.Getuid()); err != nil {
			return err
		}
	}
	gone, err := retire(ctx, spec, root, units, out)
	if err != nil {
		return err
	}
	changed += gone
	// Even when no file changed: an earlier run may have been killed between writing and here.
	if err := units.DaemonReload(ctx); err != nil {
		return fmt.Errorf("reload systemd: %w", err)
	}
	for _, u := range spec.Reload {
		if err := units.Reload(ctx, u); err != nil {
			return fmt.Errorf("reload %s: %w", u, err)
		}
		fmt.Fprintln(out, "reloaded", u)
	}
	for _, u := range spec.Timers {
		if err := units.Enable(ctx, u, changedFiles["/etc/systemd/system/"+u]); err != nil {
			return fmt.Errorf("enable %s: %w", u, err)
		}
	}
	// Only now: a run that was killed before may find its input again when the container restarts.
	for _, s := range spec.Secrets {
		if err := os.Remove(s.Upload); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove the upload for %s: %w", s.Path, err)
		}
	}
	fmt.Fprintf(out, "host configuration applied: %d files changed\n", changed)
	return nil
}

// applied is what an earlier run made and a later one may have to take back.
type applied struct {
	Files  []string `json:"files"` // secret ones too
	Timers []string `json:"timers"`
}

// retire stops the timers and removes the files of earlier specifications that this one does not have,
// and records what this one has. The record comes last: a run that is killed before leaves the old one.
func retire(ctx context.Context, spec hostspec.Apply, root string, units Units, out io.Writer) (removed int,
	err error,
) {
	var old applied
	if err := fsutil.ReadJSON(root+hostspec.AppliedFile, &old); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, fmt.Errorf("read %s: %w", hostspec.AppliedFile, err)
	}
	now := applied{Timers: spec.Timers}
	for _, f := range spec.Files {
		now.Files = append(now.Files, f.Path)
	}
	for _, s := range spec.Secrets {
		now.Files = append(now.Files, s.Path)
	}
	for _, u := range old.Timers {
		if !slices.Contains(now.Timers, u) {
			if err := units.Disable(ctx, u); err != nil {
				return removed, fmt.Errorf("disable %s: %w", u, err)
			}
			fmt.Fprintln(out, "disabled", u)
		}
	}
	for _, path := range old.Files {
		if slices.Contains(now.Files, path) {
			continue
		}
		if err := os.Remove(root + path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return removed, fmt.Errorf("remove %s: %w", path, err)
		}
		removed++
		fmt.Fprintln(out, "removed", path)
	}
	if err := fsutil.WriteJSON(root+hostspec.AppliedFile, now); err != nil {
		return removed, fmt.Errorf("write %s: %w", hostspec.AppliedFile, err)
	}
	return removed, nil
}

// ReadSpec reads the specification that the program uploaded.
func ReadSpec(path string) (hostspec.Apply, error) {
	var spec hostspec.Apply
	if err := fsutil.ReadJSON(path, &spec); err != nil {
		return spec, fmt.Errorf("read specification: %w", err)
	}
	return spec, nil
}

func ensureDirectory(path string, d hostspec.Directory) (bool, error) {
	info, err := os.Stat(path)
	switch {
	case err == nil && info.IsDir():
		return false, nil // a service's entrypoint may have taken it over: its owner is left alone
	case err == nil:
		return false, errors.New("a file is in its place")
	case !errors.Is(err, fs.ErrNotExist):
		return false, err
	}
	//nolint:gosec // every sensitive parent is listed before its children
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return false, err
	}
	// Made aside and renamed, so that a killed run never leaves one with the wrong owner.
	tmp, err := os.MkdirTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return false, err
	}
	defer os.Remove(tmp)
	if err := errors.Join(os.Chown(tmp, d.UID, d.GID), os.Chmod(tmp, os.FileMode(d.Mode))); err != nil {
		return false, err
	}
	return true, atomicfile.Rename(tmp, path)
}

// keepOld copies what the file holds now beside it, when new content is about to replace it. Every
// old content has a file of its own: after runs that were killed, any of them may be the one in use.
func keepOld(path string, content []byte, uid int) error {
	old, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && string(old) == string(content) {
		return nil
	}
	if err != nil {
		return err
	}
	sum := sha256.Sum256(old)
	_, err = fsutil.EnsureOwned(hostspec.OldSecret(path, hex.EncodeToString(sum[:4])), old, 0o400, uid)
	return err
}
