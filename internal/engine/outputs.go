package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/prekzursil/momentstudio-infra/internal/resourcetype"
)

// Outputs are the stack's outputs. They hold secrets: print none of them.
type Outputs struct {
	URL        string   `json:"url"`
	Address    string   `json:"address"`
	KnownHosts []string `json:"knownHosts"`
	SSHKeys    []string `json:"sshPrivateKeys"`
	Release    string   `json:"release"`
	Images     struct {
		Backend  string `json:"backend"`
		Frontend string `json:"frontend"`
	} `json:"images"`
}

// ErrNoHost means that the stack has no host yet.
var ErrNoHost = errors.New("the stack has no host yet")

// Outputs reads the stack's outputs from its state.
func (c Stack) Outputs(ctx context.Context) (Outputs, error) {
	var o Outputs
	text, err := c.Output(ctx, "stack", "output", "--json", "--show-secrets")
	if err != nil {
		return o, fmt.Errorf("read the outputs of stack %s: %w", c.Name, err)
	}
	if err := json.Unmarshal(text, &o); err != nil {
		return o, fmt.Errorf("read the outputs of stack %s: not the JSON that this program knows", c.Name)
	}
	if o.Address == "" || len(o.SSHKeys) == 0 {
		return o, fmt.Errorf("stack %s: %w", c.Name, ErrNoHost)
	}
	return o, nil
}

// HostOutputs are those Outputs by which the host is reached. The engine writes a stack's outputs when it knows all
// of them; a first update that was killed before has left a host all the same, and the component's own record says
// where it is.
func (c Stack) HostOutputs(ctx context.Context) (Outputs, error) {
	o, err := c.Outputs(ctx)
	if !errors.Is(err, ErrNoHost) {
		return o, err
	}
	state, errState := c.Output(ctx, "stack", "export", "--show-secrets")
	if errState != nil {
		return o, fmt.Errorf("read the state of stack %s: %w", c.Name, errState)
	}
	if recorded, ok := hostOf(state); ok {
		return recorded, nil
	}
	return o, err
}

// hostOf reads the host's record from an exported state; ok is false as long as there is no server.
func hostOf(state []byte) (o Outputs, ok bool) {
	all, err := Resources(state)
	if err != nil {
		return o, false
	}
	server := false
	for _, r := range all {
		switch r.Type {
		case resourcetype.Server:
			server = true
		case "momentstudio:host:Host":
			o.Address, _ = r.Outputs["address"].(string)
			o.KnownHosts, o.SSHKeys = texts(r.Outputs["knownHosts"]), texts(r.Outputs["sshPrivateKeys"])
		}
	}
	return o, server && o.Address != "" && len(o.SSHKeys) > 0
}

// texts reads a list of texts.
func texts(v any) (list []string) {
	parts, _ := Revealed(v).([]any)
	for _, p := range parts {
		if text, ok := p.(string); ok {
			list = append(list, text)
		}
	}
	return list
}
