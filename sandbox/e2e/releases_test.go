package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"github.com/prekzursil/momentstudio-infra/sandbox/images"
)

// openToCrowd lets one address send many POSTs. The last step of a group closes it again.
func (w *env) openToCrowd() {
	w.t.Helper()
	if limited, set := w.configured("edge")["rateLimits"].(bool); set && !limited {
		return // it is open
	}
	w.configureApp("captcha", map[string]any{"enabled": false})
	w.configureApp("rateLimits", map[string]any{"contact": 1_000_000})
	w.configure("edge", "rateLimits", false)
	w.mustUpdate()
}

// update runs `studio up` on the stack's file as it is.
func (w *env) update(more ...string) (string, error) {
	return w.studio(append([]string{"up", "--config-file", w.s.ConfigFile(), "--ca", w.s.CAFile()}, more...)...)
}

func (w *env) mustUpdate() string {
	w.t.Helper()
	file := w.readFile()
	out, err := w.update()
	if err != nil {
		w.t.Fatalf("studio up: %v\n%s", err, tail(out, 60))
	}
	w.applied = file
	return out
}

// refused runs an update that must fail, and say why.
func (w *env) refused(wants ...string) string {
	w.t.Helper()
	out, err := w.update()
	if err == nil {
		w.t.Fatalf("the update is reported as done:\n%s", tail(out, 40))
	}
	for _, want := range wants {
		if !strings.Contains(out, want) {
			w.t.Errorf("the failure does not tell %q:\n%s", want, tail(out, 60))
		}
	}
	return out
}

// refuse runs an update that meets a fault, and whose message says what to do.
func (w *env) refuse(fault string, wants ...string) {
	w.t.Helper()
	explains(w.t, fault, finalMessage("studio", w.refused(wants...)), w.secretValues()...)
}

// refuseSilently is refuse for a program that printed a canary: that stays on the host.
func (w *env) refuseSilently(fault, canary string, wants ...string) {
	w.t.Helper()
	out := w.refused(wants...)
	explains(w.t, fault, finalMessage("studio", out), append(w.secretValues(), canary)...)
	jobs := w.host("for c in $(docker ps -aq --filter name=app-); do docker logs $c 2>&1; done")
	for where, text := range map[string]string{
		"the update's output": out, "the state": w.mustPulumi("stack", "export", "--show-secrets"), "the jobs' logs": jobs,
	} {
		if strings.Contains(text, canary) {
			w.t.Errorf("%s: %s shows what the application printed", fault, where)
		}
	}
}

// releaseImages pushes the images of a release, changed by what is between their build and their
// push, and returns the references of backend and frontend.
func (w *env) releaseImages(o images.Options, changes map[string]func(*v1.ConfigFile)) (backend, frontend string) {
	w.t.Helper()
	o.Log = io.Discard
	built, err := w.s.BuildRelease(w.ctx, o)
	if err != nil {
		w.t.Fatal(err)
	}
	chosen := map[string]v1.Image{}
	for _, name := range []string{images.Backend, images.Frontend} {
		chosen[name] = built[name]
		if change := changes[name]; change != nil {
			file, err := built[name].ConfigFile()
			if err != nil {
				w.t.Fatal(err)
			}
			file = file.DeepCopy()
			change(file)
			if chosen[name], err = mutate.ConfigFile(built[name], file); err != nil {
				w.t.Fatal(err)
			}
		}
	}
	refs, err := w.s.Push(w.ctx, chosen)
	if err != nil {
		w.t.Fatal(err)
	}
	return refs[images.Backend], refs[images.Frontend]
}

// instead makes an image run a script in place of its entrypoint, with the same arguments.
func instead(script string) func(*v1.ConfigFile) {
	return func(c *v1.ConfigFile) { c.Config.Entrypoint = []string{"/bin/sh", "-c", script, "sh"} }
}

func (w *env) release(number int, backend, frontend string) {
	w.t.Helper()
	w.configure("release", "name", releaseName(number))
	w.configure("release", "backend", backend)
	w.configure("release", "frontend", frontend)
}

