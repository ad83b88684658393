// Package cloudflare emulates the part of Cloudflare's API that the program uses: zones (fixed
// at start), DNS records, Turnstile widgets, rulesets, the check of a token and the list of
// address ranges. It holds state and refuses what the real API refuses, with its codes.
//
// It never talks to the real API and proxies no traffic. A request that it does not know is
// answered with 501 and kept, so that a test can fail on it.
package cloudflare

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Zone is a zone that exists from the start.
type Zone struct {
	Name string // e.g. "momentstudio.test"; required
	ID   string // 32 hexadecimal digits; default derived from the name
	Plan string // "free" (default) or "pro"; decides the limits of rulesets
}

// Config describes the emulated account.
type Config struct {
	StatePath string // JSON file that holds the state between runs; "" keeps it in memory
	Zones     []Zone // at least one
	Token     string // the accepted API token; required
	AccountID string // 32 hexadecimal digits; default derived from the first zone
}

// API is one emulated account.
type API struct {
	config  Config
	zones   []zone
	handler http.Handler
	now     func() time.Time

	mu       sync.Mutex
	state    state
	requests []Request
	faults   []*Fault
}

// zone is a configured zone as the API shows it.
type zone struct {
	ID          string    `json:"id"`
	Name        string    `json:"name"`
	Status      string    `json:"status"`
	Type        string    `json:"type"`
	Paused      bool      `json:"paused"`
	NameServers []string  `json:"name_servers"`
	CreatedOn   time.Time `json:"created_on"`
	ModifiedOn  time.Time `json:"modified_on"`
	Plan        plan      `json:"plan"`
	Account     owner     `json:"account"`
	Permissions []string  `json:"permissions"`
}

type plan struct {
	ID       string `json:"id"`
	Name     string `json:"name"`
	LegacyID string `json:"legacy_id"`
}

type owner struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// New returns an emulated account with what its state file holds. It fails when the
// configuration is not usable, naming everything that is wrong, or the file cannot be read.
func New(config Config) (*API, error) {
	var problems []error
	if config.Token == "" {
		problems = append(problems, errors.New("no Token: want the API token that is accepted"))
	}
	if len(config.Zones) == 0 {
		problems = append(problems, errors.New("no Zones: want at least one"))
	}
	for i, z := range config.Zones {
		if !strings.Contains(z.Name, ".") {
			problems = append(problems, fmt.Errorf("Zones[%d].Name: got %q, want a domain name", i, z.Name))
		}
		if z.Plan != "" && planNames[z.Plan] == "" {
			problems = append(problems, fmt.Errorf("Zones[%d].Plan: got %q, want free or pro", i, z.Plan))
		}
	}
	if len(problems) > 0 {
		return nil, fmt.Errorf("emulated Cloudflare account: %w", errors.Join(problems...))
	}
	if config.AccountID == "" {
		config.AccountID = derivedID("account", config.Zones[0].Name)
	}

	st, err := loadState(config.StatePath)
	if err != nil {
		return nil, err
	}
	a := &API{config: config, state: st, now: func() time.Time { return time.Now().UTC() }}
	created := time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)
	for _, z := range config.Zones {
		id, kind := z.ID, z.Plan
		if id == "" {
			id = derivedID("zone", z.Name)
		}
		if kind == "" {
			kind = "free"
		}
		a.zones = append(a.zones, zone{
			ID: id, Name: strings.ToLower(z.Name), Status: "active", Type: "full",
			NameServers: []string{"ada.ns.cloudflare.com", "bob.ns.cloudflare.com"},
			CreatedOn:   created, ModifiedOn: created,
			Plan:        plan{ID: derivedID("plan", kind), Name: planNames[kind], LegacyID: kind},
			Account:     owner{ID: config.AccountID, Name: "Sandbox"},
			Permissions: []string{"#dns_records:edit", "#dns_records:read", "#zone:read"},
		})
	}
	a.handler = a.routes()
	return a, nil
}

var planNames = map[string]string{"free": "Free Website", "pro": "Pro Website"}

// Handler serves the API below /client/v4 and the control endpoints below /_sandbox/.
func (a *API) Handler() http.Handler { return a.handler }

// AccountID returns the account's ID, which widgets are created in.
func (a *API) AccountID() string { return a.config.AccountID }

// ZoneID returns the ID of a configured zone, or "".
func (a *API) ZoneID(name string) string {
	for _, z := range a.zones {
		if z.Name == strings.ToLower(name) {
			return z.ID
		}
	}
	return ""
}

func (a *API) zone(id string) (zone, bool) {
	for _, z := range a.zones {
		if z.ID == id {
			return z, true
		}
	}
	return zone{}, false
}

func (a *API) listZones(q *request) (reply, error) {
	name, account, status := q.query("name"), q.query("account.id"), q.query("status")
	found := []zone{}
	for _, z := range a.zones {
		if (name == "" || strings.EqualFold(name, z.Name)) && (account == "" || account == z.Account.ID) &&
			(status == "" || status == z.Status) {
			found = append(found, z)
		}
	}
	return paged(q, found, 20)
}

func (a *API) getZone(q *request) (reply, error) { return reply{result: q.zone}, nil }
