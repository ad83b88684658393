package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// change is something that an operator changes in the stack's file, and back.
type change struct {
	name     string
	there    func(*env)
	back     func(*env)
	share    int // of the kills, among all changes
	ops      [2][]operation
	wants    [2]map[string]string // how the stack is afterwards, when nothing disturbs
	returned bool                 // the next one goes back
}

// killedChanges cover each kind of resource, and each thing that the engine does to one.
func killedChanges(w *env) []*change {
	sshFrom := w.configured("host")["sshFrom"]
	return []*change{
		{name: "records, widget and firewall", share: 7, there: func(w *env) {
			w.configure("dns", "ttlSeconds", 600)
			w.configure("turnstile", "hostnames", []string{
				"momentstudio.test", "www.momentstudio.test",
				"more.momentstudio.test",
			})
			w.configure("host", "sshFrom", []string{w.s.Subnet.String(), "192.0.2.0/24"})
		}, back: func(w *env) {
			w.configure("dns", "ttlSeconds", 300)
			w.configure("turnstile", "hostnames", []string{"momentstudio.test", "www.momentstudio.test"})
			w.configure("host", "sshFrom", sshFrom)
		}},
		{
			name: "the edge's configuration", share: 3, there: func(w *env) { w.configure("edge", "maxUploadMB", 610) },
			back: func(w *env) { w.configure("edge", "maxUploadMB", 600) },
		},
		{
			name: "a timer, and all jobs", share: 2, there: func(w *env) { w.configure("host", "pruneAt", "05:45") },
			back: func(w *env) { w.configure("host", "pruneAt", "05:15") },
		},
		{
			name: "a secret, and those who use it", share: 2, there: func(w *env) {
				w.setSecret("adminIpBypassToken",
					"another-token-of-some-length-1")
			},
			back: func(w *env) { w.setSecret("adminIpBypassToken", "another-token-of-some-length-2") },
		},
		{name: "services", share: 2, there: func(w *env) {
			w.configure("frontend", "replicas", 2)
			w.configure("redis", "memoryMB", 300)
		}, back: func(w *env) {
			w.configure("frontend", "replicas", 1)
			w.configure("redis", "memoryMB", 256)
		}},
	}
}

// interruptions end updates inside random operations. The next `studio up` ends where an undisturbed one does:
// resource by resource, and byte by byte of the data.
func interruptions(t *testing.T, w *env) {
	number := 3
	if full {
		number = 60 // with another seed each night; a group has an hour
	}
	if chosen.interruptions > 0 {
		number = chosen.interruptions
	}
	seed := uint64(time.Now().UnixNano())
	if chosen.seed > 0 {
		seed = chosen.seed
	}
	t.Logf("E2E_SEED=%d", seed)
	w.giveUpload()
	chance := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // no secret

	changes := killedChanges(w)
	if !full {
		changes = changes[:1] // the quickest
	}
	for _, c := range changes {
		c.back(w)
	}
	w.mustUpdate()
	rows, files := w.rows(), w.files()
	lots := undisturbed(t, w, changes)
	inside := map[string]int{}
	var c *change
	for n := range number {
		if c == nil || !c.returned { // one at a time: what is wanted is of all others as they were
			c = lots[chance.IntN(len(lots))]
		}
		at := c.interrupt(t, w, n, chance)
		inside[at.op+" "+strings.Split(at.urn, "::")[2]]++
		w.holds("after kill "+strconv.Itoa(n+1), rows, files)
	}
	for kind, n := range inside {
		t.Logf("%3d inside %s", n, kind)
	}
	for _, c := range changes {
		if c.returned {
			c.back(w)
		}
	}
	w.mustUpdate()
	w.mustPulumi("preview", "--diff", "--expect-no-changes")
	w.knowsAll()
}

// undisturbed applies each change and takes it back with nothing in the way, and keeps what each update did and where
// it ended. It returns each change as often as its share.
func undisturbed(t *testing.T, w *env, changes []*change) (lots []*change) {
	t.Helper()
	for _, c := range changes {
		for way, apply := range []func(*env){c.there, c.back} {
			apply(w)
			ops, err := w.start(false).finish(t)
			if err != nil || len(ops) == 0 {
				t.Fatalf("%s, undisturbed: %d operations, %v", c.name, len(ops), err)
			}
			c.ops[way], c.wants[way] = ops, w.fingerprint()
			t.Logf("%s, undisturbed: %v", c.name, ops)
		}
		for range c.share {
			lots = append(lots, c)
		}
	}
	return lots
}

