package e2e

import (
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// hostops runs hostops as an operator does, and returns what it printed and its exit code.
func (w *env) hostops(arguments string) (string, int) {
	w.t.Helper()
	out := w.host("/etc/momentstudio/hostops " + arguments + " 2>&1; echo code=$?")
	text, code, _ := cutLast(out, "code=")
	n, err := strconv.Atoi(code)
	if err != nil {
		w.t.Fatalf("hostops %s: %s", arguments, out)
	}
	return text, n
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

func (w *env) mustRestore(arguments string) string {
	w.t.Helper()
	out, code := w.hostops("restore " + arguments)
	if code != 0 {
		w.t.Fatalf("hostops restore %s: exit code %d\n%s", arguments, code, tail(out, 40))
	}
	return out
}

// rows are the contents of all tables, a sum for each; media jobs aside, which go on after a restore.
func (w *env) rows() map[string]string {
	w.t.Helper()
	var one []string
	for _, table := range strings.Fields(w.sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND " +
		"tablename <> 'media_jobs'")) {
		one = append(one, fmt.Sprintf("SELECT '%[1]s='||count(*)||' '||coalesce(md5(string_agg(t::text, '|' ORDER BY "+
			"t::text)), '') FROM %[1]s t", table))
	}
	sums := map[string]string{}
	for line := range strings.Lines(w.sql(strings.Join(one, " UNION ALL "))) {
		table, sum, _ := strings.Cut(strings.TrimSpace(line), "=")
		sums[table] = sum
	}
	if len(one) == 0 || len(sums) != len(one) {
		w.t.Fatalf("%d tables, and the sums of %d", len(one), len(sums))
	}
	return sums
}

// files are the shop's files with owner, mode and content.
func (w *env) files() string {
	return w.host("cd /mnt/momentstudio && find uploads private_uploads -printf '%p %m %u %g %y\\n' | sort && find " +
		"uploads private_uploads -type f -exec sha256sum {} + | sort")
}

// holds compares rows and files with those that were there.
func (w *env) holds(when string, rows map[string]string, files string) {
	w.t.Helper()
	for table, now := range w.rows() {
		if now != rows[table] {
			w.t.Errorf("%s: table %s is %q, was %q", when, table, now, rows[table])
		}
	}
	if now := w.files(); now != files {
		w.t.Errorf("%s: the files are\n%s\nwere\n%s", when, now, files)
	}
	if r := newSite(w.t, w).get("https://momentstudio.test/api/v1/health/ready"); r.status != 200 {
		w.t.Errorf("%s: the API answers %d", when, r.status)
	}
}

// restores bring back what was lost.
func restores(t *testing.T, w *env) {
	const asset = "(SELECT id FROM media_assets ORDER BY created_at LIMIT 1)"
	w.sql("INSERT INTO media_jobs (id, asset_id, job_type, status) VALUES (gen_random_uuid(), " + asset +
		", 'ingest', 'processing')")
	w.mustBackUp()
	w.sql("DELETE FROM media_jobs WHERE status = 'processing'")
	rows, files := w.rows(), w.files()
	if !strings.Contains(files, "uploads/") || rows["users"] == "" {
		t.Fatalf("there is nothing to lose:\n%s\n%v", files, rows)
	}

	// Everything is lost, and something else is there.
	w.host("rm -rf /mnt/momentstudio/uploads/* /mnt/momentstudio/private_uploads/* && touch " +
		"/mnt/momentstudio/uploads/later.txt")
	w.sql("TRUNCATE media_assets, support_messages, content_blocks CASCADE")
	lostRows, lostFiles := w.rows(), w.files()
	out := w.mustRestore("--backup latest --from rest --yes")
	for _, want := range []string{"of destination rest", "fetch: done in", "switch: done in", "the shop serves backup"} {
		if !strings.Contains(out, want) {
			t.Errorf("the restore does not say %q:\n%s", want, out)
		}
	}
	w.awaitJobs()
	w.holds("after the restore", rows, files)
	w.mustPulumi("preview", "--diff", "--refresh", "--expect-no-changes")

	// What it replaced is kept until it is told to go.
	if out, code := w.hostops("restore --backup latest --yes"); code != 15 || !strings.Contains(out, "restore drop") {
		t.Errorf("a second restore: exit code %d\n%s", code, out)
	} else {
		explains(t, "a second restore, when the first can still be undone", finalMessage("hostops", out))
	}
	w.mustRestore("undo")
	w.holds("after going back", lostRows, lostFiles)
	w.mustRestore("drop")
	if left := w.host("ls /mnt/momentstudio/restore 2>/dev/null || true") + w.sql("SELECT datname FROM pg_database "+
		"WHERE datname LIKE 'adrianaart_%'"); left != "" {
		t.Errorf("after the drop there is still %s", left)
	}
	w.mustRestore("--backup latest --from rest --yes")
	w.awaitJobs()
	w.holds("after the second restore", rows, files)
	w.mustRestore("drop")
}

// awaitJobs waits until the worker has ended the media jobs of a restored database.
func (w *env) awaitJobs() {
	w.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Second) {
		if w.sql("SELECT count(*) FROM media_jobs WHERE status IN ('queued','processing')") == "0" {
			return
		}
		if time.Now().After(deadline) {
			w.t.Error("a job that was at work when the backup was made is stuck")
			return
		}
	}
}

