package importenv_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prekzursil/momentstudio-infra/internal/importenv"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const canary = "canary-8d2e91"

// publicKey is a public key of nobody's.
const publicKey = "-----BEGIN PUBLIC " +
	"KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n"

func files(t *testing.T, backend, frontend, infra string) importenv.Files {
	t.Helper()
	dir := t.TempDir()
	var f importenv.Files
	for _, c := range []struct {
		name, text string
		into       *string
	}{{"backend.env", backend, &f.Backend}, {"frontend.env", frontend, &f.Frontend}, {"infra.env", infra, &f.Infra}} {
		if c.text == "" {
			continue
		}
		*c.into = filepath.Join(dir, c.name)
		if err := os.WriteFile(*c.into, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

func read(t *testing.T, backend, frontend, infra string) map[string]importenv.Entry {
	t.Helper()
	r, err := importenv.Read(files(t, backend, frontend, infra))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]importenv.Entry{}
	for _, e := range r.Entries {
		out[e.File+" "+e.Name] = e
	}
	if len(out) != len(r.Entries) {
		t.Error("a name is listed twice")
	}
	return out
}

// decisions are names with what becomes of them.
var decisions = []struct {
	what                     string
	backend, frontend, infra string
	entry                    string
	outcome                  importenv.Outcome
	key, why                 string
}{
	{"a plain value", "SMTP_HOST=mx.example", "", "", "backend SMTP_HOST", importenv.Set, "app.smtp.host", ""},
	{"a secret", "SMTP_PASSWORD=" + canary, "", "", "backend SMTP_PASSWORD", importenv.Secret, "smtpPassword", ""},
	{"an empty value", "DB_POOL_SIZE=", "", "", "backend DB_POOL_SIZE", importenv.Dropped, "", "it is empty"},
	{
		"a placeholder", "STRIPE_SECRET_KEY_LIVE=sk_live_placeholder", "", "", "backend STRIPE_SECRET_KEY_LIVE",
		importenv.Dropped, "", "placeholder",
	},
	{
		"a default", "ADMIN_MFA_REQUIRED=yes", "", "", "backend ADMIN_MFA_REQUIRED", importenv.Default,
		"app.admin.mfaRequired", "",
	},
	{
		"the other side of a default", "ADMIN_MFA_REQUIRED=0", "", "", "backend ADMIN_MFA_REQUIRED", importenv.Set,
		"app.admin.mfaRequired", "",
	},
	{
		"a number that is none", "MAX_CONCURRENT_REQUESTS=many", "", "", "backend MAX_CONCURRENT_REQUESTS",
		importenv.Dropped, "", "not a whole number",
	},
	{
		"a list by commas where JSON belongs", "ADMIN_IP_ALLOWLIST=1.2.3.4,5.6.7.8", "", "", "backend ADMIN_IP_ALLOWLIST",
		importenv.Dropped, "", "not a JSON list",
	},
	{
		"the backend's Sentry", "SENTRY_DSN=https://" + canary + "@s/1", "", "", "backend SENTRY_DSN", importenv.Secret,
		"sentryDsn", "",
	},
	{
		"the browsers' Sentry", "", "SENTRY_DSN=https://k@s/1", "", "frontend SENTRY_DSN", importenv.Set,
		"app.sentry.frontend.dsn", "",
	},
	{
		"the key of existing TOTP secrets", "SECRET_KEY=" + canary, "", "", "backend SECRET_KEY", importenv.Secret,
		"secretKey", "encrypts TOTP",
	},
	{
		"a token that is made anew", "MAINTENANCE_BYPASS_TOKEN=" + canary, "", "", "backend MAINTENANCE_BYPASS_TOKEN",
		importenv.Dropped, "", "stops working",
	},
	{
		"a database of Compose", "DATABASE_URL=postgresql+asyncpg://p:" + canary + "@db/x", "", "", "backend DATABASE_URL",
		importenv.Dropped, "", "its own database",
	},
	{
		"a database elsewhere", "DATABASE_URL=postgresql+asyncpg://p:" + canary + "@db.example/x", "", "",
		"backend DATABASE_URL", importenv.Secret, "databaseUrl", "postgres.mode becomes external",
	},
	{
		"a legacy live key", "STRIPE_ENV=live\nSTRIPE_SECRET_KEY=sk_live_" + canary, "", "", "backend STRIPE_SECRET_KEY",
		importenv.Secret, "stripeSecretKeyLive", "legacy",
	},
	{
		"a legacy key of the sandbox", "STRIPE_SECRET_KEY=sk_test_" + canary, "", "", "backend STRIPE_SECRET_KEY",
		importenv.Secret, "stripeSecretKeySandbox", "legacy",
	},
	{
		"a legacy key beside its successor", "STRIPE_SECRET_KEY=sk_test_" + canary + "\nSTRIPE_SECRET_KEY_SANDBOX=sk_test_x",
		"", "", "backend STRIPE_SECRET_KEY", importenv.Dropped, "", "has its value from backend's " +
			"STRIPE_SECRET_KEY_SANDBOX",
	},
	{
		"a legacy test key", "STRIPE_ENV=live\nSTRIPE_SECRET_KEY_TEST=sk_test_" + canary, "", "",
		"backend STRIPE_SECRET_KEY_TEST", importenv.Secret, "stripeSecretKeySandbox", "legacy",
	},
	{
		"a legacy client", "PAYPAL_ENV=live\nPAYPAL_CLIENT_ID=c", "", "", "backend PAYPAL_CLIENT_ID", importenv.Set,
		"app.paypal.clientIdLive", "legacy",
	},
	{
		"an inline key on one line", "NETOPIA_PUBLIC_KEY_PEM_LIVE='" + strings.ReplaceAll(publicKey, "\n", `\n`) + "'", "",
		"", "backend NETOPIA_PUBLIC_KEY_PEM_LIVE", importenv.Set, "app.netopia.publicKeyLive", "",
	},
	{
		"a key file on the server", "NETOPIA_PUBLIC_KEY_PATH_LIVE=/app/netopia.cer", "", "",
		"backend NETOPIA_PUBLIC_KEY_PATH_LIVE", importenv.Dropped, "", "copy it into the project",
	},
	{
		"an origin that is the domain", "FRONTEND_ORIGIN=https://shop.example", "", "PUBLIC_DOMAIN=shop.example",
		"backend FRONTEND_ORIGIN", importenv.Dropped, "", "follows from domain",
	},
	{
		"an origin without the domain's file", "FRONTEND_ORIGIN=https://shop.example", "", "", "backend FRONTEND_ORIGIN",
		importenv.Set, "domain", "",
	},
	{
		"an origin that contradicts the domain", "FRONTEND_ORIGIN=https://a.example", "", "PUBLIC_DOMAIN=b.example",
		"backend FRONTEND_ORIGIN", importenv.Set, "app.frontendOrigin", "one of the two is wrong",
	},
	{"the certificate's account", "", "", "CADDY_EMAIL=a@b.ro", "infra CADDY_EMAIL", importenv.Set, "tls.email", ""},
	{
		"the old database's password", "", "", "POSTGRES_PASSWORD=" + canary, "infra POSTGRES_PASSWORD", importenv.Dropped,
		"", "generated",
	},
	{
		"a setting that production repeats", "", "", "MEDIA_DAM_RETRY_SWEEP_SECONDS=20",
		"infra MEDIA_DAM_RETRY_SWEEP_SECONDS", importenv.Set, "app.media.retrySweepSeconds", "",
	},
	{
		"the browsers' locales", "", "SUPPORTED_LOCALES=en, ro", "", "frontend SUPPORTED_LOCALES", importenv.Set,
		"app.supportedLocales", "",
	},
	{
		"locales of both halves", `SUPPORTED_LOCALES=["ro"]`, "SUPPORTED_LOCALES=en,ro", "", "frontend SUPPORTED_LOCALES",
		importenv.Dropped, "", "from backend's SUPPORTED_LOCALES",
	},
	{
		"a header that clients could forge", "ADMIN_IP_HEADER=CF-Connecting-IP", "", "", "backend ADMIN_IP_HEADER",
		importenv.Dropped, "", "a header of its own",
	},
	{
		"a name that nobody knows", "NEW_SWITCH=1", "", "", "backend NEW_SWITCH", importenv.Set, "app.extra.NEW_SWITCH",
		"unknown",
	},
	{
		"a secret that nobody knows", "NEW_API_KEY_SECRET=" + canary, "", "", "backend NEW_API_KEY_SECRET",
		importenv.Dropped, "", "by its name a secret",
	},
	{
		"a browsers' name that nobody knows", "", "NEW_SWITCH=1", "", "frontend NEW_SWITCH", importenv.Dropped, "",
		"nothing that this program deploys reads it",
	},
	{
		"a setting that must stay as it is", "MEDIA_ROOT=/data", "", "", "backend MEDIA_ROOT", importenv.Dropped, "",
		"default path",
	},
	{
		"Netopia in the browsers alone", "", "NETOPIA_ENABLED=1", "", "frontend NETOPIA_ENABLED", importenv.Dropped, "",
		"the backend's NETOPIA_ENABLED says false",
	},
}

func TestWhatBecomesOfANameIsDecided(t *testing.T) {
	for _, c := range decisions {
		t.Run(c.what, func(t *testing.T) {
			e, ok := read(t, c.backend, c.frontend, c.infra)[c.entry]
			if !ok {
				t.Fatal("the name was lost")
			}
			if e.Outcome != c.outcome || c.key != "" && e.Key != c.key || !strings.Contains(e.Why, c.why) {
				t.Errorf("got %s, key %q, because %q; want %s, %q, %q", e.Outcome, e.Key, e.Why, c.outcome, c.key, c.why)
			}
			if strings.Contains(e.Why+e.Key, canary) {
				t.Error("the entry shows a secret")
			}
		})
	}
}

func TestFilesAreReadAsComposeReadsThem(t *testing.T) {
	r, err := importenv.Read(files(t, "\ufeff# comment\r\nexport SMTP_HOST = mx.example # the "+
		"relay\r\nSITE_NAME=\"moment # studio\"\r\nSMTP_PASSWORD='p#$w \"x\"'\r\n", "", ""))
	if err != nil {
		t.Fatal(err)
	}
	if got := r.Plain(); got["app.smtp.host"] != "mx.example" || got["app.siteName"] != "moment # studio" {
		t.Errorf("got %v", got)
	}
	if got := r.Secrets()["smtpPassword"]; got != `p#$w "x"` {
		t.Errorf("the password is read as %q", got)
	}
}

func TestVariablesAreExpandedAsComposeExpandsThem(t *testing.T) {
	for what, c := range map[string]struct{ text, want string }{
		"a default":                   {"SITE_NAME=${SHOP:-moment studio}", "moment studio"},
		"a default of an empty value": {"SHOP=\nSITE_NAME=\"${SHOP:-moment} studio\"", "moment studio"},
		"a default within a default":  {"SITE_NAME=${SHOP:-${BRAND:-moment}} studio", "moment studio"},
		"a name that was set before":  {"SHOP=moment\nSITE_NAME=${SHOP} studio", "moment studio"},
		"a name without braces":       {"SHOP=moment\nSITE_NAME=$SHOP studio", "moment studio"},
		"single quotes":               {"SITE_NAME='$moment ${studio}'", "$moment ${studio}"},
		"a doubled dollar sign":       {"SITE_NAME=$$moment $${studio}", "$moment ${studio}"},
		"an escaped dollar sign":      {`SITE_NAME="\$moment \${studio}"`, "$moment ${studio}"},
		"a dollar sign at the end":    {"SITE_NAME=moment studio $", "moment studio $"},
		"a comment":                   {"# ${NOPE}\nSITE_NAME=moment studio # $NOPE", "moment studio"},
	} {
		r, err := importenv.Read(files(t, c.text, "", ""))
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		if got := r.Plain()["app.siteName"]; got != c.want {
			t.Errorf("%s: read as %q, want %q", what, got, c.want)
		}
	}
}

func TestUnsetVariablesAreReportedTogether(t *testing.T) {
	_, err := importenv.Read(files(t, "SMTP_PASSWORD="+canary+"${NOPE}\nSITE_NAME=\"$NIL ${LATER}\"\n"+
		"SMTP_HOST=${MX:-mx}\nLATER=1\nCADDY_EMAIL=${MAIL:?unset}\n", "", ""))
	if err == nil || !strings.Contains(err.Error(), "backend.env uses variables that it does not set before: "+
		"LATER, MAIL, NIL, NOPE.") {
		t.Errorf("got %v, want an error that names the unset variables", err)
	}
	if err != nil && strings.Contains(err.Error(), canary) {
		t.Error("the error shows a secret")
	}
}

func TestBrokenFilesAreNamedAndNotQuoted(t *testing.T) {
	for what, c := range map[string]struct{ text, want string }{
		"a line without a value": {"A=1\n" + canary + "\n", "backend.env:2:"},
		"a name alone":           {"A=${NOPE:-1}\nNOPE\n", "backend.env:2:"},
		"a name at the end":      {"A=1\nexport " + canary, "backend.env:2:"},
		"an open brace":          {"SMTP_PASSWORD=" + canary + "${x\n", "a ${ that does not begin a variable"},
		"an open quote":          {"A=1\nSMTP_PASSWORD=\"" + canary + "\n", "a quote that is not closed"},
	} {
		_, err := importenv.Read(files(t, c.text, "", ""))
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), canary) {
			t.Errorf("%s: got %v, want %q and nothing of the file", what, err, c.want)
		}
	}
	if _, err := importenv.Read(importenv.Files{Backend: "/no/such/file"}); err == nil {
		t.Error("a missing file is read")
	}
}

