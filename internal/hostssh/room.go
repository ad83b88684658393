package hostssh

import (
	"fmt"

	"github.com/prekzursil/momentstudio-infra/internal/fault"
	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
)

// JudgeVolume returns an error with a fix when the file system does not use the whole volume.
func JudgeVolume(v *hostspec.Volume) error {
	if !v.Grows() {
		return nil
	}
	return fault.Hint(fmt.Errorf("the data volume has %d MB, but its file system only %d", v.Bytes>>20, v.Filesystem>>20),
		"reboot the host at a quiet time (`systemctl reboot`): the file system grows before it is mounted. When "+
			"it does not, `journalctl -u momentstudio-data` on the host shows why")
}

// systemRoomMB is what the next releases' images and the logs need on the system's disk.
const systemRoomMB = 4096

// JudgeDisk returns an error with a fix when less than a tenth of the data volume, less than 4 GB of the system's disk,
// or less than a tenth of the inodes is free.
func JudgeDisk(d hostspec.Disk) error {
	need, fix := d.SizeMB/10, "raise host.volumeSizeGB; `du -xh --max-depth 2 "+d.Path+"` shows what takes the room"
	if d.Path == "/" {
		need, fix = systemRoomMB, "`docker system df` and `journalctl --disk-usage` on the host show what takes the room; "+
			"`docker image prune` and `journalctl --vacuum-size=200M` make some"
	}
	switch {
	case d.FreeMB < need:
		return fault.Hint(fmt.Errorf("%s has %d of %d MB free", d.Path, d.FreeMB, d.SizeMB), fix)
	case d.FreeInodes < d.Inodes/10:
		return fault.Hint(fmt.Errorf("%s has %d of %d inodes free", d.Path, d.FreeInodes, d.Inodes),
			"`du --inodes -xh --max-depth 2 "+d.Path+"` shows where the files are")
	}
	return nil
}
