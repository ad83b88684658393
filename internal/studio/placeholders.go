package studio

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"gopkg.in/yaml.v3"

	"github.com/prekzursil/momentstudio-infra/internal/config"
	"github.com/prekzursil/momentstudio-infra/internal/naming"
	"github.com/prekzursil/momentstudio-infra/internal/secret"
)

// Placeholders copies a stack's file to target and fills in a stand-in for every secret that its
// values ask for, so that a preview needs neither secrets nor their passphrase. An update refuses
// such a file. The stack itself, and its secrets provider, are the caller's; what the file encrypted with
// another one is left out.
func (c CLI) Placeholders(ctx context.Context, target string) error {
	source := filepath.Join(c.Root, "Pulumi."+c.Stack+".yaml")
	if err := copyPlain(source, target); err != nil {
		return err
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

// copyPlain copies a stack's file without its salt and its encrypted values, which no other passphrase opens.
func copyPlain(source, target string) error {
	text, err := os.ReadFile(source)
	if err != nil {
		return fmt.Errorf("read the stack's file: %w", err)
	}
	var file map[string]any
	if err := yaml.Unmarshal(text, &file); err != nil {
		return fmt.Errorf("read the stack's file %s: it is not the YAML of a stack", source)
	}
	for _, key := range []string{"encryptionsalt", "encryptedkey", "secretsprovider"} {
		delete(file, key)
	}
	values, _ := file["config"].(map[string]any)
	for key, value := range values {
		if encrypted, ok := value.(map[string]any); ok && len(encrypted) == 1 && encrypted["secure"] != nil {
			delete(values, key)
		}
	}
	if text, err = yaml.Marshal(file); err != nil {
		return fmt.Errorf("write the copy: %w", err)
	}
	if err := os.WriteFile(target, text, 0o600); err != nil {
		return fmt.Errorf("write the copy: %w", err)
	}
	return nil
}

// asStranger is the CLI of somebody who has neither the stack's state nor its secrets: an empty state in dir, and a
// copy of the stack's file with placeholders.
func (c CLI) asStranger(ctx context.Context, dir string) (CLI, error) {
	c.env = []string{"PULUMI_BACKEND_URL=file://" + dir, "PULUMI_CONFIG_PASSPHRASE=placeholder", "PULUMI_ACCESS_TOKEN=", "PULUMI_CONFIG_PASSPHRASE_FILE="}
	if err := c.initStack(ctx, dir, "passphrase"); err != nil {
		return c, err
	}
	copied := filepath.Join(dir, "Pulumi."+c.Stack+".yaml")
	if err := c.Placeholders(ctx, copied); err != nil {
		return c, err
	}
	c.ConfigFile = copied
	return c, nil
}

// initStack makes the stack in the backend. It does so in a project of its own below dir: the CLI would write a new stack's salt
// beside Pulumi.yaml, and checks the passphrase against the salt of a stack's file that it finds there.
func (c CLI) initStack(ctx context.Context, dir, provider string) error {
	project := filepath.Join(dir, "project")
	if err := os.MkdirAll(project, 0o700); err != nil {
		return fmt.Errorf("make the stack: %w", err)
	}
	defer os.RemoveAll(project)
	if err := os.WriteFile(filepath.Join(project, "Pulumi.yaml"), []byte("name: "+naming.Project+"\nruntime: go\n"), 0o600); err != nil {
		return fmt.Errorf("make the stack: %w", err)
	}
	cmd := exec.CommandContext(ctx, "pulumi", "stack", "init", c.Stack, "--secrets-provider", provider, "--non-interactive") //nolint:gosec // the arguments are ours
	cmd.Dir, cmd.Env = project, append(os.Environ(), c.env...)
	interruptOnce(cmd)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("make the stack %s: %w: %s", c.Stack, err, bytes.TrimSpace(out))
	}
	return nil
}
