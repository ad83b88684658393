package images

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // TOTP is defined with it (RFC 6238)
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"image"
	"image/png"
	"mime/multipart"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// untilDecided starts the API and ends it as soon as it has started or refused, however slow the machine.
const untilDecided = `log=/tmp/$1.log
/docker-entrypoint.sh uvicorn app.main:app --host 127.0.0.1 --port "$1" > "$log" 2>&1 &
pid=$!
while kill -0 $pid 2> /dev/null && ! grep -q 'Application startup complete' "$log"; do sleep 0.2; done
kill $pid 2> /dev/null
wait $pid
code=$?
cat "$log"
exit $code`

// TestProductionStartRefusals runs the image's own command once per row of the contract's table 2.2.
func TestProductionStartRefusals(t *testing.T) {
	t.Parallel()
	netopia := func(extra ...string) []string {
		return append([]string{"NETOPIA_ENABLED", "1", "NETOPIA_API_KEY", "a", "NETOPIA_POS_SIGNATURE", "b"}, extra...)
	}
	cases := []struct {
		name   string
		change []string
		want   string // part of the refusal; empty when it must start
	}{
		{"all set", nil, ""},
		{"short secret key", []string{"SECRET_KEY", "short"}, "SECRET_KEY"},
		{"no bypass token", []string{"MAINTENANCE_BYPASS_TOKEN", ""}, "MAINTENANCE_BYPASS_TOKEN"},
		{"default bypass token", []string{"MAINTENANCE_BYPASS_TOKEN", "bypass-token"}, "MAINTENANCE_BYPASS_TOKEN"},
		{"no preview token", []string{"CONTENT_PREVIEW_TOKEN", ""}, "CONTENT_PREVIEW_TOKEN"},
		{"default preview token", []string{"CONTENT_PREVIEW_TOKEN", "preview-token"}, "CONTENT_PREVIEW_TOKEN"},
		{"insecure cookies", []string{"SECURE_COOKIES", "0"}, "SECURE_COOKIES"},
		{"no sentry", []string{"SENTRY_DSN", ""}, "SENTRY_DSN"},
		{"malformed sentry", []string{"SENTRY_DSN", "not-a-dsn"}, "SENTRY_DSN"},
		{"local origin", []string{"FRONTEND_ORIGIN", "http://localhost:4200"}, "FRONTEND_ORIGIN"},
		{"empty origin", []string{"FRONTEND_ORIGIN", ""}, ""},
		{"mock payments", []string{"PAYMENTS_PROVIDER", "mock"}, "PAYMENTS_PROVIDER"},
		{"test payments", []string{"PAYMENTS_PROVIDER", "test"}, ""},
		{"same-site", []string{"COOKIE_SAMESITE", "sometimes"}, "COOKIE_SAMESITE"},
		{"smtp without sender", []string{"SMTP_ENABLED", "1", "SMTP_HOST", "mail.example"}, "SMTP_FROM_EMAIL"},
		{"captcha without secret", []string{"CAPTCHA_ENABLED", "1"}, "TURNSTILE_SECRET_KEY"},
		{"captcha of another kind", []string{"CAPTCHA_ENABLED", "1", "CAPTCHA_PROVIDER", "other"}, ""},
		{"netopia without key", netopia(), "NETOPIA_PUBLIC_KEY"},
		{
			"netopia without signature",
			[]string{"NETOPIA_ENABLED", "1", "NETOPIA_API_KEY", "a", "NETOPIA_PUBLIC_KEY_PEM", "x"},
			"NETOPIA_POS_SIGNATURE",
		},
		{"netopia with a bad inline key", netopia("NETOPIA_PUBLIC_KEY_PEM", "not a key"), ""},
		{"netopia with a bad key file", netopia("NETOPIA_PUBLIC_KEY_PATH", "/etc/hostname"), "NETOPIA_PUBLIC_KEY_PATH"},
		{"netopia with a missing key file", netopia("NETOPIA_PUBLIC_KEY_PATH", "none.pem"), "NETOPIA_PUBLIC_KEY_PATH"},
		{
			"test key on live stripe",
			[]string{"STRIPE_ENV", "live", "STRIPE_SECRET_KEY_LIVE", "sk_test_1"},
			"STRIPE_SECRET_KEY",
		},
		{"not production", []string{"ENVIRONMENT", "staging", "SECRET_KEY", "short"}, ""},
	}
	// One container for all rows: the command runs as it would in its own, with its own environment.
	host := start(t, "--entrypoint", "sleep", imageRef[Backend], "infinity")
	limit := make(chan struct{}, 3)
	var rows sync.WaitGroup
	for i, c := range cases {
		rows.Go(func() {
			limit <- struct{}{}
			defer func() { <-limit }()
			args := append([]string{"exec"}, flags(production(c.change...))...)
			args = append(args, host.name, "sh", "-c", untilDecided, "sh", fmt.Sprint(9000+i))
			out, err := docker(args...)
			started := strings.Contains(out, "Application startup complete")
			switch {
			case c.want == "" && (!started || err != nil):
				t.Errorf("%s: started %t, error %v, want a start and a clean stop:\n%s", c.name, started, err, out)
			case c.want != "" && (started || err == nil || !strings.Contains(out, c.want)):
				t.Errorf("%s: started %t, error %v, want a refusal naming %q:\n%s", c.name, started, err, c.want, out)
			}
		})
	}
	rows.Wait()
}

