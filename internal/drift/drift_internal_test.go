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
			"inputs": map[string]any{"uploads": []any{upload("/in/Caddyfile.1", "site")}},
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

// What a fresh host has, and when it is asked.
const (
	unit, secret = "/etc/systemd/system/x.timer", "/etc/momentstudio/secrets/s"
	caddyfile    = "/mnt/momentstudio/caddy/config/Caddyfile.1"
	uploads      = "/mnt/momentstudio/uploads"
)

var reportTime = time.Unix(2_000_000_000, 0)

func hour(n int) time.Time { return reportTime.Add(time.Duration(n) * time.Hour) }

func setFile(r *hostspec.HostReport, path, mode string, uid int, content string) {
	r.Paths[path] = hostspec.PathState{Mode: mode, UID: uid, SHA256: sum(content)}
}

func freshReport() hostspec.HostReport {
	r := hostspec.HostReport{
		Restarts: []hostspec.Restart{
			{Started: hour(-12)}, {Stopped: hour(-6), Started: hour(-6).Add(time.Minute)},
		}, Paths: map[string]hostspec.PathState{uploads: {Directory: true, Mode: "755"}},
		Timers:   []hostspec.TimerState{{Unit: "x.timer", File: "enabled", Active: "active"}},
		Secrets:  []hostspec.Object{{ID: secretID, Name: "env-1"}, {ID: "other", Name: "of-somebody-else", Foreign: true}},
		Services: []hostspec.Service{{Name: "momentstudio-backend", Updated: hour(-60)}},
	}
	setFile(&r, unit, "644", 0, "unit")
	setFile(&r, secret, "400", 999, "canary")
	setFile(&r, caddyfile, "600", 0, "site")
	return r
}

func endedTask(changed, ended time.Time, state string) func(*hostspec.HostReport) {
	return func(r *hostspec.HostReport) {
		r.Services[0].Updated = changed
		r.Services[0].Ended = []hostspec.EndedTask{{At: ended, State: state, Error: "task: non-zero exit (137)"}}
	}
}

type hostCase struct {
	name   string
	change func(*hostspec.HostReport)
	want   string // of "where name: what"; "" for nothing
	job    string
}

func hostDrift() []hostCase {
	return []hostCase{
		{"a fresh stack", func(*hostspec.HostReport) {}, "", ""},
		{
			"a unit that was edited", func(r *hostspec.HostReport) { setFile(r, unit, "644", 0, "edited") },
			"file " + unit + ": its content was changed", applyURN,
		},
		{
			"a secret file that was edited", func(r *hostspec.HostReport) { setFile(r, secret, "400", 999, "other") },
			"file " + secret + ": its content was changed", applyURN,
		},
		{
			"a secret file that all may read", func(r *hostspec.HostReport) { setFile(r, secret, "444", 999, "canary") },
			"its mode and owner are 444 and 999, want 400 and 999", applyURN,
		},
		{
			"a secret file of another user", func(r *hostspec.HostReport) { setFile(r, secret, "400", 0, "canary") },
			"its mode and owner are 400 and 0, want 400 and 999", applyURN,
		},
		{
			"a Caddyfile that was edited", func(r *hostspec.HostReport) { setFile(r, caddyfile, "600", 0, "edited") },
			"Caddyfile.1: its content was changed", caddyURN,
		},
		{
			"a file that is gone", func(r *hostspec.HostReport) { delete(r.Paths, unit) },
			"file " + unit + ": it is gone", applyURN,
		},
		{
			"a directory that is gone", func(r *hostspec.HostReport) { delete(r.Paths, uploads) },
			"directory " + uploads + ": it is gone", applyURN,
		},
		{
			"a file where a directory was", func(r *hostspec.HostReport) { setFile(r, uploads, "644", 0, "") },
			"directory " + uploads + ": it is gone", applyURN,
		},
		{
			"a directory where a file was", func(r *hostspec.HostReport) { r.Paths[unit] = hostspec.PathState{Directory: true} },
			"file " + unit + ": it is gone", applyURN,
		},
		{
			"a unit with a drop-in file", func(r *hostspec.HostReport) { r.Timers[0].DropIns = []string{"x.service"} },
			"file x.service.d: drop-in files change the unit", "",
		},
		{
			"a timer that is off", func(r *hostspec.HostReport) {
				r.Timers[0].File, r.Timers[0].Active = "disabled",
					"inactive"
			},
			"timer x.timer: it is disabled and inactive, want enabled and active", applyURN,
		},
		{
			"a timer that does not exist", func(r *hostspec.HostReport) {
				r.Timers[0].File, r.Timers[0].Active = "",
					"inactive"
			},
			"timer x.timer: it is missing and inactive", applyURN,
		},
		{"a secret that is gone", func(r *hostspec.HostReport) { r.Secrets = r.Secrets[1:] }, "secret env-1: it is gone", ""},
		{
			"another secret of the same name", func(r *hostspec.HostReport) { r.Secrets[0].ID = "another" },
			"secret env-1: it is another one under the same name", "",
		},
		{
			"a service by hand", func(r *hostspec.HostReport) { r.Foreign = []string{"by-hand"} },
			"service by-hand: nobody asked for it", "",
		},
	}
}

