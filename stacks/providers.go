package stacks

import (
	"fmt"
	"slices"

	"github.com/pulumi/pulumi-cloudflare/sdk/v5/go/cloudflare"
	"github.com/pulumi/pulumi-docker/sdk/v4/go/docker"
	"github.com/pulumi/pulumi-hcloud/sdk/go/hcloud"
	"github.com/pulumi/pulumi-random/sdk/v4/go/random"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/prekzursil/momentstudio-infra/components/host"
	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
	"github.com/prekzursil/momentstudio-infra/internal/sshfiles"
)

// cloudProviders declares the providers of the two clouds and of random. Tokens come from the
// environment (HCLOUD_TOKEN, CLOUDFLARE_API_TOKEN) and so never enter the state.
func (s *stack) cloudProviders() (pulumi.ResourceOption, error) {
	ctx, c := s.ctx, s.config
	h := &hcloud.ProviderArgs{}
	if c.Endpoints.Hcloud != "" {
		h.Endpoint = pulumi.String(c.Endpoints.Hcloud)
	}
	if c.Endpoints.HcloudPollInterval != "" {
		h.PollInterval = pulumi.String(c.Endpoints.HcloudPollInterval)
	}
	hetzner, err := hcloud.NewProvider(ctx, "hetzner", h)
	if err != nil {
		return nil, fmt.Errorf("declare the Hetzner provider: %w", err)
	}
	chance, err := random.NewProvider(ctx, "random", &random.ProviderArgs{})
	if err != nil {
		return nil, fmt.Errorf("declare the random provider: %w", err)
	}
	if !s.profile.public { // it has nothing at Cloudflare, and no token for it
		return pulumi.Providers(hetzner, chance), nil
	}
	cf := &cloudflare.ProviderArgs{}
	if c.Endpoints.CloudflareHost != "" {
		cf.ApiHostname = pulumi.String(c.Endpoints.CloudflareHost)
		cf.ApiBasePath = pulumi.String(c.Endpoints.CloudflarePath)
	}
	flare, err := cloudflare.NewProvider(ctx, "cloudflare", cf)
	if err != nil {
		return nil, fmt.Errorf("declare the Cloudflare provider: %w", err)
	}
	return pulumi.Providers(hetzner, flare, chance), nil
}

// dockerProvider declares the engine on the host. Its address is the PrimaryIp's, which a preview
// knows.
func (s *stack) dockerProvider(h *host.Host) (pulumi.ResourceOption, error) {
	ctx, c := s.ctx, s.config
	args := &docker.ProviderArgs{
		Host:                     pulumi.Sprintf("ssh://root@%s:22", h.Address),
		SshOpts:                  pulumi.ToStringArray(sshfiles.Options(c.Stack)),
		DisableDockerDaemonCheck: pulumi.Bool(true), // the gate has checked; each ping would cost a connection
	}
	if c.Registry.Username != "" {
		args.RegistryAuth = docker.ProviderRegistryAuthArray{&docker.ProviderRegistryAuthArgs{
			Address: pulumi.String(c.Registry.Address), Username: pulumi.String(c.Registry.Username),
			Password: secretInput(c.RegistryPassword).ToStringPtrOutput(),
		}}
	}
	p, err := docker.NewProvider(ctx, "docker", args)
	if err != nil {
		return nil, fmt.Errorf("declare the Docker provider: %w", err)
	}
	return pulumi.Providers(p), nil
}

// withoutNames gives services and jobs a resolver that leads nowhere. A network without a way out keeps their packets
// in, but Docker's own resolver would still ask outside on their behalf (CVE-2024-29018).
func withoutNames(args *pulumi.ResourceTransformationArgs) *pulumi.ResourceTransformationResult {
	servers := pulumi.StringArray{pulumi.String(hostspec.NoResolver)}
	switch p := args.Props.(type) {
	case *docker.ServiceArgs:
		task := p.TaskSpec.(*docker.ServiceTaskSpecArgs)
		container := task.ContainerSpec.(*docker.ServiceTaskSpecContainerSpecArgs)
		container.DnsConfig = &docker.ServiceTaskSpecContainerSpecDnsConfigArgs{Nameservers: servers}
	case *docker.ContainerArgs:
		p.Dns = servers
	default:
		return nil
	}
	return &pulumi.ResourceTransformationResult{Props: args.Props, Opts: args.Opts}
}

// livesOn ties everything on the host to the server, by a label that holds the server's ID and
// whose change replaces the resource: a preview of a rebuild shows it, and an update can never keep
// records of a machine that is gone. `studio up` drops those records before a
// rebuild; a bare `pulumi up` stops at a secret that is still in use.
// When the stack is destroyed, nothing dials the host for each resource first.
func livesOn(server pulumi.CustomResource) pulumi.ResourceTransformation {
	const label = "momentstudio.server"
	id := server.ID().ToStringOutput()
	return func(args *pulumi.ResourceTransformationArgs) *pulumi.ResourceTransformationResult {
		switch p := args.Props.(type) {
		case *docker.ServiceArgs:
			have, _ := p.Labels.(docker.ServiceLabelArray)
			p.Labels = append(have, &docker.ServiceLabelArgs{Label: pulumi.String(label), Value: id})
		case *docker.ContainerArgs:
			have, _ := p.Labels.(docker.ContainerLabelArray)
			p.Labels = append(have, &docker.ContainerLabelArgs{Label: pulumi.String(label), Value: id})
		case *docker.SecretArgs:
			have, _ := p.Labels.(docker.SecretLabelArray)
			p.Labels = append(have, &docker.SecretLabelArgs{Label: pulumi.String(label), Value: id})
		case *docker.NetworkArgs:
			have, _ := p.Labels.(docker.NetworkLabelArray)
			p.Labels = append(have, &docker.NetworkLabelArgs{Label: pulumi.String(label), Value: id})
		default:
			return nil
		}
		return &pulumi.ResourceTransformationResult{Props: args.Props, Opts: slices.Concat(args.Opts, []pulumi.ResourceOption{
			pulumi.DeletedWith(server), pulumi.ReplaceOnChanges([]string{"labels"}),
		})}
	}
}
