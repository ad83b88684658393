package appsettings

// Settings are the application's plain settings that a stack decides: the config group "app". What
// a stack leaves out and this program has no opinion about is not passed on, and the application's
// own default holds. The tags of a field are its entry in the catalogue (see catalogue.go).
type Settings struct {
	// the app checks its own start-up rules only under this name
	Environment string `json:"environment" env:"ENVIRONMENT" in:"awm" default:"production"`
	// "mock" stops a production start
	PaymentsProvider string `json:"paymentsProvider" env:"PAYMENTS_PROVIDER" default:"real" oneof:"real stripe"`
	// default: https:// and the domain; nothing else is accepted
	FrontendOrigin string `json:"frontendOrigin" env:"FRONTEND_ORIGIN"`
	// in feeds and page titles
	SiteName string `json:"siteName" env:"SITE_NAME" web:"SITE_NAME" app:"momentstudio"`
	// shown to customers
	SupportEmail string `json:"supportEmail" env:"SUPPORT_EMAIL" web:"SUPPORT_EMAIL" app:"momentstudio.ro@gmail.com"`
	// one of supportedLocales
	DefaultLocale string `json:"defaultLocale" env:"DEFAULT_LOCALE" web:"DEFAULT_LOCALE" app:"en"`
	// JSON for the API, comma-separated for the frontend
	SupportedLocales []string `json:"supportedLocales" env:"SUPPORTED_LOCALES" web:"SUPPORTED_LOCALES" app:"en, ro"`
	// structured logs; the other form drops fields
	LogJSON bool `json:"logJson" env:"LOG_JSON" in:"aw" default:"true"`
	// of one API process; more are answered 429
	MaxConcurrent *int `json:"maxConcurrentRequests" env:"MAX_CONCURRENT_REQUESTS" app:"100" min:"1" max:"100000"`
	// slower queries are logged, with their parameters
	SlowQueryMS *int `json:"slowQueryThresholdMs" env:"SLOW_QUERY_THRESHOLD_MS" in:"aw" app:"500" min:"1" max:"600000"`
	// refuse prices that are no decimals
	DecimalPrices *bool `json:"enforceDecimalPrices" env:"ENFORCE_DECIMAL_PRICES" app:"true"`
	// answer 503 but to webhooks, health and admins; no write freeze
	MaintenanceMode bool `json:"maintenanceMode" env:"MAINTENANCE_MODE" default:"false"`
	// third-party address completion in the browser
	AddressComplete *bool `json:"addressAutocomplete" web:"ADDRESS_AUTOCOMPLETE_ENABLED" app:"false"`
	// days an order's PDF can be downloaded; 0: for good
	ExportRetention *int     `json:"orderExportRetentionDays" env:"ORDER_EXPORT_RETENTION_DAYS" app:"30" min:"0" max:"3650"`
	Database        Database `json:"database"`
	Cookies         Cookies  `json:"cookies"`
	CORS            CORS     `json:"cors"`
	CSP             CSP      `json:"csp"`
	Sessions        Sessions `json:"sessions"`
	WebAuthn        WebAuthn `json:"webauthn"`
	Admin           Admin    `json:"admin"`
	Audit           Audit    `json:"audit"`
	Captcha         Captcha  `json:"captcha"`
	SMTP            SMTP     `json:"smtp"`
	Sentry          Sentry   `json:"sentry"`
	Stripe          Stripe   `json:"stripe"`
	PayPal          PayPal   `json:"paypal"`
	Netopia         Netopia  `json:"netopia"`
	Media           Media    `json:"media"`
	Sameday         Sameday  `json:"sameday"`
	FAN             FAN      `json:"fan"`
	FX              FX       `json:"fx"`
	Google          Google   `json:"google"`
	Clarity         Clarity  `json:"clarity"`
	Analytics       Analytic `json:"analytics"`
	Limits          Limits   `json:"rateLimits"`
	Orders          Orders   `json:"orders"`
	Accounts        Accounts `json:"accounts"`
	Reports         Reports  `json:"reports"`
	Blog            Blog     `json:"blog"`
	Theme           Theme    `json:"theme"`
	// Extra are plain settings that the catalogue does not know yet, by the application's own names;
	// API and worker get them. No secrets, and no name of the catalogue.
	Extra map[string]string `json:"extra"`
}

