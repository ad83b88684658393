package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// edit is one change of the stack's file, or of the program.
type edit struct {
	name   string
	values map[string]any    // "group.field" or "key" -> value
	code   map[string]string // file -> sed expression
}

func (w *env) digestOf(image string) string {
	return strings.Split(image, "@")[0] + "@sha256:" + strings.Repeat("5", 64)
}

// edits are all the changes whose plans are recorded. None of them is applied.
func (w *env) edits() []edit {
	release, images, host := w.configured("release"), w.configured("images"), w.configured("host")
	backend, frontend := w.digestOf(release["backend"].(string)), w.digestOf(release["frontend"].(string))
	size, _ := host["volumeSizeGB"].(int)
	v := func(kv ...any) map[string]any {
		m := map[string]any{}
		for i := 0; i+1 < len(kv); i += 2 {
			m[kv[i].(string)] = kv[i+1]
		}
		return m
	}
	return []edit{
		{"nothing", nil, nil},
		{"backend-release", v("release.backend", backend, "release.name", releaseName(9)), nil},
		{"frontend-release", v("release.frontend", frontend), nil},
		{"whole-release", v("release.backend", backend, "release.frontend", frontend, "release.name", releaseName(9)), nil},
		{"release-name", v("release.name", releaseName(9)), nil},
		{"ops-image", v("images.ops", w.digestOf(images["ops"].(string))), nil},
		{"edge-image", v("images.edge", w.digestOf(images["edge"].(string))), nil},
		{"postgres-image", v("images.postgres", w.digestOf(images["postgres"].(string))), nil},
		{"redis-image", v("images.redis", w.digestOf(images["redis"].(string))), nil},
		{"edge-body-size", v("edge.maxUploadMB", 777), nil},
		{"edge-rate-limits", v("edge.rateLimits", false), nil},
		{"volume-grows", v("host.volumeSizeGB", size+10), nil},
		{"volume-shrinks", v("host.volumeSizeGB", size-1), nil},
		{"server-type", v("host.serverType", "cx43"), nil},
		{"host-generation", v("host.generation", 2), nil},
		{"ssh-from-elsewhere", v("host.sshFrom", []string{"192.0.2.0/24"}), nil},
		{"ssh-from-everywhere", v("host.sshFrom", []string{"0.0.0.0/0"}), nil},
		{"private-network", v("host.privateNetwork", "10.99.0.0/16", "host.privateSubnet", "10.99.1.0/24",
			"host.privateAddress", "10.99.1.2"), nil},
		{"prune-time", v("host.pruneAt", "05:45"), nil},
		{"reboot-window", v("host.rebootAt", ""), nil},
		{"backup-time", v("backup.at", "00:30"), nil},
		{"backup-destination", v("backup.rest", map[string]any{}), nil},
		{"no-backups", v("backup.enabled", false), nil},
		{"another-domain", v("domain", "momentstudio.example"), nil},
		{"dns-ttl", v("dns.ttlSeconds", 600), nil},
		{"dns-proxied", v("dns.proxied", true), nil},
		{"turnstile-mode", v("turnstile.mode", "invisible"), nil},
		{"turnstile-hostnames", v("turnstile.hostnames", []string{"momentstudio.test"}), nil},
		{"no-turnstile", v("turnstile.enabled", false, "app.captcha", map[string]any{"enabled": false}), nil},
		{"postgres-connections", v("postgres.maxConnections", 150), nil},
		{"postgres-memory", v("postgres.memoryMB", 777), nil},
		{"redis-memory", v("redis.memoryMB", 128), nil},
		{"backend-replicas", v("backend.replicas", 2), nil},
		{"backend-memory", v("backend.memoryMB", 640), nil},
		{"worker-memory", v("worker.memoryMB", 640), nil},
		{"frontend-replicas", v("frontend.replicas", 2), nil},
		{"site-name", v("app.siteName", "another name"), nil},
		{"maintenance", v("app.maintenanceMode", true), nil},
		{"tokens-rotated", v("secrets.tokens", 2), nil},
		{"login-rotated", v("secrets.databaseLogin", 2), nil},
		{"superuser-rotated", v("secrets.superuser", 2), nil},
		{"deploy-key-rotated", v("secrets.deployKey", 2), nil},
		{"host-key-rotated", v("secrets.hostKey", 2), nil},
		{"backup-password-rotated", v("secrets.backupPassword", 2), nil},
		{"app-key-rotated", v("secrets.appKey", 2, "secrets.appKeyAcknowledged", 2), nil},
		{"protection-on", v("protect", true), nil},
		{"internal-certificates", v("tls.mode", "internal"), nil},
		{"postgres-elsewhere", v("postgres.mode", "external", "secret:databaseUrl",
			"postgresql+asyncpg://u:made0up@db.example:5432/shop"), nil},
		{"renamed-component", nil, map[string]string{
			"stacks/stacks.go": `s/postgres\.New(ctx, "postgres"/postgres.New(ctx, "database"/`,
		}},
		{"renamed-host", nil, map[string]string{"stacks/stacks.go": `s/host\.New(ctx, "host"/host.New(ctx, "machine"/`}},
		{"renamed-secrets", nil, map[string]string{
			"stacks/stacks.go": `s/secrets\.New(ctx, "secrets"/secrets.New(ctx, "passwords"/`,
		}},
		{"another-volume-format", nil, map[string]string{"components/host/host.go": `s/"ext4"/"xfs"/`}},
		{"without-limits", nil, map[string]string{
			"internal/workload/service.go": `s/pulumi.Int(s.MemoryMB << 20)/pulumi.Int(0 * s.MemoryMB)/`,
		}},
		{"another-owner-of-the-address", nil, map[string]string{
			"components/host/host.go": `s/-address", &hcloud.PrimaryIpArgs/-ip", \&hcloud.PrimaryIpArgs/`,
		}},
	}
}