// restoreRefusals are told by their exit codes, before anything is stopped.
func restoreRefusals(t *testing.T, w *env) {
	// A backup that a newer release would have made.
	revision := w.sql("SELECT version_num FROM alembic_version")
	w.sql("UPDATE alembic_version SET version_num = '9999_to_come'")
	w.mustBackUp()
	w.sql("UPDATE alembic_version SET version_num = '" + revision + "'")
	listed := strings.Fields(w.mustRestore("list"))
	newer := listed[len(listed)-3]
	w.mustBackUp()
	rows, files := w.rows(), w.files()
	defer func() { w.holds("after the refusals", rows, files) }()

	spec := w.backupSpec()
	const local = "/mnt/momentstudio/backups/restic"
	// Also those before it: an append-only destination keeps the keys of earlier generations.
	wrong := "sed -i"
	for _, password := range append(spec.OldPasswords, spec.Password) {
		wrong += " -e 's/" + password + "/wrong/'"
	}
	for _, c := range []struct {
		name, before, after, arguments string
		code                           int
		tells                          string
	}{
		{"an unknown backup", "", "", "--backup 20200101T000000Z --yes", 10, "the oldest is"},
		{"an unknown destination", "", "", "--from tape --backup latest --yes", 10, "there are local, rest, s3"},
		{"a wrong password", wrong + " " + backupSecret, "", "--backup latest --yes", 11, "does not open"},
		{
			"a damaged pack", "cp -a " + local + " /mnt/momentstudio/whole && for f in $(find " + local +
				"/data -type f); do chmod u+w $f; printf xxxx | dd of=$f bs=1 seek=40 conv=notrunc status=none; done",
			"rm -rf " + local + " && mv /mnt/momentstudio/whole " + local, "--from local --backup latest --yes", 12, "damaged",
		},
		{
			"a missing part", "cp -a " + local + " /mnt/momentstudio/whole && rm -rf " + local + "/data/*",
			"rm -rf " + local + " && mv /mnt/momentstudio/whole " + local, "--from local --backup latest --yes", 12, "damaged",
		},
		{
			"a full disk", "fallocate -l $(( $(df --output=avail -B1 /mnt/momentstudio | tail -1) - 400000000 )) " +
				"/mnt/momentstudio/filler", "rm /mnt/momentstudio/filler",
			"--backup latest --yes", 13, "host.volumeSizeGB",
		},
		{"a newer schema", "", "", "--backup " + newer + " --yes", 14, "9999_to_come"},
		{
			"a cut archive", "head -c 1000 /dev/urandom > /mnt/momentstudio/backup-x.tar.gz",
			"rm /mnt/momentstudio/backup-x.tar.gz", "--archive /mnt/momentstudio/backup-x.tar.gz --yes", 12, "no gzip file",
		},
		{"another stack's name", "", "", "--backup latest </dev/null", 1, "Type the stack's name"},
		{"an update at work", "(flock 9; echo 'an update, since noon' >&9; sleep 8) 9>/run/lock/momentstudio-services.lock " +
			">/dev/null 2>&1 &", "sleep 8", "--backup latest --yes", 5, "an update, since noon"},
	} {
		w.host("cp -p " + backupSecret + " /var/tmp/backup.json; " + c.before)
		out, code := w.hostops("restore " + c.arguments)
		w.host("mv /var/tmp/backup.json " + backupSecret + "; " + c.after)
		if code != c.code || !strings.Contains(out, c.tells) {
			t.Errorf("%s: exit code %d, want %d with %q:\n%s", c.name, code, c.code, c.tells, tail(out, 20))
		}
		explains(t, c.name, finalMessage("hostops", out), w.backupSecrets()...)
		if left := w.host("ls /mnt/momentstudio/restore 2>/dev/null || true"); left != "" {
			t.Errorf("%s: left %s", c.name, left)
		}
	}
}

