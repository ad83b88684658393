// Package app runs one release of the shop: the migration job, then backend, media worker and
// frontend, all from the release's images.
package app

import (
	"encoding/json"
	"fmt"
	"path"
	"strconv"
	"time"

	"github.com/pulumi/pulumi-docker/sdk/v4/go/docker"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/prekzursil/momentstudio-infra/internal/fault"
	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
	"github.com/prekzursil/momentstudio-infra/internal/naming"
	"github.com/prekzursil/momentstudio-infra/internal/workload"
)

// TypeToken is part of every child's URN: changing it needs an alias.
const TypeToken = "momentstudio:app:App"

// Args describes a release.
type Args struct {
	Release       string // name; recorded on the host
	BackendImage  string // reference with digest; a change migrates, then rolls out in place
	FrontendImage string // reference with digest; rolls out in place
	OpsImage      string // reference with digest
	ClientImage   string // image with pg_dump, for the backup before a migration; reference with digest
	// CompatibleRevisions are schema revisions newer than the backend image's that it works with.
	CompatibleRevisions []string
	// MigrationLock is how long a statement of a migration may wait for a lock; required.
	MigrationLock time.Duration
	Network       pulumi.StringInput
	EnvSecret     *docker.Secret        // the application's .env
	EnvFile       string                // host path of the same text, for the migration job
	KeyFiles      []workload.SecretFile // further files of the API
	BackendEnv    pulumi.StringMapInput // plain settings of the API
	WorkerEnv     pulumi.StringMapInput // plain settings of the media worker
	FrontendEnv   pulumi.StringMapInput
	SchedulersEnv pulumi.StringMapInput // plain settings of the schedulers' processes
	Schedulers    int                   // how many schedulers are on; 0: no service for them
	SSR           bool                  // server-rendering frontend on port 4000 instead of nginx on 80

	BackendReplicas, BackendMemoryMB, WorkerMemoryMB, FrontendReplicas, FrontendMemoryMB, SchedulersMemoryMB int
	LongestJob                                                                                               time.Duration
	// UploadMB is the largest body that the edge lets through; the API keeps it in /tmp until it has read all of it.
	UploadMB int

	Applied       *workload.Ran      // the host's configuration: directories and the jobs' secrets; required
	DatabaseReady pulumi.StringInput // resolves when the database accepts the application's role
	DependsOn     []pulumi.Resource  // what must run before the first task starts
}

// App is a running release.
type App struct {
	pulumi.ResourceState
	Migrated pulumi.StringOutput // resolves when the schema fits the release
}

// Health commands run inside the image's own Python, which has neither curl nor wget. Swarm kills
// what is unhealthy, so they mean liveness.
const (
	// The first success needs the database; from then on a restart of Postgres must not kill the API.
	backendHealth = `import os,urllib.request as u
seen='/tmp/momentstudio-was-ready'
u.urlopen('http://127.0.0.1:8000/api/v1/health'+('' if os.path.exists(seen) else '/ready'),timeout=4).read()
open(seen,'w').close()`

	// The worker's heartbeat stands still during a job, so its age may reach the longest job's
	// time. Settings come from the application itself: the environment holds no secrets.
	workerHealth = `import os,sys,time
from app.core.config import settings
path=getattr(settings,'media_dam_worker_heartbeat_file',None) or '/tmp/media-worker-heartbeat.json'
sys.exit(0 if time.time()-os.path.getmtime(path)<%d else 'the heartbeat is too old')`
)

// backupStatus is where the API finds what is known of the backups.
const backupStatus = "/run/momentstudio-backup"

// New runs the release.
func New(ctx *pulumi.Context, name string, args Args, opts ...pulumi.ResourceOption) (*App, error) {
	if err := args.validate(name); err != nil {
		return nil, err
	}
	a := &App{}
	if err := ctx.RegisterComponentResource(TypeToken, name, a, opts...); err != nil {
		return nil, fmt.Errorf("register app %q: %w", name, err)
	}
	b := &builder{ctx: ctx, name: name, args: args, app: a}
	for _, step := range []func() error{b.prepare, b.migrate, b.backend, b.worker, b.schedulers, b.frontend} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	a.Migrated = b.migrated.Done
	return a, ctx.RegisterResourceOutputs(a, pulumi.Map{"migrated": a.Migrated})
}

func (a Args) validate(name string) error {
	var bad []error
	for _, f := range []struct{ field, value string }{
		{"backendImage", a.BackendImage},
		{"frontendImage", a.FrontendImage},
		{"opsImage", a.OpsImage},
		{"clientImage", a.ClientImage},
	} {
		if f.value == "" {
			bad = append(bad, fault.Field(f.field, nil, "an image reference with digest"))
		}
	}
	if a.EnvSecret == nil {
		bad = append(bad, fault.Field("envSecret", nil, "the application's .env as a Swarm secret"))
	}
	if a.Applied == nil {
		bad = append(bad, fault.Field("applied", nil, "the job that configures the host"))
	}
	return fault.List(fmt.Sprintf("app %q", name), bad...)
}

