package studio

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/prekzursil/momentstudio-infra/internal/engine"
	"github.com/prekzursil/momentstudio-infra/internal/fault"
	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
	"github.com/prekzursil/momentstudio-infra/internal/hostssh"
)

// askStatus prints one section after the other; what a section says is bad ends with a line that begins with
// the mark.
const (
	badMark   = "NOT WELL: "
	askStatus = `
echo "backups"
if [ -e ` + hostspec.BackupSecret + ` ]; then
  out="$(` + hostspec.HostopsCommand + ` backup-age 2>&1 </dev/null)" && echo "$out" || echo "$out" | sed '$s/^/` +
		badMark + `/'
else echo "` + badMark + `backup.enabled is off: nothing backs the shop up"; fi
echo; echo "restores"
out="$(` + hostspec.HostopsCommand +
		` restore status </dev/null 2>&1)" && ! echo "$out" | grep -q 'in the middle' && echo "$out" || echo "$out" | sed '1s/^/` + badMark + `/'
echo; echo "timers"
systemctl list-timers 'momentstudio-*' --all --no-pager --no-legend
systemctl --failed --plain --no-pager --no-legend | sed 's/^/` + badMark + `/'
echo; echo "services"
docker service ls --format '{{.Name}} {{.Replicas}} {{.Image}}' | while read -r name replicas image; do
  case "$replicas" in 0/0*) mark='` + badMark +
		`';; *) [ "${replicas%%/*}" = "$(echo "${replicas#*/}" | cut -d' ' -f1)" ] && mark='' || mark='` + badMark + `';; esac
  printf '%s%-28s %-6s %s\n' "$mark" "$name" "$replicas" "$image"
done
echo; echo "disks"
df -h / ` + hostspec.DataDir + `
`
)

// Status shows what the host says of itself, and fails when that is not well: backups that are overdue, units
// that failed.
func Status(ctx context.Context, c engine.Stack) error {
	o, err := c.Outputs(ctx)
	if err != nil {
		return err
	}
	text, err := hostssh.Run(ctx, c, o.Address, askStatus)
	if err != nil {
		return err
	}
	fmt.Fprint(c.Out, string(text))
	return judgeStatus(string(text))
}

func judgeStatus(text string) error {
	var bad []error
	for line := range strings.Lines(text) {
		if what, found := strings.CutPrefix(strings.TrimSpace(line), badMark); found {
			bad = append(bad, errors.New(what))
		}
	}
	if len(bad) == 0 {
		return nil
	}
	return fault.Hint(fmt.Errorf("the host is not well:\n%w", errors.Join(bad...)), "docs/guides/back-up.md and "+
		"`journalctl -u <unit>` on the host tell more")
}
