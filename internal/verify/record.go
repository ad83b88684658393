// Package verify checks from outside and inside that a stack serves what its state says.
package verify

import (
	"context"
	"fmt"

	"github.com/prekzursil/momentstudio-infra/internal/engine"
	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
	"github.com/prekzursil/momentstudio-infra/internal/hostssh"
)

// kept is how many verified releases the host remembers.
const kept = 50

// record notes on the host what was just seen serving, so that a rollback knows a good release.
func record(ctx context.Context, c engine.Stack, o engine.Outputs) error {
	script := fmt.Sprintf(`f=%[1]s; line=%[2]s
[ "$(tail -n 1 "$f" 2>/dev/null)" = "$line" ] && exit 0
{ tail -n %[3]d "$f" 2>/dev/null; printf '%%s\n' "$line"; } > "$f.new" && mv "$f.new" "$f"`,
		hostspec.VerifiedFile, hostssh.Quote(o.Images.Backend+" "+o.Images.Frontend+" "+o.Release), kept-1)
	if _, err := hostssh.Run(ctx, c, o.Address, script); err != nil {
		return fmt.Errorf("note on the host that release %s was verified: %w", o.Release, err)
	}
	return nil
}
