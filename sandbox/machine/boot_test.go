package machine_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hetznercloud/hcloud-go/v2/hcloud"
)

// mountUnit is an ordinary unit: it names the device and a time limit.
const mountUnit = `[Unit]
Description=Data
[Mount]
What=/dev/disk/by-id/scsi-0HC_Volume_%d
Where=/mnt/data
Type=ext4
Options=nofail,x-systemd.device-timeout=90
[Install]
WantedBy=multi-user.target
`

// nestedImage makes an image for the host's own engine out of the host's netcat.
const nestedImage = `ldd /bin/nc.openbsd | grep -o '/[^ ]*' |
  xargs tar chf - /bin/nc.openbsd 2>/dev/null | docker import - nc`

func TestServerBootsAndKeepsItsVolumeOverRebootAndReplacement(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	client, ctx := c.client, c.ctx
	hostPrivate, hostPublic := c.keyPair("host")
	_, userPublic := c.keyPair("user")

	key := ok[*hcloud.SSHKey](t)(client.SSHKey.Create(ctx, hcloud.SSHKeyCreateOpts{Name: "user", PublicKey: userPublic}))
	address := ok[*hcloud.PrimaryIPCreateResult](t)(client.PrimaryIP.Create(ctx, hcloud.PrimaryIPCreateOpts{
		Name: "web", Type: "ipv4", AssigneeType: "server", Location: "fsn1", AutoDelete: hcloud.Ptr(false),
	})).PrimaryIP
	ip := address.IP.String()
	if err := os.WriteFile(filepath.Join(c.dir, "known_hosts"), []byte(ip+" "+hostPublic+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, private, err := net.ParseCIDR(c.private.String())
	if err != nil {
		t.Fatal(err)
	}
	network := ok[*hcloud.Network](t)(client.Network.Create(ctx, hcloud.NetworkCreateOpts{
		Name: "private", IPRange: private,
		Subnets: []hcloud.NetworkSubnet{{Type: hcloud.NetworkSubnetTypeCloud, IPRange: private, NetworkZone: "eu-central"}},
	}))
	firewall := ok[hcloud.FirewallCreateResult](t)(client.Firewall.Create(ctx,
		hcloud.FirewallCreateOpts{Name: "web", Rules: allow("22")})).Firewall
	created := ok[hcloud.VolumeCreateResult](t)(client.Volume.Create(ctx, hcloud.VolumeCreateOpts{
		Name: "data", Size: 10, Location: &hcloud.Location{Name: "fsn1"}, Format: hcloud.Ptr("ext4"),
	}))
	c.wait(created.Action)
	volume := created.Volume

	boot := func(name string) *hcloud.Server {
		result := ok[hcloud.ServerCreateResult](t)(client.Server.Create(ctx, hcloud.ServerCreateOpts{
			Name: name, ServerType: &hcloud.ServerType{Name: "cx22"}, Image: &hcloud.Image{Name: "debian-12"},
			Location: &hcloud.Location{Name: "fsn1"}, UserData: userData(hostPrivate,
				hostPublic), SSHKeys: []*hcloud.SSHKey{key},
			Firewalls: []*hcloud.ServerCreateFirewall{{Firewall: *firewall}},
			PublicNet: &hcloud.ServerCreatePublicNet{EnableIPv4: true, IPv4: address},
		}))
		c.wait(append(result.NextActions, result.Action)...)
		return result.Server
	}
	server := boot("web-1")
	t.Logf("first boot until cloud-init was done: %s", c.up(ip).Round(100*time.Millisecond))

	for command, want := range map[string]string{
		"hostname":                      "web-1",
		"cat /etc/written-by-user-data": "written",
		"docker info --format '{{.Driver}} {{.Swarm.LocalNodeState}}'": "overlay2 active",
		"systemctl is-system-running --wait":                           "running",
		"getent hosts registry.sandbox.test | cut -d' ' -f1":           "192.0.2.7",
		"ls /etc/ssh/ssh_host_*_key":                                   "/etc/ssh/ssh_host_ed25519_key",
		"curl -s http://169.254.169.254/hetzner/v1/metadata/hostname":  "web-1",
		"curl -s http://169.254.169.254/hetzner/v1/userdata | head -1": "#cloud-config",
		"ls /etc/ssl/certs | grep -c sandbox-0":                        "1",
	} {
		if got := c.must(ip, command); got != want {
			t.Errorf("%s: got %q, want %q", command, got, want)
		}
	}

	// The unit is started before the volume is attached: it waits for the device.
	c.must(ip, fmt.Sprintf("cat > /etc/systemd/system/mnt-data.mount <<'EOF'\n%sEOF\nsystemctl daemon-reload; systemctl "+
		"enable mnt-data.mount; systemctl start --no-block mnt-data.mount", fmt.Sprintf(mountUnit, volume.ID)))
	if out, _ := c.ssh(ip, "sleep 1; systemctl is-active mnt-data.mount"); out != "inactive" && out != "activating" {
		t.Errorf("before the volume is attached the mount unit is %q", out)
	}
	c.wait(ok[*hcloud.Action](t)(client.Volume.AttachWithOpts(ctx, volume,
		hcloud.VolumeAttachOpts{Server: server, Automount: hcloud.Ptr(false)})))
	c.must(ip, "for i in $(seq 100); do mountpoint -q /mnt/data && break; sleep 0.1; done; mountpoint /mnt/data")
	c.must(ip, "echo kept > /mnt/data/file && sync && systemctl stop mnt-data.mount")
	c.must(ip, fmt.Sprintf("mount /dev/disk/by-id/scsi-0HC_Volume_%d /mnt/data && grep -q kept /mnt/data/file", volume.ID))

	c.wait(ok[*hcloud.Action](t)(client.Server.AttachToNetwork(ctx, server, hcloud.ServerAttachToNetworkOpts{
		Network: network, IP: net.ParseIP(c.private.Addr().Next().Next().String()),
	})))
	wantPrivate := c.private.Addr().Next().Next().String()
	if out := c.must(ip, "ip -o -4 address"); !strings.Contains(out, wantPrivate+"/24") {
		t.Errorf("private address %s is missing:\n%s", wantPrivate, out)
	}

	// A published port of a container is DNAT: the firewall comes before it.
	c.must(ip, nestedImage)
	c.must(ip, "for port in 8080 8081; do docker run -d --restart always -p $port:80 nc /bin/nc.openbsd -lk -p 80; done")
	if canReach(ip + ":8080") {
		t.Error("port 8080 is reachable although no rule allows it")
	}
	c.wait(ok[[]*hcloud.Action](t)(client.Firewall.SetRules(ctx, firewall,
		hcloud.FirewallSetRulesOpts{Rules: allow("22", "8080")}))...)
	if !canReach(ip+":8080") || canReach(ip+":8081") {
		t.Error("want 8080 open and 8081 closed after the change of rules")
	}

	// What a container asks of the metadata service is forwarded traffic.
	const ask = "docker run --rm nc /bin/nc.openbsd -z -w 2 169.254.169.254 80"
	c.must(ip, ask)
	c.must(ip, "iptables -I DOCKER-USER -d 169.254.169.254/32 -j DROP")
	if _, err := c.ssh(ip, ask); err == nil {
		t.Error("DOCKER-USER does not keep containers from the metadata service")
	}

	identity := c.must(ip, "cat /proc/sys/kernel/random/boot_id /etc/machine-id; stat -c %Y /etc/written-by-user-data")
	c.wait(ok[*hcloud.Action](t)(client.Server.Reboot(ctx, server)))
	t.Logf("reboot until SSH: %s", c.up(ip).Round(100*time.Millisecond))
	if again := c.must(ip,
		"cat /proc/sys/kernel/random/boot_id /etc/machine-id; stat -c %Y /etc/written-by-user-data"); again != identity {
		// boot_id is the kernel's, which containers share.
		t.Errorf("the disk did not survive the reboot: %s, was %s", again, identity)
	}
	c.must(ip, "for i in $(seq 100); do mountpoint -q /mnt/data && break; sleep 0.1; done; grep -q kept /mnt/data/file "+
		"&& systemctl is-active mnt-data.mount")
	if out := c.must(ip, "ip -o -4 address; for i in $(seq 100); do docker info --format '{{.Swarm.LocalNodeState}}' && "+
		"break; sleep 0.2; done"); !strings.Contains(out, wantPrivate+"/24") || !strings.HasSuffix(out, "active") {
		t.Errorf("after the reboot:\n%s", out)
	}
	c.must(ip, "for i in $(seq 100); do nc -z 127.0.0.1 8081 && break; sleep 0.1; done; nc -z 127.0.0.1 8081")
	if !canReach(ip+":8080") || canReach(ip+":8081") {
		t.Error("want 8080 open and 8081 closed after the reboot")
	}

	// From inside, too.
	begun := c.must(ip, "stat -c %Y /proc/1")
	_, _ = c.ssh(ip, "systemctl reboot")
	for range 150 {
		if now, err := c.ssh(ip, "stat -c %Y /proc/1"); err == nil && now != begun {
			break
		}
		time.Sleep(200 * time.Millisecond)
	}
	if now := c.must(ip, "stat -c %Y /proc/1"); now == begun {
		t.Error("systemctl reboot did not reboot")
	}

	// Another server takes over the address and the volume.
	deleted := ok[*hcloud.ServerDeleteResult](t)(client.Server.DeleteWithResult(ctx, server))
	c.wait(deleted.Action)
	server = boot("web-2")
	t.Logf("boot of the second server: %s", c.up(ip).Round(100*time.Millisecond))
	c.wait(ok[*hcloud.Action](t)(client.Volume.AttachWithOpts(ctx, volume,
		hcloud.VolumeAttachOpts{Server: server, Automount: hcloud.Ptr(false)})))
	c.must(ip, fmt.Sprintf("mkdir -p /mnt/data && mount /dev/disk/by-id/scsi-0HC_Volume_%d /mnt/data && grep -q kept "+
		"/mnt/data/file", volume.ID))
	c.must(ip, "umount /mnt/data")
	c.wait(ok[*hcloud.Action](t)(client.Volume.Resize(ctx, volume, 11)))
	if size := c.must(ip, fmt.Sprintf("blockdev --getsize64 /dev/disk/by-id/scsi-0HC_Volume_%d",
		volume.ID)); size != fmt.Sprint(11<<30) {
		t.Errorf("size after the change: %s", size)
	}
	c.wait(ok[*hcloud.Action](t)(client.Volume.Detach(ctx, volume)))
	if out, err := c.ssh(ip, fmt.Sprintf("ls /dev/disk/by-id/scsi-0HC_Volume_%d", volume.ID)); err == nil {
		t.Errorf("the device of a detached volume is still there: %s", out)
	}
}

func allow(ports ...string) []hcloud.FirewallRule {
	_, everywhere, _ := net.ParseCIDR("0.0.0.0/0")
	var rules []hcloud.FirewallRule
	for _, port := range ports {
		rules = append(rules, hcloud.FirewallRule{
			Direction: hcloud.FirewallRuleDirectionIn, Protocol: hcloud.FirewallRuleProtocolTCP, Port: &port,
			SourceIPs: []net.IPNet{*everywhere},
		})
	}
	return rules
}
