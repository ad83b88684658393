package hetzner

import (
	"context"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hetznercloud/hcloud-go/v2/hcloud/schema"
)

var firewalls = kind[schema.Firewall]{
	"firewall", "firewalls",
	func(s *state) map[int64]*schema.Firewall { return s.Firewalls },
	func(f *schema.Firewall) fields { return fields{f.ID, &f.Name, &f.Labels} },
}

func (a *API) firewallRoutes() map[string]handler {
	return map[string]handler{
		"GET /v1/firewalls":                                     list(a, firewalls, nil),
		"GET /v1/firewalls/{id}":                                show(a, firewalls),
		"PUT /v1/firewalls/{id}":                                update(a, firewalls, nil),
		"POST /v1/firewalls":                                    a.createFirewall,
		"DELETE /v1/firewalls/{id}":                             a.deleteFirewall,
		"POST /v1/firewalls/{id}/actions/set_rules":             a.setFirewallRules,
		"POST /v1/firewalls/{id}/actions/apply_to_resources":    a.applyFirewall,
		"POST /v1/firewalls/{id}/actions/remove_from_resources": a.removeFirewall,
	}
}

func (a *API) createFirewall(q *request) (int, any, error) {
	var body schema.FirewallCreateRequest
	if err := q.decode(&body); err != nil {
		return 0, nil, err
	}
	labels, err := labelsOf(body.Labels)
	if err != nil {
		return 0, nil, err
	}
	if err := checkName(a, firewalls, body.Name); err != nil {
		return 0, nil, err
	}
	rules, err := checkedRules(body.Rules)
	if err != nil {
		return 0, nil, err
	}
	servers, selectors, err := a.targets("apply_to", body.ApplyTo)
	if err != nil {
		return 0, nil, err
	}
	f := &schema.Firewall{
		ID: a.state.nextID(), Name: body.Name, Labels: labels, Created: time.Now().UTC(), Rules: rules,
		AppliedTo: []schema.FirewallResource{},
	}
	created(a, firewalls, q, f)
	for _, srv := range servers {
		applyTo(f, srv)
	}
	for _, text := range selectors {
		f.AppliedTo = append(f.AppliedTo, schema.FirewallResource{
			Type:          "label_selector",
			LabelSelector: &schema.FirewallResourceLabelSelector{Selector: text},
		})
		for _, srv := range a.state.Servers {
			if selectFor(f, srv) {
				servers = append(servers, srv)
			}
		}
	}
	return http.StatusCreated, map[string]any{"firewall": f, "actions": a.firewallActions(q, "apply_firewall", f,
		servers)}, nil
}

func (a *API) deleteFirewall(q *request) (int, any, error) {
	f, err := find(a, firewalls, q)
	if err != nil {
		return 0, nil, err
	}
	if len(f.AppliedTo) > 0 {
		return 0, nil, conflict("resource_in_use", "firewall with ID '%d' is still in use", f.ID)
	}
	delete(a.state.Firewalls, f.ID)
	return http.StatusNoContent, nil, nil
}

func (a *API) setFirewallRules(q *request) (int, any, error) {
	f, err := find(a, firewalls, q)
	if err != nil {
		return 0, nil, err
	}
	var body schema.FirewallActionSetRulesRequest
	if err := q.decode(&body); err != nil {
		return 0, nil, err
	}
	rules, err := checkedRules(body.Rules)
	if err != nil {
		return 0, nil, err
	}
	f.Rules = rules
	var servers []*server
	for id, srv := range a.state.Servers {
		if appliedTo(f, id) {
			servers = append(servers, srv)
		}
	}
	actions := []schema.Action{a.begin(q, &task{command: "set_firewall_rules", resources: refs("firewall", f.ID)})}
	actions = append(actions, a.firewallActions(q, "apply_firewall", f, servers)...)
	return http.StatusCreated, map[string]any{"actions": actions}, nil
}

func (a *API) applyFirewall(q *request) (int, any, error) {
	f, err := find(a, firewalls, q)
	if err != nil {
		return 0, nil, err
	}
	var body schema.FirewallActionApplyToResourcesRequest
	if err := q.decode(&body); err != nil {
		return 0, nil, err
	}
	servers, selectors, err := a.targets("apply_to", body.ApplyTo)
	if err != nil {
		return 0, nil, err
	}
	if len(selectors) > 0 {
		return 0, nil, unsupported("firewalls that are applied by label later than they are made")
	}
	for _, srv := range servers {
		if appliedTo(f, srv.ID) {
			return 0, nil, conflict("firewall_already_applied", "firewall %d is already applied to server %d", f.ID, srv.ID)
		}
		if len(srv.PublicNet.Firewalls) >= 5 {
			return 0, nil, conflict("resource_limit_exceeded", "server %d already has 5 firewalls", srv.ID)
		}
	}
	for _, srv := range servers {
		applyTo(f, srv)
	}
	return http.StatusCreated, map[string]any{"actions": a.firewallActions(q, "apply_firewall", f, servers)}, nil
}

