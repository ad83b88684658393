package appsettings_test

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prekzursil/momentstudio-infra/internal/appsettings"
	"github.com/prekzursil/momentstudio-infra/internal/config"
	"github.com/prekzursil/momentstudio-infra/internal/graphtest"
)

const redisURL = "redis://redis:6379/0"

// secretNames are the application's settings that must stand in no environment.
var secretNames = []string{
	"SECRET_KEY", "DATABASE_URL", "MAINTENANCE_BYPASS_TOKEN", "CONTENT_PREVIEW_TOKEN", "SENTRY_DSN",
	"TURNSTILE_SECRET_KEY", "SMTP_PASSWORD",
}

func load(t *testing.T, stack string) config.Config {
	t.Helper()
	c, err := config.Load(graphtest.StackFile(t, "../..", stack))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func withMail(c config.Config) config.Config {
	c.App.SMTP = config.SMTP{Enabled: true, Host: "smtp.example", Port: 587, Username: "shop", From: "shop@example.ro"}
	return c
}

func fullSecret() appsettings.Secret {
	return appsettings.Secret{DatabaseURL: "postgresql+asyncpg://a:b@postgres/x", SecretKey: strings.Repeat("k", 64),
		MaintenanceToken: "m-token", PreviewToken: "p-token", SentryDSN: "https://k@sentry.example/1",
		TurnstileSecret: "t-secret", SMTPPassword: "it's"}
}

var line = regexp.MustCompile(`^([A-Z][A-Z0-9_]*)='(.*)'$`)

// names reads the names of a rendered .env.
func names(t *testing.T, text string) []string {
	t.Helper()
	var out []string
	for l := range strings.Lines(text) {
		m := line.FindStringSubmatch(strings.TrimSuffix(l, "\n"))
		if m == nil {
			t.Fatalf("%q is no line of a .env", l)
		}
		if m[2] == "" {
			t.Errorf("%s is empty: the application aborts on some empty settings", m[1])
		}
		out = append(out, m[1])
	}
	return out
}

// The rows of app-contract §2.2: what the application checks before it starts in production.
func TestProductionStarts(t *testing.T) {
	for _, stack := range []string{"prod", "staging", "sandbox"} {
		for _, mail := range []bool{false, true} {
			c := load(t, stack)
			if mail {
				c = withMail(c)
			}
			plain := appsettings.Backend(c, redisURL)
			file := names(t, fullSecret().DotEnv())
			for _, rule := range []struct {
				name  string
				holds bool
			}{
				{"ENVIRONMENT is production, or none of the checks run", plain["ENVIRONMENT"] == "production"},
				{"SECRET_KEY is in the file", slices.Contains(file, "SECRET_KEY")},
				{"MAINTENANCE_BYPASS_TOKEN is in the file", slices.Contains(file, "MAINTENANCE_BYPASS_TOKEN")},
				{"CONTENT_PREVIEW_TOKEN is in the file", slices.Contains(file, "CONTENT_PREVIEW_TOKEN")},
				{"SENTRY_DSN is in the file", slices.Contains(file, "SENTRY_DSN")},
				{"SECURE_COOKIES is on", plain["SECURE_COOKIES"] == "1"},
				{"FRONTEND_ORIGIN is the site's own", plain["FRONTEND_ORIGIN"] == "https://"+c.Domain},
				{"PAYMENTS_PROVIDER is not the default, mock", plain["PAYMENTS_PROVIDER"] != "" && plain["PAYMENTS_PROVIDER"] != "mock"},
				{"COOKIE_SAMESITE is one of three", slices.Contains([]string{"lax", "strict", "none"}, plain["COOKIE_SAMESITE"])},
				{"captcha is on", plain["CAPTCHA_ENABLED"] == "1" && plain["CAPTCHA_PROVIDER"] == "turnstile"},
				{"and has its secret in the file", slices.Contains(file, "TURNSTILE_SECRET_KEY")},
				{"mail names server and sender when it is on", (plain["SMTP_ENABLED"] == "1") == mail &&
					(!mail || plain["SMTP_HOST"] == "smtp.example" && plain["SMTP_FROM_EMAIL"] == "shop@example.ro" && plain["SMTP_USE_TLS"] == "1")},
				{"the database is not the default file", slices.Contains(file, "DATABASE_URL")},
				{"Redis is there", plain["REDIS_URL"] == redisURL},
				{"administrators need a second factor", plain["ADMIN_MFA_REQUIRED"] == "1"},
				{"the version is the full commit", len(plain["APP_VERSION"]) == 40},
			} {
				if !rule.holds {
					t.Errorf("%s, mail %v: it does not hold that %s", stack, mail, rule.name)
				}
			}
		}
	}
}

func TestPlainSettings(t *testing.T) {
	for _, stack := range []string{"prod", "staging", "sandbox"} {
		for _, c := range []config.Config{load(t, stack), withMail(load(t, stack))} {
			for which, env := range map[string]map[string]string{"backend": appsettings.Backend(c, redisURL), "frontend": appsettings.Frontend(c)} {
				if len(env) < 5 {
					t.Fatalf("%s %s has %d settings", stack, which, len(env))
				}
				for _, name := range slices.Sorted(maps.Keys(env)) {
					if env[name] == "" {
						t.Errorf("%s %s: %s is empty", stack, which, name)
					}
					if slices.Contains(secretNames, name) {
						t.Errorf("%s %s: the secret setting %s stands in the environment", stack, which, name)
					}
				}
			}
		}
	}
}

func TestMailUserIsLeftOutWhenThereIsNone(t *testing.T) {
	c := withMail(load(t, "prod"))
	c.App.SMTP.Username = ""
	if v, ok := appsettings.Backend(c, redisURL)["SMTP_USERNAME"]; ok {
		t.Errorf("SMTP_USERNAME is %q, want no such setting", v)
	}
}

func TestFurtherSettingsReachTheBackend(t *testing.T) {
	c := load(t, "prod")
	c.App.Extra = map[string]string{"FX_REFRESH_ENABLED": "1"}
	if got := appsettings.Backend(c, redisURL)["FX_REFRESH_ENABLED"]; got != "1" {
		t.Errorf("FX_REFRESH_ENABLED is %q", got)
	}
}

func TestMigrationsRunInNoService(t *testing.T) {
	if got := appsettings.Backend(load(t, "prod"), redisURL)["RUN_DB_MIGRATIONS"]; got != "0" {
		t.Errorf("RUN_DB_MIGRATIONS is %q, want 0: two migrations at once break each other", got)
	}
	// The application does not know the name, and an unknown one in its file stops it.
	if strings.Contains(fullSecret().DotEnv(), "RUN_DB_MIGRATIONS") {
		t.Error("RUN_DB_MIGRATIONS stands in the .env")
	}
}

func TestDotEnvHoldsTheSecretSettingsAndNothingElse(t *testing.T) {
	want := slices.Sorted(slices.Values(secretNames))
	if got := names(t, fullSecret().DotEnv()); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q in this order", got, want)
	}
	without := fullSecret()
	without.SMTPPassword = ""
	if got := names(t, without.DotEnv()); slices.Contains(got, "SMTP_PASSWORD") || len(got) != len(want)-1 {
		t.Errorf("got %q without a mail password", got)
	}
	if got := (appsettings.Secret{}).DotEnv(); got != "" {
		t.Errorf("no secrets render as %q", got)
	}
}

