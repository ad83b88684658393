package render

import (
	"cmp"
	"fmt"
	"time"

	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
)

// Timer is a command of hostops that the host's systemd starts again and again, in a container of
// the ops image. Units are named momentstudio-<Name>; `journalctl -u` shows what they print.
type Timer struct {
	Name        string // lower-case letters and hyphens
	Description string // as `systemctl list-timers` shows it
	Calendar    string // systemd.time(7), in UTC, e.g. "*-*-* 04:30:00"
	RandomDelay time.Duration
	Limit       time.Duration // after which the run is killed
	Image       string        // the ops image, with digest
	Command     []string
	Mounts      []string // in the words of `docker run --mount`
	Network     string   // default "none"
	Caps        []string // capabilities beside DAC_OVERRIDE
	MemoryMB    int      // most that it may take; required
	Notify      bool     // whether a failure starts the unit of Notice
}

// Notice renders the unit that tells of the failure of another, which is its instance.
func Notice(image, network string, mounts []string) (hostspec.File, error) {
	text, err := fill("notify.service", struct {
		Image, Network string
		Contract       int
		Mounts         []string
	}{image, network, hostspec.ContractVersion, mounts})
	return hostspec.File{Path: "/etc/systemd/system/momentstudio-notify@.service", Mode: 0o644, Content: text}, err
}

// Unit is the name of the timer's unit.
func (t Timer) Unit() string { return "momentstudio-" + t.Name + ".timer" }

// Files are the two units.
func (t Timer) Files() ([]hostspec.File, error) {
	var files []hostspec.File
	data := struct {
		Timer
		RandomDelay, Limit int // seconds
	}{t, int(t.RandomDelay.Seconds()), int(t.Limit.Seconds())}
	data.Network = cmp.Or(t.Network, "none")
	for _, kind := range []string{"service", "timer"} {
		text, err := fill("ops."+kind, data)
		if err != nil {
			return nil, err
		}
		files = append(files, hostspec.File{
			Path: "/etc/systemd/system/momentstudio-" + t.Name + "." + kind, Mode: 0o644,
			Content: text,
		})
	}
	return files, nil
}

// HostopsCommand renders the command by which an operator on the host runs hostops. With wayOut it is on Docker's own
// bridge too, for a network that has no way out.
func HostopsCommand(image, network string, mounts []string, wayOut bool) (hostspec.File, error) {
	text, err := fill("hostops.sh", struct {
		Path, Image, Network string
		Mounts               []string
		WayOut               bool
	}{hostspec.HostopsCommand, image, network, mounts, wayOut})
	return hostspec.File{Path: hostspec.HostopsCommand, Mode: 0o700, Content: text}, err
}

// UnattendedUpgrades renders the configuration of Debian's security upgrades, and when they are made.
// rebootAt is a time of day in UTC, "HH:MM"; empty: the host never reboots by itself. Upgrades come half
// an hour before it, or at 03:00.
func UnattendedUpgrades(rebootAt string) ([]hostspec.File, error) {
	at, err := time.Parse("15:04", cmp.Or(rebootAt, "03:30"))
	if err != nil {
		return nil, fmt.Errorf("the reboot window %q is no time of day: %w", rebootAt, err)
	}
	facts := struct{ RebootAt, UpgradeAt string }{rebootAt, at.Add(-30 * time.Minute).Format("15:04:05")}
	var files []hostspec.File
	for _, f := range []struct{ template, path string }{
		{"unattended-upgrades.conf", "/etc/apt/apt.conf.d/90momentstudio-upgrades"},
		{"apt-upgrade.timer.conf", "/etc/systemd/system/apt-daily-upgrade.timer.d/10-momentstudio.conf"},
	} {
		text, err := fill(f.template, facts)
		if err != nil {
			return nil, err
		}
		files = append(files, hostspec.File{Path: f.path, Mode: 0o644, Content: text})
	}
	return files, nil
}

// HostMounts are what hostops needs of the host for backups, in the words of `docker run --mount`: secrets is the
// directory that it may read. For restores that is all of hostspec.EtcDir.
func HostMounts(secrets string) []string {
	return []string{
		"type=bind,source=/var/run/docker.sock,target=/var/run/docker.sock",
		"type=bind,source=/run/lock,target=/run/lock",
		"type=bind,source=" + secrets + ",target=" + secrets + ",readonly",
		"type=bind,source=" + hostspec.DataDir + ",target=" + hostspec.DataDir,
		"type=bind,source=/etc/ssl/certs,target=/etc/ssl/certs,readonly",
	}
}
