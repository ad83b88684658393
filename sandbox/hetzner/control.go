package hetzner

import (
	"encoding/json"
	"net/http"
	"slices"

	"github.com/hetznercloud/hcloud-go/v2/hcloud/schema"
)

// Snapshot is everything that exists in the project.
type Snapshot struct {
	SSHKeys    []*schema.SSHKey    `json:"ssh_keys"`
	Networks   []*schema.Network   `json:"networks"`
	PrimaryIPs []*schema.PrimaryIP `json:"primary_ips"`
	Firewalls  []*schema.Firewall  `json:"firewalls"`
	Servers    []*schema.Server    `json:"servers"`
	Volumes    []*schema.Volume    `json:"volumes"`
	// RunningActions counts actions that have not ended.
	RunningActions int `json:"running_actions"`
}

// Resources counts what would cost money or hold data or be left behind.
func (s Snapshot) Resources() int {
	return len(s.SSHKeys) + len(s.Networks) + len(s.PrimaryIPs) + len(s.Firewalls) + len(s.Servers) + len(s.Volumes)
}

// State returns what exists now.
func (a *API) State() (Snapshot, error) {
	body, err := a.stateJSON()
	if err != nil {
		return Snapshot{}, err
	}
	var s Snapshot
	err = json.Unmarshal(body, &s)
	return s, err
}

// stateJSON encodes under the lock: the records are not copied.
func (a *API) stateJSON() ([]byte, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := Snapshot{
		SSHKeys: sorted(a.state.SSHKeys), Networks: sorted(a.state.Networks), PrimaryIPs: sorted(a.state.PrimaryIPs),
		Firewalls: sorted(a.state.Firewalls), Servers: []*schema.Server{}, Volumes: sorted(a.state.Volumes),
	}
	for _, srv := range sorted(a.state.Servers) {
		s.Servers = append(s.Servers, &srv.Server)
	}
	for _, action := range a.state.Actions {
		if action.Status == "running" {
			s.RunningActions++
		}
	}
	return json.Marshal(s)
}

func sorted[T any](m map[int64]*T) []*T {
	items := []*T{}
	for _, id := range sortedIDs(m) {
		items = append(items, m[id])
	}
	return items
}

// Requests returns the log of requests to the API, oldest first.
func (a *API) Requests() []Request {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.requests)
}

// Unexpected returns the requests that the emulation does not know or leaves
// out. A test of a program fails when there are any.
func (a *API) Unexpected() []Request {
	return slices.DeleteFunc(a.Requests(), func(r Request) bool { return r.Expected })
}

// ForgetRequests empties the log.
func (a *API) ForgetRequests() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.requests = nil
}

func (a *API) controlRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET /_sandbox/state", func(w http.ResponseWriter, _ *http.Request) {
		body, err := a.stateJSON()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(body)
	})
	mux.HandleFunc("GET /_sandbox/requests", func(w http.ResponseWriter, r *http.Request) {
		requests := a.Requests()
		if r.URL.Query().Get("unexpected") != "" {
			requests = a.Unexpected()
		}
		writeJSON(w, map[string]any{"requests": append([]Request{}, requests...)})
	})
	mux.HandleFunc("DELETE /_sandbox/requests", func(w http.ResponseWriter, _ *http.Request) {
		a.ForgetRequests()
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("GET /_sandbox/faults", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, map[string]any{"faults": a.Faults()})
	})
	mux.HandleFunc("POST /_sandbox/faults", func(w http.ResponseWriter, r *http.Request) {
		var f Fault
		decoder := json.NewDecoder(r.Body)
		decoder.DisallowUnknownFields()
		err := decoder.Decode(&f)
		if err == nil {
			err = a.InjectFault(f)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("DELETE /_sandbox/faults", func(w http.ResponseWriter, _ *http.Request) {
		a.ClearFaults()
		w.WriteHeader(http.StatusNoContent)
	})
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}
