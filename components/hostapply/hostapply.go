// Package hostapply configures the host after its first boot: directories, files, systemd units,
// the secrets of jobs, the final SSH host key. It is a one-shot job that talks to systemd over
// D-Bus; there is no remote shell.
package hostapply

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/prekzursil/momentstudio-infra/internal/fault"
	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
	"github.com/prekzursil/momentstudio-infra/internal/workload"
)

// TypeToken is part of every child's URN: changing it needs an alias.
const TypeToken = "momentstudio:hostapply:HostApply"

// Args describes the configuration. Any change runs the job again, which changes only what differs.
type Args struct {
	OpsImage string              // reference with digest; required
	Ready    pulumi.StringInput  // resolves when the host answers; required
	Parts    []workload.HostPart // applied together; a path may occur once
	Reload   []string            // systemd units reloaded at every run
	// Images are those of the services that stop before their new task starts: they are pulled first. References with
	// digest.
	Images []string
}

// HostApply is the applied configuration.
type HostApply struct {
	pulumi.ResourceState
	Job    *workload.Ran
	Pulled *workload.Ran // the images are there
}

// New applies the configuration.
func New(ctx *pulumi.Context, name string, args Args, opts ...pulumi.ResourceOption) (*HostApply, error) {
	spec, uploads, facts, err := args.specification(name)
	if err != nil {
		return nil, err
	}
	h := &HostApply{}
	if err := ctx.RegisterComponentResource(TypeToken, name, h, opts...); err != nil {
		return nil, fmt.Errorf("register host-apply %q: %w", name, err)
	}
	text, err := json.MarshalIndent(spec, "", " ")
	if err != nil {
		return nil, fmt.Errorf("write the host's specification: %w", err)
	}
	uploads = append(uploads, workload.Upload{Path: hostspec.ApplySpec, Content: pulumi.String(string(text))})

	h.Job, err = workload.NewJob(ctx, name+"-job", workload.Job{
		Image:   pulumi.String(args.OpsImage),
		Command: []string{"host-apply", "--contract", strconv.Itoa(hostspec.ContractVersion)},
		Uploads: uploads, Env: facts,
		// Directories, never single files: a renamed file would not be seen (a bind mount keeps the inode).
		Mounts: []workload.Mount{
			{Source: "/etc", Target: hostspec.HostRoot + "/etc"},
			{Source: hostspec.DataDir, Target: hostspec.HostRoot + hostspec.DataDir},
			{Source: "/run/dbus", Target: "/var/run/dbus"}, // where the client library looks
		},
		Caps:  []string{"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER"},
		After: []pulumi.StringInput{args.Ready},
	}, pulumi.Parent(h))
	if err != nil {
		return nil, err
	}
	if h.Pulled, err = pull(ctx, name+"-images", args, h); err != nil {
		return nil, err
	}
	return h, ctx.RegisterResourceOutputs(h, pulumi.Map{"done": h.Job.Done})
}

// pull pulls the images. Otherwise, if the registry did not have one, the database would stop first, and the shop would
// be down until Swarm rolls back.
func pull(ctx *pulumi.Context, name string, args Args, h *HostApply) (*workload.Ran, error) {
	command := []string{"pull", "--contract", strconv.Itoa(hostspec.ContractVersion)}
	for _, image := range args.Images {
		command = append(command, "--image", image)
	}
	return workload.NewJob(ctx, name, workload.Job{
		Image: pulumi.String(args.OpsImage), Command: command,
		Mounts: []workload.Mount{
			{Source: "/var/run/docker.sock", Target: "/var/run/docker.sock"},
			{Source: hostspec.SecretsDir, Target: hostspec.SecretsDir, ReadOnly: true}, // the registry's login
		},
		Caps: []string{"CAP_DAC_OVERRIDE"}, After: []pulumi.StringInput{h.Job.Done},
	}, pulumi.Parent(h), pulumi.DependsOn([]pulumi.Resource{h.Job.Container}))
}

// specification puts the parts together. Secrets are uploads beside it, so that it can be shown.
func (a Args) specification(name string) (spec hostspec.Apply, uploads []workload.Upload, facts pulumi.StringArray,
	err error,
) {
	var bad []error
	if a.OpsImage == "" {
		bad = append(bad, fault.Field("opsImage", nil, "an image reference with digest"))
	}
	if a.Ready == nil {
		bad = append(bad, fault.Field("ready", nil, "the host's readiness"))
	}
	spec.Reload = a.Reload
	secrets := map[string]workload.HostSecret{}
	for _, p := range a.Parts {
		spec.Directories = append(spec.Directories, p.Directories...)
		spec.Files = append(spec.Files, p.Files...)
		facts = append(facts, p.Facts...)
		for path, s := range p.Secrets {
			if _, twice := secrets[path]; twice {
				bad = append(bad, fault.Field("parts", path, "a path that no other part has"))
			}
			secrets[path] = s
		}
	}
	for _, p := range a.Parts {
		for _, t := range p.Timers {
			files, err := t.Files()
			if err != nil {
				return spec, nil, nil, err
			}
			spec.Files, spec.Timers = append(spec.Files, files...), append(spec.Timers, t.Unit())
		}
	}
	seen := map[string]bool{}
	for _, f := range spec.Files {
		if _, secret := secrets[f.Path]; secret || seen[f.Path] {
			bad = append(bad, fault.Field("parts", f.Path, "a path that no other part has"))
		}
		seen[f.Path] = true
	}
	for i, path := range slices.Sorted(maps.Keys(secrets)) {
		s, in := secrets[path], hostspec.ApplyInbox+"/secret-"+strconv.Itoa(i)
		spec.Secrets = append(spec.Secrets, hostspec.SecretFile{Path: path, Upload: in, UID: s.UID, KeepOld: s.KeepOld})
		uploads = append(uploads, workload.Upload{Path: in, Content: pulumi.ToSecret(s.Content).(pulumi.StringOutput)})
	}
	return spec, uploads, facts, fault.List(fmt.Sprintf("host-apply %q", name), bad...)
}
