package hetzner

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/hetznercloud/hcloud-go/v2/hcloud/schema"
)

var primaryIPs = kind[schema.PrimaryIP]{
	"primary_ip", "primary_ips",
	func(s *state) map[int64]*schema.PrimaryIP { return s.PrimaryIPs },
	func(p *schema.PrimaryIP) fields { return fields{p.ID, &p.Name, &p.Labels} },
}

func (a *API) primaryIPRoutes() map[string]handler {
	return map[string]handler{
		"GET /v1/primary_ips": list(a, primaryIPs, func(q *request,
			p *schema.PrimaryIP,
		) bool {
			return among(q, "ip", p.IP)
		}),
		"GET /v1/primary_ips/{id}": show(a, primaryIPs),
		"PUT /v1/primary_ips/{id}": update(a, primaryIPs, func(q *request, p *schema.PrimaryIP) error {
			var body schema.PrimaryIPUpdateRequest
			if err := q.decode(&body); err != nil {
				return err
			}
			if body.AutoDelete != nil {
				p.AutoDelete = *body.AutoDelete
			}
			return nil
		}),
		"POST /v1/primary_ips":                                a.createPrimaryIP,
		"DELETE /v1/primary_ips/{id}":                         a.deletePrimaryIP,
		"POST /v1/primary_ips/{id}/actions/assign":            a.assignPrimaryIP,
		"POST /v1/primary_ips/{id}/actions/unassign":          a.unassignPrimaryIP,
		"POST /v1/primary_ips/{id}/actions/change_protection": a.changePrimaryIPProtection,
		"POST /v1/primary_ips/{id}/actions/change_dns_ptr":    a.changePrimaryIPDNSPtr,
	}
}

func (a *API) createPrimaryIP(q *request) (int, any, error) {
	var body schema.PrimaryIPCreateRequest
	if err := q.decode(&body); err != nil {
		return 0, nil, err
	}
	labels, err := labelsOf(body.Labels)
	if err != nil {
		return 0, nil, err
	}
	if err := checkName(a, primaryIPs, body.Name); err != nil {
		return 0, nil, err
	}
	if body.Datacenter != "" {
		return 0, nil, datacenterGone()
	}
	if body.AssigneeType != "server" {
		return 0, nil, invalid("assignee_type", "must be server")
	}
	location, ok := locationNamed(body.Location)
	var srv *server
	if body.AssigneeID != nil {
		if srv = a.state.Servers[*body.AssigneeID]; srv == nil {
			return 0, nil, invalid("assignee_id", "server %d does not exist", *body.AssigneeID)
		}
		if err := assignable(srv, body.Type); err != nil {
			return 0, nil, err
		}
		location, ok = srv.Location, true
	}
	if !ok {
		return 0, nil, invalid("location", "%q is not a location", body.Location)
	}
	p, err := a.newPrimaryIP(body.Name, body.Type, location, labels)
	if err != nil {
		return 0, nil, err
	}
	p.AutoDelete = body.AutoDelete != nil && *body.AutoDelete
	created(a, primaryIPs, q, p)
	answer := map[string]any{"primary_ip": p, "action": nil}
	if srv != nil {
		a.link(p, srv)
		answer["action"] = a.begin(q, a.addressTask("assign_primary_ip", p, srv))
	}
	return http.StatusCreated, answer, nil
}

func (a *API) newPrimaryIP(name, version string, location schema.Location, labels map[string]string) (*schema.PrimaryIP,
	error,
) {
	p := &schema.PrimaryIP{
		Name: name, Type: version, Location: location, Labels: labels, AssigneeType: "server",
		Created: time.Now().UTC(), DNSPtr: []schema.PrimaryIPDNSPTR{},
	}
	switch version {
	case "ipv4":
		ip, err := a.freePublicIPv4()
		if err != nil {
			return nil, err
		}
		p.IP = ip.String()
		p.DNSPtr = []schema.PrimaryIPDNSPTR{{IP: p.IP, DNSPtr: defaultPtr(p.IP)}}
	case "ipv6":
		p.IP = fmt.Sprintf("2001:db8:%x:%x::/64", a.state.LastID>>16, a.state.LastID&0xffff)
	default:
		return nil, invalid("type", "must be ipv4 or ipv6")
	}
	p.ID = a.state.nextID()
	return p, nil
}

