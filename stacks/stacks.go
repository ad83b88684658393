// Package stacks composes the components into one stack. Production, staging and the sandbox are
// the same composition with other values; a drill is that without whatever others would notice.
package stacks

import (
	"encoding/base64"
	"fmt"
	"slices"
	"time"

	"github.com/pulumi/pulumi-docker/sdk/v4/go/docker"
	"github.com/pulumi/pulumi-random/sdk/v4/go/random"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/prekzursil/momentstudio-infra/components/app"
	"github.com/prekzursil/momentstudio-infra/components/caddy"
	"github.com/prekzursil/momentstudio-infra/components/dns"
	"github.com/prekzursil/momentstudio-infra/components/host"
	"github.com/prekzursil/momentstudio-infra/components/hostapply"
	"github.com/prekzursil/momentstudio-infra/components/postgres"
	"github.com/prekzursil/momentstudio-infra/components/redis"
	"github.com/prekzursil/momentstudio-infra/components/secrets"
	"github.com/prekzursil/momentstudio-infra/components/turnstile"
	"github.com/prekzursil/momentstudio-infra/internal/appsettings"
	"github.com/prekzursil/momentstudio-infra/internal/config"
	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
	"github.com/prekzursil/momentstudio-infra/internal/naming"
	"github.com/prekzursil/momentstudio-infra/internal/render"
	"github.com/prekzursil/momentstudio-infra/internal/secret"
	"github.com/prekzursil/momentstudio-infra/internal/workload"
)

const (
	loginAFile = hostspec.SecretsDir + "/postgres-login-a"
	loginBFile = hostspec.SecretsDir + "/postgres-login-b"
	tlsDir     = hostspec.EtcDir + "/tls"
)

// Deploy declares every resource of the stack.
func Deploy(ctx *pulumi.Context, c config.Config) error {
	declared, err := record(ctx)
	if err != nil {
		return err
	}
	clouds, err := cloudProviders(ctx, c)
	if err != nil {
		return err
	}
	s, err := secrets.New(ctx, "secrets", secrets.Args{Protect: c.Protect, Generations: secrets.Generations{
		AppKey: c.Secrets.AppKey, Tokens: c.Secrets.Tokens, DatabaseLogin: c.Secrets.DatabaseLogin,
		Superuser: c.Secrets.Superuser, DeployKey: c.Secrets.DeployKey, HostKey: c.Secrets.HostKey,
		BackupPassword: c.Secrets.BackupPassword, Host: c.Host.Generation,
	}}, clouds)
	if err != nil {
		return err
	}
	name := c.Domain
	if c.Kind == config.Drill { // the shop's name is the shop's
		name = ""
	}
	h, err := host.New(ctx, "host", host.Args{
		Stack: c.Stack, Domain: name, Location: c.Host.Location, NetworkZone: c.Host.NetworkZone,
		ServerType: c.Host.ServerType, Image: c.Host.Image, Generation: c.Host.Generation, SSHFrom: c.Host.SSHFrom,
		PrivateNetwork: c.Host.PrivateNetwork, PrivateSubnet: c.Host.PrivateSubnet, PrivateAddress: c.Host.PrivateAddress,
		VolumeSizeGB: c.Host.VolumeSizeGB, Protect: c.Protect, ReadyTimeout: c.Host.ReadyTimeout(),
		DeployKeySeed: s.DeployKeySeed, OldDeployKeySeed: s.OldDeployKeySeed, DeployKeyNumber: c.Secrets.DeployKey,
		BootstrapHostSeed: s.BootstrapHostSeed, HostKeySeed: s.HostKeySeed, OldHostKeySeed: s.OldHostKeySeed,
		OldHostKey:          c.Secrets.HostKey > 1 && c.Secrets.HostKeyDropped < c.Secrets.HostKey-1,
		BootstrapKeyDropped: c.Host.BootstrapKeyDropped, Expires: expires(c),
	}, clouds)
	if err != nil {
		return err
	}
	if c.Kind != config.Drill {
		_, err = dns.New(ctx, "dns", dns.Args{
			ZoneID: c.DNS.ZoneID, Domain: c.Domain, Address: h.Address, Proxied: c.DNS.Proxied, TTL: c.DNS.TTL,
		}, clouds)
		if err != nil {
			return err
		}
	}
	captcha := captchaKeys{site: pulumi.String("").ToStringOutput(), secret: pulumi.String("").ToStringOutput()}
	if c.Turnstile.Enabled {
		widget, err := turnstile.New(ctx, "turnstile", turnstile.Args{
			AccountID: c.Turnstile.AccountID, WidgetName: naming.Physical(c.Stack, "turnstile"),
			Hostnames: c.Turnstile.Hostnames, Mode: c.Turnstile.Mode, Protect: c.Protect,
		}, clouds)
		if err != nil {
			return err
		}
		captcha = captchaKeys{site: widget.SiteKey, secret: widget.Secret}
	}
	if err := services(ctx, c, s, h, captcha, declared); err != nil {
		return err
	}
	if err := guard(ctx, c, declared.all(), clouds); err != nil {
		return err
	}

	ctx.Export("url", pulumi.String(c.Domain.Origin()))
	ctx.Export("address", h.Address)
	ctx.Export("knownHosts", h.KnownHosts)
	ctx.Export("sshPrivateKeys", pulumi.ToSecret(h.DeployKeys))
	ctx.Export("turnstileSiteKey", captcha.site)
	ctx.Export("release", pulumi.String(c.Release.Name))
	ctx.Export("images", pulumi.ToStringMap(map[string]string{
		"backend": c.Release.Backend, "frontend": c.Release.Frontend, "ops": c.Images.Ops, "edge": c.Images.Edge,
		"postgres": c.Images.Postgres, "redis": c.Images.Redis,
	}))
	if c.Kind == config.Drill {
		ctx.Export("expires", pulumi.String(c.Drill.Expires))
	}
	return nil
}

