package studio

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/prekzursil/momentstudio-infra/internal/config"
	"github.com/prekzursil/momentstudio-infra/internal/secret"
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
	plain.Dir = c.Root
	values, _ := config.Load(plain)
	for _, key := range values.MissingSecrets() {
		if err := c.setSecret(ctx, target, key, secret.Placeholder(key)); err != nil {
			return err
		}
	}
	return nil
}