func TestSettingsAreReadAsTheApplicationReadsThem(t *testing.T) {
	t.Parallel()
	host := start(t, "--entrypoint", "sleep", imageRef[Backend], "infinity")
	show := func(name string) string { return "print(repr(settings." + name + "))" }
	for _, c := range []struct {
		name, file string
		env        []string
		show, want string // want is the printed value, or part of the error when fails is set
		fails      bool
	}{
		{name: "default", show: show("app_version"), want: "'0.1.0'"},
		{name: "file", file: "App_Version=from-file\n", show: show("app_version"), want: "'from-file'"},
		{
			name: "environment beats file", file: "APP_VERSION=from-file\n", env: []string{"APP_VERSION=from-env"},
			show: show("app_version"), want: "'from-env'",
		},
		{
			name: "unknown key in the file", file: "RUN_DB_MIGRATIONS=0\n", show: show("app_version"), want: "extra_forbidden",
			fails: true,
		},
		{name: "unknown variable", env: []string{"SOMETHING_ELSE=1"}, show: show("app_version"), want: "'0.1.0'"},
		{name: "boolean word", env: []string{"SECURE_COOKIES=Yes"}, show: show("secure_cookies"), want: "True"},
		{
			name: "empty boolean", env: []string{"SECURE_COOKIES="}, show: show("secure_cookies"),
			want:  "valid boolean, unable to interpret input [type=bool_parsing, input_value=''",
			fails: true,
		},
		{
			name: "odd boolean", env: []string{"SECURE_COOKIES=enabled"}, show: show("secure_cookies"), want: "bool_parsing",
			fails: true,
		},
		{name: "empty integer", env: []string{"SMTP_PORT="}, show: show("smtp_port"), want: "int_parsing", fails: true},
		{name: "empty pool size", env: []string{"DB_POOL_SIZE="}, show: show("db_pool_size"), want: "None"},
		{
			name: "list", env: []string{`CORS_ORIGINS=["https://a.example"]`}, show: show("cors_origins"),
			want: "['https://a.example']",
		},
		{
			name: "comma list", env: []string{"SUPPORTED_LOCALES=en,ro"}, show: show("supported_locales"),
			want: "want a JSON array", fails: true,
		},
		{
			name: "empty list", env: []string{"ADMIN_IP_ALLOWLIST="}, show: show("admin_ip_allowlist"),
			want: "want a JSON array", fails: true,
		},
		{name: "empty optional text", env: []string{"REDIS_URL="}, show: show("redis_url"), want: "''"},
		{
			name: "development guard", env: []string{"DATABASE_URL=postgresql+asyncpg://u:p@far/x"}, show: show("environment"),
			want: "refusing to use the database host 'far'", fails: true,
		},
		{
			name: "development guard allows db", env: []string{"DATABASE_URL=postgresql+asyncpg://u:p@db/x"},
			show: show("environment"), want: "'local'",
		},
		{
			name: "placeholder", env: []string{"STRIPE_SECRET_KEY_SANDBOX=sk_placeholder", "STRIPE_SECRET_KEY=sk_old"},
			show: "print(settings.stripe('stripe_secret_key'))", want: "sk_old",
		},
	} {
		args := []string{"exec"}
		for _, e := range c.env {
			args = append(args, "--env", e)
		}
		script := `printf '%s' "$1" > /app/.env; exec python -c "from app.core.config import settings; $2"`
		out, err := docker(append(args, host.name, "sh", "-c", script, "sh", c.file, c.show)...)
		if c.fails {
			if err == nil || !strings.Contains(out, c.want) {
				t.Errorf("%s: error %v, want one with %q: %s", c.name, err, c.want, out)
			}
		} else if out != c.want {
			t.Errorf("%s: got %s, want %s", c.name, out, c.want)
		}
	}
}

func TestMigrations(t *testing.T) {
	t.Parallel()
	m := migrationTest{t: t, net: network(t)}
	m.db = database(t, m.net)
	t.Run("two at once on an empty database", m.upgradeTwiceAtOnce)
	m.upgradeAndDowngrade()
	m.createOwners()
	m.seedExportAndImport()
}

// migrationTest runs programs of the backend image beside a database.
type migrationTest struct {
	t   *testing.T
	net string
	db  container
}

// run runs a command in a new container and returns its exit code and output.
func (m migrationTest) run(ref, url string, command ...string) (int, string) {
	m.t.Helper()
	args := append([]string{"--network", m.net}, flags(production("DATABASE_URL", url))...)
	return run(m.t, append(append(args, imageRef[ref]), command...)...)
}

func (m migrationTest) alembic(ref, url string, args ...string) (int, string) {
	m.t.Helper()
	return m.run(ref, url, append([]string{"alembic"}, args...)...)
}