// Database sizes the connection pools of each process.
type Database struct {
	PoolSize *int `json:"poolSize" env:"DB_POOL_SIZE" in:"aw" app:"5" min:"1" max:"200"` // connections kept
	// connections beyond them
	MaxOverflow *int `json:"maxOverflow" env:"DB_MAX_OVERFLOW" in:"aw" app:"10" min:"0" max:"200"`
}

// Cookies are the session's.
type Cookies struct {
	// over HTTPS only; off stops a production start
	Secure bool `json:"secure" env:"SECURE_COOKIES" default:"true"`
	// "lax" works with Google's sign-in
	SameSite string `json:"sameSite" env:"COOKIE_SAMESITE" default:"lax" oneof:"lax strict none"`
}

// CORS lets other origins call the API; a shop on one origin needs none.
type CORS struct {
	// also allow-listed as payment return addresses
	Origins     []string `json:"origins" env:"CORS_ORIGINS" default:"[]"`
	Credentials *bool    `json:"allowCredentials" env:"CORS_ALLOW_CREDENTIALS" app:"true"` // cookies from those origins
	Methods     []string `json:"allowMethods" env:"CORS_ALLOW_METHODS" app:"*"`            // methods
	Headers     []string `json:"allowHeaders" env:"CORS_ALLOW_HEADERS" app:"*"`            // request headers
}

// CSP is the policy that the API itself sends; pages get the edge's.
type CSP struct {
	Enabled *bool  `json:"enabled" env:"CSP_ENABLED" app:"true"`
	Policy  string `json:"policy" env:"CSP_POLICY"` // default: the application's own
}

// Sessions are logins and their second factor.
type Sessions struct {
	AccessMinutes        *int  `json:"accessTokenMinutes" env:"ACCESS_TOKEN_EXP_MINUTES" app:"30" min:"1" max:"1440"`
	RefreshDays          *int  `json:"refreshTokenDays" env:"REFRESH_TOKEN_EXP_DAYS" app:"7" min:"1" max:"365"`
	Rotation             *bool `json:"refreshTokenRotation" env:"REFRESH_TOKEN_ROTATION" app:"true"`
	RotationGraceSeconds *int  `json:"refreshTokenRotationGraceSeconds" env:"REFRESH_TOKEN_ROTATION_GRACE_SECONDS" app:"60" min:"0" max:"3600"`
	ImpersonationMinutes *int  `json:"impersonationMinutes" env:"ADMIN_IMPERSONATION_EXP_MINUTES" app:"10" min:"1" max:"1440"`
	ChallengeMinutes     *int  `json:"twoFactorChallengeMinutes" env:"TWO_FACTOR_CHALLENGE_EXP_MINUTES" app:"10" min:"1" max:"1440"`
	// a change breaks enrolled devices
	TOTPPeriodSeconds *int `json:"totpPeriodSeconds" env:"TWO_FACTOR_TOTP_PERIOD_SECONDS" app:"30" min:"15" max:"120"`
	// periods accepted on either side
	TOTPWindow *int `json:"totpWindow" env:"TWO_FACTOR_TOTP_WINDOW" app:"1" min:"0" max:"10"`
	// a change breaks enrolled devices
	TOTPDigits    *int `json:"totpDigits" env:"TWO_FACTOR_TOTP_DIGITS" app:"6" min:"6" max:"8"`
	RecoveryCodes *int `json:"recoveryCodes" env:"TWO_FACTOR_RECOVERY_CODES_COUNT" app:"10" min:"1" max:"100"`
}

// WebAuthn are passkeys.
type WebAuthn struct {
	// default: the domain; another one invalidates every passkey
	RPID             string   `json:"rpId" env:"WEBAUTHN_RP_ID"`
	RPName           string   `json:"rpName" env:"WEBAUTHN_RP_NAME"`                 // shown by the browser
	AllowedOrigins   []string `json:"allowedOrigins" env:"WEBAUTHN_ALLOWED_ORIGINS"` // default: the shop's own
	ChallengeMinutes *int     `json:"challengeMinutes" env:"WEBAUTHN_CHALLENGE_EXP_MINUTES" app:"10" min:"1" max:"1440"`
}