// buildEdited builds the program as it stands in the clone.
func (w *env) buildEdited() {
	w.t.Helper()
	cmd := exec.CommandContext(w.ctx, "go", "build", "-o", filepath.Join(w.s.Project, "bin", "edited"), ".")
	cmd.Dir = w.s.Project
	if out, err := cmd.CombinedOutput(); err != nil {
		w.t.Fatalf("build the edited program: %v\n%s", err, out)
	}
}

// plans previews every edit. A failing preview is a plan too: the refusal is the program's own.
func plans(t *testing.T, w *env) {
	if err := os.MkdirAll(record, 0o750); err != nil {
		t.Fatal(err)
	}
	w.buildEdited()
	w.configure("host", "volumeSizeGB", 12) // so that there is something to shrink
	w.up()
	file, err := os.ReadFile(w.s.ConfigFile())
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range w.edits() {
		for _, path := range slices.Sorted(maps.Keys(e.values)) {
			if key, found := strings.CutPrefix(path, "secret:"); found {
				w.mustPulumi("config", "set", "--secret", "--config-file", w.s.ConfigFile(), "momentstudio:"+key,
					e.values[path].(string))
				continue
			}
			group, field, _ := strings.Cut(path, ".")
			w.configure(group, field, e.values[path])
		}
		before := map[string][]byte{}
		for name, expression := range e.code {
			path := filepath.Join(w.s.Project, name)
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			before[path] = text
			if out, err := exec.CommandContext(w.ctx, "sed", "-i", expression, path).CombinedOutput(); err != nil {
				t.Fatalf("%s: %v\n%s", e.name, err, out)
			}
			if now, _ := os.ReadFile(path); bytes.Equal(now, text) {
				t.Fatalf("%s: nothing in %s is changed by %s", e.name, name, expression)
			}
		}
		if len(e.code) > 0 {
			w.buildEdited()
		}
		var out, errOut bytes.Buffer
		err := w.s.Pulumi(w.ctx, &out, &errOut, "preview", "--json", "--show-sames", "--show-replacement-steps",
			"--non-interactive")
		t.Logf("%s: %v, %d bytes", e.name, err, out.Len())
		text, errTrim := trimPlan(out.Bytes())
		if errTrim != nil {
			t.Errorf("%s: %v\n%s", e.name, errTrim, errOut.String())
		} else if err := os.WriteFile(filepath.Join(record, e.name+".json"), text, 0o600); err != nil {
			t.Fatal(err)
		}
		for path, text := range before {
			if err := os.WriteFile(path, text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if len(e.code) > 0 {
			w.buildEdited()
		}
		if err := os.WriteFile(w.s.ConfigFile(), file, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// edgeHeader begins the edge's configuration.
const edgeHeader = "# Rendered by the infrastructure program"

// shorten replaces long texts by their hash: what differs still does.
func shorten(value any) any {
	switch v := value.(type) {
	case map[string]any:
		for k := range v {
			v[k] = shorten(v[k])
		}
	case []any:
		for i := range v {
			v[i] = shorten(v[i])
		}
	case string:
		if len(v) > 200 && !strings.HasPrefix(v, edgeHeader) { // a review reads the edge's configuration
			return fmt.Sprintf("%d characters, %x", len(v), sha256.Sum256([]byte(v)))
		}
	}
	return value
}

// trimPlan leaves out what a review does not read, so that the files stay small: all of a state but its type, its
// lock and its inputs, and of what stays the same these too.
func trimPlan(preview []byte) ([]byte, error) {
	if at := bytes.IndexByte(preview, '{'); at > 0 {
		preview = preview[at:]
	}
	var doc map[string]any
	if err := json.Unmarshal(preview, &doc); err != nil {
		return nil, err
	}
	delete(doc, "config")
	steps, _ := doc["steps"].([]any)
	for _, s := range steps {
		step := s.(map[string]any)
		for _, name := range []string{"oldState", "newState"} {
			state, ok := step[name].(map[string]any)
			if !ok {
				continue
			}
			kept := map[string]any{"type": state["type"], "protect": state["protect"]}
			if step["op"] != "same" {
				kept["inputs"] = shorten(state["inputs"])
			}
			step[name] = kept
		}
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", " ")
	err := encoder.Encode(doc)
	return out.Bytes(), err
}
