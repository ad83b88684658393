package machine

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/prekzursil/momentstudio-infra/sandbox/hetzner"
)

func TestEveryProblemOfTheConfigurationIsReported(t *testing.T) {
	_, err := New(Config{Prefix: "Not Good", StateDir: "relative"})
	if err == nil {
		t.Fatal("a broken configuration was accepted")
	}
	for _, field := range []string{"Prefix", "Subnet", "StateDir", "Image"} {
		if !strings.Contains(err.Error(), field+":") {
			t.Errorf("%s is not named in: %v", field, err)
		}
	}
}

func TestCapabilitiesAreThoseOfTheMachine(t *testing.T) {
	status := filepath.Join(t.TempDir(), "status")
	if err := os.WriteFile(status, []byte("Name:\tx\nCapBnd:\t000001fffeffffff\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	names, err := capabilities(status)
	if err != nil {
		t.Fatal(err)
	}
	if slices.Contains(names, "SYS_RESOURCE") || !slices.Contains(names, "SYS_ADMIN") || !slices.Contains(names,
		"MKNOD") || len(names) != 37 {
		t.Errorf("%d capabilities: %v", len(names), names)
	}
}

func TestFirewallIsRenderedAsOneTransaction(t *testing.T) {
	got := renderFirewall(&hetzner.Firewall{Rules: []hetzner.Rule{
		{Protocol: "tcp", FromPort: 80, ToPort: 90, Sources: []netip.Prefix{
			netip.MustParsePrefix("198.51.100.0/24"),
			netip.MustParsePrefix("::/0"),
		}},
		{Protocol: "icmp", Sources: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}},
	}})
	want := `*mangle
:CLOUD-FIREWALL - [0:0]
-A CLOUD-FIREWALL -m conntrack --ctstate ESTABLISHED,RELATED -j RETURN
-A CLOUD-FIREWALL -s 198.51.100.0/24 -p tcp --dport 80:90 -j RETURN
-A CLOUD-FIREWALL -s 0.0.0.0/0 -p icmp -j RETURN
-A CLOUD-FIREWALL -j DROP
COMMIT
`
	if got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}
