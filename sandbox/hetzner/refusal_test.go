package hetzner_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hetznercloud/hcloud-go/v2/hcloud"

	"github.com/prekzursil/momentstudio-infra/sandbox/hetzner"
)

func TestNamesAreUniquePerKind(t *testing.T) {
	t.Parallel()
	p := newProject(t, hetzner.Config{})
	c, ctx := p.client, p.ctx
	p.key(t, "same", 1)
	p.network(t, "same")
	ip := p.address(t, "same")
	p.firewall(t, "same")
	p.volume(t, "same")
	p.server(t, "same", ip)
	for kind, create := range map[string]func() error{
		"ssh_key name": func() error {
			_, _, err := c.SSHKey.Create(ctx, hcloud.SSHKeyCreateOpts{Name: "same", PublicKey: publicKey(2)})
			return err
		},
		"ssh_key public_key": func() error {
			_, _, err := c.SSHKey.Create(ctx, hcloud.SSHKeyCreateOpts{Name: "other", PublicKey: publicKey(1)})
			return err
		},
		"network name": func() error {
			_, _, err := c.Network.Create(ctx, hcloud.NetworkCreateOpts{Name: "same", IPRange: cidr(t, "10.61.0.0/16")})
			return err
		},
		"primary_ip name": func() error {
			_, _, err := c.PrimaryIP.Create(ctx, hcloud.PrimaryIPCreateOpts{
				Name: "same", Type: "ipv4", AssigneeType: "server",
				Location: "fsn1",
			})
			return err
		},
		"firewall name": func() error {
			_, _, err := c.Firewall.Create(ctx, hcloud.FirewallCreateOpts{Name: "same"})
			return err
		},
		"volume name": func() error {
			_, _, err := c.Volume.Create(ctx, hcloud.VolumeCreateOpts{
				Name: "same", Size: 10,
				Location: &hcloud.Location{Name: "fsn1"},
			})
			return err
		},
		"server name": func() error {
			_, _, err := c.Server.Create(ctx, serverOpts("same", nil))
			return err
		},
	} {
		t.Run(kind, func(t *testing.T) {
			err := create()
			wantCode(t, err, 409, hcloud.ErrorCodeUniquenessError)
			var apiErr hcloud.Error
			field := strings.Fields(kind)[1]
			if !asError(err, &apiErr) {
				return
			}
			body, err := io.ReadAll(apiErr.Response().Body)
			if err != nil || !strings.Contains(string(body), `"name":"`+field+`"`) {
				t.Errorf("the answer does not name the field %s: %s, %v", field, body, err)
			}
		})
	}
}

func TestProtectionMustBeLiftedFirst(t *testing.T) {
	t.Parallel()
	p := newProject(t, hetzner.Config{})
	c, ctx := p.client, p.ctx
	ip := p.address(t, "web")
	server := p.server(t, "web", ip)
	volume := p.volume(t, "data")
	network := p.network(t, "private")
	protect := func(on bool) {
		p.wait(t, ok[*hcloud.Action](t)(c.Server.ChangeProtection(ctx, server,
			hcloud.ServerChangeProtectionOpts{Delete: &on, Rebuild: &on})))
		p.wait(t, ok[*hcloud.Action](t)(c.PrimaryIP.ChangeProtection(ctx,
			hcloud.PrimaryIPChangeProtectionOpts{ID: ip.ID, Delete: on})))
		p.wait(t, ok[*hcloud.Action](t)(c.Volume.ChangeProtection(ctx, volume,
			hcloud.VolumeChangeProtectionOpts{Delete: &on})))
		p.wait(t, ok[*hcloud.Action](t)(c.Network.ChangeProtection(ctx, network,
			hcloud.NetworkChangeProtectionOpts{Delete: &on})))
	}
	protect(true)
	_, _, err := c.Server.DeleteWithResult(ctx, server)
	wantCode(t, err, 423, hcloud.ErrorCodeProtected)
	_, _, err = c.Server.RebuildWithResult(ctx, server, hcloud.ServerRebuildOpts{Image: &hcloud.Image{Name: "debian-12"}})
	wantCode(t, err, 423, hcloud.ErrorCodeProtected)
	_, err = c.PrimaryIP.Delete(ctx, ip)
	wantCode(t, err, 423, hcloud.ErrorCodeProtected)
	_, err = c.Volume.Delete(ctx, volume)
	wantCode(t, err, 423, hcloud.ErrorCodeProtected)
	_, err = c.Network.Delete(ctx, network)
	wantCode(t, err, 423, hcloud.ErrorCodeProtected)
	_, _, err = c.Server.ChangeProtection(ctx, server, hcloud.ServerChangeProtectionOpts{Delete: hcloud.Ptr(false)})
	wantCode(t, err, 422, hcloud.ErrorCodeInvalidInput)
	protect(false)
	p.wait(t, ok[*hcloud.ServerDeleteResult](t)(c.Server.DeleteWithResult(ctx, server)).Action)
	if _, err := c.PrimaryIP.Delete(ctx, ip); err != nil {
		t.Error(err)
	}
}

