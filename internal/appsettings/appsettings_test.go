package appsettings_test

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prekzursil/momentstudio-infra/internal/appsettings"
	"github.com/prekzursil/momentstudio-infra/internal/secret"
)

var facts = appsettings.Facts{
	Domain: "momentstudio.ro", Release: strings.Repeat("a", 40),
	RedisURL: "redis://redis:6379/0",
}

func fullSecrets() appsettings.Secrets {
	var s appsettings.Secrets
	for key, v := range appsettings.SecretKeys(&s) {
		*v = secret.New("it's " + key)
	}
	return s
}

func allGenerated() appsettings.Generated {
	return appsettings.Generated{
		DatabaseURL: "postgresql+asyncpg://a:b@postgres/x", SecretKey: strings.Repeat("k", 64),
		MaintenanceToken: "m-token", PreviewToken: "p-token", TurnstileSecret: "t-secret",
	}
}

func secretNames() []string {
	var names []string
	for _, s := range appsettings.Catalogue() {
		if s.Class == appsettings.Secret {
			names = append(names, s.Name)
		}
	}
	return slices.Compact(slices.Sorted(slices.Values(names)))
}

func TestCatalogueIsWhole(t *testing.T) {
	type place struct {
		name     string
		frontend bool
	}
	seen := map[place]string{}
	keys := map[string]bool{}
	for _, s := range appsettings.Catalogue() {
		if s.Name == "" || s.Readers == 0 || s.Kind == "" {
			t.Errorf("an entry is incomplete: %+v", s)
		}
		if s.Key == "" && s.From == "" {
			t.Errorf("%s has no key, and nothing says where it comes from", s.Name)
		}
		at := place{s.Name, s.Readers&appsettings.Frontend != 0 && s.Readers&appsettings.API == 0}
		if other, twice := seen[at]; twice {
			t.Errorf("%s is there twice: %s and %s", s.Name, other, s.Key)
		}
		seen[at] = s.Key
		keys[s.Key] = true
		if s.Class == appsettings.Secret && s.Readers&appsettings.Frontend != 0 {
			t.Errorf("%s is a secret that browsers would see", s.Name)
		}
	}
	if len(seen) < 180 {
		t.Errorf("the catalogue has %d settings: too few", len(seen))
	}
}

// Names of app-contract §1.5 and §2.3 that a stack must be able to decide about, or must refuse.
func TestEveryNameOfTheContractIsKnown(t *testing.T) {
	known := map[string]bool{}
	for _, s := range appsettings.Catalogue() {
		known[s.Name] = true
	}
	for _, name := range contractNames {
		if !known[name] && appsettings.NotSet(name) == "" && !slices.Contains(legacyNames, name) {
			t.Errorf("%s is in the contract and nowhere here", name)
		}
	}
}

func TestEnvironmentsHoldNoSecretAndNothingEmpty(t *testing.T) {
	for _, stack := range []string{"prod", "staging", "sandbox"} {
		c := load(t, stack)
		ssr := facts
		ssr.SSR, ssr.SSRBackend, ssr.AllowedHosts = true, "http://backend:8000/api/v1", []string{
			"momentstudio.ro",
			"127.0.0.1",
		}
		for which, env := range map[string]map[string]string{
			"API": appsettings.Backend(c.App, facts, appsettings.API), "worker": appsettings.Backend(c.App, facts,
				appsettings.Worker),
			"frontend": appsettings.Web(c.App, facts), "rendering frontend": appsettings.Web(c.App, ssr),
		} {
			if len(env) < 5 {
				t.Fatalf("%s: %s has %d settings", stack, which, len(env))
			}
			for _, name := range slices.Sorted(maps.Keys(env)) {
				if env[name] == "" {
					t.Errorf("%s: %s: %s is empty", stack, which, name)
				}
				// The browsers' Sentry DSN has the name of the API's secret one.
				if slices.Contains(secretNames(), name) && (name != "SENTRY_DSN" || !strings.Contains(which, "frontend")) {
					t.Errorf("%s: %s: the secret setting %s stands in the environment", stack, which, name)
				}
			}
		}
	}
}

func TestDefaultsAreSafeForProduction(t *testing.T) {
	s := appsettings.Defaults()
	env := appsettings.Backend(s, facts, appsettings.API)
	for name, want := range map[string]string{
		"ENVIRONMENT": "production", "ADMIN_MFA_REQUIRED": "1", "SECURE_COOKIES": "1", "LOCKERS_USE_OVERPASS_FALLBACK": "0",
		"PAYMENTS_PROVIDER": "real", "STRIPE_ENV": "sandbox", "PAYPAL_ENV": "sandbox", "NETOPIA_ENABLED": "0",
		"CAPTCHA_ENABLED": "1",
		"COOKIE_SAMESITE": "lax", "RUN_DB_MIGRATIONS": "0", "SMTP_ENABLED": "0", "SMTP_USE_TLS": "1", "LOG_JSON": "1",
		"FRONTEND_ORIGIN": "https://momentstudio.ro", "CORS_ORIGINS": "[]", "ADMIN_IP_HEADER": "X-Momentstudio-Client-IP",
		"SENTRY_SEND_DEFAULT_PII": "1", "SENTRY_TRACES_SAMPLE_RATE": "0.05", "SENTRY_PROFILES_SAMPLE_RATE": "0",
		"SENTRY_ENABLE_LOGS": "0", "SENTRY_LOG_LEVEL": "error", "SAMEDAY_MIRROR_PLAYWRIGHT_ENABLED": "0",
		"APP_VERSION": strings.Repeat("a", 40), "REDIS_URL": "redis://redis:6379/0",
	} {
		if env[name] != want {
			t.Errorf("%s is %q, want %q", name, env[name], want)
		}
	}
	web := appsettings.Web(s, facts)
	for name, want := range map[string]string{
		"APP_ENV": "production", "API_BASE_URL": "/api/v1", "STRIPE_ENABLED": "0", "SENTRY_ENABLED": "1",
		"SENTRY_TRACES_SAMPLE_RATE":         "0.05",
		"SENTRY_REPLAY_SESSION_SAMPLE_RATE": "0", "SENTRY_REPLAY_ON_ERROR_SAMPLE_RATE": "1",
		"PUBLIC_BASE_URL": "https://momentstudio.ro",
	} {
		if web[name] != want {
			t.Errorf("the frontend's %s is %q, want %q", name, web[name], want)
		}
	}
	for _, name := range []string{
		"NG_ALLOWED_HOSTS", "SSR_API_BASE_URL", "DB_POOL_SIZE", "SMTP_HOST",
		"GOOGLE_REDIRECT_URI",
	} {
		if v, ok := env[name]; ok {
			t.Errorf("%s is %q, want no such setting", name, v)
		}
	}
}