func releaseName(number int) string { return fmt.Sprintf("%040d", number) }

func (w *env) serves(number int) {
	w.t.Helper()
	if r := newSite(w.t, w).get("https://momentstudio.test/assets/app-config.js"); !strings.Contains(r.body,
		releaseName(number)) {
		w.t.Errorf("browsers get another release than %d:\n%s", number, r.body)
	}
}

var bundleName = regexp.MustCompile(`main\.[0-9a-f]{16}\.js`)

// releases roll out a release with a change of the edge under load, and go back again.
func releases(t *testing.T, w *env) {
	w.openToCrowd()
	first := w.configured("release")
	site := newSite(t, w)
	oldBundle := bundleName.FindString(site.get("https://momentstudio.test/").body)
	backend, frontend := w.releaseImages(images.Options{Release: "second"}, nil)

	crowd := startLoad(t, w, "release")
	w.release(2, backend, frontend)
	w.configure("edge", "maxUploadMB", 600)
	w.mustUpdate()
	w.serves(2)
	newBundle := bundleName.FindString(site.get("https://momentstudio.test/").body)
	if oldBundle == newBundle || oldBundle == "" {
		t.Fatalf("both releases have the bundle %q", oldBundle)
	}
	for _, name := range []string{oldBundle, newBundle} {
		if r := site.get("https://momentstudio.test/" + name); r.status != 200 ||
			!strings.Contains(r.header.Get("Content-Type"), "javascript") ||
			!strings.Contains(r.header.Get("Cache-Control"), "immutable") ||
			len(r.header.Values("Content-Security-Policy")) != 1 {
			t.Errorf("bundle %s: status %d, %v", name, r.status, r.header)
		}
	}

	out, err := w.studio("rollback", "--yes", "--config-file", w.s.ConfigFile(), "--ca", w.s.CAFile())
	if err != nil {
		t.Fatalf("studio rollback: %v\n%s", err, tail(out, 60))
	}
	w.serves(1)
	if r := site.get("https://momentstudio.test/" + newBundle); r.status != 200 {
		t.Errorf("a page of the release that was rolled back does not find its bundle: status %d", r.status)
	}
	if now := w.configured("release"); now["backend"] != first["backend"] || now["frontend"] != first["frontend"] {
		t.Errorf("the stack's file names %v, want %v", now, first)
	}
	crowd.stop(t, w, 500)
}

// changes makes each kind of change alone, under a load of its own.
func changes(t *testing.T, w *env) {
	w.openToCrowd()
	first := w.configured("release")
	backend, frontend := first["backend"].(string), first["frontend"].(string)
	nextBackend, nextFrontend := w.releaseImages(images.Options{Release: "each"}, nil)
	login := 1
	if n, ok := w.configured("secrets")["databaseLogin"].(int); ok {
		login = n
	}
	table := "\n| change | requests a second | requests | failed | rows written | rows lost " +
		"|\n|---|---:|---:|---:|---:|---:|\n"
	for _, c := range []struct {
		name   string
		change func()
	}{
		{"backend release", func() { w.release(2, nextBackend, frontend); w.mustUpdate(); w.serves(2) }},
		{"frontend release", func() { w.release(3, nextBackend, nextFrontend); w.mustUpdate(); w.serves(3) }},
		{"settings", func() { w.configure("app", "siteName", "another name"); w.mustUpdate() }},
		{"Caddy configuration", func() { w.configure("edge", "maxUploadMB", 620); w.mustUpdate() }},
		{"rotation of the database's login", func() {
			w.configure("secrets", "databaseLogin", login+1)
			w.mustUpdate()
			if n := w.sql("SELECT count(*) FROM pg_stat_activity WHERE usename = '" + w.login(login) + "'"); n != "0" {
				w.t.Errorf("%s connections of the old login are left", n)
			}
		}},
		{"rollback", func() {
			if out, err := w.studio("rollback", "--yes", "--config-file", w.s.ConfigFile(), "--ca", w.s.CAFile()); err != nil {
				w.t.Fatalf("studio rollback: %v\n%s", err, tail(out, 60))
			}
			w.serves(2)
		}},
	} {
		run := "each-" + strings.ReplaceAll(c.name, " ", "-")
		run = strings.ReplaceAll(run, "'", "")
		t.Run(c.name, func(t *testing.T) {
			w.t = t
			crowd := startCrowd(t, w, run)
			c.change()
			crowd.stop(t, w, 500)
			table += fmt.Sprintf("| %s | %.0f | %d | %d | %d | %d |\n", c.name, crowd.rate, crowd.requests, len(crowd.failures),
				crowd.accepted, crowd.lost)
		})
	}
	w.t = t
	t.Log(table)
	w.release(1, backend, frontend)
	w.mustUpdate()
}

