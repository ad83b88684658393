package toolchain_test

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/prekzursil/momentstudio-infra/sandbox/cloudflare"
	"github.com/prekzursil/momentstudio-infra/sandbox/toolchain"
)

// cacheVariable names the directory in which the tests keep the built toolchain. Without it
// they use the one that `make sandbox` uses.
const cacheVariable = "SANDBOX_TOOLCHAIN"

const defaultCache = "/var/cache/momentstudio-sandbox/toolchain"

// stack is one stack of a program in testdata, with a state directory of its own.
type stack struct {
	t   *testing.T
	dir string
	cli string
	env []string
}

func newStack(t *testing.T, program string, env ...string) stack {
	t.Helper()
	install := os.Getenv(cacheVariable)
	if install == "" {
		install = defaultCache
	}
	var log bytes.Buffer
	tools, err := toolchain.Ensure(context.Background(), toolchain.Options{
		EngineDir: filepath.Join("..", "engine"), InstallDir: install,
		// A home of its own, because the CLI keeps credentials and selected stacks there.
		PulumiHome: filepath.Join(t.TempDir(), "home"), Log: &log,
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, log.String())
	}
	dir := t.TempDir()
	project, err := os.ReadFile(filepath.Join("testdata", program, "Pulumi.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "Pulumi.yaml"), project, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "state"), 0o700); err != nil {
		t.Fatal(err)
	}
	build := exec.Command("go", "build", "-o", filepath.Join(dir, program), ".")
	build.Dir = filepath.Join("testdata", program)
	build.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-buildvcs=false")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", program, err, output)
	}
	s := stack{t: t, dir: dir, cli: tools.CLI, env: append(tools.Env(os.Environ()), append(env,
		"PULUMI_BACKEND_URL=file://"+filepath.Join(dir, "state"), "PULUMI_CONFIG_PASSPHRASE=test")...)}
	s.run("stack", "init", "test")
	t.Cleanup(func() {
		// Does nothing after a test that got to its own destroy.
		_, _ = s.try("destroy", "--yes", "--skip-preview", "--non-interactive")
	})
	return s
}

func (s stack) try(args ...string) (string, error) {
	command := exec.Command(s.cli, args...)
	command.Dir, command.Env = s.dir, s.env
	output, err := command.CombinedOutput()
	return string(output), err
}

func (s stack) run(args ...string) string {
	s.t.Helper()
	output, err := s.try(args...)
	if err != nil {
		s.t.Fatalf("pulumi %s: %v\n%s", strings.Join(args, " "), err, output)
	}
	return output
}

func (s stack) up() string {
	s.t.Helper()
	return s.run("up", "--yes", "--skip-preview", "--non-interactive")
}

// unchanged fails when the program or the providers want to change what was just made.
func (s stack) unchanged() {
	s.t.Helper()
	s.run("preview", "--expect-no-changes", "--diff", "--non-interactive")
	s.run("refresh", "--yes", "--skip-preview", "--non-interactive", "--expect-no-changes")
	s.run("preview", "--expect-no-changes", "--diff", "--non-interactive")
}

// steps returns what a preview would do, by name of the resource.
func (s stack) steps() map[string]string {
	s.t.Helper()
	var plan struct {
		Steps []struct{ Op, URN string }
	}
	output := s.run("preview", "--json", "--non-interactive")
	if err := json.Unmarshal([]byte(output), &plan); err != nil {
		s.t.Fatalf("preview --json: %v\n%s", err, output)
	}
	steps := map[string]string{}
	for _, step := range plan.Steps {
		if step.Op != "same" {
			name := step.URN[strings.LastIndex(step.URN, ":")+1:]
			steps[name] = strings.TrimSpace(steps[name] + " " + step.Op)
		}
	}
	return steps
}

func (s stack) outputs() map[string]string {
	s.t.Helper()
	values := map[string]any{}
	if err := json.Unmarshal([]byte(s.run("stack", "output", "--json")), &values); err != nil {
		s.t.Fatal(err)
	}
	texts := map[string]string{}
	for name, value := range values {
		encoded, _ := json.Marshal(value)
		texts[name] = strings.Trim(string(encoded), `"`)
	}
	return texts
}

