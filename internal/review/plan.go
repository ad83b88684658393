// Package review judges what an update would do before it is done: it reads `pulumi preview --json`, gives
// every step a risk and a cause, and words it for people. It reads values to judge them and keeps none: a
// report names properties, never what is in them.
package review

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// plan is the part of the preview's JSON that counts.
type plan struct {
	Steps       []planStep   `json:"steps"`
	Diagnostics []diagnostic `json:"diagnostics"`
}

type diagnostic struct {
	URN      string `json:"urn"`
	Message  string `json:"message"`
	Severity string `json:"severity"`
}

// errors are what the engine and the program said that ended the preview.
func (p plan) errors() (messages []string) {
	for _, d := range p.Diagnostics {
		if d.Severity == "error" {
			messages = append(messages, strings.TrimSpace(d.Message))
		}
	}
	return messages
}

// Errors are the errors that a failed preview has in its output.
func Errors(preview []byte) []string {
	p, err := parse(preview)
	if err != nil {
		return nil
	}
	return p.errors()
}

// parse reads the output of `pulumi preview --json`: one document, or, with PULUMI_ENABLE_STREAMING_JSON_PREVIEW, an
// event a line. The CLI ends with a panic where the document would hold a secret that is not known yet (of releases
// 3.250 to 3.259, pkg/backend/display/json.go); the events have a place for it.
func parse(preview []byte) (plan, error) {
	var p plan
	noPreview := errors.New("this is not the output of `pulumi preview --json`")
	dec := json.NewDecoder(bytes.NewReader(Document(preview)))
	var first json.RawMessage
	if err := dec.Decode(&first); err != nil {
		return p, noPreview
	}
	var e event
	if err := json.Unmarshal(first, &e); err != nil {
		return p, noPreview
	}
	if !e.any() {
		err := json.Unmarshal(first, &p)
		if err != nil {
			err = noPreview
		}
		return p, err
	}
	for {
		p.take(e)
		e = event{}
		switch err := dec.Decode(&e); {
		case errors.Is(err, io.EOF):
			return p, nil
		case err != nil:
			return p, noPreview
		}
	}
}

// Document is the JSON in what the CLI printed, which prints notices before it when it has something to say.
func Document(text []byte) []byte {
	return text[max(0, bytes.IndexByte(text, '{')):]
}

// event is the part of an engine's event that counts (sdk/go/common/apitype/events.go).
type event struct {
	Timestamp int64           `json:"timestamp"`
	Prelude   json.RawMessage `json:"preludeEvent"`
	Step      *struct {
		Metadata struct {
			Op           string              `json:"op"`
			URN          string              `json:"urn"`
			Old          *state              `json:"old"`
			New          *state              `json:"new"`
			Keys         []string            `json:"keys"`
			Diffs        []string            `json:"diffs"`
			DetailedDiff map[string]struct{} `json:"detailedDiff"`
		} `json:"metadata"`
	} `json:"resourcePreEvent"`
	Diagnostic *struct {
		URN       string `json:"urn"`
		Prefix    string `json:"prefix"`
		Message   string `json:"message"`
		Severity  string `json:"severity"`
		Ephemeral bool   `json:"ephemeral"`
	} `json:"diagnosticEvent"`
}

func (e event) any() bool {
	return e.Timestamp != 0 || e.Prelude != nil || e.Step != nil || e.Diagnostic != nil
}

// take adds what an event says of the plan.
func (p *plan) take(e event) {
	if d := e.Diagnostic; d != nil && !d.Ephemeral {
		p.Diagnostics = append(p.Diagnostics, diagnostic{URN: d.URN, Message: d.Prefix + d.Message, Severity: d.Severity})
	}
	if e.Step == nil {
		return
	}
	m := e.Step.Metadata
	for _, s := range []*state{m.Old, m.New} {
		if s != nil {
			s.Inputs, _ = blind(s.Inputs).(map[string]any)
			s.Outputs, _ = blind(s.Outputs).(map[string]any)
		}
	}
	p.Steps = append(p.Steps, planStep{
		Op: m.Op, URN: m.URN, OldState: m.Old, NewState: m.New, DiffReasons: m.Diffs, ReplaceReasons: m.Keys,
		DetailedDiff: m.DetailedDiff,
	})
}

