package cloudflare

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
)

// Fault is a rule: what goes wrong with which requests, how often. It is the language of the
// emulated Hetzner API, as far as it applies here.
type Fault struct {
	Method     string  `json:"method,omitempty"`      // empty means any
	Path       string  `json:"path,omitempty"`        // regular expression; empty means any
	Times      int     `json:"times,omitempty"`       // how many requests are hit; 0 means all
	Kind       string  `json:"kind"`                  // status, drop-before, drop-after or delay
	Status     int     `json:"status,omitempty"`      // for kind status: 400 to 599
	RetryAfter int     `json:"retry_after,omitempty"` // for kind status: seconds
	Seconds    float64 `json:"seconds,omitempty"`     // for kind delay, and for kind status before its answer (0: at once)
	Hits       int     `json:"hits"`                  // how many requests were hit so far

	path *regexp.Regexp
}

var faultKinds = []string{"status", "drop-before", "drop-after", "delay"}

// kind is "" for no fault at all.
func (f *Fault) kind() string {
	if f == nil {
		return ""
	}
	return f.Kind
}

// InjectFault adds a rule. Of several rules that match a request, the oldest that is not used
// up applies.
func (a *API) InjectFault(f Fault) error {
	if !slices.Contains(faultKinds, f.Kind) {
		return fmt.Errorf("fault kind %q: want one of %s", f.Kind, strings.Join(faultKinds, ", "))
	}
	if f.Kind == "status" && (f.Status < 400 || f.Status > 599) {
		return fmt.Errorf("fault status %d: want 400 to 599", f.Status)
	}
	if f.Kind == "delay" && f.Seconds <= 0 {
		return fmt.Errorf("fault seconds %v: kind delay wants more than 0", f.Seconds)
	}
	var err error
	if f.path, err = regexp.Compile(f.Path); err != nil {
		return fmt.Errorf("fault path: %w", err)
	}
	f.Hits = 0
	a.mu.Lock()
	defer a.mu.Unlock()
	a.faults = append(a.faults, &f)
	return nil
}

// ClearFaults removes all rules.
func (a *API) ClearFaults() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.faults = nil
}

// Faults returns the rules with their hits, by which a test asserts that a fault was reached.
func (a *API) Faults() []Fault {
	a.mu.Lock()
	defer a.mu.Unlock()
	rules := []Fault{}
	for _, f := range a.faults {
		rules = append(rules, *f)
	}
	return rules
}

func (a *API) takeFault(method, path string) *Fault {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, f := range a.faults {
		if (f.Method == "" || f.Method == method) && f.path.MatchString(path) && (f.Times == 0 || f.Hits < f.Times) {
			f.Hits++
			hit := *f
			return &hit
		}
	}
	return nil
}

func faultCode(status int) int {
	switch status {
	case http.StatusTooManyRequests:
		return 971 // "Please wait and consider throttling your request speed"
	case http.StatusUnauthorized, http.StatusForbidden:
		return 10000
	}
	return 10013
}