// interrupt kills the n-th update, inside an operation that chance takes, and runs studio up. It returns the operation.
func (c *change) interrupt(t *testing.T, w *env, n int, chance *rand.Rand) operation {
	t.Helper()
	way, apply := 0, c.there
	if c.returned {
		way, apply = 1, c.back
	}
	c.returned = !c.returned
	apply(w)
	ways := []string{killEngine, killAll, killEverything, terminate}
	how := ways[n%len(ways)]
	bare := how != killEverything && n%2 == 1
	took := map[string]time.Duration{}
	for _, o := range c.ops[way] {
		took[o.String()] = o.took
	}
	part := chance.Float64()
	r := w.start(bare)
	at, _ := r.killInside(1+chance.IntN(len(c.ops[way])), func(o operation) time.Duration {
		return time.Duration(part * float64(took[o.String()]))
	}, how)
	if at == nil {
		t.Fatalf("kill %d, %s: the update ended before its operation:\n%s", n+1, c.name, tail(r.out.String(), 40))
	}
	began := time.Now()
	out, err := w.update("--wait", "5m")
	t.Logf("kill %d, %s, inside %s: studio up took %.0f s", n+1, how, at, time.Since(began).Seconds())
	if err != nil {
		t.Fatalf("kill %d, %s inside %s; then studio up: %v\n%s\nthe killed run had said:\n%s", n+1, how, at, err,
			tail(out, 80), tail(r.out.String(), 30))
	}
	if different := differences(c.wants[way], w.fingerprint()); len(different) > 0 {
		t.Errorf("kill %d, %s inside %s; after studio up the stack is not what it is undisturbed:\n%s\nstudio up had "+
			"said:\n%s", n+1, how, at, strings.Join(different, "\n"), tail(out, 80))
	}
	return *at
}

// finish waits for an update that nothing disturbs.
func (r *run) finish(t *testing.T) ([]operation, error) {
	ops, err := r.wait()
	if err != nil {
		t.Log(tail(r.out.String(), 60))
	}
	return ops, err
}

// killAgain updates the stack in runs that are killed again and again: each goes on where the one before was, and is
// killed inside one of its next operations. The last one is left alone.
func (w *env) killAgain(most int) {
	w.t.Helper()
	seed := uint64(time.Now().UnixNano())
	chance := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // no secret
	ways := []string{killEverything, killEngine, killAll, terminate}
	killed := 0
	for ; killed < most; killed++ {
		how := ways[killed%len(ways)]
		part := chance.Float64()
		r := w.start(how == killEngine && killed > 0)
		at, err := r.killInside(1+chance.IntN(9), func(operation) time.Duration {
			return time.Duration(part * float64(2*time.Second))
		}, how)
		if at == nil {
			if err != nil && how != killEngine { // a bare update may stop at what a killed one made
				w.t.Fatalf("run %d: %v\n%s", killed+1, err, tail(r.out.String(), 80))
			}
			if err == nil {
				break
			}
			continue
		}
		w.t.Logf("run %d, %s inside %s, after %d operations", killed+1, how, at, len(r.began))
	}
	if killed < min(most, 2) {
		w.t.Fatalf("only %d runs were killed", killed)
	}
	out := w.mustUpdate()
	w.t.Log(tail(out, 4))
	w.mustPulumi("preview", "--diff", "--expect-no-changes")
	w.knowsAll()
}

// knowsAll fails when the state does not know something that bears the stack's name.
func (w *env) knowsAll() {
	w.t.Helper()
	out, err := w.studio("recover", "--config-file", w.s.ConfigFile())
	if err != nil || !strings.Contains(out, "all that it knows is there") {
		w.t.Errorf("studio recover: %v\n%s", err, tail(out, 20))
	}
}

// killedFirstUps makes the stack from nothing.
func killedFirstUps(_ *testing.T, w *env) { w.killAgain(20) }

// killedRebuild replaces the server.
func killedRebuild(t *testing.T, w *env) {
	w.giveUpload()
	rows, files := w.rows(), w.files()
	generation, _ := w.configured("host")["generation"].(int)
	w.configure("host", "generation", generation+1)
	w.killAgain(12)
	w.holds("after the rebuild", rows, files)
	// The copy of the state is of before the first of them, whatever the later ones found.
	kept, err := os.ReadFile(filepath.Join(w.s.Project, ".momentstudio", w.s.Stack,
		fmt.Sprintf("state-before-generation-%d.json", generation+1)))
	if err != nil || strings.Count(string(kept), `"docker:index/service:Service"`) < 6 {
		t.Errorf("the copy of the state of before has %d services: %v",
			strings.Count(string(kept), `"docker:index/service:Service"`), err)
	}
	if t.Failed() {
		t.Log(w.host("docker service ls; docker ps -a"))
	}
}
