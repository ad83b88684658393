package hetzner_test

import (
	"net"
	"slices"
	"testing"

	"github.com/hetznercloud/hcloud-go/v2/hcloud"

	"github.com/prekzursil/momentstudio-infra/sandbox/hetzner"
)

func TestCatalogHasWhatTheProviderAsksFor(t *testing.T) {
	t.Parallel()
	p := newProject(t, hetzner.Config{})
	for _, name := range []string{"cx23", "cx33"} {
		kind := ok[*hcloud.ServerType](t)(p.client.ServerType.GetByName(p.ctx, name))
		if kind == nil || kind.Architecture != hcloud.ArchitectureX86 || kind.IsDeprecated() {
			t.Errorf("server type %s: %+v", name, kind)
		}
	}
	for _, name := range []string{"fsn1", "nbg1", "hel1"} {
		if l := ok[*hcloud.Location](t)(p.client.Location.GetByName(p.ctx, name)); l == nil || l.NetworkZone != "eu-central" {
			t.Errorf("location %s: %+v", name, l)
		}
	}
	image := ok[*hcloud.Image](t)(p.client.Image.GetByNameAndArchitecture(p.ctx, "debian-12", hcloud.ArchitectureX86))
	if image == nil || image.Status != hcloud.ImageStatusAvailable || image.IsDeprecated() {
		t.Errorf("image debian-12: %+v", image)
	}
	byID := ok[*hcloud.Image](t)(p.client.Image.GetByID(p.ctx, image.ID))
	if byID == nil || byID.Name != "debian-12" {
		t.Errorf("image by id: %+v", byID)
	}
	if dc := ok[*hcloud.Datacenter](t)(p.client.Datacenter.GetByName(p.ctx,
		"fsn1-dc14")); dc == nil || dc.Location.Name != "fsn1" {
		t.Errorf("datacenter: %+v", dc)
	}
	if prices := ok[hcloud.Pricing](t)(p.client.Pricing.Get(p.ctx)); len(prices.ServerTypes) == 0 {
		t.Error("no prices")
	}
	p.wantNothingUnexpected(t)
}

func TestEveryKindIsCreatedReadUpdatedAndDeleted(t *testing.T) {
	t.Parallel()
	r := &resources{project: newProject(t, hetzner.Config{}), labels: map[string]string{"stack": "test"}}
	r.createKey(t)
	r.createNetworkAndAddress(t)
	r.createServer(t)
	r.updateServer(t)
	r.attachNetworkAndVolume(t)
	r.deleteServer(t)
	r.deleteOthers(t)
	r.project.wantNothingUnexpected(t)
}

// resources are one resource of each kind in a project.
type resources struct {
	project  *project
	labels   map[string]string
	key      *hcloud.SSHKey
	network  *hcloud.Network
	ip       *hcloud.PrimaryIP
	firewall *hcloud.Firewall
	server   *hcloud.Server
	volume   *hcloud.Volume
}

func (r *resources) createKey(t *testing.T) {
	c, ctx := r.project.client, r.project.ctx
	key := r.project.key(t, "key", 1)
	r.key = ok[*hcloud.SSHKey](t)(c.SSHKey.Update(ctx, key, hcloud.SSHKeyUpdateOpts{Name: "key-2", Labels: r.labels}))
	if got := ok[*hcloud.SSHKey](t)(c.SSHKey.GetByFingerprint(ctx,
		r.key.Fingerprint)); got == nil || got.Name != "key-2" || got.Labels["stack"] != "test" {
		t.Errorf("key by fingerprint: %+v", got)
	}
}

func (r *resources) createNetworkAndAddress(t *testing.T) {
	p, c, ctx := r.project, r.project.client, r.project.ctx
	r.network = p.network(t, "private")
	if len(r.network.Subnets) != 1 || r.network.Subnets[0].Gateway.String() != "10.60.0.1" {
		t.Errorf("network: %+v", r.network.Subnets)
	}
	ip := p.address(t, "web")
	if ip.IP.String() != "192.0.2.10" || ip.AutoDelete || ip.Location.Name != "fsn1" {
		t.Errorf("address: %+v", ip)
	}
	p.wait(t, ok[*hcloud.Action](t)(c.RDNS.ChangeDNSPtr(ctx, ip, ip.IP, hcloud.Ptr("web.example.com"))))
	r.ip = ok[*hcloud.PrimaryIP](t)(c.PrimaryIP.GetByID(ctx, ip.ID))
	if name, err := r.ip.GetDNSPtrForIP(r.ip.IP); err != nil || name != "web.example.com" {
		t.Errorf("reverse name %q, %v", name, err)
	}
}

