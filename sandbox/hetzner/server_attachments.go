package hetzner

import (
	"context"
	"net/netip"
	"slices"

	"github.com/hetznercloud/hcloud-go/v2/hcloud/schema"
)

func (a *API) firewallsOf(body *schema.ServerCreateRequest) ([]*schema.Firewall, error) {
	var found []*schema.Firewall
	if len(body.Firewalls) > 5 {
		return nil, invalid("firewalls", "at most 5 firewalls")
	}
	for _, wanted := range body.Firewalls {
		f := a.state.Firewalls[wanted.Firewall]
		if f == nil {
			return nil, invalid("firewalls", "firewall %d does not exist", wanted.Firewall)
		}
		found = append(found, f)
	}
	if len(found) > 0 && body.PublicNet != nil && !body.PublicNet.EnableIPv4 && !body.PublicNet.EnableIPv6 {
		return nil, unprocessable("private_net_only_server", "a server without a public network cannot have a firewall")
	}
	return found, nil
}

// addressesOf finds the addresses of a new server; one with id 0 has to be made.
func (a *API) addressesOf(body *schema.ServerCreateRequest, location schema.Location) (map[string]*schema.PrimaryIP,
	error,
) {
	public := body.PublicNet
	if public == nil {
		public = &schema.ServerCreatePublicNet{EnableIPv4: true, EnableIPv6: true}
	}
	found := map[string]*schema.PrimaryIP{}
	pick := func(version string, enabled bool, id int64) error {
		if !enabled {
			if id != 0 {
				return invalid("public_net", "%s is given but not enabled", version)
			}
			return nil
		}
		if id == 0 {
			if version == "ipv4" {
				if _, err := a.freePublicIPv4(); err != nil {
					return err
				}
			}
			found[version] = &schema.PrimaryIP{}
			return checkName(a, primaryIPs, "primary_ip-"+body.Name+"-"+version)
		}
		p := a.state.PrimaryIPs[id]
		switch {
		case p == nil:
			return invalid("public_net", "primary IP %d does not exist", id)
		case p.Type != version:
			return unprocessable("primary_ip_version_mismatch", "primary IP %d is not %s", id, version)
		case p.AssigneeID != nil:
			return conflict("primary_ip_assigned", "primary IP %d is already assigned to server %d", id, *p.AssigneeID)
		case p.Location.Name != location.Name:
			return unprocessable("primary_ip_datacenter_mismatch", "primary IP %d is in %s, the server in %s", id,
				p.Location.Name, location.Name)
		}
		found[version] = p
		return nil
	}
	if err := pick("ipv4", public.EnableIPv4, public.IPv4ID); err != nil {
		return nil, err
	}
	return found, pick("ipv6", public.EnableIPv6, public.IPv6ID)
}

// attachmentsOf checks volumes and networks of a new server and returns the
// steps that attach them, to be called when the server has its id.
func (a *API) attachmentsOf(body *schema.ServerCreateRequest, srv *server) ([]func() *task, error) {
	var steps []func() *task
	for _, id := range body.Volumes {
		v := a.state.Volumes[id]
		if v == nil {
			return nil, invalid("volumes", "volume %d does not exist", id)
		}
		if err := attachable(v, srv); err != nil {
			return nil, err
		}
		steps = append(steps, func() *task { return a.attachTask(v, srv) })
	}
	for _, id := range body.Networks {
		n := a.state.Networks[id]
		if n == nil {
			return nil, invalid("networks", "network %d does not exist", id)
		}
		ip, err := a.freeAddress(n, "")
		if err != nil {
			return nil, err
		}
		steps = append(steps, func() *task { return a.networkTask(n, srv, ip, nil) })
	}
	return steps, nil
}

// forgetServer frees what belonged to a server that is gone: volumes and
// addresses stay, addresses that say so go with it.
func (a *API) forgetServer(srv *server) {
	for _, v := range a.state.Volumes {
		if v.Server != nil && *v.Server == srv.ID {
			v.Server = nil
		}
	}
	for id, p := range a.state.PrimaryIPs {
		if p.AssigneeID == nil || *p.AssigneeID != srv.ID {
			continue
		}
		a.unlink(p, srv)
		if p.AutoDelete {
			delete(a.state.PrimaryIPs, id)
		}
	}
	for _, n := range a.state.Networks {
		n.Servers = slices.DeleteFunc(n.Servers, func(id int64) bool { return id == srv.ID })
	}
	for _, f := range a.state.Firewalls {
		removeFrom(f, srv)
	}
	delete(a.state.Servers, srv.ID)
}

func (a *API) networkTask(n *schema.Network, srv *server, ip netip.Addr, aliases []string) *task {
	srv.PrivateNet = append(srv.PrivateNet, schema.ServerPrivateNet{
		Network: n.ID, IP: ip.String(),
		AliasIPs: append([]string{}, aliases...),
	})
	n.Servers = append(n.Servers, srv.ID)
	target := Network{ID: n.ID, Range: netip.MustParsePrefix(n.IPRange)}
	var mac string
	return &task{
		command: "attach_to_network", resources: append(refs("server", srv.ID), ref("network", n.ID)),
		run: func(ctx context.Context) (err error) {
			mac, err = a.machines.AttachNetwork(ctx, srv.ID, target, ip)
			return err
		},
		done: func(err error) {
			if err != nil {
				a.leaveNetwork(n, srv)
			} else if private := privateNet(srv, n.ID); private != nil {
				private.MACAddress = mac
			}
		},
	}
}

func (a *API) leaveNetwork(n *schema.Network, srv *server) {
	srv.PrivateNet = slices.DeleteFunc(srv.PrivateNet, func(p schema.ServerPrivateNet) bool { return p.Network == n.ID })
	n.Servers = slices.DeleteFunc(n.Servers, func(id int64) bool { return id == srv.ID })
}
