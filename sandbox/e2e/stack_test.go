package e2e

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func contract(t *testing.T, w *env) {
	site := newSite(t, w)
	for _, c := range []struct {
		path   string
		status int
		header map[string]string // expected to be contained
		body   string
	}{
		{"/", 200, map[string]string{
			"Cache-Control": "no-store", "Content-Type": "text/html", "X-Frame-Options": "DENY",
			"Strict-Transport-Security": "max-age",
		}, "<html"},
		{"/api/v1/health/ready", 200, map[string]string{"Content-Type": "application/json"}, "ready"},
		{"/sitemap.xml", 200, map[string]string{"Content-Type": "xml"}, "https://momentstudio.test"},
		{"/robots.txt", 200, nil, "momentstudio.test"},
		{
			"/assets/app-config.js", 200,
			map[string]string{"Cache-Control": "no-store", "Content-Type": "javascript"},
			"0000000000000000000000000000000000000001",
		},
		{"/manifest.webmanifest", 200, map[string]string{"Content-Type": "application/manifest+json"}, ""},
		{"/media/private/secret.pdf", 404, map[string]string{"Cache-Control": "no-store"}, ""},
		{"/media/no-such-image.jpg", 404, map[string]string{"Cache-Control": "no-store"}, ""},
		{"/main.0123456789abcdef.js", 404, map[string]string{"Cache-Control": "no-store"}, ""},
		{"/assets/home/banner_image.jpeg", 200, map[string]string{"Cache-Control": "max-age=2592000"}, ""},
		{"/api/v1/theme", 200, nil, ""},
	} {
		r := site.get("https://momentstudio.test" + c.path)
		if r.status != c.status {
			t.Errorf("GET %s: status %d, want %d", c.path, r.status, c.status)
		}
		for name, want := range c.header {
			if got := r.header.Values(name); len(got) != 1 || !strings.Contains(got[0], want) {
				t.Errorf("GET %s: %s is %q, want one that holds %q", c.path, name, got, want)
			}
		}
		if !strings.Contains(r.body, c.body) {
			t.Errorf("GET %s: the body does not hold %q", c.path, c.body)
		}
		for _, hidden := range []string{"Server", "X-Powered-By", "Via"} {
			if got := r.header.Get(hidden); got != "" {
				t.Errorf("GET %s tells %s: %s", c.path, hidden, got)
			}
		}
	}
	page := site.get("https://momentstudio.test/")
	if got := page.header.Values("Content-Security-Policy"); len(got) != 1 {
		t.Errorf("the page has %d CSP headers, want 1", len(got))
	}
	bundle := regexp.MustCompile(`main\.[0-9a-f]{16}\.js`).FindString(page.body)
	if r := site.get("https://momentstudio.test/" + bundle); r.status != 200 ||
		!strings.Contains(r.header.Get("Cache-Control"), "immutable") || !strings.Contains(r.header.Get("Content-Type"),
		"javascript") {
		t.Errorf("bundle %q: status %d, %v", bundle, r.status, r.header)
	}
	if r := site.get("https://www.momentstudio.test/shop?x=1"); r.status != 301 ||
		r.header.Get("Location") != "https://momentstudio.test/shop?x=1" {
		t.Errorf("www: status %d, Location %q", r.status, r.header.Get("Location"))
	}
	if r := site.get("http://momentstudio.test/"); r.status != http.StatusPermanentRedirect ||
		!strings.HasPrefix(r.header.Get("Location"), "https://") {
		t.Errorf("plain HTTP: status %d, Location %q", r.status, r.header.Get("Location"))
	}
	if got := w.sql("SELECT version_num FROM alembic_version"); got != "0159_add_theme_docs" {
		t.Errorf("the schema is at %q", got)
	}
	if got := w.sql("SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'"); got != "momentstudio_owner" {
		t.Errorf("tables belong to %q, want the owner role", got)
	}
	if got := w.sql("SELECT string_agg(name || '=' || setting, ' ' ORDER BY name) FROM pg_settings WHERE name IN " +
		"('data_checksums', 'log_lock_waits')"); got != "data_checksums=on log_lock_waits=on" {
		t.Errorf("the server's settings: %s", got)
	}
	want := w.login(w.generation("databaseLogin")) + "\npostgres"
	if got := w.sql("SELECT rolname FROM pg_roles WHERE rolcanlogin ORDER BY 1"); got != want {
		t.Errorf("roles that can log in: %q, want %q", got, want)
	}
}

