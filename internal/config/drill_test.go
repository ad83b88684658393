package config_test

import (
	"strings"
	"testing"

	"github.com/prekzursil/momentstudio-infra/internal/config"
)

// expires is what `studio drill` adds to the committed file.
var expires = set("drill.expires", "2026-12-01T03:00:00Z")

func TestTheCommittedDrillIsValid(t *testing.T) {
	c, err := config.Load(source(t, "drill", expires))
	if err != nil {
		t.Fatal(err)
	}
	if c.Kind != config.Drill || c.Protect || c.Kind.Public() || !strings.Contains(c.AppSecrets.SentryDSN.Reveal(),
		".invalid/") {
		t.Errorf("kind %s, protect %v, Sentry at %s", c.Kind, c.Protect, c.AppSecrets.SentryDSN.Reveal())
	}
}

func TestADrillHasNothingThatOthersWouldNotice(t *testing.T) {
	for path, e := range map[string][]edit{
		"drill.expires":         {set("drill.expires", "tomorrow")},
		"backupPassword":        {remove("backupPassword")},
		"protect":               {set("protect", true)},
		"tls.mode":              {set("tls.mode", "acme"), set("tls.email", "a@b.ro")},
		"turnstile.enabled":     {set("turnstile.enabled", true), set("turnstile.accountId", "x")},
		"app.smtp.enabled":      {set("app.smtp", map[string]any{"enabled": true, "host": "mx", "from": "a@b.ro"})},
		"app.admin.mfaRequired": {set("app.admin.mfaRequired", true)},
		"app.stripe.enabled": {
			set("app.stripe.enabled", true), secretKey("stripeSecretKeySandbox", "sk_test_x"),
			secretKey("stripeWebhookSecretSandbox", "whsec_x"),
		},
		"app.fx.refresh":           {set("app.fx.refresh", true)},
		"app.reports.scheduler":    {set("app.reports", map[string]any{})},
		"app.sameday.mirror":       {set("app.sameday", map[string]any{})},
		"app.accounts.deletion":    {set("app.accounts", map[string]any{})},
		"app.orders.expiry":        {set("app.orders", map[string]any{})},
		"app.media.usageReconcile": {set("app.media", map[string]any{})},
		"backup.enabled":           {set("backup.enabled", false)},
		"backup.local":             {set("backup.local", true)},
		"backup.rest.url":          {set("backup.s3", map[string]any{})},
		"backup.s3.prune":          {set("backup.s3.prune", true)},
		"postgres.mode": {
			set("postgres.mode", "external"),
			secretKey("databaseUrl", "postgresql+asyncpg://u:p@db:5432/shop"),
		},
	} {
		_, err := config.Load(source(t, "drill", append([]edit{expires}, e...)...))
		if err == nil || !strings.Contains(err.Error(), "momentstudio:"+path+" ") && !strings.Contains(err.Error(),
			"momentstudio:"+path+":") {
			t.Errorf("%s: got %v", path, err)
		}
	}
}

func TestOnlyADrillExpiresAndOpensOthersBackups(t *testing.T) {
	for path, e := range map[string]edit{"drill.expires": expires, "backupPassword": secretKey("backupPassword", canary)} {
		_, err := config.Load(source(t, "prod", e))
		if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(),
			"unless kind is drill") || strings.Contains(err.Error(), canary) {
			t.Errorf("%s: got %v", path, err)
		}
	}
}
