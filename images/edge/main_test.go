package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
)

const goldenFiles = "../../internal/render/testdata/Caddyfile.*.golden"

// adapt turns a rendered Caddyfile into Caddy's own JSON; a warning fails the test.
func adapt(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	adapted, warnings, err := caddyconfig.GetAdapter("edge").Adapt(text, map[string]any{"filename": "Caddyfile"})
	if err != nil {
		t.Fatalf("Caddy cannot read %s: %v", path, err)
	}
	for _, w := range warnings {
		t.Errorf("%s: Caddy warns: %s", path, w.String())
	}
	return adapted
}

func goldens(t *testing.T) map[string]string {
	t.Helper()
	paths, err := filepath.Glob(goldenFiles)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, p := range paths {
		name := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(p), "Caddyfile."), ".golden")
		found[name] = p
	}
	for _, want := range []string{"static-acme", "ssr-proxied-file", "internal-bare", "acme-own-root"} {
		if found[want] == "" {
			t.Fatalf("no rendered Caddyfile %s in %s", want, goldenFiles)
		}
	}
	return found
}

func TestCaddyAcceptsEveryRenderedFile(t *testing.T) {
	for name, path := range goldens(t) {
		t.Run(name, func(t *testing.T) {
			// Files that only the host has are the one thing replaced before modules are provisioned.
			config := rewrite(t, adapt(t, path), "127.0.0.1:0", "127.0.0.1:9", t.TempDir())
			var c caddy.Config
			if err := json.Unmarshal(config, &c); err != nil {
				t.Fatal(err)
			}
			if err := caddy.Validate(&c); err != nil {
				t.Errorf("Caddy refuses it: %v", err)
			}
		})
	}
}

func TestCaddyRefusesADamagedFile(t *testing.T) {
	text, err := os.ReadFile(goldens(t)["static-acme"])
	if err != nil {
		t.Fatal(err)
	}
	damaged := strings.Replace(string(text), "redir @www", "redirect @www", 1)
	if _, _, err := caddyconfig.GetAdapter("edge").Adapt([]byte(damaged),
		nil); err == nil || !strings.Contains(err.Error(), "redirect") {
		t.Errorf("got %v, want an error that names the directive: the checks of this file would see nothing", err)
	}
}

func TestAdminEndpointIsTheSocketThatTheHealthCheckAsks(t *testing.T) {
	for name, path := range goldens(t) {
		var c struct {
			Admin struct {
				Listen string `json:"listen"`
			} `json:"admin"`
		}
		if err := json.Unmarshal(adapt(t, path), &c); err != nil {
			t.Fatal(err)
		}
		if want := "unix/" + adminSocket; c.Admin.Listen != want {
			t.Errorf("%s: the admin endpoint is %q, want %q", name, c.Admin.Listen, want)
		}
	}
}

