package cloudflare

import (
	"encoding/json"
	"net/http"
	"slices"
	"time"
)

// Request is one line of the log of requests.
type Request struct {
	Time     time.Time `json:"time"`
	Method   string    `json:"method"`
	Path     string    `json:"path"`
	Query    string    `json:"query,omitempty"`
	Status   int       `json:"status"` // 0 when the connection was cut
	Fault    string    `json:"fault,omitempty"`
	Expected bool      `json:"expected"`
}

func (a *API) log(r Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.requests) >= maxLog {
		a.requests = slices.Delete(a.requests, 0, maxLog/2)
	}
	a.requests = append(a.requests, r)
}

// Requests returns the log of requests, oldest first.
func (a *API) Requests() []Request {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.requests)
}

// Unexpected returns the requests that the emulation does not know. A test of a program fails
// when there are any.
func (a *API) Unexpected() []Request {
	return slices.DeleteFunc(a.Requests(), func(r Request) bool { return r.Expected })
}

// ForgetRequests empties the log.
func (a *API) ForgetRequests() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.requests = nil
}

// Resources counts records, widgets and rulesets: what a destroyed stack must not leave.
func (a *API) Resources() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.state.Records) + len(a.state.Widgets) + len(a.state.Rulesets)
}

// controlRoutes serves what tests and people ask the sandbox itself. It needs no token: it
// listens where the emulated API does, on loopback.
func (a *API) controlRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET /_sandbox/state", func(w http.ResponseWriter, _ *http.Request) {
		a.mu.Lock()
		defer a.mu.Unlock()
		writeJSON(w, map[string]any{
			"account_id": a.config.AccountID, "zones": a.zones, "records": orEmpty(a.state.Records),
			"widgets": orEmpty(a.state.Widgets), "rulesets": orEmpty(a.state.Rulesets),
		})
	})
	mux.HandleFunc("GET /_sandbox/requests", func(w http.ResponseWriter, r *http.Request) {
		requests := a.Requests()
		if r.URL.Query().Get("unexpected") != "" {
			requests = a.Unexpected()
		}
		writeJSON(w, map[string]any{"requests": orEmpty(requests)})
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
		decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
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
	_ = json.NewEncoder(w).Encode(v) // the client is gone
}

func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
