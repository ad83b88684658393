// Package host provisions the VPS: address, networks, firewall, data volume and server. The server
// is made once; nothing but a raised generation rebuilds it, and address and volume outlive it.
package host

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/pulumi/pulumi-hcloud/sdk/go/hcloud"
	"github.com/pulumi/pulumi-random/sdk/v4/go/random"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/prekzursil/momentstudio-infra/internal/fault"
	"github.com/prekzursil/momentstudio-infra/internal/gate"
	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
	"github.com/prekzursil/momentstudio-infra/internal/naming"
	"github.com/prekzursil/momentstudio-infra/internal/render"
	"github.com/prekzursil/momentstudio-infra/internal/sshfiles"
	"github.com/prekzursil/momentstudio-infra/internal/sshkey"
)

// TypeToken is part of every child's URN: changing it needs an alias.
const TypeToken = "momentstudio:host:Host"

// Args describes the host.
type Args struct {
	Stack          string          // names the resources; required
	Domain         hostspec.Domain // reverse DNS of the address; empty: none
	Location       string          // Hetzner location; required; fixed once the host exists
	NetworkZone    string          // required
	ServerType     string          // required; changed in place with a reboot
	Image          string          // used when a server is made; later changes wait for the next generation
	Generation     int             // raising it replaces the server
	SSHFrom        []string        // CIDRs that may reach port 22; changed in place
	PrivateNetwork string          // CIDR; required
	PrivateSubnet  string          // CIDR inside it; required
	PrivateAddress string          // the server's address inside the subnet; required
	VolumeSizeGB   int             // 10 to 10240; grows in place, cannot shrink
	Protect        bool            // locks everything stateful in the engine and in the cloud
	ReadyTimeout   time.Duration

	DeployKeySeed     pulumi.StringInput // secret; required
	OldDeployKeySeed  pulumi.StringInput // secret, of the generation before; required
	DeployKeyNumber   int                // generation of the deploy key
	BootstrapHostSeed pulumi.StringInput // secret; required
	HostKeySeed       pulumi.StringInput // secret; required
	OldHostKeySeed    pulumi.StringInput // secret, of the generation before; required
	OldHostKey        bool               // whether that key is still accepted
	// BootstrapKeyDropped is the generation whose bootstrap host key is no longer accepted; the
	// key that was never in user data is then the only one.
	BootstrapKeyDropped int
	Expires             time.Time // written on everything as the label "expires", in Unix seconds; zero: no label
}

// Host is a server with its address and its data volume.
type Host struct {
	pulumi.ResourceState
	Server     *hcloud.Server
	Address    pulumi.StringOutput      `pulumi:"address"`    // public IPv4
	VolumeID   pulumi.StringOutput      `pulumi:"volumeId"`   // numeric
	KnownHosts pulumi.StringArrayOutput `pulumi:"knownHosts"` // lines that pin the accepted host keys
	DeployKeys pulumi.StringArrayOutput // secret PEMs of the keys that reach the host: the newest, and the one before
	DeployUser pulumi.StringOutput      // public half of the newest, which host-apply installs
	HostKey    pulumi.StringOutput      // secret PEM of the host key that host-apply installs
	HostPublic pulumi.StringOutput      // its public half
	// Ready resolves when the host can carry Docker resources; it dials, except in a preview.
	Ready pulumi.StringOutput
}

// New provisions the host.
func New(ctx *pulumi.Context, name string, args Args, opts ...pulumi.ResourceOption) (*Host, error) {
	if err := args.validate(name); err != nil {
		return nil, err
	}
	h := &Host{}
	if err := ctx.RegisterComponentResource(TypeToken, name, h, opts...); err != nil {
		return nil, fmt.Errorf("register host %q: %w", name, err)
	}
	labels := naming.Labels(args.Stack, "host")
	if !args.Expires.IsZero() {
		labels[naming.Expires] = strconv.FormatInt(args.Expires.Unix(), 10)
	}
	b := &builder{ctx: ctx, name: name, args: args, host: h, labels: pulumi.ToStringMap(labels)}
	for _, step := range []func() error{b.address, b.network, b.volume, b.server, b.attach} {
		if err := step(); err != nil {
			return nil, fmt.Errorf("provision host %q: %w", name, err)
		}
	}
	b.gate()
	return h, ctx.RegisterResourceOutputs(h, pulumi.Map{
		"address": h.Address, "volumeId": h.VolumeID, "knownHosts": h.KnownHosts, "location": b.location(),
		// studio reads them here while the stack's own outputs are not all known
		"sshPrivateKeys": pulumi.ToSecret(h.DeployKeys),
	})
}

