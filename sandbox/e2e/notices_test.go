package e2e

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// webhook receives the host's notices.
type webhook struct {
	*httptest.Server
	messages chan map[string]string
}

// newWebhook listens where the host reaches this machine.
func newWebhook(t *testing.T, w *env) *webhook {
	t.Helper()
	messages := make(chan map[string]string, 8)
	hook := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		message := map[string]string{}
		if err := json.Unmarshal(body, &message); err != nil {
			t.Errorf("the webhook got %q: %v", body, err)
		}
		messages <- message
	}))
	hook.Listener.Close()
	listener, err := net.Listen("tcp", net.JoinHostPort(w.s.Gateway().String(), "0")) // where the host finds this machine
	if err != nil {
		t.Fatal(err)
	}
	hook.Listener = listener
	hook.Start()
	t.Cleanup(hook.Close)
	return &webhook{hook, messages}
}

// gets waits for the next notice, which must name the unit and hold the text.
func (h *webhook) gets(t *testing.T, w *env, unit, text string) {
	t.Helper()
	select {
	case m := <-h.messages:
		if m["unit"] != unit || !strings.Contains(m["text"], text) {
			t.Errorf("got the notice %v, want one of %s with %q", m, unit, text)
		}
	case <-time.After(time.Minute):
		t.Errorf("no notice of %s within a minute:\n%s", unit, w.host("journalctl -u 'momentstudio-notify@*' -o cat -n 20"))
	}
}

// runUnit starts a service of the host, waits for its end and returns what it logged, and whether it succeeded.
func (w *env) runUnit(name string) (string, bool) {
	w.t.Helper()
	since := w.host("date '+%Y-%m-%d %H:%M:%S'")
	result := w.host("systemctl start momentstudio-" + name + ".service; systemctl show momentstudio-" + name +
		".service -p Result --value")
	return w.host("journalctl -u momentstudio-" + name + ".service -o cat --since '" + since + "'"), result == "success"
}

// notices checks that overdue backups fail the status and send a notice.
func notices(t *testing.T, w *env) {
	timers := w.host("systemctl list-timers --all --no-pager")
	for _, name := range []string{"backup", "backup-age", "backup-sample", "backup-check", "prune"} {
		if !strings.Contains(timers, "momentstudio-"+name+".timer") {
			t.Errorf("no timer %s:\n%s", name, timers)
		}
	}
	if out, ok := w.runUnit("backup-age"); !ok || !strings.Contains(out, "the newest verified backup is") {
		t.Errorf("the age:\n%s", out)
	}
	if out, err := w.studio("status"); err != nil || !strings.Contains(out,
		"the newest verified backup is") || !strings.Contains(out, "momentstudio-backend") {
		t.Errorf("studio status: %v\n%s", err, out)
	}

	hook, back := notifyWebhook(t, w)
	defer back()
	w.host("cp -p /mnt/momentstudio/backups/status.json /var/tmp/status.json")
	w.host(`python3 - <<'P'
import json
p='/mnt/momentstudio/backups/status.json'
s=json.load(open(p)); s['verified']['started']='2026-01-01T00:00:00Z'
open(p,'w').write(json.dumps(s))
P`)
	if out, ok := w.runUnit("backup-age"); ok || !strings.Contains(out, "overdue") {
		t.Errorf("an old backup is not overdue:\n%s", out)
	} else {
		explains(t, "the newest backup is too old", finalMessage("hostops", out))
	}
	hook.gets(t, w, "momentstudio-backup-age.service", "overdue")
	if out, err := w.studio("status"); err == nil || !strings.Contains(out,
		"backups are overdue") || !strings.Contains(out, "momentstudio-backup-age.service") {
		t.Errorf("studio status of a host that is not well: %v\n%s", err, tail(out, 20))
	}
	w.host("mv /var/tmp/status.json /mnt/momentstudio/backups/status.json; systemctl reset-failed")
	back()
	if out, err := w.studio("status"); err != nil {
		t.Errorf("studio status of a host that is well again: %v\n%s", err, tail(out, 20))
	}
}

// notifyWebhook makes the host send notices to a webhook, until back is called.
func notifyWebhook(t *testing.T, w *env) (hook *webhook, back func()) {
	t.Helper()
	hook = newWebhook(t, w)
	w.host("cp -p " + backupSecret + " /var/tmp/backup.json")
	w.host(`python3 - <<'P'
import json
p='` + backupSecret + `'
s=json.load(open(p)); s['notify']={'webhook':'` + hook.URL + `/hook','mail':{}}
open(p,'w').write(json.dumps(s))
P`)
	var once sync.Once
	return hook, func() { once.Do(func() { w.host("mv /var/tmp/backup.json " + backupSecret) }) }
}

// damagedBackups are found by the monthly check, and reported.
func damagedBackups(t *testing.T, w *env) {
	out, ok := w.runUnit("backup-check")
	if !ok || strings.Count(out, "was restored into a new Postgres") != 4 || strings.Count(out,
		"--read-data finds no fault") != 4 {
		t.Errorf("the whole check:\n%s", tail(out, 30))
	}
	hook, back := notifyWebhook(t, w)
	defer back()
	w.host("f=$(find /mnt/momentstudio/backups/restic/data -type f | head -1); cp -p $f /var/tmp/pack; chmod u+w $f; " +
		"printf x | dd of=$f bs=1 seek=100 conv=notrunc status=none; echo $f > /var/tmp/pack-path")
	out, ok = w.runUnit("backup-check")
	if ok || !strings.Contains(out, "destination local") || strings.Count(out, "--read-data finds no fault") != 3 {
		t.Errorf("a flipped byte is not found:\n%s", tail(out, 30))
	} else {
		explains(t, "a byte of a destination has changed", finalMessage("hostops", out))
	}
	hook.gets(t, w, "momentstudio-backup-check.service", "failed")
	w.host("mv /var/tmp/pack $(cat /var/tmp/pack-path); systemctl reset-failed")
	back()
	if out, err := w.studio("status"); err != nil {
		t.Errorf("studio status of a host that is well again: %v\n%s", err, tail(out, 20))
	}
}
