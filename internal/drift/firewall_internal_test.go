package drift

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/hetznercloud/hcloud-go/v2/hcloud"

	"github.com/prekzursil/momentstudio-infra/internal/engine"
	"github.com/prekzursil/momentstudio-infra/internal/naming"
)

func TestOnlyTheStacksFirewallAndOpeningsInTheirTimeMayBeApplied(t *testing.T) {
	now := time.Unix(2_000_000_000, 0)
	opening := func(id int64, until time.Time) *hcloud.Firewall {
		return &hcloud.Firewall{ID: id, Name: "opening-" + strconv.FormatInt(id, 10), Labels: map[string]string{
			naming.Expires: strconv.FormatInt(until.Unix(), 10),
		}}
	}
	openings := []*hcloud.Firewall{opening(2, now.Add(time.Minute)), opening(3, now.Add(-time.Minute))}
	server := engine.Resource{URN: "urn:pulumi:prod::momentstudio::hcloud:index/server:Server::host-server"}
	for name, c := range map[string]struct {
		applied []int64
		want    []string
	}{
		"its own":    {[]int64{1}, nil},
		"an opening": {[]int64{1, 2}, nil},
		"an opening left open": {
			[]int64{1, 3}, []string{"firewall opening-3 still opens the SSH port, although its time is over"},
		},
		"somebody else's": {[]int64{1, 9}, []string{"firewall 9, which nobody asked for, is applied to it"}},
		"none":            {nil, []string{"firewall host is not applied to it"}},
	} {
		var applied []*hcloud.ServerFirewallStatus
		for _, id := range c.applied {
			applied = append(applied, &hcloud.ServerFirewallStatus{Firewall: hcloud.Firewall{ID: id}})
		}
		var got []string
		for _, f := range judgeFirewalls(server, map[string]string{"1": "host"}, applied, openings, now) {
			got = append(got, f.What)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