func TestListsAndSwitchesAreWrittenForTheirReader(t *testing.T) {
	s := appsettings.Defaults()
	s.SupportedLocales, s.Admin.IPAllowlist = []string{"en", "ro"}, []string{}
	off, size := false, 7
	s.Orders.Expiry, s.Database.PoolSize = &off, &size
	env, web := appsettings.Backend(s, facts, appsettings.API), appsettings.Web(s, facts)
	for _, c := range []struct{ what, got, want string }{
		{"a list for the API", env["SUPPORTED_LOCALES"], `["en","ro"]`},
		{"a list for the browsers", web["SUPPORTED_LOCALES"], "en,ro"},
		{"an empty list", env["ADMIN_IP_ALLOWLIST"], "[]"},
		{"a switch", env["ORDER_PENDING_PAYMENT_EXPIRY_ENABLED"], "0"},
		{"a number", env["DB_POOL_SIZE"], "7"},
	} {
		if c.got != c.want {
			t.Errorf("%s is written %q, want %q", c.what, c.got, c.want)
		}
	}
}

func TestTheWorkerGetsWhatItReads(t *testing.T) {
	s := appsettings.Defaults()
	size := 7
	s.Database.PoolSize = &size
	worker := appsettings.Backend(s, facts, appsettings.Worker)
	for _, name := range []string{
		"ENVIRONMENT", "REDIS_URL", "DB_POOL_SIZE", "APP_VERSION", "RUN_DB_MIGRATIONS",
		"SENTRY_LOG_LEVEL",
	} {
		if worker[name] == "" {
			t.Errorf("the worker lacks %s", name)
		}
	}
	for _, name := range []string{"STRIPE_ENV", "ADMIN_IP_HEADER", "FRONTEND_ORIGIN", "COOKIE_SAMESITE"} {
		if v, ok := worker[name]; ok {
			t.Errorf("a change of %s, now %q, would restart the worker, which does not read it", name, v)
		}
	}
}

var line = regexp.MustCompile(`^([A-Z][A-Z0-9_]*)='(.*)'$`)

func TestDotEnvHoldsTheSecretSettingsAndNothingElse(t *testing.T) {
	text := appsettings.DotEnv(fullSecrets(), allGenerated())
	var names []string
	for l := range strings.Lines(text) {
		m := line.FindStringSubmatch(strings.TrimSuffix(l, "\n"))
		if m == nil || m[2] == "" {
			t.Fatalf("%q is no line of a .env with a value", l)
		}
		names = append(names, m[1])
	}
	if want := secretNames(); !slices.Equal(names, want) {
		t.Errorf("got %q, want %q in this order", names, want)
	}
	if got := appsettings.DotEnv(appsettings.Secrets{}, appsettings.Generated{}); got != "" {
		t.Errorf("no secrets render as %q", got)
	}
	if !strings.Contains(text, `SECRET_KEY='it\'s secretKey'`) {
		t.Error("a given SECRET_KEY does not win over the generated one")
	}
}

func TestNetopiasKeysReachTheApplicationAsFiles(t *testing.T) {
	s := appsettings.Defaults()
	s.Netopia.PublicKeyLive = publicKey
	files := appsettings.KeyFiles(s)
	if len(files) != 1 || files[0].PEM != publicKey {
		t.Fatalf("got %+v", files)
	}
	env := appsettings.Backend(s, facts, appsettings.API)
	if env["NETOPIA_PUBLIC_KEY_PATH_LIVE"] != files[0].Path || env["NETOPIA_PUBLIC_KEY_PATH_SANDBOX"] != "" {
		t.Errorf("the application looks at %q, the file is at %q", env["NETOPIA_PUBLIC_KEY_PATH_LIVE"], files[0].Path)
	}
}

func TestFurtherSettingsReachAPIAndWorker(t *testing.T) {
	s := appsettings.Defaults()
	s.Extra = map[string]string{"NEW_SWITCH": "1"}
	for _, r := range []appsettings.Reader{appsettings.API, appsettings.Worker} {
		if got := appsettings.Backend(s, facts, r)["NEW_SWITCH"]; got != "1" {
			t.Errorf("%v gets %q", r, got)
		}
	}
}
