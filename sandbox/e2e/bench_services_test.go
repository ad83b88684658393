package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// startScript starts the shop's services as an operator would who has their definitions: database and queue first,
// then the rest at once.
const startScript = `set -e
cd /tmp/services
create() {
  curl -sf --unix-socket /var/run/docker.sock -H 'Content-Type: application/json' -d @$1.json \
    http://docker/services/create >/dev/null
}
healthy() {
  until docker ps --filter label=com.docker.swarm.service.name=$1 --filter health=healthy -q | grep -q .; do
    sleep 0.2
  done
}
create momentstudio-postgres; create momentstudio-redis
healthy momentstudio-postgres; healthy momentstudio-redis
for f in *.json; do s=${f%.json}; case $s in momentstudio-postgres|momentstudio-redis) ;; *) create $s ;; esac; done
`

// BenchmarkServices compares an update that starts all services of the shop, and verifies them, with a script that
// posts the very same definitions to the engine. Host, images and data are there already in both cases: Hetzner's
// part is nobody's doing.
func BenchmarkServices(b *testing.B) {
	w := newEnv(b, chosen.sandbox)
	began := time.Now()
	w.up()
	first := time.Since(began)
	w.host(`mkdir -p /tmp/services && for s in $(docker service ls --format '{{.Name}}'); do
  docker service inspect --format '{{json .Spec}}' $s > /tmp/services/$s.json; done`)
	if n := len(strings.Fields(w.host("ls /tmp/services"))); n < 6 {
		b.Fatalf("only %d services run", n)
	}
	stop := func() {
		w.host("docker service rm $(docker service ls -q) >/dev/null; while [ -n \"$(docker ps -q --filter " +
			"label=com.docker.swarm.service.name)\" ]; do sleep 0.2; done; sleep 2")
	}
	for range b.N {
		var scripted, ours []time.Duration
		for range 3 {
			stop()
			began := time.Now()
			w.host(startScript)
			w.awaitSite(b, began)
			scripted = append(scripted, time.Since(began))
			stop()
			began = time.Now()
			w.mustUpdate()
			ours = append(ours, time.Since(began))
			w.awaitSite(b, began)
		}
		ratio := median(ours).Seconds() / median(scripted).Seconds()
		b.ReportMetric(ratio, "up/script")
		b.Logf("\n| | |\n|---|---:|\n| the script, until the site serves | %.1f s |\n| `studio up`, until it has verified "+
			"all | %.1f s |\n| ratio | %.2f |\n| the whole first run of the sandbox, with host and clouds | %.1f s |\n",
			median(scripted).Seconds(), median(ours).Seconds(), ratio, first.Seconds())
	}
}

// awaitSite waits until page and API are served.
func (w *env) awaitSite(b *testing.B, began time.Time) {
	b.Helper()
	client := newSite(b, w).client
	serves := func(path string) bool {
		r, err := client.Get("https://momentstudio.test" + path)
		if err != nil {
			return false
		}
		defer r.Body.Close()
		return r.StatusCode == 200
	}
	for !serves("/") || !serves("/api/v1/health/ready") {
		if time.Since(began) > 5*time.Minute {
			b.Fatal(fmt.Sprint("the site does not serve:\n", w.host("docker service ls")))
		}
		time.Sleep(200 * time.Millisecond)
	}
}