// Admin hardens the back office.
type Admin struct {
	// owners and admins need TOTP or a passkey
	MFARequired bool `json:"mfaRequired" env:"ADMIN_MFA_REQUIRED" default:"true"`
	// addresses or networks; empty: everyone
	IPAllowlist []string `json:"ipAllowlist" env:"ADMIN_IP_ALLOWLIST"`
	// addresses or networks
	IPDenylist []string `json:"ipDenylist" env:"ADMIN_IP_DENYLIST"`
	// where the app reads the client's address; one that the edge overwrites
	IPHeader string `json:"ipHeader" env:"ADMIN_IP_HEADER" default:"X-Momentstudio-Client-IP"`
	// how long a bypass lasts
	BypassCookieMinutes *int `json:"bypassCookieMinutes" env:"ADMIN_IP_BYPASS_COOKIE_MINUTES" app:"30" min:"1" max:"1440"`
	// notified while the shop has no owner
	AlertEmail string `json:"alertEmail" env:"ADMIN_ALERT_EMAIL"`
	// notified of errors
	ErrorEmail string `json:"errorEmail" env:"ERROR_ALERT_EMAIL"`
}

// Audit is the trail of what staff did.
type Audit struct {
	// tamper-evident rows; needs auditHashChainSecret
	HashChain bool `json:"hashChain" env:"AUDIT_HASH_CHAIN_ENABLED" default:"false"`
	// reads every body into memory, whoever sends it: size backend.memoryMB for edge.maxUploadMB
	RequestPayload bool `json:"requestPayload" env:"AUDIT_LOG_REQUEST_PAYLOAD" default:"false"`
	// kept of each body
	MaxBodyBytes *int `json:"maxBodyBytes" env:"AUDIT_LOG_MAX_BODY_BYTES" app:"4096" min:"0" max:"1048576"`
	// 0: for good
	RetentionDaysProduct *int `json:"retentionDaysProduct" env:"AUDIT_RETENTION_DAYS_PRODUCT" app:"0" min:"0" max:"36500"`
	// 0: for good
	RetentionDaysContent *int `json:"retentionDaysContent" env:"AUDIT_RETENTION_DAYS_CONTENT" app:"0" min:"0" max:"36500"`
	// 0: for good
	RetentionDaysSecurity *int `json:"retentionDaysSecurity" env:"AUDIT_RETENTION_DAYS_SECURITY" app:"0" min:"0" max:"36500"`
}

// Captcha checks people at login, registration, newsletter and contact.
type Captcha struct {
	// needs turnstile.enabled
	Enabled bool `json:"enabled" env:"CAPTCHA_ENABLED" default:"true"`
	// the only one that the app has
	Provider string `json:"provider" env:"CAPTCHA_PROVIDER" default:"turnstile" oneof:"turnstile"`
}

// SMTP sends the shop's mail.
type SMTP struct {
	// off: mail is silently dropped and customers cannot verify theirs
	Enabled bool `json:"enabled" env:"SMTP_ENABLED" in:"aw" default:"false"`
	// required when enabled
	Host string `json:"host" env:"SMTP_HOST" in:"aw"`
	// 465 is refused: the app speaks STARTTLS only
	Port int `json:"port" env:"SMTP_PORT" in:"aw" default:"587" min:"1" max:"65535"`
	// STARTTLS
	TLS bool `json:"tls" env:"SMTP_USE_TLS" in:"aw" default:"true"`
	// empty: no login; otherwise smtpPassword is required
	Username string `json:"username" env:"SMTP_USERNAME" in:"aw"`
	// sender; required when enabled
	From string `json:"from" env:"SMTP_FROM_EMAIL" in:"aw"`
	// address for RFC 2369 unsubscription
	ListUnsubscribe string `json:"listUnsubscribeMailto" env:"LIST_UNSUBSCRIBE_MAILTO" in:"aw"`
	// mails of one process
	PerMinute *int `json:"perMinute" env:"EMAIL_RATE_LIMIT_PER_MINUTE" in:"aw" app:"60" min:"1" max:"100000"`
	// mails to one address
	PerRecipientMinute *int `json:"perRecipientMinute" env:"EMAIL_RATE_LIMIT_PER_RECIPIENT_PER_MINUTE" in:"aw" app:"10" min:"1" max:"100000"`
}