// rewrite points a configuration at this test: it listens on the given address without TLS,
// every upstream is the given one, and nothing leaves the machine or the test's directory. Routes
// and headers stay as they were rendered.
func rewrite(t *testing.T, adapted []byte, listen, upstream, dir string) []byte {
	t.Helper()
	var c map[string]any
	if err := json.Unmarshal(adapted, &c); err != nil {
		t.Fatal(err)
	}
	c["admin"] = map[string]any{"disabled": true, "config": map[string]any{"persist": false}}
	c["logging"] = map[string]any{
		"logs": map[string]any{"default": map[string]any{"writer": map[string]any{"output": "discard"}}},
	}
	c["storage"] = map[string]any{"module": "file_system", "root": dir}
	apps := c["apps"].(map[string]any)
	delete(apps, "tls")
	delete(apps, "pki")
	delete(apps["http"].(map[string]any), "shutdown_delay") // nobody is there to be waited for
	servers := apps["http"].(map[string]any)["servers"].(map[string]any)
	if len(servers) != 1 {
		t.Fatalf("got %d servers, want one", len(servers))
	}
	for _, s := range servers {
		server := s.(map[string]any)
		server["listen"] = []any{listen}
		server["protocols"] = []any{"h1"}
		server["automatic_https"] = map[string]any{"disable": true}
		delete(server, "tls_connection_policies")
		delete(server, "logs")
	}
	if n := replaceUpstreams(servers, upstream); n < 5 {
		t.Fatalf("found %d proxies, want those of backend and frontend", n)
	}
	out, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func replaceUpstreams(v any, upstream string) int {
	n := 0
	switch x := v.(type) {
	case map[string]any:
		if x["handler"] == "reverse_proxy" {
			dynamic, _ := x["dynamic_upstreams"].(map[string]any)
			// The address carries what the configuration wanted, so that a wrong target is noticed.
			x["headers"].(map[string]any)["request"].(map[string]any)["set"].(map[string]any)["X-Test-Target"] = []any{
				fmt.Sprint(dynamic["name"], ":", dynamic["port"]),
			}
			delete(x, "dynamic_upstreams")
			x["upstreams"] = []any{map[string]any{"dial": upstream}}
			n++
		}
		for _, child := range x {
			n += replaceUpstreams(child, upstream)
		}
	case []any:
		for _, child := range x {
			n += replaceUpstreams(child, upstream)
		}
	}
	return n
}

// site is a running Caddy with a recorded upstream behind it.
type site struct {
	address string

	mu   sync.Mutex
	seen []*http.Request
}

// port is below those that the kernel gives to clients; nobody else is in the tests' network.
const port = "8080"

// start runs the rendered file in this process.
func start(t *testing.T, name string) *site {
	t.Helper()
	return startWith(t, name, func(map[string]any, []byte) {})
}

// startWith runs the rendered file in this process, after a change of its configuration.
func startWith(t *testing.T, name string, change func(config map[string]any, rendered []byte)) *site {
	t.Helper()
	s := &site{address: "127.0.0.1:" + port}
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.seen = append(s.seen, r.Clone(context.WithoutCancel(r.Context())))
		s.mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(upstream.Close)
	// Without an address it listens for IPv4 and IPv6 on one socket, as it does on the host.
	rendered := adapt(t, goldens(t)[name])
	config := rewrite(t, rendered, ":"+port, strings.TrimPrefix(upstream.URL, "http://"), t.TempDir())
	var changed map[string]any
	if err := json.Unmarshal(config, &changed); err != nil {
		t.Fatal(err)
	}
	change(changed, rendered)
	config, err := json.Marshal(changed)
	if err != nil {
		t.Fatal(err)
	}
	if err := caddy.Load(config, true); err != nil {
		t.Fatalf("Caddy does not start: %v", err)
	}
	t.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			t.Errorf("stop Caddy: %v", err)
		}
	})
	return s
}

// answer plays backend and frontend at their worst: wrong cache headers, headers that tell about
// the software, a policy of its own, pages instead of missing files.
func answer(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	_, _ = io.Copy(io.Discard, r.Body)
	if strings.Contains(r.URL.Path, "slow-answer") {
		time.Sleep(2 * time.Second)
	}
	h.Set("Server", "nginx/1.29.5")
	h.Set("X-Powered-By", "Express")
	h.Set("Content-Security-Policy", "default-src *")
	h.Set("X-Frame-Options", "ALLOWALL")
	h.Set("Cache-Control", "public, max-age=31536000")
	status := http.StatusOK
	switch {
	case strings.Contains(r.URL.Path, "broken"):
		status = http.StatusInternalServerError
		h.Set("Content-Type", "text/plain")
	case strings.Contains(r.URL.Path, "missing-page"):
		h.Set("Content-Type", "text/html; charset=utf-8") // a soft 404, as the rendering frontend sends it
	case strings.Contains(r.URL.Path, "missing"):
		status = http.StatusNotFound
		h.Set("Content-Type", "text/plain")
	case strings.HasSuffix(r.URL.Path, ".js"):
		h.Set("Content-Type", "text/javascript")
	case strings.HasSuffix(r.URL.Path, ".css"):
		h.Set("Content-Type", "text/css; charset=utf-8")
	case strings.HasPrefix(r.URL.Path, "/media/"):
		h.Set("Content-Type", "image/webp")
	default:
		h.Set("Content-Type", "text/html; charset=utf-8")
	}
	w.WriteHeader(status)
	fmt.Fprint(w, "upstream")
}

