// Package update brings a stack to its config: it recovers from a killed run, updates, and verifies.
package update

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/cloudflare/cloudflare-go"
	"github.com/hetznercloud/hcloud-go/v2/hcloud"

	"github.com/prekzursil/momentstudio-infra/internal/clouds"
	"github.com/prekzursil/momentstudio-infra/internal/config"
	"github.com/prekzursil/momentstudio-infra/internal/engine"
	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
	"github.com/prekzursil/momentstudio-infra/internal/naming"
	"github.com/prekzursil/momentstudio-infra/internal/recovery"
	"github.com/prekzursil/momentstudio-infra/internal/resourcetype"
	"github.com/prekzursil/momentstudio-infra/internal/sshallow"
)

// inventory is what exists and bears the stack's name, and of which types it was asked for.
type inventory struct {
	things []recovery.Thing
	asked  []string
}

func (i *inventory) add(kind, id, key string) {
	i.things = append(i.things, recovery.Thing{Type: kind, ID: id, Key: key})
}

// takeInventory asks both clouds and, when there is one that answers, the host.
func takeInventory(ctx context.Context, c engine.Stack, wanted config.Config,
	host *hostspec.HostReport,
) (inventory, error) {
	var i inventory
	if err := inventoryHetzner(ctx, c, &i); err != nil {
		return i, clouds.Explain("hcloud:", "ask Hetzner what there is of the stack", err)
	}
	if wanted.Kind != config.Drill { // which has nothing there, and no token
		if err := inventoryCloudflare(ctx, wanted, &i); err != nil {
			return i, clouds.Explain("cloudflare:", "ask Cloudflare what there is of the stack", err)
		}
	}
	if host != nil {
		inventoryHost(*host, &i)
	}
	return i, nil
}

// inventoryHetzner lists what carries the stack's label.
func inventoryHetzner(ctx context.Context, c engine.Stack, i *inventory) error {
	api, err := clouds.Hetzner(c)
	if err != nil {
		return err
	}
	list := hcloud.ListOpts{LabelSelector: "managed-by=" + naming.Labels("", "")["managed-by"] + ",stack=" + c.Name +
		",component!=" + sshallow.Component}
	id := func(n int64) string { return fmt.Sprint(n) }
	keys, err := api.SSHKey.AllWithOpts(ctx, hcloud.SSHKeyListOpts{ListOpts: list})
	if err != nil {
		return err
	}
	for _, k := range keys {
		i.add(resourcetype.SSHKey, id(k.ID), k.Name)
	}
	networks, err := api.Network.AllWithOpts(ctx, hcloud.NetworkListOpts{ListOpts: list})
	if err != nil {
		return err
	}
	for _, n := range networks {
		i.add(resourcetype.Network, id(n.ID), n.Name)
		for _, s := range n.Subnets {
			joined := id(n.ID) + "-" + s.IPRange.String()
			i.add(resourcetype.Subnet, joined, joined)
		}
	}
	firewalls, err := api.Firewall.AllWithOpts(ctx, hcloud.FirewallListOpts{ListOpts: list})
	if err != nil {
		return err
	}
	for _, f := range firewalls {
		i.add(resourcetype.Firewall, id(f.ID), f.Name)
	}
	addresses, err := api.PrimaryIP.AllWithOpts(ctx, hcloud.PrimaryIPListOpts{ListOpts: list})
	if err != nil {
		return err
	}
	for _, a := range addresses {
		i.add(resourcetype.PrimaryIP, id(a.ID), a.Name)
	}
	volumes, err := api.Volume.AllWithOpts(ctx, hcloud.VolumeListOpts{ListOpts: list})
	if err != nil {
		return err
	}
	for _, v := range volumes {
		i.add(resourcetype.Volume, id(v.ID), v.Name)
		if v.Server != nil {
			i.add(resourcetype.VolumeAttachment, id(v.ID), id(v.ID)+"-"+id(v.Server.ID))
		}
	}
	servers, err := api.Server.AllWithOpts(ctx, hcloud.ServerListOpts{ListOpts: list})
	if err != nil {
		return err
	}
	for _, s := range servers {
		i.add(resourcetype.Server, id(s.ID), s.Name)
		for _, n := range s.PrivateNet {
			joined := id(s.ID) + "-" + id(n.Network.ID)
			i.add(resourcetype.ServerNetwork, joined, joined)
		}
	}
	i.asked = append(i.asked, resourcetype.SSHKey, resourcetype.Network, resourcetype.Subnet, resourcetype.Firewall,
		resourcetype.PrimaryIP,
		resourcetype.Volume, resourcetype.VolumeAttachment, resourcetype.Server, resourcetype.ServerNetwork)
	return nil
}

