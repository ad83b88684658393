package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// lostAll deletes server and volume behind the engine's back, and gets the shop back, byte by byte, from what is off
// the host.
func lostAll(t *testing.T, w *env) {
	w.mustBackUp()
	listed := strings.Fields(w.mustRestore("list --from s3"))
	backup := listed[len(listed)-3]
	rows, files := w.rows(), w.files()
	if !strings.Contains(files, "uploads/") || rows["users"] == "" || strings.HasPrefix(rows["users"], "0 ") {
		t.Fatalf("there is nothing to lose:\n%s\n%v", files, rows)
	}

	api := w.hetzner()
	servers, err := api.Server.All(w.ctx)
	if err != nil || len(servers) != 1 {
		t.Fatalf("%d servers: %v", len(servers), err)
	}
	done, _, err := api.Server.DeleteWithResult(w.ctx, servers[0])
	if err == nil {
		err = api.Action.WaitFor(w.ctx, done.Action)
	}
	if err != nil {
		t.Fatal(err)
	}
	volumes, err := api.Volume.All(w.ctx)
	if err != nil || len(volumes) != 1 {
		t.Fatalf("%d volumes: %v", len(volumes), err)
	}
	if _, err := api.Volume.Delete(w.ctx, volumes[0]); err != nil {
		t.Fatal(err)
	}

	out, err := w.update()
	if err == nil || !strings.Contains(out, "host-data") || !strings.Contains(out, "--forget") {
		t.Fatalf("an update makes a new, empty volume without a word: %v\n%s", err, tail(out, 40))
	}
	explains(t, "server and volume were deleted outside", finalMessage("studio", out), w.credentials()...)
	generation, _ := w.configured("host")["generation"].(int)
	w.configure("host", "generation", generation+1)
	if out, err := w.studio("recover", "--yes", "--forget", "host-data", "--forget", "host-server", "--config-file",
		w.s.ConfigFile()); err != nil {
		t.Fatalf("studio recover: %v\n%s", err, tail(out, 40))
	}
	w.mustUpdate()
	if now := w.rows(); now["users"] == rows["users"] {
		t.Error("the new shop is not empty: the test would prove nothing")
	}
	if out := w.mustRestore("--backup " + backup + " --from s3 --yes"); !strings.Contains(out, "of destination s3") {
		t.Errorf("the restore does not say where from:\n%s", out)
	}
	w.holds("on the new host", rows, files)
	w.mustRestore("drop")
	w.mustPulumi("preview", "--diff", "--refresh", "--expect-no-changes")
}

// badDestinations are one that does not answer, and one on a disk that has no room left. restic tries for a quarter
// of an hour before it gives up on that.
func badDestinations(t *testing.T, w *env) {
	if w.configured("backup")["sftp"] == nil {
		w.sftpDestination()
	}
	w.mustBackUp()
	fails := func(fault, destination string) {
		t.Helper()
		before := w.lastBackup()
		out, ok := w.backup()
		if ok || w.lastBackup() != before {
			t.Errorf("%s: success is %v, and the last backup was moved from %s to %s", fault, ok, before, w.lastBackup())
		}
		for _, d := range []string{"local", "rest", "s3", "sftp"} {
			if want := d + ": snapshot"; d == destination == strings.Contains(out, want) {
				t.Errorf("%s: it says %q, or does not:\n%s", fault, want, tail(out, 30))
			}
		}
		message := finalMessage("hostops", out)
		if !strings.Contains(message, "destination "+destination) {
			t.Errorf("%s: it does not name the destination:\n%s", fault, tail(out, 30))
		}
		explains(t, fault, message, w.backupSecrets()...)
	}
	w.host("cp -p " + backupSecret + " /var/tmp/backup.json && sed -i 's/:9443/:9/' " + backupSecret)
	fails("a destination does not answer", "s3")
	w.host("mv /var/tmp/backup.json " + backupSecret)
	w.host("cp -p " + backupSecret + " /var/tmp/backup.json && sed -i 's/sandbox0writer0secret/revoked0secret/' " +
		backupSecret)
	fails("a bucket's key is revoked", "s3")
	w.host("mv /var/tmp/backup.json " + backupSecret)

	run := func(name string, args ...string) {
		t.Helper()
		if out, err := exec.CommandContext(w.ctx, name, args...).CombinedOutput(); err != nil {
			t.Fatalf("%s %v: %v\n%s", name, args, err, out)
		}
	}
	// A small disk takes the place of the directory.
	copied := t.TempDir()
	run("cp", "-a", w.sftpDirectory()+"/.", copied)
	run("mount", "-t", "tmpfs", "-o", "size=128m", "tmpfs", w.sftpDirectory())
	defer run("umount", "--lazy", w.sftpDirectory())
	run("cp", "-a", copied+"/.", w.sftpDirectory())

	filler := filepath.Join(w.sftpDirectory(), "filler")
	_ = exec.CommandContext(w.ctx, "dd", "if=/dev/zero", "of="+filler, "bs=64k").Run()
	w.host("mkdir -p /mnt/momentstudio/uploads/big && head -c 4000000 /dev/urandom > /mnt/momentstudio/uploads/big/p.bin")
	fails("a destination has no room left", "sftp")
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	w.mustBackUp()
	w.host("rm -r /mnt/momentstudio/uploads/big")
}

