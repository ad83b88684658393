// Package systemd talks to the host's systemd over D-Bus.
package systemd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/dbus"
	godbus "github.com/godbus/dbus/v5"

	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
)

// Manager is the host's systemd, reached over the system bus.
type Manager struct{}

// DaemonReload makes systemd read changed unit files.
func (Manager) DaemonReload(ctx context.Context) error {
	return withBus(ctx, func(c *dbus.Conn) error { return c.ReloadContext(ctx) })
}

// Reload reloads or restarts a running unit and waits for the end of it.
func (Manager) Reload(ctx context.Context, unit string) error {
	return withBus(ctx, func(c *dbus.Conn) error { return job(ctx, unit, c.ReloadOrTryRestartUnitContext) })
}

// Enable makes systemd start the unit at every boot, and starts or restarts it.
func (Manager) Enable(ctx context.Context, unit string, changed bool) error {
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
func (Manager) Disable(ctx context.Context, unit string) error {
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

// Restarts are when systemd began to start the host's units, and when it last started the Docker engine.
func (Manager) Restarts(ctx context.Context) (all []hostspec.Restart, err error) {
	err = withBus(ctx, func(c *dbus.Conn) error {
		text, err := c.GetManagerProperty("UserspaceTimestamp") // "@t 1764500000000000": microseconds
		if err != nil {
			return err
		}
		micros, err := strconv.ParseInt(text[strings.LastIndexByte(text, ' ')+1:], 10, 64)
		if err != nil {
			return fmt.Errorf("read when the host booted: %w", err)
		}
		all = append(all, hostspec.Restart{Started: time.UnixMicro(micros)})
		docker := hostspec.Restart{}
		for property, at := range map[string]*time.Time{
			"ActiveExitTimestamp": &docker.Stopped, "ActiveEnterTimestamp": &docker.Started,
		} {
			p, err := c.GetUnitPropertyContext(ctx, "docker.service", property)
			if err != nil {
				return fmt.Errorf("read %s of docker.service: %w", property, err)
			}
			if micros, ok := p.Value.Value().(uint64); ok && micros > 0 && micros < 1<<62 {
				*at = time.UnixMicro(int64(micros))
			}
		}
		if !docker.Stopped.IsZero() { // otherwise it was started by the boot
			all = append(all, docker)
		}
		return nil
	})
	return all, err
}

// Timers reads the state of timers, and which of them or of their services have drop-in files.
func (Manager) Timers(ctx context.Context, units []string) (all []hostspec.TimerState, err error) {
	err = withBus(ctx, func(c *dbus.Conn) error {
		for _, unit := range units {
			state := hostspec.TimerState{Unit: unit}
			if state.File, err = unitString(ctx, c, unit, "UnitFileState"); err != nil {
				return err
			}
			if state.Active, err = unitString(ctx, c, unit, "ActiveState"); err != nil {
				return err
			}
			for _, u := range []string{unit, strings.TrimSuffix(unit, ".timer") + ".service"} {
				dropIns, err := c.GetUnitPropertyContext(ctx, u, "DropInPaths")
				if err != nil {
					return fmt.Errorf("read the drop-in files of %s: %w", u, err)
				}
				if paths, _ := dropIns.Value.Value().([]string); len(paths) > 0 {
					state.DropIns = append(state.DropIns, u)
				}
			}
			all = append(all, state)
		}
		return nil
	})
	return all, err
}

func unitString(ctx context.Context, c *dbus.Conn, unit, property string) (string, error) {
	p, err := c.GetUnitPropertyContext(ctx, unit, property)
	if err != nil {
		return "", fmt.Errorf("read %s of %s: %w", property, unit, err)
	}
	text, _ := p.Value.Value().(string)
	return text, nil
}

// Failed lists the units that failed.
func (Manager) Failed(ctx context.Context) (units []string, err error) {
	err = withBus(ctx, func(c *dbus.Conn) error {
		all, err := c.ListUnitsFilteredContext(ctx, []string{"failed"})
		for _, u := range all {
			units = append(units, u.Name)
		}
		return err
	})
	return units, err
}

// Scheduled says when the program's timers ran last and run next.
func (Manager) Scheduled(ctx context.Context) (all []hostspec.Next, err error) {
	err = withBus(ctx, func(c *dbus.Conn) error {
		timers, err := c.ListUnitsByPatternsContext(ctx, nil, []string{"momentstudio-*.timer"})
		if err != nil {
			return err
		}
		for _, t := range timers {
			next := hostspec.Next{Unit: t.Name}
			for property, at := range map[string]*time.Time{
				"LastTriggerUSec": &next.Last, "NextElapseUSecRealtime": &next.Next,
			} {
				p, err := c.GetUnitTypePropertyContext(ctx, t.Name, "Timer", property)
				if err != nil {
					return fmt.Errorf("read %s of %s: %w", property, t.Name, err)
				}
				if micros, _ := p.Value.Value().(uint64); micros > 0 && micros < 1<<62 {
					*at = time.UnixMicro(int64(micros))
				}
			}
			all = append(all, next)
		}
		return nil
	})
	slices.SortFunc(all, func(a, b hostspec.Next) int { return strings.Compare(a.Unit, b.Unit) })
	return all, err
}
