package ops

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/swarm"

	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
)

func TestABackupIsPickedByIDOrTime(t *testing.T) {
	all := snapshotsOf("20261101T043000Z", "20261124T043000Z", "20261125T043000Z")
	for want, picked := range map[string]string{
		"latest":                    "20261125T043000Z",
		"20261101T043000Z":          "20261101T043000Z",
		"2026-11-24":                "20261124T043000Z",
		"2026-11-25T04:29Z":         "20261124T043000Z",
		"2026-11-25T06:30:00+02:00": "20261125T043000Z",
		"2026-11-10 12:00":          "20261101T043000Z",
	} {
		if got, err := pick(all, want, noonOfThe25th); err != nil || got.ID != picked {
			t.Errorf("%s: got %s (%v), want %s", want, got.ID, err, picked)
		}
	}
	for _, want := range []string{"20261124T043001Z", "2026-10-31", "yesterday", ""} {
		if got, err := pick(all, want, noonOfThe25th); !errors.Is(err, ErrNoBackup) {
			t.Errorf("%q: got %s (%v)", want, got.ID, err)
		}
	}
	if _, err := pick(nil, "latest", noonOfThe25th); !errors.Is(err, ErrNoBackup) {
		t.Errorf("of none: %v", err)
	}
}

func TestAWrongClockNeitherChoosesNorRemovesBackups(t *testing.T) {
	all := snapshotsOf("20261124T043000Z", "20261125T043000Z", "20991231T043000Z")
	if got, err := pick(all, "latest", noonOfThe25th); !errors.Is(err, ErrNoBackup) || !strings.Contains(err.Error(), "20261125T043000Z") || !strings.Contains(err.Error(), "20991231T043000Z") {
		t.Errorf("the latest is %s (%v), and one is still to come", got.ID, err)
	}
	if got, err := pick(all, "20991231T043000Z", noonOfThe25th); err != nil || got.ID != "20991231T043000Z" {
		t.Errorf("by its name: %s (%v)", got.ID, err)
	}
	if got, err := pick(all, "2099-12-31", noonOfThe25th); err != nil || got.ID != "20261125T043000Z" {
		t.Errorf("by a time: %s (%v)", got.ID, err)
	}
	if _, err := pick(all[2:], "latest", noonOfThe25th); !errors.Is(err, ErrNoBackup) {
		t.Errorf("only one that is still to come: %v", err)
	}
	jumped := snapshotsOf("20261124T043000Z", "20261125T043000Z", "20991231T043000Z", "21000101T043000Z", "21000102T043000Z")
	month := snapshotsOf("20261125T043000Z")
	for day := range 31 {
		month = append(month, snapshotsOf(time.Date(2100, 1, 1+day, 4, 30, 0, 0, time.UTC).Format(backupIDLayout))...)
	}
	for _, c := range []struct {
		name  string
		all   []Snapshot
		now   string
		doubt string
	}{
		{"every night one", all[:2], "20261125T120000Z", ""},
		{"the first", all[:1], "20261124T120000Z", ""},
		{"one of the future counts for nothing", all, "20261125T120000Z", ""},
		{"the clock jumped tonight", jumped[:3], "20991231T043100Z", "20261125T043000Z"},
		{"it jumped two nights ago", jumped, "21000102T043100Z", "20261125T043000Z"},
		{"it jumped more nights ago than backups are kept", month, "21000131T043100Z", ""},
	} {
		now, err := time.Parse(backupIDLayout, c.now)
		if err != nil {
			t.Fatal(err)
		}
		if got := clockDoubt(c.all, now, 30); (got == "") != (c.doubt == "") || !strings.Contains(got, c.doubt) {
			t.Errorf("%s: %q", c.name, got)
		}
	}
}

func TestResticsPlacesInItsSourceAreNotTold(t *testing.T) {
	got := withoutFrames("Fatal: pack is damaged\ngithub.com/restic/restic/internal/repository.check\n\t/restic/check.go:12\nmain.main\n\t/restic/main.go:3\nand more")
	if got != "Fatal: pack is damaged\nand more" {
		t.Errorf("got %q", got)
	}
}

var noonOfThe25th = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