// must runs an Alembic command that has to succeed and to leave the revision want.
func (m migrationTest) must(want, ref string, args ...string) {
	m.t.Helper()
	if code, out := m.alembic(ref, databaseURL, args...); code != 0 {
		m.t.Fatalf("alembic %v: exit %d: %s", args, code, out)
	}
	if got := query(m.db, "SELECT version_num FROM alembic_version"); got != want {
		m.t.Fatalf("after alembic %v: revision %s, want %s", args, got, want)
	}
}

// cli runs the application's CLI and fails unless it ends with the exit code want.
func (m migrationTest) cli(want int, args ...string) string {
	m.t.Helper()
	code, out := m.run(Backend, databaseURL, append([]string{"python", "-m", "app.cli"}, args...)...)
	if code != want {
		m.t.Errorf("app.cli %v: exit %d, want %d: %s", args, code, want, out)
	}
	return out
}

func (m migrationTest) exportAndImport() (int, string) {
	m.t.Helper()
	return m.run(Backend, databaseURL, "sh", "-c", "python -m app.cli export-data --output e.json && "+
		"python -m app.cli import-data --input e.json")
}

func (m migrationTest) upgradeTwiceAtOnce(t *testing.T) {
	codes, outs := make([]int, 2), make([]string, 2)
	var both sync.WaitGroup
	for i := range codes {
		both.Go(func() { codes[i], outs[i] = m.alembic(Backend, databaseURL, "upgrade", "head") })
	}
	both.Wait()
	failed := outs[0]
	if codes[1] != 0 {
		failed = outs[1]
	}
	if (codes[0] == 0) == (codes[1] == 0) || !strings.Contains(failed, "UniqueViolation") {
		t.Fatalf("exit codes %v, want one failure by UniqueViolation:\n%s", codes, failed)
	}
}

func (m migrationTest) upgradeAndDowngrade() {
	m.must(HeadRevision, Backend, "upgrade", "head")
	if got := query(m.db, "SELECT slug FROM themes"); got != "default" {
		m.t.Errorf("seeded theme: got %q", got)
	}
	if code, out := m.alembic(oldBackend, databaseURL, "upgrade", "head"); code == 0 || !strings.Contains(out,
		"Can't locate revision") {
		m.t.Errorf("older image on a newer database: exit %d: %s", code, out)
	}
	m.must(PreviousRevision, Backend, "downgrade", "-1")
	m.must(PreviousRevision, oldBackend, "upgrade", "head")
	m.must(HeadRevision, Backend, "upgrade", "head")
	if code, out := m.alembic(Backend, databaseURL, "heads"); code != 0 || !strings.Contains(out, HeadRevision+" (head)") {
		m.t.Errorf("heads: exit %d: %s", code, out)
	}
	if code, out := m.alembic(Backend, strings.Replace(databaseURL, "secret", "se%25cret", 1),
		"current"); code == 0 || !strings.Contains(out, "invalid interpolation syntax") {
		m.t.Errorf("%% in the URL: exit %d: %s", code, out)
	}
	if code, out := m.alembic(Backend, strings.Replace(databaseURL, "+asyncpg", "", 1),
		"current"); code == 0 || !strings.Contains(out, "psycopg2") {
		m.t.Errorf("plain postgresql://: exit %d: %s", code, out)
	}
}

func (m migrationTest) createOwners() {
	if out := m.cli(0); !strings.Contains(out, "usage: app.cli") {
		m.t.Errorf("no subcommand: want help: %s", out)
	}
	m.cli(2, "bootstrap-owner", "--email", "o@shop.example")
	m.cli(1, "repair-owner")
	owner := []string{
		"bootstrap-owner", "--email", "o@shop.example", "--password", "a long password", "--username",
		"owner", "--display-name", "Owner",
	}
	if out := m.cli(0, owner...); !strings.Contains(out, "Owner created") {
		m.t.Errorf("first owner: %s", out)
	}
	if out := m.cli(0, owner...); !strings.Contains(out, "Owner set") {
		m.t.Errorf("same owner: %s", out)
	}
	m.cli(0, "bootstrap-owner", "--email", "p@shop.example", "--password", "another password", "--username", "second",
		"--display-name", "P")
	if got := query(m.db,
		"SELECT string_agg(username || '=' || role, ' ' ORDER BY username) FROM users"); got != "owner=admin second=owner" {
		m.t.Errorf("roles: %s", got)
	}
	m.cli(1, "bootstrap-owner", "--email", "q@shop.example", "--password", "another password", "--username", "second",
		"--display-name", "Q")
	m.cli(0, "repair-owner", "--verify-email", "--display-name", "Repaired")
}

