// Package hostssh runs commands on a stack's host over SSH and holds the host's lock.
package hostssh

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/prekzursil/momentstudio-infra/internal/clouds"
	"github.com/prekzursil/momentstudio-infra/internal/commandline"
	"github.com/prekzursil/momentstudio-infra/internal/engine"
	"github.com/prekzursil/momentstudio-infra/internal/sshallow"
)

// Allow says for how long and to whom the host's SSH port is opened.
type Allow struct {
	For     time.Duration // 0: not at all, the port is open already
	Address string        // default: the one that Cloudflare sees
}

// echo tells a caller's IPv4 address, which is what a host with an IPv4 address meets.
const echo = "https://1.1.1.1/cdn-cgi/trace"

// WithAccess does work while the host's SSH port is open to this machine.
func WithAccess(ctx context.Context, c engine.Stack, a Allow, work func(context.Context) error) error {
	if a.For == 0 {
		return work(ctx)
	}
	if a.For < 0 {
		return commandline.Usage(fmt.Errorf("%s is no time for which a port could be open", a.For))
	}
	from, err := netip.ParseAddr(a.Address)
	switch {
	case a.Address == "":
		from, err = sshallow.OwnAddress(ctx, echo)
	case err != nil:
		err = commandline.Usage(fmt.Errorf("--address %q is no IP address", a.Address))
	}
	if err != nil {
		return err
	}
	api, err := clouds.Hetzner(c)
	if err != nil {
		return err
	}
	return sshallow.Door{API: api, Stack: c.Name, Out: c.Err}.Open(ctx, from, a.For, work)
}
