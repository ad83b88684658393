package e2e

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/prekzursil/momentstudio-infra/sandbox/offhost"
	"github.com/prekzursil/momentstudio-infra/sandbox/runner"
)

// backupSpec is what the host is told of its backups.
type backupSpec struct {
	Password     string   `json:"password"`
	OldPasswords []string `json:"oldPasswords"`
	Destinations []struct {
		Name       string            `json:"name"`
		Repository string            `json:"repository"`
		Env        map[string]string `json:"env"`
	} `json:"destinations"`
}

const backupSecret = "/etc/momentstudio/secrets/backup.json"

func (w *env) backupSpec() backupSpec {
	w.t.Helper()
	var s backupSpec
	if err := json.Unmarshal([]byte(w.host("cat "+backupSecret)), &s); err != nil || len(s.Destinations) < 3 {
		w.t.Fatalf("the host's backups: %d destinations, %v", len(s.Destinations), err)
	}
	return s
}

// backup runs the timer's service and returns what it printed, and whether it succeeded.
func (w *env) backup() (string, bool) {
	w.t.Helper()
	since := w.host("date '+%Y-%m-%d %H:%M:%S'")
	result := w.host("systemctl start momentstudio-backup.service; systemctl show momentstudio-backup.service -p Result " +
		"--value")
	return w.host("journalctl -u momentstudio-backup.service -o cat --since '" + since + "'"), result == "success"
}

func (w *env) mustBackUp() string {
	w.t.Helper()
	out, ok := w.backup()
	if !ok {
		w.t.Fatalf("the backup failed:\n%s", tail(out, 40))
	}
	return out
}

// restic runs a command of restic on the host, with the password, against a destination.
func (w *env) restic(destination, password, command string) (string, error) {
	w.t.Helper()
	return w.resticWith(destination, password, command, nil)
}

// ownerRestic does so with the credentials of the bucket's owner, which the host does not have.
func (w *env) ownerRestic(password, command string) (string, error) {
	w.t.Helper()
	return w.resticWith("s3", password, command, map[string]string{
		"AWS_ACCESS_KEY_ID":     runner.BackupOwner.Access,
		"AWS_SECRET_ACCESS_KEY": runner.BackupOwner.Secret,
	})
}

// resticWith runs it with the destination's own environment, or with another.
func (w *env) resticWith(destination, password, command string, environment map[string]string) (string, error) {
	w.t.Helper()
	s := w.backupSpec()
	for _, d := range s.Destinations {
		if d.Name != destination {
			continue
		}
		if environment == nil {
			environment = d.Env
		}
		env := ""
		for name, value := range environment {
			env += fmt.Sprintf(" -e %s=%s", name, value)
		}
		ops := w.configured("images")["ops"].(string)
		out := w.host(fmt.Sprintf("docker run --rm --network momentstudio-app -v /mnt/momentstudio:/mnt/momentstudio -v "+
			"/etc/ssl/certs:/etc/ssl/certs:ro "+
			"-e HOME=/tmp -e RESTIC_REPOSITORY='%s' -e RESTIC_PASSWORD=%s%s --entrypoint /restic %s --cacert "+
			"/etc/ssl/certs/ca-certificates.crt --no-cache %s 2>&1 || echo FAILED",
			d.Repository, password, env, ops, command))
		if strings.HasSuffix(out, "FAILED") {
			return out, fmt.Errorf("restic %s", command)
		}
		return out, nil
	}
	w.t.Fatalf("no destination %s", destination)
	return "", nil
}

func (w *env) lastBackup() string {
	w.t.Helper()
	return w.host("cat /mnt/momentstudio/backup-status/last-at 2>/dev/null || true")
}

