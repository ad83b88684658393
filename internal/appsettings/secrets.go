package appsettings

import "github.com/prekzursil/momentstudio-infra/internal/secret"

// Secrets are the application's secret settings that a stack is given: each a top-level config key
// of its own. All are optional unless a rule asks for them. They reach API and worker as lines of
// /app/.env and nothing else.
type Secrets struct {
	// required: the app refuses to start without one
	SentryDSN secret.Value `key:"sentryDsn" env:"SENTRY_DSN" in:"awm"`
	// required with app.smtp.username
	SMTPPassword secret.Value `key:"smtpPassword" env:"SMTP_PASSWORD" in:"aw"`
	// an existing shop's, kept because it encrypts TOTP secrets; default: generated
	SecretKey secret.Value `key:"secretKey" env:"SECRET_KEY" in:"awm"`
	// sk_live_…
	StripeKeyLive secret.Value `key:"stripeSecretKeyLive" env:"STRIPE_SECRET_KEY_LIVE" legacy:"stripeSecretKey"`
	// sk_test_…
	StripeKeySandbox secret.Value `key:"stripeSecretKeySandbox" env:"STRIPE_SECRET_KEY_SANDBOX" legacy:"stripeSecretKeyTest stripeSecretKey"`
	// whsec_…
	StripeWebhookLive secret.Value `key:"stripeWebhookSecretLive" env:"STRIPE_WEBHOOK_SECRET_LIVE" legacy:"stripeWebhookSecret"`
	// whsec_…
	StripeWebhookSandbox secret.Value `key:"stripeWebhookSecretSandbox" env:"STRIPE_WEBHOOK_SECRET_SANDBOX" legacy:"stripeWebhookSecretTest stripeWebhookSecret"`
	// belongs to app.paypal.clientIdLive
	PayPalSecretLive secret.Value `key:"paypalClientSecretLive" env:"PAYPAL_CLIENT_SECRET_LIVE" legacy:"paypalClientSecret"`
	// belongs to app.paypal.clientIdSandbox
	PayPalSecretSandbox secret.Value `key:"paypalClientSecretSandbox" env:"PAYPAL_CLIENT_SECRET_SANDBOX" legacy:"paypalClientSecret"`
	// from Netopia's admin panel
	NetopiaKeyLive secret.Value `key:"netopiaApiKeyLive" env:"NETOPIA_API_KEY_LIVE" legacy:"netopiaApiKey"`
	// from Netopia's admin panel
	NetopiaKeySandbox secret.Value `key:"netopiaApiKeySandbox" env:"NETOPIA_API_KEY_SANDBOX" legacy:"netopiaApiKey"`
	// the shop's signature there
	NetopiaSignatureLive secret.Value `key:"netopiaPosSignatureLive" env:"NETOPIA_POS_SIGNATURE_LIVE" legacy:"netopiaPosSignature"`
	// the shop's signature there
	NetopiaSignatureSandbox secret.Value `key:"netopiaPosSignatureSandbox" env:"NETOPIA_POS_SIGNATURE_SANDBOX" legacy:"netopiaPosSignature"`
	// lets an admin in from elsewhere; 16 characters or more
	AdminIPBypassToken secret.Value `key:"adminIpBypassToken" env:"ADMIN_IP_BYPASS_TOKEN"`
	// required with app.audit.hashChain; another one breaks the chain
	AuditHashChainSecret secret.Value `key:"auditHashChainSecret" env:"AUDIT_HASH_CHAIN_SECRET" in:"aw"`
	// belongs to app.google.clientId
	GoogleClientSecret secret.Value `key:"googleClientSecret" env:"GOOGLE_CLIENT_SECRET"`
	// belongs to app.sameday.username
	SamedayPassword secret.Value `key:"samedayApiPassword" env:"SAMEDAY_API_PASSWORD"`
	// belongs to app.fan.username
	FANPassword secret.Value `key:"fanApiPassword" env:"FAN_API_PASSWORD"`
}

// Generated are the secret settings that the program makes or receives from a cloud.
type Generated struct {
	DatabaseURL, SecretKey, MaintenanceToken, PreviewToken, TurnstileSecret string
}

