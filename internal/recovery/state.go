package recovery

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// unknownMark stands for a value that is not known yet (sdk/go/common/resource/plugin/rpc.go, UnknownStringValue).
const unknownMark = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"

// State is a stack's state, as it is exported: its secrets are encrypted.
type State struct {
	export     map[string]any
	deployment map[string]any
	resources  []map[string]any
}

var errState = errors.New("the exported state is not the JSON that this program knows")

// ReadState reads an exported state.
func ReadState(text []byte) (*State, error) {
	s := &State{}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber() // numbers go through unchanged
	if err := dec.Decode(&s.export); err != nil {
		return nil, errState
	}
	s.deployment, _ = s.export["deployment"].(map[string]any)
	if s.deployment == nil {
		return nil, errState
	}
	list, _ := s.deployment["resources"].([]any)
	for _, r := range list {
		m, ok := r.(map[string]any)
		if !ok {
			return nil, errState
		}
		s.resources = append(s.resources, m)
	}
	return s, nil
}

// JSON is the state as the engine imports it. It holds no pending operation: an import drops them.
func (s *State) JSON() ([]byte, error) {
	list := make([]any, 0, len(s.resources))
	for _, r := range s.resources {
		list = append(list, r)
	}
	s.deployment["resources"] = list
	delete(s.deployment, "pending_operations")
	return json.Marshal(s.export)
}

func word(m map[string]any, field string) string { v, _ := m[field].(string); return v }

// Interrupted are the operations that a killed run did not end, in words.
func (s *State) Interrupted() []string {
	var out []string
	list, _ := s.deployment["pending_operations"].([]any)
	for _, o := range list {
		operation, _ := o.(map[string]any)
		resource, _ := operation["resource"].(map[string]any)
		urn := word(resource, "urn")
		out = append(out, word(operation, "type")+" "+urn[strings.LastIndex(urn, ":")+1:])
	}
	return out
}

// deleting are the URNs of the resources in whose deletion a run was killed.
func (s *State) deleting() map[string]bool {
	urns := map[string]bool{}
	list, _ := s.deployment["pending_operations"].([]any)
	for _, o := range list {
		operation, _ := o.(map[string]any)
		resource, _ := operation["resource"].(map[string]any)
		if word(operation, "type") == "deleting" {
			urns[word(resource, "urn")] = true
		}
	}
	return urns
}

// unread marks a record that was adopted and not read yet: its outputs are not the thing's own. A refresh takes the
// mark away.
const unread = "adopted, and not read yet"

// Unread are the URNs of resources of which the state does not know how they are: a run adopted them and ended before
// it read them, or a cloud made them, and what came after failed (an action, a question about it). Of those the next
// update would update all, which some of Hetzner's cannot ("doesn't support update"), and it would take the rest for
// done.
func (s *State) Unread() (urns []string) {
	for _, r := range s.resources {
		marks, _ := r["initErrors"].([]any)
		if slices.Contains(marks, any(unread)) || len(marks) > 0 && inCloud(word(r, "type")) {
			urns = append(urns, word(r, "urn"))
		}
	}
	return urns
}

func inCloud(kind string) bool {
	return strings.HasPrefix(kind, "hcloud:") || strings.HasPrefix(kind, "cloudflare:")
}

// Recorded is a resource of the state.
type Recorded struct {
	URN, Type, ID, Key string
	Deleted            bool // by a run of this program, which was killed before it wrote that down
}

// Name is the resource's own, from its URN.
func (r Recorded) Name() string { return r.URN[strings.LastIndex(r.URN, "::")+2:] }

func (r Recorded) String() string { return r.Name() + ", " + describe(r.Type, r.Key, r.ID) }

