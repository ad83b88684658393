package e2e

import (
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// cutPower kills the host without a word, starts it again, and waits until its services serve.
func (w *env) cutPower() {
	w.t.Helper()
	id := w.hostID()
	for _, args := range [][]string{{"kill", id}, {"start", id}} {
		if out, err := exec.CommandContext(w.ctx, "docker", args...).CombinedOutput(); err != nil {
			w.t.Fatalf("docker %s: %v\n%s", args[0], err, out)
		}
	}
	w.awaitHost()
}

// awaitHost waits until the host's engine answers and every service has the tasks that it is to have.
func (w *env) awaitHost() {
	w.t.Helper()
	// The containers themselves: what Swarm says of its tasks is of before for a moment.
	const wants = `docker service ls --format '{{.Name}} {{.Replicas}}' |
awk '{split($2,a,"/"); print $1, a[2]} END {exit NR < 6}' | while read -r name want; do
  of="--filter label=com.docker.swarm.service.name=$name --filter status=running"
  [ "$(docker ps -q $of | wc -l)" -ge "$want" ] || exit 1
  [ -z "$(docker ps -q $of --filter health=starting; docker ps -q $of --filter health=unhealthy)" ] || exit 1
done && docker exec $(docker ps -q --filter label=com.docker.swarm.service.name=momentstudio-postgres |
  head -1) pg_isready -q && [ "$(docker service ls -q | wc -l)" -ge 6 ]`
	for deadline := time.Now().Add(5 * time.Minute); ; time.Sleep(2 * time.Second) {
		if exec.CommandContext(w.ctx, "docker", "exec", w.hostID(), "sh", "-c", wants).Run() == nil {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("after the power came back:\n%s", w.host("docker service ls; systemctl --failed --no-pager"))
		}
	}
}

// firesSoon reads what time it is, whether the timer's service runs already, and when it elapses next and did last.
func (w *env) firesSoon(text string) bool {
	w.t.Helper()
	lines := strings.Split(text, "\n")
	seconds, err := strconv.ParseInt(lines[0], 10, 64)
	if err != nil || len(lines) < 3 {
		w.t.Fatalf("the timer: %q", text)
	}
	now := time.Unix(seconds, 0)
	if lines[1] == "activating" {
		return true
	}
	for _, line := range lines[2:] {
		at, err := time.Parse("Mon 2006-01-02 15:04:05 MST", line)
		if err == nil && at.Sub(now).Abs() <= 15*time.Minute {
			return true
		}
	}
	return false
}

// powerCuts end a backup and a restore in their middle, with the host.
func powerCuts(t *testing.T, w *env) {
	w.giveUpload()
	w.mustBackUp()
	rows, files, before := w.rows(), w.files(), w.lastBackup()

	w.host("rm -rf /mnt/momentstudio/backups/staging; systemctl start --no-block momentstudio-backup.service; for n in " +
		"$(seq 600); do [ -e /mnt/momentstudio/backups/staging/manifest.json ] && exit; sleep 0.05; done; exit 1")
	w.cutPower()
	if w.lastBackup() != before {
		t.Error("a backup that met a power cut counts as one")
	}
	w.holds("after a power cut in a backup", rows, files)
	w.mustBackUp()

	// A timer that did not fire while the host was down fires after its boot, within its random delay.
	w.host("touch -d '3 days ago' /var/lib/systemd/timers/stamp-momentstudio-backup.timer")
	w.cutPower()
	next := w.host("date '+%s'; systemctl is-active momentstudio-backup.service || true; systemctl show " +
		"momentstudio-backup.timer -p NextElapseUSecRealtime -p LastTriggerUSec --value")
	if !w.firesSoon(next) {
		t.Errorf("after three days without power the backup's timer stands at:\n%s", next)
	}

	w.host("rm -rf /mnt/momentstudio/uploads/*")
	lostRows, lostFiles := w.rows(), w.files()
	for _, c := range []struct{ moment, next string }{
		{"[ -e /mnt/momentstudio/restore/files ]", ""},
		{"grep -q '\"prepared\": true' /mnt/momentstudio/restore/journal.json 2>/dev/null", "undo"},
		{"grep -q '\"prepared\": true' /mnt/momentstudio/restore/journal.json 2>/dev/null && sleep 5", "continue"},
	} {
		if out, err := exec.CommandContext(w.ctx, "docker", "exec", "-d", w.hostID(), "sh", "-c",
			"/etc/momentstudio/hostops restore --backup latest --yes >/tmp/restore.log 2>&1").CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		w.host("for n in $(seq 2400); do if " + c.moment + "; then exit; fi; sleep 0.05; done; cat /tmp/restore.log; exit 1")
		w.cutPower()
		if c.next == "" {
			w.holds("after a power cut before the switch", lostRows, lostFiles)
			continue
		}
		if out := w.mustRestore("status"); !strings.Contains(out, "in the middle of its cutover") {
			t.Errorf("the status after a power cut:\n%s", out)
		}
		// What would mix the two states refuses.
		if out, ok := w.backup(); ok || !strings.Contains(out, "restore continue") {
			t.Errorf("a backup of a shop that stands between two states:\n%s", tail(out, 10))
		}
		if out, err := w.studio("status"); err == nil || !strings.Contains(out, "in the middle of its cutover") {
			t.Errorf("studio status: %v\n%s", err, tail(out, 20))
		}
		w.host("systemctl reset-failed")
		w.mustRestore(c.next)
		if c.next == "undo" {
			w.holds("undone after a power cut", lostRows, lostFiles)
		} else {
			w.holds("continued after a power cut", rows, files)
		}
		w.mustRestore("drop")
	}
}
