package drift

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
	"github.com/prekzursil/momentstudio-infra/internal/review"
	"github.com/prekzursil/momentstudio-infra/internal/swarm"
)

const (
	applyURN = "urn:pulumi:prod::momentstudio::docker:index/container:Container::host-apply-job"
	caddyURN = "urn:pulumi:prod::momentstudio::docker:index/container:Container::caddy-load"
	secretID = "id0secret"
)

// driftState is a state with a job that writes the host's files, one that loads Caddy's, a secret, and a cloud's
// resource; its secrets are wrapped as an export shows them.
func driftState(t *testing.T) []byte {
	t.Helper()
	wrapped := func(v any) map[string]any {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return map[string]any{review.SecretSignature: "1b47061264138c4ac30d75fd1eb44270", "plaintext": string(text)}
	}
	spec, err := json.Marshal(hostspec.Apply{
		Directories: []hostspec.Directory{{Path: "/mnt/momentstudio/uploads"}},
		Files:       []hostspec.File{{Path: "/etc/systemd/system/x.timer", Mode: 0o644, Content: "unit"}},
		Secrets:     []hostspec.SecretFile{{Path: "/etc/momentstudio/secrets/s", Upload: "/in/secret-0", UID: 999}},
		Timers:      []string{"x.timer"},
	})
	if err != nil {
		t.Fatal(err)
	}
	upload := func(file, content string) map[string]any { return map[string]any{"file": file, "content": content} }
	text, err := json.Marshal(map[string]any{"deployment": map[string]any{"resources": []any{
		map[string]any{
			"urn": applyURN, "type": "docker:index/container:Container",
			"inputs": map[string]any{"uploads": wrapped([]any{
				upload("/in/secret-0", "canary"), upload(hostspec.ApplySpec, string(spec)),
			})},
		},
		map[string]any{
			"urn": caddyURN, "type": "docker:index/container:Container",
			"inputs": map[string]any{"uploads": []any{upload("/in/Caddyfile", "site")}},
		},
		map[string]any{
			"urn": "urn::old", "type": "docker:index/secret:Secret", "delete": true, "id": "gone",
			"inputs": map[string]any{"name": "old"},
		},
		map[string]any{
			"urn": "urn::secret", "type": "docker:index/secret:Secret", "id": secretID,
			"inputs": map[string]any{"name": "env-1", "data": wrapped("canary")},
		},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func sum(text string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(text))) }

func TestDriftOfTheHostIsNamed(t *testing.T) {
	wants, err := wantsOfHost(driftState(t))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(2_000_000_000, 0)
	lines := []string{
		fmt.Sprintf("boot @%d", now.Add(-12*time.Hour).Unix()),
		"file 644 0 " + sum("unit") + " /etc/systemd/system/x.timer",
		"file 400 999 " + sum("canary") + " /etc/momentstudio/secrets/s",
		"file 600 0 " + sum("site") + " /mnt/momentstudio/caddy/config/Caddyfile",
		"directory /mnt/momentstudio/uploads",
		"timer enabled active x.timer",
		"id " + secretID + " secret env-1",
		"id other secret of-somebody-else",
		"service momentstudio-backend",
	}
	task := func(changed, ended time.Time, state string) string {
		return fmt.Sprintf("task %d momentstudio-backend %d %s \"task: non-zero exit (137)\"", changed.Unix(), ended.Unix(),
			state)
	}
	hour := func(n int) time.Time { return now.Add(time.Duration(n) * time.Hour) }
	for _, c := range []struct {
		name     string
		old, new string // what the host says instead
		want     string // of "where name: what"; "" for nothing
		job      string
	}{
		{"a fresh stack", "", "", "", ""},
		{
			"a unit that was edited", sum("unit"), sum("edited"), "file /etc/systemd/system/x.timer: its content was changed",
			applyURN,
		},
		{"a secret file that was edited", sum("canary"), sum("other"), "file /etc/momentstudio/secrets/s: its content was " +
			"changed", applyURN},
		{
			"a secret file that all may read", "400 999", "444 999", "its mode and owner are 444 and 999, want 400 and 999",
			applyURN,
		},
		{
			"a secret file of somebody else", "400 999", "400 0", "its mode and owner are 400 and 0, want 400 and 999",
			applyURN,
		},
		{"a Caddyfile that was edited", sum("site"), sum("edited"), "Caddyfile: its content was changed", caddyURN},
		{"a file that is gone", lines[1], lines[0], "file /etc/systemd/system/x.timer: it is gone", applyURN},
		{"a directory that is gone", lines[4], lines[0], "directory /mnt/momentstudio/uploads: it is gone", applyURN},
		{
			"a file where a directory was", lines[4], "file 644 0 " + sum("") + " /mnt/momentstudio/uploads",
			"directory /mnt/momentstudio/uploads: it is gone", applyURN,
		},
		{
			"a directory where a file was", lines[1], "directory /etc/systemd/system/x.timer",
			"file /etc/systemd/system/x.timer: it is gone", applyURN,
		},
		{
			"a unit that was edited beside its file", lines[8], "dropin x.service", "file x.service.d: somebody edited the unit",
			"",
		},
		{"a timer that is off", "timer enabled active", "timer disabled inactive", "timer x.timer: it is disabled and " +
			"inactive, want enabled and active", applyURN},
		{"a timer that does not exist", "timer enabled active", "timer  inactive", "timer x.timer: it is inactive", applyURN},
		{"a secret that is gone", lines[6], lines[0], "secret env-1: it is gone", ""},
		{"another secret of the same name", secretID, "id1other", "secret env-1: it is another one under the same name", ""},
		{"a service by hand", "service momentstudio-backend", "service by-hand", "service by-hand: nobody asked for it", ""},
		{"a container that was killed", lines[8], task(hour(-5), hour(-1), "failed"), "task momentstudio-backend: one " +
			"ended at 2033-05-18T02:33:20Z (\"task: non-zero exit (137)\")", ""},
		{"a task that an update ended", lines[8], task(hour(-5), hour(-1), "shutdown"), "", ""},
		{"a task that failed before the update", lines[8], task(hour(-1), hour(-2), "failed"), "", ""},
		{"a task of yesterday", lines[8], task(hour(-50), hour(-25), "failed"), "", ""},
		{"a task that the boot ended", lines[8], task(hour(-60), hour(-12).Add(4*time.Minute), "failed"), "", ""},
		{
			"a task that ended long after the boot", lines[8], task(hour(-60), hour(-12).Add(6*time.Minute), "failed"),
			"task momentstudio-backend: one ended", "",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			answer := strings.Join(lines, "\n")
			if c.old != "" {
				answer = strings.Replace(answer, c.old, c.new, 1)
			}
			got, err := wants.compare(answer, []swarm.Service{{Name: "momentstudio-backend"}}, "prod", now)
			if err != nil {
				t.Fatal(err)
			}
			if c.want == "" {
				if len(got) > 0 {
					t.Errorf("found %+v, want nothing", got)
				}
				return
			}
			if len(got) != 1 {
				t.Fatalf("found %+v, want one thing", got)
			}
			f := got[0]
			if text := f.Where + " " + f.Name + ": " + f.What; !strings.Contains(text, c.want) || f.job != c.job {
				t.Errorf("found %q of job %q, want %q of %q", text, f.job, c.want, c.job)
			}
			if f.Revert == "" || f.Adopt == "" {
				t.Errorf("no way on: %+v", f)
			}
		})
	}
	if _, err := wants.compare("mount: what is this", nil, "prod", now); err == nil {
		t.Error("an answer that nobody asked for is taken")
	}
	if text := wants.files(); strings.Contains(text, "canary") {
		t.Errorf("the question holds a secret:\n%s", text)
	}
}

func TestDriftOfACloudIsNamed(t *testing.T) {
	const text = `warning: x
{"steps":[
 {"op":"refresh","urn":"u::momentstudio::hcloud:index/server:Server::same","detailedDiff":null},
 {"op":"update","urn":"u::momentstudio::cloudflare:index/record:Record::dns-apex","detailedDiff":{"ttl":{},"content":{},"modifiedOn":{}}},
 {"op":"update","urn":"u::momentstudio::hcloud:index/server:Server::computed","detailedDiff":{"status":{}}},
 {"op":"delete","urn":"u::momentstudio::hcloud:index/firewall:Firewall::host-firewall","detailedDiff":null}]}`
	got, err := parseRefresh([]byte(text), "prod")
	if err != nil {
		t.Fatal(err)
	}
	var words []string
	for _, f := range got {
		words = append(words, f.Name+": "+f.What)
		if !strings.Contains(f.Revert, "--refresh --target 'u::") || !strings.Contains(f.Adopt, "pulumi refresh") {
			t.Errorf("no way on: %+v", f)
		}
	}
	if want := []string{"dns-apex: changed: content, ttl", "host-firewall: it is gone"}; !slices.Equal(words, want) {
		t.Errorf("found %q, want %q", words, want)
	}
	if _, err := parseRefresh([]byte("nothing"), "prod"); err == nil {
		t.Error("what is no JSON is taken")
	}
}