// backups reach every destination, are proven by restoring one, and survive what goes wrong.
func backups(t *testing.T, w *env) {
	w.openToCrowd()
	w.giveUpload()
	w.configure("backup", "at", "01:15")
	w.sftpDestination()
	if out := w.host("systemctl list-timers --all --no-pager"); !strings.Contains(out, "momentstudio-backup.timer") {
		t.Errorf("no timer of ours:\n%s", out)
	}
	if out := w.host("systemctl show momentstudio-backup.timer -p TimersCalendar"); !strings.Contains(out, "01:15:00") {
		t.Errorf("the new time of backups did not reach the timer: %s", out)
	}
	crowd := startLoad(t, w, "backup")
	// As the application makes a variant anew: into the file that is there.
	w.host("rm -f /tmp/rewritten; (n=0; while [ ! -e /tmp/rewritten ] && [ $n -lt 500 ]; do n=$((n+1)); head -c 100000 " +
		"/dev/zero | tr '\\0' $((n % 10)) > /mnt/momentstudio/uploads/rewritten; sleep 2; done) >/dev/null 2>&1 & sleep 1")
	out := w.mustBackUp()
	w.host("touch /tmp/rewritten")
	for _, want := range []string{"local: snapshot", "rest: snapshot", "s3: snapshot", "sftp: snapshot", "read back"} {
		if !strings.Contains(out, want) {
			t.Errorf("the backup does not say %q:\n%s", want, out)
		}
	}
	// The admin page tells when, within a minute, and no request noticed.
	first := w.lastBackup()
	site := newSite(t, w)
	site.token = w.tokenOf("content@example.com")
	site.shows(first)
	crowd.stop(t, w, 200)
	w.mustPulumi("preview", "--diff", "--expect-no-changes")
	w.mustPulumi("refresh", "--yes", "--skip-preview")
	w.mustPulumi("preview", "--diff", "--expect-no-changes")

	restored(t, w)
}

// shows waits for the time of a backup on the admin page, for a minute at most.
func (s *site) shows(want string) {
	s.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Second) {
		r := s.get("https://momentstudio.test/api/v1/admin/dashboard/summary")
		if r.status != http.StatusOK {
			s.t.Fatalf("the admin page's summary: status %d: %s", r.status, r.body)
		}
		var summary struct {
			System struct {
				BackupLastAt string `json:"backup_last_at"`
			} `json:"system"`
		}
		if err := json.Unmarshal([]byte(r.body), &summary); err != nil {
			s.t.Fatal(err)
		}
		if summary.System.BackupLastAt == want {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("the admin page shows %q, want %q", summary.System.BackupLastAt, want)
		}
	}
}

// inMaintenance is a backup while somebody has the shop in maintenance, which only the API's memory knows.
func inMaintenance(t *testing.T, w *env) {
	w.giveOwner()
	w.sql("UPDATE users SET totp_enabled = true WHERE email = 'owner@example.com'")
	site, visitor := newSite(t, w), newSite(t, w)
	site.token = w.tokenOf("owner@example.com")
	sets := func(on string) {
		t.Helper()
		if r := site.post("/api/v1/admin/dashboard/maintenance", `{"enabled": `+on+`}`, nil); r.status != http.StatusOK {
			t.Fatalf("maintenance is switched: status %d: %s", r.status, r.body)
		}
	}
	before := w.lastBackup()
	sets("true")
	out := w.mustBackUp()
	if !strings.Contains(out, "switched on by hand") || w.lastBackup() == before {
		t.Errorf("a backup in maintenance, of %s:\n%s", w.lastBackup(), tail(out, 20))
	}
	if r := visitor.get("https://momentstudio.test/api/v1/theme"); r.status != http.StatusServiceUnavailable {
		t.Errorf("after the backup a visitor is answered %d", r.status)
	}
	w.host("systemctl start momentstudio-backup-age.service") // it looks every hour
	if r := visitor.get("https://momentstudio.test/api/v1/theme"); r.status != http.StatusServiceUnavailable {
		t.Errorf("an hour later a visitor is answered %d", r.status)
	}
	sets("false")
	if r := visitor.get("https://momentstudio.test/api/v1/theme"); r.status != http.StatusOK {
		t.Errorf("after the maintenance a visitor is answered %d", r.status)
	}
	w.host("systemctl start momentstudio-backup-age.service")
	site.shows(w.lastBackup())
	task := "docker ps -q --filter name=momentstudio-backend."
	now := w.host(task)
	if w.host("systemctl start momentstudio-backup-age.service"); w.host(task) != now {
		t.Error("an API that shows the newest backup is restarted")
	}
}

// sftpDirectory is what the SFTP server serves; it goes with the sandbox.
func (w *env) sftpDirectory() string { return filepath.Join(w.s.Home, "offhost", "sftp") }

// slowListener's connections pause before each read.
type slowListener struct {
	net.Listener
	pause *atomic.Int64 // nanoseconds
}

func (l slowListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	return slowConn{conn, l.pause}, err
}

type slowConn struct {
	net.Conn
	pause *atomic.Int64
}

func (c slowConn) Read(p []byte) (int, error) {
	time.Sleep(time.Duration(c.pause.Load()))
	return c.Conn.Read(p)
}

