// Package workload turns short descriptions of long-running services and one-shot jobs into
// Docker resources with the settings that every one of them needs: limits, logs, update rules,
// dropped capabilities, exit codes that count.
package workload

import (
	"fmt"
	"time"

	"github.com/pulumi/pulumi-docker/sdk/v4/go/docker"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/prekzursil/momentstudio-infra/internal/naming"
)

// Mount binds a directory of the host into a container.
type Mount struct {
	Source, Target string
	ReadOnly       bool
	TmpfsMB        int // above 0: a file system in memory, without a source; it counts as the task's memory
}

// SecretFile mounts a Swarm secret as a file of mode 0400.
type SecretFile struct {
	Secret *docker.Secret
	Path   string
	UID    string // numeric owner; default "0"
}

// Port is published on the host itself ("host" mode), where the client's address survives.
type Port struct {
	Number   int
	Protocol string // "tcp" or "udp"
}

// Health is a command that exits 0 while the container lives.
type Health struct {
	Command     []string
	Interval    time.Duration
	Timeout     time.Duration
	Retries     int
	StartPeriod time.Duration // failures do not count during it
}

// Service is a long-running part.
type Service struct {
	Image      pulumi.StringInput // reference with digest; required
	Args       []string           // replaces the image's CMD, never its ENTRYPOINT
	Env        pulumi.StringMapInput
	Secrets    []SecretFile
	Mounts     []Mount
	Network    pulumi.StringInput // ID of the app network; required
	Alias      string             // name on that network; required
	Health     *Health            // nil: a running process counts as healthy
	Ports      []Port
	Replicas   int
	MemoryMB   int
	StartFirst bool // start the new task before the old one stops; false for single writers
	StopGrace  time.Duration
	Caps       []string             // capabilities kept, e.g. "CAP_CHOWN"; all others are dropped
	After      []pulumi.StringInput // Done outputs of jobs that must have succeeded
	Converge   time.Duration        // limit for an update to become healthy
	Labels     map[string]string
}

// NewService declares a Swarm service named momentstudio-<part>. Everything but its name is
// changed in place; an update that does not become healthy is rolled back and is an error.
func NewService(ctx *pulumi.Context, name, part string, s Service, opts ...pulumi.ResourceOption) (*docker.Service,
	error,
) {
	order := "stop-first"
	if s.StartFirst {
		order = "start-first"
	}
	labels := docker.ServiceLabelArray{}
	for _, k := range sortedKeys(s.Labels) {
		labels = append(labels, &docker.ServiceLabelArgs{Label: pulumi.String(k), Value: pulumi.String(s.Labels[k])})
	}
	service, err := docker.NewService(ctx, name, &docker.ServiceArgs{
		Name:   pulumi.String(naming.Swarm(part)),
		Labels: labels,
		TaskSpec: &docker.ServiceTaskSpecArgs{
			ContainerSpec: containerSpec(ctx, s),
			NetworksAdvanceds: docker.ServiceTaskSpecNetworksAdvancedArray{
				&docker.ServiceTaskSpecNetworksAdvancedArgs{Name: s.Network, Aliases: stringArray([]string{s.Alias})},
			},
			LogDriver: &docker.ServiceTaskSpecLogDriverArgs{Name: pulumi.String(logDriver), Options: serviceLog()},
			RestartPolicy: &docker.ServiceTaskSpecRestartPolicyArgs{
				Condition: pulumi.String("any"), Delay: pulumi.String("2s"), Window: pulumi.String("10s"),
			},
			Resources: &docker.ServiceTaskSpecResourcesArgs{
				Limits: &docker.ServiceTaskSpecResourcesLimitsArgs{MemoryBytes: pulumi.Int(s.MemoryMB << 20)},
			},
		},
		Mode: &docker.ServiceModeArgs{Replicated: &docker.ServiceModeReplicatedArgs{Replicas: pulumi.Int(s.Replicas)}},
		UpdateConfig: &docker.ServiceUpdateConfigArgs{
			Parallelism: pulumi.Int(1), Order: pulumi.String(order), FailureAction: pulumi.String("rollback"),
			Monitor: pulumi.String("10s"), MaxFailureRatio: pulumi.String("0.0"),
		},
		RollbackConfig: &docker.ServiceRollbackConfigArgs{
			Parallelism: pulumi.Int(1), Order: pulumi.String(order), FailureAction: pulumi.String("pause"),
			Monitor: pulumi.String("5s"), MaxFailureRatio: pulumi.String("0.0"),
		},
		// dnsrr: the name resolves to healthy tasks; no virtual address, no ingress mesh, which
		// would hide the client.
		EndpointSpec: &docker.ServiceEndpointSpecArgs{Mode: pulumi.String("dnsrr"), Ports: ports(s)},
		ConvergeConfig: &docker.ServiceConvergeConfigArgs{
			Delay:   pulumi.String("1s"),
			Timeout: pulumi.String(duration(s.Converge)),
		},
	}, opts...)
	if err != nil {
		return nil, fmt.Errorf("declare service %s: %w", part, err)
	}
	return service, nil
}