// Sentry collects errors of backend and browsers. The defaults keep the quota of a small plan for a month: an API
// process without visitors sends no event, and of the checks of its health about 860 transactions a day. With the
// application's own defaults (everything is traced and profiled, and each log record is an event) it sends 56000 events
// a day.
type Sentry struct {
	// the project's policy
	PII bool `json:"sendDefaultPii" env:"SENTRY_SEND_DEFAULT_PII" in:"aw" default:"true"`
	// share of requests traced
	Traces float64 `json:"tracesSampleRate" env:"SENTRY_TRACES_SAMPLE_RATE" in:"aw" default:"0.05" min:"0" max:"1"`
	// share of traces profiled
	Profiles float64 `json:"profilesSampleRate" env:"SENTRY_PROFILES_SAMPLE_RATE" in:"aw" default:"0" min:"0" max:"1"`
	// ship logs, which count by their size
	Logs bool `json:"enableLogs" env:"SENTRY_ENABLE_LOGS" in:"aw" default:"false"`
	// log records of this level and above become events; at info each request is one
	LogLevel string         `json:"logLevel" env:"SENTRY_LOG_LEVEL" in:"aw" default:"error" oneof:"debug info warning error critical"`
	Browser  SentryFrontend `json:"frontend"`
}

// SentryFrontend is the browsers' half. Its DSN is visible to everyone and so no secret.
type SentryFrontend struct {
	Enabled bool `json:"enabled" web:"SENTRY_ENABLED" default:"true"`
	// required in production; the backend's own for a shared project
	DSN string `json:"dsn" web:"SENTRY_DSN"`
	// the project's policy
	PII bool `json:"sendDefaultPii" web:"SENTRY_SEND_DEFAULT_PII" default:"true"`
	// share of page loads traced
	Traces float64 `json:"tracesSampleRate" web:"SENTRY_TRACES_SAMPLE_RATE" default:"0.05" min:"0" max:"1"`
	// share of sessions recorded
	ReplaySession float64 `json:"replaySessionSampleRate" web:"SENTRY_REPLAY_SESSION_SAMPLE_RATE" default:"0" min:"0" max:"1"`
	// share of sessions with an error recorded
	ReplayOnError float64 `json:"replayOnErrorSampleRate" web:"SENTRY_REPLAY_ON_ERROR_SAMPLE_RATE" default:"1" min:"0" max:"1"`
}

// Stripe takes cards. Its keys are secrets: stripeSecretKeyLive and so on.
type Stripe struct {
	Enabled bool `json:"enabled" web:"STRIPE_ENABLED" default:"false"` // offered at checkout
	// live only in stacks of kind production
	Env            string `json:"env" env:"STRIPE_ENV" default:"sandbox" oneof:"sandbox live"`
	PublishLive    string `json:"publishableKeyLive" env:"STRIPE_PUBLISHABLE_KEY_LIVE"`       // pk_live_…
	PublishSandbox string `json:"publishableKeySandbox" env:"STRIPE_PUBLISHABLE_KEY_SANDBOX"` // pk_test_…
}

// PayPal takes PayPal payments. Its client secrets are secrets of their own.
type PayPal struct {
	// offered at checkout
	Enabled bool `json:"enabled" web:"PAYPAL_ENABLED" default:"false"`
	// live only in stacks of kind production
	Env string `json:"env" env:"PAYPAL_ENV" default:"sandbox" oneof:"sandbox live"`
	// settlement currency
	Currency         string `json:"currency" env:"PAYPAL_CURRENCY" default:"RON" oneof:"RON EUR USD"`
	ClientIDLive     string `json:"clientIdLive" env:"PAYPAL_CLIENT_ID_LIVE"`
	ClientIDSandbox  string `json:"clientIdSandbox" env:"PAYPAL_CLIENT_ID_SANDBOX"`
	WebhookIDLive    string `json:"webhookIdLive" env:"PAYPAL_WEBHOOK_ID_LIVE"`
	WebhookIDSandbox string `json:"webhookIdSandbox" env:"PAYPAL_WEBHOOK_ID_SANDBOX"`
}

