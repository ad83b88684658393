package studio

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/prekzursil/momentstudio-infra/internal/config"
)

// Placeholders copies a stack's file to target and fills in a stand-in for every secret that its
// values ask for, so that a preview needs neither secrets nor their passphrase. An update refuses
// such a file. The stack itself, and its secrets provider, are the caller's.
func (c CLI) Placeholders(ctx context.Context, target string) error {
	source := filepath.Join(c.Root, "Pulumi."+c.Stack+".yaml")
	text, err := os.ReadFile(source)
	if err != nil {
		return fmt.Errorf("read the stack's file: %w", err)
	}
	if err := os.WriteFile(target, text, 0o600); err != nil {
		return fmt.Errorf("write the copy: %w", err)
	}
	plain, err := config.FromFile(source, c.Stack)
	if err != nil {
		return err
	}
	// The missing secrets are what this call is about; every other problem is the preview's to tell.
	values, _ := config.Load(plain)
	for _, key := range values.RequiredSecrets() {
		cmd := exec.CommandContext(ctx, "pulumi", "config", "set", "--non-interactive", "--stack", c.Stack, //nolint:gosec // the arguments are ours
			"--config-file", target, "--secret", config.Namespace+":"+key, config.Placeholder(key))
		cmd.Dir = c.Root
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("fill in %s: %w: %s", key, err, out)
		}
	}
	return nil
}
