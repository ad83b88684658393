package images

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prekzursil/momentstudio-infra/sandbox/standin"
)

func TestPostgresInitialisesOnceAndKeepsItsData(t *testing.T) {
	t.Parallel()
	net, vol, secrets := network(t), volume(t), t.TempDir()
	write := func(name, content string, mode os.FileMode) string {
		path := filepath.Join(secrets, name)
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	args := []string{
		"--network", net, "--network-alias", "db", "--volume", vol + ":/var/lib/postgresql/data",
		"--volume", write("password", "from-file\n", 0o644) + ":/run/password:ro",
		"--volume", write("10-table.sql", "CREATE TABLE seeded (n int); INSERT INTO seeded VALUES (1);", 0o644) +
			":/docker-entrypoint-initdb.d/10-table.sql:ro",
		"--volume", write("20-more.sh", "#!/bin/bash\npsql --username \"$POSTGRES_USER\" --dbname \"$POSTGRES_DB\" -c "+
			"'INSERT INTO seeded VALUES (2)'\n", 0o755) + ":/docker-entrypoint-initdb.d/20-more.sh:ro",
		"--env", "POSTGRES_USER=studio", "--env", "POSTGRES_DB=shop", "--env", "POSTGRES_PASSWORD_FILE=/run/password",
		"--env", "PGDATA=/var/lib/postgresql/data/pgdata", "--env", "POSTGRES_INITDB_ARGS=--data-checksums",
		imageRef[Postgres], "postgres", "-c", "max_connections=37",
	}
	sql := func(c container, statement string) string {
		t.Helper()
		return c.mustExec("psql", "--username", "studio", "--dbname", "shop", "--no-align", "--tuples-only", "--command",
			statement)
	}

	first := start(t, args...)
	ready(t, first)
	if got := sql(first, "SELECT string_agg(n::text, ',' ORDER BY n) FROM seeded"); got != "1,2" {
		t.Errorf("init scripts: got rows %q, want 1,2", got)
	}
	if got := sql(first, "SHOW max_connections"); got != "37" {
		t.Errorf("arguments: max_connections is %s, want 37", got)
	}
	if got := sql(first, "SHOW data_checksums"); got != "on" {
		t.Errorf("POSTGRES_INITDB_ARGS: data_checksums is %s, want on", got)
	}
	if got := first.mustExec("stat", "--format", "%u:%g", "/var/lib/postgresql/data/pgdata/PG_VERSION"); got != "999:999" {
		t.Errorf("owner of the data: got %s, want 999:999", got)
	}
	if got := first.mustExec("stat", "--format", "%u", "/proc/1"); got != "999" {
		t.Errorf("user of the server: got %s, want 999", got)
	}
	login := func(password string) (int, string) {
		return run(t, "--network", net, "--env", "PGPASSWORD="+password, imageRef[Postgres], "psql", "--host", "db",
			"--username", "studio", "--dbname", "shop", "--command", "SELECT 1")
	}
	if code, out := login("from-file"); code != 0 {
		t.Errorf("login over the network: exit %d: %s", code, out)
	}
	if code, out := login("wrong"); code == 0 || !strings.Contains(out, "password authentication failed") {
		t.Errorf("login with a wrong password: exit %d: %s", code, out)
	}
	sql(first, "INSERT INTO seeded VALUES (3)")
	mustDocker(t, "stop", "--time", "20", first.name)
	if got := mustDocker(t, "inspect", "--format", "{{.State.ExitCode}}", first.name); got != "0" {
		t.Errorf("stop: exit code %s, want 0", got)
	}
	mustDocker(t, "rm", first.name)

	second := start(t, args...)
	ready(t, second)
	if got := sql(second, "SELECT string_agg(n::text, ',' ORDER BY n) FROM seeded"); got != "1,2,3" {
		t.Errorf("second start: got rows %q, want 1,2,3 (init scripts must not run again)", got)
	}
	for _, tool := range []string{"pg_dump", "pg_restore", "createdb", "dropdb"} {
		second.mustExec(tool, "--version")
	}
}

func TestPostgresRefusesToInitialiseWithoutPassword(t *testing.T) {
	t.Parallel()
	code, out := run(t, imageRef[Postgres])
	if code != 1 || !strings.Contains(out, "superuser password is not specified") {
		t.Errorf("got exit %d, want 1 and the reason: %s", code, out)
	}
	code, out = run(t, "--env", "POSTGRES_PASSWORD=a", "--env", "POSTGRES_PASSWORD_FILE=/etc/hostname", imageRef[Postgres])
	if code != 1 || !strings.Contains(out, "exclusive") {
		t.Errorf("value and file: got exit %d, want 1 and the reason: %s", code, out)
	}
}

func TestRedisServesTheNetworkAsItsOwnUser(t *testing.T) {
	t.Parallel()
	net, vol := network(t), volume(t)
	server := start(t, "--network", net, "--network-alias", "redis", "--volume", vol+":/data", imageRef[Redis],
		"redis-server", "--appendonly", "yes")
	eventually(t, "redis answers", 60*time.Second, func() bool {
		_, out := server.exec("redis-cli", "ping")
		return out == "PONG"
	})
	// Protected mode would refuse this: the client is remote and there is no password.
	if code, out := run(t, "--network", net, imageRef[Redis], "redis-cli", "-h", "redis", "set", "key",
		"value"); code != 0 || !strings.Contains(out, "OK") {
		t.Errorf("set over the network: exit %d: %s", code, out)
	}
	if got := server.mustExec("stat", "--format", "%u", "/proc/1"); got != "999" {
		t.Errorf("user of the server: got %s, want 999", got)
	}
	mustDocker(t, "restart", server.name)
	eventually(t, "redis keeps its data", 60*time.Second, func() bool {
		_, out := server.exec("redis-cli", "get", "key")
		return out == "value"
	})
}

func TestImagesLackWhatTheirOriginalsLack(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ image, program string }{
		{Backend, "psql"},
		{Backend, "wget"},
		{Backend, "redis-cli"},
		{Backend, "nginx"},
		{Backend, "pg_dump"},
		{Postgres, "python3"},
		{Redis, "python3"},
		{Redis, "psql"},
		{Frontend, "python3"},
		{FrontendSSR, "nginx"},
	} {
		code, out := run(t, "--entrypoint", "/bin/sh", imageRef[c.image], "-c", "command -v "+c.program)
		if code == 0 {
			t.Errorf("%s has %s, want it hidden: %s", c.image, c.program, out)
		}
	}
}