// missingDatabaseImage asks for an image of Postgres that the registry does not have. Nothing may stop for it.
func (w *env) missingDatabaseImage(missing string) {
	w.t.Helper()
	back := w.keepConfig()
	defer back()
	task := w.host("docker ps -q --no-trunc --filter name=momentstudio-postgres.")
	w.configure("images", "postgres", missing)
	w.refuse("an image of the database that is not in the registry", "host-apply-images", "pull "+missing)
	if now := w.host("docker ps -q --no-trunc --filter name=momentstudio-postgres."); now != task {
		w.t.Errorf("the database's task was %s and is %s: it was stopped for an image that is not there", task, now)
	}
}

// failures are releases that cannot work: the old one keeps serving, the run tells the cause, and the
// next good one succeeds.
func failures(t *testing.T, w *env) {
	w.openToCrowd()
	release := w.configured("release")
	backend, frontend := release["backend"].(string), release["frontend"].(string)
	crowd := startLoad(t, w, "failures")
	before := w.host("docker service ls --format '{{.ID}} {{.Image}}' | sort")
	unchanged := func(when string) {
		t.Helper()
		if after := w.host("docker service ls --format '{{.ID}} {{.Image}}' | sort"); after != before {
			t.Errorf("%s, the services are\n%s\nwant\n%s", when, after, before)
		}
	}

	missing := strings.Split(backend, "@")[0] + "@sha256:" + strings.Repeat("0", 64)
	w.release(3, missing, frontend)
	w.refuse("an image that is not in the registry", "app-prepare", "pull "+missing, "Fix: ")
	unchanged("after an image that is not in the registry")

	w.release(1, backend, frontend)
	w.missingDatabaseImage(missing)
	w.configure("backend", "memoryMB", 262_144)
	w.refuse("a task that the host has no memory for", "MB of memory available", "backend.memoryMB")
	unchanged("after a task that the host has no memory for")
	w.configure("backend", "memoryMB", 512)

	broken := func(name, script string) {
		t.Helper()
		_, image := w.releaseImages(images.Options{Release: name}, map[string]func(*v1.ConfigFile){
			images.Frontend: instead(script),
		})
		w.release(3, backend, image)
	}
	broken("crashes", "word=printed; echo canary-$word; echo KeyError: canary-$word; sleep 5; exit 7")
	w.refuseSilently("a frontend that crashes after five seconds", "canary-printed", "momentstudio-frontend", "rollback",
		"the end of its log, without values", "KeyError", "lines are withheld")
	w.serves(1)
	if full {
		broken("deaf", "echo canary-deaf; sleep 1000")
		w.refuse("a frontend that never becomes healthy", "momentstudio-frontend", "rollback", "the end of its log",
			"unhealthy")
		w.serves(1)
		_, foreign := w.releaseImages(images.Options{Release: "foreign"},
			map[string]func(*v1.ConfigFile){images.Frontend: func(c *v1.ConfigFile) { c.Architecture = "arm64" }})
		w.release(3, backend, foreign)
		w.refuse("an image of another platform", "app-prepare", foreign+" is for linux/arm64, and the host is "+
			"linux/amd64")
		_, unseen := w.releaseImages(images.Options{Release: "unseen"}, nil)
		w.release(3, backend, unseen)
		w.withoutRegistry(unseen, func() {
			w.refuse("the registry does not answer", "app-prepare", "pull "+unseen, "connection refused")
		})
		w.serves(1)
		if out, err := w.pulumi("up", "--yes", "--skip-preview"); err == nil || !strings.Contains(out,
			"pull "+unseen) || !strings.Contains(out, "run `studio up`") {
			t.Errorf("a bare update does not repeat what failed: %v\n%s", err, tail(out, 30))
		}
		w.mustUpdate() // the same config, with the cause mended
		w.serves(3)
		back := w.keepConfig()
		w.configure("tls", "mode", "file")
		w.setSecret("tlsCertificate", "no certificate")
		w.setSecret("tlsKey", "no key")
		w.refuse("a certificate that is none", "tlsCertificate", "a chain of certificates in PEM")
		w.serves(3)
		back()
		// Whoever is replaced does not listen to SIGTERM: it is killed at the end of its grace, with no request lost.
		stubborn, _ := w.releaseImages(images.Options{Release: "stubborn"}, map[string]func(*v1.ConfigFile){
			images.Backend: instead(`[ "$1" = sh ] || exec /docker-entrypoint.sh "$@"
trap "" TERM; /docker-entrypoint.sh "$@" & while :; do wait; sleep 1; done`),
		})
		w.release(4, stubborn, frontend)
		w.mustUpdate()
		w.serves(4)
	}
	w.release(1, backend, frontend)
	w.mustUpdate()
	w.serves(1)
	crowd.stop(t, w, 500)
}

