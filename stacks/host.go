package stacks

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/pulumi/pulumi-docker/sdk/v4/go/docker"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/prekzursil/momentstudio-infra/components/host"
	"github.com/prekzursil/momentstudio-infra/components/hostapply"
	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
	"github.com/prekzursil/momentstudio-infra/internal/render"
	"github.com/prekzursil/momentstudio-infra/internal/workload"
)

// machine is a host that is configured.
type machine struct {
	*host.Host
	applied    *workload.Ran
	pulled     *workload.Ran           // the images of the services that cannot run twice
	network    pulumi.StringOutput     // ID of the app network
	settings   pulumi.StringOutput     // the application's .env, secret
	onHost     []pulumi.ResourceOption // of everything that Docker runs there
	afterApply []pulumi.ResourceOption // the same, for what waits for the configuration
}

// host provisions the server, configures it, and makes the network of the shop.
func (s *stack) host() (*machine, error) {
	server, err := s.server()
	if err != nil {
		return nil, err
	}
	engine, err := s.dockerProvider(server)
	if err != nil {
		return nil, err
	}
	// livesOn is the last transformation: the SDK keeps the options of no other.
	transform := []pulumi.ResourceTransformation{livesOn(server.Server)}
	if !s.profile.wayOut {
		transform = slices.Insert(transform, 0, pulumi.ResourceTransformation(withoutNames))
	}
	h := &machine{
		Host: server, onHost: []pulumi.ResourceOption{engine, pulumi.Transformations(transform)}, settings: s.appEnv(),
	}
	base, err := s.hostPart(h)
	if err != nil {
		return nil, err
	}
	backups, err := s.backupPart()
	if err != nil {
		return nil, err
	}
	applied, err := hostapply.New(s.ctx, "host-apply", hostapply.Args{
		OpsImage: s.config.Images.Ops, Ready: h.Ready,
		Parts: []workload.HostPart{base, s.databasePart(), s.certificatePart(), backups},
		Reload: []string{
			"ssh.service", "systemd-journald.service", hostspec.MetadataService, hostspec.DataService,
		},
		Images: s.stopFirstImages(),
	}, h.onHost...)
	if err != nil {
		return nil, err
	}
	h.applied, h.pulled = applied.Job, applied.Pulled
	h.afterApply = append([]pulumi.ResourceOption{pulumi.DependsOn([]pulumi.Resource{applied.Job.Container})}, h.onHost...)
	h.network, err = s.appNetwork(h)
	return h, err
}

// stopFirstImages are those of the services that cannot run twice.
func (s *stack) stopFirstImages() []string {
	images := []string{s.config.Images.Edge, s.config.Images.Redis}
	if s.ownDatabase() {
		images = append(images, s.config.Images.Postgres)
	}
	return images
}

// afterPull are the options of the services that cannot run twice.
func (h *machine) afterPull() []pulumi.ResourceOption {
	return append([]pulumi.ResourceOption{pulumi.DependsOn([]pulumi.Resource{h.pulled.Container})}, h.afterApply...)
}

// server provisions the server with its address and its volume.
func (s *stack) server() (*host.Host, error) {
	c, keys := s.config, s.secrets
	args := host.Args{
		Stack: c.Stack, Location: c.Host.Location, NetworkZone: c.Host.NetworkZone,
		ServerType: c.Host.ServerType, Image: c.Host.Image, Generation: c.Host.Generation, SSHFrom: c.Host.SSHFrom,
		PrivateNetwork: c.Host.PrivateNetwork, PrivateSubnet: c.Host.PrivateSubnet, PrivateAddress: c.Host.PrivateAddress,
		VolumeSizeGB: c.Host.VolumeSizeGB, Protect: c.Protect, ReadyTimeout: c.Host.ReadyTimeout(),
		DeployKeySeed: keys.DeployKeySeed, OldDeployKeySeed: keys.OldDeployKeySeed, DeployKeyNumber: c.Secrets.DeployKey,
		BootstrapHostSeed: keys.BootstrapHostSeed, HostKeySeed: keys.HostKeySeed, OldHostKeySeed: keys.OldHostKeySeed,
		OldHostKey:          c.Secrets.HostKey > 1 && c.Secrets.HostKeyDropped < c.Secrets.HostKey-1,
		BootstrapKeyDropped: c.Host.BootstrapKeyDropped, Expires: s.profile.expires,
	}
	if s.profile.public {
		args.Domain = c.Domain
	}
	return host.New(s.ctx, "host", args, s.clouds)
}

// appNetwork connects the services of the shop.
func (s *stack) appNetwork(h *machine) (pulumi.StringOutput, error) {
	args := &docker.NetworkArgs{
		Name: pulumi.String(hostspec.AppNetwork), Driver: pulumi.String("overlay"), Attachable: pulumi.Bool(true),
		IpamConfigs: docker.NetworkIpamConfigArray{&docker.NetworkIpamConfigArgs{
			Subnet: pulumi.String(hostspec.AppSubnet), Gateway: pulumi.String(hostspec.AppGateway),
		}},
	}
	if !s.profile.wayOut {
		args.Internal = pulumi.Bool(true)
	}
	network, err := docker.NewNetwork(s.ctx, "app-network", args, h.afterApply...)
	if err != nil {
		return pulumi.StringOutput{}, fmt.Errorf("declare the app network: %w", err)
	}
	return network.ID().ToStringOutput(), nil
}

