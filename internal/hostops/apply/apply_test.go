package apply_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/prekzursil/momentstudio-infra/internal/hostops/apply"
	"github.com/prekzursil/momentstudio-infra/internal/hostops/filetest"
	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
	"github.com/prekzursil/momentstudio-infra/internal/needs"
)

// fakeUnits records what systemd would be asked for.
type fakeUnits struct {
	calls []string
	fail  string // the call that fails
}

var _ apply.Units = (*fakeUnits)(nil)

func (f *fakeUnits) call(name string) error {
	f.calls = append(f.calls, name)
	if name == f.fail {
		return errors.New("systemd says no")
	}
	return nil
}

func (f *fakeUnits) DaemonReload(context.Context) error { return f.call("daemon-reload") }

func (f *fakeUnits) Reload(_ context.Context, unit string) error { return f.call(unit) }

func (f *fakeUnits) Enable(_ context.Context, unit string, changed bool) error {
	return f.call(fmt.Sprintf("enable %s changed=%t", unit, changed))
}

func (f *fakeUnits) Disable(_ context.Context, unit string) error { return f.call("disable " + unit) }

const canary = "canary-secret-91"

// host is a root directory with the data volume's mark, and an inbox with one uploaded secret.
func host(t *testing.T) (root string, spec hostspec.Apply) {
	t.Helper()
	root = t.TempDir()
	filetest.Put(t, root+hostspec.GuardFile, "")
	// A secret's group has the number of its owner.
	needs.That(t, os.Chown(root+hostspec.GuardFile, os.Getuid(), os.Getuid()) == nil, "a group with the user's number")
	upload := filepath.Join(t.TempDir(), "secret-0")
	filetest.Put(t, upload, canary)
	return root, hostspec.Apply{
		Directories: []hostspec.Directory{
			{Path: "/mnt/momentstudio/redis", Mode: 0o750, UID: os.Getuid(), GID: os.Getgid()},
			{Path: "/etc/momentstudio/secrets", Mode: 0o700, UID: os.Getuid(), GID: os.Getgid()},
		},
		Files:   []hostspec.File{{Path: "/etc/systemd/journald.conf.d/10-x.conf", Mode: 0o644, Content: "[Journal]\n"}},
		Secrets: []hostspec.SecretFile{{Path: "/etc/momentstudio/secrets/app.env", Upload: upload, UID: os.Getuid()}},
		Reload:  []string{"ssh.service", "systemd-journald.service"},
	}
}

func noLeftovers(t *testing.T, dir string) {
	t.Helper()
	seen := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		seen++
		if strings.HasPrefix(d.Name(), ".new-") {
			t.Errorf("%s is left behind", path)
		}
		return err
	})
	if err != nil || seen < 2 {
		t.Fatalf("looked at %d files: %v", seen, err)
	}
}

func TestHostApplyMakesTheSpecificationTrue(t *testing.T) {
	root, spec := host(t)
	units, out := &fakeUnits{}, &bytes.Buffer{}
	if err := apply.Run(context.Background(), spec, root, units, out); err != nil {
		t.Fatal(err)
	}
	filetest.Check(t, root+"/mnt/momentstudio/redis", "", 0o750)
	filetest.Check(t, root+"/etc/momentstudio/secrets", "", 0o700)
	filetest.Check(t, root+"/etc/systemd/journald.conf.d/10-x.conf", "[Journal]\n", 0o644)
	filetest.Check(t, root+"/etc/momentstudio/secrets/app.env", canary, 0o400)
	if _, err := os.Stat(spec.Secrets[0].Upload); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the uploaded secret still lies in the job's own layer (%v)", err)
	}
	if want := []string{"daemon-reload", "ssh.service", "systemd-journald.service"}; !slices.Equal(units.calls, want) {
		t.Errorf("systemd was asked for %q, want %q", units.calls, want)
	}
	for _, want := range []string{
		"directory /mnt/momentstudio/redis\n", "file /etc/momentstudio/secrets/app.env\n",
		"reloaded ssh.service\n", "2 files changed",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the log lacks %q:\n%s", want, out)
		}
	}
	if strings.Contains(out.String(), canary) {
		t.Error("the log shows a secret")
	}
	secret, file := strings.Index(out.String(), "file /etc/momentstudio/secrets/app.env\n"),
		strings.Index(out.String(), "file /etc/systemd/journald.conf.d/10-x.conf\n")
	if secret < 0 || file < secret {
		t.Errorf("a file was there before the secrets that it may need:\n%s", out)
	}
	noLeftovers(t, root)
}

