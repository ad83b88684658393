package config_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prekzursil/momentstudio-infra/internal/config"
	"github.com/prekzursil/momentstudio-infra/internal/fault"
)

// appRules violate one rule of the application's settings each. Their messages stand in
// testdata/rules.golden, whole: that file is what the rules say.
var appRules = []struct {
	name  string
	stack string // default "prod"
	edits []edit
}{
	{"staging that skips the app's own checks", "staging", []edit{set("app.environment", "live")}},
	{"a sandbox in a development environment", "sandbox", []edit{set("app.environment", "local")}},
	{"payments that are a mock", "", []edit{set("app.paymentsProvider", "mock")}},
	{"payments by nobody", "", []edit{set("app.paymentsProvider", "")}},
	{"an origin that is not the domain", "", []edit{set("app.frontendOrigin", "https://shop.example")}},
	{"an origin without TLS", "", []edit{set("app.frontendOrigin", "http://momentstudio.ro")}},
	{"a domain at which the app refuses to start", "sandbox", []edit{set("domain", "localhost.test")}},
	{"cookies in clear", "", []edit{set("app.cookies.secure", false)}},
	{"cookies in clear in the sandbox", "sandbox", []edit{set("app.cookies.secure", false)}},
	{"a same-site policy that does not exist", "", []edit{set("app.cookies.sameSite", "relaxed")}},
	{"a given secret key that is too short", "", []edit{secretKey("secretKey", canary)}},
	{"a given secret key with a line break", "", []edit{secretKey("secretKey", strings.Repeat(canary, 4)+"\n")}},
	{"a given secret key and a rotation", "", []edit{
		secretKey("secretKey", strings.Repeat(canary, 4)),
		set("secrets.appKey", 2), set("secrets.appKeyAcknowledged", 2),
	}},
	{"a rotation whose cost nobody acknowledged", "", []edit{set("secrets.appKey", 2)}},
	{"a rotation whose cost was acknowledged last time", "", []edit{
		set("secrets.appKey", 3),
		set("secrets.appKeyAcknowledged", 2),
	}},
	{"another origin with a path", "", []edit{set("app.cors.origins", []string{"https://shop.example/x"})}},
	{"another origin without TLS", "", []edit{set("app.cors.origins", []string{"http://shop.example"})}},
	{"a locale that is not supported", "", []edit{set("app.defaultLocale", "de")}},
	{"no locale at all", "", []edit{set("app.supportedLocales", []string{})}},
	{"a locale with a comma", "", []edit{set("app.supportedLocales", []string{"en", "r,o"})}},
	{"a site name on two lines", "", []edit{set("app.siteName", "moment\nstudio")}},
	{"a passkey domain that browsers refuse", "", []edit{set("app.webauthn.rpId", "studio.ro")}},
	{"no Sentry in the sandbox either", "sandbox", []edit{remove("sentryDsn")}},
	{"a DSN that is a URL", "", []edit{secretKey("sentryDsn", "https://sentry.example/"+canary)}},
	{"no Sentry in the browsers", "", []edit{set("app.sentry.frontend.dsn", "")}},
	{"Sentry switched off in the browsers", "", []edit{set("app.sentry.frontend.enabled", false)}},
	{"a browser's DSN without a project", "", []edit{set("app.sentry.frontend.dsn", "https://k@sentry.example/")}},
	{"a share above one", "", []edit{set("app.sentry.frontend.replaySessionSampleRate", 1.5)}},
	{"a log level that does not exist", "", []edit{set("app.sentry.logLevel", "verbose")}},
	{"mail over implicit TLS", "", []edit{set("app.smtp", map[string]any{
		"enabled": true, "host": "mx", "from": "a@b.ro",
		"port": 465,
	})}},
	{"mail in clear", "", []edit{set("app.smtp", map[string]any{
		"enabled": true, "host": "mx", "from": "a@b.ro",
		"tls": false,
	})}},
	{"mail from nobody's address", "", []edit{set("app.smtp", map[string]any{
		"enabled": true, "host": "mx",
		"from": "shop",
	})}},
	{"a mail password without its user", "", []edit{set("app.smtp",
		map[string]any{"enabled": true, "host": "mx", "from": "a@b.ro"}), secretKey("smtpPassword", canary)}},
	{"captcha without a widget", "staging", []edit{set("turnstile.enabled", false)}},
	{"production without captcha", "", []edit{set("app.captcha.enabled", false)}},
	{"a captcha that the app does not have", "", []edit{set("app.captcha.provider", "hcaptcha")}},
	{"real money in staging", "staging", []edit{set("app.stripe", map[string]any{"env": "live"})}},
	{"real PayPal money in staging", "staging", []edit{set("app.paypal.env", "live")}},
	{"real Netopia money in staging", "staging", []edit{set("app.netopia.env", "live")}},
	{"Stripe without its key", "", []edit{remove("stripeSecretKeyLive")}},
	{"Stripe live without its webhook secret", "", []edit{remove("stripeWebhookSecretLive")}},
	{"Stripe live with a test key", "", []edit{secretKey("stripeSecretKeyLive", "sk_test_"+canary)}},
	{"a live key for Stripe's sandbox", "staging", []edit{secretKey("stripeSecretKeySandbox", "sk_live_"+canary)}},
	{"a Stripe key that is still a placeholder", "", []edit{secretKey("stripeSecretKeyLive",
		"sk_live_"+canary+"_placeholder")}},
	{"a webhook secret of something else", "", []edit{secretKey("stripeWebhookSecretLive", canary)}},
	{"a publishable key of the other environment", "", []edit{set("app.stripe.publishableKeyLive", "pk_test_1")}},
	{"an environment of Stripe that does not exist", "", []edit{set("app.stripe.env", "production")}},
	{"PayPal without its client", "", []edit{set("app.paypal", map[string]any{
		"enabled": true, "env": "live",
		"webhookIdLive": "w",
	}), secretKey("paypalClientSecretLive", canary)}},
	{"PayPal without its secret", "", []edit{set("app.paypal", map[string]any{
		"enabled": true, "env": "live",
		"webhookIdLive": "w", "clientIdLive": "c",
	})}},
	{"PayPal without its webhook", "", []edit{set("app.paypal", map[string]any{
		"enabled": true, "env": "live",
		"clientIdLive": "c",
	}), secretKey("paypalClientSecretLive", canary)}},
	{"a currency that PayPal's part does not have", "", []edit{set("app.paypal.currency", "GBP")}},
	{"Netopia without its key", "", netopia(remove("netopiaApiKeyLive"))},
	{"Netopia without its signature", "", netopia(remove("netopiaPosSignatureLive"))},
	{"Netopia without its public key", "", netopia(set("app.netopia.publicKeyLive", ""))},
	{"a Netopia key that is private", "", netopia(set("app.netopia.publicKeyLive", "-----BEGIN PRIVATE "+
		"KEY-----\nx\n-----END PRIVATE KEY-----\n"))},
	{"a Netopia key that is none", "", netopia(set("app.netopia.publicKeyLive", "bm9uZQ=="))},
	{"a Netopia key file that is not there", "", netopia(set("app.netopia.publicKeyLive", "file:certs/netopia.cer"))},
	{"a Netopia key file outside the project", "", netopia(set("app.netopia.publicKeyLive", "file:../netopia.cer"))},
	{"admins without a second factor", "", []edit{set("app.admin.mfaRequired", false)}},
	{"an allow list with a host name", "", []edit{set("app.admin.ipAllowlist",
		[]string{"203.0.113.7", "office.example"})}},
	{"a deny list with half a network", "", []edit{set("app.admin.ipDenylist", []string{"203.0.113.0/33"})}},
	{"an admin header that can be forged", "", []edit{set("app.admin.ipHeader", "CF-Connecting-IP")}},
	{"a short bypass token", "", []edit{secretKey("adminIpBypassToken", "canary-4f1b7c")}},
	{"a hash chain without its secret", "", []edit{set("app.audit.hashChain", true)}},
	{"Google without its secret", "", []edit{set("app.google.clientId", "c")}},
	{"a Google secret without its client", "", []edit{secretKey("googleClientSecret", canary)}},
	{"Google sends people elsewhere", "", []edit{set("app.google.redirectUri", "https://momentstudio.ro/callback")}},
	{"Sameday without its password", "", []edit{set("app.sameday.username", "u")}},
	{"a FAN password without its user", "", []edit{secretKey("fanApiPassword", canary)}},
	{"a courier in clear", "", []edit{set("app.fan.baseUrl", "http://api.example")}},
	{"Clarity without its project", "", []edit{set("app.clarity.enabled", true)}},
	{"an upload that the edge refuses", "", []edit{set("edge.maxUploadMB", 100)}},
	{"a number out of its range", "", []edit{set("app.sessions.accessTokenMinutes", 0)}},
	{"an external database whose password needs escaping", "", []edit{
		set("postgres.mode", "external"),
		secretKey("databaseUrl", "postgresql+asyncpg://u:"+canary+"%21@db/x"),
	}},
	{"an external database without a password", "", []edit{
		set("postgres.mode", "external"),
		secretKey("databaseUrl", "postgresql+asyncpg://"+canary+"@db/x"),
	}},
	{"pools larger than the database", "", []edit{set("app.database.poolSize", 40)}},
	{"pages for no host that asks", "", []edit{
		set("frontend.mode", "ssr"),
		set("frontend.allowedHosts", []string{"127.0.0.1"}),
	}},
	{"pages for everyone but the health check", "", []edit{
		set("frontend.mode", "ssr"),
		set("frontend.allowedHosts", []string{"momentstudio.ro"}),
	}},
	{"a further setting that has a key", "", []edit{set("app.extra", map[string]string{"SMTP_HOST": canary})}},
	{
		"a further setting by which the app would not be production", "",
		[]edit{set("app.extra", map[string]string{"DEV_SAFETY_DATABASE_GUARD_ENABLED": "0"})},
	},
	{"a further setting that is a secret", "", []edit{set("app.extra", map[string]string{"NEW_API_SECRET": canary})}},
	{"a further setting on two lines", "", []edit{set("app.extra", map[string]string{"NEW_TEXT": "a\nb"})}},
	{"a secret in plain", "", []edit{set("googleClientSecret", canary)}},
	{"an app key that does not exist", "", []edit{set("app.stripe.secretKey", canary)}},
	{"a switch as a text", "", []edit{set("app.admin.mfaRequired", "1")}},
	{"a list as a text", "", []edit{set("app.admin.ipAllowlist", "203.0.113.7")}},
}

