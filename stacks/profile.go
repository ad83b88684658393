package stacks

import (
	"time"

	"github.com/prekzursil/momentstudio-infra/internal/config"
)

// profile is what the kind of a stack decides, once. A component is given values and never the kind.
type profile struct {
	public  bool      // the shop's names lead here: DNS records, reverse DNS, and a provider for Cloudflare
	wayOut  bool      // the app network leads out, and ports of the host lead to the edge
	backsUp bool      // backups are made here; otherwise those of another stack are only read
	expires time.Time // when the stack may be removed; zero: never
}

func profileOf(c config.Config) profile {
	if c.Kind == config.Drill {
		at, _ := time.Parse(time.RFC3339, c.Drill.Expires) // the rules have parsed it
		return profile{expires: at}
	}
	return profile{public: true, wayOut: true, backsUp: true}
}