func TestHostApplyTakesBackWhatIsNoLongerAskedFor(t *testing.T) {
	root, spec := host(t)
	unit := hostspec.File{Path: "/etc/systemd/system/momentstudio-prune.timer", Mode: 0o644, Content: "[Timer]\n"}
	filetest.Put(t, root+"/etc/systemd/system/other.timer", "of somebody else")
	secret := root + spec.Secrets[0].Path
	if err := apply.Run(context.Background(), spec, root, &fakeUnits{}, &bytes.Buffer{}); err != nil {
		t.Fatal(err)
	}
	filetest.Check(t, secret, canary, 0o400)
	spec.Secrets = nil
	spec.Files, spec.Timers = append(spec.Files, unit), []string{"momentstudio-prune.timer"}
	do := func(want ...string) {
		t.Helper()
		units := &fakeUnits{}
		if err := apply.Run(context.Background(), spec, root, units, &bytes.Buffer{}); err != nil {
			t.Fatal(err)
		}
		units.calls = slices.DeleteFunc(units.calls, func(c string) bool { return !strings.Contains(c, "able ") })
		if !slices.Equal(units.calls, want) {
			t.Errorf("systemd was asked for %q, want %q", units.calls, want)
		}
	}
	do("enable momentstudio-prune.timer changed=true")
	if _, err := os.Stat(secret); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a secret that nobody needs any more is still there (%v)", err)
	}
	do("enable momentstudio-prune.timer changed=false")
	spec.Files[1].Content = "[Timer]\nPersistent=true\n"
	do("enable momentstudio-prune.timer changed=true")
	spec.Files, spec.Timers = spec.Files[:1], nil
	do("disable momentstudio-prune.timer")
	if _, err := os.Stat(root + unit.Path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the unit is still there (%v)", err)
	}
	filetest.Check(t, root+spec.Files[0].Path, spec.Files[0].Content, 0o644)
	filetest.Check(t, root+"/etc/systemd/system/other.timer", "of somebody else", 0o600)
	do()
}

func TestHostApplyTwiceChangesNothingButReloads(t *testing.T) {
	root, spec := host(t)
	if err := apply.Run(context.Background(), spec, root, &fakeUnits{}, &bytes.Buffer{}); err != nil {
		t.Fatal(err)
	}
	paths := []string{root + spec.Files[0].Path, root + spec.Secrets[0].Path}
	var before []os.FileInfo
	for _, p := range paths {
		info, err := os.Stat(p)
		if err != nil {
			t.Fatal(err)
		}
		before = append(before, info)
	}
	filetest.Put(t, spec.Secrets[0].Upload, canary) // a new job gets its uploads again
	units, out := &fakeUnits{}, &bytes.Buffer{}
	if err := apply.Run(context.Background(), spec, root, units, out); err != nil {
		t.Fatal(err)
	}
	for i, p := range paths {
		if info, err := os.Stat(p); err != nil || !os.SameFile(info, before[i]) ||
			!info.ModTime().Equal(before[i].ModTime()) {
			t.Errorf("%s was written again (%v)", p, err)
		}
	}
	if !strings.Contains(out.String(), "0 files changed") || strings.Contains(out.String(), "directory") {
		t.Errorf("the log tells of changes:\n%s", out)
	}
	if len(units.calls) != 3 {
		t.Errorf("systemd was asked for %q: an earlier run may have been killed before it reloaded", units.calls)
	}
}

