// Package swarm compares the services that run on the host with those of the state.
package swarm

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/prekzursil/momentstudio-infra/internal/engine"
	"github.com/prekzursil/momentstudio-infra/internal/hostssh"
	"github.com/prekzursil/momentstudio-infra/internal/resourcetype"
)

// Service is what of a Swarm service must be as it was asked for.
type Service struct {
	urn      string // of the state's record; empty for one that was read from the host
	Name     string
	Image    string // reference with digest
	Replicas int
	Env      map[string]string
	Secrets  []string // names, which follow their contents; sorted
	// Parts are further properties by the name that people are told, each in a form that can be compared.
	Parts   map[string]string
	Running int    // tasks that run and, where there is a health check, are healthy
	Update  string // state of the last update: "", "completed", "rollback_completed", …
}

const serviceType = resourcetype.DockerService

// Wanted reads from a state what the last update asked for.
func Wanted(state []byte) ([]Service, error) {
	records, err := engine.Resources(state)
	if err != nil {
		return nil, err
	}
	var out []Service
	for _, r := range records {
		if r.Type != serviceType {
			continue
		}
		var inputs struct {
			Name string `json:"name"`
			Mode struct {
				Replicated struct {
					Replicas int `json:"replicas"`
				} `json:"replicated"`
			} `json:"mode"`
			EndpointSpec struct {
				Ports []port `json:"ports"`
			} `json:"endpointSpec"`
			TaskSpec struct {
				ContainerSpec struct {
					Image       string            `json:"image"`
					Commands    []string          `json:"commands"`
					Args        []string          `json:"args"`
					User        string            `json:"user"`
					CapAdds     []string          `json:"capAdds"`
					CapDrops    []string          `json:"capDrops"`
					Env         map[string]string `json:"env"`
					Healthcheck struct {
						Tests []string `json:"tests"`
					} `json:"healthcheck"`
					Mounts  []mount `json:"mounts"`
					Secrets []struct {
						SecretName string `json:"secretName"`
						FileName   string `json:"fileName"`
					} `json:"secrets"`
				} `json:"containerSpec"`
				Networks []struct {
					Name string `json:"name"` // its ID
				} `json:"networksAdvanceds"`
				Resources struct {
					Limits struct {
						MemoryBytes int64 `json:"memoryBytes"`
					} `json:"limits"`
				} `json:"resources"`
			} `json:"taskSpec"`
		}
		if err := json.Unmarshal(r.Inputs, &inputs); err != nil {
			return nil, fmt.Errorf("the state's record of %s is not the JSON that this program knows", r.URN)
		}
		spec := inputs.TaskSpec.ContainerSpec
		s := Service{
			urn: r.URN, Name: inputs.Name, Image: spec.Image, Replicas: inputs.Mode.Replicated.Replicas,
			Env: spec.Env,
		}
		d := details{
			Command: slices.Concat(spec.Commands, spec.Args), Health: spec.Healthcheck.Tests, User: spec.User,
			CapAdd: spec.CapAdds, CapDrop: spec.CapDrops,
			Mounts: spec.Mounts, Ports: inputs.EndpointSpec.Ports, Memory: inputs.TaskSpec.Resources.Limits.MemoryBytes,
		}
		for _, n := range inputs.TaskSpec.Networks {
			d.Networks = append(d.Networks, n.Name)
		}
		for _, secret := range spec.Secrets {
			d.SecretFiles = append(d.SecretFiles, secret.SecretName+" "+secret.FileName)
		}
		s.Parts = d.parts()
		for _, secret := range spec.Secrets {
			s.Secrets = append(s.Secrets, secret.SecretName)
		}
		slices.Sort(s.Secrets)
		out = append(out, s)
	}
	return out, nil
}

type mount struct {
	Source, Target string
	ReadOnly       bool
}

type port struct {
	TargetPort, PublishedPort int
	Protocol, PublishMode     string
}

// details are the properties that a service may not lose unseen.
type details struct {
	Command, Health                        []string
	User                                   string
	CapAdd, CapDrop, Networks, SecretFiles []string
	Mounts                                 []mount
	Ports                                  []port
	Memory                                 int64
}