// netopia switches Netopia on, right in everything, and then applies one more edit.
func netopia(last edit) []edit {
	return []edit{
		set("app.netopia", map[string]any{"enabled": true, "env": "live", "publicKeyLive": publicKeyPEM()}),
		secretKey("netopiaApiKeyLive", canary), secretKey("netopiaPosSignatureLive", canary), last,
	}
}

func publicKeyDER() []byte {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		panic(err)
	}
	return der
}

func publicKeyPEM() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: publicKeyDER()}))
}

func TestMessagesOfTheApplicationsRules(t *testing.T) {
	var all strings.Builder
	for _, c := range appRules {
		stack := c.stack
		if stack == "" {
			stack = "prod"
		}
		_, err := config.Load(source(t, stack, c.edits...))
		if err == nil {
			t.Errorf("%s: it was accepted", c.name)
			continue
		}
		if strings.Contains(err.Error(), canary) {
			t.Errorf("%s: the message shows the value", c.name)
		}
		if n := len(fault.Problems(err)); n != 1 {
			t.Errorf("%s: one mistake is reported as %d: %v", c.name, n, err)
		}
		fmt.Fprintf(&all, "# %s\n%s\n\n", c.name, strings.TrimPrefix(err.Error(),
			"Pulumi."+stack+".yaml is not valid:\n  - "))
	}
	path := filepath.Join("testdata", "rules.golden")
	if flag.Lookup("update").Value.String() == "true" {
		if err := os.WriteFile(path, []byte(all.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if all.String() != string(want) {
		t.Errorf("the messages differ from %s; read the difference, then `go test ./internal/config -update`:\n%s", path,
			firstDifference(string(want), all.String()))
	}
}

func firstDifference(want, got string) string {
	a, b := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return "want " + a[i] + "\ngot  " + b[i]
		}
	}
	return "one is longer"
}

func TestNetopiasKeyInEachForm(t *testing.T) {
	der := publicKeyDER()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "certs"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "certs", "netopia.cer"), der, 0o600); err != nil {
		t.Fatal(err)
	}
	want := string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	for name, value := range map[string]string{
		"PEM": want, "DER in base64": base64.StdEncoding.EncodeToString(der),
		"a DER file": "file:certs/netopia.cer",
	} {
		s := source(t, "prod", netopia(set("app.netopia.publicKeyLive", value))...)
		s.Dir = dir
		c, err := config.Load(s)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if c.App.Netopia.PublicKeyLive != want {
			t.Errorf("%s becomes %q", name, c.App.Netopia.PublicKeyLive)
		}
	}
}

