package e2e

import (
	"context"
	"encoding/json"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloudflare/cloudflare-go"
	"github.com/hetznercloud/hcloud-go/v2/hcloud"
)

// variable is one variable of the environment that the sandbox's commands have.
func (w *env) variable(name string) string {
	w.t.Helper()
	for _, v := range w.s.Env(w.tools) {
		if value, found := strings.CutPrefix(v, name+"="); found {
			return value
		}
	}
	w.t.Fatalf("the sandbox has no %s", name)
	return ""
}

// drift lists what `studio drift` finds, as "where name", and fails when its exit code does not fit.
func (w *env) drift() map[string]string {
	w.t.Helper()
	file := filepath.Join(w.t.TempDir(), "drift.json")
	out, err := w.studio("drift", "--json", file, "--config-file", w.s.ConfigFile())
	text, errRead := os.ReadFile(file)
	if errRead != nil {
		w.t.Fatalf("studio drift: %v\n%s", err, tail(out, 40))
	}
	var found []struct{ Where, Name, What, Revert, Adopt string }
	if errJSON := json.Unmarshal(text, &found); errJSON != nil {
		w.t.Fatal(errJSON)
	}
	if (err == nil) != (len(found) == 0) {
		w.t.Fatalf("%d findings and %v:\n%s", len(found), err, tail(out, 40))
	}
	all := map[string]string{}
	for _, f := range found {
		if !strings.Contains(out, f.What) || f.Revert == "" || f.Adopt == "" {
			w.t.Errorf("%+v is not told whole:\n%s", f, out)
		}
		all[f.Where+" "+f.Name] += f.What + "\n" + f.Revert
	}
	return all
}

// lastingDrift is the drift without failed tasks, which stay in the history for a day.
func (w *env) lastingDrift() map[string]string {
	w.t.Helper()
	found := w.drift()
	maps.DeleteFunc(found, func(what, _ string) bool { return strings.HasPrefix(what, "task ") })
	return found
}

// byHand changes each kind of thing as somebody would who does not know of the program, and returns what is
// to be found, with a word of it.
func (w *env) byHand() map[string]string {
	t, ctx := w.t, w.ctx
	t.Helper()
	hetzner := w.hetzner()
	firewalls, err := hetzner.Firewall.All(ctx)
	if err != nil || len(firewalls) != 1 {
		t.Fatalf("%d firewalls, %v", len(firewalls), err)
	}
	rules := append(slices.Clone(firewalls[0].Rules), hcloud.FirewallRule{
		Direction: hcloud.FirewallRuleDirectionIn, Protocol: hcloud.FirewallRuleProtocolTCP, Port: hcloud.Ptr("5432"),
		SourceIPs: []net.IPNet{{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)}},
	})
	if _, _, err := hetzner.Firewall.SetRules(ctx, firewalls[0], hcloud.FirewallSetRulesOpts{Rules: rules}); err != nil {
		t.Fatal(err)
	}
	editRecord(t, w)

	// Ended, before one of its containers is killed: an update's own end counts as its time, and one that meets a
	// failure goes back.
	w.host("docker service update --quiet --env-add BY_HAND=1 --limit-memory 300M momentstudio-frontend && sleep 15")
	w.host("docker kill $(docker ps -q --filter name=momentstudio-frontend. | head -1) || true")
	secret := w.host("docker service inspect momentstudio-media-worker --format '{{(index " +
		".Spec.TaskTemplate.ContainerSpec.Secrets 0).SecretName}}'")
	w.host("docker exec $(docker ps -q --filter name=momentstudio-media-worker. | head -1) cat /app/.env | docker " +
		"secret create by-hand - && " +
		"docker tag $(docker inspect --format '{{.Image}}' $(docker ps -q --filter name=momentstudio-media-worker. | head " +
		"-1)) by-hand/worker:latest && " +
		"docker service update --quiet --no-resolve-image --image by-hand/worker:latest --secret-rm " + secret +
		" --secret-add source=by-hand,target=/app/.env momentstudio-media-worker")
	w.host("docker service create --quiet --detach --name by-hand --replicas 0 by-hand/worker:latest")
	w.host("docker service update --quiet --detach --args /bin/false --replicas 0 momentstudio-redis")
	w.host("sed -i 's/OnCalendar=.*/OnCalendar=yearly/' /etc/systemd/system/momentstudio-backup.timer && systemctl " +
		"daemon-reload && systemctl disable --now momentstudio-prune.timer")
	w.host("rm /etc/systemd/system/docker.service.d/10-momentstudio.conf && sed -i 's/MaxSessions 100/MaxSessions 10/' " +
		"/etc/ssh/sshd_config.d/10-momentstudio.conf && echo '{}' > /etc/docker/daemon.json && systemctl daemon-reload")
	caddyfile := w.host("ls /mnt/momentstudio/caddy/config/Caddyfile.*")
	w.host("echo '# by hand' >> " + caddyfile + "; chmod 444 " + backupSecret +
		"; echo 'ssh-ed25519 AAAA by-hand' >> $(sed -n 's/^AuthorizedKeysFile //p' " +
		"/etc/ssh/sshd_config.d/20-momentstudio-keys.conf)")
	return map[string]string{
		"cloud dns-www": "changed: ", "cloud host-firewall": "rules",
		"service momentstudio-frontend": "BY_HAND", "service momentstudio-media-worker": "by-hand/worker:latest",
		"service momentstudio-redis": "0 replicas", "service by-hand": "nobody asked for it",
		"file /etc/systemd/system/momentstudio-backup.timer": "content", "timer momentstudio-prune.timer": "disabled",
		"file " + caddyfile: "content", "file " + backupSecret: "444",
		"file /etc/momentstudio/ssh/authorized_keys": "content", "file /etc/docker/daemon.json": "content",
		"file /etc/systemd/system/docker.service.d/10-momentstudio.conf": "gone",
		"file /etc/ssh/sshd_config.d/10-momentstudio.conf":               "content",
	}
}

