package stacks_test

import (
	"strings"
	"testing"

	"github.com/prekzursil/momentstudio-infra/internal/graphtest"
	"github.com/prekzursil/momentstudio-infra/internal/secret"
	"github.com/prekzursil/momentstudio-infra/stacks"
)

// What a drill has, and what it lacks, beside a shop that is there to stay.
func TestADrillReachesNobodyAndNobodyReachesIt(t *testing.T) {
	c := load(t, "drill")
	c.BackupPassword = secret.New("given-password")
	g := graphtest.Record(t, c, stacks.Deploy)
	for _, n := range g {
		if strings.HasPrefix(n.Type, "cloudflare:") {
			t.Errorf("%s is made at Cloudflare", n.Name)
		}
		if n.Protect {
			t.Errorf("%s is locked: it could not be thrown away", n.Name)
		}
		if labels, ok := n.Inputs["labels"]; ok && strings.HasPrefix(n.Type, "hcloud:") {
			if at := labels.ObjectValue()["expires"]; !at.IsString() || at.StringValue() != "1796094000" {
				t.Errorf("%s has no label that says when it expires: %v", n.Name, labels)
			}
		}
	}
	if networks := g.OfType("docker:index/network:Network"); len(networks) != 1 ||
		!networks[0].Inputs["internal"].BoolValue() {
		t.Errorf("the app network has a way out: %v", networks)
	}
	for _, n := range g.OfType(service) {
		spec := n.Inputs["taskSpec"].ObjectValue()["containerSpec"].ObjectValue()
		if dns := spec["dnsConfig"]; !dns.IsObject() ||
			dns.ObjectValue()["nameservers"].ArrayValue()[0].StringValue() != "192.0.2.1" {
			t.Errorf("%s may ask for names outside", n.Name)
		}
		if ports := n.Inputs["endpointSpec"].ObjectValue()["ports"]; ports.IsArray() && len(ports.ArrayValue()) > 0 {
			t.Errorf("%s has ports of the host: %v", n.Name, ports)
		}
	}
	for _, n := range g.OfType(container) {
		if dns := n.Inputs["dns"]; !dns.IsArray() || dns.ArrayValue()[0].StringValue() != "192.0.2.1" {
			t.Errorf("%s may ask for names outside", n.Name)
		}
	}
	seen := false
	for _, n := range g.OfType(container) {
		if n.Name != "host-apply-job" {
			continue
		}
		uploads := n.Inputs["uploads"]
		if uploads.IsSecret() {
			uploads = uploads.SecretValue().Element
		}
		for _, u := range uploads.ArrayValue() {
			text := u.ObjectValue()["content"]
			if text.IsSecret() {
				text = text.SecretValue().Element
			}
			if !text.IsString() {
				continue
			}
			if strings.Contains(text.StringValue(), "momentstudio-backup") && strings.Contains(text.StringValue(), ".timer") {
				t.Errorf("the drill backs itself up:\n%s", text.StringValue())
			}
			if strings.Contains(text.StringValue(), `"readOnly": true`) && strings.Contains(text.StringValue(),
				"given-password") {
				seen = true
			}
		}
	}
	if !seen {
		t.Error("the host is not told that the backups are another stack's")
	}
}
