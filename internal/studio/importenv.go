// Package studio holds the operator's other commands, each of them short.
package studio

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/prekzursil/momentstudio-infra/internal/config"
	"github.com/prekzursil/momentstudio-infra/internal/engine"
	"github.com/prekzursil/momentstudio-infra/internal/importenv"
	"github.com/prekzursil/momentstudio-infra/internal/secret"
)

// ImportEnv reads the settings files of the hand-made deployment into the stack's file: plain values
// into its groups, secrets encrypted by the stack's own secrets provider. It lists every name with
// what became of it, never a secret's value, and then what the config still lacks.
func ImportEnv(ctx context.Context, c engine.Stack, files importenv.Files) error {
	result, err := importenv.Read(files)
	if err != nil {
		return err
	}
	target := c.File()
	if err := engine.SetPlain(target, result.Plain()); err != nil {
		return err
	}
	secrets := result.Secrets()
	for _, key := range slices.Sorted(maps.Keys(secrets)) {
		if err := c.SetSecret(ctx, target, key, secrets[key]); err != nil {
			return err
		}
	}
	listImport(c, result)

	src, err := config.FromFile(target, c.Name)
	if err != nil {
		return err
	}
	src.Dir = c.Root
	for _, key := range src.Encrypted { // those of before, too
		src.Values[key] = secret.Placeholder(strings.TrimPrefix(key, config.Namespace+":"))
		src.SecretKeys = append(src.SecretKeys, key)
	}
	if _, err := config.Load(src); err != nil {
		fmt.Fprintf(c.Out, "\nThe values are in %s. Before the first preview:\n%v\n", filepath.Base(target), err)
		return nil
	}
	fmt.Fprintf(c.Out, "\nThe values are in %s, which is complete: `pulumi preview --stack %s` is next.\n",
		filepath.Base(target), c.Name)
	return nil
}

func listImport(c engine.Stack, result importenv.Result) {
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