func (a Args) validate(name string) error {
	var bad []error
	for _, f := range []struct{ field, value string }{
		{"stack", a.Stack},
		{"location", a.Location},
		{"networkZone", a.NetworkZone},
		{"serverType", a.ServerType},
		{"image", a.Image},
		{"privateNetwork", a.PrivateNetwork},
		{"privateSubnet", a.PrivateSubnet},
		{"privateAddress", a.PrivateAddress},
	} {
		if f.value == "" {
			bad = append(bad, fault.Field(f.field, f.value, "a value"))
		}
	}
	if len(a.SSHFrom) == 0 {
		bad = append(bad, fault.Field("sshFrom", nil, "at least one CIDR, or the host cannot be reached"))
	}
	if a.VolumeSizeGB < 10 || a.VolumeSizeGB > 10240 {
		bad = append(bad, fault.Field("volumeSizeGB", a.VolumeSizeGB, "a whole number of GB from 10 to 10240"))
	}
	if a.Generation < 1 {
		bad = append(bad, fault.Field("generation", a.Generation, "1 or more"))
	}
	return fault.List(fmt.Sprintf("host %q", name), bad...)
}

type builder struct {
	ctx    *pulumi.Context
	name   string
	args   Args
	host   *Host
	labels pulumi.StringMap

	deployKey *hcloud.SshKey
	ip        *hcloud.PrimaryIp
	net       *hcloud.Network
	subnet    *hcloud.NetworkSubnet
	fw        *hcloud.Firewall
	vol       *hcloud.Volume
	attached  []pulumi.Resource
}

func (b *builder) physical(part string) pulumi.StringInput {
	return pulumi.String(naming.Physical(b.args.Stack, part))
}

// address comes first: everything else may be rebuilt behind it, and a preview that knows it
// knows the Docker provider's host.
func (b *builder) address() (err error) {
	b.ip, err = hcloud.NewPrimaryIp(b.ctx, b.name+"-address", &hcloud.PrimaryIpArgs{
		Name: b.physical("address"), Type: pulumi.String("ipv4"), AssigneeType: pulumi.String("server"),
		Location: pulumi.String(b.args.Location), AutoDelete: pulumi.Bool(false),
		DeleteProtection: pulumi.Bool(b.args.Protect), Labels: b.labels,
	}, pulumi.Parent(b.host), pulumi.Protect(b.args.Protect), fixedLocation())
	if err != nil {
		return err
	}
	b.host.Address = b.ip.IpAddress
	if b.args.Domain == "" {
		return nil
	}
	_, err = hcloud.NewRdns(b.ctx, b.name+"-rdns", &hcloud.RdnsArgs{
		PrimaryIpId: number(b.ip.ID()), IpAddress: b.ip.IpAddress, DnsPtr: pulumi.String(b.args.Domain.Apex()),
	}, pulumi.Parent(b.host))
	return err
}

