package config

import (
	"fmt"
	"time"

	"github.com/prekzursil/momentstudio-infra/internal/secret"
)

// DrillOptions belong to stacks of kind drill.
type DrillOptions struct {
	// Expires is the time, as RFC 3339 writes it, after which `studio drill reap` may remove the stack; `studio drill`
	// sets it, and a stack of kind drill needs it.
	Expires string `json:"expires"`
}

// nobody is a Sentry that no name leads to: the app does not start in production without one.
const nobody = "https://drill@sentry.invalid/1"

// deriveDrill fills what a drill does not need to be told.
func (c *Config) deriveDrill() {
	if c.Kind == Drill && !c.AppSecrets.SentryDSN.Set() {
		c.AppSecrets.SentryDSN = secret.New(nobody)
	}
}

// validateDrill holds a drill to what makes it one: it is thrown away, restores what lies off its host, and nobody
// outside notices it. Its network has no way out either; these rules are about what would be made elsewhere, or
// would sit there and fail.
func (c *Config) validateDrill(p *problems) {
	if c.Kind != Drill {
		if c.Drill.Expires != "" {
			p.addFix("drill.expires", fmt.Sprintf("%q", c.Drill.Expires), "nothing, unless kind is drill: other stacks do not "+
				"expire",
				fmt.Sprintf("pulumi config rm %s:drill --stack %s", Namespace, c.Stack))
		}
		if c.BackupPassword.Set() {
			p.addFix("backupPassword", "[secret]", "nothing, unless kind is drill: other stacks generate their own",
				fmt.Sprintf("pulumi config rm %s:backupPassword --stack %s", Namespace, c.Stack))
		}
		return
	}
	if _, err := time.Parse(time.RFC3339, c.Drill.Expires); err != nil {
		p.set("drill.expires", c.Drill.Expires, "a time as RFC 3339 writes it; `studio drill` sets it",
			"2026-12-01T03:00:00Z")
	}
	if !c.BackupPassword.Set() {
		c.missingSecret(p, "backupPassword", "the password of the backups that are restored: that of the stack that made "+
			"them (docs/guides/back-up.md)")
	}
	for _, r := range []struct {
		bad           bool
		path          string
		got           any
		want, example string
	}{
		{c.Protect, "protect", c.Protect, "false: a drill is thrown away", "false"},
		{c.Postgres.Mode != "container", "postgres.mode", c.Postgres.Mode, "container: a drill restores into a database of " +
			"its own", "container"},
		{
			c.TLS.Mode != "internal", "tls.mode", c.TLS.Mode, "internal: no authority is asked for a drill's certificates",
			"internal",
		},
		{c.Turnstile.Enabled, "turnstile.enabled", c.Turnstile.Enabled, "false: no widget is made for a drill", "false"},
		{c.App.Captcha.Enabled, "app.captcha.enabled", c.App.Captcha.Enabled, "false: Cloudflare cannot be asked", "false"},
		{c.App.SMTP.Enabled, "app.smtp.enabled", c.App.SMTP.Enabled, "false: a drill writes to no customer", "false"},
		{c.App.Admin.MFARequired, "app.admin.mfaRequired", c.App.Admin.MFARequired, "false: the drill's own visitor has no " +
			"second factor", "false"},
		{c.App.Stripe.Enabled, "app.stripe.enabled", c.App.Stripe.Enabled, "false: a drill takes no money", "false"},
		{c.App.PayPal.Enabled, "app.paypal.enabled", c.App.PayPal.Enabled, "false: a drill takes no money", "false"},
		{c.App.Netopia.Enabled, "app.netopia.enabled", c.App.Netopia.Enabled, "false: a drill takes no money", "false"},
		{c.App.FX.Refresh, "app.fx.refresh", c.App.FX.Refresh, "false: a drill asks nobody for rates", "false"},
		{on(c.App.Reports.Scheduler), "app.reports.scheduler", true, "false: a drill reports to nobody", "false"},
		{on(c.App.Sameday.Mirror), "app.sameday.mirror", true, "false: a drill asks no courier", "false"},
		{on(c.App.Accounts.Deletion), "app.accounts.deletion", true, "false: a drill deletes nobody", "false"},
		{on(c.App.Orders.Expiry), "app.orders.expiry", true, "false: a drill expires no order", "false"},
		{
			on(c.App.Media.UsageReconcile), "app.media.usageReconcile", true, "false: a drill changes nothing by itself",
			"false",
		},
		{
			!c.Backup.Enabled, "backup.enabled", c.Backup.Enabled, "true: a drill restores from the destinations in backup",
			"true",
		},
		{c.Backup.Local, "backup.local", c.Backup.Local, "false: a drill restores what lies off its host", "false"},
		{!c.Backup.offHost(), "backup.rest.url", nil, "a destination in backup.rest, backup.s3 or backup.sftp, with " +
			"credentials that read", "https://backup.example:8000/momentstudio"},
		{c.Backup.Rest.Prune, "backup.rest.prune", true, "false: a drill only reads", "false"},
		{c.Backup.S3.Prune, "backup.s3.prune", true, "false: a drill only reads", "false"},
		{c.Backup.SFTP.Prune, "backup.sftp.prune", true, "false: a drill only reads", "false"},
		{c.Backup.NotifyMail != "", "backup.notifyMail", c.Backup.NotifyMail, "nothing: a drill makes no backups", `""`},
	} {
		if r.bad {
			p.set(r.path, r.got, r.want, r.example)
		}
	}
}

// on reads a switch that is on by default.
func on(b *bool) bool { return b == nil || *b }