func TestHostApplyMendsContentAndModeAndLeavesDirectories(t *testing.T) {
	root, spec := host(t)
	filetest.Put(t, root+spec.Files[0].Path, "[Journal]\n") // mode 0600
	filetest.Put(t, root+spec.Secrets[0].Path, "old")
	if err := os.MkdirAll(root+"/mnt/momentstudio/redis", 0o777); err != nil { //nolint:gosec // as an entrypoint left it
		t.Fatal(err)
	}
	if err := os.Chmod(root+"/mnt/momentstudio/redis", 0o711); err != nil { //nolint:gosec // as an entrypoint left it
		t.Fatal(err)
	}
	out := &bytes.Buffer{}
	if err := apply.Run(context.Background(), spec, root, &fakeUnits{}, out); err != nil {
		t.Fatal(err)
	}
	filetest.Check(t, root+spec.Files[0].Path, "[Journal]\n", 0o644)
	filetest.Check(t, root+spec.Secrets[0].Path, canary, 0o400)
	filetest.Check(t, root+"/mnt/momentstudio/redis", "", 0o711)
	if !strings.Contains(out.String(), "2 files changed") {
		t.Errorf("the log is\n%s", out)
	}
}

func TestHostApplyRefuses(t *testing.T) {
	for _, c := range []struct {
		name    string
		arrange func(t *testing.T, root string, spec *hostspec.Apply, units *fakeUnits)
		want    string
		calls   int // of systemd
		upload  bool
	}{
		{"a host whose data volume is not mounted", func(t *testing.T, root string, _ *hostspec.Apply, _ *fakeUnits) {
			t.Helper()
			if err := os.Remove(root + hostspec.GuardFile); err != nil {
				t.Fatal(err)
			}
		}, "the data volume is not mounted: " + hostspec.GuardFile, 0, true},
		{"a directory whose place a file has taken", func(t *testing.T, root string, _ *hostspec.Apply, _ *fakeUnits) {
			t.Helper()
			filetest.Put(t, root+"/mnt/momentstudio/redis", "")
		}, "make directory /mnt/momentstudio/redis: a file is in its place", 0, true},
		{"a file below a file", func(t *testing.T, root string, _ *hostspec.Apply, _ *fakeUnits) {
			t.Helper()
			filetest.Put(t, root+"/etc/systemd/journald.conf.d", "keep me")
		}, "write /etc/systemd/journald.conf.d/10-x.conf", 0, true},
		{"a secret that was not uploaded", func(_ *testing.T, _ string, spec *hostspec.Apply, _ *fakeUnits) {
			spec.Secrets = append(spec.Secrets, hostspec.SecretFile{Path: "/etc/momentstudio/secrets/b", Upload: "/nowhere/b"})
		}, "read the upload for /etc/momentstudio/secrets/b", 0, true},
		{"a systemd that does not reload", func(_ *testing.T, _ string, _ *hostspec.Apply, units *fakeUnits) {
			units.fail = "daemon-reload"
		}, "reload systemd: systemd says no", 1, true},
		{"a unit that does not reload", func(_ *testing.T, _ string, _ *hostspec.Apply, units *fakeUnits) {
			units.fail = "ssh.service"
		}, "reload ssh.service: systemd says no", 2, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			root, spec := host(t)
			units, out := &fakeUnits{}, &bytes.Buffer{}
			c.arrange(t, root, &spec, units)
			err := apply.Run(context.Background(), spec, root, units, out)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want an error with %q", err, c.want)
			}
			if strings.Contains(err.Error()+out.String(), canary) || strings.Contains(out.String(), "applied") {
				t.Errorf("it shows a secret or claims success: %v\n%s", err, out)
			}
			if len(units.calls) != c.calls {
				t.Errorf("systemd was asked for %q", units.calls)
			}
			if _, err := os.Stat(spec.Secrets[0].Upload); (err == nil) != c.upload {
				t.Errorf("the upload is gone: the next attempt of this job needs it (%v)", err)
			}
		})
	}
}