// expires is when the stack may be removed; zero: never.
func expires(c config.Config) time.Time {
	if c.Kind != config.Drill {
		return time.Time{}
	}
	at, _ := time.Parse(time.RFC3339, c.Drill.Expires) // the rules have parsed it
	return at
}

// hostFiles are the host's plain files, beside the timers' units.
func hostFiles(c config.Config) ([]hostspec.File, error) {
	files := []hostspec.File{
		{
			Path: "/etc/systemd/journald.conf.d/10-momentstudio.conf", Mode: 0o644,
			Content: "[Journal]\nSystemMaxUse=500M\nMaxRetentionSec=30day\n",
		},
		// From here on only the newest deploy key opens the host; the one of its first boot does not.
		{
			Path: "/etc/ssh/sshd_config.d/20-momentstudio-keys.conf", Mode: 0o644,
			Content: "AuthorizedKeysFile " + hostspec.AuthorizedKeys + "\n",
		},
	}
	upgrades, err := render.UnattendedUpgrades(c.Host.RebootAt)
	if err != nil {
		return nil, err
	}
	files = append(files, upgrades...)
	drill := c.Kind == config.Drill
	command, err := render.HostopsCommand(c.Images.Ops, hostspec.AppNetwork, everything(hostspec.EtcDir), drill)
	if err != nil || drill || !c.Backup.Enabled {
		return append(files, command), err
	}
	notice, err := render.Notice(c.Images.Ops, hostspec.AppNetwork, everything(hostspec.SecretsDir))
	return append(files, command, notice), err
}

// captchaKeys are the widget's; empty without one.
type captchaKeys struct{ site, secret pulumi.StringOutput }

// guard declares a resource that depends on everything and is therefore the first to be deleted by a
// destruction. The engine notices a protected resource only when its turn comes: without the guard,
// services, passwords and names would be gone by then.
func guard(ctx *pulumi.Context, c config.Config, everything []pulumi.Resource, clouds pulumi.ResourceOption) error {
	_, err := random.NewRandomUuid(ctx, "guard", &random.RandomUuidArgs{}, clouds,
		pulumi.Protect(c.Protect), pulumi.DependsOn(everything))
	if err != nil {
		return fmt.Errorf("declare the guard: %w", err)
	}
	return nil
}

