package appsettings_test

import (
	"bufio"
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/prekzursil/momentstudio-infra/internal/appsettings"
	"github.com/prekzursil/momentstudio-infra/internal/config"
	"github.com/prekzursil/momentstudio-infra/internal/graphtest"
	"github.com/prekzursil/momentstudio-infra/internal/needs"
)

const standin = "../../sandbox/standin"

// driver asks the stand-in, whose rules were written from the application's contract alone, whether
// it would start: one JSON line in, one out.
const driver = `
import json, pathlib, sys, tempfile
from app.core import config, sentry, startup_checks
for line in sys.stdin:
    case = json.loads(line)
    with tempfile.TemporaryDirectory() as dir:
        file = pathlib.Path(dir) / ".env"
        file.write_text(case["dotenv"])
        try:
            settings = config.load_settings(case["environ"], file)
            sentry.init_sentry(settings)
            if case["api"]:
                startup_checks.validate_production_settings(settings)
            answer = {"why": "", "secrets": {n: getattr(settings, n.lower()) for n in case["secrets"]}}
        except Exception as error:
            answer = {"why": type(error).__name__ + ": " + str(error)}
    print(json.dumps(answer), flush=True)
`

type standinApp struct {
	in  io.WriteCloser
	out *bufio.Scanner
}

func startStandin(t *testing.T) *standinApp {
	t.Helper()
	needs.Working(t, "/usr/bin/python3", "-c", "import dotenv, cryptography")
	// Debian's own interpreter: the packages of the image come from there (scripts/prepare.sh).
	cmd := exec.CommandContext(t.Context(), "/usr/bin/python3", "-c", driver)
	cmd.Env = []string{"PYTHONPATH=" + absolute(t, standin+"/backend/rootfs/app"), "PYTHONDONTWRITEBYTECODE=1"}
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start the stand-in's rules (apt-get install python3-dotenv python3-cryptography): %v", err)
	}
	t.Cleanup(func() { _ = in.Close(); _ = cmd.Wait() })
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	return &standinApp{in: in, out: lines}
}

func absolute(t *testing.T, path string) string {
	t.Helper()
	abs, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return abs
}

type verdict struct {
	Why     string         `json:"why"`
	Secrets map[string]any `json:"secrets"`
}

// starts reports why the stand-in refuses; empty: it starts.
func (a *standinApp) starts(t interface{ Fatalf(string, ...any) }, environ map[string]string, dotenv string, api bool,
	secrets []string,
) verdict {
	text, err := json.Marshal(map[string]any{"environ": environ, "dotenv": dotenv, "api": api, "secrets": secrets})
	if err != nil {
		t.Fatalf("%v", err)
	}
	if _, err := a.in.Write(append(text, '\n')); err != nil {
		t.Fatalf("ask the stand-in: %v", err)
	}
	if !a.out.Scan() {
		t.Fatalf("the stand-in ended: %v", a.out.Err())
	}
	var v verdict
	if err := json.Unmarshal(a.out.Bytes(), &v); err != nil {
		t.Fatalf("the stand-in says %q", a.out.Text())
	}
	return v
}

// generated is a configuration as the generator drew it, on top of a committed stack file.
type generated struct {
	source config.Source
	told   []string // for the failure's message
}

func (g *generated) set(key string, value any) {
	group, path, nested := strings.Cut(key, ".")
	full := config.Namespace + ":" + group
	g.told = append(g.told, fmt.Sprintf("%s = %v", key, value))
	if !nested {
		g.source.Values[full] = fmt.Sprint(value)
		return
	}
	var root map[string]any
	if json.Unmarshal([]byte(g.source.Values[full]), &root) != nil {
		root = map[string]any{}
	}
	at := root
	steps := strings.Split(path, ".")
	for _, s := range steps[:len(steps)-1] {
		next, ok := at[s].(map[string]any)
		if !ok {
			next = map[string]any{}
			at[s] = next
		}
		at = next
	}
	at[steps[len(steps)-1]] = value
	text, _ := json.Marshal(root)
	g.source.Values[full] = string(text)
}

