package engine

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/prekzursil/momentstudio-infra/internal/atomicfile"
	"github.com/prekzursil/momentstudio-infra/internal/config"
	"github.com/prekzursil/momentstudio-infra/internal/naming"
	"github.com/prekzursil/momentstudio-infra/internal/process"
	"github.com/prekzursil/momentstudio-infra/internal/secret"
	"github.com/prekzursil/momentstudio-infra/internal/sshfiles"
)

// ReadValues reads a stack's file, and its config in it.
func ReadValues(path string) (file, values map[string]any, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, fmt.Errorf("read the stack's file: %w", err)
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		return nil, nil, fmt.Errorf("read the stack's file %s: it is not the YAML of a stack", path)
	}
	if values, _ = file["config"].(map[string]any); values == nil {
		return nil, nil, fmt.Errorf("the stack's file %s has no config", path)
	}
	return file, values, nil
}

// Dir is where this clone keeps what belongs to the stack.
func (c Stack) Dir() string { return filepath.Join(c.Root, filepath.Dir(sshfiles.Dir(c.Name))) }

// File is the file that holds the stack's config.
func (c Stack) File() string {
	if c.ConfigFile != "" {
		return c.ConfigFile
	}
	return filepath.Join(c.Root, "Pulumi."+c.Name+".yaml")
}

// SetSecret encrypts one value into the stack's file. The value goes through a pipe: arguments are
// visible to every user of the machine.
func (c Stack) SetSecret(ctx context.Context, file, key, value string) error {
	//nolint:gosec // the arguments are ours
	cmd := exec.CommandContext(ctx, "pulumi", "config", "set", "--non-interactive", "--stack", c.Name,
		"--config-file", file, "--secret", config.Namespace+":"+key)
	cmd.Dir, cmd.Env, cmd.Stdin = c.Root, append(os.Environ(), c.Env...), strings.NewReader(value)
	if out, err := c.combined(cmd); err != nil {
		return fmt.Errorf("set the secret %s: %w: %s", key, err, strings.ReplaceAll(string(out), value, "[secret]"))
	}
	return nil
}

// SetPlain writes values into the groups of a stack's file and leaves the rest of it as it is,
// comments included.
func SetPlain(path string, values map[string]any) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read the stack's file: %w", err)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil || len(doc.Content) != 1 {
		return fmt.Errorf("read the stack's file %s: it is not the YAML of a stack", path)
	}
	root := child(doc.Content[0], "config")
	for _, key := range slices.Sorted(maps.Keys(values)) {
		steps := strings.Split(key, ".")
		node := root
		for i, step := range steps {
			if i == 0 {
				step = config.Namespace + ":" + step
			}
			if i > 0 && node.Kind != 0 && node.Kind != yaml.MappingNode {
				return fmt.Errorf("%s: %s:%s: a text where an object belongs", path, config.Namespace, strings.Join(steps[:i], "."))
			}
			node = child(node, step)
		}
		var value yaml.Node
		if err := value.Encode(values[key]); err != nil {
			return fmt.Errorf("write %s: %w", key, err)
		}
		value.HeadComment, value.LineComment, value.FootComment = node.HeadComment, node.LineComment, node.FootComment
		*node = value
	}
	var out strings.Builder
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	if err := enc.Encode(&doc); err != nil {
		return fmt.Errorf("write the stack's file: %w", err)
	}
	if err := atomicfile.Write(path, []byte(out.String()), atomicfile.Attributes{Mode: 0o600}); err != nil {
		return fmt.Errorf("write the stack's file: %w", err)
	}
	return nil
}

// child returns the value of a key of a mapping, made empty when it is not there.
func child(node *yaml.Node, key string) *yaml.Node {
	if node.Kind == 0 {
		*node = yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		if node.Content[i].Value == key {
			return node.Content[i+1]
		}
	}
	value := &yaml.Node{}
	node.Content = append(node.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: key}, value)
	return value
}

// Placeholders copies a stack's file to target and fills in a stand-in for every secret that its
// values ask for, so that a preview needs neither secrets nor their passphrase. An update refuses
// such a file. The stack itself, and its secrets provider, are the caller's; what the file encrypted with
// another one is left out.
func (c Stack) Placeholders(ctx context.Context, target string) error {
	source := filepath.Join(c.Root, "Pulumi."+c.Name+".yaml")
	if err := copyPlain(source, target); err != nil {
		return err
	}
	plain, err := config.FromFile(source, c.Name)
	if err != nil {
		return err
	}
	// The missing secrets are what this call is about; every other problem is the preview's to tell.
	plain.Dir = c.Root
	values, _ := config.Load(plain)
	for _, key := range values.MissingSecrets() {
		if err := c.SetSecret(ctx, target, key, secret.Placeholder(key)); err != nil {
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

// WithoutSecrets is the CLI of somebody who has neither the stack's state nor its secrets: an empty state in dir, and a
// copy of the stack's file with placeholders.
func (c Stack) WithoutSecrets(ctx context.Context, dir string) (Stack, error) {
	c.Env = []string{
		"PULUMI_BACKEND_URL=file://" + dir, "PULUMI_CONFIG_PASSPHRASE=placeholder", "PULUMI_ACCESS_TOKEN=",
		"PULUMI_CONFIG_PASSPHRASE_FILE=",
	}
	if err := c.Init(ctx, dir, "passphrase"); err != nil {
		return c, err
	}
	copied := filepath.Join(dir, "Pulumi."+c.Name+".yaml")
	if err := c.Placeholders(ctx, copied); err != nil {
		return c, err
	}
	c.ConfigFile = copied
	return c, nil
}

// Init makes the stack in the backend. It does so in a project of its own below dir: the CLI would write a new
// stack's salt beside Pulumi.yaml, and checks the passphrase against the salt of a stack's file that it finds there.
func (c Stack) Init(ctx context.Context, dir, provider string) error {
	project := filepath.Join(dir, "project")
	if err := os.MkdirAll(project, 0o700); err != nil {
		return fmt.Errorf("make the stack: %w", err)
	}
	defer os.RemoveAll(project)
	if err := os.WriteFile(filepath.Join(project, "Pulumi.yaml"), []byte("name: "+naming.Project+"\nruntime: go\n"),
		0o600); err != nil {
		return fmt.Errorf("make the stack: %w", err)
	}
	//nolint:gosec // the arguments are ours
	cmd := exec.CommandContext(ctx, "pulumi", "stack", "init", c.Name, "--secrets-provider", provider, "--non-interactive")
	cmd.Dir, cmd.Env = project, append(os.Environ(), c.Env...)
	process.InterruptOnce(cmd)
	if out, err := c.combined(cmd); err != nil {
		return fmt.Errorf("make the stack %s: %w: %s", c.Name, err, bytes.TrimSpace(out))
	}
	return nil
}

// Config reads what the stack's file asks for; what is wrong with it, the update tells.
func (c Stack) Config() (config.Config, error) {
	plain, err := config.FromFile(c.File(), c.Name)
	if err != nil {
		return config.Config{}, err
	}
	plain.Dir = c.Root
	values, _ := config.Load(plain)
	return values, nil
}
