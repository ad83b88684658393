package machine

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/prekzursil/momentstudio-infra/sandbox/hetzner"
)

func (d *Docker) ensureNetwork(ctx context.Context, name string, subnet netip.Prefix, internal bool) error {
	defer d.lock(name)()
	if have, err := docker(ctx, "network", "inspect", "--format", "{{range .IPAM.Config}}{{.Subnet}}{{end}}",
		name); err == nil {
		if have != subnet.String() {
			return fmt.Errorf("network %s exists with range %s, want %s; clean up the sandbox %s first", name, have, subnet,
				d.config.Prefix)
		}
		return nil
	}
	args := []string{
		"network", "create", "--label", d.label(), "--subnet", subnet.String(), "--gateway", subnet.Addr().Next().String(),
	}
	if internal {
		args = append(args, "--internal")
	}
	if _, err := docker(ctx, append(args, name)...); err != nil {
		return fmt.Errorf("network %s (%s): %w", name, subnet, err)
	}
	return nil
}

// AttachNetwork connects a machine, on or off, to a private network, which is
// made for its first machine.
func (d *Docker) AttachNetwork(ctx context.Context, serverID int64, n hetzner.Network, ip netip.Addr) (string, error) {
	name := d.privateNetwork(n.ID)
	if err := d.ensureNetwork(ctx, name, n.Range, true); err != nil {
		return "", err
	}
	defer d.lock(d.Container(serverID))()
	_, err := docker(ctx, "network", "connect", "--ip", ip.String(), name, d.Container(serverID))
	if err != nil && !strings.Contains(err.Error(), "already exists in network") {
		return "", fmt.Errorf("server %d: %w", serverID, err)
	}
	if err := d.notePrivate(serverID, fmt.Sprintf("- network_id: %d\n  ip: %s\n  network: %s\n", n.ID, ip,
		n.Range)); err != nil {
		return "", err
	}
	mac, err := docker(ctx, "inspect", "--format", fmt.Sprintf("{{with index .NetworkSettings.Networks "+
		"%q}}{{.MacAddress}}{{end}}", name), d.Container(serverID))
	if err != nil {
		return "", fmt.Errorf("server %d: %w", serverID, err)
	}
	return mac, nil
}

// notePrivate tells the metadata service; a real server reads its private
// networks there.
func (d *Docker) notePrivate(serverID int64, text string) error {
	path := filepath.Join(d.platformDir(serverID), "metadata", "hetzner+v1+metadata+private-networks")
	if err := replace(path, text); err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("server %d: %w", serverID, err)
	}
	return nil
}

// DetachNetwork takes the interface away.
func (d *Docker) DetachNetwork(ctx context.Context, serverID, networkID int64) error {
	defer d.lock(d.Container(serverID))()
	_, err := docker(ctx, "network", "disconnect", "--force", d.privateNetwork(networkID), d.Container(serverID))
	if err != nil && !absent(err) {
		return fmt.Errorf("server %d: %w", serverID, err)
	}
	return d.notePrivate(serverID, "")
}

// DeleteNetwork removes a private network that no machine is in.
func (d *Docker) DeleteNetwork(ctx context.Context, id int64) error {
	if _, err := docker(ctx, "network", "rm", d.privateNetwork(id)); err != nil && !absent(err) {
		return fmt.Errorf("network %d: %w", id, err)
	}
	return nil
}
