package images

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
)

// imageRef maps a name to the reference that the engine pulled; "backend-old" lacks the last migration.
var imageRef map[string]string

const oldBackend = "backend-old"

func TestMain(m *testing.M) {
	code, err := setUp(m.Run)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// cacheDir is where the base layer stays between runs.
func cacheDir() (string, error) {
	if dir := os.Getenv("MOMENTSTUDIO_SANDBOX_CACHE"); dir != "" {
		return filepath.Join(dir, "images"), nil
	}
	dir, err := os.UserCacheDir()
	return filepath.Join(dir, "momentstudio-sandbox", "images"), err
}

// setUp builds the images, serves them from a registry on loopback and has the engine pull them,
// which is the way they take in the sandbox too.
func setUp(run func() int) (int, error) {
	ctx := context.Background()
	cache, err := cacheDir()
	if err != nil {
		return 1, err
	}
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")

	built, err := Build(ctx, Options{CacheDir: cache, Log: os.Stderr})
	if err != nil {
		return 1, err
	}
	older, err := Build(ctx, Options{CacheDir: cache, Log: os.Stderr, Release: "0", OmitHeadMigration: true})
	if err != nil {
		return 1, err
	}
	built[oldBackend] = older[Backend]
	if imageRef, err = Push(ctx, built, host); err != nil {
		return 1, err
	}
	defer func() {
		for _, ref := range imageRef {
			_, _ = docker("rmi", "--force", ref)
		}
	}()
	for _, ref := range imageRef {
		if out, err := docker("pull", "--quiet", ref); err != nil {
			return 1, fmt.Errorf("pull %s: %w: %s", ref, err, out)
		}
	}
	return run(), nil
}

// docker runs one command of the engine's client and returns what it printed.
func docker(args ...string) (string, error) {
	var out bytes.Buffer
	cmd := exec.Command("docker", args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return strings.TrimSpace(out.String()), err
}

func mustDocker(t *testing.T, args ...string) string {
	t.Helper()
	out, err := docker(args...)
	if err != nil {
		t.Fatalf("docker %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

func unique(prefix string) string {
	var raw [5]byte
	_, _ = rand.Read(raw[:])
	return "imgtest-" + prefix + "-" + hex.EncodeToString(raw[:])
}

func network(t *testing.T) string {
	t.Helper()
	name := unique("net")
	mustDocker(t, "network", "create", name)
	t.Cleanup(func() { mustDocker(t, "network", "rm", name) })
	return name
}

func volume(t *testing.T) string {
	t.Helper()
	name := unique("vol")
	mustDocker(t, "volume", "create", name)
	t.Cleanup(func() { mustDocker(t, "volume", "rm", "--force", name) })
	return name
}

// container is one that was started and is removed when its test ends.
type container struct {
	t    *testing.T
	name string
}

// start runs a container in the background; args are options of docker run, then image and command.
func start(t *testing.T, args ...string) container {
	t.Helper()
	c := container{t, unique("c")}
	t.Cleanup(func() {
		if t.Failed() {
			logs, _ := docker("logs", "--tail", "60", c.name)
			t.Logf("log of %s %v:\n%s", c.name, args, logs)
		}
		_, _ = docker("rm", "--force", "--volumes", c.name)
	})
	mustDocker(t, append([]string{"run", "--detach", "--name", c.name}, args...)...)
	return c
}

// run runs a container to its end and returns exit code and output.
func run(t *testing.T, args ...string) (int, string) {
	t.Helper()
	name := unique("r")
	t.Cleanup(func() { _, _ = docker("rm", "--force", "--volumes", name) })
	var out bytes.Buffer
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "docker", append([]string{"run", "--name", name}, args...)...)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatalf("docker run: %v", err)
	}
	return cmd.ProcessState.ExitCode(), out.String()
}

func (c container) exec(args ...string) (int, string) {
	var out bytes.Buffer
	cmd := exec.Command("docker", append([]string{"exec", c.name}, args...)...)
	cmd.Stdout, cmd.Stderr = &out, &out
	_ = cmd.Run()
	return cmd.ProcessState.ExitCode(), strings.TrimSpace(out.String())
}

func (c container) mustExec(args ...string) string {
	c.t.Helper()
	code, out := c.exec(args...)
	if code != 0 {
		c.t.Fatalf("exec %v: exit %d\n%s", args, code, out)
	}
	return out
}

func (c container) logs() string {
	out, _ := docker("logs", c.name)
	return out
}

func (c container) ip() string {
	c.t.Helper()
	return mustDocker(c.t, "inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", c.name)
}

// wait returns the exit code of a container that ends by itself.
func (c container) wait() string {
	c.t.Helper()
	return mustDocker(c.t, "wait", c.name)
}

// eventually polls until check holds; what names it in the failure.
func eventually(t *testing.T, what string, limit time.Duration, check func() bool) {
	t.Helper()
	for deadline := time.Now().Add(limit); ; time.Sleep(100 * time.Millisecond) {
		if check() {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v", what, limit)
		}
	}
}

// response is an answer with its body read.
type response struct {
	status int
	header http.Header
	body   string
}

func (r response) decode(t *testing.T) map[string]any {
	t.Helper()
	var value map[string]any
	if err := json.Unmarshal([]byte(r.body), &value); err != nil {
		t.Fatalf("not JSON: %v: %.300s", err, r.body)
	}
	return value
}

// client calls one server by address.
type client struct {
	t      *testing.T
	base   string
	header http.Header
}

func (c client) with(name, value string) client {
	header := c.header.Clone()
	if header == nil {
		header = http.Header{}
	}
	header.Set(name, value)
	return client{c.t, c.base, header}
}

func (c client) try(method, path, contentType string, body io.Reader) (response, error) {
	req, err := http.NewRequest(method, c.base+path, body)
	if err != nil {
		return response{}, err
	}
	maps.Copy(req.Header, c.header)
	if host := req.Header.Get("Host"); host != "" {
		req.Host = host
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	transport := &http.Transport{DisableKeepAlives: true, DisableCompression: true}
	res, err := (&http.Client{Transport: transport, Timeout: 20 * time.Second}).Do(req)
	if err != nil {
		return response{}, err
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	return response{res.StatusCode, res.Header, string(raw)}, err
}

// want calls and fails unless the status is as wanted.
func (c client) want(status int, method, path string, body any) response {
	c.t.Helper()
	var reader io.Reader
	kind := ""
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			c.t.Fatal(err)
		}
		reader, kind = bytes.NewReader(raw), "application/json"
	}
	res, err := c.try(method, path, kind, reader)
	if err != nil {
		c.t.Fatalf("%s %s: %v", method, path, err)
	}
	if res.status != status {
		c.t.Fatalf("%s %s: got %d, want %d: %.400s", method, path, res.status, status, res.body)
	}
	return res
}

func (c client) up() bool {
	_, err := c.try(http.MethodGet, "/", "", nil)
	return err == nil
}

// production is an environment in which the API starts.
func production(extra ...string) map[string]string {
	env := map[string]string{
		"ENVIRONMENT": "production", "RUN_DB_MIGRATIONS": "0",
		"SECRET_KEY":               strings.Repeat("k", 40),
		"MAINTENANCE_BYPASS_TOKEN": "let-me-in", "CONTENT_PREVIEW_TOKEN": "show-me",
		"SECURE_COOKIES": "true", "SENTRY_DSN": "https://public@sentry.invalid/1",
		"FRONTEND_ORIGIN": "https://shop.example", "PAYMENTS_PROVIDER": "stripe",
	}
	for i := 0; i+1 < len(extra); i += 2 {
		env[extra[i]] = extra[i+1]
	}
	return env
}

func flags(env map[string]string) []string {
	var args []string
	for _, key := range slices.Sorted(maps.Keys(env)) {
		args = append(args, "--env", key+"="+env[key])
	}
	return args
}

// database starts PostgreSQL with the alias db and waits until it serves its final start.
func database(t *testing.T, network string) container {
	t.Helper()
	db := start(t, "--network", network, "--network-alias", "db", "--env", "POSTGRES_PASSWORD=secret", "--env",
		"POSTGRES_DB=shop", imageRef[Postgres])
	ready(t, db)
	return db
}

// ready waits for TCP, which the server of the first initialisation does not offer.
func ready(t *testing.T, db container) {
	t.Helper()
	eventually(t, "postgres accepts connections", 60*time.Second, func() bool {
		code, _ := db.exec("pg_isready", "--host", "127.0.0.1", "--quiet")
		return code == 0
	})
}

const databaseURL = "postgresql+asyncpg://postgres:secret@db/shop"

func query(db container, sql string) string {
	db.t.Helper()
	return db.mustExec("psql", "--username", "postgres", "--dbname", "shop", "--no-align", "--tuples-only", "--command",
		sql)
}
