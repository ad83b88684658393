package update

import (
	"fmt"
	"regexp"
	"strconv"

	"github.com/prekzursil/momentstudio-infra/internal/config"
	"github.com/prekzursil/momentstudio-infra/internal/engine"
	"github.com/prekzursil/momentstudio-infra/internal/fault"
)

// pairs are the secrets of which two generations are known at a time, by the part of their name.
var pairs = regexp.MustCompile(`RandomPassword::secrets-(login|deploy-key|host-key)-(\d+)$`)

// refuseLeaps refuses a generation that is more than one step from what the state holds, for secrets
// whose old value is needed to roll the new one out: after a leap neither of the two values that the
// update would know is the one in use.
func refuseLeaps(wanted config.Config, state []byte) error {
	resources, _, err := engine.RawResources(state)
	if err != nil {
		return err
	}
	newest := map[string]int{}
	for _, r := range resources {
		urn, _ := r["urn"].(string)
		if deleted, _ := r["delete"].(bool); deleted {
			continue
		}
		if m := pairs.FindStringSubmatch(urn); m != nil {
			n, _ := strconv.Atoi(m[2])
			newest[m[1]] = max(newest[m[1]], n)
		}
	}
	var bad []error
	for _, s := range []struct {
		part, key string
		want      int
	}{
		{"login", "databaseLogin", wanted.Secrets.DatabaseLogin},
		{"deploy-key", "deployKey", wanted.Secrets.DeployKey},
		{"host-key", "hostKey", wanted.Secrets.HostKey},
	} {
		have, built := newest[s.part]
		if built && (s.want > have+1 || s.want < have-1) {
			bad = append(bad, fault.Field("secrets."+s.key, s.want, fmt.Sprintf("%d or %d: the stack has %[1]d, and a "+
				"rotation goes one step at a time", have, have+1)))
		}
	}
	return fault.List("the rotation", bad...)
}