func (a *API) removeFirewall(q *request) (int, any, error) {
	f, err := find(a, firewalls, q)
	if err != nil {
		return 0, nil, err
	}
	var body schema.FirewallActionRemoveFromResourcesRequest
	if err := q.decode(&body); err != nil {
		return 0, nil, err
	}
	servers, selectors, err := a.targets("remove_from", body.RemoveFrom)
	if err != nil {
		return 0, nil, err
	}
	for _, text := range selectors {
		at := slices.IndexFunc(f.AppliedTo, func(r schema.FirewallResource) bool {
			return r.LabelSelector != nil && r.LabelSelector.Selector == text
		})
		if at < 0 {
			return 0, nil, conflict("firewall_already_removed", "firewall %d is not applied to %s", f.ID, text)
		}
		for _, r := range f.AppliedTo[at].AppliedToResources {
			servers = append(servers, a.state.Servers[r.Server.ID])
		}
	}
	for _, srv := range servers {
		if !appliedTo(f, srv.ID) {
			return 0, nil, conflict("firewall_already_removed", "firewall %d is not applied to server %d", f.ID, srv.ID)
		}
	}
	for _, srv := range servers {
		removeFrom(f, srv)
	}
	f.AppliedTo = slices.DeleteFunc(f.AppliedTo, func(r schema.FirewallResource) bool {
		return r.LabelSelector != nil && slices.Contains(selectors, r.LabelSelector.Selector)
	})
	return http.StatusCreated, map[string]any{"actions": a.firewallActions(q, "remove_firewall", f, servers)}, nil
}

// targets are the servers and the label selectors that a request names.
func (a *API) targets(field string, resources []schema.FirewallResource) (servers []*server, selectors []string,
	err error,
) {
	for _, resource := range resources {
		switch {
		case resource.Type == "label_selector" && resource.LabelSelector != nil:
			if _, err := parseSelector(resource.LabelSelector.Selector); err != nil {
				return nil, nil, err
			}
			selectors = append(selectors, resource.LabelSelector.Selector)
		case resource.Type == "server" && resource.Server != nil:
			srv := a.state.Servers[resource.Server.ID]
			if srv == nil {
				return nil, nil, unprocessable("firewall_resource_not_found", "%s: server %d does not exist", field,
					resource.Server.ID)
			}
			servers = append(servers, srv)
		default:
			return nil, nil, unsupported("firewalls applied by " + resource.Type)
		}
	}
	return servers, selectors, nil
}

func is(id int64) func(schema.FirewallResource) bool {
	return func(r schema.FirewallResource) bool { return r.Server != nil && r.Server.ID == id }
}

func appliedTo(f *schema.Firewall, id int64) bool {
	return slices.ContainsFunc(f.AppliedTo, func(r schema.FirewallResource) bool {
		return is(id)(r) || slices.ContainsFunc(r.AppliedToResources, is(id))
	})
}

func applyTo(f *schema.Firewall, srv *server) {
	f.AppliedTo = append(f.AppliedTo, schema.FirewallResource{
		Type:   "server",
		Server: &schema.FirewallResourceServer{ID: srv.ID},
	})
	srv.PublicNet.Firewalls = append(srv.PublicNet.Firewalls, schema.ServerFirewall{ID: f.ID, Status: "applied"})
}

// selectFor applies a firewall to a server that one of its label selectors matches, and reports whether it did.
// Labels that change later have no effect here.
func selectFor(f *schema.Firewall, srv *server) bool {
	for i, r := range f.AppliedTo {
		if r.LabelSelector == nil || appliedTo(f, srv.ID) {
			continue
		}
		if s, err := parseSelector(r.LabelSelector.Selector); err != nil || !s.matches(srv.Labels) {
			continue
		}
		f.AppliedTo[i].AppliedToResources = append(r.AppliedToResources,
			schema.FirewallResource{Type: "server", Server: &schema.FirewallResourceServer{ID: srv.ID}})
		srv.PublicNet.Firewalls = append(srv.PublicNet.Firewalls, schema.ServerFirewall{ID: f.ID, Status: "applied"})
		return true
	}
	return false
}

