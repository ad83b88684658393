package restic

import (
	"fmt"

	"github.com/prekzursil/momentstudio-infra/internal/hostops/fsutil"
	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
)

// EnoughRoom checks that the data volume takes the files, the dump and, when the database lies there too,
// its tables with their indexes, and a gigabyte of write-ahead log. Tables and indexes are given three times
// our own dump, which is not compressed, and twelve times an old archive's, which is.
func EnoughRoom(volume string, m hostspec.Manifest, local bool) error {
	need := m.FileBytes() + m.Database.Bytes
	if local {
		factor := int64(3)
		if m.Format == 0 {
			factor = 12
		}
		need += factor*m.Database.Bytes + 1<<30
	}
	free, err := fsutil.FreeMB(volume)
	if err != nil {
		return err
	}
	if need = need>>20 + fsutil.ReserveMB; free < need {
		return fmt.Errorf("%w: the data volume has %d MB free, and it may need %d MB beside the live data; raise "+
			"host.volumeSizeGB", ErrNoRoom, free, need)
	}
	return nil
}

// OrNoRoom names a full disk as the cause of what fails on one.
func OrNoRoom(cause error) error {
	if free, err := fsutil.FreeMB(hostspec.DataDir); err == nil && free < 16 {
		return fmt.Errorf("%w: the data volume is full", ErrNoRoom)
	}
	return cause
}