// existsAtHetzner asks for a resource by its ID. Of what joins two it asks nothing: the lists have those of their own.
func existsAtHetzner(ctx context.Context, c engine.Stack, r recovery.Recorded) (bool, error) {
	api, err := clouds.Hetzner(c)
	if err != nil {
		return false, err
	}
	id, err := strconv.ParseInt(r.ID, 10, 64)
	if err != nil {
		return false, nil //nolint:nilerr // an ID of two parts
	}
	switch r.Type {
	case resourcetype.SSHKey:
		found, _, err := api.SSHKey.GetByID(ctx, id)
		return found != nil, err
	case resourcetype.Network:
		found, _, err := api.Network.GetByID(ctx, id)
		return found != nil, err
	case resourcetype.Firewall:
		found, _, err := api.Firewall.GetByID(ctx, id)
		return found != nil, err
	case resourcetype.PrimaryIP:
		found, _, err := api.PrimaryIP.GetByID(ctx, id)
		return found != nil, err
	case resourcetype.Volume:
		found, _, err := api.Volume.GetByID(ctx, id)
		return found != nil, err
	case resourcetype.Server:
		found, _, err := api.Server.GetByID(ctx, id)
		return found != nil, err
	}
	return false, nil
}

// existsAtCloudflare is the same for records and widgets.
func existsAtCloudflare(ctx context.Context, wanted config.Config, r recovery.Recorded) (bool, error) {
	api, err := clouds.Cloudflare(wanted)
	if err != nil {
		return false, err
	}
	if r.Type == resourcetype.Widget {
		_, err = api.GetTurnstileWidget(ctx, cloudflare.AccountIdentifier(wanted.Turnstile.AccountID), r.ID)
	} else {
		_, err = api.GetDNSRecord(ctx, cloudflare.ZoneIdentifier(wanted.DNS.ZoneID), r.ID)
	}
	var missing *cloudflare.NotFoundError
	if errors.As(err, &missing) {
		return false, nil
	}
	return err == nil, err
}

// inventoryCloudflare lists the records of the stack's names that lead somewhere, and the widgets that are called as
// its own: Cloudflare lets two have one name.
func inventoryCloudflare(ctx context.Context, wanted config.Config, i *inventory) error {
	api, err := clouds.Cloudflare(wanted)
	if err != nil {
		return err
	}
	for _, name := range wanted.Domain.Names() {
		records, _, err := api.ListDNSRecords(ctx, cloudflare.ZoneIdentifier(wanted.DNS.ZoneID),
			cloudflare.ListDNSRecordsParams{Name: name})
		if err != nil {
			return err
		}
		for _, r := range records {
			switch r.Type {
			case "A", "AAAA", "CNAME":
				i.things = append(i.things, recovery.Thing{Type: resourcetype.Record, ID: r.ID, Key: r.Name, Content: r.Content})
			}
		}
	}
	i.asked = append(i.asked, resourcetype.Record)
	if !wanted.Turnstile.Enabled {
		return nil
	}
	widgets, _, err := api.ListTurnstileWidgets(ctx, cloudflare.AccountIdentifier(wanted.Turnstile.AccountID),
		cloudflare.ListTurnstileWidgetParams{})
	if err != nil {
		return err
	}
	for _, w := range widgets {
		if w.Name == naming.Physical(wanted.Stack, "turnstile") {
			t := recovery.Thing{Type: resourcetype.Widget, ID: w.SiteKey, Key: w.Name}
			if w.CreatedOn != nil {
				t.Created = *w.CreatedOn
			}
			i.things = append(i.things, t)
		}
	}
	i.asked = append(i.asked, resourcetype.Widget)
	return nil
}

// inventoryHost lists what lives on the host, by its report.
func inventoryHost(host hostspec.HostReport, i *inventory) {
	for kind, all := range map[string][]hostspec.Object{
		resourcetype.DockerSecret: host.Secrets, resourcetype.DockerNetwork: host.Networks,
		resourcetype.DockerContainer: host.Containers,
	} {
		for _, o := range all {
			if !o.Foreign {
				i.add(kind, o.ID, o.Name)
			}
		}
	}
	for _, s := range host.Services {
		i.add(resourcetype.DockerService, s.ID, s.Name)
	}
	// services have readDrifted, jobs are records of the past
	i.asked = append(i.asked, resourcetype.DockerSecret, resourcetype.DockerNetwork)
}
