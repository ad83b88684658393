package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/prekzursil/momentstudio-infra/internal/hostops/restic"
	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
)

// forget removes old snapshots. A lock that a killed run left would stop it for half an hour: the backup is
// a good one all the same, and the next run tries again.
func forget(ctx context.Context, r restic.Repository, spec hostspec.Backup, out io.Writer) error {
	all, err := r.Snapshots(ctx)
	if err == nil {
		all, err = restic.OfStack(all, spec.Stack)
	}
	if err != nil {
		return fmt.Errorf("look for old snapshots: %w", err)
	}
	if doubt := clockDoubt(all, time.Now(), spec.KeepDays); doubt != "" {
		fmt.Fprintf(out, "%s: old snapshots stay: %s\n", r.Name, doubt)
		return nil
	}
	err = r.Run(ctx, io.Discard, "forget", "--quiet", "--host", spec.Stack, "--tag", "momentstudio", "--group-by", "host",
		"--keep-within", fmt.Sprintf("%dd", spec.KeepDays), "--keep-daily", strconv.Itoa(spec.KeepDays), "--keep-weekly", "8",
		"--keep-monthly", "12", "--prune")
	if errors.Is(err, restic.ErrLocked) {
		fmt.Fprintf(out, "%s: old snapshots stay until the next run: %v\n", r.Name, err)
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove old snapshots: %w", err)
	}
	return nil
}

// clockGap is how long nothing may have been backed up before it looks as if a clock had jumped.
const clockGap = 7 * 24 * time.Hour

// clockDoubt says why sorted snapshots are not to be thrown away by their age; empty when nothing speaks against it.
// restic counts from the newest that is not still to come: a clock that runs ahead would make all others old, in the
// night after its jump as well. So nothing goes until the newest keepDays days are without a gap.
func clockDoubt(all []restic.Snapshot, now time.Time, keepDays int) string {
	past := all[:len(all)-len(restic.Future(all, now))]
	if len(past) == 0 {
		return ""
	}
	newest := past[len(past)-1].Made()
	for i := len(past) - 1; i > 0 && newest.Sub(past[i].Made()) < time.Duration(keepDays)*24*time.Hour; i-- {
		if gap := past[i].Made().Sub(past[i-1].Made()); gap > clockGap {
			return fmt.Sprintf("there is none between %s and %s; when a clock jumped, those before are younger than they look",
				past[i-1].ID, past[i].ID)
		}
	}
	return ""
}