// sftpDestination makes an SFTP server the fourth destination until the group ends; closeToCrowd takes it out of the
// stack's file.
func (w *env) sftpDestination() {
	w.t.Helper()
	pair := func() (privatePEM []byte, signer ssh.Signer, authorized string) {
		_, private, err := ed25519.GenerateKey(nil)
		if err != nil {
			w.t.Fatal(err)
		}
		block, err := ssh.MarshalPrivateKey(private, "")
		if err != nil {
			w.t.Fatal(err)
		}
		if signer, err = ssh.NewSignerFromKey(private); err != nil {
			w.t.Fatal(err)
		}
		return pem.EncodeToMemory(block), signer, strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey())))
	}
	key, user, _ := pair()
	_, host, pinned := pair()
	listener, err := net.Listen("tcp", w.s.Gateway().String()+":2022")
	if err != nil {
		w.t.Fatal(err)
	}
	w.group.Cleanup(func() { _ = listener.Close() })
	if err := os.MkdirAll(w.sftpDirectory(), 0o700); err != nil {
		w.t.Fatal(err)
	}
	go offhost.SFTP(slowListener{listener, &w.sftpPause}, w.sftpDirectory(), "backup", user.PublicKey(), host)
	w.configure("backup", "sftp", map[string]any{
		"host": w.s.Gateway().String(), "port": 2022, "user": "backup",
		"hostKey": pinned, "prune": true,
	})
	cmd := exec.CommandContext(w.ctx, w.tools.CLI, "config", "set", "--secret", "--stack", w.s.Stack, "--config-file",
		w.s.ConfigFile(), "--non-interactive", "momentstudio:backupSftpKey")
	cmd.Dir, cmd.Env, cmd.Stdin = w.s.Project, w.s.Env(w.tools), bytes.NewReader(key)
	if out, err := cmd.CombinedOutput(); err != nil {
		w.t.Fatalf("set the login key: %v\n%s", err, out)
	}
	w.mustUpdate()
}