func (m migrationTest) seedExportAndImport() {
	m.cli(0, "seed-data")
	m.cli(0, "seed-data", "--profile", "adrianaart")
	m.cli(1, "seed-data", "--profile", "none")
	m.cli(0, "export-data")
	m.cli(1, "export-data", "--output", "/tmp/export.json")
	if code, out := m.exportAndImport(); code != 0 {
		m.t.Errorf("import of an export: exit %d: %s", code, out)
	}
	query(m.db, "UPDATE products SET publish_at = now() WHERE slug = 'ceramic-mug'")
	if code, out := m.exportAndImport(); code != 1 {
		m.t.Errorf("import with publish_at: exit %d, want 1: %s", code, out)
	}
}

// studio is a running application with its database.
type studio struct {
	db, redis, backend container
	net                string
	api                client
}

func deploy(t *testing.T, change ...string) studio {
	t.Helper()
	s := studio{net: network(t)}
	s.db = database(t, s.net)
	s.redis = start(t, "--network", s.net, "--network-alias", "redis", imageRef[Redis])
	env := flags(production(append([]string{
		"DATABASE_URL", databaseURL, "REDIS_URL", "redis://redis:6379/0", "RUN_DB_MIGRATIONS", "1",
		"FORWARDED_ALLOW_IPS", "127.0.0.1,172.16.0.0/12,192.168.0.0/16,10.0.0.0/8",
	}, change...)...))
	media, private := volume(t), volume(t)
	files := []string{
		"--network", s.net, "--volume", media + ":/app/uploads", "--volume",
		private + ":/app/private_uploads",
	}
	s.backend = start(t, append(append(append(files, "--network-alias", "backend"), env...), imageRef[Backend],
		"uvicorn", "app.main:app", "--host", "0.0.0.0", "--port", "8000", "--proxy-headers",
		"--forwarded-allow-ips", "127.0.0.1,::1,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16",
		"--timeout-keep-alive", "75", "--timeout-graceful-shutdown", "8", "--no-server-header")...)
	s.api = client{t: t, base: "http://" + s.backend.ip() + ":8000"}
	eventually(t, "the API is ready", 60*time.Second, func() bool {
		res, err := s.api.try("GET", "/api/v1/health/ready", "", nil)
		return err == nil && res.status == 200
	})
	worker := production("DATABASE_URL", databaseURL, "REDIS_URL", "redis://redis:6379/0", "SECRET_KEY",
		"short: the worker runs no production checks")
	start(t, append(append(files, flags(worker)...), imageRef[Backend], "python", "-m", "app.workers.media_worker")...)
	return s
}

// token adds a user with a role and returns a bearer minted in the container.
func (s studio) token(role string) client {
	s.api.t.Helper()
	id := query(s.db, fmt.Sprintf("INSERT INTO users (id, email, username, hashed_password, role) VALUES "+
		"(gen_random_uuid(), '%[1]s@x.example', '%[1]s', 'none', '%[1]s') RETURNING id", role))
	id = strings.Fields(id)[0]
	token := s.backend.mustExec("python", "-c", "from app.core.security import create_access_token as c; print(c('"+id+
		"'))")
	return s.api.with("Authorization", "Bearer "+token)
}

func TestRoutes(t *testing.T) {
	t.Parallel()
	s := deploy(t, "BACKUP_LAST_AT", "yesterday, roughly", "SUPPORT_RATE_LIMIT_CONTACT", "4", "ADMIN_IP_HEADER",
		"X-Real-Admin", "ADMIN_IP_ALLOWLIST", `["198.51.100.0/24"]`,
		"ADMIN_IP_BYPASS_TOKEN", "open", "STRIPE_WEBHOOK_SECRET", "whsec")
	s.checkPublicRoutes(t)
	s.checkPaymentWebhooks(t)
	t.Run("the application sees the right client", s.checkClientAddress)
	s.checkNewsletter(t)
	t.Run("login and roles", func(t *testing.T) {
		s.checkCustomer(t)
		s.checkContentRole()
		owner := s.checkOwnerLogin(t)
		s.checkDashboard(t, owner)
		s.checkMaintenance(t, owner)
	})
	t.Run("readiness is the database and nothing else", s.checkReadiness)
}

// mediaAssets is the path of the administrators' list of media.
const mediaAssets = "/api/v1/content/admin/media/assets"

// fromOffice gives requests the address that ADMIN_IP_ALLOWLIST of TestRoutes lets in.
func fromOffice(c client) client { return c.with("X-Real-Admin", "198.51.100.20") }

func (s studio) checkPublicRoutes(t *testing.T) {
	for _, path := range []string{
		"/health", "/health/ready", "/robots.txt", "/sitemap.xml", "/feeds/products.json", "/theme", "/content/home.sections",
		"/payments/capabilities", "/shipping/lockers/cities?provider=sameday", "/products",
	} {
		s.api.want(200, "GET", "/api/v1"+path, nil)
	}
	s.api.want(204, "GET", "/api/v1/ops/banner", nil)
	s.api.want(405, "HEAD", "/api/v1/health", nil)
	s.api.want(200, "GET", "/docs", nil)
	s.api.want(200, "GET", "/openapi.json", nil)
	if res := s.api.want(503, "GET", "/api/v1/shipping/lockers?provider=sameday&lat=44&lng=26",
		nil); !strings.Contains(res.body, "Sameday locker mirror is not initialized") {
		t.Errorf("lockers: %s", res.body)
	}
	headers := s.api.want(200, "GET", "/api/v1/health", nil).header
	for _, name := range []string{"Content-Security-Policy", "X-Content-Type-Options", "Referrer-Policy", "X-Request-Id"} {
		if headers.Get(name) == "" {
			t.Errorf("header %s is missing: %v", name, headers)
		}
	}
	if got := headers.Get("Strict-Transport-Security"); got != "max-age=63072000; includeSubDomains; preload" ||
		headers.Get("Server") != "" {
		t.Errorf("Strict-Transport-Security %q, Server %q", got, headers.Get("Server"))
	}
}