func (r *resources) createServer(t *testing.T) {
	p, c, ctx := r.project, r.project.client, r.project.ctx
	r.firewall = p.firewall(t, "fw")
	opts := serverOpts("web", r.ip)
	opts.SSHKeys = []*hcloud.SSHKey{r.key}
	opts.Labels = r.labels
	opts.Firewalls = []*hcloud.ServerCreateFirewall{{Firewall: *r.firewall}}
	result := ok[hcloud.ServerCreateResult](t)(c.Server.Create(ctx, opts))
	if result.Action.Status != hcloud.ActionStatusRunning || len(result.NextActions) != 1 || !result.Server.Locked {
		t.Errorf("a new server has a running action and is locked: %+v %+v", result.Action, result.NextActions)
	}
	p.wait(t, append(result.NextActions, result.Action)...)
	server := ok[*hcloud.Server](t)(c.Server.GetByName(ctx, "web"))
	switch {
	case server.Status != hcloud.ServerStatusRunning, server.Locked, server.PublicNet.IPv4.ID != r.ip.ID,
		server.PublicNet.IPv4.DNSPtr != "web.example.com", !server.PublicNet.IPv6.IsUnspecified(), server.BackupWindow != "",
		len(server.PublicNet.Firewalls) != 1:
		t.Errorf("server: %+v", server)
	}
	r.server = server
}

func (r *resources) updateServer(t *testing.T) {
	c, ctx := r.project.client, r.project.ctx
	r.server = ok[*hcloud.Server](t)(c.Server.Update(ctx, r.server, hcloud.ServerUpdateOpts{
		Name:   "web-2",
		Labels: map[string]string{"a": "b"},
	}))
	if r.server.Name != "web-2" || r.server.Labels["a"] != "b" || r.server.Labels["stack"] != "" {
		t.Errorf("updated server: %s %v", r.server.Name, r.server.Labels)
	}
}

func (r *resources) attachNetworkAndVolume(t *testing.T) {
	p, c, ctx := r.project, r.project.client, r.project.ctx
	p.wait(t, ok[*hcloud.Action](t)(c.Server.AttachToNetwork(ctx, r.server,
		hcloud.ServerAttachToNetworkOpts{Network: r.network, IP: net.ParseIP("10.60.1.5")})))
	p.wait(t, ok[*hcloud.Action](t)(c.Server.ChangeAliasIPs(ctx, r.server,
		hcloud.ServerChangeAliasIPsOpts{Network: r.network, AliasIPs: []net.IP{}})))
	volume := p.volume(t, "data")
	if volume.Status != hcloud.VolumeStatusAvailable || *volume.Format != "ext4" {
		t.Errorf("volume: %+v", volume)
	}
	p.wait(t, ok[*hcloud.Action](t)(c.Volume.AttachWithOpts(ctx, volume,
		hcloud.VolumeAttachOpts{Server: r.server, Automount: hcloud.Ptr(false)})))
	p.wait(t, ok[*hcloud.Action](t)(c.Volume.Resize(ctx, volume, 20)))
	r.volume = ok[*hcloud.Volume](t)(c.Volume.GetByID(ctx, volume.ID))
	if r.volume.Server == nil || r.volume.Server.ID != r.server.ID || r.volume.Size != 20 {
		t.Errorf("attached volume: %+v", r.volume)
	}
	r.server = ok[*hcloud.Server](t)(c.Server.GetByID(ctx, r.server.ID))
	if private := r.server.PrivateNetFor(r.network); private == nil || private.IP.String() != "10.60.1.5" ||
		private.MACAddress == "" || len(r.server.Volumes) != 1 {
		t.Errorf("private network %+v, volumes %v", private, r.server.Volumes)
	}
	actions, err := c.Server.Action.AllFor(ctx, r.server, hcloud.ActionListOpts{})
	if err != nil || !slices.ContainsFunc(actions, func(a *hcloud.Action) bool { return a.Command == "attach_volume" }) {
		t.Errorf("actions of the server: %v, %v", actions, err)
	}
}

// deleteServer shows that a server takes its attachments with it, and leaves what was there before.
func (r *resources) deleteServer(t *testing.T) {
	c, ctx := r.project.client, r.project.ctx
	deleted := ok[*hcloud.ServerDeleteResult](t)(c.Server.DeleteWithResult(ctx, r.server))
	r.project.wait(t, deleted.Action)
	if got := ok[*hcloud.Server](t)(c.Server.GetByID(ctx, r.server.ID)); got != nil {
		t.Error("the server is still there")
	}
	r.volume = ok[*hcloud.Volume](t)(c.Volume.GetByID(ctx, r.volume.ID))
	r.ip = ok[*hcloud.PrimaryIP](t)(c.PrimaryIP.GetByID(ctx, r.ip.ID))
	r.network = ok[*hcloud.Network](t)(c.Network.GetByID(ctx, r.network.ID))
	r.firewall = ok[*hcloud.Firewall](t)(c.Firewall.GetByID(ctx, r.firewall.ID))
	if r.volume.Server != nil || r.ip.AssigneeID != 0 || len(r.network.Servers) != 0 || len(r.firewall.AppliedTo) != 0 {
		t.Errorf("left over: volume on %v, address on %d, network with %v, firewall on %v", r.volume.Server,
			r.ip.AssigneeID, r.network.Servers, r.firewall.AppliedTo)
	}
}