// Netopia takes cards through mobilPay. API keys and POS signatures are secrets of their own. A
// public key is a PEM text, the base64 of a DER file, or file: and a path from the project's root
// (PEM or .cer); the app gets it as a mounted file.
type Netopia struct {
	// offered at checkout; needs the key, signature and public key of env
	Enabled bool `json:"enabled" env:"NETOPIA_ENABLED" web:"NETOPIA_ENABLED" default:"false"`
	// live only in stacks of kind production
	Env string `json:"env" env:"NETOPIA_ENV" default:"sandbox" oneof:"sandbox live"`
	// checks live notifications
	PublicKeyLive string `json:"publicKeyLive" file:"NETOPIA_PUBLIC_KEY_PATH_LIVE"`
	// checks sandbox notifications
	PublicKeySandbox string `json:"publicKeySandbox" file:"NETOPIA_PUBLIC_KEY_PATH_SANDBOX"`
	// legacy: fills that of env
	PublicKey string `json:"publicKey"`
	// of the notifications' signature
	JWTAlgorithm string `json:"jwtAlgorithm" env:"NETOPIA_JWT_ALG" app:"RS512" oneof:"RS256 RS384 RS512"`
	// older notifications are refused
	IPNMaxAgeSeconds *int `json:"ipnMaxAgeSeconds" env:"NETOPIA_IPN_MAX_AGE_SECONDS" app:"86400" min:"60" max:"2592000"`
}

// Media are uploads, their variants and the worker that makes them.
type Media struct {
	// one upload by staff; edge.maxBodyMB must hold it
	UploadMaxBytes *int `json:"adminUploadMaxBytes" env:"ADMIN_UPLOAD_MAX_BYTES" app:"536870912" min:"1048576" max:"4294967296"`
	ImageMaxWidth  *int `json:"imageMaxWidth" env:"UPLOAD_IMAGE_MAX_WIDTH" in:"aw" app:"8192" min:"1" max:"65535"`
	ImageMaxHeight *int `json:"imageMaxHeight" env:"UPLOAD_IMAGE_MAX_HEIGHT" in:"aw" app:"8192" min:"1" max:"65535"`
	ImageMaxPixels *int `json:"imageMaxPixels" env:"UPLOAD_IMAGE_MAX_PIXELS" in:"aw" app:"40000000" min:"1" max:"1000000000"`
	// life of a signed preview address
	PreviewTTLSeconds *int `json:"privatePreviewTtlSeconds" env:"MEDIA_PRIVATE_PREVIEW_TTL_SECONDS" app:"600" min:"10" max:"86400"`
	// nothing in the app purges by itself
	TrashRetentionDays *int `json:"trashRetentionDays" env:"MEDIA_DAM_TRASH_RETENTION_DAYS" in:"aw" app:"30" min:"1" max:"3650"`
	// Redis list of jobs
	QueueKey string `json:"queueKey" env:"MEDIA_DAM_QUEUE_KEY" in:"aw" app:"media:jobs:queue"`
	// Redis keys of workers
	HeartbeatPrefix string `json:"heartbeatPrefix" env:"MEDIA_DAM_WORKER_HEARTBEAT_PREFIX" in:"aw" app:"media:workers:heartbeat"`
	// longer than the 15 s between beats
	HeartbeatTTLSeconds *int `json:"heartbeatTtlSeconds" env:"MEDIA_DAM_WORKER_HEARTBEAT_TTL_SECONDS" in:"aw" app:"30" min:"16" max:"3600"`
	HeartbeatScanLimit  *int `json:"heartbeatScanLimit" env:"MEDIA_DAM_TELEMETRY_HEARTBEAT_SCAN_LIMIT" app:"500" min:"1" max:"100000"`
	ProcessingStaleSecs *int `json:"processingStaleSeconds" env:"MEDIA_DAM_PROCESSING_STALE_SECONDS" in:"aw" app:"600" min:"60" max:"86400"`
	RetryMaxAttempts    *int `json:"retryMaxAttempts" env:"MEDIA_DAM_RETRY_MAX_ATTEMPTS" in:"aw" app:"5" min:"0" max:"100"`
	RetrySweepSeconds   *int `json:"retrySweepSeconds" env:"MEDIA_DAM_RETRY_SWEEP_SECONDS" in:"aw" app:"10" min:"1" max:"3600"`
	// a scheduler of the API
	UsageReconcile        *bool `json:"usageReconcile" env:"MEDIA_USAGE_RECONCILE_ENABLED" app:"true"`
	UsageReconcileSeconds *int  `json:"usageReconcileSeconds" env:"MEDIA_USAGE_RECONCILE_INTERVAL_SECONDS" app:"86400" min:"60" max:"2592000"`
	UsageReconcileBatch   *int  `json:"usageReconcileBatch" env:"MEDIA_USAGE_RECONCILE_BATCH_SIZE" app:"200" min:"1" max:"100000"`
}

