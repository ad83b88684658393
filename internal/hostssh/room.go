package hostssh

import (
	"fmt"

	"github.com/prekzursil/momentstudio-infra/internal/fault"
	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
)

// JudgeVolume is an error when the file system does not use the whole volume, with the way out.
func JudgeVolume(v *hostspec.Volume) error {
	if !v.Grows() {
		return nil
	}
	return fault.Hint(fmt.Errorf("the data volume has %d MB, but its file system only %d", v.Bytes>>20, v.Filesystem>>20),
		"reboot the host at a quiet time (`systemctl reboot`): the file system grows before it is mounted")
}

// systemRoomMB is what the next releases' images and the logs need on the system's disk.
const systemRoomMB = 4096

// JudgeDisk is an error when little is free, while there is time to act: less than a tenth of the data volume.
func JudgeDisk(d hostspec.Disk) error {
	need, fix := d.SizeMB/10, "raise host.volumeSizeGB; `du -xh --max-depth 2 "+d.Path+"` shows what takes the room"
	if d.Path == "/" {
		need, fix = systemRoomMB, "`docker system df` and `journalctl --disk-usage` on the host show what takes the room"
	}
	switch {
	case d.FreeMB < need:
		return fault.Hint(fmt.Errorf("%s has %d of %d MB free", d.Path, d.FreeMB, d.SizeMB), fix)
	case d.FreeInodes < d.Inodes/10:
		return fault.Hint(fmt.Errorf("%s can hold %d more files, of %d", d.Path, d.FreeInodes, d.Inodes), fix)
	}
	return nil
}
