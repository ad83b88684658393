package hetzner

import (
	"context"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"github.com/hetznercloud/hcloud-go/v2/hcloud/schema"
)

var networks = kind[schema.Network]{
	"network", "networks",
	func(s *state) map[int64]*schema.Network { return s.Networks },
	func(n *schema.Network) fields { return fields{n.ID, &n.Name, &n.Labels} },
}

func (a *API) networkRoutes() map[string]handler {
	return map[string]handler{
		"GET /v1/networks":      list(a, networks, nil),
		"GET /v1/networks/{id}": show(a, networks),
		"PUT /v1/networks/{id}": update(a, networks, func(q *request, n *schema.Network) error {
			var body schema.NetworkUpdateRequest
			if err := q.decode(&body); err != nil {
				return err
			}
			if body.ExposeRoutesToVSwitch != nil {
				n.ExposeRoutesToVSwitch = *body.ExposeRoutesToVSwitch
			}
			return nil
		}),
		"POST /v1/networks":                                a.createNetwork,
		"DELETE /v1/networks/{id}":                         a.deleteNetwork,
		"POST /v1/networks/{id}/actions/add_subnet":        a.addSubnet,
		"POST /v1/networks/{id}/actions/delete_subnet":     a.deleteSubnet,
		"POST /v1/networks/{id}/actions/change_ip_range":   a.changeIPRange,
		"POST /v1/networks/{id}/actions/change_protection": a.changeNetworkProtection,
	}
}

func (a *API) createNetwork(q *request) (int, any, error) {
	var body schema.NetworkCreateRequest
	if err := q.decode(&body); err != nil {
		return 0, nil, err
	}
	labels, err := labelsOf(body.Labels)
	if err != nil {
		return 0, nil, err
	}
	if err := checkName(a, networks, body.Name); err != nil {
		return 0, nil, err
	}
	if _, err := privateRange("ip_range", body.IPRange, 24); err != nil {
		return 0, nil, err
	}
	if len(body.Routes) > 0 {
		return 0, nil, unsupported("routes of networks")
	}
	n := &schema.Network{
		ID: a.state.nextID(), Name: body.Name, Created: time.Now().UTC(), IPRange: body.IPRange,
		Subnets: []schema.NetworkSubnet{},
		Routes:  []schema.NetworkRoute{}, Servers: []int64{}, LoadBalancers: []int64{}, Labels: labels,
		ExposeRoutesToVSwitch: body.ExposeRoutesToVSwitch,
	}
	for _, s := range body.Subnets {
		if err := a.putSubnet(n, s); err != nil {
			return 0, nil, err
		}
	}
	created(a, networks, q, n)
	return http.StatusCreated, schema.NetworkCreateResponse{Network: *n}, nil
}

// privateRange checks a range of RFC 1918 of at least the given size.
func privateRange(field, text string, bits int) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(text)
	if err != nil || !p.Addr().Is4() || p.Masked() != p || !p.Addr().IsPrivate() {
		return p, invalid(field, "%q is not a private IPv4 range", text)
	}
	if p.Bits() > bits {
		return p, invalid(field, "%q is smaller than /%d", text, bits)
	}
	return p, nil
}

// putSubnet adds a subnet after checking it. Its gateway is the first address
// of the network, as in the real one.
func (a *API) putSubnet(n *schema.Network, s schema.NetworkSubnet) error {
	p, err := privateRange("ip_range", s.IPRange, 30)
	if err != nil {
		return err
	}
	if s.Type != "cloud" && s.Type != "server" {
		return unsupported("subnets of type " + s.Type)
	}
	if s.NetworkZone != "eu-central" {
		return invalid("network_zone", "%q is not a network zone of the sandbox (eu-central)", s.NetworkZone)
	}
	whole := netip.MustParsePrefix(n.IPRange)
	if !whole.Contains(p.Addr()) || p.Bits() < whole.Bits() {
		return invalid("ip_range", "%s is not inside the network's range %s", p, whole)
	}
	for _, other := range n.Subnets {
		if netip.MustParsePrefix(other.IPRange).Overlaps(p) {
			return invalid("ip_range", "%s overlaps with subnet %s", p, other.IPRange)
		}
	}
	s.Gateway = whole.Addr().Next().String()
	n.Subnets = append(n.Subnets, s)
	return nil
}

func (a *API) addSubnet(q *request) (int, any, error) {
	n, err := find(a, networks, q)
	if err != nil {
		return 0, nil, err
	}
	var body schema.NetworkActionAddSubnetRequest
	if err := q.decode(&body); err != nil {
		return 0, nil, err
	}
	if err := a.putSubnet(n, schema.NetworkSubnet{
		Type: body.Type, IPRange: body.IPRange,
		NetworkZone: body.NetworkZone,
	}); err != nil {
		return 0, nil, err
	}
	return a.started(q, &task{command: "add_subnet", resources: refs("network", n.ID)})
}

