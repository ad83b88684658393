package release

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/moby/moby/api/types/swarm"
)

func TestTheEndOfARestart(t *testing.T) {
	began := time.Now()
	later := began.Add(time.Second)
	status := func(at time.Time, state swarm.UpdateState) *swarm.UpdateStatus {
		return &swarm.UpdateStatus{State: state, StartedAt: &at}
	}
	for _, c := range []struct {
		name        string
		before, now *swarm.UpdateStatus
		done, fails bool
	}{
		{"nothing yet", nil, nil, false, false},
		{
			"the update before", status(began, swarm.UpdateStateCompleted), status(began, swarm.UpdateStateCompleted), false,
			false,
		},
		{"under way", nil, status(later, swarm.UpdateStateUpdating), false, false},
		{"done", status(began, swarm.UpdateStateCompleted), status(later, swarm.UpdateStateCompleted), true, false},
		{"rolled back", nil, status(later, swarm.UpdateStateRollbackCompleted), false, true},
		{"paused", nil, status(later, swarm.UpdateStatePaused), false, true},
	} {
		if done, err := updateEnded(c.before, c.now); done != c.done || (err != nil) != c.fails {
			t.Errorf("%s: %v, %v", c.name, done, err)
		}
	}
}

func TestMaintenanceIsToldFromBeingAway(t *testing.T) {
	for _, c := range []struct {
		status int
		retry  string
		want   bool
	}{{503, "120", true}, {503, "", false}, {200, "", false}, {429, "120", false}} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if c.retry != "" {
				w.Header().Set("Retry-After", c.retry)
			}
			w.WriteHeader(c.status)
		}))
		got, err := inMaintenance(t.Context(), server.URL)
		server.Close()
		if err != nil || got != c.want {
			t.Errorf("status %d, Retry-After %q: %v, %v", c.status, c.retry, got, err)
		}
	}
	if _, err := inMaintenance(t.Context(), "http://127.0.0.1:1/"); err == nil {
		t.Error("an API that does not answer is taken for one that serves")
	}
}
