package studio

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"gopkg.in/yaml.v3"

	"github.com/prekzursil/momentstudio-infra/internal/config"
	"github.com/prekzursil/momentstudio-infra/internal/importenv"
	"github.com/prekzursil/momentstudio-infra/internal/secret"
)

// ImportEnv reads the settings files of the hand-made deployment into the stack's file: plain values
// into its groups, secrets encrypted by the stack's own secrets provider. It lists every name with
// what became of it, never a secret's value, and then what the config still lacks.
func (c CLI) ImportEnv(ctx context.Context, files importenv.Files) error {
	result, err := importenv.Read(files)
	if err != nil {
		return err
	}
	target := c.stackFile()
	if err := setPlain(target, result.Plain()); err != nil {
		return err
	}
	secrets := result.Secrets()
	for _, key := range slices.Sorted(maps.Keys(secrets)) {
		if err := c.setSecret(ctx, target, key, secrets[key]); err != nil {
			return err
		}
	}
	c.listImport(result)

	src, err := config.FromFile(target, c.Stack)
	if err != nil {
		return err
	}
	src.Dir = c.Root
	for key := range secrets {
		src.Values[config.Namespace+":"+key] = secret.Placeholder(key) // the file holds it encrypted
		src.SecretKeys = append(src.SecretKeys, config.Namespace+":"+key)
	}
	if _, err := config.Load(src); err != nil {
		fmt.Fprintf(c.Out, "\nThe values are in %s. Before the first preview:\n%v\n", filepath.Base(target), err)
		return nil
	}
	fmt.Fprintf(c.Out, "\nThe values are in %s, which is complete: `pulumi preview --stack %s` is next.\n", filepath.Base(target), c.Stack)
	return nil
}

// stackFile is the file that holds the stack's config.
func (c CLI) stackFile() string {
	if c.ConfigFile != "" {
		return c.ConfigFile
	}
	return filepath.Join(c.Root, "Pulumi."+c.Stack+".yaml")
}

func (c CLI) listImport(result importenv.Result) {
	counts := map[importenv.Outcome]int{}
	w := tabwriter.NewWriter(c.Out, 0, 4, 2, ' ', 0)
	for _, e := range result.Entries {
		counts[e.Outcome]++
		note := e.Why
		if e.Key != "" {
			note = strings.TrimSuffix(e.Key+": "+e.Why, ": ")
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", e.File, e.Name, e.Outcome, note)
	}
	_ = w.Flush()
	fmt.Fprintf(c.Out, "\n%d names: %d set, %d secrets set, %d at their default, %d dropped\n", len(result.Entries),
		counts[importenv.Set], counts[importenv.Secret], counts[importenv.Default], counts[importenv.Dropped])
}

// setSecret encrypts one value into the stack's file. The value goes through a pipe: arguments are
// visible to every user of the machine.
func (c CLI) setSecret(ctx context.Context, file, key, value string) error {
	cmd := exec.CommandContext(ctx, "pulumi", "config", "set", "--non-interactive", "--stack", c.Stack, //nolint:gosec // the arguments are ours
		"--config-file", file, "--secret", config.Namespace+":"+key)
	cmd.Dir, cmd.Env, cmd.Stdin = c.Root, append(os.Environ(), c.env...), strings.NewReader(value)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("set the secret %s: %w: %s", key, err, strings.ReplaceAll(string(out), value, "[secret]"))
	}
	return nil
}

// setPlain writes values into the groups of a stack's file and leaves the rest of it as it is,
// comments included.
func setPlain(path string, values map[string]any) error {
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
	tmp := path + ".new"
	if err := os.WriteFile(tmp, []byte(out.String()), 0o600); err != nil {
		return fmt.Errorf("write the stack's file: %w", err)
	}
	return os.Rename(tmp, path)
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