// parts puts them into a form that can be compared; lists whose order means nothing are sorted.
func (d details) parts() map[string]string {
	sorted := func(words []string) string { return strings.Join(slices.Sorted(slices.Values(words)), "\n") }
	mounts := make([]string, 0, len(d.Mounts))
	for _, m := range d.Mounts {
		mounts = append(mounts, fmt.Sprint(m))
	}
	ports := make([]string, 0, len(d.Ports))
	for _, p := range d.Ports {
		ports = append(ports, fmt.Sprint(p))
	}
	return map[string]string{
		"command": strings.Join(d.Command, "\x00"), "health check": strings.Join(d.Health, "\x00"), "user": d.User,
		"capabilities": sorted(d.CapAdd) + "\x00" + sorted(d.CapDrop), "networks": sorted(d.Networks),
		"memory limit": fmt.Sprint(d.Memory),
		"mounts":       sorted(mounts), "published ports": sorted(ports), "secret files": sorted(d.SecretFiles),
	}
}

// listServices prints every service of ours and its tasks, one JSON value a line.
const listServices = `set -e
services="$(docker service ls --quiet --filter label=momentstudio.server)"
for s in $services; do
docker service inspect --format '{{json .}}' "$s"
docker service ps --no-trunc --filter desired-state=running --format '{"Task":{"State":{{json .CurrentState}}}}' "$s"
done`

// Running asks the host's own Docker engine.
func Running(ctx context.Context, c engine.Stack, address string) ([]Service, error) {
	out, err := hostssh.Run(ctx, c, address, listServices)
	if err != nil {
		return nil, fmt.Errorf("ask the host what runs: %w", err)
	}
	return parseServices(out)
}

func parseServices(lines []byte) ([]Service, error) {
	var out []Service
	dec := json.NewDecoder(bytes.NewReader(lines))
	for dec.More() {
		var line struct {
			Task *struct {
				State string
			}
			Spec *struct {
				Name string
				Mode struct {
					Replicated struct{ Replicas int }
				}
				EndpointSpec struct{ Ports []port }
				TaskTemplate struct {
					ContainerSpec struct {
						Image       string
						Command     []string
						Args        []string
						Env         []string
						User        string
						Healthcheck struct{ Test []string }
						Mounts      []mount
						Secrets     []struct {
							SecretName string
							File       struct{ Name string }
						}
						CapabilityAdd, CapabilityDrop []string
					}
					Networks  []struct{ Target string }
					Resources struct{ Limits struct{ MemoryBytes int64 } }
				}
			}
			UpdateStatus struct{ State string }
		}
		if err := dec.Decode(&line); err != nil {
			return nil, errors.New("the host's Docker engine answers something else than a list of services")
		}
		switch {
		case line.Task != nil && len(out) > 0:
			if strings.HasPrefix(line.Task.State, "Running") {
				out[len(out)-1].Running++
			}
		case line.Spec != nil:
			spec := line.Spec.TaskTemplate.ContainerSpec
			s := Service{
				Name: line.Spec.Name, Image: spec.Image, Replicas: line.Spec.Mode.Replicated.Replicas,
				Env: map[string]string{}, Update: line.UpdateStatus.State,
			}
			d := details{
				Command: slices.Concat(spec.Command, spec.Args), Health: spec.Healthcheck.Test, User: spec.User,
				CapAdd: spec.CapabilityAdd, CapDrop: spec.CapabilityDrop,
				Mounts: spec.Mounts, Ports: line.Spec.EndpointSpec.Ports,
				Memory: line.Spec.TaskTemplate.Resources.Limits.MemoryBytes,
			}
			for _, n := range line.Spec.TaskTemplate.Networks {
				d.Networks = append(d.Networks, n.Target)
			}
			for _, secret := range spec.Secrets {
				d.SecretFiles = append(d.SecretFiles, secret.SecretName+" "+secret.File.Name)
			}
			s.Parts = d.parts()
			for _, v := range spec.Env {
				name, value, _ := strings.Cut(v, "=")
				s.Env[name] = value
			}
			for _, secret := range spec.Secrets {
				s.Secrets = append(s.Secrets, secret.SecretName)
			}
			slices.Sort(s.Secrets)
			out = append(out, s)
		}
	}
	return out, nil
}

// difference is one service that is not what the state says.
type difference struct {
	Service string
	Urn     string
	Why     []string
	final   bool // waiting changes nothing: the update ended in a rollback
}