func (b *builder) network() (err error) {
	b.net, err = hcloud.NewNetwork(b.ctx, b.name+"-network", &hcloud.NetworkArgs{
		Name: b.physical("network"), IpRange: pulumi.String(b.args.PrivateNetwork),
		DeleteProtection: pulumi.Bool(b.args.Protect), Labels: b.labels,
	}, pulumi.Parent(b.host), pulumi.Protect(b.args.Protect))
	if err != nil {
		return err
	}
	b.subnet, err = hcloud.NewNetworkSubnet(b.ctx, b.name+"-subnet", &hcloud.NetworkSubnetArgs{
		NetworkId: number(b.net.ID()), Type: pulumi.String("cloud"),
		NetworkZone: pulumi.String(b.args.NetworkZone), IpRange: pulumi.String(b.args.PrivateSubnet),
	}, pulumi.Parent(b.host))
	if err != nil {
		return err
	}
	world := pulumi.StringArray{pulumi.String("0.0.0.0/0"), pulumi.String("::/0")}
	rule := func(what, protocol, port string, from pulumi.StringArray) *hcloud.FirewallRuleArgs {
		r := &hcloud.FirewallRuleArgs{
			Description: pulumi.String(what), Direction: pulumi.String("in"),
			Protocol: pulumi.String(protocol), SourceIps: from,
		}
		if port != "" {
			r.Port = pulumi.String(port)
		}
		return r
	}
	ssh := pulumi.StringArray{}
	for _, cidr := range b.args.SSHFrom {
		ssh = append(ssh, pulumi.String(cidr))
	}
	b.fw, err = hcloud.NewFirewall(b.ctx, b.name+"-firewall", &hcloud.FirewallArgs{
		Name: b.physical("firewall"), Labels: b.labels,
		Rules: hcloud.FirewallRuleArray{
			rule("ssh", "tcp", "22", ssh), rule("http", "tcp", "80", world),
			rule("https", "tcp", "443", world), rule("http3", "udp", "443", world), rule("ping", "icmp", "", world),
		},
	}, pulumi.Parent(b.host))
	return err
}

func (b *builder) volume() (err error) {
	b.vol, err = hcloud.NewVolume(b.ctx, b.name+"-data", &hcloud.VolumeArgs{
		Name: b.physical("data"), Size: pulumi.Int(b.args.VolumeSizeGB), Location: pulumi.String(b.args.Location),
		Format: pulumi.String("ext4"), DeleteProtection: pulumi.Bool(b.args.Protect), Labels: b.labels,
	}, pulumi.Parent(b.host), pulumi.Protect(b.args.Protect),
		// The format is used once; the location is checked by location().
		pulumi.IgnoreChanges([]string{"format", "location"}))
	if err != nil {
		return err
	}
	b.host.VolumeID = b.vol.ID().ToStringOutput()
	return nil
}

