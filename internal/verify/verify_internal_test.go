package verify

import (
	"context"
	"crypto/x509"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prekzursil/momentstudio-infra/internal/engine"
	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
)

func TestTheSchemaOfARolledBackRelease(t *testing.T) {
	for _, c := range []struct {
		schema     hostspec.Schema
		compatible []string
		fault      string
	}{
		{hostspec.Schema{Revision: "0159_add", Head: true}, nil, ""},
		{hostspec.Schema{Revision: "0158_old"}, nil, "not the head"},
		{hostspec.Schema{Revision: "0160_new", Unknown: true}, nil, "0160_new"},
		{hostspec.Schema{Revision: "0160_new", Unknown: true}, []string{"0160_new"}, ""},
		{hostspec.Schema{Revision: "0161_newer", Unknown: true}, []string{"0160_new"}, "0161_newer"},
		{hostspec.Schema{Error: "no healthy task"}, nil, "no healthy task"},
		{hostspec.Schema{}, nil, "not the head"},
	} {
		err := judgeSchema(c.schema, c.compatible)
		if (err == nil) != (c.fault == "") || err != nil && !strings.Contains(err.Error(), c.fault) {
			t.Errorf("%+v with %q: got %v", c.schema, c.compatible, err)
		}
	}
}

func TestUploadsThatCannotBeStoredFailVerify(t *testing.T) {
	if err := judgeMedia(hostspec.Media{}); err != nil {
		t.Errorf("every directory takes a file: %v", err)
	}
	err := judgeMedia(hostspec.Media{Unwritable: []string{"/app/uploads/originals: Permission denied, owner 1000"}})
	if err == nil || !strings.Contains(err.Error(), "/app/uploads/originals: Permission denied") ||
		!strings.Contains(err.Error(), "chown -R root:root /mnt/momentstudio/uploads") {
		t.Errorf("a directory refuses a file: %v", err)
	}
	if err := judgeMedia(hostspec.Media{Error: "exit code 1"}); err == nil {
		t.Error("a test that did not run counts as passed")
	}
}

func TestTheReleasesOfTheAPI(t *testing.T) {
	for _, c := range []struct {
		answers []hostspec.Answer
		fault   string
	}{
		{[]hostspec.Answer{{Value: release}}, ""},
		{[]hostspec.Answer{{Value: release}, {Value: release}}, ""},
		{[]hostspec.Answer{{Value: release}, {Value: "0.1.0"}}, `answers "0.1.0", want "` + release},
		{[]hostspec.Answer{{Error: "HTTP Error 503: Service Unavailable"}}, "HTTP Error 503"},
		{nil, "no healthy task"},
	} {
		err := judgeReleases(c.answers, release)
		if (err == nil) != (c.fault == "") || err != nil && !strings.Contains(err.Error(), c.fault) {
			t.Errorf("%+v: got %v, want %q", c.answers, err, c.fault)
		}
	}
}

const release = "95a6edf0a00ebc1a8af37fdfd198a7dc136a846a"

// shop serves what a right deployment serves; a path's handler may be replaced by one with a defect.
func shop(t *testing.T, path string, defect http.HandlerFunc) *site {
	t.Helper()
	mux := http.NewServeMux()
	serve := func(p string, h http.HandlerFunc) {
		if p == path {
			h = defect
		}
		mux.HandleFunc(p, h)
	}
	answer := func(status int, body string, headers ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			for i := 0; i < len(headers); i += 2 {
				w.Header().Add(headers[i], headers[i+1])
			}
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		}
	}
	serve("/api/v1/health/ready", answer(200, `{"status":"ready"}`))
	serve("/assets/app-config.js", answer(200, `"appVersion": "`+release+`"`, "Cache-Control", "no-store"))
	serve("/{$}", answer(200, `<html ng-server-context="ssr"><script src="main.0123456789abcdef.js">`,
		"Content-Security-Policy", "default-src 'self'"))
	serve("/main.0123456789abcdef.js", answer(200, "x", "Content-Type", "text/javascript"))
	serve("/manifest.webmanifest", answer(200, "{}", "Content-Type", "application/manifest+json"))
	serve("/media/private/verify", answer(404, ""))
	serve("/assets/verify-missing.png", answer(404, ""))
	serve("www.example.com/", answer(301, "", "Location", "https://example.com/verify"))
	serve("/api/v1/payments/webhook", answer(500, ""))
	serve("/api/v1/payments/paypal/webhook", answer(400, ""))
	serve("/api/v1/payments/netopia/webhook", answer(200, `{"errorCode":1}`))
	server := httptest.NewTLSServer(mux)
	t.Cleanup(server.Close)
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	s, err := newSite(engine.Outputs{URL: "https://example.com", Address: "192.0.2.1", Release: release}, roots, true)
	if err != nil {
		t.Fatal(err)
	}
	s.dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, server.Listener.Addr().String())
	}
	s.client.Transport.(*http.Transport).DialContext = s.dial
	return s
}