func TestEachSecretHasItsOwnName(t *testing.T) {
	text := fullSecret().DotEnv()
	for name, value := range map[string]string{
		"DATABASE_URL": "postgresql+asyncpg://a:b@postgres/x", "SECRET_KEY": strings.Repeat("k", 64),
		"MAINTENANCE_BYPASS_TOKEN": "m-token", "CONTENT_PREVIEW_TOKEN": "p-token", "SENTRY_DSN": "https://k@sentry.example/1",
		"TURNSTILE_SECRET_KEY": "t-secret", "SMTP_PASSWORD": `it\'s`,
	} {
		if !strings.Contains("\n"+text, "\n"+name+"='"+value+"'\n") {
			t.Errorf("%s does not hold its own value", name)
		}
	}
}

func TestRenderingFrontendAcceptsTheNamesByWhichItIsAsked(t *testing.T) {
	c := load(t, "prod")
	if v, ok := appsettings.Frontend(c)["NG_ALLOWED_HOSTS"]; ok {
		t.Errorf("the static frontend is given NG_ALLOWED_HOSTS %q", v)
	}
	c.Frontend.Mode = "ssr"
	env := appsettings.Frontend(c)
	hosts := strings.Split(env["NG_ALLOWED_HOSTS"], ",")
	for _, want := range []string{c.Domain, "127.0.0.1"} {
		if !slices.Contains(hosts, want) {
			t.Errorf("NG_ALLOWED_HOSTS %q lacks %s", hosts, want)
		}
	}
	if env["SSR_API_BASE_URL"] != "http://backend:8000/api/v1" {
		t.Errorf("SSR_API_BASE_URL is %q", env["SSR_API_BASE_URL"])
	}
	if env["APP_ENV"] != "production" || env["APP_VERSION"] != c.Release.Name || env["API_BASE_URL"] != "/api/v1" {
		t.Errorf("got %v", env)
	}
}