// fullDisk is a data volume that has no room left while a backup writes its copy onto it.
func fullDisk(t *testing.T, w *env) {
	w.host("mkdir -p /mnt/momentstudio/uploads/big && head -c 400000000 /dev/urandom > " +
		"/mnt/momentstudio/uploads/big/p.bin")
	rows, files, before := w.rows(), w.files(), w.lastBackup()
	since := w.host("date '+%Y-%m-%d %H:%M:%S'")
	// All of it, also what the file system keeps for root, once the first part of the copy is there.
	w.host(`cd /mnt/momentstudio && systemctl start --no-block momentstudio-backup.service
began() {
  [ -e backups/staging/manifest.json ] &&
    find backups/restic/data -newer backups/staging/manifest.json -type f | grep -q .
}
for n in $(seq 1200); do began && break; sleep 0.05; done; began || exit 1
` + fillVolume + `
for n in $(seq 1200); do [ "$(systemctl is-active momentstudio-backup.service)" = activating ] || break; sleep 0.1; done
` + emptyVolume)
	out := w.host("journalctl -u momentstudio-backup.service -o cat --since '" + since + "'")
	if w.host("systemctl show momentstudio-backup.service -p Result --value") == "success" || w.lastBackup() != before {
		t.Errorf("a copy that did not fit is reported as done:\n%s", tail(out, 30))
	}
	explains(t, "the disk fills up in the middle of a backup", finalMessage("hostops", out), w.backupSecrets()...)
	w.awaitHost()
	w.holds("after the disk was full", rows, files)
	if out, err := w.restic("local", w.backupSpec().Password, "check"); err != nil {
		t.Errorf("the copies of before: %v\n%s", err, tail(out, 20))
	}
	w.mustBackUp()
	w.host("rm -r /mnt/momentstudio/uploads/big")

	// Large values are compressed in the database, and their dump is many times as long.
	rows, files, before = w.rows(), w.files(), w.lastBackup()
	w.sql("SET ROLE momentstudio_owner; CREATE TABLE of_large_values AS SELECT repeat('x', 1000000) AS value FROM " +
		"generate_series(1, 500)")
	w.host("fallocate -l $(( $(df --output=avail -B1 /mnt/momentstudio | tail -1) - 900000000 )) /mnt/momentstudio/filler")
	w.host("rm -f /tmp/measured; (least=999999; while [ ! -e /tmp/measured ]; do now=$(df --output=avail -BM " +
		"/mnt/momentstudio | tail -1 | tr -dc 0-9); [ $now -lt $least ] && least=$now && echo $least > /tmp/least; sleep " +
		"0.1; done) >/dev/null 2>&1 &")
	out, ok := w.backup()
	w.host("touch /tmp/measured; rm /mnt/momentstudio/filler")
	if ok || w.lastBackup() != before || !strings.Contains(out, "the dump is longer than") {
		t.Errorf("a dump that takes too much of the disk: success is %v\n%s", ok, tail(out, 20))
	}
	if least, err := strconv.Atoi(w.host("cat /tmp/least")); err != nil || least < 480 || least > 700 {
		t.Errorf("meanwhile there were %d MB free, want about 512 (%v)", least, err)
	}
	explains(t, "a dump takes more of the disk than it may", finalMessage("hostops", out), w.backupSecrets()...)
	w.sql("DROP TABLE of_large_values")
	w.holds("after a dump that was too long", rows, files)
}