// turns are two updates at once, of which the second learns who is at it, or waits. They have a service to
// mend that was changed behind the engine's back, and a timer to change.
func turns(t *testing.T, w *env) {
	w.host("docker service update --quiet --env-add BEHIND_YOUR_BACK=1 momentstudio-frontend")
	out, err := w.studio("verify", "--limit", "30s", "--config-file", w.s.ConfigFile(), "--ca", w.s.CAFile())
	if err == nil || !strings.Contains(out, "momentstudio-frontend: it has the setting BEHIND_YOUR_BACK") {
		t.Errorf("verify finds nothing: %v\n%s", err, tail(out, 20))
	}
	pruneAt := w.otherPruneTime()
	var names []string
	for _, s := range w.preview() {
		names = append(names, s.name())
	}
	if !slices.Contains(names, "host-apply-job") {
		t.Errorf("the preview of another time shows %q", names)
	}

	w.host(": > /run/lock/momentstudio-services.lock")
	var first string
	var firstErr error
	var done sync.WaitGroup
	done.Add(1)
	go func() {
		defer done.Done()
		first, firstErr = w.update()
	}()
	// Looked at, not tried: who tries has it for a moment, and the update would find it taken. Who has it writes that
	// down.
	const held = "[ -s /run/lock/momentstudio-services.lock ] && echo held || true"
	for deadline := time.Now().Add(time.Minute); !strings.Contains(w.host(held),
		"held"); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			done.Wait()
			t.Fatalf("the first update does not take the lock: %v\n%s", firstErr, tail(first, 20))
		}
	}
	if out, err := w.update(); err == nil || !strings.Contains(out, "being changed by root on") || !strings.Contains(out,
		"an update of stack") {
		t.Errorf("the second update does not tell who is at it: %v\n%s", err, tail(out, 20))
	} else {
		explains(t, "two updates at once", finalMessage("studio", out), w.secretValues()...)
	}
	if out := w.host("systemctl start momentstudio-prune.service; journalctl -u momentstudio-prune.service -o cat " +
		"--since -5min"); !strings.Contains(out, "nothing is pruned this time") {
		t.Errorf("images are pruned in the middle of an update:\n%s", out)
	}
	out, err = w.update("--wait", "5m")
	done.Wait()
	if err != nil || !strings.Contains(out, "verified: ") {
		t.Errorf("the one that waits: %v\n%s", err, tail(out, 40))
	}
	if firstErr != nil || !strings.Contains(first, "BEHIND_YOUR_BACK") {
		t.Errorf("the first: %v\n%s", firstErr, tail(first, 40))
	}
	if out := w.host("systemctl show momentstudio-prune.timer -p TimersCalendar"); !strings.Contains(out, pruneAt+":00") {
		t.Errorf("the timer keeps its time: %s", out)
	}
	if env := w.host("docker service inspect momentstudio-frontend --format '{{json " +
		".Spec.TaskTemplate.ContainerSpec.Env}}'"); strings.Contains(env, "BEHIND_YOUR_BACK") {
		t.Errorf("the update does not mend the service: %s", env)
	}
}