// containerSpec is what a task of the service runs.
func containerSpec(ctx *pulumi.Context, s Service) *docker.ServiceTaskSpecContainerSpecArgs {
	spec := &docker.ServiceTaskSpecContainerSpecArgs{
		Image:           after(ctx, s.Image, s.After),
		Args:            stringArray(s.Args),
		Env:             s.Env,
		StopGracePeriod: pulumi.String(duration(s.StopGrace)),
		CapDrops:        pulumi.StringArray{pulumi.String("ALL")},
		CapAdds:         stringArray(s.Caps),
	}
	if s.Health != nil {
		spec.Healthcheck = &docker.ServiceTaskSpecContainerSpecHealthcheckArgs{
			Tests:       stringArray(append([]string{"CMD"}, s.Health.Command...)),
			Interval:    pulumi.String(duration(s.Health.Interval)),
			Timeout:     pulumi.String(duration(s.Health.Timeout)),
			Retries:     pulumi.Int(s.Health.Retries),
			StartPeriod: pulumi.String(duration(s.Health.StartPeriod)),
		}
	}
	mounts := docker.ServiceTaskSpecContainerSpecMountArray{}
	for _, m := range s.Mounts {
		if m.TmpfsMB > 0 {
			mounts = append(mounts, &docker.ServiceTaskSpecContainerSpecMountArgs{
				Type: pulumi.String("tmpfs"), Target: pulumi.String(m.Target),
				TmpfsOptions: &docker.ServiceTaskSpecContainerSpecMountTmpfsOptionsArgs{SizeBytes: pulumi.Int(m.TmpfsMB << 20)},
			})
			continue
		}
		mounts = append(mounts, &docker.ServiceTaskSpecContainerSpecMountArgs{
			Type: pulumi.String("bind"), Source: pulumi.String(m.Source), Target: pulumi.String(m.Target),
			ReadOnly: pulumi.Bool(m.ReadOnly),
		})
	}
	spec.Mounts = mounts
	secrets := docker.ServiceTaskSpecContainerSpecSecretArray{}
	for _, f := range s.Secrets {
		uid := f.UID
		if uid == "" {
			uid = "0"
		}
		secrets = append(secrets, &docker.ServiceTaskSpecContainerSpecSecretArgs{
			SecretId: f.Secret.ID(), SecretName: f.Secret.Name, FileName: pulumi.String(f.Path),
			FileMode: pulumi.Int(0o400), FileUid: pulumi.String(uid), FileGid: pulumi.String(uid),
		})
	}
	spec.Secrets = secrets
	return spec
}

// ports are published on the host itself.
func ports(s Service) docker.ServiceEndpointSpecPortArray {
	all := docker.ServiceEndpointSpecPortArray{}
	for _, p := range s.Ports {
		all = append(all, &docker.ServiceEndpointSpecPortArgs{
			Name:     pulumi.String(fmt.Sprintf("%s-%d", p.Protocol, p.Number)),
			Protocol: pulumi.String(p.Protocol), PublishMode: pulumi.String("host"),
			PublishedPort: pulumi.Int(p.Number), TargetPort: pulumi.Int(p.Number),
		})
	}
	return all
}
