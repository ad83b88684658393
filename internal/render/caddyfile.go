package render

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
)

// Files next to the Caddyfile in Caddy's configuration directory, as Caddy's container sees them.
const (
	ACMERootFile    = "/etc/caddy/acme-root.pem"
	CertificateFile = "/etc/momentstudio/tls/certificate.pem"
	KeyFile         = "/etc/momentstudio/tls/key.pem"
	BundlesDir      = "/srv/bundles" // hostspec.BundlesDir of the host
)

// contentSecurityPolicy is production's own (app-contract §7), with two additions: the hashes of the scripts that stand
// in the pages of the kept releases, which Caddy reads with each answer, because they change with a release; and the
// worker with which Sentry packs a replay.
const contentSecurityPolicy = "default-src 'self'; base-uri 'self'; object-src 'none'; frame-ancestors 'none'; " +
	"img-src 'self' data: https:; style-src 'self' 'unsafe-inline'; " +
	"script-src 'self' https://challenges.cloudflare.com https://www.clarity.ms 'unsafe-hashes' " +
	"'sha256-MhtPZXr7+LpJUY5qtMutB+qWfQtMaPccfe7QXtCcEYc=' {file." + BundlesDir + "/" + hostspec.PageScripts + "}; " +
	"worker-src 'self' blob:; " +
	"connect-src 'self' https://www.clarity.ms https://c.clarity.ms https:; frame-src " +
	"https://challenges.cloudflare.com; " +
	"manifest-src 'self'; font-src 'self' data:;"

// CloudflareRanges are the networks of Cloudflare's proxies, whose CF-Connecting-IP header is
// believed when DNS is proxied. Source: https://www.cloudflare.com/ips/ (2023-09-28 edition).
func CloudflareRanges() []string {
	return []string{
		"173.245.48.0/20", "103.21.244.0/22", "103.22.200.0/22", "103.31.4.0/22", "141.101.64.0/18",
		"108.162.192.0/18", "190.93.240.0/20", "188.114.96.0/20", "197.234.240.0/22", "198.41.128.0/17",
		"162.158.0.0/15", "104.16.0.0/13", "104.24.0.0/14", "172.64.0.0/13", "131.0.72.0/22",
		"2400:cb00::/32", "2606:4700::/32", "2803:f800::/32", "2405:b500::/32", "2405:8100::/32",
		"2a06:98c0::/29", "2c0f:f248::/32",
	}
}

// Caddy is what the Caddyfile depends on.
type Caddy struct {
	Domain        hostspec.Domain // its www name redirects to the apex
	Edition       string          // of the service that reads the file (hostspec.CaddyfileOf)
	Email         string          // ACME account; empty outside acme mode
	Mode          string          // "acme", "file" or "internal"
	ACMEDirectory string          // in acme mode
	ACMERoot      bool            // whether ACMERootFile exists
	Proxied       bool            // whether Cloudflare's proxies stand in front
	SSR           bool            // frontend mode
	RateLimits    bool
	MaxBodyMB     int // of a request; default 10
	MaxUploadMB   int // of a request to one of the upload routes; default 540
}

// uploads are the routes on which staff uploads files. Source: the application's routers, as they were seen to take
// files (upload, product and category images, labels); every other route reads JSON or small forms.
var uploads = []string{
	"content/admin/[^/]+/images", "content/admin/media/assets/upload",
	"catalog/categories/[^/]+/images/(thumbnail|banner)",
	"catalog/products/[^/]+/images", "orders/admin/[^/]+/shipping-label", "returns/admin/[^/]+/label",
}

// bodiesOfOneClient is how many request bodies a client may be sending at the same time: a browser opens six
// connections, an API process has a hundred places for requests.
const bodiesOfOneClient = 20

// RateLimit is one zone of the edge's limits, counted per client: an IPv4 address or an IPv6 /64.
type RateLimit struct {
	Name   string
	Paths  []string
	Window string
	Events int
}

// Pattern matches every spelling of the zone's paths that the application takes for them. Caddy
// resolves encoded letters and doubled slashes before it compares. The application redirects a
// trailing slash to the path without it, and its router accepts a newline at the end, because $
// does so in Python's expressions.
func (l RateLimit) Pattern() string {
	paths := make([]string, len(l.Paths))
	for i, p := range l.Paths {
		paths[i] = regexp.QuoteMeta(p)
	}
	return "(?i)^(" + strings.Join(paths, "|") + `)[/\s]*$`
}

