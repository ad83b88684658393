package hetzner_test

import (
	"errors"
	"net"
	"testing"

	"github.com/hetznercloud/hcloud-go/v2/hcloud"
)

func cidr(t *testing.T, text string) *net.IPNet {
	t.Helper()
	_, network, err := net.ParseCIDR(text)
	if err != nil {
		t.Fatal(err)
	}
	return network
}

func rule(t *testing.T, port string) hcloud.FirewallRule {
	t.Helper()
	return hcloud.FirewallRule{
		Direction: hcloud.FirewallRuleDirectionIn, Protocol: hcloud.FirewallRuleProtocolTCP, Port: &port,
		SourceIPs: []net.IPNet{*cidr(t, "0.0.0.0/0")},
	}
}

func asError(err error, target *hcloud.Error) bool { return errors.As(err, target) }
