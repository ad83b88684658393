package machine

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// A volume is a sparse file on a loop device of this machine. Its device keeps
// its number from creation to deletion, so a host finds it again after a
// reboot.

func (d *Docker) volumeFile(id int64) string {
	return filepath.Join(d.config.StateDir, "volumes", strconv.FormatInt(id, 10)+".img")
}

func volumeLock(id int64) string { return fmt.Sprintf("volume %d", id) }

// CreateVolume makes the disk and, when asked, its file system.
func (d *Docker) CreateVolume(ctx context.Context, id int64, sizeGB int, format string) error {
	defer d.lock(volumeLock(id))()
	file := d.volumeFile(id)
	if err := grow(file, sizeGB); err != nil {
		return fmt.Errorf("volume %d: %w", id, err)
	}
	if format != "" {
		if format != "ext4" {
			return fmt.Errorf("volume %d: format %q, want ext4", id, format)
		}
		// On the file, not the device: the sparse file stays small.
		if _, err := run(ctx, "mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=1,lazy_journal_init=1", file); err != nil {
			return fmt.Errorf("volume %d: %w", id, err)
		}
	}
	_, err := d.loop(ctx, id)
	return err
}

func grow(file string, sizeGB int) error {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Truncate(int64(sizeGB) << 30)
}

// loop returns the loop device of a volume and makes it when there is none,
// which is so after a restart of this machine.
func (d *Docker) loop(ctx context.Context, id int64) (string, error) {
	file := d.volumeFile(id)
	device, err := run(ctx, "losetup", "--associated", file, "--noheadings", "--output", "NAME")
	if err != nil {
		return "", fmt.Errorf("volume %d: %w", id, err)
	}
	if device != "" {
		return strings.Fields(device)[0], nil
	}
	if device, err = run(ctx, "losetup", "--find", "--show", file); err != nil {
		return "", fmt.Errorf("volume %d: %w", id, err)
	}
	return device, nil
}

// ResizeVolume makes the disk larger; the file system on it is the owner's.
func (d *Docker) ResizeVolume(ctx context.Context, id int64, sizeGB int) error {
	defer d.lock(volumeLock(id))()
	if err := grow(d.volumeFile(id), sizeGB); err != nil {
		return fmt.Errorf("volume %d: %w", id, err)
	}
	device, err := d.loop(ctx, id)
	if err != nil {
		return err
	}
	if _, err := run(ctx, "losetup", "--set-capacity", device); err != nil {
		return fmt.Errorf("volume %d: %w", id, err)
	}
	return nil
}

// AttachVolume makes the disk appear in a machine, on or off.
func (d *Docker) AttachVolume(ctx context.Context, id, serverID int64) error {
	defer d.lock(volumeLock(id))()
	defer d.lock(d.Container(serverID))()
	ids, err := d.attached(serverID)
	if err != nil {
		return err
	}
	if !slices.Contains(ids, id) {
		ids = append(ids, id)
	}
	if err := d.writeVolumes(ctx, serverID, ids); err != nil {
		return err
	}
	return d.tell(ctx, serverID, "/usr/lib/sandbox/disks", "notify")
}

// DetachVolume takes the disk away, also from a machine that is gone.
func (d *Docker) DetachVolume(ctx context.Context, id, serverID int64) error {
	defer d.lock(volumeLock(id))()
	defer d.lock(d.Container(serverID))()
	if _, err := os.Stat(d.platformDir(serverID)); os.IsNotExist(err) {
		return nil
	}
	ids, err := d.attached(serverID)
	if err != nil {
		return err
	}
	ids = slices.DeleteFunc(ids, func(other int64) bool { return other == id })
	if err := d.writeVolumes(ctx, serverID, ids); err != nil {
		return err
	}
	return d.tell(ctx, serverID, "/usr/lib/sandbox/disks", "notify")
}

// DeleteVolume destroys the data.
func (d *Docker) DeleteVolume(ctx context.Context, id int64) error {
	defer d.lock(volumeLock(id))()
	file := d.volumeFile(id)
	if _, err := os.Stat(file); os.IsNotExist(err) {
		return nil
	}
	if err := release(ctx, file); err != nil {
		return fmt.Errorf("volume %d: %w", id, err)
	}
	if err := os.Remove(file); err != nil {
		return fmt.Errorf("volume %d: %w", id, err)
	}
	return nil
}

func release(ctx context.Context, file string) error {
	devices, err := run(ctx, "losetup", "--associated", file, "--noheadings", "--output", "NAME")
	if err != nil {
		return err
	}
	for _, device := range strings.Fields(devices) {
		if _, err := run(ctx, "losetup", "--detach", device); err != nil {
			return err
		}
	}
	return nil
}

// attached reads which volumes a server has.
func (d *Docker) attached(serverID int64) ([]int64, error) {
	body, err := os.ReadFile(filepath.Join(d.platformDir(serverID), "volumes"))
	if err != nil {
		return nil, fmt.Errorf("server %d: read volumes: %w", serverID, err)
	}
	var ids []int64
	for line := range strings.Lines(string(body)) {
		var id int64
		if _, err := fmt.Sscan(line, &id); err != nil {
			return nil, fmt.Errorf("server %d: read volumes: %w", serverID, err)
		}
		ids = append(ids, id)
	}
	return ids, nil
}

func (d *Docker) writeVolumes(ctx context.Context, serverID int64, ids []int64) error {
	var b strings.Builder
	for _, id := range ids {
		device, err := d.loop(ctx, id)
		if err != nil {
			return err
		}
		var st syscall.Stat_t
		if err := syscall.Stat(device, &st); err != nil {
			return fmt.Errorf("volume %d: %s: %w", id, device, err)
		}
		// Loop devices have small numbers: 8 bits of major, 8 of minor at the
		// bottom, the rest of the minor above bit 20.
		major, minor := st.Rdev>>8&0xfff, st.Rdev&0xff|st.Rdev>>12&^0xff
		fmt.Fprintf(&b, "%d %d %d\n", id, major, minor)
	}
	if err := replace(filepath.Join(d.platformDir(serverID), "volumes"), b.String()); err != nil {
		return fmt.Errorf("server %d: write volumes: %w", serverID, err)
	}
	return nil
}

// refreshLoops brings the device numbers up to date before a start.
func (d *Docker) refreshLoops(ctx context.Context, serverID int64) error {
	ids, err := d.attached(serverID)
	if err != nil {
		return err
	}
	return d.writeVolumes(ctx, serverID, ids)
}