func writes(t *testing.T, w *env) {
	site := newSite(t, w)
	if r := site.post("/api/v1/newsletter/subscribe", `{"email":"visitor@example.com"}`,
		nil); r.status != 400 || !strings.Contains(r.body, "CAPTCHA required") {
		t.Errorf("a robot subscribes: status %d: %s", r.status, r.body)
	}
	const assets = "SELECT count(*) FROM media_assets"
	before, err := strconv.Atoi(w.sql(assets))
	if err != nil {
		t.Fatal(err)
	}
	key := site.upload(w)
	if got := w.sql(assets); got != strconv.Itoa(before+1) {
		t.Errorf("after the accepted POST there are %s rows, want one more than %d", got, before)
	}
	r := site.get("https://momentstudio.test/media/" + key)
	if r.status != 200 || !strings.Contains(r.header.Get("Cache-Control"), "immutable") {
		t.Errorf("GET /media/%s: status %d, Cache-Control %q", key, r.status, r.header.Get("Cache-Control"))
	}
	w.host("test -n \"$(find /mnt/momentstudio/uploads -type f)\"")
}

// addresses reads what the application itself logs about a request with forged headers.
func addresses(t *testing.T, w *env) {
	spoofed := map[string]string{}
	for _, name := range []string{
		"X-Forwarded-For", "CF-Connecting-IP", "X-Real-IP", "True-Client-IP",
		"X-Momentstudio-Client-IP",
	} {
		spoofed[name] = "198.51.100.66"
	}
	r := newSite(t, w).post("/api/v1/newsletter/subscribe?who=forger", `{"email":"forger@example.com"}`, spoofed)
	if r.status != 400 {
		t.Fatalf("subscribe: status %d: %s", r.status, r.body)
	}
	log := w.host("docker service logs --raw momentstudio-backend 2>&1 | grep 'newsletter/subscribe' | tail -n 1")
	if !strings.Contains(log, w.s.Gateway().String()) || strings.Contains(log, "198.51.100.66") {
		t.Errorf("the application saw another visitor than %s: %s", w.s.Gateway(), log)
	}
}

// limits tries to log in too often from one address of this machine, and then from another.
func limits(t *testing.T, w *env) {
	other := w.s.Subnet.Addr().As4()
	other[3] = 250
	second := netip.AddrFrom4(other)
	out, err := exec.Command("ip", "-o", "addr", "show", "to", w.s.Gateway().String()).Output()
	fields := strings.Fields(string(out))
	if err != nil || len(fields) < 2 {
		t.Fatalf("the sandbox's bridge: %v: %s", err, out)
	}
	address := []string{second.String() + "/32", "dev", fields[1]}
	if out, err := exec.Command("ip", append([]string{"addr", "add"}, address...)...).CombinedOutput(); err != nil {
		t.Fatalf("a second address: %v: %s", err, out)
	}
	defer func() { _ = exec.Command("ip", append([]string{"addr", "del"}, address...)...).Run() }()

	attempt := func(from netip.Addr, path string, n int) answer {
		visitor := newSite(t, w)
		dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: from.AsSlice()}}
		host := w.address()
		transport := visitor.client.Transport.(*http.Transport)
		transport.DisableKeepAlives = true
		transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, net.JoinHostPort(host, "443"))
		}
		forged := fmt.Sprintf("198.51.100.%d", n)
		return visitor.post(path, `{"email":"nobody@example.com","password":"x"}`,
			map[string]string{
				"X-Forwarded-For": forged, "CF-Connecting-IP": forged, "X-Real-IP": forged,
				"True-Client-IP": forged, "Forwarded": "for=" + forged,
			})
	}
	const login = "/api/v1/auth/login"
	// Anybody may ask for these, and the application counts them as logins of all clients together.
	for n := range 30 {
		attempt(w.s.Gateway(), "/api/v1/auth/passkeys/login/options", n)
	}
	refused := 0
	for n := range 14 {
		switch r := attempt(w.s.Gateway(), login, n); r.status {
		case http.StatusTooManyRequests:
			if refused++; r.header.Get("Retry-After") == "" {
				t.Error("a refusal does not say when to come back")
			}
		case http.StatusBadRequest: // the application's own: captcha
		default:
			t.Errorf("attempt %d: status %d: %s", n, r.status, r.body)
		}
	}
	if refused != 4 {
		t.Errorf("%d of 14 attempts were refused, want the four after ten", refused)
	}
	if r := attempt(second, login, 99); r.status != http.StatusBadRequest {
		t.Errorf("another visitor is answered %d, want the application's own answer", r.status)
	}
}