// rateLimits are those that the application's maintainers recommend for the edge and those that
// are missing there (app-contract §10): the application's own are shared by all clients, so one
// bot could lock everyone out.
func rateLimits() []RateLimit {
	return []RateLimit{
		{"checkout", []string{
			"/api/v1/orders/checkout", "/api/v1/orders/guest-checkout",
			"/api/v1/orders/guest-checkout/email/request", "/api/v1/payments/intent",
		}, "1m", 10},
		{"verify", []string{"/api/v1/auth/verify/request", "/api/v1/auth/password-reset/request"}, "1m", 5},
		{"contact", []string{"/api/v1/support/contact", "/api/v1/newsletter/subscribe"}, "1m", 10},
		{"login", []string{"/api/v1/auth/login", "/api/v1/auth/login/2fa", "/api/v1/auth/register"}, "1m", 10},
		{"passkey", []string{
			"/api/v1/auth/passkeys/login/options", "/api/v1/auth/passkeys/login/verify",
			"/api/v1/auth/passkeys/register/options", "/api/v1/auth/passkeys/register/verify", "/api/v1/auth/step-up",
		}, "1m", 10},
		// Of its own: who has used up the attempts to log in must still be able to set a new password.
		{"reset", []string{"/api/v1/auth/password-reset/confirm"}, "1m", 10},
		{"refresh", []string{"/api/v1/auth/refresh"}, "1m", 30},
	}
}

// EdgeEvents is how many requests a minute the edge lets one client send to the zones together.
func EdgeEvents(zones ...string) (sum int) {
	for _, l := range rateLimits() {
		if slices.Contains(zones, l.Name) {
			sum += l.Events
		}
	}
	return sum
}

// Caddyfile renders the edge's configuration.
func Caddyfile(c Caddy) (string, error) {
	data := struct {
		Caddy
		AdminSocket, ACMERootFile, CertificateFile, KeyFile, CSP, AdminIPHeader string
		BackendHost, FrontendHost, HashedBundle, BundlesDir                     string
		BackendPort, FrontendPort                                               int
		Internal                                                                bool
		TrustedProxies, Sites                                                   []string
		RateLimits                                                              []RateLimit
		Uploads                                                                 string
		Bodies                                                                  int
	}{
		Uploads: "(?i)^/api/v1/(" + strings.Join(uploads, "|") + `)[/\s]*$`, Bodies: bodiesOfOneClient,
		Caddy: c, AdminSocket: hostspec.CaddyAdminSock, CSP: contentSecurityPolicy, AdminIPHeader: hostspec.AdminIPHeader,
		BackendHost: hostspec.BackendHost, BackendPort: hostspec.BackendPort,
		FrontendHost: hostspec.FrontendHost, FrontendPort: hostspec.FrontendStaticPort,
		Internal: c.Mode == "internal", HashedBundle: hostspec.HashedBundle, BundlesDir: BundlesDir,
	}
	data.Sites = []string{c.Domain.Apex() + ",", c.Domain.WWW()}
	if c.SSR {
		data.FrontendPort = hostspec.FrontendSSRPort
	}
	if c.Mode == "acme" && c.ACMERoot {
		data.ACMERootFile = ACMERootFile
	}
	if c.Mode == "file" {
		data.CertificateFile, data.KeyFile = CertificateFile, KeyFile
	}
	if c.Proxied {
		data.TrustedProxies = CloudflareRanges()
	}
	if c.RateLimits {
		data.RateLimits = rateLimits()
	}
	data.MaxBodyMB, data.MaxUploadMB = cmp.Or(c.MaxBodyMB, 10), cmp.Or(c.MaxUploadMB, 540)
	return fill("Caddyfile", data)
}

// IdentityFiles are the names of the deploy keys beside the SSH configuration, newest first.
var IdentityFiles = [2]string{"id_ed25519", "id_ed25519_before"}

// SSHConfig renders the client configuration for one host. dir is relative to the project's root.
func SSHConfig(address, dir string) (string, error) {
	return fill("ssh_config", struct {
		Address, Dir  string
		IdentityFiles [2]string
	}{address, dir, IdentityFiles})
}

// DotEnv renders the application's settings file, sorted by name. Values stand in single quotes,
// which python-dotenv reads literally except for \' and \\.
func DotEnv(values map[string]string) string {
	var b strings.Builder
	for _, name := range sortedKeys(values) {
		v := strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(values[name])
		b.WriteString(name + "='" + v + "'\n")
	}
	return b.String()
}

// Bool writes a boolean as the application reads it.
func Bool(v bool) string {
	if v {
		return "1"
	}
	return "0"
}

// Int writes a number as the application reads it.
func Int(v int) string { return strconv.Itoa(v) }