// SecretSignature marks a secret in an event or an exported state (sdk/go/common/resource/properties.go).
const SecretSignature = "4dabf18193072939515e22adb298388d" //nolint:gosec // a mark, no credential

// blind words secrets as the document does.
func blind(v any) any {
	switch v := v.(type) {
	case map[string]any:
		if v[SecretSignature] != nil {
			return "[secret]"
		}
		for key, value := range v {
			v[key] = blind(value)
		}
	case []any:
		for i, value := range v {
			v[i] = blind(value)
		}
	}
	return v
}

type planStep struct {
	Op             string              `json:"op"`
	URN            string              `json:"urn"`
	OldState       *state              `json:"oldState"`
	NewState       *state              `json:"newState"`
	DiffReasons    []string            `json:"diffReasons"`
	ReplaceReasons []string            `json:"replaceReasons"`
	DetailedDiff   map[string]struct{} `json:"detailedDiff"` // by path; its values are not read
}

type state struct {
	Type    string         `json:"type"`
	Protect bool           `json:"protect"`
	Inputs  map[string]any `json:"inputs"`
	Outputs map[string]any `json:"outputs"`
	Parent  string         `json:"parent"`
}

// Change is all that a plan does to one resource.
type Change struct {
	URN        string   `json:"urn"`
	Type       string   `json:"type"`
	Name       string   `json:"name"`
	Op         Op       `json:"op"`
	Properties []string `json:"properties,omitempty"` // that cause it; paths, never values
	Risk       Risk     `json:"risk"`
	Seconds    int      `json:"seconds,omitempty"` // of an interruption, as expected
	Why        string   `json:"why"`
	Back       string   `json:"back,omitempty"` // how to go back
	Gated      bool     `json:"gated"`          // it needs an approval

	old, new *state
	guard    bool            // it takes a guard away (compromises)
	stays    map[string]bool // names of all resources that are there after the update
	makes    map[string]bool // names of those that it makes
}

// Op is what happens to a resource, with the engine's several steps of a replacement taken as one.
type Op string

// The operations. Anything else is Unknown.
const (
	Create  Op = "create"
	Update  Op = "update"
	Replace Op = "replace"
	Delete  Op = "delete"
	Read    Op = "read"
	Import  Op = "import"
	Unknown Op = "unknown"
)

// ops are the engine's steps (sdk/go/common/display, pkg/resource/deploy/step.go); what is not here is unknown.
var ops = map[string]Op{
	"create": Create, "update": Update, "delete": Delete,
	"replace": Replace, "create-replacement": Replace, "delete-replaced": Replace,
	"read": Read, "read-replacement": Replace, "discard": Delete, "discard-replaced": Replace,
	"import": Import, "import-replacement": Replace, "remove-pending-replace": Replace, "refresh": Read,
}

