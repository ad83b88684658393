package workload

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/pulumi/pulumi-docker/sdk/v4/go/docker"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/prekzursil/momentstudio-infra/internal/fault"
)

const logDriver = "json-file"

// jobLog holds what a job prints; it is short.
func jobLog() pulumi.StringMap {
	return pulumi.StringMap{"max-size": pulumi.String("10m"), "max-file": pulumi.String("3")}
}

// serviceLog holds a month of a service without visitors: 17 KB a minute were measured of an API process of the
// application. Older files are compressed to about a tenth.
func serviceLog() pulumi.StringMap {
	return pulumi.StringMap{
		"max-size": pulumi.String("25m"), "max-file": pulumi.String("30"), "compress": pulumi.String("true"),
	}
}

// Upload is a file that a job finds in its own layer.
type Upload struct {
	Path    string
	Content pulumi.StringInput
	Mode    string // octal, default "0400"
}

// Job is a container that runs once. Every field replaces it: a changed job runs again, an
// unchanged one does not. It must be idempotent, because a killed update runs it again.
type Job struct {
	Image   pulumi.StringInput // reference with digest; required
	Command []string           // arguments of the image's entrypoint
	Env     pulumi.StringArray // NAME=value, plain values only
	Mounts  []Mount
	Uploads []Upload
	Network pulumi.StringInput // name or ID of the app network; nil: no network at all
	Caps    []string           // capabilities kept; all others are dropped
	After   []pulumi.StringInput
}

// Ran is a declared job.
type Ran struct {
	Container *docker.Container
	// Done resolves when the job exited with 0, and is an error that shows the end of its log
	// otherwise. Pass it to whatever must not happen after a failure.
	Done pulumi.StringOutput
}

// NewJob declares a job. The container is auto-named, kept after it ended with its log, and never
// restarted.
func NewJob(ctx *pulumi.Context, name string, j Job, opts ...pulumi.ResourceOption) (*Ran, error) {
	args := &docker.ContainerArgs{
		Image:     after(ctx, j.Image, j.After),
		Command:   stringArray(j.Command),
		Envs:      j.Env,
		MustRun:   pulumi.Bool(false), // true would make a refresh delete the finished container
		Attach:    pulumi.Bool(true),
		Logs:      pulumi.Bool(true),
		Restart:   pulumi.String("no"),
		LogDriver: pulumi.String(logDriver),
		LogOpts:   jobLog(),
		Capabilities: &docker.ContainerCapabilitiesArgs{
			Drops: pulumi.StringArray{pulumi.String("ALL")}, Adds: stringArray(j.Caps),
		},
	}
	if j.Network == nil {
		args.NetworkMode = pulumi.String("none")
	} else {
		args.NetworksAdvanced = docker.ContainerNetworksAdvancedArray{&docker.ContainerNetworksAdvancedArgs{Name: j.Network}}
	}
	mounts := docker.ContainerMountArray{}
	for _, m := range j.Mounts {
		mounts = append(mounts, &docker.ContainerMountArgs{
			Type:   pulumi.String("bind"),
			Source: pulumi.String(m.Source), Target: pulumi.String(m.Target), ReadOnly: pulumi.Bool(m.ReadOnly),
		})
	}
	args.Mounts = mounts
	uploads := docker.ContainerUploadArray{}
	for _, u := range j.Uploads {
		mode := u.Mode
		if mode == "" {
			mode = "0400"
		}
		uploads = append(uploads, &docker.ContainerUploadArgs{
			File: pulumi.String(u.Path), Content: u.Content.ToStringOutput().ToStringPtrOutput(),
			Permissions: pulumi.String(mode),
		})
	}
	args.Uploads = uploads

	container, err := docker.NewContainer(ctx, name, args, opts...)
	if err != nil {
		return nil, fmt.Errorf("declare job %s: %w", name, err)
	}
	return &Ran{Container: container, Done: done(ctx, name, container)}, nil
}

// done turns the recorded exit code into an error. A preview waits for the job, but does not read its code: an
// unknown code would show everything after the job as changed, and a failed record must not keep pull requests from
// being previewed.
func done(ctx *pulumi.Context, name string, c *docker.Container) pulumi.StringOutput {
	if ctx.DryRun() {
		return pulumi.OutputWithDependencies(ctx.Context(), pulumi.String("done").ToStringOutput(), c).(pulumi.StringOutput)
	}
	return pulumi.All(c.ExitCode, c.ContainerLogs).ApplyT(func(v []any) (string, error) {
		return JobResult(name, v[0].(int), v[1].(string))
	}).(pulumi.StringOutput)
}

// JobResult judges a job by its recorded exit code and the log that it left. Every job says something when it
// succeeds: a record without a log is of one whose end nobody saw, because the connection to the host was cut, and
// then the code is missing, or a guess.
func JobResult(name string, code int, logs string) (string, error) {
	const way = "run `studio up`, which runs failed jobs again (a bare `pulumi up` repeats this record: add --replace " +
		"with the job's URN)"
	switch {
	case code == 0 && strings.TrimSpace(logs) != "":
		return "done", nil
	case code == 0:
		return "", fault.Hint(fmt.Errorf("nobody saw how job %s ended: its record has no log", name), way)
	}
	text, said := "(no log)", "it said nothing"
	if strings.TrimSpace(logs) != "" {
		lines := strings.Split(strings.TrimSpace(logs), "\n")
		text = strings.Join(lines[max(0, len(lines)-20):], "\n    ")
		said = lines[len(lines)-1]
		for _, l := range slices.Backward(lines) { // hostops ends with what went wrong, which may be more than a line
			if word, ok := strings.CutPrefix(l, "hostops: "); ok {
				said = word
				break
			}
		}
		var entry struct {
			Message string `json:"msg"`
		}
		if json.Unmarshal([]byte(said), &entry) == nil && entry.Message != "" { // as Caddy writes its log
			said = entry.Message
		}
	}
	return "", fault.Hint(fmt.Errorf("job %s exited with code %d: %s\n  the end of its log:\n    %s", name, code, said,
		text),
		"mend the cause and "+way)
}

// after returns v once every dependency is done, so that its user cannot start before.
func after(_ *pulumi.Context, v pulumi.StringInput, deps []pulumi.StringInput) pulumi.StringInput {
	if len(deps) == 0 {
		return v
	}
	all := []any{v}
	for _, d := range deps {
		all = append(all, d)
	}
	return pulumi.All(all...).ApplyT(func(values []any) string { return values[0].(string) }).(pulumi.StringOutput)
}

func stringArray(values []string) pulumi.StringArray {
	out := pulumi.StringArray{}
	for _, v := range values {
		out = append(out, pulumi.String(v))
	}
	return out
}

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }

// duration writes a time the way the provider reads it back, "2m" and not Go's "2m0s": anything
// else shows as a change in every preview.
func duration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