func snapshotsOf(ids ...string) (all []Snapshot) {
	for _, id := range ids {
		all = append(all, Snapshot{ID: id})
	}
	return all
}

func TestTheDestinationOfARestore(t *testing.T) {
	local, rest := hostspec.Destination{Name: "local", Repository: hostspec.LocalRepo}, hostspec.Destination{Name: "rest", Repository: "rest:https://x/"}
	for _, c := range []struct {
		have       []hostspec.Destination
		name, want string
	}{
		{[]hostspec.Destination{local, rest}, "", "rest"},
		{[]hostspec.Destination{local, rest}, "local", "local"},
		{[]hostspec.Destination{local}, "", "local"},
		{[]hostspec.Destination{local, rest}, "s3", ""},
		{nil, "", ""},
	} {
		got, err := repositoryOf(t.Context(), hostspec.Backup{Destinations: c.have}, c.name, "/bin/true")
		if got.Name != c.want || (err != nil) != (c.want == "") {
			t.Errorf("%q of %v: got %q, %v", c.name, c.have, got.Name, err)
		}
	}
}

func TestOnlyTheDatabaseOfTheSettingsChanges(t *testing.T) {
	text := "A='x'\nDATABASE_URL='postgresql://u:a\\'b@h/live'\nSECRET_KEY='DATABASE_URL=no'\n"
	url := databaseURL(text)
	if url != "postgresql://u:a'b@h/live" {
		t.Fatalf("the fixture holds %s", url)
	}
	changed := withDatabaseURL(text, url+"_aside")
	if databaseURL(changed) != url+"_aside" {
		t.Errorf("got %s", changed)
	}
	if withDatabaseURL(changed, url) != text {
		t.Errorf("other settings have changed:\n%s", changed)
	}
}

func TestOnlyTheNameInAURLChanges(t *testing.T) {
	for raw, want := range map[string]string{
		"postgresql+asyncpg://u:p!*'()@h:5432/live":         "postgresql+asyncpg://u:p!*'()@h:5432/other",
		"postgresql+asyncpg://u:p@h/live?ssl=require&x=a/b": "postgresql+asyncpg://u:p@h/other?ssl=require&x=a/b",
	} {
		if got := withDatabaseName(raw, "other"); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if name, err := databaseName(raw); err != nil || name != "live" {
			t.Errorf("%s: %q, %v", raw, name, err)
		}
	}
	for _, raw := range []string{"", "postgresql://h", "postgresql://h/", "://"} {
		if name, err := databaseName(raw); err == nil {
			t.Errorf("%q names %q", raw, name)
		}
	}
}

func TestAHalfSwitchedRestoreIsTold(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.json")
	for _, c := range []struct {
		state *RestoreState
		half  bool
	}{{nil, false}, {&RestoreState{}, false}, {&RestoreState{Prepared: true}, true}, {&RestoreState{Prepared: true, Switched: true}, false}} {
		if c.state != nil {
			if err := writeJSON(path, c.state); err != nil {
				t.Fatal(err)
			}
		}
		if err := HalfSwitched(path); errors.Is(err, ErrUnfinished) != c.half {
			t.Errorf("%+v: %v", c.state, err)
		}
	}
}

// oldArchive packs files as the old scripts do; a name that ends with a slash is a directory.
func oldArchive(t *testing.T, files map[string]string) string {
	t.Helper()
	var b bytes.Buffer
	packed := gzip.NewWriter(&b)
	w := tar.NewWriter(packed)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		head := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o640, Size: int64(len(files[name])), Uid: os.Getuid(), Gid: os.Getgid()}
		if to, found := strings.CutPrefix(files[name], "-> "); found {
			head.Typeflag, head.Linkname, head.Size = tar.TypeLink, to, 0
			files[name] = ""
		}
		if strings.HasSuffix(name, "/") {
			head.Typeflag, head.Mode = tar.TypeDir, 0o750
		}
		if err := errors.Join(w.WriteHeader(head), writeAll(w, files[name])); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), packed.Close()); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "backup-20260101T000000Z.tar.gz")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func oldLayout() map[string]string {
	return map[string]string{
		"uploads/": "", "uploads/a.png": "a", "uploads/originals/1/b.png": "bb", "private_uploads/": "",
		"db.dump": "PGDMP", "manifest.txt": "timestamp_utc=20260101T000000Z\ngit_rev=0123456\n",
	}
}