func (s studio) checkPaymentWebhooks(t *testing.T) {
	s.api.want(400, "POST", "/api/v1/payments/webhook", map[string]string{})
	s.api.want(500, "POST", "/api/v1/payments/paypal/webhook", map[string]string{})
	if res := s.api.want(200, "POST", "/api/v1/payments/netopia/webhook",
		map[string]string{}); res.decode(t)["errorCode"] == nil {
		t.Errorf("netopia: %s", res.body)
	}
}

func (s studio) checkClientAddress(t *testing.T) {
	message := func(reference string) map[string]string {
		return map[string]string{"name": "N", "email": "n@x.example", "message": "hello", "client_reference": reference}
	}
	for _, c := range []struct{ reference, forwarded, want string }{
		{"spoofed", "203.0.113.9, 198.51.100.7, 10.0.0.3", "198.51.100.7"},
		{"all-trusted", "10.1.1.1, 10.0.0.3", "10.1.1.1"},
	} {
		s.api.with("X-Forwarded-For", c.forwarded).want(201, "POST", "/api/v1/support/contact", message(c.reference))
		if got := query(s.db, "SELECT client_ip FROM support_messages WHERE client_reference = '"+c.reference+
			"'"); got != c.want {
			t.Errorf("X-Forwarded-For %q: application saw %s, want %s", c.forwarded, got, c.want)
		}
	}
	from := s.api.with("X-Forwarded-For", "198.51.100.7")
	from.want(409, "POST", "/api/v1/support/contact", message("spoofed"))
	from.want(201, "POST", "/api/v1/support/contact", message("third"))
	from.want(201, "POST", "/api/v1/support/contact", message("fourth"))
	from.want(429, "POST", "/api/v1/support/contact", message("fifth"))
	if got := query(s.db, "SELECT count(*) FROM support_messages"); got != "4" {
		t.Errorf("rows: got %s, want one per accepted request: 4", got)
	}
	if !strings.Contains(s.backend.logs(), "client=198.51.100.7 method=POST path=/api/v1/support/contact status=201") {
		t.Error("the request log does not show the client")
	}
}

func (s studio) checkNewsletter(t *testing.T) {
	subscription := map[string]string{"email": "reader@x.example", "client_reference": "news-1"}
	s.api.want(200, "POST", "/api/v1/newsletter/subscribe", subscription)
	if again := s.api.want(200, "POST", "/api/v1/newsletter/subscribe",
		map[string]string{"email": "Reader@x.example"}); again.decode(t)["already_subscribed"] != true {
		t.Errorf("second subscription: %s", again.body)
	}
}

func (s studio) checkCustomer(t *testing.T) {
	account := map[string]string{"email": "c@x.example", "username": "customer", "password": "long enough"}
	s.api.want(201, "POST", "/api/v1/auth/register", account)
	s.api.want(401, "POST", "/api/v1/auth/login", map[string]string{"identifier": "customer", "password": "wrong"})
	tokens := s.api.want(200, "POST", "/api/v1/auth/login", map[string]string{
		"identifier": "customer",
		"password":   "long enough",
	}).decode(t)["tokens"].(map[string]any)
	s.api.want(200, "POST", "/api/v1/auth/refresh", map[string]any{"refresh_token": tokens["refresh_token"]})
	s.api.want(401, "POST", "/api/v1/auth/refresh", map[string]any{"refresh_token": tokens["access_token"]})
	s.api.want(401, "GET", "/api/v1/ops/admin/diagnostics", nil)
	fromOffice(s.api.with("Authorization", "Bearer "+tokens["access_token"].(string))).want(403, "GET",
		"/api/v1/ops/admin/diagnostics", nil)
}

func (s studio) checkContentRole() {
	content := s.token("content")
	fromOffice(content).want(200, "GET", mediaAssets, nil)
	fromOffice(content).want(403, "GET", "/api/v1/ops/admin/diagnostics", nil)
	content.want(403, "GET", mediaAssets, nil)
	content.with("X-Admin-IP-Bypass", "open").want(200, "GET", mediaAssets, nil)
}

