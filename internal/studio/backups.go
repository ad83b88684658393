package studio

import (
	"context"
	"strings"

	"github.com/prekzursil/momentstudio-infra/internal/engine"
	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
	"github.com/prekzursil/momentstudio-infra/internal/hostssh"
)

// BackUp makes a backup now, shows what it prints, and fails when it fails.
func BackUp(ctx context.Context, c engine.Stack) error { return onHost(ctx, c, backUpScript(), false) }

// backUpScript follows the unit's journal while the unit runs.
func backUpScript() string {
	const unit = hostspec.BackupUnit
	return "journalctl --unit " + unit + " --follow --lines 0 --output cat & follower=$!; " +
		"systemctl start " + unit + "; code=$?; sleep 1; kill $follower; exit $code"
}

// Restore runs `hostops restore` on the host with this terminal.
func Restore(ctx context.Context, c engine.Stack, args ...string) error {
	return onHost(ctx, c, restoreScript(args), terminal())
}

func restoreScript(args []string) string {
	words := []string{hostspec.HostopsCommand, "restore"}
	for _, a := range args {
		words = append(words, hostssh.Quote(a))
	}
	return strings.Join(words, " ")
}
