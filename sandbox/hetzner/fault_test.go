package hetzner_test

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/hetznercloud/hcloud-go/v2/hcloud"

	"github.com/prekzursil/momentstudio-infra/sandbox/hetzner"
)

func TestStatusFaultIsWhatTheClientSees(t *testing.T) {
	t.Parallel()
	p := newProject(t, hetzner.Config{})
	p.fault(t, hetzner.Fault{Method: "POST", Path: "^/v1/servers$", Times: 1, Kind: "status", Status: 500, RetryAfter: 2})
	_, response, err := p.client.Server.Create(p.ctx, serverOpts("web", nil))
	wantCode(t, err, 500, hcloud.ErrorCodeServerError)
	if response.Header.Get("Retry-After") != "2" {
		t.Errorf("Retry-After: %q", response.Header.Get("Retry-After"))
	}
	if state, _ := p.api.State(); len(state.Servers) != 0 {
		t.Error("the refused request made a server")
	}
	if faults := p.api.Faults(); faults[0].Hits != 1 {
		t.Errorf("hits: %d", faults[0].Hits)
	}

	// The client library repeats what it was told to come back for.
	p.fault(t, hetzner.Fault{Path: "^/v1/ssh_keys$", Times: 2, Kind: "status", Status: 429})
	p.key(t, "key", 1)
	var statuses []int
	for _, r := range p.api.Requests() {
		if r.Path == "/v1/ssh_keys" {
			statuses = append(statuses, r.Status)
		}
	}
	if len(statuses) != 3 || statuses[0] != 429 || statuses[2] != 201 {
		t.Errorf("statuses: %v", statuses)
	}
	p.api.ClearFaults()
	p.api.ForgetRequests()
	if len(p.api.Faults()) != 0 || len(p.api.Requests()) != 0 {
		t.Error("faults and requests are still there")
	}
	if err := p.api.InjectFault(hetzner.Fault{Kind: "explode"}); err == nil {
		t.Error("an unknown kind was accepted")
	}
}

func TestLostRequestDoesNothingAndLostAnswerLeavesTheResource(t *testing.T) {
	t.Parallel()
	p := newProject(t, hetzner.Config{})
	p.fault(t, hetzner.Fault{Method: "POST", Path: "^/v1/volumes$", Times: 1, Kind: "drop-before"})
	opts := hcloud.VolumeCreateOpts{Name: "data", Size: 10, Location: &hcloud.Location{Name: "fsn1"}}
	if _, _, err := p.client.Volume.Create(p.ctx, opts); err == nil {
		t.Error("no error although the connection was cut")
	}
	if state, _ := p.api.State(); len(state.Volumes) != 0 {
		t.Error("a lost request made a volume")
	}
	p.fault(t, hetzner.Fault{Method: "POST", Path: "^/v1/volumes$", Times: 1, Kind: "drop-after"})
	if _, _, err := p.client.Volume.Create(p.ctx, opts); err == nil {
		t.Error("no error although the answer was lost")
	}
	if state, _ := p.api.State(); len(state.Volumes) != 1 {
		t.Error("the volume of the lost answer is missing")
	}
	_, _, err := p.client.Volume.Create(p.ctx, opts)
	wantCode(t, err, 409, hcloud.ErrorCodeUniquenessError)
}