// Sameday is the courier and the mirror of its lockers.
type Sameday struct {
	// of the courier's API
	BaseURL string `json:"baseUrl" env:"SAMEDAY_API_BASE_URL"`
	// samedayApiPassword belongs to it
	Username string `json:"username" env:"SAMEDAY_API_USERNAME"`
	// a scheduler of the API
	Mirror *bool `json:"mirror" env:"SAMEDAY_MIRROR_ENABLED" app:"true"`
	// also the pause after a failure
	SyncSeconds *int `json:"mirrorSyncSeconds" env:"SAMEDAY_MIRROR_SYNC_INTERVAL_SECONDS" app:"2592000" min:"60" max:"31536000"`
	// age at which the lockers count as stale
	StaleSeconds *int `json:"mirrorStaleSeconds" env:"SAMEDAY_MIRROR_STALE_AFTER_SECONDS" app:"2592000" min:"60" max:"31536000"`
	// limit of one request
	FetchSeconds *int `json:"mirrorFetchSeconds" env:"SAMEDAY_MIRROR_FETCH_TIMEOUT_SECONDS" app:"30" min:"1" max:"600"`
	MaxLockers   *int `json:"mirrorMaxLockers" env:"SAMEDAY_MIRROR_MAX_LOCKERS" app:"20000" min:"1" max:"1000000"`
	// fetch with a browser, which the published image does not have: the attempt hides the error of the fetch before it
	Playwright     bool     `json:"mirrorPlaywright" env:"SAMEDAY_MIRROR_PLAYWRIGHT_ENABLED" default:"false"`
	AlertStreak    *int     `json:"mirrorAlertStreak" env:"SAMEDAY_MIRROR_CHALLENGE_FAILURE_ALERT_STREAK" app:"3" min:"1" max:"1000"`
	DriftRatioDrop *float64 `json:"mirrorDriftRatioDrop" env:"SAMEDAY_MIRROR_SCHEMA_DRIFT_RATIO_DROP" app:"0.2" min:"0" max:"1"`
	DriftMinRatio  *float64 `json:"mirrorDriftMinRatio" env:"SAMEDAY_MIRROR_SCHEMA_DRIFT_MIN_RATIO" app:"0.8" min:"0" max:"1"`
	// ask OpenStreetMap for lockers: for development only
	OverpassFallback bool `json:"overpassFallback" env:"LOCKERS_USE_OVERPASS_FALLBACK" default:"false"`
}

// FAN is the FAN Courier.
type FAN struct {
	BaseURL  string `json:"baseUrl" env:"FAN_API_BASE_URL" app:"https://api.fancourier.ro"` // of the courier's API
	Username string `json:"username" env:"FAN_API_USERNAME"`                                // fanApiPassword belongs to it
}

// FX are exchange rates, for display only.
type FX struct {
	URL            string `json:"ratesUrl" env:"FX_RATES_URL" app:"https://www.bnr.ro/nbrfxrates.xml"` // source
	CacheSeconds   *int   `json:"cacheTtlSeconds" env:"FX_RATES_CACHE_TTL_SECONDS" app:"21600" min:"60" max:"2592000"`
	Refresh        bool   `json:"refresh" env:"FX_REFRESH_ENABLED" default:"false"` // a scheduler of the API
	RefreshSeconds *int   `json:"refreshSeconds" env:"FX_REFRESH_INTERVAL_SECONDS" app:"21600" min:"60" max:"2592000"`
}

// Google is sign-in with Google.
type Google struct {
	ClientID string `json:"clientId" env:"GOOGLE_CLIENT_ID"` // googleClientSecret belongs to it
	// default: /auth/google/callback on the domain
	RedirectURI       string   `json:"redirectUri" env:"GOOGLE_REDIRECT_URI"`
	AllowedDomains    []string `json:"allowedDomains" env:"GOOGLE_ALLOWED_DOMAINS"` // mail domains; empty: all
	CompletionMinutes *int     `json:"completionTokenMinutes" env:"GOOGLE_COMPLETION_TOKEN_EXP_MINUTES" app:"30" min:"1" max:"1440"`
}