func TestARightShopPasses(t *testing.T) {
	if err := shop(t, "", nil).check(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestEachDefectOfAShopIsFound(t *testing.T) {
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
	}
	body := func(text string, headers ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			for i := 0; i < len(headers); i += 2 {
				w.Header().Add(headers[i], headers[i+1])
			}
			_, _ = w.Write([]byte(text))
		}
	}
	const page, csp = `<html ng-server-context="ssr"><script src="/main.0123456789abcdef.js"></script>`,
		"Content-Security-Policy"
	for _, c := range []struct {
		what, path string
		defect     http.HandlerFunc
		want       string
	}{
		{"a database that is away", "/api/v1/health/ready", status(503), "GET /api/v1/health/ready: status 503, want 200"},
		{
			"another release", "/assets/app-config.js", body(`"appVersion": "0000"`, "Cache-Control", "no-store"),
			"does not name release " + release,
		},
		{
			"a configuration that browsers keep", "/assets/app-config.js",
			body(release, "Cache-Control", "public, max-age=31536000"), "browsers would keep an old release",
		},
		{"two policies", "/{$}", body(page, csp, "a", csp, "b"), "2 Content-Security-Policy headers, want 1"},
		{
			"a page that is not rendered", "/{$}", body(`<html><script src="main.0123456789abcdef.js">`, csp, "a"),
			"NG_ALLOWED_HOSTS does not name the domain",
		},
		{"a page without its script", "/{$}", body(`<html ng-server-context="ssr">`, csp, "a"), "names no hashed bundle"},
		{
			"a script that browsers refuse", "/{$}",
			body(page+"<script>boot()</script>", csp, "script-src 'self' 'sha256-of-another-release'"),
			"makes browsers refuse the inline script with the hash 'sha256-",
		},
		{
			"an asset that is a page", "/assets/verify-missing.png", status(200),
			"GET /assets/verify-missing.png: status 200, want 404",
		},
		{
			"a page in place of a script", "/main.0123456789abcdef.js", body("<html>", "Content-Type", "text/html"),
			`/main.0123456789abcdef.js is served as "text/html"`,
		},
		{
			"a manifest of the wrong type", "/manifest.webmanifest", body("{}", "Content-Type", "application/json"),
			"/manifest.webmanifest is served as",
		},
		{"private media in public", "/media/private/verify", status(200), "GET /media/private/verify: status 200, want 404"},
		{"www that is a site of its own", "www.example.com/", status(200), "www.example.com answers 200"},
		{"www that leads elsewhere", "www.example.com/", body("", "Location", "https://example.com/"), "want 301 to"},
		{"payments that nobody hears of", "/api/v1/payments/webhook", status(404), "payments would not be noticed"},
		{"payments in maintenance", "/api/v1/payments/paypal/webhook", status(503), "payments would not be noticed"},
		{"payments that are limited", "/api/v1/payments/netopia/webhook", status(429), "payments would not be noticed"},
	} {
		err := shop(t, c.path, c.defect).check(t.Context())
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.what, err, c.want)
		} else if strings.Contains(err.Error(), "\n") {
			t.Errorf("%s is reported as more than one problem: %v", c.what, err)
		}
	}
}

func TestAnInsecureCanonicalIsAWarning(t *testing.T) {
	s := shop(t, "/{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Security-Policy", "default-src 'self'")
		_, _ = w.Write([]byte(`<link rel="canonical" href="http://example.com/"><html ng-server-context="ssr">` +
			`<script src="/main.0123456789abcdef.js"></script>`))
	})
	for range 2 {
		err := s.check(t.Context())
		if err != nil || len(s.notes) != 1 || !strings.Contains(s.notes[0], "http://example.com/") {
			t.Errorf("got %v and the warnings %q", err, s.notes)
		}
	}
}

func TestACertificateOfNobodyIsFound(t *testing.T) {
	s := shop(t, "", nil)
	stranger, err := newSite(engine.Outputs{URL: "https://example.com", Address: "192.0.2.1", Release: release},
		x509.NewCertPool(), true)
	if err != nil {
		t.Fatal(err)
	}
	stranger.dial = s.dial
	stranger.client.Transport.(*http.Transport).DialContext = s.dial
	if err := stranger.check(t.Context()); err == nil || !strings.Contains(err.Error(), "the certificate of "+
		"www.example.com") {
		t.Errorf("got %v", err)
	}
}