// checkOwnerLogin logs in with and without a second factor and returns the owner's client.
func (s studio) checkOwnerLogin(t *testing.T) client {
	s.backend.mustExec("python", "-m", "app.cli", "bootstrap-owner", "--email", "o@x.example", "--password",
		"owner password", "--username", "boss", "--display-name", "Boss")
	login := map[string]string{"email": "o@x.example", "password": "owner password"}
	bearer := s.api.want(200, "POST", "/api/v1/auth/login",
		login).decode(t)["tokens"].(map[string]any)["access_token"].(string)
	owner := fromOffice(s.api.with("Authorization", "Bearer "+bearer))
	if res := owner.want(403, "GET", "/api/v1/ops/admin/diagnostics",
		nil); res.decode(t)["code"] != "admin_mfa_required" {
		t.Errorf("owner without MFA: %s", res.body)
	}
	secret := owner.want(200, "POST", "/api/v1/auth/me/2fa/setup",
		map[string]string{"password": "owner password"}).decode(t)["secret"].(string)
	owner.want(200, "POST", "/api/v1/auth/me/2fa/enable", map[string]string{"code": totp(t, secret)})
	second := s.api.want(200, "POST", "/api/v1/auth/login", login).decode(t)
	if second["requires_two_factor"] != true {
		t.Errorf("login with TOTP: %v", second)
	}
	s.api.want(200, "POST", "/api/v1/auth/login/2fa", map[string]any{
		"two_factor_token": second["two_factor_token"],
		"code":             totp(t, secret),
	})
	return owner
}

func (s studio) checkDashboard(t *testing.T, owner client) {
	diagnostics := owner.want(200, "GET", "/api/v1/ops/admin/diagnostics", nil).decode(t)
	for _, part := range []string{"redis", "storage"} {
		if diagnostics[part].(map[string]any)["status"] != "ok" {
			t.Errorf("diagnostics of %s: %v", part, diagnostics[part])
		}
	}
	system := owner.want(200, "GET", "/api/v1/admin/dashboard/summary", nil).decode(t)["system"].(map[string]any)
	if system["backup_last_at"] != "yesterday, roughly" || system["db_ready"] != true {
		t.Errorf("system: %v", system)
	}
	if run := owner.want(200, "POST", "/api/v1/admin/shipping/sameday-sync/run",
		nil).decode(t); run["status"] != "failed" {
		t.Errorf("sync run: %v", run)
	}
	owner.want(200, "GET", "/api/v1/admin/shipping/sameday-sync/status", nil)
	owner.want(200, "GET", "/api/v1/admin/shipping/sameday-sync/runs", nil)
}

func (s studio) checkMaintenance(t *testing.T, owner client) {
	owner.want(200, "POST", "/api/v1/admin/dashboard/maintenance", map[string]bool{"enabled": true})
	closed := s.api.want(503, "GET", "/api/v1/theme", nil)
	if closed.header.Get("Retry-After") != "120" || closed.header.Get("Content-Security-Policy") != "" {
		t.Errorf("maintenance headers: %v", closed.header)
	}
	s.api.want(503, "GET", "/media/none.jpg", nil)
	s.api.want(200, "GET", "/api/v1/health/ready", nil)
	s.api.want(400, "POST", "/api/v1/payments/webhook", map[string]string{})
	s.api.with("X-Maintenance-Bypass", "let-me-in").want(200, "GET", "/api/v1/theme", nil)
	owner.want(200, "POST", "/api/v1/admin/dashboard/maintenance", map[string]bool{"enabled": false})
	s.api.want(200, "GET", "/api/v1/theme", nil)
}

func (s studio) checkReadiness(t *testing.T) {
	mustDocker(t, "stop", "--time", "1", s.redis.name)
	s.api.want(200, "GET", "/api/v1/health/ready", nil)
	mustDocker(t, "stop", "--time", "10", s.db.name)
	s.api.want(503, "GET", "/api/v1/health/ready", nil)
	s.api.want(200, "GET", "/api/v1/health", nil)
}

func totp(t *testing.T, secret string) string {
	t.Helper()
	key, err := base32.StdEncoding.DecodeString(secret)
	if err != nil {
		t.Fatal(err)
	}
	mac := hmac.New(sha1.New, key)
	if err := binary.Write(mac, binary.BigEndian, time.Now().Unix()/30); err != nil {
		t.Fatal(err)
	}
	sum := mac.Sum(nil)
	offset := sum[len(sum)-1] & 15
	return fmt.Sprintf("%06d", binary.BigEndian.Uint32(sum[offset:offset+4])&0x7fffffff%1_000_000)
}

func TestCaptchaKeepsScriptsOut(t *testing.T) {
	t.Parallel()
	c := start(t, append(flags(production("CAPTCHA_ENABLED", "1", "TURNSTILE_SECRET_KEY", "x")), imageRef[Backend])...)
	api := client{t: t, base: "http://" + c.ip() + ":8000"}
	eventually(t, "the API answers", 60*time.Second, api.up)
	if res := api.want(400, "POST", "/api/v1/auth/login", map[string]string{
		"email":    "a@x.example",
		"password": "p",
	}); res.decode(t)["detail"] != "CAPTCHA required" {
		t.Errorf("login: %s", res.body)
	}
	// This API has no DATABASE_URL either: it runs, and never becomes ready.
	api.want(200, "GET", "/api/v1/health", nil)
	api.want(503, "GET", "/api/v1/health/ready", nil)
}