// Clarity is Microsoft's analytics of anonymous visitors, by consent.
type Clarity struct {
	Enabled   bool   `json:"enabled" web:"CLARITY_ENABLED" default:"false"` // needs projectId
	ProjectID string `json:"projectId" web:"FRONTEND_CLARITY_PROJECT_ID"`
}

// Analytic are the shop's own events.
type Analytic struct {
	RequireToken    *bool `json:"requireToken" env:"ANALYTICS_REQUIRE_TOKEN" app:"false"`
	TokenTTLSeconds *int  `json:"tokenTtlSeconds" env:"ANALYTICS_TOKEN_TTL_SECONDS" app:"86400" min:"60" max:"2592000"`
}

// Limits are the application's own, in a minute unless named otherwise. Those of login, refresh and
// password reset are shared by all clients: where the edge counts by client (edge.rateLimits), they are raised to
// sixty times what the edge lets one client send, so that no single client locks the others out.
type Limits struct {
	Register      *int `json:"register" env:"AUTH_RATE_LIMIT_REGISTER" app:"10" min:"1" max:"1000000"`
	Login         *int `json:"login" env:"AUTH_RATE_LIMIT_LOGIN" app:"20" min:"1" max:"1000000"`
	Refresh       *int `json:"refresh" env:"AUTH_RATE_LIMIT_REFRESH" app:"60" min:"1" max:"1000000"`
	ResetRequest  *int `json:"resetRequest" env:"AUTH_RATE_LIMIT_RESET_REQUEST" app:"30" min:"1" max:"1000000"`
	ResetConfirm  *int `json:"resetConfirm" env:"AUTH_RATE_LIMIT_RESET_CONFIRM" app:"60" min:"1" max:"1000000"`
	Google        *int `json:"google" env:"AUTH_RATE_LIMIT_GOOGLE" app:"20" min:"1" max:"1000000"`
	VerifyRequest *int `json:"verifyRequest" env:"AUTH_RATE_LIMIT_VERIFY_REQUEST" app:"10" min:"1" max:"1000000"`
	// in 10 minutes
	Checkout *int `json:"checkout" env:"ORDERS_RATE_LIMIT_CHECKOUT" app:"50" min:"1" max:"1000000"`
	// in 10 minutes
	GuestCheckout *int `json:"guestCheckout" env:"ORDERS_RATE_LIMIT_GUEST_CHECKOUT" app:"50" min:"1" max:"1000000"`
	// in 10 minutes
	GuestEmail    *int `json:"guestEmail" env:"ORDERS_RATE_LIMIT_GUEST_EMAIL_REQUEST" app:"20" min:"1" max:"1000000"`
	PaymentIntent *int `json:"paymentIntent" env:"PAYMENTS_RATE_LIMIT_INTENT" app:"120" min:"1" max:"1000000"`
	// in 10 minutes
	Contact *int `json:"contact" env:"SUPPORT_RATE_LIMIT_CONTACT" app:"20" min:"1" max:"1000000"`
	// in 10 minutes
	Newsletter *int `json:"newsletter" env:"NEWSLETTER_RATE_LIMIT_SUBSCRIBE" app:"30" min:"1" max:"1000000"`
	Events     *int `json:"analyticsEvents" env:"ANALYTICS_RATE_LIMIT_EVENTS" app:"120" min:"1" max:"1000000"`
}

