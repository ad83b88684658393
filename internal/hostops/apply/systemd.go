package apply

import (
	"context"
	"errors"
	"fmt"

	"github.com/coreos/go-systemd/v22/dbus"
	godbus "github.com/godbus/dbus/v5"
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
	return withBus(ctx, func(c *dbus.Conn) error { return job(ctx, unit, c.ReloadOrTryRestartUnitContext) })
}

// Enable makes systemd start the unit at every boot, and starts or restarts it.
func (Systemd) Enable(ctx context.Context, unit string, changed bool) error {
	return withBus(ctx, func(c *dbus.Conn) error {
		if _, _, err := c.EnableUnitFilesContext(ctx, []string{unit}, false, true); err != nil {
			return err
		}
		if changed {
			return job(ctx, unit, c.RestartUnitContext)
		}
		return job(ctx, unit, c.StartUnitContext)
	})
}

// Disable stops the unit, now and at every boot.
func (Systemd) Disable(ctx context.Context, unit string) error {
	return withBus(ctx, func(c *dbus.Conn) error {
		// A run that was killed may have removed the unit already.
		var gone godbus.Error
		if err := job(ctx, unit, c.StopUnitContext); errors.As(err, &gone) &&
			gone.Name == "org.freedesktop.systemd1.NoSuchUnit" {
			return nil
		} else if err != nil {
			return err
		}
		_, err := c.DisableUnitFilesContext(ctx, []string{unit}, false)
		return err
	})
}

// job runs one of systemd's jobs and waits for its end.
func job(ctx context.Context, unit string, start func(context.Context, string, string, chan<- string) (int,
	error),
) error {
	result := make(chan string, 1)
	if _, err := start(ctx, unit, "replace", result); err != nil {
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
}

func withBus(ctx context.Context, f func(*dbus.Conn) error) error {
	c, err := dbus.NewSystemConnectionContext(ctx)
	if err != nil {
		return fmt.Errorf("reach systemd over the system bus: %w", err)
	}
	defer c.Close()
	return f(c)
}