func TestMediaMovesBetweenRootsAndTheWorkerMakesVariants(t *testing.T) {
	t.Parallel()
	s := deploy(t)
	content := s.token("content")
	asset, picture := uploadPicture(t, content)
	id, key, job := asset["id"].(string), asset["storage_key"].(string), asset["job_id"].(string)
	at := func(want bool, path string) {
		t.Helper()
		if code, _ := s.backend.exec("test", "-f", "/app/"+path); (code == 0) != want {
			t.Errorf("%s exists: %t, want %t", path, code == 0, want)
		}
	}
	eventually(t, "the worker completes the job", 60*time.Second, func() bool {
		return query(s.db, "SELECT status FROM media_jobs WHERE id = '"+job+"'") == "completed"
	})
	at(true, "private_uploads/"+key)
	at(true, "private_uploads/variants/"+id+"/thumb-320.jpg")
	at(false, "uploads/"+key)

	content.want(200, "POST", mediaAssets+"/"+id+"/approve", nil)
	at(true, "uploads/"+key)
	at(false, "private_uploads/"+key)
	if got := s.api.want(200, "GET", "/media/"+key, nil); got.body != picture {
		t.Error("the public file differs from what was uploaded")
	}
	s.api.want(200, "GET", "/media/variants/"+id+"/web-640.jpg", nil)

	content.want(200, "POST", mediaAssets+"/"+id+"/reject", nil)
	at(true, "private_uploads/"+key)
	s.api.want(404, "GET", "/media/"+key, nil)
	content.want(200, "POST", mediaAssets+"/"+id+"/approve", nil)
	content.want(204, "DELETE", mediaAssets+"/"+id, nil)
	at(true, "private_uploads/trash/"+id+"/wide-picture.png")
	at(false, "uploads/"+key)
	list := content.want(200, "GET", mediaAssets, nil).decode(t)
	if n := len(list["items"].([]any)); n != 0 {
		t.Errorf("assets outside the trash: %d, want 0", n)
	}
	content.want(403, "POST", mediaAssets+"/"+id+"/purge", nil) // an owner's or an admin's to do
	content.want(200, "POST", mediaAssets+"/"+id+"/restore", nil)
	at(true, "private_uploads/"+key) // a draft again
	at(true, "private_uploads/variants/"+id+"/thumb-320.jpg")
	at(false, "private_uploads/trash/"+id+"/wide-picture.png")
	preview := content.want(200, "GET", mediaAssets+"/"+id, nil).decode(t)["preview_url"].(string)
	if got := s.api.want(200, "GET", preview, nil); got.body != picture ||
		got.header.Get("Cache-Control") != "private, no-store" {
		t.Error("the signed preview does not stream the original privately")
	}
	s.api.want(403, "GET", strings.Split(preview, "&sig=")[0]+"&sig=wrong", nil)

	s.checkMediaJobRetry(t, content, job)
}

// uploadPicture adds a public picture and returns the answer and the picture's content.
func uploadPicture(t *testing.T, content client) (asset map[string]any, body string) {
	t.Helper()
	var picture, form bytes.Buffer
	if err := png.Encode(&picture, image.NewRGBA(image.Rect(0, 0, 800, 400))); err != nil {
		t.Fatal(err)
	}
	writer := multipart.NewWriter(&form)
	if err := writer.WriteField("visibility", "public"); err != nil {
		t.Fatal(err)
	}
	part, err := writer.CreateFormFile("file", "wide picture.png")
	if err != nil {
		t.Fatal(err)
	}
	_, _ = part.Write(picture.Bytes())
	_ = writer.Close()
	res, err := content.try("POST", mediaAssets+"/upload", writer.FormDataContentType(), &form)
	if err != nil || res.status != 201 {
		t.Fatalf("upload: %v %d %s", err, res.status, res.body)
	}
	return res.decode(t), picture.String()
}

func (s studio) checkMediaJobRetry(t *testing.T, content client, job string) {
	// A crash between taking the id and finishing leaves a row that only a retry picks up again.
	query(s.db, "UPDATE media_jobs SET status = 'processing', started_at = now() - interval '1 hour' WHERE id = '"+job+"'")
	telemetry := content.want(200, "GET", "/api/v1/content/admin/media/telemetry", nil).decode(t)
	if telemetry["stale_processing_count"] != 1.0 || telemetry["online_workers"] != 1.0 {
		t.Errorf("telemetry: %v", telemetry)
	}
	content.want(200, "POST", "/api/v1/content/admin/media/jobs/"+job+"/retry", nil)
	eventually(t, "the retried job completes", 60*time.Second, func() bool {
		return query(s.db, "SELECT status FROM media_jobs WHERE id = '"+job+"'") == "completed"
	})

	// With Redis configured but down the upload fails after the commit (contract 5).
	mustDocker(t, "stop", "--time", "1", s.redis.name)
	content.want(500, "POST", "/api/v1/content/admin/media/jobs/"+job+"/retry", nil)
	if got := query(s.db, "SELECT status FROM media_jobs WHERE id = '"+job+"'"); got != "queued" {
		t.Errorf("job after a failed announcement: %s, want queued", got)
	}
}

