package render

import (
	"cmp"
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
		files = append(files, hostspec.File{Path: "/etc/systemd/system/momentstudio-" + t.Name + "." + kind, Mode: 0o644, Content: text})
	}
	return files, nil
}

// UnattendedUpgrades renders the configuration of Debian's security upgrades. rebootAt is a time of day
// in UTC, "HH:MM"; empty: the host never reboots by itself.
func UnattendedUpgrades(rebootAt string) (string, error) {
	return fill("unattended-upgrades.conf", struct{ RebootAt string }{rebootAt})
}