// server makes the server from a frozen copy of what only a new server reads. The copy belongs to
// one generation and never changes, so no edit of a text can replace the server, and a rebuild
// takes the texts of its own day (docs/adr/0001).
func (b *builder) server() (err error) {
	a := b.args
	deploy := key(a.DeployKeySeed, "momentstudio-deploy@"+a.Stack)
	oldDeploy := key(a.OldDeployKeySeed, "momentstudio-deploy@"+a.Stack)
	bootstrap := key(a.BootstrapHostSeed, "bootstrap")
	final := key(a.HostKeySeed, "host")
	b.host.DeployKeys = pulumi.StringArray{private(deploy), private(oldDeploy)}.ToStringArrayOutput()
	b.host.HostKey, b.host.HostPublic, b.host.DeployUser = private(final), public(final), public(deploy)

	// The name follows the generation: the new key is made before the old one goes, because deleting
	// first would make the engine replace what depends on it, the server in the end.
	keyName := "deploy"
	if a.DeployKeyNumber > 1 {
		keyName = fmt.Sprintf("deploy-%d", a.DeployKeyNumber)
	}
	b.deployKey, err = hcloud.NewSshKey(b.ctx, b.name+"-deploy-key", &hcloud.SshKeyArgs{
		Name: b.physical(keyName), PublicKey: public(deploy), Labels: b.labels,
	}, pulumi.Parent(b.host))
	if err != nil {
		return err
	}
	userData := pulumi.All(private(bootstrap), public(bootstrap), b.host.VolumeID).ApplyT(func(v []any) (string, error) {
		return render.CloudInit(render.UserData{
			BootstrapKeyPEM: v[0].(string), BootstrapKeyPublic: v[1].(string),
			VolumeID: v[2].(string), PrivateAddress: a.PrivateAddress,
		})
	}).(pulumi.StringOutput)
	frozen, err := random.NewRandomUuid(b.ctx, fmt.Sprintf("%s-boot-%d", b.name, a.Generation), &random.RandomUuidArgs{
		Keepers: pulumi.StringMap{
			"image":    pulumi.String(a.Image),
			"sshKey":   b.deployKey.ID().ToStringOutput(),
			"userData": pulumi.ToSecret(userData).(pulumi.StringOutput),
		},
	}, pulumi.Parent(b.host), pulumi.IgnoreChanges([]string{"keepers"}),
		pulumi.AdditionalSecretOutputs([]string{"keepers"}))
	if err != nil {
		return err
	}
	b.host.Server, err = hcloud.NewServer(b.ctx, b.name+"-server", &hcloud.ServerArgs{
		Name: b.physical("node-1"), ServerType: pulumi.String(a.ServerType), Location: pulumi.String(a.Location),
		Image:   plain(frozen.Keepers, "image").ToStringPtrOutput(),
		SshKeys: pulumi.StringArray{plain(frozen.Keepers, "sshKey")},
		UserData: pulumi.ToSecret(frozen.Keepers.MapIndex(pulumi.String("userData"))).(pulumi.StringOutput).
			ToStringPtrOutput(),
		PublicNets: hcloud.ServerPublicNetArray{&hcloud.ServerPublicNetArgs{
			Ipv4Enabled: pulumi.Bool(true), Ipv4: number(b.ip.ID()).ToIntPtrOutput(), Ipv6Enabled: pulumi.Bool(false),
		}},
		FirewallIds:      pulumi.IntArray{number(b.fw.ID())}, // at creation: no moment without a firewall
		DeleteProtection: pulumi.Bool(a.Protect), RebuildProtection: pulumi.Bool(a.Protect),
		ShutdownBeforeDeletion: pulumi.Bool(true), // Postgres ends cleanly before its volume is taken away
		Labels:                 b.labels,
	}, pulumi.Parent(b.host), pulumi.Protect(a.Protect), fixedLocation(),
		// An opening for SSH (internal/sshallow) is one more of them for a while: an update would take it away, through
		// which it came. `studio drift` compares them.
		pulumi.IgnoreChanges([]string{"firewallIds"}),
		pulumi.DeleteBeforeReplace(true), // name and address are free only then
		pulumi.Timeouts(&pulumi.CustomTimeouts{Create: "15m"}))
	if err != nil {
		return err
	}
	b.host.KnownHosts = b.knownHosts(public(final), public(bootstrap), public(key(a.OldHostKeySeed, "host")))
	return nil
}

// knownHosts pins the host keys that are accepted.
func (b *builder) knownHosts(final, bootstrap, oldFinal pulumi.StringOutput) pulumi.StringArrayOutput {
	a := b.args
	return pulumi.All(b.ip.IpAddress, final, bootstrap, oldFinal).ApplyT(func(v []any) ([]string, error) {
		keys := []string{v[1].(string)}
		if a.OldHostKey {
			keys = append(keys, v[3].(string))
		}
		if a.BootstrapKeyDropped < a.Generation {
			keys = append(keys, v[2].(string))
		}
		lines := make([]string, 0, len(keys))
		for _, k := range keys {
			line, err := sshkey.KnownHost(v[0].(string), k)
			if err != nil {
				return nil, err
			}
			lines = append(lines, line)
		}
		return lines, nil
	}).(pulumi.StringArrayOutput)
}

func (b *builder) attach() error {
	server := number(b.host.Server.ID())
	network, err := hcloud.NewServerNetwork(b.ctx, b.name+"-private", &hcloud.ServerNetworkArgs{
		ServerId: server, NetworkId: number(b.net.ID()).ToIntPtrOutput(), Ip: pulumi.String(b.args.PrivateAddress),
	}, pulumi.Parent(b.host), pulumi.DeleteBeforeReplace(true),
		pulumi.DependsOn([]pulumi.Resource{b.subnet})) // the address lies in it
	if err != nil {
		return err
	}
	// Not mounted by the cloud: its automount fails together with user data (terraform-provider-hcloud#473).
	volume, err := hcloud.NewVolumeAttachment(b.ctx, b.name+"-data-attachment", &hcloud.VolumeAttachmentArgs{
		VolumeId: number(b.vol.ID()), ServerId: server, Automount: pulumi.Bool(false),
	}, pulumi.Parent(b.host), pulumi.DeleteBeforeReplace(true))
	b.attached = []pulumi.Resource{network, volume}
	return err
}

