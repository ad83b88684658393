package e2e

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// tasks are the containers of all services, by service.
func (w *env) tasks() map[string][]string {
	w.t.Helper()
	found := map[string][]string{}
	listed := w.host(`docker ps --filter label=com.docker.swarm.service.name ` +
		`--format '{{.Label "com.docker.swarm.service.name"}} {{.ID}}'`)
	for line := range strings.Lines(listed) {
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

// crash breaks a part of a running shop. Only the parts in mayDie are replaced; at the end all parts are back, the
// shop serves, and no row is lost.
func (w *env) crash(name string, mayDie []string, do func()) {
	w.t.Helper()
	before, rows := w.tasks(), w.rows()
	if len(before) < 6 {
		w.t.Fatalf("%s: only %v run", name, before)
	}
	do()
	w.awaitHost()
	for service, ids := range w.tasks() {
		if part := strings.TrimPrefix(service, "momentstudio-"); !slices.Contains(mayDie, part) && !slices.Equal(ids,
			before[service]) {
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

// inBackend runs Python in the API's container: text that defines work().
func (w *env) inBackend(text string) string {
	w.t.Helper()
	program := "import asyncio\nfrom app.services import media, redis_client\n" + text + "\nasyncio.run(work())\n"
	return w.host("docker exec -i " + container("backend") + " python - <<'P'\n" + program + "P")
}

// damagedRedis kills Redis and damages its append-only file, with which Redis alone would never start. Redis starts,
// and jobs that its queue lost are done: one that waits, and one that was interrupted.
func (w *env) damagedRedis() {
	w.t.Helper()
	ids := strings.Fields(w.sql("SELECT id FROM media_jobs WHERE status = 'completed' ORDER BY created_at DESC LIMIT 2"))
	if len(ids) < 2 {
		newSite(w.t, w).upload(w)
		ids = strings.Fields(w.sql("SELECT id FROM media_jobs WHERE status = 'completed' ORDER BY created_at DESC LIMIT 2"))
	}
	if len(ids) != 2 {
		w.t.Fatalf("there are %d media jobs, want two", len(ids))
	}
	for what, damage := range map[string]string{
		"has junk at its end": "for f in *.incr.aof; do head -c 4096 /dev/zero >> $f; echo junk >> $f; done",
		"has no manifest":     "head -c 4096 /dev/zero > appendonly.aof.manifest",
		"is of a newer Redis": "for f in *.aof *.rdb; do echo REDIS9999 > $f; done",
	} {
		w.crash("Redis's file "+what, []string{"redis"}, func() {
			w.host("docker kill " + container("redis") + "; cd /mnt/momentstudio/redis/appendonlydir; " + damage + "; sleep 5")
		})
	}
	const set, ago = "UPDATE media_jobs SET status = ", " = now() - interval '3 hours' WHERE id = '"
	w.sql(set + "'queued', attempt = 0, created_at" + ago + ids[0] + "'")
	w.sql(set + "'processing', attempt = 1, started_at" + ago + ids[1] + "'")
	w.host("systemctl start momentstudio-media-jobs.service")
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Second) {
		open := w.sql("SELECT count(*) FROM media_jobs WHERE status IN ('queued', 'processing')")
		if open == "0" {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("%s media jobs are not done:\n%s", open, w.host("journalctl -n 20 -u momentstudio-media-jobs"))
		}
	}
}

// databaseCrash kills the database, which kills no other part.
func databaseCrash(t *testing.T, w *env) {
	w.giveUpload()
	w.crash("Postgres is killed",
		[]string{"postgres"}, func() {
			w.host("docker kill " + container("postgres"))
			w.host("for n in $(seq 240); do [ \"$(docker inspect --format '{{.State.Health.Status}}' " + container("postgres") +
				" 2>/dev/null)\" = healthy ] && exit; sleep 0.5; done; exit 1")
			// a pool with dead connections would answer 500
			if r := newSite(t, w).get("https://momentstudio.test/api/v1/theme"); r.status != 200 {
				time.Sleep(5 * time.Second)
				if r := newSite(t, w).get("https://momentstudio.test/api/v1/theme"); r.status != 200 {
					t.Errorf("with Postgres back, the API answers %d: %s", r.status, r.body)
				}
			}
		})

	w.damagedRedis()

	if !full {
		return
	}

	// Postgres answers nobody, and does not end when it is asked to.
	// Its health check fails for a minute; then Swarm replaces it.
	w.crash("Postgres hangs", []string{"postgres"}, func() {
		first := w.tasks()["momentstudio-postgres"]
		w.host("kill -STOP $(docker top " + container("postgres") + " -eo pid | tail -n +2)")
		for deadline := time.Now().Add(6 * time.Minute); slices.Equal(w.tasks()["momentstudio-postgres"],
			first); time.Sleep(3 * time.Second) {
			if time.Now().After(deadline) {
				t.Fatal("nobody replaces a Postgres that hangs")
			}
		}
	})

	// Redis takes no more: queueing fails, as the application says, and the rest goes on. The worker cannot tell Redis
	// that it lives.
	w.crash("Redis is full", nil, func() {
		if out := w.inBackend(`async def work():
    for n in range(10000):
        try: await redis_client.client.set(f"filler:{n}", "x" * 1000000)
        except Exception as e: return print("full after", n, e)`); !strings.Contains(out, "OOM") {
			t.Fatalf("Redis is not full: %s", out)
		}
		site := newSite(t, w)
		// longer than health checks look on
		for began := time.Now(); time.Since(began) < 150*time.Second; time.Sleep(5 * time.Second) {
			for _, path := range []string{"/", "/api/v1/theme", "/api/v1/health/ready"} {
				if r := site.get("https://momentstudio.test" + path); r.status != 200 {
					t.Errorf("with a full Redis, GET %s is answered with %d: %s", path, r.status, r.body)
				}
			}
		}
		w.inBackend(`async def work():
    async for key in redis_client.client.scan_iter("filler:*"): await redis_client.client.delete(key)`)
	})

	// A job that takes longer than five minutes, in which the worker gives no sign of life.
	w.crash("the worker has a long job", nil, func() {
		id := w.sql("SELECT j.id FROM media_jobs j JOIN media_assets a ON a.id = j.asset_id WHERE j.status = 'completed' " +
			"ORDER BY j.created_at DESC LIMIT 1")
		w.host("docker exec -d " + container("postgres") + " psql -U postgres -d adrianaart -c 'BEGIN; LOCK TABLE " +
			"media_variants IN EXCLUSIVE MODE; SELECT pg_sleep(330); COMMIT'")
		for w.sql("SELECT count(*) FROM pg_locks WHERE relation = 'media_variants'::regclass AND mode = 'ExclusiveLock' "+
			"AND granted") == "0" {
			time.Sleep(time.Second)
		}
		w.sql("UPDATE media_jobs SET status = 'queued', attempt = 0 WHERE id = '" + id + "'")
		w.inBackend(`async def work(): await media.push("` + id + `")`)
		began := time.Now()
		for state := ""; state != "completed"; time.Sleep(2 * time.Second) {
			if state = w.sql("SELECT status FROM media_jobs WHERE id = '" + id + "'"); time.Since(began) > 8*time.Minute {
				t.Fatalf("the job is %q", state)
			}
		}
		if took := time.Since(began); took < 5*time.Minute {
			t.Errorf("the job took %s: nothing is shown", took)
		}
	})
	w.mustPulumi("preview", "--diff", "--expect-no-changes")
}
