package stacks

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/pulumi/pulumi-docker/sdk/v4/go/docker"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/prekzursil/momentstudio-infra/components/app"
	"github.com/prekzursil/momentstudio-infra/components/postgres"
	"github.com/prekzursil/momentstudio-infra/internal/appsettings"
	"github.com/prekzursil/momentstudio-infra/internal/config"
	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
	"github.com/prekzursil/momentstudio-infra/internal/naming"
	"github.com/prekzursil/momentstudio-infra/internal/secret"
	"github.com/prekzursil/momentstudio-infra/internal/workload"
)

// shop runs the release, and closes the database login that the release does not use. It returns the release's
// resources.
func (s *stack) shop(h *machine, d stores) ([]pulumi.Resource, error) {
	c, facts := s.config, s.facts()
	envSecret, keyFiles, err := s.appSecrets(h)
	if err != nil {
		return nil, err
	}
	before := s.declared.count()
	_, err = app.New(s.ctx, "app", app.Args{
		Release: c.Release.Name, BackendImage: c.Release.Backend, FrontendImage: c.Release.Frontend, OpsImage: c.Images.Ops,
		ClientImage: c.Images.Postgres, CompatibleRevisions: c.Release.CompatibleRevisions,
		MigrationLock: time.Duration(c.Postgres.MigrationLockSeconds) * time.Second, Applied: h.applied,
		Network: h.network, EnvSecret: envSecret, EnvFile: hostspec.AppEnvSecret,
		KeyFiles: keyFiles, BackendEnv: toStringMap(appsettings.Backend(c.App, facts, appsettings.API)),
		WorkerEnv:     toStringMap(appsettings.Backend(c.App, facts, appsettings.Worker)),
		SchedulersEnv: toStringMap(schedulersEnv(c.App, facts)), Schedulers: appsettings.Schedulers(c.App),
		SchedulersMemoryMB: c.Schedulers.MemoryMB,
		FrontendEnv:        s.frontendEnv(facts), SSR: facts.SSR,
		BackendReplicas: c.Backend.Replicas, BackendMemoryMB: c.Backend.MemoryMB, WorkerMemoryMB: c.Worker.MemoryMB,
		FrontendReplicas: c.Frontend.Replicas, FrontendMemoryMB: c.Frontend.MemoryMB,
		UploadMB: c.Edge.MaxUploadMB, LongestJob: time.Duration(c.Worker.LongestJobSeconds) * time.Second,
		DatabaseReady: d.database.Ready, DependsOn: d.declared,
	}, h.afterApply...)
	if err != nil {
		return nil, err
	}
	release := s.declared.since(before)
	if s.ownDatabase() {
		_, err = postgres.NewRetirement(s.ctx, "postgres-retirement", d.args, release, h.onHost...)
	}
	return release, err
}

// schedulersEnv is the API's, with a pool of the size that a process without requests needs.
func schedulersEnv(app appsettings.Settings, facts appsettings.Facts) map[string]string {
	env := appsettings.Backend(app, facts, appsettings.API)
	env["DB_POOL_SIZE"], env["DB_MAX_OVERFLOW"] = "1", strconv.Itoa(config.SchedulerConnections-2) // one is the lock's
	return env
}

// facts are what the application's settings take from the rest of the stack.
func (s *stack) facts() appsettings.Facts {
	return appsettings.Facts{
		Domain: s.config.Domain, Release: s.config.Release.Name,
		RedisURL: fmt.Sprintf("redis://%s:%d/0", hostspec.RedisHost, hostspec.RedisPort),
		SSR:      s.config.Frontend.Mode == "ssr", AllowedHosts: s.config.Frontend.AllowedHosts,
		SSRBackend: fmt.Sprintf("http://%s:%d/api/v1", hostspec.BackendHost, hostspec.BackendPort),
	}
}

func (s *stack) frontendEnv(facts appsettings.Facts) pulumi.StringMap {
	env := toStringMap(appsettings.Web(s.config.App, facts))
	if s.config.App.Captcha.Enabled {
		env["CAPTCHA_SITE_KEY"] = s.captcha.site
	}
	return env
}

// appEnv renders the application's secret settings. A given SECRET_KEY wins over the generated one.
func (s *stack) appEnv() pulumi.StringOutput {
	given := s.config.AppSecrets
	return pulumi.ToSecret(pulumi.All(postgres.URL(s.database()), s.secrets.AppKey, s.secrets.MaintenanceToken,
		s.secrets.PreviewToken, s.captcha.secret).ApplyT(func(v []any) string {
		return appsettings.DotEnv(given, appsettings.Generated{
			DatabaseURL: v[0].(string), SecretKey: v[1].(string), MaintenanceToken: v[2].(string),
			PreviewToken: v[3].(string), TurnstileSecret: v[4].(string),
		})
	})).(pulumi.StringOutput)
}

// appSecrets declares the files that the application reads as Swarm secrets: its .env and its keys.
func (s *stack) appSecrets(h *machine) (env *docker.Secret, keys []workload.SecretFile, err error) {
	if env, err = swarmSecret(s.ctx, "app-env", h.settings, h.afterApply...); err != nil {
		return nil, nil, err
	}
	for _, k := range appsettings.KeyFiles(s.config.App) {
		file, err := swarmSecret(s.ctx, "app-"+k.Part, pulumi.String(k.PEM), h.afterApply...)
		if err != nil {
			return nil, nil, err
		}
		keys = append(keys, workload.SecretFile{Secret: file, Path: k.Path})
	}
	return env, keys, nil
}

// swarmSecret declares an immutable Swarm secret whose name follows its content: a new content is a
// new secret beside the old one, which goes when nothing uses it any more.
func swarmSecret(ctx *pulumi.Context, name string, content pulumi.StringInput,
	opts ...pulumi.ResourceOption,
) (*docker.Secret, error) {
	plain := pulumi.ToSecret(content).(pulumi.StringOutput)
	hash := pulumi.Unsecret(plain.ApplyT(naming.ContentHash)).(pulumi.StringOutput)
	encoded := plain.ApplyT(func(v string) string {
		return base64.StdEncoding.EncodeToString([]byte(v))
	}).(pulumi.StringOutput)
	// The provider would delete first, and Swarm refuses to delete what a service uses.
	opts = slices.Concat(opts, []pulumi.ResourceOption{pulumi.DeleteBeforeReplace(false)})
	s, err := docker.NewSecret(ctx, name, &docker.SecretArgs{
		Name: pulumi.Sprintf("%s-%s", naming.Swarm(name), hash), Data: encoded,
	}, opts...)
	if err != nil {
		return nil, fmt.Errorf("declare Swarm secret %s: %w", name, err)
	}
	return s, nil
}

func secretInput(s secret.Value) pulumi.StringOutput {
	return pulumi.ToSecret(pulumi.String(s.Reveal())).(pulumi.StringOutput)
}

func toStringMap(m map[string]string) pulumi.StringMap {
	out := pulumi.StringMap{}
	for k, v := range m {
		out[k] = pulumi.String(v)
	}
	return out
}