// flare is Cloudflare's API and the shop's zone, as somebody in the dashboard has them.
func (w *env) flare() (*cloudflare.API, *cloudflare.ResourceContainer) {
	w.t.Helper()
	cloud, err := cloudflare.NewWithAPIToken(w.variable("CLOUDFLARE_API_TOKEN"),
		cloudflare.BaseURL("https://"+w.s.Gateway().String()+":8443/client/v4"),
		cloudflare.HTTPClient(&http.Client{Transport: &http.Transport{TLSClientConfig: w.trust()}}))
	if err != nil {
		w.t.Fatal(err)
	}
	return cloud, cloudflare.ZoneIdentifier(w.configured("dns")["zoneId"].(string))
}

// editRecord points www elsewhere.
func editRecord(t testing.TB, w *env) {
	t.Helper()
	cloud, zone := w.flare()
	records, _, err := cloud.ListDNSRecords(context.Background(), zone,
		cloudflare.ListDNSRecordsParams{Name: "www.momentstudio.test"})
	if err != nil || len(records) == 0 {
		t.Fatalf("%d records of www, %v", len(records), err)
	}
	for _, r := range records {
		if r.Type != "A" && r.Type != "CNAME" {
			continue
		}
		content := "192.0.2.1"
		if r.Type == "CNAME" {
			content = "elsewhere.example"
		}
		if _, err := cloud.UpdateDNSRecord(context.Background(), zone,
			cloudflare.UpdateDNSRecordParams{ID: r.ID, Type: r.Type, Name: r.Name, Content: content}); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Fatalf("www has no record that can be edited: %+v", records)
}

var target = regexp.MustCompile(`--target '([^']+)'`)

// drifts are found whatever they are, and their own commands revert them.
func drifts(t *testing.T, w *env) {
	if found := w.lastingDrift(); len(found) > 0 {
		t.Fatalf("there is drift before anybody did something: %v", found)
	}
	const restarted = `{ systemctl show --property=UserspaceTimestamp --value --timestamp=unix
systemctl show docker.service --property=ActiveEnterTimestamp --value --timestamp=unix; } | tr -d @ |
sort -n | tail -n 1`
	for w.host("echo $(( $(date +%s) - $("+restarted+") > 310 ))") == "0" {
		time.Sleep(5 * time.Second) // what ends soon after a restart is not reported
	}
	wanted := w.byHand()
	found := w.drift()
	for what, word := range wanted {
		if !strings.Contains(found[what], word) {
			t.Errorf("%s: found %q, want %q in it", what, found[what], word)
		}
	}
	for what, text := range found {
		if _, ok := wanted[what]; !ok && !strings.HasPrefix(what, "task ") {
			t.Errorf("%s is found too: %s", what, text)
		}
	}
	if _, ok := found["task momentstudio-frontend"]; !ok {
		t.Error("the killed container is not found")
	}

	revert := []string{"up", "--yes", "--skip-preview", "--refresh"}
	for what, text := range found {
		if strings.HasPrefix(what, "cloud ") {
			revert = append(revert, "--target", target.FindStringSubmatch(text)[1])
		}
	}
	w.mustPulumi(revert...)
	w.host("docker service rm by-hand")
	w.mustUpdate()
	if left := w.lastingDrift(); len(left) > 0 {
		t.Errorf("after its own commands there is still drift: %v", left)
	}
	w.host("docker secret rm by-hand")
}
