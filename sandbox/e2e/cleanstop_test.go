package e2e

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// allServices are in the order in which they start to answer.
var allServices = []string{"postgres", "redis", "backend", "media-worker", "schedulers", "frontend", "caddy"}

// cleanStops restart each service as an update does. Every program must end by itself when it is asked to: one that is
// killed leaves a database to recover, a queue to repair, or a request without an answer.
func cleanStops(t *testing.T, w *env) {
	rows := w.rows()
	for _, services := range [][]string{
		{"postgres", "redis"}, {"backend", "media-worker", "schedulers", "frontend", "caddy"},
	} {
		old := w.containers(services)
		for _, s := range services {
			w.host("docker service update --quiet --detach --force momentstudio-" + s)
		}
		for _, s := range services {
			w.host(fmt.Sprintf("for n in $(seq 900); do [ \"$(docker inspect --format '{{.State.Running}}' %s)\" = false ] && "+
				"exit 0; sleep 0.2; done; exit 1", old[s]))
		}
		w.awaitHost()
		w.endedByThemselves(old)
	}
	w.holds("after the restarts", rows, w.files())
}

// hostStops restart the Docker engine and then the host, while visitors come. Docker would kill each task after ten
// seconds; the host's command lets them end first, from the edge inwards, so that what the edge took is answered.
func hostStops(t *testing.T, w *env) {
	w.openToCrowd()
	w.growVolume()
	for _, stop := range []struct {
		name    string
		restart func()
	}{
		{"a restart of Docker", func() { w.host("systemctl restart docker.service") }},
		// Where the kernel cannot grow a mounted file system, it grows now.
		{"a reboot", w.reboot},
	} {
		t.Run(stop.name, func(t *testing.T) {
			rows, old := w.rows(), w.containers(allServices)
			visitors := startLoad(t, w, "stop"+fmt.Sprint(len(stop.name)))
			time.Sleep(slowRequest)
			began := time.Now()
			stop.restart()
			w.awaitHost()
			t.Logf("all services run again %s after the stop began", time.Since(began).Round(time.Second))
			time.Sleep(slowRequest) // some are served by the new tasks
			w.endedByThemselves(old)
			visitors.answered(t, w)
			now := w.rows()
			delete(rows, "support_messages") // the visitors' own
			for table, sum := range rows {
				if now[table] != sum {
					t.Errorf("table %s is %q, was %q", table, now[table], sum)
				}
			}
		})
	}
	if size := w.host("df -BG --output=size /mnt/momentstudio | tail -1 | tr -dc 0-9"); size < "11" || size > "12" {
		t.Errorf("the file system has %s GB after the volume has grown to 12", size)
	}
	if out, err := w.studio("verify", "--config-file", w.s.ConfigFile(), "--ca", w.s.CAFile()); err != nil {
		t.Errorf("after the reboot: %v\n%s", err, tail(out, 20))
	}
}

// growVolume raises the volume's size in place. `up` fails when the file system did not grow with it.
func (w *env) growVolume() {
	w.t.Helper()
	w.configure("host", "volumeSizeGB", 12)
	out, err := w.update()
	if err == nil && strings.TrimSpace(w.host("cat /etc/momentstudio/filesystem-size")) > "11000000000" {
		w.t.Log("this kernel grew the mounted file system")
		return
	}
	if err == nil || !strings.Contains(out, "its file system only") {
		w.t.Fatalf("an update that grows the volume: %v\n%s", err, tail(out, 30))
	}
	w.applied = w.readFile()
	if out, err := w.studio("status"); err == nil || !strings.Contains(out, "its file system only") {
		w.t.Errorf("studio status: %v\n%s", err, tail(out, 30))
	}
	if found := w.lastingDrift(); !strings.Contains(found["volume /mnt/momentstudio"], "reboot") {
		w.t.Errorf("drift does not name the file system: %v", found)
	}
}

// reboot lets the host shut down in order, and starts it again.
func (w *env) reboot() {
	w.t.Helper()
	out, err := exec.CommandContext(w.ctx, "docker", "restart", "--time", "180", w.hostID()).CombinedOutput()
	if err != nil {
		w.t.Fatalf("reboot the host: %v\n%s", err, out)
	}
}

// containers are those of one task of each service.
func (w *env) containers(services []string) map[string]string {
	w.t.Helper()
	ids := map[string]string{}
	for _, s := range services {
		ids[s] = w.host("docker ps -q --no-trunc --filter label=com.docker.swarm.service.name=momentstudio-" + s +
			" | head -1")
	}
	return ids
}

// endedByThemselves looks at how containers ended that were asked to.
func (w *env) endedByThemselves(old map[string]string) {
	w.t.Helper()
	for s, id := range old {
		code := w.host("docker inspect --format '{{.State.ExitCode}}' " + id)
		log := w.host("docker logs --tail 40 " + id + " 2>&1")
		if code == "137" || strings.Contains(log, "Unexpected error when forwarding signal") {
			w.t.Errorf("%s was killed, exit code %s:\n%s", s, code, tail(log, 20))
		}
		said := map[string]string{"postgres": "database system is shut down", "redis": "ready to exit"}[s]
		if said != "" && (code != "0" || !strings.Contains(log, said)) {
			w.t.Errorf("%s did not shut down, exit code %s:\n%s", s, code, tail(log, 20))
		}
	}
	if log := w.host("docker logs " + container("postgres") + " 2>&1"); strings.Contains(log, "automatic recovery") {
		w.t.Errorf("the database recovers from a crash:\n%s", tail(log, 20))
	}
}