func TestAnArchiveOfTheOldScripts(t *testing.T) {
	for _, prefix := range []string{"", "./"} {
		files := map[string]string{}
		for name, content := range oldLayout() {
			files[prefix+name] = content
		}
		files[prefix+"uploads/second-name.png"] = "-> " + prefix + "uploads/a.png"
		a := archive{oldArchive(t, files)}
		m, err := a.describe(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if m.Release != "0123456" || m.ID != "20260101T000000Z" || m.files() != 3 || m.bytes() != 4 || m.Database.Bytes != 5 {
			t.Errorf("described as %+v", m)
		}
		dir := filepath.Join(t.TempDir(), "files")
		if err := a.fetch(t.Context(), dir); err != nil {
			t.Fatal(err)
		}
		if err := compare(dir, &m); err != nil {
			t.Error(err)
		}
		info, err := os.Stat(filepath.Join(dir, "uploads", "originals", "1", "b.png"))
		if err != nil || info.Mode().Perm() != 0o640 {
			t.Errorf("a file is %v, %v", info, err)
		}
		if info, err = os.Stat(filepath.Join(dir, "private_uploads")); err != nil || info.Mode().Perm() != 0o750 {
			t.Errorf("a directory is %v, %v", info, err)
		}
	}
}

func TestADamagedArchiveIsRefused(t *testing.T) {
	for _, missing := range []string{"db.dump", "private_uploads/", "manifest.txt"} {
		files := oldLayout()
		delete(files, missing)
		if _, err := (archive{oldArchive(t, files)}).describe(t.Context()); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), missing) {
			t.Errorf("without %s: %v", missing, err)
		}
	}
	whole := oldArchive(t, oldLayout())
	text, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	flipped := slices.Clone(text)
	flipped[len(flipped)-6] ^= 1 // of the checksum at the end
	for name, content := range map[string][]byte{"cut": text[:len(text)/2], "without its checksum": text[:len(text)-4], "flipped": flipped, "empty": nil} {
		if err := os.WriteFile(whole, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := (archive{whole}).describe(t.Context()); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := (archive{whole + ".gone"}).describe(t.Context()); !errors.Is(err, ErrNoBackup) {
		t.Errorf("a missing one: %v", err)
	}
}

func TestNothingLeavesTheDirectoryOfARestore(t *testing.T) {
	files := oldLayout()
	files["uploads/../../../outside"] = "x"
	dir := filepath.Join(t.TempDir(), "a", "b", "files")
	if err := (archive{oldArchive(t, files)}).fetch(t.Context(), dir); err != nil {
		t.Logf("refused: %v", err)
	}
	err := filepath.WalkDir(filepath.Dir(filepath.Dir(filepath.Dir(dir))), func(path string, _ os.DirEntry, err error) error {
		if filepath.Base(path) == "outside" {
			t.Errorf("%s was written", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestWhatDiffersFromTheManifestIsDamaged(t *testing.T) {
	dir := tree(t, map[string]string{"uploads/a": "1", "private_uploads/b": "2", "db.dump": "dump"})
	good := Manifest{Format: 1, Files: map[string]Tree{}}
	var err error
	if good.Database.SHA256, good.Database.Bytes, err = hashFile(filepath.Join(dir, "db.dump")); err != nil {
		t.Fatal(err)
	}
	for _, part := range mediaParts {
		if good.Files[part], err = measureTree(filepath.Join(dir, part)); err != nil {
			t.Fatal(err)
		}
	}
	if err := compare(dir, &good); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"uploads/a", "private_uploads/b", "db.dump"} {
		whole, err := os.ReadFile(filepath.Join(dir, path))
		if err != nil {
			t.Fatal(err)
		}
		for _, content := range []string{"3", "longer than before"} {
			if err := os.WriteFile(filepath.Join(dir, path), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := compare(dir, &good); !errors.Is(err, ErrDamaged) {
				t.Errorf("%s changed: %v", path, err)
			}
		}
		if err := os.Remove(filepath.Join(dir, path)); err != nil {
			t.Fatal(err)
		}
		if err := compare(dir, &good); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s missing: %v", path, err)
		}
		if err := os.WriteFile(filepath.Join(dir, path), whole, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDirectoriesAreExchangedOnce(t *testing.T) {
	dir := t.TempDir()
	live, aside := filepath.Join(dir, "live"), filepath.Join(dir, "deeper", "aside")
	for _, d := range []string{live, aside} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	old, err := inode(live)
	if err != nil {
		t.Fatal(err)
	}
	brought, err := inode(aside)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []uint64{brought, brought, old, old, brought} {
		if err := exchangeDirectories(live, aside, want); err != nil {
			t.Fatal(err)
		}
		if have, err := inode(live); err != nil || have != want {
			t.Errorf("live is %d (%v), want %d", have, err, want)
		}
	}
	if err := exchangeDirectories(live, aside, old+brought+1); err == nil {
		t.Error("an unknown directory was accepted")
	}
	if have, err := inode(live); err != nil || have != brought {
		t.Errorf("a refused exchange changed the live directory: %d, %v", have, err)
	}
}

func TestTasksThatHaveEndedDoNotCount(t *testing.T) {
	at := func(is, wanted swarm.TaskState) swarm.Task {
		return swarm.Task{Status: swarm.TaskStatus{State: is}, DesiredState: wanted}
	}
	alive, running := countTasks([]swarm.Task{
		at(swarm.TaskStateRunning, swarm.TaskStateRunning), at(swarm.TaskStateRunning, swarm.TaskStateShutdown),
		at(swarm.TaskStateStarting, swarm.TaskStateRunning), at(swarm.TaskStateFailed, swarm.TaskStateShutdown), at(swarm.TaskStateShutdown, swarm.TaskStateShutdown),
	})
	if alive != 3 || running != 1 {
		t.Errorf("%d alive, %d running; want 3 and 1", alive, running)
	}
}

func TestRedisIsToldAndItsRefusalIsAnError(t *testing.T) {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	heard := make(chan string, 8)
	go func() {
		for {
			conn, err := server.Accept()
			if err != nil {
				return
			}
			for lines := bufio.NewScanner(conn); lines.Scan(); {
				heard <- lines.Text()
				reply := "+OK\r\n"
				if strings.HasPrefix(lines.Text(), "RPUSH") {
					reply = "-OOM command not allowed\r\n"
				}
				_ = writeAll(conn, reply)
			}
		}
	}()
	if err := tellRedis(t.Context(), server.Addr().String(), []string{"FLUSHDB"}); err != nil || <-heard != "FLUSHDB" {
		t.Errorf("flush: %v", err)
	}
	if err := tellRedis(t.Context(), server.Addr().String(), []string{"RPUSH q 1"}); err == nil || !strings.Contains(err.Error(), "OOM") {
		t.Errorf("a full Redis: %v", err)
	}
}

func TestAJournalIsReadAsItWasWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.json")
	if s, err := ReadRestoreState(path); s != nil || err != nil {
		t.Errorf("without one: %+v, %v", s, err)
	}
	want := RestoreState{
		ID: "1", Prepared: true, Target: Before, Databases: map[Side]uint32{Before: 5, Restored: 6}, Manifest: Manifest{Started: time.Unix(1, 0).UTC()},
		Directories: map[string]map[Side]uint64{"uploads": {Before: 1 << 63, Restored: 2}}, Replicas: map[string]uint64{"a": 1},
	}
	if err := writeJSON(path, want); err != nil {
		t.Fatal(err)
	}
	// The lock of an update looks for these words (internal/studio/lock.go).
	if text, err := os.ReadFile(path); err != nil || !strings.Contains(string(text), `"prepared": true`) || !strings.Contains(string(text), `"switched": false`) {
		t.Errorf("the journal is %s, %v", text, err)
	}
	got, err := ReadRestoreState(path)
	if err != nil || got.Databases[Restored] != 6 || got.Directories["uploads"][Before] != 1<<63 || got.Target != Before || !got.Prepared || got.Switched {
		t.Errorf("got %+v, %v", got, err)
	}
}
