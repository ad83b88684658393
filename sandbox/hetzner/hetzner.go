// Package hetzner emulates the part of the Hetzner Cloud API that a project
// with one kind of server needs: keys, networks, addresses, firewalls, servers,
// volumes and their actions. It holds state, refuses what the real API refuses,
// and drives machines behind an interface.
//
// It never talks to the real API, and it has no project limits, billing or
// permissions. A request that it does not know is answered with 501 and kept,
// so that a test can fail on it.
package hetzner

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// Config says how an emulated project behaves.
type Config struct {
	// StateFile holds the project between runs; it is replaced as a whole at
	// each change. Empty means that the project lives in memory only.
	StateFile string
	// Token is the only accepted API token. Empty accepts any of the right
	// length (64 characters).
	Token string
	// Pool is the range that public IPv4 addresses come from, its tenth address
	// first. Default 192.0.2.0/24.
	Pool netip.Prefix
	// Machines boots servers. Nil keeps records only.
	Machines Machines
	// ActionDelay is how long an action takes at least. Default 20 ms, so that
	// callers see a running action and have to wait for it.
	ActionDelay time.Duration
	// Logf receives what goes wrong behind an action. Optional.
	Logf func(format string, args ...any)
}

// API is one emulated project.
type API struct {
	config   Config
	machines Machines
	handler  http.Handler
	ctx      context.Context
	stop     context.CancelFunc
	work     sync.WaitGroup

	mu       sync.Mutex
	state    *state
	faults   []*Fault
	requests []Request
	hidden   map[string]time.Time
	used     int
}

// New loads the project from its state file, or starts an empty one.
func New(config Config) (*API, error) {
	if !config.Pool.IsValid() {
		config.Pool = netip.MustParsePrefix("192.0.2.0/24")
	}
	if !config.Pool.Addr().Is4() || config.Pool.Bits() > 27 {
		return nil, fmt.Errorf("hetzner: pool %s: want an IPv4 range of /27 or larger", config.Pool)
	}
	if config.ActionDelay == 0 {
		config.ActionDelay = 20 * time.Millisecond
	}
	if config.Logf == nil {
		config.Logf = func(string, ...any) {}
	}
	machines := config.Machines
	if machines == nil {
		machines = Records{}
	}
	st, err := loadState(config.StateFile)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	a := &API{config: config, machines: machines, state: st, ctx: ctx, stop: cancel, hidden: map[string]time.Time{}}
	a.handler = a.routes()
	return a, nil
}

// Handler serves the API under /v1/ and its control endpoints under /_sandbox/.
func (a *API) Handler() http.Handler { return a.handler }

// Close interrupts what runs behind unfinished actions and waits for it.
// Machines stay as they are.
func (a *API) Close() {
	a.stop()
	a.work.Wait()
}