func TestFullDiskLeavesTheOldFile(t *testing.T) {
	root, spec := host(t)
	target := root + spec.Files[0].Path
	filetest.Put(t, target, "[Journal]\nold\n")
	spec.Files[0].Content = strings.Repeat("new\n", 512<<10)

	// A limit on the size of files breaks off the write in its middle, for root too. It lies above what the
	// test tool itself writes.
	signal.Ignore(syscall.SIGXFSZ)
	defer signal.Reset(syscall.SIGXFSZ)
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 1 << 20, Max: old.Max}); err != nil {
		t.Fatal(err)
	}
	units := &fakeUnits{}
	err := apply.Run(context.Background(), spec, root, units, &bytes.Buffer{})
	if e := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &old); e != nil {
		t.Fatal(e)
	}
	if !errors.Is(err, syscall.EFBIG) {
		t.Fatalf("got %v, want the write's error", err)
	}
	if text, err := os.ReadFile(target); err != nil || string(text) != "[Journal]\nold\n" {
		t.Errorf("the old file holds %d bytes now (%v)", len(text), err)
	}
	if len(units.calls) != 0 {
		t.Errorf("systemd was asked for %q", units.calls)
	}
	noLeftovers(t, root)
}

func TestReadSpec(t *testing.T) {
	path := filepath.Join(t.TempDir(), "spec.json")
	filetest.Put(t, path, `{"directories":[{"path":"/a","mode":448,"uid":999}],"reload":["x.service"]}`)
	spec, err := apply.ReadSpec(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(spec.Directories) != 1 || spec.Directories[0] != (hostspec.Directory{
		Path: "/a", Mode: 0o700,
		UID: 999,
	}) || !slices.Equal(spec.Reload, []string{"x.service"}) {
		t.Errorf("got %+v", spec)
	}
	filetest.Put(t, path, `{"directories":`)
	if _, err := apply.ReadSpec(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v for half a specification, want an error that names the file", err)
	}
	if _, err := apply.ReadSpec(path + ".none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v for no specification", err)
	}
}

// Each content that a password file had may be the one in use, when the runs between were killed.
func TestOldSecretsStayUntilTheirUserHasChangedOver(t *testing.T) {
	root, spec := host(t)
	path := "/etc/momentstudio/postgres/superuser"
	upload := filepath.Join(t.TempDir(), "secret-1")
	do := func(content string) {
		t.Helper()
		filetest.Put(t, upload, content)
		filetest.Put(t, spec.Secrets[0].Upload, canary)
		if err := apply.Run(t.Context(), spec, root, &fakeUnits{}, &bytes.Buffer{}); err != nil {
			t.Fatal(err)
		}
	}
	spec.Secrets = append(spec.Secrets, hostspec.SecretFile{Path: path, Upload: upload, UID: os.Getuid(), KeepOld: true})
	for _, content := range []string{"first", "first", "second", "third"} {
		do(content)
	}
	kept, err := filepath.Glob(hostspec.OldSecret(root+path, "*"))
	if err != nil {
		t.Fatal(err)
	}
	var contents []string
	for _, k := range append(kept, root+path) {
		text, err := os.ReadFile(k)
		if err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(k); err != nil || info.Mode().Perm() != 0o400 {
			t.Errorf("%s has mode %v (%v)", k, info.Mode(), err)
		}
		contents = append(contents, string(text))
	}
	slices.Sort(contents)
	if want := []string{"first", "second", "third"}; !slices.Equal(contents, want) {
		t.Errorf("the host holds %q, want %q", contents, want)
	}
}
