package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prekzursil/momentstudio-infra/sandbox/images"
)

// BenchmarkRelease times a release against what cannot be avoided of it (pull, start, health checks),
// and compares what visitors notice of it with a release that stops the old tasks first, as the
// procedure before this program did. All of it in one sandbox, so that the figures stand side by side.
func BenchmarkRelease(b *testing.B) {
	w := newEnv(b, chosen.sandbox)
	w.up()
	w.openToCrowd()
	for n := range b.N {
		benchmarkRelease(b, w, 2*n+2)
	}
}

func benchmarkRelease(b *testing.B, w *env, number int) {
	backend, frontend := w.releaseImages(images.Options{Release: fmt.Sprint("bench-", number)}, nil)
	crowd := startCrowd(b, w, fmt.Sprint("rolling-", number))
	w.release(number, backend, frontend)
	began := time.Now()
	ended := make(chan error, 1)
	go func() {
		_, err := w.update()
		ended <- err
	}()
	serving := w.servesSince(b, number, began)
	if err := <-ended; err != nil {
		b.Fatal(err)
	}
	verified := time.Since(began)
	crowd.end()
	rolling := crowd

	parts := w.startsToHealthy(b, "backend") + w.startsToHealthy(b, "frontend")
	next, nextFrontend := w.releaseImages(images.Options{Release: fmt.Sprint("bench-", number+1)}, nil)
	pulled := time.Now()
	w.host("docker pull -q " + next + " && docker pull -q " + nextFrontend)
	pull := time.Since(pulled)

	crowd = startCrowd(b, w, fmt.Sprint("recreate-", number))
	stopped := time.Now()
	w.host("docker service scale momentstudio-backend=0 momentstudio-frontend=0")
	w.host("docker service update --quiet --detach --image " + next + " --env-add APP_VERSION=" + releaseName(number+1) +
		" momentstudio-backend")
	w.host("docker service update --quiet --detach --image " + nextFrontend + " --env-add APP_VERSION=" +
		releaseName(number+1) + " momentstudio-frontend")
	w.host("docker service scale --detach momentstudio-backend=1 && docker service scale momentstudio-backend=1 " +
		"momentstudio-frontend=1")
	recreated := w.servesSince(b, number+1, stopped)
	time.Sleep(5 * time.Second)
	crowd.end()

	share := func(l *load) float64 { return 100 * float64(len(l.failures)) / float64(l.requests) }
	ratio := serving.Seconds() / (pull + parts).Seconds()
	b.ReportMetric(ratio, "serving/parts")
	b.ReportMetric(verified.Seconds()/(pull+parts).Seconds(), "verified/parts")
	b.ReportMetric(share(rolling), "%failed-rolling")
	b.ReportMetric(share(crowd), "%failed-recreate")
	b.Logf(`
| | this program | stop and recreate |
|---|---|---|
| requests that failed | %d of %d (%.2f %%) | %d of %d (%.2f %%) |
| until the new release serves, in unavoidable parts | %.2f | %.2f |
unavoidable parts: pull %.1f s, start to healthy of backend and frontend %.1f s;
serving after %.1f s, verified after %.1f s, recreated after %.1f s`,
		len(rolling.failures), rolling.requests, share(rolling), len(crowd.failures), crowd.requests, share(crowd),
		ratio, recreated.Seconds()/(pull+parts).Seconds(), pull.Seconds(), parts.Seconds(), serving.Seconds(),
		verified.Seconds(), recreated.Seconds())
	w.mustUpdate() // the services are the engine's again
}

// servesSince waits until browsers get the release and returns the time since the given moment.
func (w *env) servesSince(b *testing.B, number int, began time.Time) time.Duration {
	b.Helper()
	client := newSite(b, w).client
	for deadline := began.Add(10 * time.Minute); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		if text, err := body(client, "https://momentstudio.test/assets/app-config.js"); err == nil && strings.Contains(text,
			releaseName(number)) {
			return time.Since(began)
		}
	}
	b.Fatalf("release %d does not serve", number)
	return 0
}

// startsToHealthy is the time that the service's task took from its start to its first good health check, which is
// when Swarm calls it running. The engine's own events would not tell: it remembers a few hundred.
func (w *env) startsToHealthy(b *testing.B, service string) time.Duration {
	b.Helper()
	times := strings.Fields(w.host("c=$(docker ps -q --filter label=com.docker.swarm.service.name=momentstudio-" +
		service + " | head -1); " +
		"docker inspect --format '{{.State.StartedAt}} {{index .Config.Labels \"com.docker.swarm.task.id\"}}' $c | { read " +
		"-r began task; " +
		"echo $began $(docker inspect --type task --format '{{.Status.Timestamp.Format " +
		"\"2006-01-02T15:04:05.999999999Z07:00\"}} {{.Status.State}}' $task); }"))
	if len(times) != 3 || times[2] != "running" {
		b.Fatalf("the task of %s tells %q", service, times)
	}
	began, err := time.Parse(time.RFC3339Nano, times[0])
	if err != nil {
		b.Fatal(err)
	}
	healthy, err := time.Parse(time.RFC3339Nano, times[1])
	if err != nil || !healthy.After(began) {
		b.Fatalf("the task of %s tells %q: %v", service, times, err)
	}
	return healthy.Sub(began)
}
