// Package journal reads and writes the record of a restore, from which a killed one continues.
package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/prekzursil/momentstudio-infra/internal/atomicfile"
	"github.com/prekzursil/momentstudio-infra/internal/hostops/fsutil"
	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
)

// ErrUnfinished refuses what would meet an earlier restore half done.
var ErrUnfinished = errors.New("an earlier restore comes first")

// Save writes the journal to the disk, so that a power cut never brings an older one back.
func Save(s hostspec.RestoreState) error { return save(hostspec.RestoreDir, s) }

// save also keeps the mark of an unfinished cutover. The mark comes after the journal and goes before it, so that a
// killed run never leaves a mark without a restore that can be continued.
func save(dir string, s hostspec.RestoreState) error {
	mark := filepath.Join(dir, filepath.Base(hostspec.RestoreUnfinished))
	err := os.MkdirAll(dir, 0o700)
	if err == nil && !s.HalfSwitched() {
		if err = os.Remove(mark); errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	}
	if err == nil {
		err = fsutil.WriteJSON(filepath.Join(dir, filepath.Base(hostspec.RestoreJournal)), s)
	}
	if err == nil && s.HalfSwitched() {
		_, err = fsutil.EnsureFile(mark, []byte(s.Source+"\n"), 0o600)
	}
	if err != nil {
		return fmt.Errorf("write the restore's journal: %w", err)
	}
	// A power cut must not bring an older journal back than the databases and directories show.
	return atomicfile.SyncDirectories(dir, filepath.Dir(dir))
}

// HalfSwitched fails while a restore stands in the middle of its switch: what would start or back up the shop
// then would mix two states of it.
func HalfSwitched(path string) error {
	s, err := Read(path)
	if err != nil || !s.HalfSwitched() {
		return err
	}
	return fmt.Errorf("%w: the one of %s is in the middle of its cutover; fix: `%s restore continue` on the host "+
		"finishes it, `restore undo` goes back",
		ErrUnfinished, s.Source, hostspec.HostopsCommand)
}

// Read reads the journal; nil without one.
func Read(path string) (*hostspec.RestoreState, error) {
	var s hostspec.RestoreState
	switch err := fsutil.ReadJSON(path, &s); {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil //nolint:nilnil // no restore is no error
	case err != nil:
		return nil, fmt.Errorf("read the restore's journal: %w", err)
	}
	return &s, nil
}