func (r *resources) deleteOthers(t *testing.T) {
	c, ctx := r.project.client, r.project.ctx
	for _, remove := range []func() (*hcloud.Response, error){
		func() (*hcloud.Response, error) { return c.Volume.Delete(ctx, r.volume) },
		func() (*hcloud.Response, error) { return c.PrimaryIP.Delete(ctx, r.ip) },
		func() (*hcloud.Response, error) { return c.Network.Delete(ctx, r.network) },
		func() (*hcloud.Response, error) { return c.Firewall.Delete(ctx, r.firewall) },
		func() (*hcloud.Response, error) { return c.SSHKey.Delete(ctx, r.key) },
	} {
		if _, err := remove(); err != nil {
			t.Error(err)
		}
	}
	state, err := r.project.api.State()
	if err != nil || state.Resources() != 0 {
		t.Errorf("left in the project: %+v, %v", state, err)
	}
}

func TestPowerRebuildAndChangeOfType(t *testing.T) {
	t.Parallel()
	p := newProject(t, hetzner.Config{})
	c, ctx := p.client, p.ctx
	server := p.server(t, "web", p.address(t, "web"))
	status := func() hcloud.ServerStatus {
		return ok[*hcloud.Server](t)(c.Server.GetByID(ctx, server.ID)).Status
	}
	p.wait(t, ok[*hcloud.Action](t)(c.Server.Reboot(ctx, server)))
	p.wait(t, ok[*hcloud.Action](t)(c.Server.Reset(ctx, server)))
	p.wait(t, ok[*hcloud.Action](t)(c.Server.Shutdown(ctx, server)))
	if status() != hcloud.ServerStatusOff {
		t.Errorf("after a shutdown: %s", status())
	}
	p.wait(t, ok[*hcloud.Action](t)(c.Server.ChangeType(ctx, server,
		hcloud.ServerChangeTypeOpts{ServerType: &hcloud.ServerType{Name: "cx33"}, UpgradeDisk: true})))
	p.wait(t, ok[*hcloud.Action](t)(c.Server.Poweron(ctx, server)))
	if status() != hcloud.ServerStatusRunning {
		t.Errorf("after power on: %s", status())
	}
	rebuilt := ok[hcloud.ServerRebuildResult](t)(c.Server.RebuildWithResult(ctx, server,
		hcloud.ServerRebuildOpts{Image: &hcloud.Image{Name: "debian-12"}}))
	p.wait(t, rebuilt.Action)
	p.wait(t, ok[*hcloud.Action](t)(c.Server.Poweroff(ctx, server)))
	if _, _, err := c.Server.Reboot(ctx, server); !hcloud.IsError(err, hcloud.ErrorCodeConflict) {
		t.Errorf("reboot of a server that is off: %v", err)
	}
}

func TestAddressesMoveBetweenServersThatAreOff(t *testing.T) {
	t.Parallel()
	p := newProject(t, hetzner.Config{})
	c, ctx := p.client, p.ctx
	ip := p.address(t, "moving")
	first := p.server(t, "first", ip)
	_, _, err := c.PrimaryIP.Unassign(ctx, ip.ID)
	wantCode(t, err, 422, hcloud.ErrorCodeServerNotStopped)
	p.wait(t, ok[*hcloud.Action](t)(c.Server.Poweroff(ctx, first)))
	p.wait(t, ok[*hcloud.Action](t)(c.PrimaryIP.Unassign(ctx, ip.ID)))
	p.wait(t, ok[*hcloud.Action](t)(c.PrimaryIP.Assign(ctx, hcloud.PrimaryIPAssignOpts{
		ID: ip.ID, AssigneeID: first.ID,
		AssigneeType: "server",
	})))
	_, _, err = c.PrimaryIP.Assign(ctx, hcloud.PrimaryIPAssignOpts{
		ID: ip.ID, AssigneeID: first.ID,
		AssigneeType: "server",
	})
	wantCode(t, err, 409, hcloud.ErrorCodePrimaryIPAlreadyAssigned)

	// An address that was made with the server goes with it.
	second := p.server(t, "second", nil)
	made := second.PublicNet.IPv4.ID
	p.wait(t, ok[*hcloud.ServerDeleteResult](t)(c.Server.DeleteWithResult(ctx, second)).Action)
	if got := ok[*hcloud.PrimaryIP](t)(c.PrimaryIP.GetByID(ctx, made)); got != nil {
		t.Errorf("an address with auto_delete outlived its server: %+v", got)
	}
}