func TestWorkerPollsWithoutRedisAndIgnoresSigterm(t *testing.T) {
	t.Parallel()
	net := network(t)
	database(t, net)
	env := flags(production("DATABASE_URL", databaseURL, "RUN_DB_MIGRATIONS", "1"))
	worker := start(t, append(append([]string{"--network", net}, env...), imageRef[Backend], "python", "-m",
		"app.workers.media_worker")...)
	eventually(t, "the heartbeat appears", 60*time.Second, func() bool {
		code, _ := worker.exec("test", "-s", "/tmp/media-worker-heartbeat.json")
		return code == 0
	})
	mustDocker(t, "stop", "--time", "2", worker.name)
	if got := mustDocker(t, "inspect", "--format", "{{.State.ExitCode}}", worker.name); got != "137" {
		t.Errorf("stop: exit code %s, want 137 (as PID 1 it survives SIGTERM)", got)
	}
}

func TestServerDrainsOnSigterm(t *testing.T) {
	t.Parallel()
	body := `{"name":"N","email":"n@x.example","message":"hello","client_reference":"in-flight"}`
	// begin sends all of a POST but its last byte, so that it is in flight for as long as the test likes.
	begin := func(t *testing.T, s studio) net.Conn {
		t.Helper()
		conn, err := net.Dial("tcp", s.backend.ip()+":8000")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		fmt.Fprintf(conn, "POST /api/v1/support/contact HTTP/1.1\r\nHost: x\r\nContent-Type: "+
			"application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body[:len(body)-1])
		return conn
	}
	refuses := func(address string) bool {
		conn, err := net.DialTimeout("tcp", address, time.Second)
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	}
	s := deploy(t)

	conn, address := begin(t, s), s.backend.ip()+":8000"
	time.Sleep(300 * time.Millisecond) // the request must have reached the application
	signalled := time.Now()
	mustDocker(t, "kill", "--signal", "TERM", s.backend.name)
	eventually(t, "new connections are refused", 3*time.Second, func() bool { return refuses(address) })
	fmt.Fprint(conn, body[len(body)-1:])
	answer := make([]byte, 4096)
	_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	n, _ := conn.Read(answer)
	if !strings.HasPrefix(string(answer[:n]), "HTTP/1.1 201") {
		t.Errorf("request in flight: %q", answer[:n])
	}
	if code := s.backend.wait(); code != "0" {
		t.Errorf("exit code %s, want 0", code)
	}
	if got := query(s.db, "SELECT count(*) FROM support_messages WHERE client_reference = 'in-flight'"); got != "1" {
		t.Errorf("rows: %s, want 1", got)
	}
	if took := time.Since(signalled); took > 7*time.Second {
		t.Errorf("drain took %v although the request had finished", took)
	}

	mustDocker(t, "start", s.backend.name)
	api := client{t: t, base: "http://" + s.backend.ip() + ":8000"}
	eventually(t, "the API answers again", 60*time.Second, api.up)
	begin(t, s)
	time.Sleep(300 * time.Millisecond)
	signalled = time.Now()
	mustDocker(t, "kill", "--signal", "TERM", s.backend.name)
	if code := s.backend.wait(); code != "0" {
		t.Errorf("exit code %s, want 0", code)
	}
	if took := time.Since(signalled); took < 7*time.Second || took > 20*time.Second {
		t.Errorf("an unfinished request held the server for %v, want about the graceful limit of 8 s", took)
	}
}

func TestServerOptions(t *testing.T) {
	t.Parallel()
	if code, out := run(t, append(flags(production()), imageRef[Backend], "uvicorn", "app.main:app", "--timeout-gracefull",
		"3")...); code != 2 {
		t.Errorf("unknown option: exit %d, want 2: %s", code, out)
	}
	if code, out := run(t, append(flags(production("SECRET_KEY", "short")),
		imageRef[Backend])...); code != 3 || !strings.Contains(out, "SECRET_KEY") {
		t.Errorf("refused start: exit %d, want 3: %s", code, out)
	}
	c := start(t, append(flags(production()), imageRef[Backend], "uvicorn", "app.main:app", "--host", "0.0.0.0", "--port",
		"8000", "--workers", "2")...)
	api := client{t: t, base: "http://" + c.ip() + ":8000"}
	eventually(t, "two workers answer", 60*time.Second, api.up)
	if got := api.want(http.StatusOK, "GET", "/api/v1/health", nil).header.Get("Server"); got != "uvicorn" {
		t.Errorf("Server header %q, want uvicorn", got)
	}
	mustDocker(t, "stop", "--time", "15", c.name)
	if got := mustDocker(t, "inspect", "--format", "{{.State.ExitCode}}", c.name); got != "0" {
		t.Errorf("stop: exit code %s, want 0", got)
	}
}
