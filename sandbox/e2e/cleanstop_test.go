package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// cleanStops restart each service as an update does. Every program must end by itself when it is asked to: one that is
// killed leaves a database to recover, a queue to repair, or a request without an answer.
func cleanStops(t *testing.T, w *env) {
	rows := w.rows()
	for _, services := range [][]string{
		{"postgres", "redis"}, {"backend", "media-worker", "schedulers", "frontend", "caddy"},
	} {
		old := map[string]string{}
		for _, s := range services {
			old[s] = w.host("docker ps -q --no-trunc --filter label=com.docker.swarm.service.name=momentstudio-" + s +
				" | head -1")
			w.host("docker service update --quiet --detach --force momentstudio-" + s)
		}
		for _, s := range services {
			w.host(fmt.Sprintf("for n in $(seq 900); do [ \"$(docker inspect --format '{{.State.Running}}' %s)\" = false ] && "+
				"exit 0; sleep 0.2; done; exit 1", old[s]))
		}
		w.awaitHost()
		for _, s := range services {
			code := w.host("docker inspect --format '{{.State.ExitCode}}' " + old[s])
			log := w.host("docker logs --tail 40 " + old[s] + " 2>&1")
			if code == "137" || strings.Contains(log, "Unexpected error when forwarding signal") {
				t.Errorf("%s was killed, exit code %s:\n%s", s, code, tail(log, 20))
			}
			switch s {
			case "postgres":
				if code != "0" || !strings.Contains(log, "database system is shut down") {
					t.Errorf("Postgres did not shut down, exit code %s:\n%s", code, tail(log, 20))
				}
			case "redis":
				if code != "0" || !strings.Contains(log, "ready to exit") {
					t.Errorf("Redis did not shut down, exit code %s:\n%s", code, tail(log, 20))
				}
			}
		}
	}
	if log := w.host("docker logs " + container("postgres") + " 2>&1"); strings.Contains(log, "automatic recovery") {
		t.Errorf("the database recovers from a crash:\n%s", tail(log, 20))
	}
	w.holds("after the restarts", rows, w.files())
}
