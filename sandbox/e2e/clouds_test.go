package e2e

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/cloudflare/cloudflare-go"
	"github.com/hetznercloud/hcloud-go/v2/hcloud"
)

// inject makes an emulated cloud misbehave; it is asked afterwards whether that was reached.
func (w *env) inject(api string, rule map[string]any) {
	w.t.Helper()
	body, err := json.Marshal(rule)
	if err != nil {
		w.t.Fatal(err)
	}
	w.controlRequest(api, http.MethodPost, "faults", body)
}

// reached ends the injected faults, and returns those that hit no request.
func (w *env) reached(api string) (missed []string) {
	w.t.Helper()
	var now struct {
		Faults []struct {
			Kind   string `json:"kind"`
			Method string `json:"method"`
			Path   string `json:"path"`
			Hits   int    `json:"hits"`
		} `json:"faults"`
	}
	w.control(api, "faults", &now)
	for _, f := range now.Faults {
		if f.Hits == 0 {
			missed = append(missed, f.Kind+" "+f.Method+" "+f.Path)
		}
	}
	w.controlRequest(api, http.MethodDelete, "faults", nil)
	return missed
}

// cloudFault is something that goes wrong at a cloud while the stack is made.
type cloudFault struct {
	name     string
	api      string
	rule     map[string]any
	resource string   // that cannot be made
	says     []string // of it
}