// hostPart is what every host has: directories, journal, SSH keys, upgrades, the hostops command, and the
// application's settings.
func (s *stack) hostPart(h *machine) (workload.HostPart, error) {
	c := s.config
	part := workload.HostPart{
		Directories: hostspec.Directories(s.ownDatabase()),
		Files: []hostspec.File{
			{
				Path: "/etc/systemd/journald.conf.d/10-momentstudio.conf", Mode: 0o644,
				Content: "[Journal]\nSystemMaxUse=500M\nMaxRetentionSec=30day\n",
			},
			// From here on only the newest deploy key opens the host; the one of its first boot does not.
			{
				Path: "/etc/ssh/sshd_config.d/20-momentstudio-keys.conf", Mode: 0o644,
				Content: "AuthorizedKeysFile " + hostspec.AuthorizedKeys + "\n",
			},
		},
		Timers: []render.Timer{s.prune(), s.mediaJobs()},
		Secrets: map[string]workload.HostSecret{
			hostspec.AppEnvSecret:        {Content: h.settings},
			hostspec.SSHHostKey:          {Content: h.HostKey},
			hostspec.SSHHostKey + ".pub": {Content: h.HostPublic},
			hostspec.AuthorizedKeys:      {Content: pulumi.Sprintf("%s\n", h.DeployUser)},
		},
	}
	if c.Registry.Username != "" {
		part.Secrets[hostspec.RegistrySecret] = workload.HostSecret{Content: s.registryCredentials()}
	}
	// No secret, but known only when the volume is there.
	part.Secrets[hostspec.VolumeFile] = workload.HostSecret{Content: h.VolumeID}
	// The file system grows with the volume, in a new run.
	part.Facts = pulumi.StringArray{pulumi.Sprintf("VOLUME_GB=%d", c.Host.VolumeSizeGB)}
	boot, err := render.BootFiles()
	if err != nil {
		return part, err
	}
	part.Files = append(part.Files, boot...)
	upgrades, err := render.UnattendedUpgrades(c.Host.RebootAt)
	if err != nil {
		return part, err
	}
	mounts := render.HostMounts(hostspec.EtcDir)
	command, err := render.HostopsCommand(c.Images.Ops, hostspec.AppNetwork, mounts, !s.profile.wayOut)
	part.Files = append(append(part.Files, upgrades...), command)
	return part, err
}

// prune removes images of old releases from the host, but never a container: the engine's state knows
// those of the jobs.
func (s *stack) prune() render.Timer {
	c := s.config
	return render.Timer{
		Name: "prune", Description: "Remove images of old releases", Image: c.Images.Ops,
		Calendar: "*-*-* " + c.Host.PruneAt + ":00", RandomDelay: 10 * time.Minute, Limit: 20 * time.Minute, MemoryMB: 256,
		Command: []string{"prune", "--contract", strconv.Itoa(hostspec.ContractVersion), "--keep", c.Images.Postgres},
		Mounts: []string{
			"type=bind,source=/var/run/docker.sock,target=/var/run/docker.sock",
			"type=bind,source=/run/lock,target=/run/lock",
			"type=bind,source=" + hostspec.ReleasesDir + ",target=" + hostspec.ReleasesDir + ",readonly",
		},
	}
}

// mediaJobs queues what the worker's queue lost.
func (s *stack) mediaJobs() render.Timer {
	longest := time.Duration(s.config.Worker.LongestJobSeconds) * time.Second
	return render.Timer{
		Name: "media-jobs", Description: "Queue media jobs again that were lost", Image: s.config.Images.Ops,
		Calendar: "*-*-* *:40:00", RandomDelay: 5 * time.Minute, Limit: 5 * time.Minute, MemoryMB: 256,
		Command: []string{
			"media-jobs", "--contract", strconv.Itoa(hostspec.ContractVersion), "--longest", longest.String(),
		},
		Network: hostspec.AppNetwork,
		Mounts:  []string{"type=bind,source=" + hostspec.SecretsDir + ",target=" + hostspec.SecretsDir + ",readonly"},
	}
}

// registryCredentials are those of hostops, which pulls images through Docker's API.
func (s *stack) registryCredentials() pulumi.StringOutput {
	c := s.config
	return secretInput(c.RegistryPassword).ApplyT(func(password string) (string, error) {
		//nolint:gosec // it becomes a secret file
		text, err := json.Marshal(hostspec.RegistryAuth{
			Username: c.Registry.Username, Password: password,
			ServerAddress: c.Registry.Address,
		})
		return string(text), err
	}).(pulumi.StringOutput)
}
