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

// bootTest is a server with its address, network, firewall and volume.
type bootTest struct {
	*cloud
	hostPrivate, hostPublic string
	privateIP               string
	ip                      string
	key                     *hcloud.SSHKey
	address                 *hcloud.PrimaryIP
	network                 *hcloud.Network
	firewall                *hcloud.Firewall
	volume                  *hcloud.Volume
	server                  *hcloud.Server
}

func TestServerBootsAndKeepsItsVolumeOverRebootAndReplacement(t *testing.T) {
	t.Parallel()
	b := newBootTest(t)
	b.server = b.boot("web-1")
	t.Logf("first boot until cloud-init was done: %s", b.up(b.ip).Round(100*time.Millisecond))
	b.checkFirstBoot()
	b.mountVolumeByUnit()
	b.attachNetwork()
	b.filterPublishedPorts()
	b.keepContainersFromMetadata()
	b.rebootByAPI()
	b.rebootFromInside()
	b.replaceServer()
	b.resizeAndDetachVolume()
}

// newBootTest makes everything but the server.
func newBootTest(t *testing.T) *bootTest {
	t.Helper()
	b := &bootTest{cloud: newCloud(t)}
	client, ctx := b.client, b.ctx
	b.hostPrivate, b.hostPublic = b.keyPair("host")
	_, userPublic := b.keyPair("user")

	b.key = ok[*hcloud.SSHKey](t)(client.SSHKey.Create(ctx,
		hcloud.SSHKeyCreateOpts{Name: "user", PublicKey: userPublic}))
	b.address = ok[*hcloud.PrimaryIPCreateResult](t)(client.PrimaryIP.Create(ctx, hcloud.PrimaryIPCreateOpts{
		Name: "web", Type: "ipv4", AssigneeType: "server", Location: "fsn1", AutoDelete: hcloud.Ptr(false),
	})).PrimaryIP
	b.ip = b.address.IP.String()
	if err := os.WriteFile(filepath.Join(b.dir, "known_hosts"), []byte(b.ip+" "+b.hostPublic+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, private, err := net.ParseCIDR(b.private.String())
	if err != nil {
		t.Fatal(err)
	}
	b.privateIP = b.private.Addr().Next().Next().String()
	b.network = ok[*hcloud.Network](t)(client.Network.Create(ctx, hcloud.NetworkCreateOpts{
		Name: "private", IPRange: private,
		Subnets: []hcloud.NetworkSubnet{{Type: hcloud.NetworkSubnetTypeCloud, IPRange: private, NetworkZone: "eu-central"}},
	}))
	b.firewall = ok[hcloud.FirewallCreateResult](t)(client.Firewall.Create(ctx,
		hcloud.FirewallCreateOpts{Name: "web", Rules: allow("22")})).Firewall
	created := ok[hcloud.VolumeCreateResult](t)(client.Volume.Create(ctx, hcloud.VolumeCreateOpts{
		Name: "data", Size: 10, Location: &hcloud.Location{Name: "fsn1"}, Format: hcloud.Ptr("ext4"),
	}))
	b.wait(created.Action)
	b.volume = created.Volume
	return b
}

// boot creates a server that has the address.
func (b *bootTest) boot(name string) *hcloud.Server {
	b.t.Helper()
	result := ok[hcloud.ServerCreateResult](b.t)(b.client.Server.Create(b.ctx, hcloud.ServerCreateOpts{
		Name: name, ServerType: &hcloud.ServerType{Name: "cx23"}, Image: &hcloud.Image{Name: "debian-12"},
		Location: &hcloud.Location{Name: "fsn1"}, UserData: userData(b.hostPrivate, b.hostPublic),
		SSHKeys:   []*hcloud.SSHKey{b.key},
		Firewalls: []*hcloud.ServerCreateFirewall{{Firewall: *b.firewall}},
		PublicNet: &hcloud.ServerCreatePublicNet{EnableIPv4: true, IPv4: b.address},
	}))
	b.wait(append(result.NextActions, result.Action)...)
	return result.Server
}

func (b *bootTest) attachVolume() {
	b.t.Helper()
	b.wait(ok[*hcloud.Action](b.t)(b.client.Volume.AttachWithOpts(b.ctx, b.volume,
		hcloud.VolumeAttachOpts{Server: b.server, Automount: hcloud.Ptr(false)})))
}

func (b *bootTest) checkFirstBoot() {
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
		if got := b.must(b.ip, command); got != want {
			b.t.Errorf("%s: got %q, want %q", command, got, want)
		}
	}
}

// mountVolumeByUnit starts the unit before the volume is attached: it waits for the device.
func (b *bootTest) mountVolumeByUnit() {
	b.must(b.ip, fmt.Sprintf("cat > /etc/systemd/system/mnt-data.mount <<'EOF'\n%sEOF\nsystemctl daemon-reload; "+
		"systemctl enable mnt-data.mount; systemctl start --no-block mnt-data.mount", fmt.Sprintf(mountUnit, b.volume.ID)))
	if out, _ := b.ssh(b.ip, "sleep 1; systemctl is-active mnt-data.mount"); out != "inactive" && out != "activating" {
		b.t.Errorf("before the volume is attached the mount unit is %q", out)
	}
	b.attachVolume()
	b.must(b.ip, "for i in $(seq 100); do mountpoint -q /mnt/data && break; sleep 0.1; done; mountpoint /mnt/data")
	b.must(b.ip, "echo kept > /mnt/data/file && sync && systemctl stop mnt-data.mount")
	b.must(b.ip, fmt.Sprintf("mount /dev/disk/by-id/scsi-0HC_Volume_%d /mnt/data && grep -q kept /mnt/data/file",
		b.volume.ID))
}

func (b *bootTest) attachNetwork() {
	b.wait(ok[*hcloud.Action](b.t)(b.client.Server.AttachToNetwork(b.ctx, b.server, hcloud.ServerAttachToNetworkOpts{
		Network: b.network, IP: net.ParseIP(b.privateIP),
	})))
	if out := b.must(b.ip, "ip -o -4 address"); !strings.Contains(out, b.privateIP+"/24") {
		b.t.Errorf("private address %s is missing:\n%s", b.privateIP, out)
	}
}

// filterPublishedPorts publishes ports of containers, which is DNAT: the firewall comes before it.
func (b *bootTest) filterPublishedPorts() {
	b.must(b.ip, nestedImage)
	b.must(b.ip, "for port in 8080 8081; do docker run -d --restart always -p $port:80 nc /bin/nc.openbsd -lk -p 80; done")
	if canReach(b.ip + ":8080") {
		b.t.Error("port 8080 is reachable although no rule allows it")
	}
	b.wait(ok[[]*hcloud.Action](b.t)(b.client.Firewall.SetRules(b.ctx, b.firewall,
		hcloud.FirewallSetRulesOpts{Rules: allow("22", "8080")}))...)
	if !canReach(b.ip+":8080") || canReach(b.ip+":8081") {
		b.t.Error("want 8080 open and 8081 closed after the change of rules")
	}
}

// keepContainersFromMetadata drops forwarded traffic, which is what a container asks of the metadata service.
func (b *bootTest) keepContainersFromMetadata() {
	const ask = "docker run --rm nc /bin/nc.openbsd -z -w 2 169.254.169.254 80"
	b.must(b.ip, ask)
	b.must(b.ip, "iptables -I DOCKER-USER -d 169.254.169.254/32 -j DROP")
	if _, err := b.ssh(b.ip, ask); err == nil {
		b.t.Error("DOCKER-USER does not keep containers from the metadata service")
	}
}

// rebootByAPI shows that the disk, the volume, the private address, the swarm and the firewall survive a reboot.
func (b *bootTest) rebootByAPI() {
	// boot_id is the kernel's, which containers share.
	const identify = "cat /proc/sys/kernel/random/boot_id /etc/machine-id; stat -c %Y /etc/written-by-user-data"
	identity := b.must(b.ip, identify)
	b.wait(ok[*hcloud.Action](b.t)(b.client.Server.Reboot(b.ctx, b.server)))
	b.t.Logf("reboot until SSH: %s", b.up(b.ip).Round(100*time.Millisecond))
	if again := b.must(b.ip, identify); again != identity {
		b.t.Errorf("the disk did not survive the reboot: %s, was %s", again, identity)
	}
	b.must(b.ip, "for i in $(seq 100); do mountpoint -q /mnt/data && break; sleep 0.1; done; "+
		"grep -q kept /mnt/data/file && systemctl is-active mnt-data.mount")
	if out := b.must(b.ip, "ip -o -4 address; for i in $(seq 100); do docker info --format "+
		"'{{.Swarm.LocalNodeState}}' && break; sleep 0.2; done"); !strings.Contains(out, b.privateIP+"/24") ||
		!strings.HasSuffix(out, "active") {
		b.t.Errorf("after the reboot:\n%s", out)
	}
	b.must(b.ip, "for i in $(seq 100); do nc -z 127.0.0.1 8081 && break; sleep 0.1; done; nc -z 127.0.0.1 8081")
	if !canReach(b.ip+":8080") || canReach(b.ip+":8081") {
		b.t.Error("want 8080 open and 8081 closed after the reboot")
	}
}

func (b *bootTest) rebootFromInside() {
	begun := b.must(b.ip, "stat -c %Y /proc/1")
	_, _ = b.ssh(b.ip, "systemctl reboot")
	for range 150 {
		if now, err := b.ssh(b.ip, "stat -c %Y /proc/1"); err == nil && now != begun {
			break
		}
		time.Sleep(200 * time.Millisecond)
	}
	if now := b.must(b.ip, "stat -c %Y /proc/1"); now == begun {
		b.t.Error("systemctl reboot did not reboot")
	}
}

// replaceServer has another server take over the address and the volume.
func (b *bootTest) replaceServer() {
	deleted := ok[*hcloud.ServerDeleteResult](b.t)(b.client.Server.DeleteWithResult(b.ctx, b.server))
	b.wait(deleted.Action)
	b.server = b.boot("web-2")
	b.t.Logf("boot of the second server: %s", b.up(b.ip).Round(100*time.Millisecond))
	b.attachVolume()
	b.must(b.ip, fmt.Sprintf("mkdir -p /mnt/data && mount /dev/disk/by-id/scsi-0HC_Volume_%d /mnt/data && "+
		"grep -q kept /mnt/data/file", b.volume.ID))
	b.must(b.ip, "umount /mnt/data")
}

func (b *bootTest) resizeAndDetachVolume() {
	b.wait(ok[*hcloud.Action](b.t)(b.client.Volume.Resize(b.ctx, b.volume, 11)))
	if size := b.must(b.ip, fmt.Sprintf("blockdev --getsize64 /dev/disk/by-id/scsi-0HC_Volume_%d",
		b.volume.ID)); size != fmt.Sprint(11<<30) {
		b.t.Errorf("size after the change: %s", size)
	}
	b.wait(ok[*hcloud.Action](b.t)(b.client.Volume.Detach(b.ctx, b.volume)))
	if out, err := b.ssh(b.ip, fmt.Sprintf("ls /dev/disk/by-id/scsi-0HC_Volume_%d", b.volume.ID)); err == nil {
		b.t.Errorf("the device of a detached volume is still there: %s", out)
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
