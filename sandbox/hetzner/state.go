package hetzner

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/hetznercloud/hcloud-go/v2/hcloud/schema"
)

// state is everything that a project holds. The API's own types are kept as
// they are sent; what the API never shows stands beside them.
type state struct {
	LastID     int64
	SSHKeys    map[int64]*schema.SSHKey
	Networks   map[int64]*schema.Network
	PrimaryIPs map[int64]*schema.PrimaryIP
	Firewalls  map[int64]*schema.Firewall
	Servers    map[int64]*server
	Volumes    map[int64]*schema.Volume
	Actions    map[int64]*schema.Action
}

type server struct {
	schema.Server
	UserData   string   `json:"sandbox_user_data"`
	SSHKeys    []string `json:"sandbox_ssh_keys"`
	Generation int64    `json:"sandbox_generation"`
}

func (s *state) nextID() int64 {
	s.LastID++
	return s.LastID
}

func loadState(file string) (*state, error) {
	// Ids start high: an id that is also a plausible size or port hides mix-ups.
	s := &state{
		LastID:     1000000,
		SSHKeys:    map[int64]*schema.SSHKey{},
		Networks:   map[int64]*schema.Network{},
		PrimaryIPs: map[int64]*schema.PrimaryIP{},
		Firewalls:  map[int64]*schema.Firewall{},
		Servers:    map[int64]*server{},
		Volumes:    map[int64]*schema.Volume{},
		Actions:    map[int64]*schema.Action{},
	}
	if file == "" {
		return s, nil
	}
	body, err := os.ReadFile(file)
	if os.IsNotExist(err) {
		return s, nil
	}
	if err != nil {
		return nil, fmt.Errorf("hetzner: read state: %w", err)
	}
	if err := json.Unmarshal(body, s); err != nil {
		return nil, fmt.Errorf("hetzner: state file %s: %w", file, err)
	}
	// What ran behind these actions ended with the process that ran it.
	now := time.Now().UTC()
	for _, action := range s.Actions {
		if action.Status == "running" {
			action.Status = "error"
			action.Progress = 100
			action.Finished = &now
			action.Error = &schema.ActionError{Code: "action_failed", Message: "the emulator was restarted while the action ran"}
		}
	}
	for _, srv := range s.Servers {
		srv.Locked = false
	}
	return s, nil
}

// save writes the state beside its file and renames it: a reader, or the next
// process, sees the old state or the new one.
func (a *API) save() error {
	if a.config.StateFile == "" {
		return nil
	}
	body, err := json.MarshalIndent(a.state, "", " ")
	if err != nil {
		return fmt.Errorf("hetzner: encode state: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(a.config.StateFile), ".state-*")
	if err != nil {
		return fmt.Errorf("hetzner: save state: %w", err)
	}
	defer os.Remove(f.Name())
	if _, err := f.Write(body); err != nil {
		f.Close()
		return fmt.Errorf("hetzner: save state: %w", err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("hetzner: save state: %w", err)
	}
	if err := os.Rename(f.Name(), a.config.StateFile); err != nil {
		return fmt.Errorf("hetzner: save state: %w", err)
	}
	return nil
}
