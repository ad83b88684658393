package ops

import (
	"context"
	"fmt"

	"github.com/coreos/go-systemd/v22/dbus"
)

// Systemd is the host's systemd, reached over the system bus.
type Systemd struct{}

var _ Units = Systemd{}

// DaemonReload makes systemd read changed unit files.
func (Systemd) DaemonReload(ctx context.Context) error {
	return withBus(ctx, func(c *dbus.Conn) error { return c.ReloadContext(ctx) })
}

// Reload reloads or restarts a running unit and waits for the end of it.
func (Systemd) Reload(ctx context.Context, unit string) error {
	return withBus(ctx, func(c *dbus.Conn) error {
		result := make(chan string, 1)
		if _, err := c.ReloadOrTryRestartUnitContext(ctx, unit, "replace", result); err != nil {
			return err
		}
		select {
		case r := <-result:
			if r != "done" && r != "skipped" {
				return fmt.Errorf("systemd reports %q", r)
			}
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
}

func withBus(ctx context.Context, f func(*dbus.Conn) error) error {
	c, err := dbus.NewSystemConnectionContext(ctx)
	if err != nil {
		return fmt.Errorf("reach systemd over the system bus: %w", err)
	}
	defer c.Close()
	return f(c)
}