type request struct {
	method, host, path, from string
	header                   map[string]string
}

// dial connects a client that has the given address.
func (s *site) dial(ctx context.Context, from string) (net.Conn, error) {
	ip, target := net.ParseIP(from), s.address
	if ip.To4() == nil {
		target = "[::1]:" + port
	}
	return (&net.Dialer{LocalAddr: &net.TCPAddr{IP: ip}}).DialContext(ctx, "tcp", target)
}

// do sends one request without following redirects. from is the address of the client, so that
// tests do not share a rate limit.
func (s *site) do(t *testing.T, r request) (*http.Response, string) {
	t.Helper()
	response, body, err := s.send(r)
	if err != nil {
		t.Fatal(err)
	}
	return response, body
}

// send is do for goroutines, which cannot end a test.
func (s *site) send(r request) (*http.Response, string, error) {
	if r.method == "" {
		r.method = http.MethodGet
	}
	if r.host == "" {
		r.host = "shop.example"
	}
	if r.from == "" {
		r.from = "127.0.0.1"
	}
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn,
		error,
	) {
		return s.dial(ctx, r.from)
	}}
	defer transport.CloseIdleConnections()
	client := &http.Client{
		Transport: transport, Timeout: 20 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	q, err := http.NewRequestWithContext(ctx, r.method, "http://"+s.address+r.path, nil)
	if err != nil {
		return nil, "", err
	}
	q.Host = r.host
	for k, v := range r.header {
		q.Header.Set(k, v)
	}
	response, err := client.Do(q)
	if err != nil {
		return nil, "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, "", err
	}
	return response, string(body), nil
}

// last returns what the upstream saw, and forgets it; nil when nothing arrived.
func (s *site) last() *http.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.seen) == 0 {
		return nil
	}
	r := s.seen[len(s.seen)-1]
	s.seen = nil
	return r
}

const (
	monthImmutable = "public, max-age=2592000, immutable"
	yearImmutable  = "public, max-age=31536000, immutable"
	month          = "public, max-age=2592000"
	hour           = "public, max-age=3600"
	noStore        = "no-store"
	bundle         = "main.0123456789abcdef"
)

