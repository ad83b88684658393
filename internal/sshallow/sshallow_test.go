package sshallow_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/hetznercloud/hcloud-go/v2/hcloud"

	"github.com/prekzursil/momentstudio-infra/internal/sshallow"
)

// cloud has one firewall at most, and answers changes with a status of its own. What an opening does to a real host is
// tested in the sandbox.
type cloud struct {
	firewall map[string]any
	status   int // of what would change something; 0: it is done
	changes  []string
}

func (c *cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer := func(status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v)
	}
	if r.Method == http.MethodGet {
		list := []any{}
		if c.firewall != nil && strings.HasPrefix(r.URL.Path, "/firewalls") {
			list = append(list, c.firewall)
		}
		answer(http.StatusOK, map[string]any{"firewalls": list})
		return
	}
	c.changes = append(c.changes, r.Method+" "+r.URL.Path)
	if c.status != 0 {
		answer(c.status, map[string]any{"error": map[string]any{"code": map[int]string{
			403: "forbidden",
			423: "locked",
		}[c.status], "message": "no"}})
		return
	}
	switch r.Method {
	case http.MethodPost:
		_ = json.NewDecoder(r.Body).Decode(&c.firewall)
		c.firewall["id"], c.firewall["applied_to"] = 1, []any{}
		answer(http.StatusCreated, map[string]any{"firewall": c.firewall, "actions": []any{}})
	case http.MethodDelete:
		c.firewall = nil
		w.WriteHeader(http.StatusNoContent)
	}
}

func (c *cloud) door(t *testing.T) sshallow.Door {
	t.Helper()
	server := httptest.NewServer(c)
	t.Cleanup(server.Close)
	api := hcloud.NewClient(hcloud.WithEndpoint(server.URL), hcloud.WithToken("token"),
		hcloud.WithRetryOpts(hcloud.RetryOpts{MaxRetries: 0}))
	return sshallow.Door{API: api, Stack: "prod", Out: io.Discard, Now: func() time.Time { return time.Unix(1000, 0) }}
}

var from = netip.MustParseAddr("192.0.2.1")

func TestDoorsAreClosedHoweverTheWorkEnds(t *testing.T) {
	failed := errors.New("the work failed")
	for name, work := range map[string]func(context.Context) error{
		"well": func(context.Context) error { return nil },
		"ill":  func(context.Context) error { return failed },
		"late": func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
	} {
		t.Run(name, func(t *testing.T) {
			c := &cloud{}
			open := false
			err := c.door(t).Open(t.Context(), from, 50*time.Millisecond, func(ctx context.Context) error {
				open = c.firewall != nil
				return work(ctx)
			})
			if !open || c.firewall != nil {
				t.Errorf("open during the work: %v; afterwards there is %v", open, c.firewall)
			}
			if (err == nil) != (name == "well") || name == "ill" && !errors.Is(err, failed) {
				t.Errorf("it ends with %v", err)
			}
		})
	}
}

func TestWhatIsLeftBehindIsRemovedWhenItsTimeIsOver(t *testing.T) {
	for _, c := range []struct {
		name, expires string
		status        int
		removed       bool
		says          string
	}{
		{"expired", "999", 0, true, ""},
		{"at work", "1001", 0, false, ""},
		{"without an end", "never", 0, true, ""},
		{"expired, and the token may not", "999", 403, false, "left behind"},
	} {
		t.Run(c.name, func(t *testing.T) {
			fake := &cloud{status: c.status, firewall: map[string]any{
				"id": 7, "name": "old", "applied_to": []any{},
				"labels": map[string]string{"expires": c.expires},
			}}
			var worked bool
			err := fake.door(t).Open(t.Context(), from, time.Minute, func(context.Context) error { worked = true; return nil })
			if c.says != "" {
				// A refusal is not asked again, and nothing is opened.
				if err == nil || !strings.Contains(err.Error(), c.says) || len(fake.changes) != 1 || worked {
					t.Errorf("got %v after %q, worked: %v", err, fake.changes, worked)
				}
				return
			}
			if first := fake.changes[0] == "DELETE /firewalls/7"; err != nil || first != c.removed {
				t.Errorf("%v after %q", err, fake.changes)
			}
		})
	}
}

func TestOwnAddress(t *testing.T) {
	for text, want := range map[string]string{
		"fl=1\nip=192.0.2.7\nts=1\n": "192.0.2.7", "ip=2001:db8::1\n": "2001:db8::1", "nothing": "", "ip=nonsense\n": "",
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_,
				_ = io.WriteString(w, text)
		}))
		got, err := sshallow.OwnAddress(t.Context(), server.URL)
		server.Close()
		if (err == nil) != (want != "") || err == nil && got.String() != want {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
}