func (g *generated) secret(key, value string) {
	full := config.Namespace + ":" + key
	g.told = append(g.told, fmt.Sprintf("%s = %q (secret)", key, value))
	if value == "" {
		delete(g.source.Values, full)
		return
	}
	g.source.Values[full] = value
	if !slices.Contains(g.source.SecretKeys, full) {
		g.source.SecretKeys = append(g.source.SecretKeys, full)
	}
}

var (
	texts = []string{
		"", " ", "x", "mx.example", "a@b.ro", "localhost", "http://localhost:4200", "https://momentstudio.ro",
		"https://k@sentry.example/1",
		"live", "LIVE", "sandbox", "production", "local", "development", "staging", "mock", "real", "test", "lax", "none",
		"turnstile", "RS512", "en", "de",
		"it's \"quoted\"", `back\slash`, "$HOME ${X} `id`", "two\nlines", "x_placeholder", "ăîș €", "#hash", "a=b",
	}
	secretTexts = []string{
		"", "x", "sk_live_x", "sk_test_x", "whsec_x", strings.Repeat("k",
			40), "https://k@sentry.example/1", "https://sentry.example/1",
		"it's", `back\slash'`, "$HOME ${X}", "with space", "x_placeholder", "two\nlines", "ăîș€", "#hash", `"`,
		strings.Repeat("p", 3000),
	}
)

func draw(t *rapid.T) *generated {
	stack := rapid.SampledFrom([]string{"prod", "staging", "sandbox"}).Draw(t, "stack")
	src, err := config.FromFile("../../Pulumi."+stack+".yaml", stack)
	if err != nil {
		t.Fatal(err)
	}
	src.Dir = "../.."
	g := &generated{source: src}
	g.secret("sentryDsn", "https://k@sentry.example/1")
	mode := map[string][2]string{"prod": {"Live", "live"}}[stack]
	if mode[0] == "" {
		mode = [2]string{"Sandbox", "test"}
	}
	g.secret("stripeSecretKey"+mode[0], "sk_"+mode[1]+"_x")
	g.secret("stripeWebhookSecret"+mode[0], "whsec_x")
	g.secret("backupS3AccessKey", "id")
	g.secret("backupS3SecretKey", "key")
	g.secret("backupWebhook", "https://told.example/x")
	g.told = []string{"stack " + stack}

	var plain, secrets []appsettings.Setting
	for _, s := range appsettings.Catalogue() {
		switch {
		case s.Key == "":
		case s.Class == appsettings.Secret:
			secrets = append(secrets, s)
		default:
			plain = append(plain, s)
		}
	}
	// Half of the configurations are tame: many settings at once, each likely to be accepted.
	tame := rapid.Bool().Draw(t, "tame")
	for range rapid.IntRange(0, 4).Draw(t, "plain settings") {
		s := rapid.SampledFrom(plain).Draw(t, "setting")
		if tame {
			g.set(s.Key, tameValue(t, s))
		} else {
			g.set(s.Key, value(t, s))
		}
	}
	for range rapid.IntRange(0, 2).Draw(t, "secrets") {
		pool := secretTexts
		if tame {
			pool = []string{strings.Repeat("k", 40), "it's " + strings.Repeat(`\'`, 20)}
		}
		g.secret(rapid.SampledFrom(secrets).Draw(t, "secret").Key, rapid.SampledFrom(pool).Draw(t, "value"))
	}
	for _, pair := range []struct {
		odds int
		f    func()
	}{
		{8, func() {
			g.set("domain", rapid.SampledFrom([]string{"shop.test", "localhost.test", "127.0.0.1", "shop"}).Draw(t, "domain"))
		}},
		{8, func() { // mail on, with whatever else was drawn
			g.set("app.smtp.enabled", true)
			g.set("app.smtp.host", rapid.SampledFrom([]string{"mx.example", "", " "}).Draw(t, "host"))
			g.set("app.smtp.from", rapid.SampledFrom([]string{"a@b.ro", "", "x"}).Draw(t, "from"))
		}},
		{8, func() { // Netopia on, in both environments, with a part missing now and then
			g.set("app.netopia.enabled", true)
			for _, suffix := range []string{"Live", "Sandbox"} {
				g.set("app.netopia.publicKey"+suffix, rapid.SampledFrom([]string{
					publicKey, publicKey, "", "x",
					"file:go.mod",
				}).Draw(t, "public key"))
				g.secret("netopiaApiKey"+suffix, rapid.SampledFrom([]string{"k", "k", "", "k_placeholder"}).Draw(t, "key"))
				g.secret("netopiaPosSignature"+suffix, rapid.SampledFrom([]string{"s", "s", ""}).Draw(t, "signature"))
			}
		}},
		{12, func() { g.set("turnstile.enabled", false) }},
		{8, func() {
			g.set("app.extra."+rapid.SampledFrom([]string{
				"NEW_THING", "ENVIRONMENT", "SECURE_COOKIES",
				"DEV_SAFETY_DATABASE_GUARD_ENABLED", "CORS_ORIGINS", "lower", "DB_POOL_SIZE",
			}).Draw(t, "extra"),
				rapid.SampledFrom([]string{"1", "", "x", "a,b", "local"}).Draw(t, "value"))
		}},
	} {
		if rapid.IntRange(1, pair.odds).Draw(t, "draw") == 1 {
			pair.f()
		}
	}
	return g
}