func TestRoutesAndCaching(t *testing.T) {
	for _, golden := range []struct{ name, frontend string }{
		{"static-acme", "frontend:80"}, {"ssr-proxied-file", "frontend:4000"}, {"internal-bare", "frontend:80"},
	} {
		t.Run(golden.name, func(t *testing.T) {
			s := start(t, golden.name)
			for _, c := range []struct {
				name, path string
				status     int
				cache      string // "" is not checked
				target     string // which upstream; "" is none
				upstream   string // path that it saw; "" is the request's own
				page       bool   // carries the headers of pages
			}{
				{
					"the API goes to the backend with its own caching", "/api/v1/health", 200, "public, max-age=31536000",
					"backend:8000", "", false,
				},
				{"a media file may be kept for a month", "/media/a.webp", 200, monthImmutable, "backend:8000", "", false},
				{"a missing media file is not remembered", "/media/missing.webp", 404, noStore, "backend:8000", "", false},
				{"a failing media file is not remembered", "/media/broken.webp", 500, noStore, "backend:8000", "", false},
				{"private media never reach the backend", "/media/private/x", 404, noStore, "", "", false},
				{"the private directory itself neither", "/media/private", 404, noStore, "", "", false},
				{"nor with a doubled slash", "/media//private/x", 404, noStore, "", "", false},
				{"nor with an encoded letter", "/media/%70rivate/x", 404, noStore, "", "", false},
				{"nor with an encoded slash", "/media/private%2Fx", 404, noStore, "", "", false},
				{"nor in capitals", "/media/PRIVATE/x", 404, noStore, "", "", false},
				{"nor by a way round", "/media/x/../private/y", 404, noStore, "", "", false},
				{"robots.txt is the backend's", "/robots.txt", 200, "", "backend:8000", "/api/v1/robots.txt", false},
				{"the sitemap is the backend's", "/sitemap.xml", 200, "", "backend:8000", "/api/v1/sitemap.xml", false},
				{"the start page is always fresh", "/", 200, noStore, golden.frontend, "", true},
				{"so is index.html", "/index.html", 200, noStore, golden.frontend, "", true},
				{"the runtime configuration is never stored", "/assets/app-config.js", 200, noStore, golden.frontend, "", true},
				{"nor is the service worker's list", "/ngsw.json", 200, noStore, golden.frontend, "", true},
				{"nor the service worker", "/ngsw-worker.js", 200, noStore, golden.frontend, "", true},
				{"any other page is fresh too", "/produse/1", 200, noStore, golden.frontend, "", true},
				{"the theme's first script lives an hour", "/assets/theme-bootstrap.js", 200, hour, golden.frontend, "", true},
				{"the manifest lives an hour", "/manifest.webmanifest", 200, hour, golden.frontend, "", true},
				{"an asset lives a month, without a promise", "/assets/i18n/ro.css", 200, month, golden.frontend, "", true},
				{"a missing asset is not remembered", "/assets/missing.png", 404, noStore, golden.frontend, "", true},
				{"a page in place of an asset", "/assets/missing-page.png", 404, noStore, golden.frontend, "", true},
				{"a hashed script never changes", "/" + bundle + ".js", 200, yearImmutable, golden.frontend, "", true},
				{"a hashed style never changes", "/styles.0123456789abcdef.css", 200, yearImmutable, golden.frontend, "", true},
				{"a missing bundle is not remembered", "/missing.0123456789abcdef.js", 404, noStore, golden.frontend, "", true},
				{"a page in place of a bundle", "/missing-page.0123456789abcdef.js", 404, noStore, golden.frontend, "", true},
				{"a failing bundle is not remembered", "/broken.0123456789abcdef.js", 500, noStore, golden.frontend, "", true},
			} {
				t.Run(c.name, func(t *testing.T) {
					response, body := s.do(t, request{path: c.path})
					saw := s.last()
					if response.StatusCode != c.status {
						t.Errorf("status %d, want %d", response.StatusCode, c.status)
					}
					if got := response.Header.Values("Cache-Control"); c.cache != "" && (len(got) != 1 || got[0] != c.cache) {
						t.Errorf("Cache-Control %q, want %q once", got, c.cache)
					}
					if c.target == "" {
						if saw != nil {
							t.Errorf("the upstream was asked for %s", saw.URL)
						}
						if body != "Not Found" {
							t.Errorf("body %q, want Not Found", body)
						}
					} else {
						if saw == nil {
							t.Fatal("no upstream was asked")
						}
						want := c.upstream
						if want == "" {
							want = c.path
						}
						if saw.URL.Path != want || saw.Header.Get("X-Test-Target") != c.target {
							t.Errorf("%s was asked for %s, want %s for %s", saw.Header.Get("X-Test-Target"), saw.URL.Path, c.target, want)
						}
					}
					if strings.HasPrefix(c.name, "a page in place") && strings.Contains(body, "upstream") {
						t.Error("the page itself was passed on")
					}
					checkHeaders(t, response, c.page)
				})
			}
		})
	}
}

func checkHeaders(t *testing.T, r *http.Response, page bool) {
	t.Helper()
	if v := r.Header.Get("X-Powered-By"); v != "" {
		t.Errorf("X-Powered-By %q comes through", v)
	}
	if v := r.Header.Values("Server"); len(v) > 1 || strings.Contains(strings.Join(v, ""), "nginx") {
		t.Errorf("the upstream's Server comes through: %q", v)
	}
	if !page {
		return
	}
	for name, want := range map[string]string{
		"Content-Security-Policy": "default-src 'self'; ", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer",
		"X-Content-Type-Options": "nosniff", "Permissions-Policy": "geolocation=(self)",
		"Strict-Transport-Security": "max-age=63072000",
	} {
		if got := r.Header.Values(name); len(got) != 1 || !strings.HasPrefix(got[0], want) {
			t.Errorf("%s is %q, want one value that begins with %q", name, got, want)
		}
	}
}

