// Package verify checks from outside and inside that a stack serves what its state says.
package verify

import (
	"context"
	"fmt"

	"github.com/prekzursil/momentstudio-infra/internal/engine"
	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
	"github.com/prekzursil/momentstudio-infra/internal/hostssh"
)

// recordVerified notes on the host what was just seen serving, so that a rollback knows a good release.
func record(ctx context.Context, c engine.Stack, o engine.Outputs) error {
	line := hostssh.Quote(o.Images.Backend + " " + o.Images.Frontend + " " + o.Release)
	script := fmt.Sprintf(`f=%[1]s; [ "$(tail -n 1 "$f" 2>/dev/null)" = %[2]s ] || { { tail -n 49 "$f" 2>/dev/null; printf '%%s\n' %[2]s; } > "$f.new" && mv "$f.new" "$f"; }`, hostspec.VerifiedFile, line)
	if _, err := hostssh.Run(ctx, c, o.Address, script); err != nil {
		return fmt.Errorf("note on the host that release %s was verified: %w", o.Release, err)
	}
	return nil
}