// Compare lists the services that differ from what was asked for, in the order of want.
func Compare(want, have []Service) []difference {
	running := map[string]Service{}
	for _, s := range have {
		running[s.Name] = s
	}
	var out []difference
	for _, w := range want {
		h, ok := running[w.Name]
		d := difference{Service: w.Name, Urn: w.urn}
		say := func(format string, args ...any) { d.Why = append(d.Why, fmt.Sprintf(format, args...)) }
		switch {
		case !ok:
			say("it does not exist")
		default:
			if h.Image != w.Image {
				say("it runs image %s, want %s", h.Image, w.Image)
			}
			if h.Replicas != w.Replicas {
				say("it is set to %d replicas, want %d", h.Replicas, w.Replicas)
			} else if h.Running < w.Replicas {
				say("%d of %d tasks run", h.Running, w.Replicas)
			}
			if !slices.Equal(h.Secrets, w.Secrets) {
				say("it has secrets %s, want %s", strings.Join(h.Secrets, " "), strings.Join(w.Secrets, " "))
			}
			for _, name := range slices.Sorted(maps.Keys(w.Env)) {
				if value, set := h.Env[name]; !set || value != w.Env[name] {
					say("its setting %s is not the one that was asked for", name)
				}
			}
			for _, name := range slices.Sorted(maps.Keys(h.Env)) {
				if _, wanted := w.Env[name]; !wanted {
					say("it has the setting %s, which nobody asked for", name)
				}
			}
			for _, name := range slices.Sorted(maps.Keys(w.Parts)) {
				if h.Parts[name] != w.Parts[name] {
					say("its %s is not what was asked for", name)
				}
			}
			// A rollback is history when all else is as asked for: the state knows of it.
			if len(d.Why) > 0 && (strings.HasPrefix(h.Update, "rollback") || h.Update == "paused") {
				say("its last update ended in %s", h.Update)
				d.final = h.Update != "rollback_started"
			}
		}
		if len(d.Why) > 0 {
			out = append(out, d)
		}
	}
	return out
}

// RolledBack lists the services whose last update did not stay.
func RolledBack(have []Service) []difference {
	var out []difference
	for _, s := range have {
		if strings.HasPrefix(s.Update, "rollback") || s.Update == "paused" {
			out = append(out, difference{Service: s.Name, Why: []string{"its last update ended in " + s.Update}})
		}
	}
	return out
}

// Explain words a difference, with the errors of the service's tasks and the end of its log.
func Explain(ctx context.Context, c engine.Stack, address string, d difference) string {
	text := d.Service + ": " + strings.Join(d.Why, "; ")
	tasks, err := hostssh.Run(ctx, c, address, "docker service ps --no-trunc --format '{{.CurrentState}}: {{.Error}}' "+
		d.Service+" 2>/dev/null | grep -v ': $' | head -3; "+
		"echo '-- log'; timeout 20 docker service logs --raw --tail 50 "+d.Service+" 2>&1 | cut -c1-400")
	if err == nil {
		states, log, _ := strings.Cut(string(tasks), "-- log\n")
		if states = strings.TrimSpace(states); states != "" {
			text += "\n    tasks: " + strings.ReplaceAll(states, "\n", "\n           ")
		}
		if log = strings.TrimSpace(log); log != "" {
			text += "\n    the end of its log:\n      " + strings.ReplaceAll(log, "\n", "\n      ")
		}
	}
	return text
}

// CheckServices compares what runs on the host with what the state says. Its error names each
// service that differs, with its tasks' errors and the last 50 lines of its log.
func CheckServices(ctx context.Context, c engine.Stack, address string) error {
	state, err := c.Output(ctx, "stack", "export")
	if err != nil {
		return fmt.Errorf("read the state of stack %s: %w", c.Name, err)
	}
	want, err := Wanted(state)
	if err != nil {
		return err
	}
	have, err := Running(ctx, c, address)
	if err != nil {
		return err
	}
	differences := Compare(want, have)
	if len(differences) == 0 {
		return nil
	}
	lines, final := make([]string, 0, len(differences)), false
	for _, d := range differences {
		lines = append(lines, Explain(ctx, c, address, d))
		final = final || d.final
	}
	err = errors.New("the host does not run what was asked for:\n  - " + strings.Join(lines, "\n  - "))
	if final {
		return RolledBackError{err}
	}
	return err
}

// RolledBackError is a state of the host that no waiting changes.
type RolledBackError struct{ error }

func (e RolledBackError) Unwrap() error { return e.error }