// services declares everything that runs on the host.
func services(ctx *pulumi.Context, c config.Config, s *secrets.Secrets, h *host.Host, captcha captchaKeys,
	declared *recorder,
) error {
	engine, err := dockerProvider(ctx, c, h)
	if err != nil {
		return err
	}
	drill := c.Kind == config.Drill
	transform := []pulumi.ResourceTransformation{livesOn(h.Server)} // the last one: the SDK keeps the options of no other
	if drill {
		transform = slices.Insert(transform, 0, pulumi.ResourceTransformation(withoutNames))
	}
	onHost := []pulumi.ResourceOption{engine, pulumi.Transformations(transform)}

	container := c.Postgres.Mode == "container"
	logins := map[string]pulumi.StringInput{"a": s.LoginA, "b": s.LoginB}
	db := postgres.Args{
		Image: c.Images.Postgres, OpsImage: c.Images.Ops, MaxConnections: c.Postgres.MaxConnections,
		SharedBuffers: c.Postgres.SharedBuffers, MemoryMB: c.Postgres.MemoryMB, ActiveLogin: s.ActiveLogin,
		LoginFiles:     map[string]string{"a": loginAFile, "b": loginBFile},
		LoginPasswords: logins, SuperuserPassword: s.Superuser,
	}
	if !container {
		db.ExternalURL = pulumi.ToSecret(pulumi.String(c.DatabaseURL.Reveal())).(pulumi.StringOutput)
	}
	dotenv := appEnv(c, s, captcha, db)

	jobSecrets := map[string]pulumi.StringInput{
		hostspec.AppEnvSecret: dotenv, hostspec.DatabaseURLSecret: postgres.URL(db),
		hostspec.SSHHostKey:   h.HostKey, hostspec.SSHHostKey + ".pub": h.HostPublic,
		hostspec.AuthorizedKeys: pulumi.Sprintf("%s\n", h.DeployUser),
	}
	if container {
		jobSecrets[hostspec.SuperuserSecret], jobSecrets[hostspec.SuperuserFirst] = s.Superuser, s.SuperuserFirst
		jobSecrets[loginAFile], jobSecrets[loginBFile] = s.LoginA, s.LoginB
	}
	directories := hostspec.Directories(container)
	tls, tlsHash := "", pulumi.StringInput(nil)
	if c.TLS.Mode == "file" {
		tlsHash = pulumi.String(naming.ContentHash(c.TLSCertificate.Reveal())) // a certificate is public
		tls = tlsDir
		directories = append(directories, hostspec.Directory{Path: tlsDir, Mode: 0o700})
		jobSecrets[tlsDir+"/certificate.pem"] = secretInput(c.TLSCertificate)
		jobSecrets[tlsDir+"/key.pem"] = secretInput(c.TLSKey)
	}
	if c.Registry.Username != "" {
		jobSecrets[hostspec.RegistrySecret] = registryCredentials(c)
	}
	timers := []render.Timer{prune(c)}
	if c.Backup.Enabled {
		jobSecrets[hostspec.BackupSecret] = backupSpec(c, s)
		if !drill {
			timers = append(timers, backupTimers(c)...)
		}
	}
	files, err := hostFiles(c)
	if err != nil {
		return err
	}
	applied, err := hostapply.New(ctx, "host-apply", hostapply.Args{
		OpsImage: c.Images.Ops, Ready: h.Ready, Directories: directories, Secrets: jobSecrets,
		Files: files, Timers: timers, Facts: pulumi.StringArray{pulumi.String(hostspec.BackupFact + "=" +
			destinationNames(c))},
		Owners: map[string]int{
			hostspec.SuperuserSecret: hostspec.PostgresUID,
			hostspec.SuperuserFirst:  hostspec.PostgresUID,
		}, KeepOld: map[string]bool{hostspec.SuperuserSecret: true},
		Reload: []string{"ssh.service", "systemd-journald.service"},
	}, onHost...)
	if err != nil {
		return err
	}
	done := applied.Job.Done
	afterApply := append([]pulumi.ResourceOption{pulumi.DependsOn([]pulumi.Resource{applied.Job.Container})}, onHost...)

	inside := &docker.NetworkArgs{
		Name: pulumi.String(hostspec.AppNetwork), Driver: pulumi.String("overlay"), Attachable: pulumi.Bool(true),
		IpamConfigs: docker.NetworkIpamConfigArray{&docker.NetworkIpamConfigArgs{
			Subnet: pulumi.String(hostspec.AppSubnet), Gateway: pulumi.String(hostspec.AppGateway),
		}},
	}
	if drill {
		inside.Internal = pulumi.Bool(true)
	}
	network, err := docker.NewNetwork(ctx, "app-network", inside, afterApply...)
	if err != nil {
		return fmt.Errorf("declare the app network: %w", err)
	}
	networkID := network.ID().ToStringOutput()

	envSecret, err := swarmSecret(ctx, "app-env", dotenv, afterApply...)
	if err != nil {
		return err
	}
	keyFiles := []workload.SecretFile{}
	for _, k := range appsettings.KeyFiles(c.App) {
		file, err := swarmSecret(ctx, "app-"+k.Part, pulumi.String(k.PEM), afterApply...)
		if err != nil {
			return err
		}
		keyFiles = append(keyFiles, workload.SecretFile{Secret: file, Path: k.Path})
	}
	db.Network, db.Applied = networkID, done
	beforeData := len(declared.made)
	database, err := postgres.New(ctx, "postgres", db, afterApply...)
	if err != nil {
		return err
	}
	_, err = redis.New(ctx, "redis", redis.Args{
		Image: c.Images.Redis, Network: networkID, MemoryMB: c.Redis.MemoryMB, Applied: done,
	}, afterApply...)
	if err != nil {
		return err
	}
	facts := appsettings.Facts{
		Domain: c.Domain, Release: c.Release.Name, RedisURL: fmt.Sprintf("redis://%s:%d/0", hostspec.RedisHost,
			hostspec.RedisPort),
		SSR: c.Frontend.Mode == "ssr", SSRBackend: fmt.Sprintf("http://%s:%d/api/v1", hostspec.BackendHost,
			hostspec.BackendPort),
		AllowedHosts: c.Frontend.AllowedHosts,
	}
	frontendEnv := toStringMap(appsettings.Web(c.App, facts))
	if c.App.Captcha.Enabled {
		frontendEnv["CAPTCHA_SITE_KEY"] = captcha.site
	}
	beforeShop := len(declared.made)
	_, err = app.New(ctx, "app", app.Args{
		Release: c.Release.Name, BackendImage: c.Release.Backend, FrontendImage: c.Release.Frontend, OpsImage: c.Images.Ops,
		ClientImage: c.Images.Postgres, CompatibleRevisions: c.Release.CompatibleRevisions, Applied: applied.Job,
		Network: networkID, EnvSecret: envSecret, EnvFile: hostspec.AppEnvSecret,
		KeyFiles: keyFiles, BackendEnv: toStringMap(appsettings.Backend(c.App, facts, appsettings.API)),
		WorkerEnv:   toStringMap(appsettings.Backend(c.App, facts, appsettings.Worker)),
		FrontendEnv: frontendEnv, SSR: c.Frontend.Mode == "ssr",
		BackendReplicas: c.Backend.Replicas, BackendMemoryMB: c.Backend.MemoryMB, WorkerMemoryMB: c.Worker.MemoryMB,
		FrontendReplicas: c.Frontend.Replicas, FrontendMemoryMB: c.Frontend.MemoryMB,
		LongestJob:    time.Duration(c.Worker.LongestJobSeconds) * time.Second,
		DatabaseReady: database.Ready, DependsOn: declared.since(beforeData),
	}, afterApply...)
	if err != nil {
		return err
	}
	shop := declared.since(beforeShop)
	if container {
		if _, err := postgres.NewRetirement(ctx, "postgres-retirement", db, shop, onHost...); err != nil {
			return err
		}
	}
	edge := render.Caddy{
		Domain: c.Domain, Mode: c.TLS.Mode, Proxied: c.DNS.Proxied, SSR: c.Frontend.Mode == "ssr",
		RateLimits: c.Edge.RateLimits, MaxBodyMB: c.Edge.MaxBodyMB,
	}
	if c.TLS.Mode == "acme" {
		edge.Email, edge.ACMEDirectory = c.TLS.Email, c.TLS.ACMEDirectory
	}
	_, err = caddy.New(ctx, "caddy", caddy.Args{
		EdgeImage: c.Images.Edge, OpsImage: c.Images.Ops, Network: networkID, Config: edge,
		ACMERoot: c.TLS.ACMERootPEM, TLSDir: tls, TLSHash: tlsHash, Applied: done, Closed: drill,
	}, append([]pulumi.ResourceOption{pulumi.DependsOn(shop)}, onHost...)...)
	return err
}

// appEnv renders the application's secret settings. A given SECRET_KEY wins over the generated one.
func appEnv(c config.Config, s *secrets.Secrets, captcha captchaKeys, db postgres.Args) pulumi.StringOutput {
	given := c.AppSecrets
	return pulumi.ToSecret(pulumi.All(postgres.URL(db), s.AppKey, s.MaintenanceToken, s.PreviewToken,
		captcha.secret).ApplyT(func(v []any) string {
		return appsettings.DotEnv(given, appsettings.Generated{
			DatabaseURL: v[0].(string), SecretKey: v[1].(string), MaintenanceToken: v[2].(string),
			PreviewToken: v[3].(string), TurnstileSecret: v[4].(string),
		})
	})).(pulumi.StringOutput)
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