// otherPruneTime changes when images are pruned: a change of a timer, for which all jobs run. It has two times, and
// returns the one that it set.
func (w *env) otherPruneTime() string {
	w.t.Helper()
	at := "05:15"
	if w.configured("host")["pruneAt"] == at {
		at = "05:25"
	}
	w.configure("host", "pruneAt", at)
	return at
}

// withoutRegistry does something while the host cannot reach the registry of an image.
func (w *env) withoutRegistry(image string, do func()) {
	w.t.Helper()
	address, _, _ := strings.Cut(image, "/")
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		w.t.Fatalf("image %s: %v", image, err)
	}
	rule := fmt.Sprintf("OUTPUT -p tcp -d %s --dport %s -j REJECT --reject-with tcp-reset", host, port)
	w.host("iptables -w 10 -I " + rule)
	defer w.host("iptables -w 10 -D " + rule)
	do()
}

// fillVolume takes all that the data volume has left, also what its file system keeps for root, so that Postgres
// itself dies of it; crowdVolume leaves it a little; emptyVolume gives it back.
const (
	crowdVolume = "fallocate -l $(($(df --output=avail --block-size=1M /mnt/momentstudio | tail -n 1) - 200))M " +
		"/mnt/momentstudio/filler-1"
	fillVolume = `n=0; for size in 1G 100M 10M 1M 64K 4K; do
while n=$((n+1)); fallocate -l $size /mnt/momentstudio/filler-$n 2>/dev/null; do :; done; done`
	emptyVolume = "rm -f /mnt/momentstudio/filler-*"
)

// fullVolume updates to a release that migrates, while the data volume is full, and while it fills up once the update
// has looked at it.
func (w *env) fullVolume() {
	w.t.Helper()
	rows, files, schema := w.rows(), w.files(), w.sql("SELECT version_num FROM alembic_version")
	w.host(crowdVolume)
	w.refuse("the data volume is full", "app-prepare", "the data volume has ", "raise host.volumeSizeGB")
	w.host(emptyVolume)

	w.host(`setsid sh -c 'timeout 600 docker events --filter type=container --filter event=die \
  --format "{{.Actor.Attributes.name}}" | { grep -m 1 -q app-prepare; ` + crowdVolume + `; }' >/dev/null 2>&1 &`)
	w.refuse("the data volume fills up in the middle of an update", "app-migrate", "back up the database before "+
		"its migration", "raise host.volumeSizeGB")
	w.host(emptyVolume)
	w.awaitHost()
	w.holds("after the volume was full", rows, files)
	if now := w.sql("SELECT version_num FROM alembic_version"); now != schema {
		w.t.Errorf("the schema is at %s, was at %s", now, schema)
	}
}