func TestDelayActionErrorAndNotFoundFaults(t *testing.T) {
	t.Parallel()
	p := newProject(t, hetzner.Config{})
	p.fault(t, hetzner.Fault{Method: "POST", Path: "^/v1/networks$", Times: 1, Kind: "delay", Seconds: 0.2})
	before := time.Now()
	network := ok[*hcloud.Network](t)(p.client.Network.Create(p.ctx,
		hcloud.NetworkCreateOpts{Name: "n", IPRange: cidr(t, "10.60.0.0/16")}))
	if took := time.Since(before); took < 200*time.Millisecond {
		t.Errorf("took %s, want at least 200 ms", took)
	}

	p.fault(t, hetzner.Fault{Method: "POST", Path: "/actions/change_protection$", Times: 1, Kind: "action-error"})
	action := ok[*hcloud.Action](t)(p.client.Network.ChangeProtection(p.ctx, network,
		hcloud.NetworkChangeProtectionOpts{Delete: hcloud.Ptr(false)}))
	var failed hcloud.ActionError
	if err := p.client.Action.WaitFor(p.ctx, action); !errors.As(err, &failed) || failed.Code != "action_failed" {
		t.Errorf("the action ended with %v", err)
	}

	p.fault(t, hetzner.Fault{Method: "POST", Path: "^/v1/primary_ips$", Times: 1, Kind: "not-found-for", Seconds: 0.2})
	ip := p.address(t, "late")
	if got := ok[*hcloud.PrimaryIP](t)(p.client.PrimaryIP.GetByID(p.ctx, ip.ID)); got != nil {
		t.Error("the new address is visible at once")
	}
	time.Sleep(220 * time.Millisecond)
	if got := ok[*hcloud.PrimaryIP](t)(p.client.PrimaryIP.GetByID(p.ctx, ip.ID)); got == nil {
		t.Error("the new address never became visible")
	}
}

// starts records when machines were started.
type starts struct {
	hetzner.Records
	mu    sync.Mutex
	times []time.Time
}

func (s *starts) StartServer(context.Context, int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.times = append(s.times, time.Now())
	return nil
}

func (s *starts) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.times)
}

func TestSlowBootStartsTheMachineAfterItsActionSucceeded(t *testing.T) {
	t.Parallel()
	machines := &starts{}
	p := newProject(t, hetzner.Config{Machines: machines})
	p.fault(t, hetzner.Fault{Method: "POST", Path: "^/v1/servers$", Times: 1, Kind: "slow-boot", Seconds: 0.3})
	server := p.server(t, "web", p.address(t, "web"))
	if server.Status != hcloud.ServerStatusRunning || machines.count() != 0 {
		t.Errorf("status %s with %d machines started, want running and none", server.Status, machines.count())
	}
	for range 100 {
		if machines.count() == 1 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("the machine never started")
}

func TestStateSurvivesARestartOfTheEmulator(t *testing.T) {
	t.Parallel()
	file := stateFile(t)
	first := newProject(t, hetzner.Config{StateFile: file})
	ip := first.address(t, "web")
	server := first.server(t, "web", ip)
	volume := first.volume(t, "data")
	first.wait(t, ok[*hcloud.Action](t)(first.client.Volume.Attach(first.ctx, volume, server)))
	first.api.Close()

	second := newProject(t, hetzner.Config{StateFile: file})
	again := ok[*hcloud.Server](t)(second.client.Server.GetByID(second.ctx, server.ID))
	if again == nil || again.Status != hcloud.ServerStatusRunning || len(again.Volumes) != 1 ||
		again.PublicNet.IPv4.ID != ip.ID {
		t.Fatalf("after the restart: %+v", again)
	}
	if next := second.key(t, "key", 1); next.ID <= volume.ID {
		t.Errorf("id %d was given before %d", next.ID, volume.ID)
	}
	second.wait(t, ok[*hcloud.ServerDeleteResult](t)(second.client.Server.DeleteWithResult(second.ctx, again)).Action)
	second.wantNothingUnexpected(t)
}

func TestControlEndpointsAnswerWithoutAToken(t *testing.T) {
	t.Parallel()
	p := newProject(t, hetzner.Config{})
	p.key(t, "key", 1)
	for path, want := range map[string]int{
		"/_sandbox/state": 200, "/_sandbox/requests": 200, "/_sandbox/requests?unexpected=1": 200, "/_sandbox/faults": 200,
		"/v1/ssh_keys": 401,
	} {
		response, err := http.Get(p.url + path)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("GET %s: %d, want %d", path, response.StatusCode, want)
		}
	}
}
