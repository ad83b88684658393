// Package appsettings says which setting of the application gets which value, and which process
// reads it. It is the one place that knows the application's names; app-contract §2 is its source.
package appsettings

import (
	"maps"

	"github.com/prekzursil/momentstudio-infra/internal/config"
	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
	"github.com/prekzursil/momentstudio-infra/internal/render"
)

// Backend returns the plain settings of API and worker: the environment of their containers.
// Keys that would be empty are left out, because the application aborts on empty numbers and lists.
func Backend(c config.Config, redisURL string) map[string]string {
	origin := "https://" + c.Domain
	env := map[string]string{
		"ENVIRONMENT":                   c.App.Environment,
		"APP_VERSION":                   c.Release.Name,
		"FRONTEND_ORIGIN":               origin,
		"PUBLIC_BASE_URL":               origin,
		"REDIS_URL":                     redisURL,
		"SECURE_COOKIES":                render.Bool(true),
		"PAYMENTS_PROVIDER":             "stripe", // the default, mock, stops a production start
		"COOKIE_SAMESITE":               "lax",
		"CAPTCHA_ENABLED":               render.Bool(true),
		"CAPTCHA_PROVIDER":              "turnstile",
		"ADMIN_MFA_REQUIRED":            render.Bool(true),
		"ADMIN_IP_HEADER":               hostspec.AdminIPHeader,
		"LOCKERS_USE_OVERPASS_FALLBACK": render.Bool(false),
		"LOG_JSON":                      render.Bool(true),
		"SMTP_ENABLED":                  render.Bool(c.App.SMTP.Enabled),
		// Compared as text by the image's entrypoint; only migrations by the job (design §3.8).
		"RUN_DB_MIGRATIONS": "0",
	}
	if s := c.App.SMTP; s.Enabled {
		env["SMTP_HOST"], env["SMTP_PORT"], env["SMTP_FROM_EMAIL"] = s.Host, render.Int(s.Port), s.From
		env["SMTP_USE_TLS"] = render.Bool(true)
		if s.Username != "" {
			env["SMTP_USERNAME"] = s.Username
		}
	}
	maps.Copy(env, c.App.Extra)
	return env
}

// Secret names the secret settings, which reach the backend as the file /app/.env. Unknown names in
// that file stop the application, so nothing else may be added here (app-contract §2.1).
type Secret struct {
	DatabaseURL, SecretKey, MaintenanceToken, PreviewToken, SentryDSN, TurnstileSecret, SMTPPassword string
}

// DotEnv renders the file; values that are not set are left out.
func (s Secret) DotEnv() string {
	values := map[string]string{
		"DATABASE_URL": s.DatabaseURL, "SECRET_KEY": s.SecretKey, "MAINTENANCE_BYPASS_TOKEN": s.MaintenanceToken,
		"CONTENT_PREVIEW_TOKEN": s.PreviewToken, "SENTRY_DSN": s.SentryDSN,
		"TURNSTILE_SECRET_KEY": s.TurnstileSecret, "SMTP_PASSWORD": s.SMTPPassword,
	}
	maps.DeleteFunc(values, func(_, v string) bool { return v == "" })
	return render.DotEnv(values)
}

// Frontend returns the settings that the frontend's start script shows to every browser.
func Frontend(c config.Config) map[string]string {
	origin := "https://" + c.Domain
	env := map[string]string{
		"APP_ENV":         "production", // anything else switches the service worker off
		"APP_VERSION":     c.Release.Name,
		"API_BASE_URL":    "/api/v1",
		"PUBLIC_BASE_URL": origin,
		"SENTRY_ENABLED":  render.Bool(false),
	}
	if c.Frontend.Mode == "ssr" {
		env["SSR_API_BASE_URL"] = "http://" + hostspec.BackendHost + ":8000/api/v1"
		// Without it the server silently sends unrendered pages; 127.0.0.1 is the health check.
		env["NG_ALLOWED_HOSTS"] = c.Domain + ",127.0.0.1,localhost"
	}
	return env
}
