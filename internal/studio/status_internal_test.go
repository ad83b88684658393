package studio

import (
	"errors"
	"strings"
	"testing"

	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
)

func TestWhatNeedsAttentionIsListed(t *testing.T) {
	well := func() hostspec.HostReport {
		return hostspec.HostReport{
			Services: []hostspec.Service{{Name: "backend", Replicas: 2, Running: 2}},
			Health:   &hostspec.Health{BackupEnabled: true, Backup: "the newest verified backup is 3h old"},
		}
	}
	for _, c := range []struct {
		name   string
		change func(*hostspec.HostReport)
		want   string
	}{
		{"nothing", func(*hostspec.HostReport) {}, ""},
		{
			"backups that are overdue", func(r *hostspec.HostReport) { r.Health.BackupError = "backups are overdue" },
			"overdue",
		},
		{"no backups", func(r *hostspec.HostReport) { r.Health.BackupEnabled = false }, "backup.enabled is off"},
		{"a failed unit", func(r *hostspec.HostReport) { r.Health.FailedUnits = []string{"x.service"} }, "x.service failed"},
		{"a service with too few tasks", func(r *hostspec.HostReport) { r.Services[0].Running = 1 }, "1 of 2 tasks"},
		{"a restore in its cutover", func(r *hostspec.HostReport) {
			r.Restore = &hostspec.RestoreState{Prepared: true, Source: "backup 1"}
		}, "the restore of backup 1"},
		{"a restore that is complete", func(r *hostspec.HostReport) {
			r.Restore = &hostspec.RestoreState{Prepared: true, Switched: true}
		}, ""},
	} {
		r := well()
		c.change(&r)
		err := errors.Join(problems(r)...)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
}

func TestStatusIsReadable(t *testing.T) {
	var out strings.Builder
	printStatus(&out, hostspec.HostReport{
		Services: []hostspec.Service{{Name: "backend", Replicas: 2, Running: 1, Image: "r/backend@sha256:aa"}},
		Health: &hostspec.Health{
			BackupEnabled: true, Backup: "the newest verified backup is 3h old",
			Timers: []hostspec.Next{{Unit: "momentstudio-backup.timer"}},
			Disks:  []hostspec.Disk{{Path: "/", SizeMB: 40000, FreeMB: 12000}},
		},
	})
	for _, want := range []string{"3h old", "1/2", "momentstudio-backup.timer", "12000 MB free", "no restore"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in\n%s", want, out.String())
		}
	}
}