func tameValue(t *rapid.T, s appsettings.Setting) any {
	switch s.Kind {
	case "number":
		return rapid.SampledFrom([]int{20, 60, 100}).Draw(t, "number")
	case "share":
		return rapid.SampledFrom([]float64{0, 0.25, 1, 1e-9}).Draw(t, "share")
	case "list":
		return []string{}
	case "key file":
		return publicKey
	case "text":
		if s.App != "" || s.Default != "" {
			return cmp.Or(s.Default, s.App)
		}
		return rapid.SampledFrom([]string{"", "it's \"quoted\"", `back\slash`, "$HOME ${X}", "ăîș €"}).Draw(t, "text")
	}
	return value(t, s)
}

func value(t *rapid.T, s appsettings.Setting) any {
	switch s.Kind {
	case "switch":
		return rapid.Bool().Draw(t, "switch")
	case "number":
		return rapid.SampledFrom([]int{-1, 0, 1, 20, 60, 465, 4096, 1 << 20, 600 << 20, 1 << 40}).Draw(t, "number")
	case "share":
		return rapid.SampledFrom([]float64{-0.1, 0, 0.25, 1, 1e-9, 1.5, 1e21}).Draw(t, "share")
	case "list":
		return rapid.SliceOfN(rapid.SampledFrom([]string{
			"", "x", "en", "a,b", "*", "203.0.113.7", "2001:db8::/32",
			"https://a.example", "two\nlines", `"`,
		}), 0, 3).Draw(t, "list")
	case "key file":
		return rapid.SampledFrom([]string{"", "x", publicKey, "file:go.mod", "file:missing.pem"}).Draw(t, "key file")
	default:
		return rapid.SampledFrom(texts).Draw(t, "text")
	}
}