func removeFrom(f *schema.Firewall, srv *server) {
	f.AppliedTo = slices.DeleteFunc(f.AppliedTo, is(srv.ID))
	for i := range f.AppliedTo {
		f.AppliedTo[i].AppliedToResources = slices.DeleteFunc(f.AppliedTo[i].AppliedToResources, is(srv.ID))
	}
	srv.PublicNet.Firewalls = slices.DeleteFunc(srv.PublicNet.Firewalls,
		func(s schema.ServerFirewall) bool { return s.ID == f.ID })
}

// firewallActions brings the machines to what the records say now.
func (a *API) firewallActions(q *request, command string, f *schema.Firewall, servers []*server) []schema.Action {
	actions := []schema.Action{}
	for _, srv := range servers {
		actions = append(actions, a.begin(q, &task{
			command: command, resources: append(refs("firewall", f.ID), ref("server", srv.ID)),
			run: func(ctx context.Context) error {
				// Read when it runs: of two changes in a row, the later one stays.
				a.mu.Lock()
				_, exists := a.state.Servers[srv.ID]
				rules := a.firewallOf(srv)
				a.mu.Unlock()
				if !exists {
					return nil
				}
				return a.machines.SetFirewall(ctx, srv.ID, rules)
			},
		}))
	}
	return actions
}

// firewallOf merges the inbound rules of all firewalls of a server. Nil means
// that there is no firewall.
func (a *API) firewallOf(srv *server) *Firewall {
	if len(srv.PublicNet.Firewalls) == 0 {
		return nil
	}
	merged := &Firewall{}
	for _, applied := range srv.PublicNet.Firewalls {
		f := a.state.Firewalls[applied.ID]
		if f == nil {
			continue
		}
		for _, r := range f.Rules {
			if r.Direction != "in" {
				continue
			}
			rule := Rule{Protocol: r.Protocol}
			if r.Port != nil {
				rule.FromPort, rule.ToPort, _ = ports(*r.Port)
			}
			for _, source := range r.SourceIPs {
				rule.Sources = append(rule.Sources, netip.MustParsePrefix(source))
			}
			merged.Rules = append(merged.Rules, rule)
		}
	}
	return merged
}

func checkedRules(rules []schema.FirewallRuleRequest) ([]schema.FirewallRule, error) {
	checked := []schema.FirewallRule{}
	if len(rules) > 50 {
		return nil, invalid("rules", "at most 50 rules")
	}
	for i, r := range rules {
		field := "rules[" + strconv.Itoa(i) + "]."
		withPorts := r.Protocol == "tcp" || r.Protocol == "udp"
		switch {
		case r.Direction == "out":
			// What leaves a host stays unfiltered here; a rule that nobody
			// enforces would prove nothing.
			return nil, unsupported("outbound firewall rules")
		case r.Direction != "in":
			return nil, invalid(field+"direction", "must be in or out")
		case !withPorts && r.Protocol != "icmp" && r.Protocol != "esp" && r.Protocol != "gre":
			return nil, invalid(field+"protocol", "must be tcp, udp, icmp, esp or gre")
		case withPorts != (r.Port != nil):
			return nil, invalid(field+"port", "is required for tcp and udp, and not allowed for others")
		case len(r.SourceIPs) == 0 || len(r.DestinationIPs) > 0:
			return nil, invalid(field+"source_ips", "an inbound rule has source IPs and no destination IPs")
		}
		if withPorts {
			if _, _, ok := ports(*r.Port); !ok {
				return nil, invalid(field+"port", "%q is not a port, a range or any", *r.Port)
			}
		}
		for _, source := range r.SourceIPs {
			if p, err := netip.ParsePrefix(source); err != nil || p.Masked() != p {
				return nil, invalid(field+"source_ips", "%q is not a network in CIDR notation", source)
			}
		}
		checked = append(checked, schema.FirewallRule{
			Direction: r.Direction, SourceIPs: r.SourceIPs, DestinationIPs: []string{}, Protocol: r.Protocol,
			Port: r.Port, Description: r.Description,
		})
	}
	return checked, nil
}

func ports(text string) (from, to int, ok bool) {
	if text == "any" {
		return 1, 65535, true
	}
	first, last, ranged := strings.Cut(text, "-")
	if !ranged {
		last = first
	}
	from, err := strconv.Atoi(first)
	if err != nil {
		return 0, 0, false
	}
	to, err = strconv.Atoi(last)
	return from, to, err == nil && from >= 1 && from <= to && to <= 65535
}