// largeBodies are refused before they reach the application, which would hold them in memory, and are taken where staff
// uploads files.
func largeBodies(t *testing.T, w *env) {
	site := newSite(t, w)
	containers := w.host("docker ps -q --no-trunc --filter name=momentstudio-backend. | sort")
	large := strings.Repeat("x", 11_000_000)
	for range 3 {
		r := site.post("/api/v1/theme", large, nil)
		if r.status != http.StatusRequestEntityTooLarge || r.body != `{"detail":"Request Entity Too Large"}` {
			t.Errorf("11 MB to a public route are answered %d: %s", r.status, r.body)
		}
	}
	if r := site.post("/api/v1/content/admin/media/assets/upload", large, nil); r.status != http.StatusUnauthorized {
		t.Errorf("11 MB of an upload without a login are answered %d: %s", r.status, r.body)
	}
	if now := w.host("docker ps -q --no-trunc --filter name=momentstudio-backend. | sort"); now != containers {
		t.Errorf("the API's tasks were %s and are %s", containers, now)
	}
}

func metadata(t *testing.T, w *env) {
	// The host itself reaches it, so the listener is there.
	got := w.host("curl -s -m 5 -o /dev/null -w '%{http_code}' http://169.254.169.254/hetzner/v1/userdata")
	if got != "200" {
		t.Fatalf("the host's own request was answered with %q: the test would prove nothing", got)
	}
	out := w.host(`C=$(docker ps -q --filter name=momentstudio-backend. | head -1)
docker exec $C python -c "import urllib.request as u
try: u.urlopen('http://169.254.169.254/hetzner/v1/userdata', timeout=4); print('reached')
except OSError as e: print('refused')"`)
	if out != "refused" {
		t.Errorf("a container reads the user data: %s", out)
	}
}

func secondUp(t *testing.T, w *env) {
	r, out := w.up()
	if !r.Unchanged {
		t.Errorf("the second run changed something:\n%s", tail(out, 40))
	}
	if found := w.lastingDrift(); len(found) > 0 {
		t.Errorf("an unchanged stack has drift: %v", found)
	}
}

func previews(t *testing.T, w *env) {
	w.mustPulumi("preview", "--diff", "--expect-no-changes")
	w.mustPulumi("refresh", "--yes", "--skip-preview")
	w.mustPulumi("preview", "--diff", "--expect-no-changes")
}

// otherClone previews and refreshes from a clone that no update ran in.
func otherClone(t *testing.T, w *env) {
	first := w.s.Project
	w.s.Project = clone(t)
	defer func() { w.s.Project = first }()
	w.mustPulumi("preview", "--diff", "--expect-no-changes")
	if out, err := w.studio("ssh-config"); err != nil {
		t.Fatalf("studio ssh-config: %v\n%s", err, out)
	}
	w.mustPulumi("refresh", "--yes", "--skip-preview")
	w.mustPulumi("preview", "--diff", "--expect-no-changes")
}