func TestNginxRefusesToStartWithoutBackend(t *testing.T) {
	t.Parallel()
	code, out := run(t, "--network", network(t), imageRef[Frontend])
	if code == 0 || !strings.Contains(out, "host not found in upstream") {
		t.Errorf("got exit %d, want a failure that names the upstream: %s", code, out)
	}
}

var mainBundle = regexp.MustCompile(`src="(main\.[0-9a-f]{16}\.js)"`)

func TestStaticFrontendFollowsItsCacheRules(t *testing.T) {
	t.Parallel()
	net := network(t)
	start(t, append(append([]string{"--network", net, "--network-alias", "backend"}, flags(production())...),
		imageRef[Backend])...)
	frontend := start(t, "--network", net, "--env", "APP_VERSION=v1\"x\\y", "--env", "SUPPORTED_LOCALES=en, ro,de",
		"--env", "SENTRY_TRACES_SAMPLE_RATE=lots",
		"--env", "FRONTEND_CLARITY_PROJECT_ID=abc", imageRef[Frontend])
	web := client{t: t, base: "http://" + frontend.ip()}
	eventually(t, "nginx answers", 60*time.Second, web.up)

	page := web.want(200, "GET", "/", nil)
	found := mainBundle.FindStringSubmatch(page.body)
	if found == nil {
		t.Fatalf("index.html names no main bundle: %s", page.body)
	}
	for _, c := range []struct{ path, cache, kind string }{
		{"/", "no-store", "text/html"},
		{"/index.html", "no-store", "text/html"},
		{"/some/route", "no-store", "text/html"},
		{"/" + found[1], "public, max-age=31536000, immutable", "application/javascript"},
		{"/assets/app-config.js", "no-store", "application/javascript"},
		{"/assets/theme-bootstrap.js", "public, max-age=3600", "application/javascript"},
		{"/manifest.webmanifest", "public, max-age=3600", "application/manifest+json"},
		{"/assets/home/banner_image.jpeg", "public, max-age=2592000, immutable", "image/jpeg"},
	} {
		res := web.want(200, "GET", c.path, nil)
		if got := res.header.Get("Cache-Control"); got != c.cache {
			t.Errorf("%s: Cache-Control %q, want %q", c.path, got, c.cache)
		}
		if got := res.header.Get("Content-Type"); !strings.HasPrefix(got, c.kind) {
			t.Errorf("%s: Content-Type %q, want %q", c.path, got, c.kind)
		}
	}
	for _, path := range []string{
		"/media/private/x", "/assets/missing.png", "/main.0123456789abcdef.js",
		"/media/none.jpg",
	} {
		if path != "/media/none.jpg" {
			web.want(404, "GET", path, nil)
		}
	}
	eventually(t, "the API answers through nginx", 60*time.Second, func() bool {
		res, err := web.try("GET", "/api/v1/health", "", nil)
		return err == nil && res.status == 200
	})
	if robots := web.want(200, "GET", "/robots.txt", nil); !strings.Contains(robots.body,
		"https://shop.example/sitemap.xml") {
		t.Errorf("robots.txt: %s", robots.body)
	}
	web.want(404, "GET", "/media/none.jpg", nil)

	config := web.want(200, "GET", "/assets/app-config.js", nil).body
	for _, line := range []string{
		`"appVersion": "v1\"x\\y",`, `"supportedLocales": ["en","ro","de"]`, `"sentryTracesSampleRate": 1.0,`,
		`"clarityEnabled": true,`, `"apiBaseUrl": "/api/v1",`, `"stripeEnabled": false,`,
	} {
		if !strings.Contains(config, "\n  "+line+"\n") {
			t.Errorf("runtime configuration lacks the line %s:\n%s", line, config)
		}
	}
	frontend.mustExec("wget", "-q", "-O-", "http://127.0.0.1/")
	mustDocker(t, "stop", "--time", "20", frontend.name)
	if got := mustDocker(t, "inspect", "--format", "{{.State.ExitCode}}", frontend.name); got != "0" {
		t.Errorf("SIGQUIT: exit code %s, want 0", got)
	}
}