// What passes validation starts, and what does not start never passes.
func TestWhatPassesValidationStarts(t *testing.T) {
	app := startStandin(t)
	keys := t.TempDir()
	for name, v := range map[string]string{"rapid.checks": "600", "rapid.nofailfile": "true"} {
		if err := flag.Set(name, v); err != nil {
			t.Fatal(err)
		}
	}
	var valid, refusedByBoth, stricter int
	rapid.Check(t, func(t *rapid.T) {
		g := draw(t)
		c, err := config.Load(g.source)
		facts := appsettings.Facts{Domain: c.Domain, Release: c.Release.Name, RedisURL: "redis://redis:6379/0"}
		environ := appsettings.Backend(c.App, facts, appsettings.API)
		// where the container has /run, this machine has a directory of the test
		for _, k := range appsettings.KeyFiles(c.App) {
			path := filepath.Join(keys, k.Part)
			if errWrite := os.WriteFile(path, []byte(k.PEM), 0o600); errWrite != nil {
				t.Fatal(errWrite)
			}
			for name, at := range environ {
				if at == k.Path {
					environ[name] = path
				}
			}
		}
		turnstile := "t"
		if !c.Turnstile.Enabled {
			turnstile = ""
		}
		dotenv := appsettings.DotEnv(c.AppSecrets, appsettings.Generated{
			DatabaseURL: "postgresql+asyncpg://a:b@postgres:5432/x",
			SecretKey:   strings.Repeat("k", 64), MaintenanceToken: "m", PreviewToken: "p", TurnstileSecret: turnstile,
		})
		given := map[string]string{}
		for key, v := range appsettings.SecretKeys(&c.AppSecrets) {
			for _, s := range appsettings.Catalogue() {
				if s.Key == key && v.Set() {
					given[s.Name] = v.Reveal()
				}
			}
		}
		api := app.starts(t, environ, dotenv, true, slices.Sorted(maps.Keys(given)))
		worker := app.starts(t, appsettings.Backend(c.App, facts, appsettings.Worker), dotenv, false, []string{})
		switch {
		case err == nil && (api.Why != "" || worker.Why != ""):
			t.Fatalf("it passes validation, but the application refuses: %s%s\n%s", api.Why, worker.Why,
				strings.Join(g.told, "\n"))
		case err == nil:
			valid++
			for name, want := range given { // the file holds exactly what was given
				if api.Secrets[name] != want {
					t.Fatalf("%s arrives as %q, want %q", name, api.Secrets[name], want)
				}
			}
			if valid%5 == 0 {
				browsersSee(t, keys, appsettings.Web(c.App, facts))
			}
		case api.Why != "":
			refusedByBoth++
		default:
			stricter++
		}
	})
	t.Logf("%d valid, %d refused by both, %d refused by validation alone", valid, refusedByBoth, stricter)
	if valid < 60 || refusedByBoth < 60 {
		t.Errorf("the generator reached %d valid and %d refused configurations: too few to prove anything", valid,
			refusedByBoth)
	}
}

// browsersSee runs the start script of the frontend images and compares what it wrote.
func browsersSee(t *rapid.T, dir string, env map[string]string) {
	path := filepath.Join(dir, "app-config.js")
	cmd := exec.Command("sh", standin+"/frontend/rootfs/docker-entrypoint.d/99-runtime-config.sh")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "CONFIG_PATH=" + path}
	for k, v := range env {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("the frontend's start script: %v: %s", err, out)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	body := strings.TrimSuffix(strings.TrimSpace(strings.TrimPrefix(string(text), "window.__APP_CONFIG__ =")), ";")
	var shown map[string]any
	if err := json.Unmarshal([]byte(body), &shown); err != nil {
		t.Fatalf("browsers cannot read it: %v\n%s", err, text)
	}
	for name, key := range map[string]string{
		"SITE_NAME": "siteName", "SENTRY_DSN": "sentryDsn",
		"PUBLIC_BASE_URL": "publicBaseUrl", "SUPPORT_EMAIL": "supportEmail",
	} {
		if want, ok := env[name]; ok && shown[key] != want {
			t.Fatalf("browsers see %s %q, want %q", key, shown[key], want)
		}
	}
}

// publicKey is a public key of nobody's.
const publicKey = "-----BEGIN PUBLIC " +
	"KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n"

func load(t *testing.T, stack string) config.Config {
	t.Helper()
	c, err := config.Load(graphtest.StackFile(t, "../..", stack))
	if err != nil {
		t.Fatal(err)
	}
	return c
}