// builder declares the parts of a release in the order in which they run.
type builder struct {
	ctx  *pulumi.Context
	name string
	args Args
	app  *App

	prepared, migrated *workload.Ran
	backendService     pulumi.Resource
}

// The socket is root on the host: these jobs pull images, and start the application's image with the
// file that holds the database's password, which Swarm gives to services only.
var (
	socket  = workload.Mount{Source: "/var/run/docker.sock", Target: "/var/run/docker.sock"}
	secrets = workload.Mount{Source: hostspec.SecretsDir, Target: hostspec.SecretsDir, ReadOnly: true}
)

// prepare pulls and checks the release's images, and looks at the room that they need.
func (b *builder) prepare() (err error) {
	args, webRoot := b.args, hostspec.StaticWebRoot
	if args.SSR {
		webRoot = hostspec.SSRWebRoot
	}
	b.prepared, err = workload.NewJob(b.ctx, b.name+"-prepare", workload.Job{
		Image: pulumi.String(args.OpsImage),
		Command: []string{
			"prepare", "--contract", strconv.Itoa(hostspec.ContractVersion), "--release", args.Release,
			"--backend", args.BackendImage, "--frontend", args.FrontendImage, "--web-root", webRoot,
			"--memory-mb", strconv.Itoa(max(args.BackendMemoryMB, args.FrontendMemoryMB)),
		},
		Env: pulumi.StringArray{pulumi.Sprintf("ROLLOUT=%s", rollout(args))},
		Mounts: []workload.Mount{
			socket, secrets,
			{Source: hostspec.ReleasesDir, Target: hostspec.ReleasesDir},
			{Source: hostspec.RestoreDir, Target: hostspec.RestoreDir, ReadOnly: true},
		},
		Caps:  []string{"CAP_DAC_OVERRIDE"},
		After: []pulumi.StringInput{args.Applied.Done},
	}, pulumi.Parent(b.app), pulumi.DependsOn([]pulumi.Resource{args.Applied.Container}))
	return err
}

// migrate brings the database to the release's schema, before any task of the release starts.
func (b *builder) migrate() (err error) {
	args := b.args
	command := []string{
		"migrate", "--contract", strconv.Itoa(hostspec.ContractVersion), "--image", args.BackendImage, "--client-image",
		args.ClientImage,
		"--env-file", args.EnvFile, "--network", hostspec.AppNetwork, "--lock-limit", args.MigrationLock.String(),
	}
	for _, r := range args.CompatibleRevisions {
		command = append(command, "--compatible", r)
	}
	b.migrated, err = workload.NewJob(b.ctx, b.name+"-migrate", workload.Job{
		Image: pulumi.String(args.OpsImage), Command: command, Network: args.Network,
		Mounts: []workload.Mount{socket, secrets, {Source: hostspec.MigrationBackups, Target: hostspec.MigrationBackups}},
		Caps:   []string{"CAP_DAC_OVERRIDE"},
		After:  []pulumi.StringInput{args.DatabaseReady, b.prepared.Done},
	}, pulumi.Parent(b.app), pulumi.DependsOn(append([]pulumi.Resource{b.prepared.Container}, args.DependsOn...)))
	return err
}

// after is what API and worker wait for.
func (b *builder) after() []pulumi.StringInput {
	return []pulumi.StringInput{b.prepared.Done, b.migrated.Done}
}

func (b *builder) needs() pulumi.ResourceOption {
	return pulumi.DependsOn(append([]pulumi.Resource{b.prepared.Container, b.migrated.Container}, b.args.DependsOn...))
}

func (b *builder) env() workload.SecretFile {
	return workload.SecretFile{Secret: b.args.EnvSecret, Path: hostspec.AppEnvFile}
}

// media are the directories that API and worker share.
func media() []workload.Mount {
	return []workload.Mount{
		{Source: hostspec.UploadsDir, Target: "/app/uploads"},
		{Source: hostspec.PrivateUploadsDir, Target: "/app/private_uploads"},
	}
}

// tmp is where the API keeps the bodies of requests, and the worker its pictures. It lies in memory and is limited, so
// that no visitor fills the host's disk. It counts as the task's memory, of which it takes at most half: the largest
// upload fits when the memory is twice its size.
func (b *builder) tmp(memoryMB int) workload.Mount {
	return workload.Mount{Target: "/tmp", TmpfsMB: min(b.args.UploadMB+64, memoryMB/2)}
}

