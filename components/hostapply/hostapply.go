// Package hostapply configures the host after its first boot: directories, files, systemd units,
// the secrets of jobs, the final SSH host key. It is a one-shot job that talks to systemd over
// D-Bus; there is no remote shell (design §3.5).
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
	"github.com/prekzursil/momentstudio-infra/internal/render"
	"github.com/prekzursil/momentstudio-infra/internal/workload"
)

// TypeToken is part of every child's URN: changing it needs an alias.
const TypeToken = "momentstudio:hostapply:HostApply"

// Args describes the configuration. Any change runs the job again, which changes only what differs.
type Args struct {
	OpsImage    string                        // reference with digest; required
	Ready       pulumi.StringInput            // resolves when the host answers; required
	Directories []hostspec.Directory          // made with owner and mode
	Files       []hostspec.File               // plain files
	Secrets     map[string]pulumi.StringInput // absolute path on the host -> content; mode 0400
	Owners      map[string]int                // numeric owner of a secret's file; default root
	KeepOld     map[string]bool               // secrets whose older content stays until its user has changed over
	Reload      []string                      // systemd units reloaded when one of the secrets or files changed
	// NAME=value, nothing secret; the job ignores them, and a preview shows what of the secret files has changed
	Facts  pulumi.StringArray
	Timers []render.Timer // enabled and started; one that is no longer listed is disabled and removed
}

// HostApply is the applied configuration.
type HostApply struct {
	pulumi.ResourceState
	Job *workload.Ran
}

// New applies the configuration.
func New(ctx *pulumi.Context, name string, args Args, opts ...pulumi.ResourceOption) (*HostApply, error) {
	var bad []error
	if args.OpsImage == "" {
		bad = append(bad, fault.Field("opsImage", nil, "an image reference with digest"))
	}
	if args.Ready == nil {
		bad = append(bad, fault.Field("ready", nil, "the host's readiness"))
	}
	if err := fault.List(fmt.Sprintf("host-apply %q", name), bad...); err != nil {
		return nil, err
	}
	h := &HostApply{}
	if err := ctx.RegisterComponentResource(TypeToken, name, h, opts...); err != nil {
		return nil, fmt.Errorf("register host-apply %q: %w", name, err)
	}

	spec := hostspec.Apply{Directories: args.Directories, Files: slices.Clone(args.Files), Reload: args.Reload}
	for _, t := range args.Timers {
		files, err := t.Files()
		if err != nil {
			return nil, err
		}
		spec.Files, spec.Timers = append(spec.Files, files...), append(spec.Timers, t.Unit())
	}
	uploads := []workload.Upload{}
	for i, path := range slices.Sorted(maps.Keys(args.Secrets)) {
		in := hostspec.ApplyInbox + "/secret-" + strconv.Itoa(i)
		spec.Secrets = append(spec.Secrets, hostspec.SecretFile{
			Path: path, Upload: in, UID: args.Owners[path],
			KeepOld: args.KeepOld[path],
		})
		uploads = append(uploads, workload.Upload{
			Path: in, Content: pulumi.ToSecret(args.Secrets[path]).(pulumi.StringOutput),
		})
	}
	text, err := json.MarshalIndent(spec, "", " ")
	if err != nil {
		return nil, fmt.Errorf("write the host's specification: %w", err)
	}
	uploads = append(uploads, workload.Upload{Path: hostspec.ApplySpec, Content: pulumi.String(string(text))})

	h.Job, err = workload.NewJob(ctx, name+"-job", workload.Job{
		Image:   pulumi.String(args.OpsImage),
		Command: []string{"host-apply", "--contract", strconv.Itoa(hostspec.ContractVersion)},
		Uploads: uploads, Env: args.Facts,
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
	return h, ctx.RegisterResourceOutputs(h, pulumi.Map{"done": h.Job.Done})
}