// Orders are their expiry, their service levels and the signals of fraud.
type Orders struct {
	// a scheduler of the API: unpaid orders free their stock
	Expiry               *bool `json:"expiry" env:"ORDER_PENDING_PAYMENT_EXPIRY_ENABLED" app:"true"`
	ExpiryMinutes        *int  `json:"expiryMinutes" env:"ORDER_PENDING_PAYMENT_EXPIRY_MINUTES" app:"120" min:"5" max:"43200"`
	ExpiryPollSeconds    *int  `json:"expiryPollSeconds" env:"ORDER_PENDING_PAYMENT_EXPIRY_POLL_INTERVAL_SECONDS" app:"600" min:"10" max:"86400"`
	ExpiryBatch          *int  `json:"expiryBatch" env:"ORDER_PENDING_PAYMENT_EXPIRY_BATCH_LIMIT" app:"200" min:"1" max:"100000"`
	AcceptHours          *int  `json:"slaAcceptHours" env:"ORDER_SLA_ACCEPT_HOURS" app:"24" min:"1" max:"8760"`
	ShipHours            *int  `json:"slaShipHours" env:"ORDER_SLA_SHIP_HOURS" app:"48" min:"1" max:"8760"`
	CartReserveMinutes   *int  `json:"cartReservationMinutes" env:"CART_RESERVATION_WINDOW_MINUTES" app:"120" min:"1" max:"43200"`
	CouponReserveMinutes *int  `json:"couponReservationMinutes" env:"COUPON_RESERVATION_TTL_MINUTES" app:"1440" min:"1" max:"43200"`
	FirstOrderCouponDays *int  `json:"firstOrderCouponDays" env:"FIRST_ORDER_REWARD_COUPON_VALIDITY_DAYS" app:"30" min:"1" max:"3650"`
	FraudWindowMinutes   *int  `json:"fraudWindowMinutes" env:"FRAUD_VELOCITY_WINDOW_MINUTES" app:"1440" min:"1" max:"43200"`
	FraudThreshold       *int  `json:"fraudThreshold" env:"FRAUD_VELOCITY_THRESHOLD" app:"3" min:"1" max:"1000"`
	FraudRetryThreshold  *int  `json:"fraudPaymentRetries" env:"FRAUD_PAYMENT_RETRY_THRESHOLD" app:"2" min:"1" max:"1000"`
}

// Accounts are deletion and export of a customer's data.
type Accounts struct {
	// a scheduler of the API
	Deletion *bool `json:"deletion" env:"ACCOUNT_DELETION_SCHEDULER_ENABLED" app:"true"`
	// time to change one's mind
	DeletionHours       *int `json:"deletionCooldownHours" env:"ACCOUNT_DELETION_COOLDOWN_HOURS" app:"24" min:"0" max:"8760"`
	DeletionPollSeconds *int `json:"deletionPollSeconds" env:"ACCOUNT_DELETION_POLL_INTERVAL_SECONDS" app:"600" min:"10" max:"86400"`
	DeletionBatch       *int `json:"deletionBatch" env:"ACCOUNT_DELETION_BATCH_LIMIT" app:"200" min:"1" max:"100000"`
	ExportSLADays       *int `json:"gdprExportDays" env:"GDPR_EXPORT_SLA_DAYS" app:"30" min:"1" max:"365"`
	DeletionSLADays     *int `json:"gdprDeletionDays" env:"GDPR_DELETION_SLA_DAYS" app:"30" min:"1" max:"365"`
}

// Reports are mailed summaries.
type Reports struct {
	Scheduler   *bool `json:"scheduler" env:"ADMIN_REPORTS_SCHEDULER_ENABLED" app:"true"` // a scheduler of the API
	PollSeconds *int  `json:"pollSeconds" env:"ADMIN_REPORTS_POLL_INTERVAL_SECONDS" app:"60" min:"10" max:"86400"`
}

// Theme is how the rendering frontend (frontend.mode ssr) gets the shop's theme from the API.
type Theme struct {
	// then it renders the compiled theme
	TimeoutMS  *int  `json:"timeoutMs" ssr:"MS_THEME_TIMEOUT_MS" app:"2000" min:"100" max:"60000"`
	CacheMS    *int  `json:"cacheTtlMs" ssr:"MS_THEME_CACHE_TTL_MS" app:"30000" min:"0" max:"86400000"`
	KillSwitch *bool `json:"killSwitch" ssr:"MS_THEME_KILL_SWITCH" app:"false"` // the compiled theme, always
}

// Blog guards comments.
type Blog struct {
	// in commentSeconds
	Comments      *int `json:"comments" env:"BLOG_COMMENTS_RATE_LIMIT_COUNT" app:"10" min:"1" max:"1000000"`
	CommentWindow *int `json:"commentSeconds" env:"BLOG_COMMENTS_RATE_LIMIT_WINDOW_SECONDS" app:"60" min:"1" max:"86400"`
	MaxLinks      *int `json:"commentLinks" env:"BLOG_COMMENTS_MAX_LINKS" app:"2" min:"0" max:"1000"`
}