func TestWhatIsInUseOrBusyIsRefused(t *testing.T) {
	t.Parallel()
	p := newProject(t, hetzner.Config{ActionDelay: 150 * time.Millisecond})
	c, ctx := p.client, p.ctx
	ip := p.address(t, "web")
	volume := p.volume(t, "data")
	network := p.network(t, "private")
	created := ok[hcloud.ServerCreateResult](t)(c.Server.Create(ctx, serverOpts("web", ip)))
	server := created.Server

	_, _, err := c.Volume.Attach(ctx, volume, server)
	wantCode(t, err, 423, hcloud.ErrorCodeLocked)
	_, _, err = c.Server.DeleteWithResult(ctx, server)
	wantCode(t, err, 423, hcloud.ErrorCodeLocked)
	p.wait(t, append(created.NextActions, created.Action)...)

	p.wait(t, ok[*hcloud.Action](t)(c.Volume.Attach(ctx, volume, server)))
	_, _, err = c.Volume.Attach(ctx, volume, server)
	wantCode(t, err, 409, hcloud.ErrorCodeVolumeAlreadyAttached)
	_, err = c.Volume.Delete(ctx, volume)
	wantCode(t, err, 409, hcloud.ErrorCodeResourceInUse)
	_, err = c.PrimaryIP.Delete(ctx, ip)
	wantCode(t, err, 422, hcloud.ErrorCodeServerNotStopped)
	_, _, err = c.Server.Create(ctx, serverOpts("other", ip))
	wantCode(t, err, 409, hcloud.ErrorCodePrimaryIPAssigned)
	p.wait(t, ok[*hcloud.Action](t)(c.Server.AttachToNetwork(ctx, server,
		hcloud.ServerAttachToNetworkOpts{Network: network})))
	_, _, err = c.Server.AttachToNetwork(ctx, server, hcloud.ServerAttachToNetworkOpts{Network: network})
	wantCode(t, err, 409, hcloud.ErrorCodeServerAlreadyAttached)
	_, _, err = c.Network.DeleteSubnet(ctx, network, hcloud.NetworkDeleteSubnetOpts{Subnet: network.Subnets[0]})
	wantCode(t, err, 409, hcloud.ErrorCodeServiceError)
	if err == nil || !strings.Contains(err.Error(), "servers are attached") {
		t.Errorf("the provider looks for this text: %v", err)
	}
	if _, err := c.Network.Delete(ctx, network); err != nil {
		t.Errorf("deleting a network detaches its servers: %v", err)
	}
}

func TestInputIsChecked(t *testing.T) {
	t.Parallel()
	p := newProject(t, hetzner.Config{})
	c, ctx := p.client, p.ctx
	ip := p.address(t, "web")
	broken := func(change func(*hcloud.ServerCreateOpts)) error {
		opts := serverOpts("web", ip)
		change(&opts)
		_, _, err := c.Server.Create(ctx, opts)
		return err
	}
	for field, err := range map[string]error{
		"name":        broken(func(o *hcloud.ServerCreateOpts) { o.Name = "not_a_host" }),
		"server_type": broken(func(o *hcloud.ServerCreateOpts) { o.ServerType = &hcloud.ServerType{Name: "cx1"} }),
		"image":       broken(func(o *hcloud.ServerCreateOpts) { o.Image = &hcloud.Image{Name: "debian-1"} }),
		"location":    broken(func(o *hcloud.ServerCreateOpts) { o.Location = &hcloud.Location{Name: "xyz1"} }),
		"user_data":   broken(func(o *hcloud.ServerCreateOpts) { o.UserData = strings.Repeat("x", 32<<10+1) }),
		"ssh_keys":    broken(func(o *hcloud.ServerCreateOpts) { o.SSHKeys = []*hcloud.SSHKey{{ID: 1}} }),
		"labels":      broken(func(o *hcloud.ServerCreateOpts) { o.Labels = map[string]string{"a": "b c"} }),
	} {
		wantCode(t, err, 422, hcloud.ErrorCodeInvalidInput)
		var apiErr hcloud.Error
		if !errors.As(err, &apiErr) {
			continue
		}
		details, _ := apiErr.Details.(hcloud.ErrorDetailsInvalidInput)
		if len(details.Fields) != 1 || details.Fields[0].Name != field || len(details.Fields[0].Messages) == 0 {
			t.Errorf("details for %s: %+v", field, apiErr.Details)
		}
	}
	err := broken(func(o *hcloud.ServerCreateOpts) { o.Location = &hcloud.Location{Name: "hel1"} })
	wantCode(t, err, 422, hcloud.ErrorCodePrimaryIPDatacenterMismatch)
	_, _, err = c.Volume.Create(ctx, hcloud.VolumeCreateOpts{
		Name: "small", Size: 9,
		Location: &hcloud.Location{Name: "fsn1"},
	})
	if err == nil {
		t.Error("a volume of 9 GB was accepted")
	}
	if state, _ := p.api.State(); len(state.Servers)+len(state.Volumes) != 0 || state.PrimaryIPs[0].AssigneeID != nil {
		t.Errorf("refused requests left something: %+v", state)
	}
}

