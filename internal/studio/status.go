package studio

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/prekzursil/momentstudio-infra/internal/engine"
	"github.com/prekzursil/momentstudio-infra/internal/fault"
	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
	"github.com/prekzursil/momentstudio-infra/internal/hostssh"
)

// Status shows what the host reports of itself, as text or as the JSON of a hostspec.HostReport without the settings of
// services, and fails when something needs attention: overdue backups, a restore in the middle of its switch, failed
// units, services with too few tasks.
func Status(ctx context.Context, c engine.Stack, asJSON bool) error {
	o, err := c.HostOutputs(ctx) // also after a first update that failed
	if err != nil {
		return err
	}
	state, err := c.Output(ctx, "stack", "export")
	if err != nil {
		return fmt.Errorf("read the state of stack %s: %w", c.Name, err)
	}
	report, err := hostssh.Inspect(ctx, c, o.Address, state, hostspec.Inspection{Health: true})
	if err != nil {
		// Without Docker, what the host itself says may show why.
		text, errHost := hostssh.Run(ctx, c, o.Address, "df -h / "+hostspec.DataDir+"; systemctl --failed --no-pager")
		if errHost == nil {
			fmt.Fprintf(c.Out, "%s\n", text)
		}
		return err
	}
	for i := range report.Services {
		report.Services[i].Env = nil // settings may be secret
	}
	if asJSON {
		out := json.NewEncoder(c.Out)
		out.SetIndent("", "  ")
		if err := out.Encode(report); err != nil {
			return err
		}
	} else {
		printStatus(c.Out, report)
	}
	if bad := errors.Join(problems(report)...); bad != nil {
		return fault.Hint(fmt.Errorf("the host needs attention:\n%w", bad),
			"docs/guides/back-up.md has the backups; `journalctl -u UNIT` on the host shows why a unit failed")
	}
	return nil
}

// problems lists what of a report needs attention.
func problems(r hostspec.HostReport) (bad []error) {
	say := func(format string, args ...any) { bad = append(bad, fmt.Errorf(format, args...)) }
	if h := r.Health; h != nil {
		switch {
		case !h.BackupEnabled:
			say("backup.enabled is off: nothing backs the shop up")
		case h.BackupError != "":
			say("%s", h.BackupError)
		}
		for _, d := range h.Disks {
			if err := hostssh.JudgeDisk(d); err != nil {
				bad = append(bad, err)
			}
		}
		for _, unit := range h.FailedUnits {
			say("unit %s failed", unit)
		}
	}
	if r.Restore.HalfSwitched() {
		say("the restore of %s is in the middle of its cutover", r.Restore.Source)
	}
	if err := hostssh.JudgeVolume(r.Volume); err != nil {
		bad = append(bad, err)
	}
	for _, s := range r.Services {
		if s.Replicas == 0 || s.Running < s.Replicas {
			say("service %s: %d of %d tasks run", s.Name, s.Running, s.Replicas)
		}
	}
	return bad
}

// printStatus writes a report for people.
func printStatus(out io.Writer, r hostspec.HostReport) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	defer w.Flush() //nolint:errcheck // a terminal
	if h := r.Health; h != nil {
		backup := h.Backup
		if backup == "" {
			backup = "none"
		}
		fmt.Fprintf(w, "backups\t%s\n", backup)
	}
	fmt.Fprintf(w, "restore\t%s\n", r.Restore.Describe())
	for _, s := range r.Services {
		fmt.Fprintf(w, "service\t%s\t%d/%d\t%s\n", s.Name, s.Running, s.Replicas, s.Image)
	}
	if h := r.Health; h != nil {
		for _, t := range h.Timers {
			fmt.Fprintf(w, "timer\t%s\tlast %s\tnext %s\n", t.Unit, when(t.Last), when(t.Next))
		}
		for _, d := range h.Disks {
			fmt.Fprintf(w, "disk\t%s\t%d MB free\tof %d MB\n", d.Path, d.FreeMB, d.SizeMB)
		}
	}
}

func when(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02 15:04 UTC")
}