// backend runs the API.
func (b *builder) backend() error {
	args := b.args
	service, err := workload.NewService(b.ctx, b.name+"-backend", "backend", workload.Service{
		Image: pulumi.String(args.BackendImage),
		// The application takes the time of the last backup from its environment only (app-contract §2.4): a
		// backup that succeeded writes the file.
		Args: []string{
			"sh", "-c", `BACKUP_LAST_AT="$(cat ` + backupStatus + `/` + path.Base(hostspec.LastBackupFile) +
				` 2>/dev/null)"; [ -z "$BACKUP_LAST_AT" ] || export BACKUP_LAST_AT; exec "$@"`, "sh",
			"uvicorn", "app.main:app", "--host", "0.0.0.0", "--port", strconv.Itoa(hostspec.BackendPort),
			"--proxy-headers", "--forwarded-allow-ips", hostspec.AppSubnet,
			// Longer than Caddy's 30 s, or Caddy would send a POST on a connection that is just closing.
			"--timeout-keep-alive", "75", "--timeout-graceful-shutdown", "30",
		},
		Env: args.BackendEnv, Secrets: append([]workload.SecretFile{b.env()}, args.KeyFiles...),
		Mounts: append(media(), b.tmp(args.BackendMemoryMB), workload.Mount{
			Source: hostspec.BackupPublic, Target: backupStatus,
			ReadOnly: true,
		}),
		Network: args.Network, Alias: hostspec.BackendHost,
		Health: &workload.Health{
			Command:  []string{"python", "-c", backendHealth},
			Interval: 5 * time.Second, Timeout: 5 * time.Second, Retries: 6, StartPeriod: 2 * time.Minute,
		},
		Replicas: args.BackendReplicas, MemoryMB: args.BackendMemoryMB, StartFirst: true, StopGrace: hostspec.AppGrace,
		Converge: 4 * time.Minute, After: b.after(),
	}, pulumi.Parent(b.app), b.needs())
	b.backendService = service
	return err
}

// worker runs the media worker, always one task.
func (b *builder) worker() error {
	args := b.args
	_, err := workload.NewService(b.ctx, b.name+"-worker", "media-worker", workload.Service{
		Image: pulumi.String(args.BackendImage), Args: []string{"python", "-m", "app.workers.media_worker"},
		Env: args.WorkerEnv, Secrets: []workload.SecretFile{b.env()},
		Mounts: append(media(), b.tmp(args.WorkerMemoryMB)), Network: args.Network, Alias: "media-worker",
		Health: &workload.Health{
			Command:  []string{"python", "-c", fmt.Sprintf(workerHealth, int(args.LongestJob.Seconds()))},
			Interval: 15 * time.Second, Timeout: 10 * time.Second, Retries: 4, StartPeriod: 2 * time.Minute,
		},
		Replicas: 1, MemoryMB: args.WorkerMemoryMB, StopGrace: hostspec.AppGrace,
		Converge: 4 * time.Minute, After: b.after(),
	}, pulumi.Parent(b.app), b.needs())
	return err
}

// frontend runs the pages.
func (b *builder) frontend() error {
	args := b.args
	// A page would cost the rendering frontend seconds; its runtime configuration costs nothing.
	url := "http://127.0.0.1/"
	if args.SSR {
		url = fmt.Sprintf("http://127.0.0.1:%d/assets/app-config.js", hostspec.FrontendSSRPort)
	}
	_, err := workload.NewService(b.ctx, b.name+"-frontend", "frontend", workload.Service{
		Image: pulumi.String(args.FrontendImage), Env: args.FrontendEnv, Network: args.Network, Alias: hostspec.FrontendHost,
		Replicas: args.FrontendReplicas, MemoryMB: args.FrontendMemoryMB, StartFirst: true, StopGrace: hostspec.FrontendGrace,
		Caps:     []string{"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_NET_BIND_SERVICE", "CAP_SETGID", "CAP_SETUID"},
		Converge: 5 * time.Minute, After: b.after(),
		Health: &workload.Health{
			Command:  []string{"wget", "-q", "-O", "/dev/null", url},
			Interval: 5 * time.Second, Timeout: 5 * time.Second, Retries: 6, StartPeriod: time.Minute,
		},
		// nginx in the static image ends when the name "backend" does not resolve (app-contract §1.3).
	}, pulumi.Parent(b.app), pulumi.DependsOn([]pulumi.Resource{b.backendService}))
	return err
}

// rollout identifies what starts new tasks without a new image: settings and secrets, whose name follows
// their content. Its change makes the preparation look at the host's room again.
func rollout(args Args) pulumi.StringOutput {
	parts := []any{args.BackendEnv, args.FrontendEnv, args.EnvSecret.Name}
	for _, k := range args.KeyFiles {
		parts = append(parts, k.Secret.Name)
	}
	return pulumi.All(parts...).ApplyT(func(v []any) (string, error) {
		text, err := json.Marshal(v)
		return naming.ContentHash(string(text)), err
	}).(pulumi.StringOutput)
}
