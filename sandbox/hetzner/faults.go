package hetzner

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Fault is a rule: what goes wrong with which requests, how often.
type Fault struct {
	// Method and Path choose requests; Path is a regular expression. Empty
	// means any.
	Method string `json:"method,omitempty"`
	Path   string `json:"path,omitempty"`
	// Times is how many requests are hit; 0 means all, until the rule is
	// deleted.
	Times int `json:"times,omitempty"`
	// Kind is one of
	//   status        answered with Status after Seconds (0: at once), nothing done
	//   drop-before   connection cut, nothing done
	//   drop-after    done, connection cut before the answer
	//   delay         Seconds later
	//   action-error  accepted, but the (first) action ends in an error
	//   not-found-for reads of the new resource answer 404 for Seconds
	//   slow-boot     the new server starts Seconds after its action succeeded
	Kind string `json:"kind"`
	// Status, Code, Message and RetryAfter (seconds) are for kind status.
	Status     int     `json:"status,omitempty"`
	Code       string  `json:"code,omitempty"`
	Message    string  `json:"message,omitempty"`
	RetryAfter int     `json:"retry_after,omitempty"`
	Seconds    float64 `json:"seconds,omitempty"`
	// Hits counts the requests that the rule was applied to.
	Hits int `json:"hits"`

	path *regexp.Regexp
}

// effects is what the matching rules do to one request.
type effects struct {
	kinds       []string
	status      int
	code        string
	message     string
	retryAfter  int
	dropBefore  bool
	dropAfter   bool
	actionError bool
	delay       time.Duration
	hideFor     time.Duration
	bootDelay   time.Duration
}

func (e effects) String() string { return strings.Join(e.kinds, ",") }

var faultKinds = []string{"status", "drop-before", "drop-after", "delay", "action-error", "not-found-for", "slow-boot"}

// InjectFault adds a rule. Rules apply in the order in which they were added.
func (a *API) InjectFault(f Fault) error {
	if !slices.Contains(faultKinds, f.Kind) {
		return fmt.Errorf("fault kind %q: want one of %s", f.Kind, strings.Join(faultKinds, ", "))
	}
	if f.Kind == "status" && (f.Status < 400 || f.Status > 599) {
		return fmt.Errorf("fault status %d: want 400 to 599", f.Status)
	}
	if timed := f.Kind == "delay" || f.Kind == "not-found-for" || f.Kind == "slow-boot"; timed && f.Seconds <= 0 {
		return fmt.Errorf("fault seconds %v: kind %s wants more than 0", f.Seconds, f.Kind)
	}
	var err error
	if f.path, err = regexp.Compile(f.Path); err != nil {
		return fmt.Errorf("fault path: %w", err)
	}
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

// Faults returns the rules with their hits: a test asserts by it that a fault
// was reached.
func (a *API) Faults() []Fault {
	a.mu.Lock()
	defer a.mu.Unlock()
	rules := []Fault{}
	for _, f := range a.faults {
		rules = append(rules, *f)
	}
	return rules
}

func (a *API) takeFaults(method, path string) effects {
	a.mu.Lock()
	defer a.mu.Unlock()
	var e effects
	for _, f := range a.faults {
		if f.Method != "" && f.Method != method || !f.path.MatchString(path) || f.Times > 0 && f.Hits >= f.Times {
			continue
		}
		f.Hits++
		e.kinds = append(e.kinds, f.Kind)
		after := time.Duration(f.Seconds * float64(time.Second))
		switch f.Kind {
		case "status":
			e.status, e.retryAfter = f.Status, f.RetryAfter
			e.delay += after
			e.code, e.message = f.Code, f.Message
			if e.code == "" {
				e.code = codeOf(f.Status)
			}
			if e.message == "" {
				e.message = "a fault of the sandbox"
			}
		case "drop-before":
			e.dropBefore = true
		case "drop-after":
			e.dropAfter = true
		case "delay":
			e.delay += after
		case "action-error":
			e.actionError = true
		case "not-found-for":
			e.hideFor = after
		case "slow-boot":
			e.bootDelay = after
		}
		if e.status != 0 || e.dropBefore {
			break
		}
	}
	return e
}

func codeOf(status int) string {
	switch status {
	case http.StatusUnauthorized:
		return "unauthorized"
	case http.StatusForbidden:
		return "forbidden"
	case http.StatusNotFound:
		return "not_found"
	case http.StatusConflict:
		return "conflict"
	case http.StatusPreconditionFailed:
		return "resource_unavailable"
	case http.StatusUnprocessableEntity:
		return "invalid_input"
	case http.StatusLocked:
		return "locked"
	case http.StatusTooManyRequests:
		return "rate_limit_exceeded"
	case http.StatusServiceUnavailable:
		return "maintenance"
	case http.StatusGatewayTimeout:
		return "timeout"
	}
	return "server_error"
}
