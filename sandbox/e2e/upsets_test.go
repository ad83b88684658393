package e2e

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// tasks are the containers of all services, by service.
func (w *world) tasks() map[string][]string {
	w.t.Helper()
	found := map[string][]string{}
	for line := range strings.Lines(w.host(`docker ps --filter label=com.docker.swarm.service.name --format '{{.Label "com.docker.swarm.service.name"}} {{.ID}}'`)) {
		service, id, _ := strings.Cut(strings.TrimSpace(line), " ")
		found[service] = append(found[service], id)
		slices.Sort(found[service])
	}
	return found
}

// container is a shell word for the container of a service.
func container(service string) string {
	return "$(docker ps -q --filter label=com.docker.swarm.service.name=momentstudio-" + service + " | head -1)"
}

// upset does something to a running shop, and looks at who died of it: only those who may. At its end all of them are back, the
// shop serves, and no row is lost.
func (w *world) upset(name string, mayDie []string, do func()) {
	w.t.Helper()
	before, rows := w.tasks(), w.rows()
	if len(before) < 6 {
		w.t.Fatalf("%s: only %v run", name, before)
	}
	do()
	w.awaitHost()
	for service, ids := range w.tasks() {
		if part := strings.TrimPrefix(service, "momentstudio-"); !slices.Contains(mayDie, part) && !slices.Equal(ids, before[service]) {
			w.t.Errorf("%s: %s died of it:\n%s", name, service, w.host("docker service ps --no-trunc "+service))
		}
	}
	now := w.rows()
	for table := range rows {
		if now[table] != rows[table] {
			w.t.Errorf("%s: table %s is %q, was %q", name, table, now[table], rows[table])
		}
	}
	if r := newSite(w.t, w).get("https://momentstudio.test/api/v1/health/ready"); r.status != 200 {
		w.t.Errorf("%s: the API answers %d: %s", name, r.status, r.body)
	}
}

// upsets happen to every shop: its database fails, and only that.
func upsets(t *testing.T, w *world) {
	w.upset("Postgres is killed", []string{"postgres"}, func() {
		w.host("docker kill " + container("postgres"))
		w.host("for n in $(seq 240); do [ \"$(docker inspect --format '{{.State.Health.Status}}' " + container("postgres") + " 2>/dev/null)\" = healthy ] && exit; sleep 0.5; done; exit 1")
		if r := newSite(t, w).get("https://momentstudio.test/api/v1/theme"); r.status != 200 { // a pool with dead connections would answer 500
			time.Sleep(5 * time.Second)
			if r := newSite(t, w).get("https://momentstudio.test/api/v1/theme"); r.status != 200 {
				t.Errorf("with Postgres back, the API answers %d: %s", r.status, r.body)
			}
		}
	})

	if !full {
		return
	}

	// Postgres answers nobody, and does not end when it is asked to.
	w.upset("Postgres hangs", []string{"postgres"}, func() {
		first := w.tasks()["momentstudio-postgres"]
		w.host("kill -STOP $(docker inspect --format '{{.State.Pid}}' " + container("postgres") + ")")
		for deadline := time.Now().Add(6 * time.Minute); slices.Equal(w.tasks()["momentstudio-postgres"], first); time.Sleep(3 * time.Second) {
			if time.Now().After(deadline) {
				t.Fatal("nobody replaces a Postgres that hangs")
			}
		}
	})
	w.mustPulumi("preview", "--diff", "--expect-no-changes")
}