func TestThePolicyAllowsTheScriptsOfTheKeptReleases(t *testing.T) {
	list := filepath.Join(t.TempDir(), "page-scripts")
	s := startWith(t, "static-acme", func(config map[string]any, _ []byte) {
		text, err := json.Marshal(config["apps"])
		if err != nil {
			t.Fatal(err)
		}
		var apps any
		if err := json.Unmarshal([]byte(strings.ReplaceAll(string(text), "/srv/bundles/page-scripts", list)),
			&apps); err != nil {
			t.Fatal(err)
		}
		config["apps"] = apps
	})
	// Each change counts at once, without a reload.
	for _, hashes := range []string{"'sha256-first'", "'sha256-second' 'sha256-first'", ""} {
		if err := os.WriteFile(list, []byte(hashes), 0o600); err != nil {
			t.Fatal(err)
		}
		response, _ := s.do(t, request{path: "/"})
		policy := response.Header.Get("Content-Security-Policy")
		if want := "tCcEYc=' " + hashes + ";"; !strings.Contains(policy, want) || strings.Contains(policy, "{") {
			t.Errorf("the policy is %q, want %q in it", policy, want)
		}
	}
}

func TestWWWRedirectsToTheApex(t *testing.T) {
	s := start(t, "static-acme")
	response, _ := s.do(t, request{host: "www.shop.example", path: "/produse/1?a=b&c=%20"})
	if got := response.Header.Get("Location"); response.StatusCode != http.StatusMovedPermanently ||
		got != "https://shop.example/produse/1?a=b&c=%20" {
		t.Errorf("got %d to %q, want 301 to the apex with path and query", response.StatusCode, got)
	}
	if s.last() != nil {
		t.Error("an upstream was asked")
	}
}

func TestHeadersThatTheApplicationBelievesCannotBeForged(t *testing.T) {
	forged := map[string]string{
		"X-Forwarded-For": "203.0.113.66, 198.51.100.1", "X-Real-IP": "203.0.113.66", "CF-Connecting-IP": "203.0.113.66",
		"True-Client-IP": "203.0.113.66", "X-Momentstudio-Client-IP": "203.0.113.66", "Forwarded": "for=203.0.113.66",
		"CF-IPCountry": "XX", "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "gopher",
	}
	want := map[string]string{
		"X-Forwarded-For": "127.0.0.9", "X-Real-Ip": "127.0.0.9", "X-Momentstudio-Client-Ip": "127.0.0.9",
		"Cf-Connecting-Ip": "", "True-Client-Ip": "", "Forwarded": "", "Cf-Ipcountry": "",
		"X-Forwarded-Host": "shop.example", "X-Forwarded-Proto": "http",
	}
	for _, golden := range []string{"static-acme", "ssr-proxied-file"} {
		for _, path := range []string{
			"/api/v1/x", "/media/x", "/", "/assets/app-config.js", "/" + bundle + ".js",
			"/robots.txt",
		} {
			t.Run(golden+" "+path, func(t *testing.T) {
				s := start(t, golden)
				s.do(t, request{path: path, from: "127.0.0.9", header: forged})
				saw := s.last()
				if saw == nil {
					t.Fatal("no upstream was asked")
				}
				for name, value := range want {
					if got := strings.Join(saw.Header.Values(name), " | "); got != value {
						t.Errorf("the upstream saw %s %q, want %q", name, got, value)
					}
				}
				for name, values := range saw.Header {
					if strings.Contains(strings.Join(values, " "), "203.0.113.66") {
						t.Errorf("the forged address arrives in %s", name)
					}
				}
			})
		}
	}
}