func TestSSRAnswersByAllowedHosts(t *testing.T) {
	t.Parallel()
	server := func(env ...string) client {
		args := []string{}
		for _, e := range env {
			args = append(args, "--env", e)
		}
		c := start(t, append(args, imageRef[FrontendSSR])...)
		web := client{t: t, base: "http://" + c.ip() + ":4000"}
		eventually(t, "the renderer answers", 60*time.Second, web.up)
		return web
	}
	unset := server("MS_THEME_KILL_SWITCH=1").want(200, "GET", "/", nil)
	if strings.Contains(unset.body, "ng-server-context") || !strings.Contains(unset.body, csrCanonical) {
		t.Errorf("without NG_ALLOWED_HOSTS: want the client-side shell, got %s", unset.body)
	}

	web := server("NG_ALLOWED_HOSTS=shop.example,*.preview.example,127.0.0.1", "APP_VERSION=abc123")
	web.want(500, "GET", "/", nil)
	web.with("Host", "x.preview.example:4000").want(200, "GET", "/", nil)
	page := web.with("Host", "shop.example").want(200, "GET", "/about", nil)
	for _, part := range []string{`ng-server-context="ssr"`, "http://shop.example/about", "--color-primary"} {
		if !strings.Contains(page.body, part) {
			t.Errorf("rendered page lacks %q", part)
		}
	}
	if page.header.Get("Content-Security-Policy-Report-Only") == "" || page.header.Get("X-Powered-By") != "Express" ||
		page.header.Get("Cache-Control") != "" {
		t.Errorf("headers of a page: %v", page.header)
	}
	found := mainBundle.FindStringSubmatch(page.body)
	if found == nil {
		t.Fatal("rendered page names no main bundle")
	}
	for _, path := range []string{"/" + found[1], "/assets/app-config.js", "/index.html", "/ngsw.json"} {
		if got := web.want(200, "GET", path, nil).header.Get("Cache-Control"); got != "public, max-age=31536000" {
			t.Errorf("%s: Cache-Control %q", path, got)
		}
	}
	if body := web.want(200, "GET", "/assets/app-config.js", nil).body; !strings.Contains(body,
		"\n  \"appVersion\": \"abc123\",\n") {
		t.Errorf("runtime configuration: %s", body)
	}
	missing := web.with("Host", "shop.example").want(200, "GET", "/assets/missing.png", nil)
	if !strings.HasPrefix(missing.header.Get("Content-Type"), "text/html") {
		t.Error("a missing asset must be a soft 404")
	}
}