// restored restores the newest snapshot of an off-host destination beside the live data, and compares.
func restored(t *testing.T, w *env) {
	spec := w.backupSpec()
	if out, err := w.restic("rest", spec.Password, "restore latest --target /mnt/momentstudio/proof"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	defer w.host("rm -rf /mnt/momentstudio/proof")
	const at = "/mnt/momentstudio/proof/mnt/momentstudio/backups/staging"
	for _, part := range []string{"uploads", "private_uploads"} {
		list := "find . -type f ! -name rewritten -printf '%p %m %u %g ' -exec sha256sum {} + | sort"
		if live, copied := w.host("cd /mnt/momentstudio/"+part+" && "+list), w.host("cd "+at+"/"+part+" && "+
			list); live != copied || part == "uploads" && live == "" {
			t.Errorf("%s restored:\n%s\nlive:\n%s", part, copied, live)
		}
	}
	if once := w.host("fold -w 1 " + at + "/uploads/rewritten | sort | uniq -c"); !strings.HasPrefix(once, "100000 ") {
		t.Errorf("what was written into while it was backed up is torn:\n%s", once)
	}
	w.host("rm /mnt/momentstudio/uploads/rewritten")
	var manifest struct {
		Started  string `json:"started"`
		Revision string `json:"revision"`
		Database struct {
			Rows map[string]int64 `json:"rows"`
		} `json:"database"`
	}
	if err := json.Unmarshal([]byte(w.host("cat "+at+"/manifest.json")), &manifest); err != nil {
		t.Fatal(err)
	}
	const psql = "docker exec -i $(docker ps -q --filter name=momentstudio-postgres. | head -1) "
	w.host(psql + "createdb -U postgres proof")
	defer w.host(psql + "dropdb -U postgres proof")
	w.host(psql + "pg_restore -U postgres -d proof --exit-on-error < " + at + "/db.dump")
	seen := int64(0)
	for table, rows := range manifest.Database.Rows {
		seen += rows
		if got := w.host(psql + "psql -U postgres -At -d proof -c 'SELECT count(*) FROM " + table +
			"'"); got != fmt.Sprint(rows) {
			t.Errorf("%s has %s rows after the restore, the manifest says %d", table, got, rows)
		}
	}
	if seen == 0 || manifest.Revision == "" {
		t.Errorf("the manifest names %d rows and revision %q", seen, manifest.Revision)
	}
	// Visitors wrote while it was made: what they had written before is there, row by row, and nothing that never was.
	list := func(database, where string) map[string]bool {
		out := map[string]bool{}
		for line := range strings.Lines(w.host(psql + "psql -U postgres -At -d " + database +
			` -c "SELECT m::text FROM support_messages m ` + where + `"`)) {
			out[strings.TrimSpace(line)] = true
		}
		return out
	}
	copied, live := list("proof", ""), list("adrianaart", "")
	for row := range copied {
		if !live[row] {
			t.Errorf("the backup has a row that the shop never had: %s", row)
		}
	}
	before := list("adrianaart", "WHERE created_at < '"+manifest.Started+"'")
	for row := range before {
		if !copied[row] {
			t.Errorf("the backup lacks a row of before it began: %s", row)
		}
	}
	if len(copied) == 0 || len(before) == 0 || len(before) == len(live) {
		t.Errorf("%d rows copied, %d of before, %d now: nobody wrote while it was made", len(copied), len(before), len(live))
	}
}

// backupFaults are runs that must fail, and never move the time that the admin page shows.
func backupFaults(t *testing.T, w *env) {
	destinationFaults(t, w)
	w.wrongClock()
	deleting(t, w)
	goneRepositories(t, w)
	concurrentBackups(t, w)
	killedBackup(t, w)
}

// backupFails runs a backup that must fail with these words, and must not move the time of the last one.
func (w *env) backupFails(fault string, wants ...string) {
	w.t.Helper()
	before := w.lastBackup()
	out, ok := w.backup()
	if ok || w.lastBackup() != before {
		w.t.Errorf("%s: success is %v, and the last backup was moved from %s to %s", fault, ok, before, w.lastBackup())
	}
	for _, want := range wants {
		if !strings.Contains(out, want) {
			w.t.Errorf("%s: the failure does not name %q:\n%s", fault, want, tail(out, 30))
		}
	}
	explains(w.t, fault, finalMessage("hostops", out), w.backupSecrets()...)
}

// destinationFaults are destinations that refuse, are replaced, or are slow.
func destinationFaults(t *testing.T, w *env) {
	// One destination takes no more: the others get their copy.
	w.host("cp -p " + backupSecret + " /var/tmp/backup.json && sed -i 's/sandbox0rest0password/revoked0password/' " +
		backupSecret)
	w.backupFails("a destination's credentials are revoked", "destination rest", "local: snapshot", "s3: snapshot")
	w.host("mv /var/tmp/backup.json " + backupSecret)

	// Somebody else answers in the SFTP server's place.
	w.host("cp -p " + backupSecret + " /var/tmp/backup.json && sed -i 's/\"hostKey\": \"ssh-ed25519 " +
		"[^\"]*\"/\"hostKey\": \"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMfkLZmAU5FVsBmLeA5mVn06J0mTQbS9Y8cIvJKrCGxB\"/' " +
		backupSecret)
	w.backupFails("somebody else answers in a destination's place", "destination sftp", "host key mismatch",
		"s3: snapshot")
	w.host("mv /var/tmp/backup.json " + backupSecret)

	// One is slow: it takes its time, and gets its copy.
	w.sftpPause.Store(int64(10 * time.Millisecond))
	if out := w.mustBackUp(); !strings.Contains(out, "sftp: snapshot") {
		t.Errorf("a slow destination:\n%s", tail(out, 20))
	}
	w.sftpPause.Store(0)
}

// deleting checks that whoever breaks into the host cannot remove what is off it; pruning has credentials of its own.
func deleting(t *testing.T, w *env) {
	spec := w.backupSpec()
	for destination, refusal := range map[string]string{"rest": "403", "s3": "Access Denied"} {
		if out, err := w.restic(destination, spec.Password, "forget latest --prune"); err == nil || !strings.Contains(out,
			refusal) {
			t.Errorf("%s lets the host delete: %v\n%s", destination, err, out)
		}
	}
	if out, err := w.ownerRestic(spec.Password, "forget --keep-last 1 --prune"); err != nil {
		t.Errorf("the bucket's owner prunes: %v\n%s", err, out)
	}
	if out, err := w.restic("s3", spec.Password, "check --read-data"); err != nil {
		t.Errorf("what the owner left: %v\n%s", err, out)
	}
}

// goneRepositories checks that a repository that is gone is made again only when somebody gives the old one up.
func goneRepositories(t *testing.T, w *env) {
	const local, aside = "/mnt/momentstudio/backups/restic", "/mnt/momentstudio/backups/gone"
	w.host("mv " + local + " " + aside)
	w.backupFails("a repository that had backups is gone", "destination local", "s3: snapshot")
	if out, code := w.hostops("backup --anew local"); code != 0 || !strings.Contains(out, "local: making the repository") {
		t.Errorf("the repository is given up: exit code %d\n%s", code, tail(out, 20))
	}
	w.host("rm -rf " + local + " && mv " + aside + " " + local)
	w.backupFails("another repository is in its place", "destination local", "s3: snapshot")
	if out, code := w.hostops("backup --anew local"); code != 0 || !strings.Contains(out, "local: snapshot") {
		t.Errorf("the old repository is taken back: exit code %d\n%s", code, tail(out, 20))
	}
	if out, code := w.hostops("backup --anew lokal"); code != 2 || !strings.Contains(out, "there are local, rest, s3") {
		t.Errorf("a destination that is none: exit code %d\n%s", code, out)
	}
}

// concurrentBackups start two at once: the second names the first, and waits for it.
func concurrentBackups(t *testing.T, w *env) {
	before := w.lastBackup()
	w.host("systemctl start --no-block momentstudio-backup.service; for n in $(seq 100); do [ -e " +
		"/mnt/momentstudio/backups/staging ] && break; sleep 0.1; done")
	if out, code := w.hostops("backup"); code != 0 || !strings.Contains(out,
		"a backup, since 20") || !strings.Contains(out, "sftp: snapshot") {
		t.Errorf("the second of two at once: exit code %d\n%s", code, tail(out, 20))
	}
	if w.host("systemctl show momentstudio-backup.service -p Result --value") != "success" || w.lastBackup() == before {
		t.Error("the first of two at once failed")
	}
}

// killedBackup kills a backup in the middle: the next run starts over.
func killedBackup(t *testing.T, w *env) {
	before := w.lastBackup()
	w.host("systemctl start --no-block momentstudio-backup.service; for n in $(seq 600); do [ -e " +
		"/mnt/momentstudio/backups/staging/manifest.json ] && break; sleep 0.1; done; docker kill momentstudio-backup")
	w.host("for n in $(seq 100); do [ \"$(systemctl is-active momentstudio-backup.service)\" = activating ] || exit 0; " +
		"sleep 0.1; done; exit 1")
	if w.lastBackup() != before || w.host("systemctl show momentstudio-backup.service -p Result --value") == "success" {
		t.Error("a killed backup counts as one")
	}
	w.mustBackUp()
	if left := w.host("ls -A /mnt/momentstudio/backups/staging 2>/dev/null || true"); left != "" {
		t.Errorf("staged files are left: %s", left)
	}
}

// wrongClock plants a backup of the future, as a clock that ran ahead would leave one: nothing is thrown away for it,
// and nobody takes it, or the one of before, for the newest without a word.
func (w *env) wrongClock() {
	w.t.Helper()
	password := w.backupSpec().Password
	before := strings.Fields(w.mustRestore("list --from local"))
	out, err := w.restic("local", password, "backup --quiet --host "+w.s.Stack+" --tag momentstudio --tag "+
		"20991231T043000Z --time '2099-12-31 04:30:00' /mnt/momentstudio/backup-status")
	if err != nil {
		w.t.Fatalf("%v\n%s", err, out)
	}
	w.mustBackUp()
	after := w.mustRestore("list --from local")
	for n := 0; n < len(before); n += 3 { // ID, destination, snapshot
		if !strings.Contains(after, before[n]) {
			w.t.Errorf("backup %s was thrown away for one of the future:\n%s", before[n], after)
		}
	}
	out, code := w.hostops("restore --from local --backup latest --yes")
	if code != 10 || !strings.Contains(out, "20991231T043000Z") {
		w.t.Errorf("the latest of some that are still to come: exit code %d\n%s", code, out)
	}
	explains(w.t, "a backup of the future", finalMessage("hostops", out), w.backupSecrets()...)
	if out, err := w.restic("local", password,
		"forget --tag 20991231T043000Z --unsafe-allow-remove-all --prune"); err != nil {
		w.t.Fatalf("%v\n%s", err, out)
	}
}

// backupSecrets are all that open a destination.
func (w *env) backupSecrets() []string {
	spec := w.backupSpec()
	all := append([]string{spec.Password}, spec.OldPasswords...)
	for _, d := range spec.Destinations {
		for name, value := range d.Env {
			if strings.Contains(name, "PASSWORD") || strings.Contains(name, "SECRET") {
				all = append(all, value)
			}
		}
	}
	return all
}

// opensBackups tells which of the destinations a password opens.
func (w *env) opensBackups(password string) (opened []string) {
	w.t.Helper()
	for _, destination := range []string{"local", "rest", "s3"} {
		if _, err := w.restic(destination, password, "snapshots"); err == nil {
			opened = append(opened, destination)
		}
	}
	return opened
}