// gate writes the SSH client's files and waits for the host. It is the one side effect inside an
// apply, and a preview does neither. What depends on it depends on the same resources in a preview, though: the
// engine deletes whatever depends on an attachment before it replaces that, and cannot when it is declared earlier.
func (b *builder) gate() {
	if b.ctx.DryRun() {
		after := append([]pulumi.Resource{b.ip, b.host.Server}, b.attached...)
		b.host.Ready = pulumi.OutputWithDependencies(b.ctx.Context(), pulumi.String("ready").ToStringOutput(),
			after...).(pulumi.StringOutput)
		return
	}
	a := b.args
	inputs := []any{b.host.Address, b.host.DeployKeys, b.host.KnownHosts, b.host.Server.ID()}
	for _, r := range b.attached {
		inputs = append(inputs, r.(pulumi.CustomResource).ID())
	}
	ready := pulumi.All(inputs...).ApplyT(func(v []any) (string, error) {
		address, deployKeys, known := v[0].(string), v[1].([]string), v[2].([]string)
		root, err := os.Getwd()
		if err != nil {
			return "", fmt.Errorf("find the project's root: %w", err)
		}
		files := sshfiles.Files{Address: address, PrivateKeys: deployKeys, KnownHosts: known}
		if err := sshfiles.Write(root, a.Stack, files); err != nil {
			return "", err
		}
		keys := make([]string, 0, len(known))
		for _, line := range known {
			keys = append(keys, line[len(address)+1:])
		}
		err = gate.Wait(context.Background(), gate.Target{Address: address + ":22", PrivateKeys: deployKeys, HostKeys: keys},
			a.ReadyTimeout, func(line string) { _ = b.ctx.Log.Info(line, &pulumi.LogArgs{Resource: b.host.Server}) })
		if err != nil {
			return "", err
		}
		return "ready", nil
	}).(pulumi.StringOutput)
	// The deploy key taints the result as secret; the word "ready" is none.
	b.host.Ready = pulumi.Unsecret(ready).(pulumi.StringOutput)
}

// location refuses a configured location that differs from the real one: the engine ignores the
// change, because it would replace address, volume and server.
func (b *builder) location() pulumi.StringOutput {
	want := b.args.Location
	return b.host.Server.Location.ApplyT(func(got string) (string, error) {
		if got != want {
			return "", fault.Hint(fault.List("host", fault.Field("location", want, "the location where it was made, "+got)),
				"a host does not move: set host.location back, or restore a backup into a new stack")
		}
		return got, nil
	}).(pulumi.StringOutput)
}

func fixedLocation() pulumi.ResourceOption { return pulumi.IgnoreChanges([]string{"location"}) }

func number(id pulumi.IDOutput) pulumi.IntOutput {
	return id.ApplyT(func(id pulumi.ID) (int, error) { return strconv.Atoi(string(id)) }).(pulumi.IntOutput)
}

func plain(m pulumi.StringMapOutput, k string) pulumi.StringOutput {
	return pulumi.Unsecret(m.MapIndex(pulumi.String(k))).(pulumi.StringOutput)
}

func key(seed pulumi.StringInput, comment string) pulumi.Output {
	return pulumi.ToSecret(seed).(pulumi.StringOutput).ApplyT(func(s string) (sshkey.Key, error) {
		return sshkey.FromSeed(s, comment)
	})
}

func private(k pulumi.Output) pulumi.StringOutput {
	return k.ApplyT(func(v any) string { return v.(sshkey.Key).PrivatePEM }).(pulumi.StringOutput)
}

func public(k pulumi.Output) pulumi.StringOutput {
	return pulumi.Unsecret(k.ApplyT(func(v any) string { return v.(sshkey.Key).Public })).(pulumi.StringOutput)
}