// cloudFaults are tried while a stack is made from nothing: each run ends at its faults, and the next goes on from
// there. None may leave a twin or an orphan.
func cloudFaults(t *testing.T, w *env) {
	r, err := w.s.Prepare(w.ctx, &bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	w.tools = r.Tools
	w.foreignRecord()
	for _, round := range beforeSubnet {
		w.round(round)
	}
	w.removeSubnet()
	for _, round := range afterSubnet {
		w.round(round)
	}
	w.heals(func() { w.killAgain(4) })
	if unexpected := w.unexpected(); len(unexpected) > 0 {
		t.Errorf("requests that the emulators do not know: %s", unexpected)
	}
	w.mustPulumi("preview", "--diff", "--expect-no-changes")
	// Six kinds at Hetzner, one of each; two records and a widget.
	if left := w.remains(); left["hetzner"] != 6 || left["cloudflare"] != 3 {
		t.Errorf("the clouds hold %v, want 6 and 3", left)
	}
}

// rule is a fault as the emulated APIs take it: pairs of a name and a value come last.
func rule(kind, method, path string, more ...any) map[string]any {
	all := map[string]any{"kind": kind, "method": method, "path": path}
	for i := 0; i+1 < len(more); i += 2 {
		all[more[i].(string)] = more[i+1]
	}
	return all
}

// What is made side by side is held back until its turn, and late: a failure that comes first ends what has not begun.
var (
	noWidget = cloudFault{api: "cloudflare", rule: rule("status", "POST", "widgets$", "status", 400, "seconds", 4)}
	noRecord = cloudFault{api: "cloudflare", rule: rule("status", "POST", "/dns_records$", "status", 400, "seconds", 4)}
	noKey    = cloudFault{api: "hetzner", rule: rule("status", "POST", "/v1/ssh_keys$", "status", 500, "seconds", 4)}
	noSubnet = cloudFault{api: "hetzner", rule: rule("status", "POST", "add_subnet$", "status", 500, "seconds", 4)}
	noServer = cloudFault{api: "hetzner", rule: rule("status", "POST", "/v1/servers$", "status", 500, "seconds", 4)}
)

// beforeSubnet are the rounds until the network has its subnet.
var beforeSubnet = [][]cloudFault{{
	{
		"Hetzner: the token is not accepted", "hetzner", rule("status", "", "", "status", 401), "",
		[]string{"HCLOUD_TOKEN"},
	},
}, {
	{
		"Cloudflare: the token is not accepted", "cloudflare", rule("status", "", "", "status", 403), "",
		[]string{"CLOUDFLARE_API_TOKEN", "Turnstile"},
	},
}, {
	{"Hetzner: the token may only read", "hetzner", rule("status", "POST", "", "status", 403, "code", "token_readonly",
		"message", "the token is read-only"), anything, []string{"HCLOUD_TOKEN", "Read & Write"}},
	noWidget,
}, {
	{"Hetzner: the quota is used up", "hetzner", rule("status", "POST", "/v1/primary_ips$", "status", 403, "code",
		"resource_limit_exceeded", "message", "primary IP limit exceeded"), "host-address", []string{"quota"}},
	{
		"Hetzner: an error of its own before a create", "hetzner", rule("status", "POST", "/v1/firewalls$", "status", 500),
		"host-firewall",
		[]string{"an error of its own"},
	},
	{
		"Hetzner: the connection is cut before a create", "hetzner", rule("drop-before", "POST", "/v1/networks$"),
		"host-network",
		[]string{"did not answer"},
	},
	{
		"Hetzner: a volume of somebody else has the name", "", nil, "host-data",
		[]string{"did not make"},
	},
	noWidget, noKey,
}, {
	{
		"Hetzner: the answer to an address's create is lost", "hetzner", rule("drop-after", "POST", "/v1/primary_ips$"),
		"host-address",
		[]string{"did not answer"},
	},
	{
		"Hetzner: what was made is not found for a while", "hetzner",
		rule("not-found-for", "POST", "/v1/firewalls$", "seconds", 2), "host-firewall", nil,
	},
	{
		"Hetzner: the answer to a network's create is lost", "hetzner", rule("drop-after", "POST", "/v1/networks$"),
		"host-network",
		[]string{"did not answer"},
	},
	{
		"Hetzner: the answer to a volume's create is lost", "hetzner", rule("drop-after", "POST", "/v1/volumes$"),
		"host-data",
		[]string{"did not answer"},
	},
	noWidget, noKey,
}, {
	{
		"Hetzner: the answer to a key's create is lost", "hetzner", rule("drop-after", "POST", "/v1/ssh_keys$"),
		"host-deploy-key",
		[]string{"did not answer"},
	},
	noWidget, noRecord, noSubnet,
}, {
	{
		"Hetzner: the answer to a subnet's create is lost", "hetzner", rule("drop-after", "POST", "add_subnet$"),
		"host-subnet",
		[]string{"did not answer"},
	},
	noWidget, noRecord, noServer,
}}

// afterSubnet are the rounds of the rest, the subnet once more among them.
var afterSubnet = [][]cloudFault{{
	{
		"Hetzner: it is made, and what became of it is not answered", "hetzner", rule("drop-before", "GET", "/v1/actions$"),
		"host-subnet",
		[]string{"did not answer"},
	},
	noWidget, noRecord, noServer,
}, {
	{
		"Cloudflare: the token may not make widgets", "cloudflare", rule("status", "POST", "widgets$", "status", 403),
		"turnstile-widget",
		[]string{"Turnstile / Edit"},
	},
	{
		"Cloudflare: the answer to a record's create is lost", "cloudflare",
		rule("drop-after", "POST", "/dns_records$", "times", 2), "dns-apex",
		[]string{"there already"},
	},
	noServer,
}, {
	{
		"Cloudflare: an error of its own", "cloudflare", rule("status", "POST", "widgets$", "status", 500),
		"turnstile-widget",
		[]string{"an error of its own"},
	},
	noServer,
}, {
	{"Hetzner: it has no server of this type", "hetzner", rule("status", "POST", "/v1/servers$", "status", 412, "code",
		"resource_unavailable", "message", "error during placement"), "host-server", []string{"host.serverType"}},
	noWidget,
}, {
	{
		"Hetzner: the answer to a server's create is lost", "hetzner", rule("drop-after", "POST", "/v1/servers$"),
		"host-server",
		[]string{"did not answer"},
	},
	noWidget,
}, {
	{
		"Hetzner: an action ends in an error", "hetzner", rule("action-error", "POST", "/actions/attach$"),
		"host-data-attachment",
		[]string{"could not do it"},
	},
	noWidget,
}, {
	{
		"Hetzner: the answer to an attachment of the volume is lost", "hetzner",
		rule("drop-after", "POST", "/actions/attach$"), "host-data-attachment",
		[]string{"did not answer"},
	},
	noWidget,
}}

// round runs an update that meets some faults at once, and tells all of them.
func (w *env) round(faults []cloudFault) {
	w.t.Helper()
	apis := map[string]int{}
	holding := 0
	for _, f := range faults {
		switch {
		case f.api == "":
			defer w.foreignVolume()()
			continue
		case f.name == "":
			holding++
		}
		w.inject(f.api, f.rule)
		apis[f.api]++
	}
	// A failure ends what has not begun, so not every run meets all of them.
	parts := map[string]string{}
	var out string
	for range 3 {
		var err error
		if out, err = w.update(); err == nil {
			w.t.Fatalf("%s: the update is reported as done:\n%s", faults[0].name, tail(out, 30))
		}
		message, missing := finalMessage("studio", out), false
		for _, f := range faults {
			if f.name == "" || parts[f.name] != "" {
				continue
			}
			if parts[f.name] = message; f.resource != "" {
				parts[f.name] = partOf(message, f.resource)
			}
			missing = missing || parts[f.name] == ""
		}
		if !missing {
			break
		}
	}
	var missed []string
	for api := range apis {
		missed = append(missed, w.reached(api)...)
	}
	if len(missed) > holding {
		w.t.Errorf("no request was hit by one of %v:\n%s", missed, tail(out, 30))
	}
	for _, f := range faults {
		if f.name == "" {
			continue
		}
		for _, want := range f.says {
			if !strings.Contains(parts[f.name], want) {
				w.t.Errorf("%s: it does not say %q of %s, but %q:\n%s", f.name, want, f.resource, parts[f.name], tail(out, 60))
			}
		}
		explains(w.t, f.name, parts[f.name], w.credentials()...)
	}
}

// anything is whatever fails first.
const anything = "a resource"

// partOf is what a message with several failures says of a resource.
func partOf(message, resource string) string {
	for _, part := range strings.Split(message, "\n  - ")[1:] {
		names, _, _ := strings.Cut(part, ": ")
		if resource == anything || slices.Contains(strings.Split(names, ", "), resource) {
			return strings.Replace(part, names, resource, 1)
		}
	}
	return ""
}

// refusedForeign runs an update that meets something of somebody else's.
func (w *env) refusedForeign(name string, says ...string) {
	w.t.Helper()
	out, err := w.update()
	message := finalMessage("studio", out)
	if err == nil {
		w.t.Errorf("%s: the update is reported as done:\n%s", name, tail(out, 30))
	}
	for _, want := range says {
		if !strings.Contains(message, want) {
			w.t.Errorf("%s: it does not say %q:\n%s", name, want, tail(out, 40))
		}
	}
	explains(w.t, name, message, w.credentials()...)
}

// foreignRecord is a name that leads elsewhere already.
func (w *env) foreignRecord() {
	w.t.Helper()
	cloud, zone := w.flare()
	record, err := cloud.CreateDNSRecord(w.ctx, zone, cloudflare.CreateDNSRecordParams{
		Type: "A",
		Name: "momentstudio.test", Content: "198.51.100.9", TTL: 300,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.refusedForeign("Cloudflare: the name leads elsewhere already", "198.51.100.9", "delete it at Cloudflare")
	if left := w.remains(); left["hetzner"] != 0 || left["cloudflare"] != 1 {
		w.t.Errorf("the clouds hold %v, want nothing but the record", left)
	}
	if err := cloud.DeleteDNSRecord(w.ctx, zone, record.ID); err != nil {
		w.t.Fatal(err)
	}
}

// foreignVolume has the name of the stack's own, until it is removed.
func (w *env) foreignVolume() (remove func()) {
	w.t.Helper()
	api := w.hetzner()
	made, _, err := api.Volume.Create(w.ctx, hcloud.VolumeCreateOpts{
		Name: "momentstudio-" + w.s.Stack + "-data", Size: 10,
		Location: &hcloud.Location{Name: "fsn1"},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return func() {
		if _, err := api.Volume.Delete(w.ctx, made.Volume); err != nil {
			w.t.Fatal(err)
		}
	}
}

// removeSubnet takes away what an update made whose answer was lost.
func (w *env) removeSubnet() {
	w.t.Helper()
	api := w.hetzner()
	networks, err := api.Network.All(w.ctx)
	if err != nil || len(networks) != 1 || len(networks[0].Subnets) != 1 {
		w.t.Fatalf("want one network with one subnet, got %+v: %v", networks, err)
	}
	done, _, err := api.Network.DeleteSubnet(w.ctx, networks[0], hcloud.NetworkDeleteSubnetOpts{
		Subnet: networks[0].Subnets[0],
	})
	if err == nil {
		err = api.Action.WaitFor(w.ctx, done)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// healing are faults that are waited out, each of one request.
var healing = []struct {
	name, api string
	rule      map[string]any
}{
	{
		"Cloudflare: the answer to a widget's create is lost", "cloudflare",
		map[string]any{"kind": "drop-after", "method": "POST", "path": "widgets$"},
	},
	{"Cloudflare: too many requests", "cloudflare", map[string]any{"kind": "status", "method": "GET", "status": 429}},
	{
		"Cloudflare: too many requests, and it says when to come back", "cloudflare",
		map[string]any{"kind": "status", "method": "GET", "status": 429, "retry_after": 2},
	},
	{
		"Cloudflare: an error of its own, which is gone in a moment", "cloudflare",
		map[string]any{"kind": "status", "method": "GET", "status": 500},
	},
	{"Hetzner: too many requests", "hetzner", map[string]any{
		"kind": "status", "method": "GET", "status": 429,
		"code": "rate_limit_exceeded", "message": "limit reached",
	}},
	{
		"Hetzner: too many requests, and it says when to come back", "hetzner",
		map[string]any{
			"kind": "status", "method": "GET", "status": 429, "code": "rate_limit_exceeded",
			"message": "limit reached", "retry_after": 2,
		},
	},
}

// heals does work that meets faults which are waited out.
func (w *env) heals(work func()) {
	w.t.Helper()
	for _, f := range healing {
		f.rule["times"] = 1
		w.inject(f.api, f.rule)
	}
	work()
	if missed := append(w.reached("cloudflare"), w.reached("hetzner")...); len(missed) > 0 {
		w.t.Errorf("no request was hit by %v", missed)
	}
}