// read turns a preview's JSON into the changes of a plan, one for each resource.
func read(preview []byte) ([]Change, error) {
	p, err := parse(preview)
	if err != nil {
		return nil, err
	}
	if failed := p.errors(); len(failed) > 0 {
		return nil, fmt.Errorf("the preview failed: %s", cause(failed[0]))
	}
	if len(p.Steps) == 0 {
		return nil, errors.New("the preview has no step at all, not even of what stays the same: it failed, or is not of " +
			"this program")
	}
	var order []string
	refreshed := map[string]bool{}
	byURN, stays, makes := map[string]*Change{}, map[string]bool{}, map[string]bool{}
	for _, s := range p.Steps {
		name := s.URN[strings.LastIndex(s.URN, "::")+2:]
		if s.Op != "delete" {
			stays[name] = true
		}
		if s.Op == "create" {
			makes[name] = true
		}
		if s.Op == "same" {
			if s.OldState == nil || s.NewState == nil || s.OldState.Protect == s.NewState.Protect {
				continue
			}
			s.Op, s.DiffReasons = "update", []string{"protect"} // nothing else of it changes
		}
		op, known := ops[s.Op]
		if !known {
			op = Unknown
		}
		c := byURN[s.URN]
		if c == nil {
			c = &Change{URN: s.URN, Name: name, Op: op, stays: stays, makes: makes}
			byURN[s.URN], order = c, append(order, s.URN)
		}
		// The worse of two steps of one resource counts; a replacement is a creation and a deletion.
		if rank(op) > rank(c.Op) || op != c.Op && rank(op) == rank(c.Op) {
			c.Op = op
		}
		if s.OldState != nil && (c.old == nil || refreshed[s.URN]) {
			c.old = s.OldState
		}
		refreshed[s.URN] = s.Op == "refresh" // what comes after it is compared with what was found
		if s.NewState != nil {
			c.new = s.NewState
		}
		for _, reason := range slices.Concat(s.ReplaceReasons, s.DiffReasons, slices.Collect(maps.Keys(s.DetailedDiff))) {
			if !slices.Contains(c.Properties, reason) {
				c.Properties = append(c.Properties, reason)
			}
		}
	}
	changes := make([]Change, 0, len(order))
	for _, urn := range order {
		c := byURN[urn]
		for _, s := range []*state{c.new, c.old} {
			if s != nil && c.Type == "" {
				c.Type = s.Type
			}
		}
		if len(c.Properties) == 0 && c.Op != Create && c.Op != Delete {
			c.Properties = differing(c.old, c.new) // a forced replacement comes without reasons
		}
		c.Properties = causes(c.Properties, c.old, c.new)
		changes = append(changes, *c)
	}
	return changes, nil
}

// differing are the inputs whose values differ, but for the name that the engine makes up.
func differing(before, after *state) []string {
	if before == nil || after == nil {
		return nil
	}
	var out []string
	for _, inputs := range []map[string]any{before.Inputs, after.Inputs} {
		for key := range inputs {
			if key != "name" && !strings.HasPrefix(key, "__") && !slices.Contains(out,
				key) && !reflect.DeepEqual(before.Inputs[key], after.Inputs[key]) {
				out = append(out, key)
			}
		}
	}
	slices.Sort(out)
	return out
}

// causes leaves the deepest paths, and none whose value is the same before and after: providers name
// more than what changes. What is secret looks the same whatever it is, and stays.
func causes(paths []string, before, after *state) []string {
	slices.Sort(paths)
	left := slices.DeleteFunc(slices.Clone(paths), func(p string) bool {
		if slices.ContainsFunc(paths, func(q string) bool {
			return strings.HasPrefix(q, p+".") ||
				strings.HasPrefix(q, p+"[")
		}) {
			return true
		}
		if before == nil || after == nil {
			return false
		}
		if p == "protect" {
			return false
		}
		was, is := at(before.Inputs, p), at(after.Inputs, p)
		if was == nil && is == nil && strings.Contains(p, "[") {
			return false // an element of a set, whose number is of the state's order
		}
		return reflect.DeepEqual(was, is) && !strings.Contains(fmt.Sprint(was), "[secret]")
	})
	if len(left) == 0 {
		return paths
	}
	return left
}

var part = regexp.MustCompile(`[^.\[\]]+`)

// at looks a path such as "rules[0].port" up; nil when there is nothing.
func at(inputs map[string]any, path string) any {
	var value any = inputs
	for _, name := range part.FindAllString(path, -1) {
		switch v := value.(type) {
		case map[string]any:
			value = v[name]
		case []any:
			n, err := strconv.Atoi(name)
			if err != nil || n >= len(v) {
				return nil
			}
			value = v[n]
		default:
			return nil
		}
	}
	return value
}

func rank(op Op) int {
	return slices.Index([]Op{Read, Import, Create, Update, Delete, Replace, Unknown}, op)
}

// cause is an error's message without the engine's words around it.
func cause(text string) string {
	if _, after, found := strings.Cut(text, "1 error occurred:\n\t* "); found {
		text = after
	}
	return strings.TrimSpace(strings.TrimPrefix(text, "error: "))
}