func TestEngineRunsAProgramOfTheCurrentSDK(t *testing.T) {
	if output, err := exec.Command("docker", "info").CombinedOutput(); err != nil {
		t.Fatalf("needs a Docker engine (scripts/prepare.sh starts one): %v\n%s", err, output)
	}
	hooks := filepath.Join(t.TempDir(), "hooks")
	s := newStack(t, "smoke", "SMOKE_HOOK_FILE="+hooks)
	if output := s.up(); strings.Contains(output, "warning") {
		t.Errorf("the engine warns:\n%s", output)
	}
	s.unchanged()
	before := s.outputs()
	for _, name := range []string{"password", "bytes", "fingerprint"} {
		if before[name] != "[secret]" {
			t.Errorf("output %s: got %q, want a secret", name, before[name])
		}
	}

	// A new generation replaces the root, the network with it, and the volume, which is deleted with the network: the
	// engine replaces that, too (pkg/resource/deploy/step_generator.go).
	s.run("config", "set", "generation", "two")
	steps := s.steps()
	for _, name := range []string{"root", "network", "volume"} {
		if !strings.Contains(steps[name], "replace") {
			t.Errorf("step for %s: got %q, want a replacement", name, steps[name])
		}
	}
	if steps["password"] != "" || steps["bytes"] != "" {
		t.Errorf("steps for what does not change: %v", steps)
	}
	s.up()
	s.unchanged()
	after := s.outputs()
	if after["network"] == before["network"] || after["volume"] == before["volume"] {
		t.Errorf("before %v, after %v", before, after)
	}
	if called, err := os.ReadFile(hooks); err != nil || string(called) != "root\nroot\n" {
		t.Errorf("the hook was called with %q, %v; want root twice", called, err)
	}

	// The volume is deleted with the network: the engine leaves it to itself.
	s.run("destroy", "--yes", "--skip-preview", "--non-interactive")
	if err := exec.Command("docker", "network", "inspect", after["network"]).Run(); err == nil {
		t.Errorf("network %s is still there", after["network"])
	}
	if output, err := exec.Command("docker", "volume", "rm", after["volume"]).CombinedOutput(); err != nil {
		t.Errorf("volume %s should have been left: %v\n%s", after["volume"], err, output)
	}
}

func TestCloudflarePluginDrivesTheEmulatedAPI(t *testing.T) {
	const token = "canary-token-of-the-sandbox"
	api, err := cloudflare.New(cloudflare.Config{Token: token, Zones: []cloudflare.Zone{{Name: "momentstudio.test"}}})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewTLSServer(api.Handler())
	t.Cleanup(server.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(ca, block, 0o600); err != nil {
		t.Fatal(err)
	}
	s := newStack(t, "edge", "SSL_CERT_FILE="+ca, "EDGE_HOST="+strings.TrimPrefix(server.URL, "https://"),
		"EDGE_TOKEN="+token, "EDGE_ZONE="+api.ZoneID("momentstudio.test"), "EDGE_ACCOUNT="+api.AccountID())

	s.up()
	s.unchanged()
	before := s.outputs()
	if before["hostname"] != "www.momentstudio.test" || before["ttl"] != "1" || before["secret"] != "[secret]" ||
		before["zone"] != api.ZoneID("momentstudio.test") || !strings.HasPrefix(before["siteKey"], "0x4AAAA") {
		t.Errorf("outputs: %v", before)
	}
	if state := s.run("stack", "export"); strings.Contains(state, token) {
		t.Error("the token is in the exported state in the clear")
	}

	// An address changes in place; a name is deleted first.
	s.run("config", "set", "address", "192.0.2.11")
	if steps := s.steps(); len(steps) != 2 || steps["www"] != "update" ||
		steps["http_request_late_transform"] != "update" {
		t.Errorf("steps for a new address: %v", steps)
	}
	s.run("config", "set", "recordName", "web")
	if steps := s.steps(); steps["www"] != "replace" {
		t.Errorf("steps for a new name: %v", steps)
	}
	api.ForgetRequests()
	s.up()
	var order []string
	for _, r := range api.Requests() {
		if strings.Contains(r.Path, "/dns_records") && r.Method != "GET" {
			order = append(order, r.Method)
		}
	}
	if !slices.Equal(order, []string{"DELETE", "POST"}) {
		t.Errorf("replacing a record sent %v, want DELETE before POST", order)
	}
	s.unchanged()

	s.run("destroy", "--yes", "--skip-preview", "--non-interactive")
	if n := api.Resources(); n != 0 {
		t.Errorf("%d things left after destroy", n)
	}
	if unexpected := api.Unexpected(); len(unexpected) > 0 {
		t.Errorf("requests that the emulation does not know: %+v", unexpected)
	}
}
