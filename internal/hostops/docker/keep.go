package docker

import (
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/prekzursil/momentstudio-infra/internal/hostops/fsutil"
	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
	"github.com/prekzursil/momentstudio-infra/internal/redact"
)

const (
	keptLogs   = 10 // of failed tasks
	longestLog = 8 << 20
	shownLines = 20
)

// Keep writes what a failed task printed to a file of the host, for root alone, and returns what may leave the host:
// its last lines without values, and the file's name. Programs quote settings and customers' data when they fail.
func Keep(task, printed string) (said string) {
	return keepIn(hostspec.MigrationBackups, task, printed, time.Now())
}

func keepIn(dir, task, printed string, now time.Time) string {
	said := redact.Tail(printed, shownLines)
	if said != "" {
		said += "\n"
	}
	file := filepath.Join(dir, now.UTC().Format("20060102T150405.000Z")+"-"+task+".log")
	if _, err := fsutil.EnsureFile(file, []byte(printed[:min(len(printed), longestLog)]), 0o600); err != nil {
		return said + "the whole output could not be kept: " + err.Error()
	}
	if old, err := filepath.Glob(filepath.Join(dir, "*.log")); err == nil {
		slices.Sort(old) // by time
		for _, name := range old[:max(0, len(old)-keptLogs)] {
			_ = os.Remove(name)
		}
	}
	return said + "the whole output is on the host, for root: " + file
}