// pruning removes what nothing needs, by the timer's own service.
func pruning(t *testing.T, w *env) {
	if out := w.host("systemctl list-timers --all --no-pager"); !strings.Contains(out, "momentstudio-prune.timer") {
		t.Errorf("no timer of ours:\n%s", out)
	}
	jobs := w.host("docker ps -aq --filter status=exited | sort")
	unneeded := strings.Split(w.configured("release")["backend"].(string), "@")[0] + ":unneeded"
	w.host("printf x > /tmp/x && tar -C /tmp -cf - x | docker import - " + unneeded)
	if !strings.Contains(w.host("docker images --format '{{.Repository}}:{{.Tag}}'"), unneeded) {
		t.Fatal("the image to remove is not there")
	}
	w.host("systemctl start momentstudio-prune.service")
	have := w.host("docker images --digests --format '{{.Repository}}:{{.Tag}}@{{.Digest}}'")
	if strings.Contains(have, unneeded) {
		t.Errorf("the image that nothing needs is still there:\n%s", have)
	}
	for _, record := range strings.Fields(w.host("ls /mnt/momentstudio/releases/*.json")) {
		for _, ref := range regexp.MustCompile(`sha256:[0-9a-f]{64}`).FindAllString(w.host("cat "+record), -1) {
			if !strings.Contains(have, ref) {
				t.Errorf("image %s of a kept release is gone:\n%s", ref, have)
			}
		}
	}
	if after := w.host("docker ps -aq --filter status=exited | sort"); after != jobs {
		t.Error("containers of jobs are gone")
	}
	if out := w.host("apt-config dump"); !strings.Contains(out, `Unattended-Upgrade::Automatic-Reboot-Time "03:30"`) {
		t.Error("APT does not know of the reboot window")
	}
}