func (a *API) deleteSubnet(q *request) (int, any, error) {
	n, err := find(a, networks, q)
	if err != nil {
		return 0, nil, err
	}
	var body schema.NetworkActionDeleteSubnetRequest
	if err := q.decode(&body); err != nil {
		return 0, nil, err
	}
	i := slices.IndexFunc(n.Subnets, func(s schema.NetworkSubnet) bool { return s.IPRange == body.IPRange })
	if i < 0 {
		return 0, nil, notFound("subnet", body.IPRange)
	}
	subnet := netip.MustParsePrefix(body.IPRange)
	for _, id := range n.Servers {
		if private := privateNet(a.state.Servers[id], n.ID); private != nil &&
			subnet.Contains(netip.MustParseAddr(private.IP)) {
			// The provider retries on this very code and text.
			return 0, nil, conflict("service_error", "cannot remove subnet because servers are attached to it")
		}
	}
	n.Subnets = slices.Delete(n.Subnets, i, i+1)
	return a.started(q, &task{command: "delete_subnet", resources: refs("network", n.ID)})
}

func (a *API) changeIPRange(q *request) (int, any, error) {
	n, err := find(a, networks, q)
	if err != nil {
		return 0, nil, err
	}
	var body schema.NetworkActionChangeIPRangeRequest
	if err := q.decode(&body); err != nil {
		return 0, nil, err
	}
	p, err := privateRange("ip_range", body.IPRange, 24)
	if err != nil {
		return 0, nil, err
	}
	if old := netip.MustParsePrefix(n.IPRange); !p.Contains(old.Addr()) || p.Bits() > old.Bits() {
		return 0, nil, invalid("ip_range", "a network can only be made larger; %s does not hold %s", p, old)
	}
	if len(n.Servers) > 0 {
		return 0, nil, unsupported("a change of the range of a network with servers")
	}
	n.IPRange = body.IPRange
	return a.started(q, &task{
		command: "change_ip_range", resources: refs("network", n.ID),
		// It is made anew, with the larger range, for its next server.
		run: func(ctx context.Context) error { return a.machines.DeleteNetwork(ctx, n.ID) },
	})
}

func (a *API) changeNetworkProtection(q *request) (int, any, error) {
	n, err := find(a, networks, q)
	if err != nil {
		return 0, nil, err
	}
	var body schema.NetworkActionChangeProtectionRequest
	if err := q.decode(&body); err != nil {
		return 0, nil, err
	}
	if body.Delete != nil {
		n.Protection.Delete = *body.Delete
	}
	return a.started(q, &task{command: "change_protection", resources: refs("network", n.ID)})
}

// deleteNetwork detaches the servers that are still in the network, as the real
// API does.
func (a *API) deleteNetwork(q *request) (int, any, error) {
	n, err := find(a, networks, q)
	if err != nil {
		return 0, nil, err
	}
	if n.Protection.Delete {
		return 0, nil, protected("network")
	}
	for _, id := range n.Servers {
		if srv := a.state.Servers[id]; srv != nil && srv.Locked {
			return 0, nil, locked("network")
		}
	}
	servers := n.Servers
	for _, id := range servers {
		if srv := a.state.Servers[id]; srv != nil {
			srv.PrivateNet = slices.DeleteFunc(srv.PrivateNet, func(p schema.ServerPrivateNet) bool { return p.Network == n.ID })
		}
	}
	delete(a.state.Networks, n.ID)
	a.begin(q, &task{
		command: "delete_network", resources: refs("network", n.ID),
		run: func(ctx context.Context) error {
			for _, id := range servers {
				if err := a.machines.DetachNetwork(ctx, id, n.ID); err != nil {
					return err
				}
			}
			return a.machines.DeleteNetwork(ctx, n.ID)
		},
	})
	return http.StatusNoContent, nil, nil
}

func privateNet(srv *server, network int64) *schema.ServerPrivateNet {
	if srv == nil {
		return nil
	}
	for i := range srv.PrivateNet {
		if srv.PrivateNet[i].Network == network {
			return &srv.PrivateNet[i]
		}
	}
	return nil
}

// freeAddress finds the address of a server in a network: the wanted one, or
// the first free one of its subnets. The first address of the network is its
// gateway's.
func (a *API) freeAddress(n *schema.Network, wanted string) (netip.Addr, error) {
	taken := map[netip.Addr]bool{netip.MustParsePrefix(n.IPRange).Addr().Next(): true}
	for _, id := range n.Servers {
		if private := privateNet(a.state.Servers[id], n.ID); private != nil {
			taken[netip.MustParseAddr(private.IP)] = true
		}
	}
	if wanted != "" {
		ip, err := netip.ParseAddr(wanted)
		if err != nil {
			return ip, invalid("ip", "%q is not an address", wanted)
		}
		inside := slices.ContainsFunc(n.Subnets, func(s schema.NetworkSubnet) bool {
			p := netip.MustParsePrefix(s.IPRange)
			return p.Contains(ip) && p.Addr() != ip
		})
		if !inside {
			return ip, invalid("ip", "%s is in no subnet of the network", ip)
		}
		if taken[ip] {
			return ip, conflict("ip_not_available", "IP %s is not available", ip)
		}
		return ip, nil
	}
	for _, s := range n.Subnets {
		p := netip.MustParsePrefix(s.IPRange)
		for ip := p.Addr().Next().Next(); p.Contains(ip.Next()); ip = ip.Next() {
			if !taken[ip] {
				return ip, nil
			}
		}
	}
	return netip.Addr{}, conflict("no_subnet_available", "no subnet with a free address in network %d", n.ID)
}

func refs(kind string, id int64) []schema.ActionResourceReference {
	return []schema.ActionResourceReference{ref(kind, id)}
}

// started answers with an action.
func (a *API) started(q *request, t *task) (int, any, error) {
	return http.StatusCreated, schema.ActionGetResponse{Action: a.begin(q, t)}, nil
}