func TestProfilesForLocalDevelopmentAreRefused(t *testing.T) {
	for what, c := range map[string][2]string{
		"the environment's name": {"ENVIRONMENT=local", ""},
		"mock payments":          {"PAYMENTS_PROVIDER=mock", ""},
		"a local origin":         {"FRONTEND_ORIGIN=http://localhost:4200", ""},
		"the browsers' own sign": {"", "APP_ENV=development"},
	} {
		_, err := importenv.Read(files(t, c[0], c[1], ""))
		if !errors.Is(err, importenv.ErrLocalProfile) || !strings.Contains(err.Error(), strings.TrimSpace(c[0]+c[1])) {
			t.Errorf("%s: got %v, want a refusal that names it", what, err)
		}
	}
}

// testdata holds a server's files with every setting of the application. What becomes of each stands
// in outcome.golden.
func TestNoNameOfAServersFilesIsLost(t *testing.T) {
	in := importenv.Files{Backend: "testdata/backend.env", Frontend: "testdata/frontend.env", Infra: "testdata/infra.env"}
	r, err := importenv.Read(in)
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{}
	var all strings.Builder
	for _, e := range r.Entries {
		listed[e.File+" "+e.Name] = true
		fmt.Fprintf(&all, "%s %s: %s %s %s\n", e.File, e.Name, e.Outcome, e.Key, e.Why)
	}
	names := 0
	for file, path := range map[string]string{"backend": in.Backend, "frontend": in.Frontend, "infra": in.Infra} {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			name, _, ok := strings.Cut(line, "=")
			if !ok || strings.HasPrefix(line, "#") {
				continue
			}
			names++
			if !listed[file+" "+name] {
				t.Errorf("%s's %s was lost", file, name)
			}
		}
	}
	if names != len(r.Entries) || names < 250 {
		t.Errorf("%d names are in the files, %d are listed", names, len(r.Entries))
	}
	for _, value := range r.Secrets() {
		if strings.Contains(all.String(), value) {
			t.Errorf("the list shows a secret")
		}
	}
	if *update {
		if err := os.WriteFile("testdata/outcome.golden", []byte(all.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/outcome.golden")
	if err != nil {
		t.Fatal(err)
	}
	if all.String() != string(want) {
		t.Error("what becomes of the names differs from testdata/outcome.golden; read the difference, then -update")
	}
}
