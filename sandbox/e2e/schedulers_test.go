package e2e

import (
	"fmt"
	"hash/crc32"
	"strings"
	"testing"
	"time"
)

// allSchedulers run whatever the number of the API's tasks is, and when a process dies another takes over. The stand-in
// names a scheduler's lock by the CRC of its name.
func allSchedulers(t *testing.T, w *env) {
	var keys []string
	for _, name := range []string{
		"admin_reports", "account_deletion", "order_expiration", "media_usage_reconcile", "sameday",
	} {
		keys = append(keys, fmt.Sprint(crc32.ChecksumIEEE([]byte(name))))
	}
	held := func() string {
		return w.sql("SELECT count(DISTINCT objid) FROM pg_locks WHERE locktype = 'advisory' AND granted AND " +
			"classid = 0 AND objid IN (" + strings.Join(keys, ", ") + ")")
	}
	all := func(when string) {
		for deadline := time.Now().Add(3 * time.Minute); held() != "5"; time.Sleep(time.Second) {
			if time.Now().After(deadline) {
				t.Fatalf("%s: %s of 5 schedulers run", when, held())
			}
		}
	}
	began := time.Now()
	all("after the stack came up")
	t.Logf("all schedulers run %.0f s after the step began", time.Since(began).Seconds())
	const container = "$(docker ps -q --filter name=momentstudio-schedulers. | head -1)"
	t.Logf("memory of the processes, in kB that are theirs alone and shared: %s", w.host("docker exec "+container+
		` sh -c 'for p in /proc/[0-9]*; do grep -q schedulers $p/cmdline 2>/dev/null && awk "/^Pss:/{s=\$2} `+
		`/^Private_Dirty:/{d=\$2} END{printf \"%s/%s \", d, s}" $p/smaps_rollup; done' || true`))
	before := w.host("echo " + container)
	w.host("docker exec " + container + ` python -c "
import os, signal
children = [int(p) for p in os.listdir('/proc') if p.isdigit() and int(p) != os.getpid()
            and b'FIRST_PORT' in open(f'/proc/{p}/cmdline', 'rb').read()]
os.kill(max(children), signal.SIGKILL)"`)
	for deadline := time.Now().Add(time.Minute); w.host("echo "+container) == before; time.Sleep(time.Second) {
		if time.Now().After(deadline) {
			t.Fatal("a process of the schedulers died, and nothing came in its place")
		}
	}
	all("after one process was killed")
}