func TestLegacyNamesAreAcceptedWithAWarning(t *testing.T) {
	c, err := config.Load(source(t, "prod", remove("stripeSecretKeyLive"), secretKey("stripeSecretKey", "sk_live_old"),
		secretKey("stripeWebhookSecret", "whsec_old"), secretKey("stripeSecretKeyTest", "sk_test_old"),
		set("app.netopia", map[string]any{"enabled": true, "env": "live", "publicKey": publicKeyPEM()}),
		secretKey("netopiaApiKey", "k"), secretKey("netopiaPosSignature", "s")))
	if err != nil {
		t.Fatal(err)
	}
	if got := c.AppSecrets.StripeKeyLive.Reveal(); got != "sk_live_old" {
		t.Errorf("the live key is %q", got)
	}
	if got := c.AppSecrets.StripeKeySandbox.Reveal(); got != "sk_test_old" {
		t.Errorf("the sandbox key is %q", got)
	}
	if c.App.Netopia.PublicKeyLive == "" || c.App.Netopia.PublicKey != "" {
		t.Error("Netopia's legacy key did not move")
	}
	all := strings.Join(c.Warnings, "\n")
	for _, want := range []string{
		"Pulumi.prod.yaml: stripeSecretKey is a legacy name; set stripeSecretKeyLive instead",
		"Pulumi.prod.yaml: stripeSecretKeyTest is a legacy name; set stripeSecretKeySandbox instead",
		"Pulumi.prod.yaml: stripeWebhookSecret is a legacy name and ignored, because stripeWebhookSecretLive is set; " +
			"remove it",
		"Pulumi.prod.yaml: app.netopia.publicKey is a legacy name; set app.netopia.publicKeyLive instead",
		"Pulumi.prod.yaml: netopiaApiKey is a legacy name; set netopiaApiKeyLive instead",
	} {
		if !strings.Contains(all, want) {
			t.Errorf("no warning %q in\n%s", want, all)
		}
	}
}