// restoreKilled ends restores at their worst moments.
func restoreKilled(t *testing.T, w *env) {
	w.mustBackUp()
	rows, files := w.rows(), w.files()
	w.sql("TRUNCATE media_assets, support_messages CASCADE")
	w.host("rm -rf /mnt/momentstudio/uploads/*")
	lostRows, lostFiles := w.rows(), w.files()
	killAt := func(moment string) {
		t.Helper()
		err := exec.CommandContext(w.ctx, "docker", "exec", "-d", w.hostID(), "sh", "-c",
			"/etc/momentstudio/hostops restore --backup latest --from s3 --yes >/tmp/restore.log 2>&1").Run()
		if err != nil {
			t.Fatal(err)
		}
		w.host("for n in $(seq 1200); do if " + moment + "; then docker kill $(docker ps -q --filter " +
			"label=momentstudio=hostops); exit; fi; sleep 0.05; done; cat /tmp/restore.log; exit 1")
		w.host("for n in $(seq 100); do [ -n \"$(docker ps -aq --filter label=momentstudio=hostops)\" ] || exit 0; sleep " +
			"0.1; done; exit 1")
	}
	const journal = "/mnt/momentstudio/restore/journal.json"
	killAt("[ -e " + journal + " ]")
	w.holds("killed before the switch", lostRows, lostFiles)
	if out, code := w.hostops("restore continue"); code != 1 || !strings.Contains(out, "no restore has touched the shop") {
		t.Errorf("there is nothing to continue: exit code %d\n%s", code, out)
	}

	killAt("grep -q '\"prepared\": true' " + journal + " 2>/dev/null")
	if out := w.mustRestore("status"); !strings.Contains(out, "in the middle of its cutover") {
		t.Errorf("the status of a killed restore:\n%s", out)
	}
	if out, code := w.hostops("restore --backup latest --yes"); code != 15 || !strings.Contains(out, "restore continue") {
		t.Errorf("a new restore over a killed one: exit code %d\n%s", code, out)
	} else {
		explains(t, "a new restore over a killed one", finalMessage("hostops", out))
	}
	if out, err := w.update(); err == nil || !strings.Contains(out, "would mix two states of the shop") {
		t.Errorf("an update of a shop that stands between two states: %v\n%s", err, tail(out, 20))
	} else {
		explains(t, "an update of a shop between two states", finalMessage("studio", out))
	}
	w.mustRestore("continue")
	w.holds("continued", rows, files)
	w.mustRestore("drop")
	w.holds("after the drop", rows, files)
}

// restoreArchives takes what the old scripts made.
func restoreArchives(t *testing.T, w *env) {
	rows, files := w.rows(), w.files()
	for _, name := range []string{"backup-20260101T000000Z.tar.gz", "dev-backup-20260101T000000Z.tar.gz"} {
		notes := "timestamp_utc=20260101T000000Z\\ngit_rev=0123456\\n"
		if strings.HasPrefix(name, "dev") {
			notes += "source=dev\\n"
		}
		w.host("rm -rf /mnt/momentstudio/old && mkdir /mnt/momentstudio/old && cd /mnt/momentstudio/old && cp -a " +
			"../uploads ../private_uploads . && chown -R 1000:1000 uploads private_uploads && printf '" + notes +
			"' > manifest.txt && " +
			"docker exec $(docker ps -q --filter name=momentstudio-postgres. | head -1) pg_dump -Fc -U postgres adrianaart > " +
			"db.dump && tar -czf ../" + name + " uploads private_uploads db.dump manifest.txt && cd .. && rm -rf old")
		w.sql("TRUNCATE media_assets, support_messages CASCADE")
		w.host("rm -rf /mnt/momentstudio/uploads/*")
		out := w.mustRestore(fmt.Sprintf("--archive /mnt/momentstudio/%s --yes", name))
		if !strings.Contains(out, "archive "+name) {
			t.Errorf("the restore does not name its source:\n%s", out)
		}
		w.holds("after "+name, rows, files)
		if left := w.host("find /mnt/momentstudio/uploads /mnt/momentstudio/private_uploads ! -uid 0"); left != "" {
			t.Errorf("these belong to somebody else than the application: %s", left)
		}
		w.mustRestore("drop")
		w.host("rm /mnt/momentstudio/" + name)
	}
	w.host("chown 1000 /mnt/momentstudio/uploads")
	out, err := w.studio("verify", "--limit", "30s", "--config-file", w.s.ConfigFile(), "--ca", w.s.CAFile())
	if err == nil || !strings.Contains(out,
		"the API cannot store uploads in /app/uploads: Permission denied, owner 1000") {
		t.Errorf("verify passes although no upload can be stored: %v\n%s", err, tail(out, 20))
	}
	w.host("chown 0 /mnt/momentstudio/uploads")
}