func TestTokenAndUnknownThings(t *testing.T) {
	t.Parallel()
	p := newProject(t, hetzner.Config{Token: strings.Repeat("s", 64)})
	_, _, err := p.client.Server.GetByID(p.ctx, 1)
	wantCode(t, err, 401, hcloud.ErrorCodeUnauthorized)
	good := newClient(p.url, strings.Repeat("s", 64))
	if got, _, err := good.Server.GetByID(p.ctx, 1); got != nil || err != nil {
		t.Errorf("unknown server: %v, %v", got, err)
	}
	_, err = good.Server.Delete(p.ctx, &hcloud.Server{ID: 1}) //nolint:staticcheck // the plain error is wanted
	wantCode(t, err, 404, hcloud.ErrorCodeNotFound)
	if len(p.api.Unexpected()) != 0 {
		t.Errorf("unexpected: %v", p.api.Unexpected())
	}
	if _, _, err := good.FloatingIP.GetByID(p.ctx, 1); err == nil {
		t.Error("a request that is not emulated was answered")
	}
	if got := p.api.Unexpected(); len(got) != 1 || got[0].Path != "/v1/floating_ips/1" ||
		got[0].Status != http.StatusNotImplemented {
		t.Errorf("unexpected requests: %+v", got)
	}
}

func TestListsHavePagesAndSelectors(t *testing.T) {
	t.Parallel()
	p := newProject(t, hetzner.Config{})
	c, ctx := p.client, p.ctx
	for i := range 60 {
		ok[*hcloud.Firewall](t)(func() (*hcloud.Firewall, *hcloud.Response, error) {
			result, response, err := c.Firewall.Create(ctx, hcloud.FirewallCreateOpts{
				Name: fmt.Sprintf("fw-%02d", i), Labels: map[string]string{"half": fmt.Sprint(i % 2), fmt.Sprintf("n%d", i%3): ""},
			})
			return result.Firewall, response, err
		}())
	}
	all, err := c.Firewall.All(ctx)
	if err != nil || len(all) != 60 {
		t.Errorf("%d of 60 firewalls, %v", len(all), err)
	}
	_, response, err := c.Firewall.List(ctx, hcloud.FirewallListOpts{ListOpts: hcloud.ListOpts{Page: 2, PerPage: 25}})
	if err != nil {
		t.Fatal(err)
	}
	if got := response.Meta.Pagination; got.LastPage != 3 || got.NextPage != 3 || got.PreviousPage != 1 ||
		got.TotalEntries != 60 {
		t.Errorf("pagination: %+v", got)
	}
	if response.Meta.Ratelimit.Limit != 3600 || response.Meta.Ratelimit.Remaining >= 3600 {
		t.Errorf("rate limit: %+v", response.Meta.Ratelimit)
	}
	for selector, want := range map[string]int{
		"half=1": 30, "half==1": 30, "half!=1": 30, "n0": 20, "!n0": 40, "half in (0,1)": 60, "half notin (0)": 30,
		"half=0,n0": 10, "half=7": 0,
	} {
		found, err := c.Firewall.AllWithOpts(ctx, hcloud.FirewallListOpts{ListOpts: hcloud.ListOpts{LabelSelector: selector}})
		if err != nil || len(found) != want {
			t.Errorf("selector %s: %d found, want %d, %v", selector, len(found), want, err)
		}
	}
}
