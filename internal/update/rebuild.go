package update

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/prekzursil/momentstudio-infra/internal/config"
	"github.com/prekzursil/momentstudio-infra/internal/engine"
	"github.com/prekzursil/momentstudio-infra/internal/fault"
)

// prepareRebuild readies the state for a server of another generation. Everything that Docker
// runs lives and dies with its server, yet the engine would delete each of it on the old server
// first, in an order that Swarm refuses (a secret before the service that uses it), or fail on a
// server that is dead. So their records are dropped, and the update makes all of it anew. Nothing
// is dropped unless a preview of the rebuild succeeds; a copy of the state is kept.
func prepareRebuild(ctx context.Context, c engine.Stack, wanted config.Config,
	state []byte,
) (rebuilt bool, err error) {
	built, err := engine.BuiltGeneration(state)
	if err != nil || built == 0 || built == wanted.Host.Generation {
		return false, err
	}
	if err := c.Run(ctx, "preview"); err != nil {
		return false, fault.Hint(fmt.Errorf("host.generation goes from %d to %d, but the rebuild cannot be planned: %w",
			built,
			wanted.Host.Generation, err),
			"nothing was changed; docs/guides/rebuild-host.md has the steps (protection is lifted in an update of its own)")
	}
	// As the state is stored, with its secrets encrypted: what is imported and kept must not show them.
	if state, err = c.Output(ctx, "stack", "export"); err != nil {
		return false, fmt.Errorf("read the state of stack %s: %w", c.Name, err)
	}
	smaller, dropped, err := engine.WithoutDocker(state)
	if err != nil {
		return false, err
	}
	if dropped == 0 { // a run before this one dropped them, and its copy is the one to keep
		fmt.Fprintf(c.Out, "host.generation goes from %d to %d: the rebuild of the server goes on\n", built,
			wanted.Host.Generation)
		return true, nil
	}
	kept := filepath.Join(c.Root, ".momentstudio", c.Name, fmt.Sprintf("state-before-generation-%d.json",
		wanted.Host.Generation))
	if err := os.MkdirAll(filepath.Dir(kept), 0o700); err != nil {
		return false, fmt.Errorf("keep a copy of the state: %w", err)
	}
	if err := os.WriteFile(kept, state, 0o600); err != nil {
		return false, fmt.Errorf("keep a copy of the state: %w", err)
	}
	fmt.Fprintf(c.Out, "host.generation goes from %d to %d: the server is rebuilt; dropping %d records of what runs on "+
		"the old one (copy of the state: %s)\n",
		built, wanted.Host.Generation, dropped, kept)
	if err := c.ImportState(ctx, smaller); err != nil {
		return false, fault.Hint(fmt.Errorf("drop the records of the old server: %w", err), "the state is unchanged or can "+
			"be put "+
			"back: pulumi stack import --file "+kept)
	}
	return true, nil
}
