// Package swarm compares the services that run on the host with those of the state.
package swarm

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/prekzursil/momentstudio-infra/internal/engine"
	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
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
				Ports []hostspec.Port `json:"ports"`
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
					Mounts  []hostspec.Mount `json:"mounts"`
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

// details are the properties that a service may not lose unseen.
type details struct {
	Command, Health                        []string
	User                                   string
	CapAdd, CapDrop, Networks, SecretFiles []string
	Mounts                                 []hostspec.Mount
	Ports                                  []hostspec.Port
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

// Found takes from a host's report what is compared.
func Found(services []hostspec.Service) []Service {
	out := make([]Service, 0, len(services))
	for _, h := range services {
		s := Service{
			Name: h.Name, Image: h.Image, Replicas: h.Replicas, Env: h.Env, Running: h.Running, Update: h.Update,
		}
		d := details{
			Command: h.Command, Health: h.Health, User: h.User, CapAdd: h.CapAdd, CapDrop: h.CapDrop,
			Networks: h.Networks, Mounts: h.Mounts, Ports: h.Ports, Memory: h.Memory,
		}
		for _, secret := range h.Secrets {
			d.SecretFiles = append(d.SecretFiles, secret.Name+" "+secret.File)
			s.Secrets = append(s.Secrets, secret.Name)
		}
		s.Parts = d.parts()
		slices.Sort(s.Secrets)
		out = append(out, s)
	}
	return out
}

// Difference is one service that is not what the state says.
type Difference struct {
	Service string
	URN     string
	Why     []string
	final   bool // waiting changes nothing: the update ended in a rollback
}

// Compare lists the services that differ from what was asked for, in the order of want.
func Compare(want, have []Service) []Difference {
	running := map[string]Service{}
	for _, s := range have {
		running[s.Name] = s
	}
	var out []Difference
	for _, w := range want {
		h, ok := running[w.Name]
		d := Difference{Service: w.Name, URN: w.urn}
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
func RolledBack(have []Service) []Difference {
	var out []Difference
	for _, s := range have {
		if strings.HasPrefix(s.Update, "rollback") || s.Update == "paused" {
			out = append(out, Difference{Service: s.Name, Why: []string{"its last update ended in " + s.Update}})
		}
	}
	return out
}

// Final reports whether waiting changes nothing about one of the differences: Swarm rolled an update back.
func Final(all []Difference) bool {
	return slices.ContainsFunc(all, func(d Difference) bool { return d.final })
}

// Names are the names of the services that differ.
func Names(all []Difference) (names []string) {
	for _, d := range all {
		names = append(names, d.Service)
	}
	return names
}

// Describe lists differences, with the errors of each service's tasks and the end of its log.
func Describe(all []Difference, logs map[string]hostspec.ServiceLog) string {
	var b strings.Builder
	for i, d := range all {
		if i > 0 {
			b.WriteString("\n")
		}
		b.WriteString("  - " + d.Service + ": " + strings.Join(d.Why, "; "))
		if l := logs[d.Service]; len(l.Errors) > 0 {
			b.WriteString("\n    tasks: " + strings.Join(l.Errors, "\n           "))
		}
		if l := logs[d.Service]; len(l.Tail) > 0 {
			b.WriteString("\n    the end of its log, without values (`docker service logs " + d.Service +
				"` on the host shows all of it):\n      " + strings.Join(l.Tail, "\n      "))
		}
	}
	return b.String()
}