func TestLoginAttemptsAreLimitedPerClient(t *testing.T) {
	s := start(t, "static-acme")
	post := func(from, path string) *http.Response {
		// A forged address must not open a new account of attempts.
		response, _ := s.do(t, request{
			method: http.MethodPost, path: path, from: from,
			header: map[string]string{"X-Forwarded-For": "198.51.100." + strconv.Itoa(time.Now().Nanosecond()%250)},
		})
		return response
	}
	for i := 1; i <= 10; i++ {
		if r := post("127.0.0.21", "/api/v1/auth/login"); r.StatusCode != http.StatusOK {
			t.Fatalf("attempt %d got %d, want 200", i, r.StatusCode)
		}
	}
	s.last()
	r := post("127.0.0.21", "/api/v1/auth/login")
	if r.StatusCode != http.StatusTooManyRequests {
		t.Fatalf("attempt 11 got %d, want 429", r.StatusCode)
	}
	if s.last() != nil {
		t.Error("the refused attempt reached the backend")
	}
	// A client that obeys must not come back into the same window.
	if wait, err := strconv.Atoi(r.Header.Get("Retry-After")); err != nil || wait < 30 || wait > 60 {
		t.Errorf("Retry-After %q, want what is left of the minute", r.Header.Get("Retry-After"))
	}
	if got := r.Header.Get("Cache-Control"); got != noStore {
		t.Errorf("Cache-Control %q, want no-store", got)
	}
	if r := post("127.0.0.21", "/api/v1/auth/register"); r.StatusCode != http.StatusTooManyRequests {
		t.Errorf("the other names of the same limit got %d, want 429", r.StatusCode)
	}
	if r, _ := s.do(t, request{path: "/api/v1/auth/login", from: "127.0.0.21"}); r.StatusCode != http.StatusOK {
		t.Errorf("a GET of the limited client got %d, want 200: only POST counts", r.StatusCode)
	}
	if r := post("127.0.0.21", "/api/v1/payments/webhook"); r.StatusCode != http.StatusOK {
		t.Errorf("a webhook got %d, want 200: payment providers are never limited", r.StatusCode)
	}
	if r := post("127.0.0.22", "/api/v1/auth/login"); r.StatusCode != http.StatusOK {
		t.Errorf("another client got %d, want 200", r.StatusCode)
	}
}

func TestAServerRenderedShopLimitsPagesPerClient(t *testing.T) {
	s := start(t, "ssr-proxied-file")
	get := func(from, path string) int {
		response, _ := s.do(t, request{path: path, from: from})
		return response.StatusCode
	}
	allowed := func(path string) (n int) {
		for n <= 1000 && get("127.0.0.31", fmt.Sprintf(path, n)) != http.StatusTooManyRequests {
			n++
		}
		return n
	}
	if n := allowed("/produse/%d"); n != 120 {
		t.Errorf("a client got %d pages in a minute, want 120", n)
	}
	if n := allowed("/assets/missing-page-%d.png"); n != 600 {
		t.Errorf("a client got %d files in a minute, want 600", n)
	}
	for path, want := range map[string]int{
		"/": 429, "/missing-page.0123456789abcdef.js": 429, "/api/v1/health": 200, "/media/a.webp": 200, "/sitemap.xml": 200,
	} {
		if status := get("127.0.0.31", path); status != want {
			t.Errorf("after that %s answers %d, want %d", path, status, want)
		}
	}
	if status := get("127.0.0.32", "/"); status != http.StatusOK {
		t.Errorf("another client got %d, want 200", status)
	}
}

func TestNoLimitsWhereTheyAreSwitchedOff(t *testing.T) {
	s := start(t, "internal-bare")
	for i := 1; i <= 12; i++ {
		if r, _ := s.do(t, request{method: http.MethodPost, path: "/api/v1/auth/login"}); r.StatusCode != http.StatusOK {
			t.Fatalf("attempt %d got %d, want 200", i, r.StatusCode)
		}
	}
}

func TestDeadUpstreamIsATemporaryErrorThatNobodyStores(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &site{address: l.Addr().String()}
	l.Close()
	config := rewrite(t, adapt(t, goldens(t)["static-acme"]), s.address, "127.0.0.1:1", t.TempDir())
	if err := caddy.Load(config, true); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = caddy.Stop() })
	begin := time.Now()
	response, _ := s.do(t, request{path: "/media/a.webp"})
	if response.StatusCode != http.StatusBadGateway && response.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("status %d, want 502 or 503", response.StatusCode)
	}
	if response.Header.Get("Cache-Control") != noStore || response.Header.Get("Retry-After") != "5" {
		t.Errorf("Cache-Control %q and Retry-After %q, want no-store and 5", response.Header.Get("Cache-Control"),
			response.Header.Get("Retry-After"))
	}
	if waited := time.Since(begin); waited < 4*time.Second {
		t.Errorf("gave up after %s; a new task of the service has 5 s to appear", waited)
	}
}