func TestFirewallsBySelectorMeetServersThatComeLater(t *testing.T) {
	t.Parallel()
	p := newProject(t, hetzner.Config{})
	c, ctx := p.client, p.ctx
	by := func(selector string) []hcloud.FirewallResource {
		return []hcloud.FirewallResource{{
			Type:          hcloud.FirewallResourceTypeLabelSelector,
			LabelSelector: &hcloud.FirewallResourceLabelSelector{Selector: selector},
		}}
	}
	made := ok[hcloud.FirewallCreateResult](t)(c.Firewall.Create(ctx, hcloud.FirewallCreateOpts{
		Name: "all", Rules: []hcloud.FirewallRule{rule(t, "22")}, ApplyTo: by("!absent"),
	}))
	other := ok[hcloud.FirewallCreateResult](t)(c.Firewall.Create(ctx, hcloud.FirewallCreateOpts{
		Name: "other", Rules: []hcloud.FirewallRule{rule(t, "22")}, ApplyTo: by("stack=other"),
	}))
	server := p.server(t, "web", p.address(t, "web"))
	server = ok[*hcloud.Server](t)(c.Server.GetByID(ctx, server.ID))
	if on := server.PublicNet.Firewalls; len(on) != 1 || on[0].Firewall.ID != made.Firewall.ID {
		t.Errorf("the server has firewalls %+v, want the one whose selector matches", on)
	}
	firewall := ok[*hcloud.Firewall](t)(c.Firewall.GetByID(ctx, made.Firewall.ID))
	if len(firewall.AppliedTo) != 1 || len(firewall.AppliedTo[0].AppliedToResources) != 1 {
		t.Errorf("applied to %+v", firewall.AppliedTo)
	}
	_, err := c.Firewall.Delete(ctx, firewall)
	wantCode(t, err, 409, hcloud.ErrorCodeResourceInUse)
	p.wait(t, ok[[]*hcloud.Action](t)(c.Firewall.RemoveResources(ctx, firewall, by("!absent")))...)
	p.wait(t, ok[[]*hcloud.Action](t)(c.Firewall.RemoveResources(ctx, other.Firewall, by("stack=other")))...)
	for _, f := range []*hcloud.Firewall{firewall, other.Firewall} {
		if _, err := c.Firewall.Delete(ctx, f); err != nil {
			t.Error(err)
		}
	}
	if server = ok[*hcloud.Server](t)(c.Server.GetByID(ctx, server.ID)); len(server.PublicNet.Firewalls) != 0 {
		t.Errorf("the server still has firewalls %+v", server.PublicNet.Firewalls)
	}
}

func TestFirewallRulesAndResources(t *testing.T) {
	t.Parallel()
	p := newProject(t, hetzner.Config{})
	c, ctx := p.client, p.ctx
	firewall := p.firewall(t, "fw")
	server := p.server(t, "web", p.address(t, "web"))
	on := []hcloud.FirewallResource{{
		Type:   hcloud.FirewallResourceTypeServer,
		Server: &hcloud.FirewallResourceServer{ID: server.ID},
	}}
	p.wait(t, ok[[]*hcloud.Action](t)(c.Firewall.ApplyResources(ctx, firewall, on))...)
	_, _, err := c.Firewall.ApplyResources(ctx, firewall, on)
	wantCode(t, err, 409, hcloud.ErrorCodeFirewallAlreadyApplied)
	_, err = c.Firewall.Delete(ctx, firewall)
	wantCode(t, err, 409, hcloud.ErrorCodeResourceInUse)
	p.wait(t, ok[[]*hcloud.Action](t)(c.Firewall.SetRules(ctx, firewall,
		hcloud.FirewallSetRulesOpts{Rules: []hcloud.FirewallRule{rule(t, "80-90"), rule(t, "any")}}))...)
	firewall = ok[*hcloud.Firewall](t)(c.Firewall.GetByID(ctx, firewall.ID))
	if len(firewall.Rules) != 2 || *firewall.Rules[0].Port != "80-90" || len(firewall.AppliedTo) != 1 {
		t.Errorf("firewall: %+v", firewall)
	}
	_, _, err = c.Firewall.SetRules(ctx, firewall, hcloud.FirewallSetRulesOpts{Rules: []hcloud.FirewallRule{rule(t,
		"90-80")}})
	wantCode(t, err, 422, hcloud.ErrorCodeInvalidInput)
	p.wait(t, ok[[]*hcloud.Action](t)(c.Firewall.RemoveResources(ctx, firewall, on))...)
	if server = ok[*hcloud.Server](t)(c.Server.GetByID(ctx, server.ID)); server.Locked {
		t.Error("firewall actions locked the server")
	}
	if _, err := c.Firewall.Delete(ctx, firewall); err != nil {
		t.Error(err)
	}
}