func defaultPtr(ip string) string {
	return "static." + strings.ReplaceAll(ip, ".", "-") + ".clients.example"
}

// freePublicIPv4 skips the first nine addresses: the first is the way out, the
// others are for services of the sandbox.
func (a *API) freePublicIPv4() (netip.Addr, error) {
	taken := map[string]bool{}
	for _, p := range a.state.PrimaryIPs {
		taken[p.IP] = true
	}
	ip := a.config.Pool.Masked().Addr()
	for range 10 {
		ip = ip.Next()
	}
	for ; a.config.Pool.Contains(ip.Next()); ip = ip.Next() {
		if !taken[ip.String()] {
			return ip, nil
		}
	}
	return ip, conflict("resource_unavailable", "no free address in %s", a.config.Pool)
}

func assignable(srv *server, version string) error {
	switch {
	case srv.Locked:
		return locked("server")
	case srv.Status != "off":
		return unprocessable("server_not_stopped", "server %d must be off", srv.ID)
	case version == "ipv4" && srv.PublicNet.IPv4.ID != 0:
		return conflict("server_has_ipv4", "server %d already has an IPv4 address", srv.ID)
	case version == "ipv6" && srv.PublicNet.IPv6.ID != 0:
		return conflict("server_has_ipv6", "server %d already has an IPv6 network", srv.ID)
	}
	return nil
}

// link records that an address belongs to a server.
func (a *API) link(p *schema.PrimaryIP, srv *server) {
	id := srv.ID
	p.AssigneeID = &id
	if p.Type == "ipv6" {
		srv.PublicNet.IPv6 = schema.ServerPublicNetIPv6{ID: p.ID, IP: p.IP, DNSPtr: []schema.ServerPublicNetIPv6DNSPtr{}}
		return
	}
	srv.PublicNet.IPv4 = schema.ServerPublicNetIPv4{ID: p.ID, IP: p.IP, DNSPtr: p.DNSPtr[0].DNSPtr}
}

func (a *API) unlink(p *schema.PrimaryIP, srv *server) {
	p.AssigneeID = nil
	if p.Type == "ipv6" {
		srv.PublicNet.IPv6 = schema.ServerPublicNetIPv6{DNSPtr: []schema.ServerPublicNetIPv6DNSPtr{}}
		return
	}
	srv.PublicNet.IPv4 = schema.ServerPublicNetIPv4{}
}

// addressTask gives the machine the address that its record has now.
func (a *API) addressTask(command string, p *schema.PrimaryIP, srv *server) *task {
	t := &task{command: command, resources: append(refs("primary_ip", p.ID), ref("server", srv.ID))}
	if p.Type == "ipv4" {
		ip, id := publicIPv4(srv), srv.ID
		t.run = func(ctx context.Context) error { return a.machines.SetPublicIPv4(ctx, id, ip) }
	}
	return t
}

func publicIPv4(srv *server) netip.Addr {
	ip, err := netip.ParseAddr(srv.PublicNet.IPv4.IP)
	if err != nil {
		return netip.Addr{}
	}
	return ip
}

func (a *API) assignPrimaryIP(q *request) (int, any, error) {
	p, err := find(a, primaryIPs, q)
	if err != nil {
		return 0, nil, err
	}
	var body schema.PrimaryIPActionAssignRequest
	if err := q.decode(&body); err != nil {
		return 0, nil, err
	}
	srv := a.state.Servers[body.AssigneeID]
	if srv == nil || body.AssigneeType != "server" {
		return 0, nil, invalid("assignee_id", "server %d does not exist", body.AssigneeID)
	}
	if p.AssigneeID != nil {
		return 0, nil, conflict("primary_ip_already_assigned", "primary IP %d is already assigned to server %d", p.ID,
			*p.AssigneeID)
	}
	if p.Location.Name != srv.Location.Name {
		return 0, nil, unprocessable("primary_ip_datacenter_mismatch", "primary IP %d is in %s, the server in %s", p.ID,
			p.Location.Name, srv.Location.Name)
	}
	if err := assignable(srv, p.Type); err != nil {
		return 0, nil, err
	}
	a.link(p, srv)
	return a.started(q, a.addressTask("assign_primary_ip", p, srv))
}