func TestSSRShellStaysFirstProcess(t *testing.T) {
	t.Parallel()
	c := start(t, imageRef[FrontendSSR])
	eventually(t, "the server runs", 60*time.Second, func() bool {
		_, out := c.exec("cat", "/proc/1/comm")
		return out == "sh"
	})
	mustDocker(t, "stop", "--time", "2", c.name)
	if got := mustDocker(t, "inspect", "--format", "{{.State.ExitCode}}", c.name); got != "137" {
		t.Errorf("stop: exit code %s, want 137 (the shell does not forward SIGTERM)", got)
	}
}

func TestReleasesDifferAndBuildsRepeat(t *testing.T) {
	t.Parallel()
	cache, err := cacheDir()
	if err != nil {
		t.Fatal(err)
	}
	digests := func(release string) map[string]string {
		built, err := Build(context.Background(), Options{CacheDir: cache, Release: release})
		if err != nil {
			t.Fatal(err)
		}
		all := map[string]string{}
		for name, img := range built {
			digest, err := img.Digest()
			if err != nil {
				t.Fatal(err)
			}
			all[name] = digest.String()
		}
		return all
	}
	one, again, two := digests("1"), digests("1"), digests("2")
	for _, name := range []string{Backend, Frontend, FrontendSSR, Postgres, Redis} {
		if one[name] == "" || one[name] != again[name] {
			t.Errorf("%s: two builds gave %q and %q", name, one[name], again[name])
		}
		if shared := name == Postgres || name == Redis; (one[name] == two[name]) != shared {
			t.Errorf("%s: digests of two releases: %s, %s", name, one[name], two[name])
		}
	}
	bundles := func(release string) string {
		files, _, err := webFiles(standin.Files, "", release)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, f := range files {
			if strings.Contains(f.path, "/main.") || strings.Contains(f.path, "/styles.") {
				names = append(names, f.path)
			}
		}
		return strings.Join(names, " ")
	}
	if first := bundles("1"); first == bundles("2") || bundles("1") != first || len(strings.Fields(first)) != 2 {
		t.Errorf("bundles: %q and %q", bundles("1"), bundles("2"))
	}
}

func TestOnlySourcesOfTheSuiteAreUsed(t *testing.T) {
	etc, out := t.TempDir(), t.TempDir()
	for name, content := range map[string]string{
		"sources.list": "# comment\ndeb https://mirror.example/debian bookworm main\ndeb-src " +
			"https://mirror.example/debian bookworm main\ndeb [arch=amd64] https://mirror.example/debian bookworm-updates " +
			"main\n",
		"sources.list.d/other.sources": "Types: deb\nURIs: https://other.example/\nSuites: nodistro\nComponents: " +
			"main\n\nTypes: deb\nURIs: https://mirror.example/security\nSuites: bookworm-security\nComponents: main\n",
		"sources.list.d/off.disabled": "deb https://off.example/ bookworm main\n",
		"sources.list.d/foreign.list": "deb https://foreign.example/ trixie main\n",
	} {
		path := filepath.Join(etc, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := aptSources(etc, out); err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	err := fs.WalkDir(os.DirFS(out), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := os.ReadFile(filepath.Join(out, name))
		all.Write(raw)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	want := "Types: deb\nURIs: https://mirror.example/security\nSuites: bookworm-security\nComponents: main\n" +
		"deb https://mirror.example/debian bookworm main\ndeb [arch=amd64] https://mirror.example/debian bookworm-updates " +
		"main\n"
	if all.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", all.String(), want)
	}
	if _, err := aptSources(t.TempDir(), out); err == nil {
		t.Error("a machine without sources: want an error")
	}
}