// derived are the settings that follow from other config and have no key of their own.
var derived = []Setting{
	{Name: "APP_VERSION", Readers: API | Worker | Migration | Frontend, Kind: "text", From: "`release.name`"},
	{
		Name: "DATABASE_URL", Readers: API | Worker | Migration, Class: Secret, Kind: "text",
		From: "the database's address and the active login, or `databaseUrl`",
	},
	{Name: "REDIS_URL", Readers: API | Worker, Kind: "text", From: "the stack's Redis"},
	{Name: "MAINTENANCE_BYPASS_TOKEN", Readers: API, Class: Secret, Kind: "text", From: "generated; `secrets.tokens`"},
	{Name: "CONTENT_PREVIEW_TOKEN", Readers: API, Class: Secret, Kind: "text", From: "generated; `secrets.tokens`"},
	{Name: "TURNSTILE_SECRET_KEY", Readers: API, Class: Secret, Kind: "text", From: "the Turnstile widget"},
	{Name: "CAPTCHA_SITE_KEY", Readers: Frontend, Class: Public, Kind: "text", From: "the Turnstile widget"},
	{Name: "PUBLIC_BASE_URL", Readers: API | Frontend, Class: Public, Kind: "text", From: "`domain`"},
	{Name: "RUN_DB_MIGRATIONS", Readers: API | Worker, Kind: "switch", From: "always 0: migrations are a job of their " +
		"own"},
	{Name: "APP_ENV", Readers: Frontend, Class: Public, Kind: "text", From: "always production: anything else switches " +
		"the service worker off"},
	{Name: "API_BASE_URL", Readers: Frontend, Class: Public, Kind: "text", From: "always /api/v1"},
	{Name: "SSR_API_BASE_URL", Readers: Frontend, Kind: "text", From: "the backend, in `frontend.mode` ssr"},
	{Name: "NG_ALLOWED_HOSTS", Readers: Frontend, Kind: "list", From: "`frontend.allowedHosts`, in `frontend.mode` ssr"},
}

// notOurs are names of the application and its old deployment that no stack sets, with the reason.
var notOurs = map[string]string{
	"APP_NAME":                          "a label that nothing reads",
	"JWT_ALGORITHM":                     "another algorithm would need keys that the application cannot load",
	"MEDIA_ROOT":                        "the volume is mounted at the default path",
	"PRIVATE_MEDIA_ROOT":                "the volume is mounted at the default path",
	"MEDIA_DAM_WORKER_HEARTBEAT_FILE":   "the worker's health check reads the default path",
	"DEV_SAFETY_DATABASE_GUARD_ENABLED": "a guard of local development",
	"DEV_SAFETY_DATABASE_ALLOW_HOSTS":   "a guard of local development",
	"BACKUP_LAST_AT":                    "set after each backup that was verified, never by hand",
	"STRIPE_PUBLISHABLE_KEY":            "legacy: app.stripe.publishableKeyLive or …Sandbox",
	"STRIPE_PUBLISHABLE_KEY_TEST":       "legacy: app.stripe.publishableKeySandbox",
	"NETOPIA_PUBLIC_KEY_PEM":            "legacy: app.netopia.publicKeyLive or …Sandbox",
	"NETOPIA_PUBLIC_KEY_PATH":           "legacy: app.netopia.publicKeyLive or …Sandbox",
	"NETOPIA_PUBLIC_KEY_PEM_LIVE":       "app.netopia.publicKeyLive, mounted as a file",
	"NETOPIA_PUBLIC_KEY_PEM_SANDBOX":    "app.netopia.publicKeySandbox, mounted as a file",
	"PAYPAL_CLIENT_ID":                  "legacy: app.paypal.clientIdLive or …Sandbox",
	"PAYPAL_WEBHOOK_ID":                 "legacy: app.paypal.webhookIdLive or …Sandbox",
	"PORT":                              "the frontend's port is fixed",
	"SSR_AUTOSTART":                     "off would keep the frontend from listening",
	"CONFIG_PATH":                       "the images set it",
}