func (a *API) unassignPrimaryIP(q *request) (int, any, error) {
	p, err := find(a, primaryIPs, q)
	if err != nil {
		return 0, nil, err
	}
	if p.AssigneeID == nil {
		return 0, nil, unprocessable("primary_ip_not_assigned", "primary IP %d is not assigned", p.ID)
	}
	srv := a.state.Servers[*p.AssigneeID]
	if srv.Locked {
		return 0, nil, locked("server")
	}
	if srv.Status != "off" {
		return 0, nil, unprocessable("server_not_stopped", "server %d must be off", srv.ID)
	}
	a.unlink(p, srv)
	return a.started(q, a.addressTask("unassign_primary_ip", p, srv))
}

func (a *API) deletePrimaryIP(q *request) (int, any, error) {
	p, err := find(a, primaryIPs, q)
	if err != nil {
		return 0, nil, err
	}
	if p.Protection.Delete {
		return 0, nil, protected("primary IP")
	}
	if p.AssigneeID != nil {
		// The real API unassigns on deletion, for which the server must be off.
		srv := a.state.Servers[*p.AssigneeID]
		if srv.Locked {
			return 0, nil, locked("server")
		}
		if srv.Status != "off" {
			return 0, nil, unprocessable("server_not_stopped", "primary IP %d is in use by server %d, which is not off", p.ID,
				srv.ID)
		}
		a.unlink(p, srv)
		a.begin(q, a.addressTask("unassign_primary_ip", p, srv))
	}
	delete(a.state.PrimaryIPs, p.ID)
	return http.StatusNoContent, nil, nil
}

func (a *API) changePrimaryIPProtection(q *request) (int, any, error) {
	p, err := find(a, primaryIPs, q)
	if err != nil {
		return 0, nil, err
	}
	var body schema.PrimaryIPActionChangeProtectionRequest
	if err := q.decode(&body); err != nil {
		return 0, nil, err
	}
	p.Protection.Delete = body.Delete
	return a.started(q, &task{command: "change_protection", resources: refs("primary_ip", p.ID)})
}

func (a *API) changePrimaryIPDNSPtr(q *request) (int, any, error) {
	p, err := find(a, primaryIPs, q)
	if err != nil {
		return 0, nil, err
	}
	if err := a.setPtr(q, p); err != nil {
		return 0, nil, err
	}
	return a.started(q, &task{command: "change_dns_ptr", resources: refs("primary_ip", p.ID)})
}

// setPtr sets the reverse name of an address; null brings back the default.
func (a *API) setPtr(q *request, p *schema.PrimaryIP) error {
	var body schema.PrimaryIPActionChangeDNSPtrRequest
	if err := q.decode(&body); err != nil {
		return err
	}
	if p.Type != "ipv4" || body.IP != p.IP {
		return invalid("ip", "%q is not the IPv4 address of this resource", body.IP)
	}
	name := defaultPtr(p.IP)
	if body.DNSPtr != nil && *body.DNSPtr != "" {
		name = *body.DNSPtr
	}
	p.DNSPtr = []schema.PrimaryIPDNSPTR{{IP: p.IP, DNSPtr: name}}
	if p.AssigneeID != nil {
		a.state.Servers[*p.AssigneeID].PublicNet.IPv4.DNSPtr = name
	}
	return nil
}

// datacenterGone is the answer to the parameter that was removed on 1 July 2026.
func datacenterGone() error {
	return &apiError{
		http.StatusGone, "deprecated_api_endpoint", "the parameter datacenter was removed, use location",
		map[string]any{"announcement": "https://docs.hetzner.cloud/changelog#2025-12-16-phasing-out-datacenters"},
	}
}
