package review

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// Violation is something that a plan may not hold, whatever its risk.
type Violation struct {
	URN  string `json:"urn"`
	Name string `json:"name"`
	What string `json:"what"`
	Fix  string `json:"fix"`
}

var digest = regexp.MustCompile(`@sha256:[0-9a-f]{64}$`)

// worldPorts may be open to everybody.
var worldPorts = []string{"80", "443"}

// violations checks every resource that the plan makes or changes.
func violations(changes []Change) []Violation {
	var out []Violation
	add := func(c Change, what, fix string) {
		out = append(out, Violation{URN: c.URN, Name: c.Name, What: what, Fix: fix})
	}
	for _, c := range changes {
		if strings.HasPrefix(c.Type, "pulumi:providers:") && strings.HasPrefix(c.Name, "default") {
			add(c, "it is a default provider, which takes credentials from wherever it finds them",
				"name the provider of every resource")
		}
		if c.new == nil || c.Op == Delete {
			continue
		}
		in := c.new.Inputs
		switch c.Type {
		case "hcloud:index/firewall:Firewall":
			for _, port := range openToTheWorld(in["rules"]) {
				add(c, "port "+port+" is open to the world", "name the addresses that may reach it: host.sshFrom")
			}
		case "docker:index/service:Service":
			spec, _ := in["taskSpec"].(map[string]any)
			container, _ := spec["containerSpec"].(map[string]any)
			pinned(c, container["image"], add)
			resources, _ := spec["resources"].(map[string]any)
			limits, _ := resources["limits"].(map[string]any)
			if n, _ := limits["memoryBytes"].(float64); n <= 0 {
				add(c, "it has no memory limit: one leak takes the host", "set <part>.memoryMB")
			}
		case "docker:index/container:Container":
			pinned(c, in["image"], add)
		}
	}
	return out
}

// pinned wants a digest; what is not known before the update is a secret or another resource's, and not a plain
// reference from config.
func pinned(c Change, image any, add func(Change, string, string)) {
	if text, ok := image.(string); ok && !digest.MatchString(text) {
		add(c, "its image has no digest: another one may be pulled tomorrow", "set the reference with @sha256:…")
	}
}

func openToTheWorld(rules any) (ports []string) {
	for _, r := range restricted(rules) {
		if worldwide(r.sources) {
			ports = append(ports, r.port)
		}
	}
	return ports
}

// inbound is a firewall rule that lets addresses reach a port.
type inbound struct {
	port    string // with its protocol: "22/tcp"
	sources any
}

// restricted are the inbound rules of all ports except worldPorts.
func restricted(rules any) (found []inbound) {
	list, _ := rules.([]any)
	for _, r := range list {
		rule, _ := r.(map[string]any)
		port, _ := rule["port"].(string)
		if rule["direction"] != "in" || rule["protocol"] == "icmp" || slices.Contains(worldPorts, port) {
			continue
		}
		found = append(found, inbound{fmt.Sprintf("%s/%v", port, rule["protocol"]), rule["sourceIps"]})
	}
	return found
}

// worldwide reports whether sources hold a good part of all addresses: two halves are the world too.
func worldwide(sources any) bool {
	list, _ := sources.([]any)
	return slices.ContainsFunc(list, func(s any) bool {
		text, _ := s.(string)
		p, err := netip.ParsePrefix(text)
		return err == nil && (p.Addr().Is4() && p.Bits() < 8 || p.Addr().Is6() && p.Bits() < 16)
	})
}

// unprotected finds what a protected stack leaves unlocked.
func unprotected(changes []Change) []Violation {
	var out []Violation
	for _, c := range changes {
		stateful := slices.Contains([]string{
			"hcloud:index/server:Server", "hcloud:index/volume:Volume", "hcloud:index/primaryIp:PrimaryIp",
			"cloudflare:index/turnstileWidget:TurnstileWidget",
		}, c.Type)
		if stateful && c.new != nil && c.Op != Delete && !c.new.Protect {
			out = append(out, Violation{URN: c.URN, Name: c.Name, What: "it is not protected, and the stack says that it " +
				"protects", Fix: "set protect to true"})
		}
	}
	return out
}