// Unrecorded are the things that the state does not know, in their order.
func (s *State) Unrecorded(things []Thing) []Thing {
	known := map[string]bool{}
	for _, r := range s.resources {
		// What waits for its replacement is deleted; an attachment has the ID of its volume, as the one that replaces it.
		if replaced, _ := r["pendingReplacement"].(bool); !replaced {
			known[word(r, "type")+" "+word(r, "id")] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(things), func(t Thing) bool { return known[t.Type+" "+t.ID] })
}

// Gone are the resources of the asked types that are not among the things which exist. Those that only wait to be
// deleted are among them: the provider of Swarm secrets fails to delete what is not there.
func (s *State) Gone(asked []string, things []Thing) []Recorded {
	exists := map[string]bool{}
	for _, t := range things {
		exists[t.Type+" "+t.ID] = true
	}
	deleting := s.deleting()
	var out []Recorded
	for _, r := range s.resources {
		kind, id := word(r, "type"), word(r, "id")
		waits, _ := r["delete"].(bool)
		if replaced, _ := r["pendingReplacement"].(bool); replaced || !slices.Contains(asked, kind) || exists[kind+" "+id] {
			continue
		}
		inputs, _ := r["inputs"].(map[string]any)
		urn := word(r, "urn")
		out = append(out, Recorded{urn, kind, id, Creation{Type: kind, Inputs: inputs}.key(), waits || deleting[urn]})
	}
	return out
}

// Adopt writes a thing down as the resource that the next update would make. Its outputs are its inputs until a
// refresh reads it, and it is marked so: the provider finds by them what it cannot ask for. A resource that it
// replaces waits to be deleted, or is dropped when it has been deleted already. It fails when the state lacks the
// provider.
func (s *State) Adopt(a Adoption) error {
	inputs, err := json.Marshal(a.Inputs)
	if err != nil {
		return err
	}
	var outputs map[string]any
	dec := json.NewDecoder(bytes.NewReader(inputs))
	dec.UseNumber()
	if err := dec.Decode(&outputs); err != nil {
		return err
	}
	delete(outputs, "__defaults")
	outputs["id"] = a.ID // by which some are read (those of Terraform's plugin framework)
	record := map[string]any{
		"urn": a.URN, "custom": true, "id": a.ID, "type": a.Type, "inputs": a.Inputs, "outputs": outputs,
		"parent": a.Parent, "provider": a.Provider, "protect": a.Protect,
		"initErrors": []any{unread},
	}
	at := s.live(a.URN)
	if at >= 0 {
		if gone, _ := s.resources[at]["pendingReplacement"].(bool); gone {
			s.resources = slices.Delete(s.resources, at, at+1)
		} else {
			s.resources[at]["delete"] = true
		}
		at = s.after(at, a)
	} else {
		at = len(s.resources)
	}
	// The engine refuses a state in which something comes before what it depends on. What is missing here, the next
	// update writes down again.
	before := map[string]bool{}
	provided := false
	for _, r := range s.resources[:at] {
		before[word(r, "urn")] = true
		provided = provided || word(r, "urn")+"::"+word(r, "id") == a.Provider
	}
	if !provided {
		return fmt.Errorf("%s: the state does not know its provider, so it is older than the program; put a newer copy of "+
			"it back (pulumi stack import)", a)
	}
	if !before[a.Parent] {
		delete(record, "parent")
	}
	missing := func(urn string) bool { return !before[urn] }
	record["dependencies"] = slices.DeleteFunc(slices.Clone(a.Dependencies), missing)
	byProperty := map[string][]string{}
	for name, urns := range a.PropertyDependencies {
		byProperty[name] = slices.DeleteFunc(slices.Clone(urns), missing)
	}
	record["propertyDependencies"] = byProperty
	s.resources = slices.Insert(s.resources, at, record)
	return nil
}

// after is the first place from at on that has all before it on which an adopted resource depends.
func (s *State) after(at int, a Adoption) int {
	needed := append([]string{a.Parent}, a.Dependencies...)
	if i := strings.LastIndex(a.Provider, "::"); i >= 0 {
		needed = append(needed, a.Provider[:i])
	}
	for i := at; i < len(s.resources); i++ {
		if slices.Contains(needed, word(s.resources[i], "urn")) {
			at = i + 1
		}
	}
	return at
}

// unknown says whether any part of a value is not known yet.
func unknown(v any) bool {
	switch v := v.(type) {
	case string:
		return strings.Contains(v, unknownMark)
	case map[string]any:
		for _, part := range v {
			if unknown(part) {
				return true
			}
		}
	case []any:
		return slices.ContainsFunc(v, unknown)
	}
	return false
}

// Creations reads from a plan (`pulumi preview --save-plan`) what an update would make. A plan says only in what a
// replacement differs; the rest is in the state.
func (s *State) Creations(plan []byte) ([]Creation, error) {
	var doc struct {
		Resources map[string]struct {
			Steps []string `json:"steps"`
			Goal  *struct {
				Type                 string              `json:"type"`
				Custom               bool                `json:"custom"`
				Parent               string              `json:"parent"`
				Provider             string              `json:"provider"`
				Protect              bool                `json:"protect"`
				Dependencies         []string            `json:"dependencies"`
				PropertyDependencies map[string][]string `json:"propertyDependencies"`
				Inputs               struct {
					Adds    map[string]any `json:"adds"`
					Updates map[string]any `json:"updates"`
					Deletes []string       `json:"deletes"`
				} `json:"inputDiff"`
			} `json:"goal"`
		} `json:"resourcePlans"`
	}
	dec := json.NewDecoder(bytes.NewReader(plan))
	dec.UseNumber()
	if err := dec.Decode(&doc); err != nil || len(doc.Resources) == 0 {
		return nil, errors.New("the plan of the update is not the JSON that this program knows")
	}
	var out []Creation
	for _, urn := range slices.Sorted(maps.Keys(doc.Resources)) {
		r := doc.Resources[urn]
		if r.Goal == nil || !r.Goal.Custom || !slices.Contains(r.Steps, "create") && !slices.Contains(r.Steps,
			"create-replacement") {
			continue
		}
		inputs := map[string]any{}
		if i := s.live(urn); i >= 0 && !slices.Contains(r.Steps, "create") {
			old, _ := s.resources[i]["inputs"].(map[string]any)
			maps.Copy(inputs, old)
		}
		for _, name := range r.Goal.Inputs.Deletes {
			delete(inputs, name)
		}
		maps.Copy(inputs, r.Goal.Inputs.Adds)
		maps.Copy(inputs, r.Goal.Inputs.Updates)
		out = append(out, Creation{
			URN: urn, Type: r.Goal.Type, Parent: r.Goal.Parent, Provider: r.Goal.Provider, Protect: r.Goal.Protect,
			Inputs:       inputs,
			Dependencies: r.Goal.Dependencies, PropertyDependencies: r.Goal.PropertyDependencies,
		})
	}
	return out, nil
}

// live is the place of the resource that does not wait to be deleted; -1 when there is none.
func (s *State) live(urn string) int {
	return slices.IndexFunc(s.resources, func(r map[string]any) bool {
		waits, _ := r["delete"].(bool)
		return word(r, "urn") == urn && !waits
	})
}
