// Package caddy deploys the edge. Its service never changes for a new configuration: a job checks
// the Caddyfile with the very image that will read it, another loads it through the admin socket. When image or mounts
// change with it, the running Caddy could not read the new file: then the service starts with it.
package caddy

import (
	"fmt"
	"strconv"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/prekzursil/momentstudio-infra/internal/fault"
	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
	"github.com/prekzursil/momentstudio-infra/internal/naming"
	"github.com/prekzursil/momentstudio-infra/internal/render"
	"github.com/prekzursil/momentstudio-infra/internal/workload"
)

// TypeToken is part of every child's URN: changing it needs an alias.
const TypeToken = "momentstudio:caddy:Caddy"

// Args describes the edge.
type Args struct {
	EdgeImage string // reference with digest; a change restarts Caddy, stop-first
	OpsImage  string // reference with digest
	Network   pulumi.StringInput
	Config    render.Caddy // loaded without a restart
	ACMERoot  string       // PEM by which the ACME directory's own certificate is checked; empty: public roots
	TLSDir    string       // host directory with certificate.pem and key.pem in file mode; empty otherwise
	// identifies the certificate there, whose change makes Caddy load it; nil outside file mode
	TLSHash  pulumi.StringInput
	Applied  pulumi.StringInput
	MemoryMB int  // default 512
	Closed   bool // no port of the host leads to it; who is on the network calls it "edge"
}

// Caddy is the edge with its configuration loaded.
type Caddy struct {
	pulumi.ResourceState
	Loaded pulumi.StringOutput // resolves when the configuration is in place
}

// New deploys the edge.
func New(ctx *pulumi.Context, name string, args Args, opts ...pulumi.ResourceOption) (*Caddy, error) {
	if args.Config.Domain == "" {
		return nil, fault.List(fmt.Sprintf("caddy %q", name), fault.Field("config.domain", "", "the apex domain"))
	}
	if args.MemoryMB == 0 {
		args.MemoryMB = 512
	}
	args.Config.ACMERoot, args.Config.Edition = args.ACMERoot != "", args.edition()
	text, err := render.Caddyfile(args.Config)
	if err != nil {
		return nil, err
	}
	c := &Caddy{}
	if err := ctx.RegisterComponentResource(TypeToken, name, c, opts...); err != nil {
		return nil, fmt.Errorf("register caddy %q: %w", name, err)
	}
	loaded, err := load(ctx, name, args, text, pulumi.Parent(c))
	if err != nil {
		return nil, err
	}
	if err := serve(ctx, name, args, loaded, pulumi.Parent(c)); err != nil {
		return nil, err
	}
	c.Loaded = loaded.Done
	return c, ctx.RegisterResourceOutputs(c, pulumi.Map{"loaded": c.Loaded})
}

// load checks the Caddyfile with the edge's own image, and loads it.
func load(ctx *pulumi.Context, name string, args Args, caddyfile string, parent pulumi.ResourceOption) (*workload.Ran,
	error,
) {
	command := []string{
		"caddy-load", "--contract", strconv.Itoa(hostspec.ContractVersion), "--from", hostspec.ApplyInbox,
		"--to", "/etc/caddy",
	}
	env := pulumi.StringArray{}
	if args.TLSHash != nil {
		command = append(command, "--force")
		env = append(env, pulumi.Sprintf("CERTIFICATE=%s", args.TLSHash))
	}
	checked := []workload.Upload{{Path: hostspec.CaddyfilePath, Content: pulumi.String(caddyfile), Mode: "0444"}}
	loaded := []workload.Upload{{
		Path: hostspec.ApplyInbox + "/" + hostspec.CaddyfileOf(args.edition()), Content: pulumi.String(caddyfile),
	}}
	if args.ACMERoot != "" {
		root := pulumi.String(args.ACMERoot)
		checked = append(checked, workload.Upload{Path: render.ACMERootFile, Content: root, Mode: "0444"})
		loaded = append(loaded, workload.Upload{Path: hostspec.ApplyInbox + "/acme-root.pem", Content: root})
	}
	valid, err := workload.NewJob(ctx, name+"-validate", workload.Job{
		Image:   pulumi.String(args.EdgeImage),
		Command: []string{"validate", "--config", hostspec.CaddyfilePath, "--adapter", hostspec.CaddyAdapter},
		Uploads: checked, Env: env, Mounts: args.tls(), Caps: []string{"CAP_DAC_OVERRIDE"},
		After: []pulumi.StringInput{args.Applied},
	}, parent)
	if err != nil {
		return nil, err
	}
	return workload.NewJob(ctx, name+"-load", workload.Job{
		Image:   pulumi.String(args.OpsImage),
		Command: command,
		Uploads: loaded, Env: env,
		Mounts: []workload.Mount{{Source: hostspec.CaddyConfigDir, Target: "/etc/caddy"}},
		After:  []pulumi.StringInput{args.Applied, valid.Done},
		Caps:   []string{"CAP_DAC_OVERRIDE"},
	}, parent, pulumi.DependsOn([]pulumi.Resource{valid.Container}))
}

// tls mounts the certificate in file mode.
func (a Args) tls() []workload.Mount {
	if a.TLSDir == "" {
		return nil
	}
	return []workload.Mount{{Source: a.TLSDir, Target: "/etc/momentstudio/tls", ReadOnly: true}}
}

// mounts are what Caddy sees of the host.
func (a Args) mounts() []workload.Mount {
	return append([]workload.Mount{
		{Source: hostspec.CaddyConfigDir, Target: "/etc/caddy"},
		{Source: hostspec.CaddyDataDir, Target: "/data"},
		{Source: hostspec.BundlesDir, Target: render.BundlesDir, ReadOnly: true},
	}, a.tls()...)
}

// edition names what the service is able to read: another image knows other directives, other mounts hold other files.
func (a Args) edition() string {
	return naming.ContentHash(fmt.Sprintf("%s %v", a.EdgeImage, a.mounts()))
}

// serve runs Caddy once its configuration is in place.
func serve(ctx *pulumi.Context, name string, args Args, loaded *workload.Ran, parent pulumi.ResourceOption) error {
	ports := []workload.Port{{Number: 80, Protocol: "tcp"}, {Number: 443, Protocol: "tcp"}, {Number: 443, Protocol: "udp"}}
	if args.Closed {
		ports = nil
	}
	_, err := workload.NewService(ctx, name+"-service", "caddy", workload.Service{
		Image: pulumi.String(args.EdgeImage),
		Args: []string{
			"run", "--config", "/etc/caddy/" + hostspec.CaddyfileOf(args.edition()), "--adapter", hostspec.CaddyAdapter,
		},
		Env:     pulumi.StringMap{"XDG_DATA_HOME": pulumi.String("/data"), "XDG_CONFIG_HOME": pulumi.String("/tmp")},
		Mounts:  args.mounts(),
		Network: args.Network, Alias: hostspec.EdgeHost,
		Health: &workload.Health{
			Command:  []string{"/caddy", "healthcheck"},
			Interval: 5 * time.Second, Timeout: 10 * time.Second, Retries: 6, StartPeriod: 30 * time.Second,
		},
		Ports:    ports,
		Replicas: 1, MemoryMB: args.MemoryMB, StopGrace: hostspec.EdgeGrace,
		Caps:     []string{"CAP_NET_BIND_SERVICE"},
		Converge: 3 * time.Minute, After: []pulumi.StringInput{loaded.Done},
	}, parent, pulumi.DependsOn([]pulumi.Resource{loaded.Container}))
	return err
}
