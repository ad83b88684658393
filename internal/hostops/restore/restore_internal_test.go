package restore

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/moby/moby/api/types/swarm"

	"github.com/prekzursil/momentstudio-infra/internal/hostops/filetest"
	"github.com/prekzursil/momentstudio-infra/internal/hostops/fsutil"
	"github.com/prekzursil/momentstudio-infra/internal/hostops/restic"
	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
	"github.com/prekzursil/momentstudio-infra/internal/needs"
)

// oldArchive packs files as the old scripts do; a name that ends with a slash is a directory.
func oldArchive(t *testing.T, files map[string]string) string {
	t.Helper()
	var b bytes.Buffer
	packed := gzip.NewWriter(&b)
	w := tar.NewWriter(packed)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		head := &tar.Header{
			Typeflag: tar.TypeReg, Name: name, Mode: 0o640, Size: int64(len(files[name])), Uid: os.Getuid(),
			Gid: os.Getgid(),
		}
		if to, found := strings.CutPrefix(files[name], "-> "); found {
			head.Typeflag, head.Linkname, head.Size = tar.TypeLink, to, 0
			files[name] = ""
		}
		if strings.HasSuffix(name, "/") {
			head.Typeflag, head.Mode = tar.TypeDir, 0o750
		}
		if err := errors.Join(w.WriteHeader(head), fsutil.WriteAll(w, files[name])); err != nil {
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
		m, err := a.Describe(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if m.Release != "0123456" || m.ID != "20260101T000000Z" || m.FileCount() != 3 || m.FileBytes() != 4 ||
			m.Database.Bytes != 5 {
			t.Errorf("described as %+v", m)
		}
		dir := filepath.Join(t.TempDir(), "files")
		if err := a.Fetch(t.Context(), dir); err != nil {
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

// A server that was set up by hand has directories of its operator's user, into which the application, root without
// capabilities, could not write.
func TestRestoredMediaBelongToTheApplication(t *testing.T) {
	dir := filetest.Tree(t, map[string]string{"uploads/originals/a.png": "1", "private_uploads/b": "2", "db.dump": "dump"})
	needs.That(t, os.Geteuid() == 0, "root")
	for _, path := range []string{"uploads", "uploads/originals", "uploads/originals/a.png", "private_uploads/b"} {
		if err := os.Chown(filepath.Join(dir, path), 1000, 1000); err != nil {
			t.Fatal(err)
		}
	}
	//nolint:gosec // a directory that nobody may write into is what the test is about
	if err := os.Chmod(filepath.Join(dir, "uploads/originals"), 0o555); err != nil {
		t.Fatal(err)
	}
	if err := own(dir, 0); err != nil {
		t.Fatal(err)
	}
	for path, mode := range map[string]os.FileMode{
		"uploads": 0o755, "uploads/originals": 0o755, "uploads/originals/a.png": 0o644, "private_uploads/b": 0o644,
	} {
		info, err := os.Stat(filepath.Join(dir, path))
		if err != nil {
			t.Fatal(err)
		}
		stat, got := info.Sys().(*syscall.Stat_t), info.Mode().Perm()
		if stat.Uid != 0 || stat.Gid != 0 || got&mode&0o700 != mode&0o700 {
			t.Errorf("%s belongs to %d:%d with mode %o", path, stat.Uid, stat.Gid, got)
		}
	}
}

func TestADamagedArchiveIsRefused(t *testing.T) {
	for _, missing := range []string{"db.dump", "private_uploads/", "manifest.txt"} {
		files := oldLayout()
		delete(files, missing)
		if _, err := (archive{oldArchive(t, files)}).Describe(t.Context()); !errors.Is(err,
			restic.ErrDamaged) || !strings.Contains(err.Error(), missing) {
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
	for name, content := range map[string][]byte{
		"cut": text[:len(text)/2], "without its checksum": text[:len(text)-4],
		"flipped": flipped, "empty": nil,
	} {
		if err := os.WriteFile(whole, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := (archive{whole}).Describe(t.Context()); !errors.Is(err, restic.ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := (archive{whole + ".gone"}).Describe(t.Context()); !errors.Is(err, restic.ErrNoBackup) {
		t.Errorf("a missing one: %v", err)
	}
}

func TestNothingLeavesTheDirectoryOfARestore(t *testing.T) {
	files := oldLayout()
	files["uploads/../../../outside"] = "x"
	dir := filepath.Join(t.TempDir(), "a", "b", "files")
	if err := (archive{oldArchive(t, files)}).Fetch(t.Context(), dir); err != nil {
		t.Logf("refused: %v", err)
	}
	err := filepath.WalkDir(filepath.Dir(filepath.Dir(filepath.Dir(dir))),
		func(path string, _ os.DirEntry, err error) error {
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
	dir := filetest.Tree(t, map[string]string{"uploads/a": "1", "private_uploads/b": "2", "db.dump": "dump"})
	good := hostspec.Manifest{Format: 1, Files: map[string]hostspec.FileTree{}}
	var err error
	if good.Database.SHA256, good.Database.Bytes, err = fsutil.HashFile(filepath.Join(dir, "db.dump")); err != nil {
		t.Fatal(err)
	}
	for _, part := range hostspec.MediaParts {
		if good.Files[part], err = fsutil.MeasureTree(filepath.Join(dir, part)); err != nil {
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
			if err := compare(dir, &good); !errors.Is(err, restic.ErrDamaged) {
				t.Errorf("%s changed: %v", path, err)
			}
		}
		if err := os.Remove(filepath.Join(dir, path)); err != nil {
			t.Fatal(err)
		}
		if err := compare(dir, &good); !errors.Is(err, restic.ErrDamaged) {
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
		at(swarm.TaskStateStarting, swarm.TaskStateRunning), at(swarm.TaskStateFailed,
			swarm.TaskStateShutdown), at(swarm.TaskStateShutdown, swarm.TaskStateShutdown),
	})
	if alive != 3 || running != 1 {
		t.Errorf("%d alive, %d running; want 3 and 1", alive, running)
	}
}
