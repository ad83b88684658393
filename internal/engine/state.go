package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"

	"github.com/prekzursil/momentstudio-infra/internal/process"
	"github.com/prekzursil/momentstudio-infra/internal/resourcetype"
	"github.com/prekzursil/momentstudio-infra/internal/review"
)

// Resource is a record of an exported state.
type Resource struct {
	URN     string          `json:"urn"`
	ID      string          `json:"id"`
	Type    string          `json:"type"`
	Delete  bool            `json:"delete"`
	Inputs  json.RawMessage `json:"inputs"`
	Outputs map[string]any  `json:"outputs"`
}

// Name is the logical name, the last part of the URN.
func (r Resource) Name() string { return r.URN[strings.LastIndex(r.URN, "::")+2:] }

// Resources reads the records of an exported state, without those that only wait to be deleted.
func Resources(state []byte) ([]Resource, error) {
	var export struct {
		Deployment struct {
			Resources []Resource `json:"resources"`
		} `json:"deployment"`
	}
	if err := json.Unmarshal(state, &export); err != nil {
		return nil, errors.New("the exported state is not the JSON that this program knows")
	}
	return slices.DeleteFunc(export.Deployment.Resources, func(r Resource) bool { return r.Delete }), nil
}

// JobType is what a one-shot job is to the engine.
const JobType = resourcetype.DockerContainer

// FailedJobs lists the URNs of one-shot jobs whose record says that they failed, or does not say how they ended: a
// refresh writes an exit code of 0 for a container that was never started, and only a job that was waited for has its
// log there.
func FailedJobs(state []byte) ([]string, error) {
	records, err := Resources(state)
	if err != nil {
		return nil, err
	}
	var urns []string
	for _, r := range records {
		if r.Type != JobType {
			continue
		}
		code, ended := r.Outputs["exitCode"].(float64)
		if logs := r.Outputs["containerLogs"]; !ended || code != 0 || logs == nil || logs == "" {
			urns = append(urns, r.URN)
		}
	}
	return urns, nil
}

// Revealed is a value of a state that was exported with its secrets, without the wrapping of a secret.
func Revealed(v any) any {
	m, ok := v.(map[string]any)
	if !ok || m[review.SecretSignature] == nil {
		return v
	}
	text, _ := m["plaintext"].(string)
	var plain any
	if json.Unmarshal([]byte(text), &plain) != nil {
		return nil
	}
	return plain
}

// RawResources reads the records of an exported state as they are, and the whole export around them.
func RawResources(state []byte) ([]map[string]any, map[string]any, error) {
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

// WithoutDocker returns the state without the resources that live on the server, and their number.
func WithoutDocker(state []byte) ([]byte, int, error) {
	resources, export, err := RawResources(state)
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

// ImportState replaces the stack's state.
func (c Stack) ImportState(ctx context.Context, state []byte) error {
	return c.unlocking(ctx, func() (string, error) {
		//nolint:gosec // the arguments are ours
		cmd := exec.CommandContext(ctx, "pulumi", "stack", "import", "--non-interactive", "--stack", c.Name)
		cmd.Dir, cmd.Stdin = c.Root, bytes.NewReader(state)
		process.InterruptOnce(cmd)
		out, err := c.combined(cmd)
		if err != nil {
			err = fmt.Errorf("%w: %s", err, bytes.TrimSpace(out))
		}
		return string(out), err
	})
}
