package studio

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/prekzursil/momentstudio-infra/internal/config"
	"github.com/prekzursil/momentstudio-infra/internal/fault"
)

// prepareRebuild readies the state for a server of another generation. Everything that Docker
// runs lives and dies with its server, yet the engine would delete each of it on the old server
// first, in an order that Swarm refuses (a secret before the service that uses it), or fail on a
// server that is dead. So their records are dropped, and the update makes all of it anew. Nothing
// is dropped unless a preview of the rebuild succeeds; a copy of the state is kept.
func (c CLI) prepareRebuild(ctx context.Context, wanted config.Config, state []byte) error {
	built, err := builtGeneration(state)
	if err != nil || built == 0 || built == wanted.Host.Generation {
		return err
	}
	if err := c.Run(ctx, "preview"); err != nil {
		return fault.Hint(fmt.Errorf("host.generation goes from %d to %d, but the rebuild cannot be planned: %w", built, wanted.Host.Generation, err),
			"nothing was changed; docs/guides/rebuild-host.md has the steps (protection is lifted in an update of its own)")
	}
	smaller, dropped, err := withoutDocker(state)
	if err != nil {
		return err
	}
	if dropped == 0 { // a run before this one dropped them, and its copy is the one to keep
		fmt.Fprintf(c.Out, "host.generation goes from %d to %d: the rebuild of the server goes on\n", built, wanted.Host.Generation)
		return nil
	}
	kept := filepath.Join(c.Root, ".momentstudio", c.Stack, fmt.Sprintf("state-before-generation-%d.json", wanted.Host.Generation))
	if err := os.MkdirAll(filepath.Dir(kept), 0o700); err != nil {
		return fmt.Errorf("keep a copy of the state: %w", err)
	}
	if err := os.WriteFile(kept, state, 0o600); err != nil {
		return fmt.Errorf("keep a copy of the state: %w", err)
	}
	fmt.Fprintf(c.Out, "host.generation goes from %d to %d: the server is rebuilt; dropping %d records of what runs on the old one (copy of the state: %s)\n",
		built, wanted.Host.Generation, dropped, kept)
	if err := c.importState(ctx, smaller); err != nil {
		return fault.Hint(fmt.Errorf("drop the records of the old server: %w", err), "the state is unchanged or can be put back: pulumi stack import --file "+kept)
	}
	return nil
}

var bootCopy = regexp.MustCompile(`random:index/randomUuid:RandomUuid::host-boot-(\d+)$`)

// builtGeneration reads from a state which generation the server was made from; 0 without a server.
// The server's own dependencies tell: after an interrupted rebuild the copies of both generations
// are in the state.
func builtGeneration(state []byte) (int, error) {
	resources, _, err := stateResources(state)
	if err != nil {
		return 0, err
	}
	for _, r := range resources {
		urn, _ := r["urn"].(string)
		if deleted, _ := r["delete"].(bool); deleted || !strings.HasSuffix(urn, "hcloud:index/server:Server::host-server") {
			continue
		}
		dependencies, _ := r["dependencies"].([]any)
		for _, d := range dependencies {
			name, _ := d.(string)
			if m := bootCopy.FindStringSubmatch(name); m != nil {
				return strconv.Atoi(m[1])
			}
		}
		return 0, errors.New("the state does not tell which generation the server belongs to")
	}
	return 0, nil
}

func stateResources(state []byte) ([]map[string]any, map[string]any, error) {
	var export map[string]any
	dec := json.NewDecoder(bytes.NewReader(state))
	dec.UseNumber() // numbers go through unchanged
	if err := dec.Decode(&export); err != nil {
		return nil, nil, errors.New("the exported state is not JSON")
	}
	deployment, _ := export["deployment"].(map[string]any)
	list, _ := deployment["resources"].([]any)
	resources := make([]map[string]any, 0, len(list))
	for _, r := range list {
		m, ok := r.(map[string]any)
		if !ok {
			return nil, nil, errors.New("the exported state is not the one that this program knows")
		}
		resources = append(resources, m)
	}
	return resources, export, nil
}

// withoutDocker returns the state without the resources that live on the server, and their number.
func withoutDocker(state []byte) ([]byte, int, error) {
	resources, export, err := stateResources(state)
	if err != nil {
		return nil, 0, err
	}
	gone := map[string]bool{}
	var kept []any
	for _, r := range resources {
		if kind, _ := r["type"].(string); strings.HasPrefix(kind, "docker:") {
			urn, _ := r["urn"].(string)
			gone[urn] = true
			continue
		}
		kept = append(kept, r)
	}
	for _, r := range kept {
		m := r.(map[string]any)
		m["dependencies"] = withoutURNs(m["dependencies"], gone)
		if byProperty, ok := m["propertyDependencies"].(map[string]any); ok {
			for k, v := range byProperty {
				byProperty[k] = withoutURNs(v, gone)
			}
		}
	}
	deployment := export["deployment"].(map[string]any)
	deployment["resources"] = kept
	if operations, ok := deployment["pending_operations"].([]any); ok {
		deployment["pending_operations"] = slices.DeleteFunc(operations, func(o any) bool {
			operation, _ := o.(map[string]any)
			resource, _ := operation["resource"].(map[string]any)
			kind, _ := resource["type"].(string)
			return strings.HasPrefix(kind, "docker:")
		})
	}
	out, err := json.Marshal(export)
	return out, len(gone), err
}

func withoutURNs(list any, gone map[string]bool) []any {
	kept := []any{}
	items, _ := list.([]any)
	for _, v := range items {
		if urn, _ := v.(string); !gone[urn] {
			kept = append(kept, v)
		}
	}
	return kept
}
