// Package stacks composes the components into one stack. Production, staging and the sandbox are
// the same composition with other values; a drill is that without whatever others would notice.
package stacks

import (
	"fmt"

	"github.com/pulumi/pulumi-random/sdk/v4/go/random"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/prekzursil/momentstudio-infra/components/secrets"
	"github.com/prekzursil/momentstudio-infra/components/turnstile"
	"github.com/prekzursil/momentstudio-infra/internal/config"
	"github.com/prekzursil/momentstudio-infra/internal/naming"
)

// Deploy declares every resource of the stack.
func Deploy(ctx *pulumi.Context, c config.Config) error {
	s, err := begin(ctx, c)
	if err != nil {
		return err
	}
	h, err := s.host()
	if err != nil {
		return err
	}
	d, err := s.data(h)
	if err != nil {
		return err
	}
	shop, err := s.shop(h, d)
	if err != nil {
		return err
	}
	if err := s.edge(h, shop); err != nil {
		return err
	}
	if err := s.names(h); err != nil {
		return err
	}
	if err := s.guard(); err != nil {
		return err
	}
	s.outputs(h)
	return nil
}

// stack is what every part of the composition uses.
type stack struct {
	ctx      *pulumi.Context
	config   config.Config
	profile  profile
	declared *recorder
	clouds   pulumi.ResourceOption // the providers of everything that is not on the host
	secrets  *secrets.Secrets
	captcha  captchaKeys
}

// captchaKeys are the widget's; empty without one.
type captchaKeys struct{ site, secret pulumi.StringOutput }

// begin declares the providers of the clouds, the generated secrets and the captcha widget.
func begin(ctx *pulumi.Context, c config.Config) (s *stack, err error) {
	s = &stack{ctx: ctx, config: c, profile: profileOf(c)}
	if s.declared, err = record(ctx); err != nil {
		return nil, err
	}
	if s.clouds, err = s.cloudProviders(); err != nil {
		return nil, err
	}
	s.secrets, err = secrets.New(ctx, "secrets", secrets.Args{Protect: c.Protect, Generations: secrets.Generations{
		AppKey: c.Secrets.AppKey, Tokens: c.Secrets.Tokens, DatabaseLogin: c.Secrets.DatabaseLogin,
		Superuser: c.Secrets.Superuser, DeployKey: c.Secrets.DeployKey, HostKey: c.Secrets.HostKey,
		BackupPassword: c.Secrets.BackupPassword, Host: c.Host.Generation,
	}}, s.clouds)
	if err != nil {
		return nil, err
	}
	s.captcha = captchaKeys{site: pulumi.String("").ToStringOutput(), secret: pulumi.String("").ToStringOutput()}
	if c.Turnstile.Enabled {
		widget, err := turnstile.New(ctx, "turnstile", turnstile.Args{
			AccountID: c.Turnstile.AccountID, WidgetName: naming.Physical(c.Stack, "turnstile"),
			Hostnames: c.Turnstile.Hostnames, Mode: c.Turnstile.Mode, Protect: c.Protect,
		}, s.clouds)
		if err != nil {
			return nil, err
		}
		s.captcha = captchaKeys{site: widget.SiteKey, secret: widget.Secret}
	}
	return s, nil
}

// guard declares a resource that depends on everything and is therefore the first to be deleted by a
// destruction. The engine notices a protected resource only when its turn comes: without the guard,
// services, passwords and names would be gone by then.
func (s *stack) guard() error {
	_, err := random.NewRandomUuid(s.ctx, "guard", &random.RandomUuidArgs{}, s.clouds,
		pulumi.Protect(s.config.Protect), pulumi.DependsOn(s.declared.all()))
	if err != nil {
		return fmt.Errorf("declare the guard: %w", err)
	}
	return nil
}

// outputs are what studio and people read.
func (s *stack) outputs(h *machine) {
	ctx, c := s.ctx, s.config
	ctx.Export("url", pulumi.String(c.Domain.Origin()))
	ctx.Export("address", h.Address)
	ctx.Export("knownHosts", h.KnownHosts)
	ctx.Export("sshPrivateKeys", pulumi.ToSecret(h.DeployKeys))
	ctx.Export("turnstileSiteKey", s.captcha.site)
	ctx.Export("release", pulumi.String(c.Release.Name))
	ctx.Export("images", pulumi.ToStringMap(map[string]string{
		"backend": c.Release.Backend, "frontend": c.Release.Frontend, "ops": c.Images.Ops, "edge": c.Images.Edge,
		"postgres": c.Images.Postgres, "redis": c.Images.Redis,
	}))
	if !s.profile.expires.IsZero() {
		ctx.Export("expires", pulumi.String(c.Drill.Expires))
	}
}