// taskDrift are tasks that ended.
func taskDrift() []hostCase {
	return []hostCase{
		{
			"a container that was killed", endedTask(hour(-5), hour(-1), "failed"),
			"task momentstudio-backend: one ended at 2033-05-18T02:33:20Z (task: non-zero exit (137))", "",
		},
		{"a task that an update ended", endedTask(hour(-5), hour(-1), "shutdown"), "", ""},
		{"a task that failed before the update", endedTask(hour(-1), hour(-2), "failed"), "", ""},
		{"a task of yesterday", endedTask(hour(-50), hour(-25), "failed"), "", ""},
		{"a task that the boot ended", endedTask(hour(-60), hour(-12).Add(4*time.Minute), "failed"), "", ""},
		{"a task that a restart of Docker ended", endedTask(hour(-60), hour(-6).Add(time.Second), "failed"), "", ""},
		{"a task that failed after a restart of Docker", endedTask(hour(-60), hour(-6).Add(3*time.Minute), "failed"), "", ""},
		{
			"a task that failed before a restart of Docker", endedTask(hour(-60), hour(-6).Add(-time.Second), "failed"),
			"task momentstudio-backend: one ended", "",
		},
		{
			"a task that ended long after the boot", endedTask(hour(-60), hour(-12).Add(6*time.Minute), "failed"),
			"task momentstudio-backend: one ended", "",
		},
	}
}

func TestDriftOfTheHostIsNamed(t *testing.T) {
	wants, err := wantsOfHost(driftState(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range append(hostDrift(), taskDrift()...) {
		t.Run(c.name, func(t *testing.T) {
			r := freshReport()
			c.change(&r)
			got := wants.compare(r, "prod", reportTime)
			if c.want == "" {
				if len(got) != 0 {
					t.Errorf("found %+v", got)
				}
				return
			}
			if len(got) != 1 {
				t.Fatalf("found %+v", got)
			}
			text := got[0].Where + " " + got[0].Name + ": " + got[0].What
			if !strings.Contains(text, c.want) || got[0].job != c.job {
				t.Errorf("found %q of job %q, want %q of %q", text, got[0].job, c.want, c.job)
			}
			if got[0].Revert == "" || got[0].Adopt == "" || strings.Contains(text, "canary") {
				t.Errorf("a finding without a way out, or with a value: %+v", got[0])
			}
		})
	}
}

func TestDriftOfACloudIsNamed(t *testing.T) {
	const text = `warning: x
{"steps":[
 {"op":"refresh","urn":"u::momentstudio::hcloud:index/server:Server::same","detailedDiff":null},
 {"op":"update","urn":"u::momentstudio::cloudflare:index/record:Record::dns-apex",
   "detailedDiff":{"ttl":{},"content":{},"modifiedOn":{}}},
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

func TestServicesThatTheStateHasNotAreForeign(t *testing.T) {
	wanted := []swarm.Service{{Name: "backend"}, {Name: "lost-its-label"}}
	got := notWanted(hostspec.HostReport{
		Services: []hostspec.Service{{Name: "backend"}, {Name: "left-over"}}, Foreign: []string{"by-hand", "lost-its-label"},
	}, wanted)
	if !slices.Equal(got, []string{"left-over", "by-hand"}) {
		t.Errorf("got %q", got)
	}
}