// migrations go forward once, back only where that is declared, and never without a dump.
func migrations(t *testing.T, w *env) {
	release := w.configured("release")
	backend, frontend := release["backend"].(string), release["frontend"].(string)
	older, _ := w.releaseImages(images.Options{Release: "older", OmitHeadMigration: true}, nil)

	// An older release over a newer schema.
	w.release(5, older, frontend)
	w.refuse("an older release over a newer schema",
		"the database is at revision "+images.HeadRevision, "release.compatibleRevisions", "alembic downgrade")
	w.serves(1)
	w.configure("release", "compatibleRevisions", []string{images.HeadRevision})
	w.mustUpdate()
	w.serves(5)

	// The other way out: the schema goes back with the newer image. Then a newer release migrates.
	task := func(image, arguments string) string {
		return "docker run --rm --network momentstudio-app --env RUN_DB_MIGRATIONS=0 --env ENVIRONMENT=production --mount " +
			"type=bind,source=/etc/momentstudio/secrets/app.env,target=/app/.env,readonly " + image + " " + arguments
	}
	w.host(task(backend, "alembic downgrade -1"))
	w.configure("release", "compatibleRevisions", []string{})
	dumps := func() int {
		n, err := strconv.Atoi(w.host("ls /mnt/momentstudio/backups/before-migration | grep -c '[.]dump$' || true"))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if full {
		w.release(6, backend, frontend)
		w.fullVolume()
		w.serves(5)
	}
	w.migrationThatWaits(t, 6, backend, frontend)
	w.serves(5)
	had := dumps()
	failing := w.migrationThatFails(t, 6, frontend)
	w.serves(5)
	if got := dumps(); got != had+1 {
		t.Errorf("%d dumps, want one more than %d", got, had)
	}

	// Several migration jobs at the same time: one migrates.
	jobs := 5
	if full {
		jobs = 20
	}
	command := w.host("docker inspect --format '{{json .Config.Image}} {{join .Args \" \"}}' $(docker ps -aq --filter " +
		"name=app-migrate | head -1)")
	image, arguments, _ := strings.Cut(command, " ")
	arguments = strings.ReplaceAll(arguments, failing, backend)
	if !strings.Contains(arguments, backend) {
		t.Fatalf("the migration's arguments are %q", arguments)
	}
	out := w.host(fmt.Sprintf(`for n in $(seq %d); do
docker run --rm --network momentstudio-app --cap-drop ALL --cap-add DAC_OVERRIDE \
  -v /var/run/docker.sock:/var/run/docker.sock -v /etc/momentstudio/secrets:/etc/momentstudio/secrets:ro \
  -v /mnt/momentstudio/backups/before-migration:/mnt/momentstudio/backups/before-migration %s %s \
  >/tmp/migrate-$n 2>&1 || echo failed $n >>/tmp/migrate-$n &
done; wait; cat /tmp/migrate-*`, jobs, image, arguments))
	if got := strings.Count(out, "Running upgrade"); got != 1 || strings.Contains(out, "failed") || strings.Count(out,
		"is at "+images.HeadRevision+" already") != jobs-1 {
		t.Errorf("%d of %d migrated:\n%s", got, jobs, tail(out, 80))
	}
	if got := dumps(); got != had+2 {
		t.Errorf("%d dumps, want two more than %d", got, had)
	}
	newest := w.host("ls -t /mnt/momentstudio/backups/before-migration/*.dump | head -1")
	if mode := w.host("stat -c '%a %U' " + newest); mode != "600 root" {
		t.Errorf("%s has mode and owner %s", newest, mode)
	}
	if rows := w.host("docker exec -i $(docker ps -q --filter name=momentstudio-postgres. | head -1) pg_restore " +
		"--data-only -t support_messages -f - < " + newest + " | grep -c client"); rows == "0" {
		t.Error("the dump holds no row of the customers")
	}
	w.release(1, backend, frontend)
	w.mustUpdate()
	w.serves(1)
}

// reboot restarts the host in the middle of a release: it comes back with one release, whichever.
func reboot(t *testing.T, w *env) {
	first := w.configured("release")
	backend, frontend := w.releaseImages(images.Options{Release: "seventh"}, nil)
	w.release(7, backend, frontend)
	cmd := exec.CommandContext(w.ctx, w.s.Program("studio"), "up", "--stack", w.s.Stack,
		"--config-file", w.s.ConfigFile(), "--ca", w.s.CAFile())
	cmd.Dir, cmd.Env = w.s.Project, w.s.Env(w.tools)
	var out bytes.Buffer
	seen := &trigger{out: &out, word: "app-backend updating", hit: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = seen, seen
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case <-seen.hit:
	case err := <-ended:
		t.Fatalf("the update ended before its backend's turn: %v\n%s", err, tail(out.String(), 40))
	}
	w.reboot()
	err := <-ended
	t.Logf("the update that met the reboot ended with: %v", err)
	deadline := time.Now().Add(4 * time.Minute)
	for {
		versions := w.host(`for s in backend media-worker; do
docker ps -q --filter label=com.docker.swarm.service.name=momentstudio-$s --filter health=healthy
done 2>/dev/null | xargs -r docker inspect --format '{{.Config.Image}}' | sort -u || true`)
		if versions == backend || versions == first["backend"] {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("after the reboot, these run: %q", versions)
		}
		time.Sleep(2 * time.Second)
	}
	w.mustUpdate()
	w.serves(7)
	w.release(1, first["backend"].(string), first["frontend"].(string)) // with the next update
}

// trigger tells when a word was printed.
type trigger struct {
	out  *bytes.Buffer
	word string
	hit  chan struct{}
	once sync.Once
}

func (w *trigger) Write(p []byte) (int, error) {
	n, err := w.out.Write(p)
	if strings.Contains(w.out.String(), w.word) {
		w.once.Do(func() { close(w.hit) })
	}
	return n, err
}

// closeToCrowd ends what openToCrowd and sftpDestination began, and looks at what the rotations left.
func closeToCrowd(t *testing.T, w *env) {
	w.configure("edge", "rateLimits", true)
	w.configureApp("captcha", map[string]any{"enabled": true})
	w.configure("app", "maintenanceMode", true)
	if w.configured("backup")["sftp"] != nil {
		w.mustPulumi("config", "rm", "momentstudio:backupSftpKey")
		w.configure("backup", "sftp", nil)
	}
	w.mustUpdate()
	w.afterRotations()
	w.mustPulumi("preview", "--diff", "--expect-no-changes")
	w.configure("app", "maintenanceMode", false) // with the next update
}
