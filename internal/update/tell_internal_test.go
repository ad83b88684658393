package update

import (
	"strings"
	"testing"

	"github.com/prekzursil/momentstudio-infra/internal/engine/enginetest"
)

// After a first update that failed the engine has no outputs; the host's own record says where it is.
func TestAFirstUpdateThatFailedTellsWhereTheHostIs(t *testing.T) {
	const host = `{"urn":"u::host","type":"momentstudio:host:Host","outputs":{"address":"192.0.2.1",
		"knownHosts":["192.0.2.1 ssh-ed25519 A"],"sshPrivateKeys":["key"]}}`
	const server = `{"urn":"u::host-server","type":"hcloud:index/server:Server","outputs":{}}`
	for _, c := range []struct {
		name, records string
		told          bool
	}{{"a host", host + "," + server, true}, {"no server yet", host, false}} {
		p := &enginetest.Programs{Outputs: "{}", State: `{"deployment":{"resources":[` + c.records + `]}}`}
		stack, out := enginetest.NewStack(t, p, "prod", "config: {}\n")
		tellServices(t.Context(), stack)
		const want = "the host is at 192.0.2.1; `studio status --stack prod` shows what runs there"
		if told := strings.Contains(out.String(), want); told != c.told {
			t.Errorf("%s: it prints\n%s\nwant the address: %v", c.name, out, c.told)
		}
	}
}