// previewDialsNobody counts the connections that this machine opens to the host.
func previewDialsNobody(t *testing.T, w *env) {
	address := w.address()
	// connections, not the ends of earlier ones
	rule := []string{"OUTPUT", "-d", address, "-p", "tcp", "--syn", "-j", "RETURN"}
	iptables := func(args ...string) string {
		out, err := exec.Command("iptables", append([]string{"-w", "10"}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("iptables %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	iptables(append([]string{"-I"}, rule...)...)
	defer iptables(append([]string{"-D"}, rule...)...)
	packets := func() string {
		for line := range strings.Lines(iptables("-nvxL", "OUTPUT")) {
			if f := strings.Fields(line); len(f) > 8 && f[8] == address {
				return f[0]
			}
		}
		t.Fatal("the counting rule is gone")
		return ""
	}
	if got := packets(); got != "0" {
		t.Fatalf("the counter starts at %s", got)
	}
	w.configure("backend", "memoryMB", 640) // something to plan on the host
	if changed := w.preview(); len(changed) == 0 {
		t.Error("the preview planned nothing, so it proves nothing")
	}
	w.configure("backend", "memoryMB", 512)
	if got := packets(); got != "0" {
		t.Errorf("a preview opened %s connections to the host", got)
	}
	if r := newSite(t, w).get("https://momentstudio.test/"); r.status != 200 || packets() == "0" {
		t.Error("the counter does not count")
	}
}

func stateHoldsNoSecret(t *testing.T, w *env) {
	state := w.mustPulumi("stack", "export")
	secrets := w.generatedSecrets()
	for name, value := range secrets {
		if strings.Contains(state, value) {
			t.Errorf("%s is in the state, in the clear", name)
		}
	}
	if len(secrets) < 14 {
		t.Errorf("saw %d secrets, want the thirteen generated ones and the widget's", len(secrets))
	}
	for _, forbidden := range []string{"OPENSSH PRIVATE KEY", "postgresql+asyncpg://"} {
		if strings.Contains(state, forbidden) {
			t.Errorf("the state holds %q", forbidden)
		}
	}
}

// stateful are the resources whose replacement loses data, an address, or everyone's session.
var stateful = []string{
	"host-server", "host-data", "host-address", "postgres-service", "turnstile-widget",
	"secrets-app-key", "secrets-backup-password", "host-network",
}

func textsReplaceNothing(t *testing.T, w *env) {
	back := w.keepConfig()
	defer back()
	w.configure("host", "location", "nbg1")
	if out, err := w.pulumi("preview"); err == nil || !strings.Contains(out, "a host does not move") {
		t.Errorf("a changed location is not refused: %v\n%s", err, tail(out, 10))
	}
	back()
	type change struct {
		group, field string
		value        any
		plans        string // what shows that the preview looks at the key; empty: nothing may
	}
	for _, changes := range [][]change{{
		{"host", "sshFrom", []string{w.s.Subnet.String(), "192.0.2.0/24"}, "host-firewall"},
		{"host", "privateAddress", strings.TrimSuffix(w.s.PrivateNetwork.Addr().String(), "0") + "9", "host-private"},
		{"host", "serverType", "cx43", "host-server"},
		{
			"secrets", "", w.nextGenerations("tokens", "deployKey", "hostKey", "superuser", "databaseLogin"),
			"secrets-preview-token",
		},
		{
			"turnstile", "hostnames",
			[]string{"momentstudio.test", "www.momentstudio.test", "more.momentstudio.test"},
			"turnstile-widget",
		},
		{"postgres", "memoryMB", 600, "postgres-service"},
	}, {
		{"domain", "", "shop.momentstudio.test", "dns-apex"},
	}} {
		for _, c := range changes {
			w.configure(c.group, c.field, c.value)
		}
		planned := map[string]bool{}
		for _, s := range w.preview() {
			planned[s.name()] = true
			if slices.Contains(stateful, s.name()) && s.Op != "update" {
				t.Errorf("%v plans to %s %s", changes, s.Op, s.name())
			}
		}
		for _, c := range changes {
			if c.plans != "" && !planned[c.plans] {
				t.Errorf("%s.%s = %v plans nothing for %s: the test looks at the wrong key", c.group, c.field, c.value, c.plans)
			}
		}
		back()
	}
	if changed := w.preview(); len(changed) != 0 {
		t.Errorf("the config is back, and the preview still plans %v", changed)
	}
}

func rebuild(t *testing.T, w *env) {
	w.giveUpload()
	address, rows := w.address(), w.sql("SELECT count(*) FROM media_assets")
	guard := w.host("cat /mnt/momentstudio/.momentstudio-volume")
	hostname := w.host("cat /etc/machine-id")
	files := w.host("find /mnt/momentstudio/uploads -type f | sort | xargs sha256sum")

	generation, _ := w.configured("host")["generation"].(int)
	w.configure("host", "generation", max(generation, 1)+1)
	replaced := 0
	for _, s := range w.preview() {
		if !slices.Contains(stateful, s.name()) {
			continue
		}
		if s.name() == "host-server" || s.name() == "postgres-service" {
			replaced++
			continue // the service is made anew on the new server, on the same data
		}
		t.Errorf("raising the generation plans to %s %s", s.Op, s.name())
	}
	if replaced == 0 {
		t.Fatal("raising the generation does not replace the server")
	}
	w.up()
	if got := w.host("cat /etc/machine-id"); got == hostname {
		t.Error("the server is still the old one")
	}
	if got := w.address(); got != address {
		t.Errorf("the address is %s, was %s", got, address)
	}
	if got := w.host("cat /mnt/momentstudio/.momentstudio-volume"); got != guard {
		t.Errorf("the volume is %s, was %s", got, guard)
	}
	if got := w.sql("SELECT count(*) FROM media_assets"); got != rows {
		t.Errorf("there are %s rows, were %s", got, rows)
	}
	if got := w.host("find /mnt/momentstudio/uploads -type f | sort | xargs sha256sum"); got != files {
		t.Errorf("the media differ:\n%s\nwas\n%s", got, files)
	}
	for line := range strings.Lines(w.host("docker service ls --format '{{.Name}} {{.Replicas}}'")) {
		if !strings.HasSuffix(strings.TrimSpace(line), " 1/1") {
			t.Errorf("service %s did not come back", strings.TrimSpace(line))
		}
	}
	w.mustPulumi("preview", "--diff", "--expect-no-changes")
}

func protection(t *testing.T, w *env) {
	w.configure("protect", "", true)
	w.up()
	out, err := w.pulumi("destroy", "--yes", "--skip-preview")
	if err == nil {
		t.Fatal("a protected stack was destroyed")
	}
	if !strings.Contains(out, "guard") || !strings.Contains(out, "protect") {
		t.Errorf("the refusal does not name the resource:\n%s", tail(out, 20))
	}
	// Nothing was destroyed before the refusal. A component that declares no resource of its own is only a record: nothing
	// depends on it, so it may have gone before the guard, and the next update writes it again.
	for _, s := range w.preview() {
		if s.name() != "backup" || s.Op != "create" {
			t.Errorf("after the refusal a preview plans to %s %s", s.Op, s.name())
		}
	}
	if r := newSite(t, w).get("https://momentstudio.test/api/v1/health/ready"); r.status != 200 {
		t.Errorf("after the refusal the site answers %d", r.status)
	}
	w.configure("protect", "", false)
	w.up()
}

func destroy(t *testing.T, w *env) {
	first := w.s.Project
	w.s.Project = clone(t)
	defer func() { w.s.Project = first }()
	if out, err := w.studio("ssh-config"); err != nil {
		t.Fatalf("studio ssh-config: %v\n%s", err, out)
	}
	w.isUp, w.destroyed = false, true
	w.mustPulumi("destroy", "--yes", "--skip-preview")
	for name, left := range w.remains() {
		if left != 0 {
			t.Errorf("the emulated %s API still holds %d resources", name, left)
		}
	}
	if unexpected := w.unexpected(); len(unexpected) > 0 {
		t.Errorf("the program made requests that the emulators do not know: %v", unexpected)
	}
	out, err := exec.Command("docker", "ps", "-aq", "--filter", "label=momentstudio-sandbox=momentstudio-"+
		w.s.Name).Output()
	if err != nil || strings.TrimSpace(string(out)) != "" {
		t.Errorf("hosts are left: %s (%v)", out, err)
	}
}