func TestWarnings(t *testing.T) {
	c, err := config.Load(source(t, "prod", set("app.sentry.logLevel", "info"), remove("backupWebhook"),
		set("backup.s3", map[string]any{}), set("backup.localOnlyReason", "the bucket comes in March"),
		set("backup.noNoticeReason", "somebody looks each day")))
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Join(c.Warnings, "\n")
	for _, want := range []string{
		"app.smtp.enabled is off",
		"app.sentry.logLevel is info", "the only backup lies on the disk that it is to save: the bucket comes in March",
		"failed backups send no notice: somebody looks each day",
	} {
		if !strings.Contains(all, want) {
			t.Errorf("no warning %q in\n%s", want, all)
		}
	}
	quiet, err := config.Load(source(t, "prod", set("backend.replicas", 5), set("postgres.maxConnections", 300),
		set("app.smtp", map[string]any{"enabled": true, "host": "mx", "from": "a@b.ro"}),
		set("backup.rest", map[string]any{
			"url":      "https://b.example/momentstudio",
			"username": "u",
		}), secretKey("backupRestPassword", canary), set("backup.notifyMail", "ops@b.ro")))
	if err != nil {
		t.Fatal(err)
	}
	if len(quiet.Warnings) != 0 {
		t.Errorf("a careful stack is warned: %q", quiet.Warnings)
	}
}

func TestAZoneBelongsToOnePublicStack(t *testing.T) {
	for _, c := range []struct {
		name, file, text string
		refused, warned  bool
	}{
		{"another zone", "other", "config:\n  momentstudio:kind: staging\n  momentstudio:dns: {zoneId: z9}\n", false, false},
		{"this zone", "other", "config:\n  momentstudio:kind: staging\n  momentstudio:dns: {zoneId: z1}\n", true, false},
		{"a sandbox's", "other", "config:\n  momentstudio:kind: sandbox\n  momentstudio:dns: {zoneId: z1}\n", false, false},
		{"its own", "prod", "config:\n  momentstudio:kind: production\n  momentstudio:dns: {zoneId: z1}\n", false, false},
		{"no stack file", "other", "config: [", false, true},
	} {
		s := source(t, "prod", set("dns.zoneId", "z1"))
		s.Dir = t.TempDir()
		if err := os.WriteFile(filepath.Join(s.Dir, "Pulumi."+c.file+".yaml"), []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := config.Load(s)
		if f := field(err, "Pulumi.prod.yaml: momentstudio:dns.zoneId"); (f != nil) != c.refused {
			t.Errorf("%s: got %v, want a refusal: %v", c.name, err, c.refused)
		}
		if warned := strings.Contains(strings.Join(got.Warnings, "\n"), "its zone is not compared"); warned != c.warned {
			t.Errorf("%s: the warnings are %q", c.name, got.Warnings)
		}
	}
}
