package machine

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"github.com/prekzursil/momentstudio-infra/sandbox/hetzner"
)

// stopSeconds is how long a clean shutdown may take before the power goes.
const stopSeconds = "180"

// CreateServer writes the seed and creates the container without starting it.
func (d *Docker) CreateServer(ctx context.Context, s hetzner.Server) error {
	defer d.lock(d.Container(s.ID))()
	name := d.Container(s.ID)
	if !s.PublicIPv4.IsValid() {
		return errors.New("the sandbox boots only servers with a public IPv4 address")
	}
	if err := d.remove(ctx, s.ID); err != nil {
		return err
	}
	if err := d.writeSeed(s); err != nil {
		return fmt.Errorf("server %d: write seed: %w", s.ID, err)
	}
	// Named, so that it is found and removed with its server; overlay2 does not
	// work on top of the container's own overlay.
	if _, err := docker(ctx, "volume", "create", "--label", d.label(), name); err != nil {
		return fmt.Errorf("server %d: %w", s.ID, err)
	}
	args := []string{
		"create", "--name", name, "--hostname", s.Name, "--label", d.label(),
		"--network", d.publicNetwork(), "--ip", s.PublicIPv4.String(),
		"--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined", "--security-opt",
		"systempaths=unconfined",
		"--device-cgroup-rule", "a *:* rwm", "--cgroupns", "private",
		"--tmpfs", "/run", "--tmpfs", "/run/lock",
		"--volume", name + ":/var/lib/docker",
		"--volume", d.platformDir(s.ID) + ":/var/lib/sandbox-platform:ro",
		"--volume", d.seedDir(s.ID) + ":/var/lib/cloud/seed/nocloud:ro",
		// A reboot from inside ends the container with a failure; the real
		// machine comes back.
		"--restart", "on-failure",
		"--stop-signal", "SIGRTMIN+3", "--env", "container=docker",
	}
	if d.cgroup == "1" {
		args = append(args, "--tmpfs", "/sys/fs/cgroup")
	}
	for _, name := range d.caps {
		args = append(args, "--cap-add", name)
	}
	for _, address := range d.config.DNS {
		args = append(args, "--dns", address)
	}
	for host, address := range d.config.Hosts {
		args = append(args, "--add-host", host+":"+address.String())
	}
	if d.config.LimitMemory {
		args = append(args, "--memory", strconv.FormatInt(int64(s.MemoryGB*(1<<30)), 10))
	}
	if _, err := docker(ctx, append(args, d.config.Image)...); err != nil {
		return fmt.Errorf("server %d: %w", s.ID, err)
	}
	return nil
}

// StartServer turns a machine on. It does not wait for the system on it.
func (d *Docker) StartServer(ctx context.Context, id int64) error {
	defer d.lock(d.Container(id))()
	if err := d.refreshLoops(ctx, id); err != nil {
		return err
	}
	if _, err := docker(ctx, "start", d.Container(id)); err != nil {
		return fmt.Errorf("server %d: %w", id, err)
	}
	return nil
}

// StopServer turns a machine off; not graceful is a power cut.
func (d *Docker) StopServer(ctx context.Context, id int64, graceful bool) error {
	defer d.lock(d.Container(id))()
	args := []string{"kill", d.Container(id)}
	if graceful {
		args = []string{"stop", "--time", stopSeconds, d.Container(id)}
	}
	if _, err := docker(ctx, args...); err != nil && !strings.Contains(err.Error(), "is not running") {
		return fmt.Errorf("server %d: %w", id, err)
	}
	return nil
}

// RestartServer reboots a machine; its disk stays.
func (d *Docker) RestartServer(ctx context.Context, id int64, graceful bool) error {
	if err := d.StopServer(ctx, id, graceful); err != nil {
		return err
	}
	return d.StartServer(ctx, id)
}

// DeleteServer removes a machine and its own disks.
func (d *Docker) DeleteServer(ctx context.Context, id int64) error {
	defer d.lock(d.Container(id))()
	if err := d.remove(ctx, id); err != nil {
		return err
	}
	if err := os.RemoveAll(d.serverDir(id)); err != nil {
		return fmt.Errorf("server %d: %w", id, err)
	}
	return nil
}

func (d *Docker) remove(ctx context.Context, id int64) error {
	name := d.Container(id)
	if _, err := docker(ctx, "rm", "--force", name); err != nil && !absent(err) {
		return fmt.Errorf("server %d: %w", id, err)
	}
	if _, err := docker(ctx, "volume", "rm", "--force", name); err != nil && !absent(err) {
		return fmt.Errorf("server %d: %w", id, err)
	}
	return nil
}

// SetPublicIPv4 moves a machine that is off to another address.
func (d *Docker) SetPublicIPv4(ctx context.Context, id int64, ip netip.Addr) error {
	defer d.lock(d.Container(id))()
	name := d.Container(id)
	if _, err := docker(ctx, "network", "disconnect", "--force", d.publicNetwork(), name); err != nil && !absent(err) {
		return fmt.Errorf("server %d: %w", id, err)
	}
	address := ""
	if ip.IsValid() {
		address = ip.String()
		if _, err := docker(ctx, "network", "connect", "--ip", address, d.publicNetwork(), name); err != nil {
			return fmt.Errorf("server %d: %w", id, err)
		}
	}
	if err := d.writeAddress(id, address); err != nil {
		return fmt.Errorf("server %d: %w", id, err)
	}
	return nil
}

// SetFirewall replaces the rules, at once when the machine runs and in any case
// for its next start.
func (d *Docker) SetFirewall(ctx context.Context, id int64, firewall *hetzner.Firewall) error {
	defer d.lock(d.Container(id))()
	if err := d.writeFirewall(id, firewall); err != nil {
		return fmt.Errorf("server %d: write firewall: %w", id, err)
	}
	return d.tell(ctx, id, "/usr/lib/sandbox/firewall")
}

// tell runs one of the platform's programs on a machine that is on.
func (d *Docker) tell(ctx context.Context, id int64, command ...string) error {
	state, err := docker(ctx, "inspect", "--format", "{{.State.Running}}", d.Container(id))
	if err != nil {
		return fmt.Errorf("server %d: %w", id, err)
	}
	if state != "true" {
		return nil
	}
	if _, err := docker(ctx, append([]string{"exec", d.Container(id)}, command...)...); err != nil {
		return fmt.Errorf("server %d: %s: %w", id, command[0], err)
	}
	return nil
}
