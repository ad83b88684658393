package sshfiles_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prekzursil/momentstudio-infra/internal/needs"
	"github.com/prekzursil/momentstudio-infra/internal/sshfiles"
)

func write(t *testing.T, root string, f sshfiles.Files) {
	t.Helper()
	if err := sshfiles.Write(root, "prod", f); err != nil {
		t.Fatal(err)
	}
}

func TestFilesAndTheirModes(t *testing.T) {
	root := t.TempDir()
	write(t, root, sshfiles.Files{
		Address: "203.0.113.7", PrivateKeys: []string{"the key\n"},
		KnownHosts: []string{"203.0.113.7 ssh-ed25519 AAAA", "203.0.113.7 ssh-ed25519 BBBB"},
	})
	dir := filepath.Join(root, sshfiles.Dir("prod"))
	for _, c := range []struct {
		file, text string // text "" is checked elsewhere
		mode       os.FileMode
	}{
		{"id_ed25519", "the key\n", 0o400},
		{"known_hosts", "203.0.113.7 ssh-ed25519 AAAA\n203.0.113.7 ssh-ed25519 BBBB\n", 0o600},
		{"config", "", 0o600},
	} {
		info, err := os.Stat(filepath.Join(dir, c.file))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != c.mode {
			t.Errorf("%s has mode %v, want %v", c.file, info.Mode(), c.mode)
		}
		text, err := os.ReadFile(filepath.Join(dir, c.file))
		if err != nil {
			t.Fatal(err)
		}
		if c.text != "" && string(text) != c.text {
			t.Errorf("%s holds %q, want %q", c.file, text, c.text)
		}
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the directory is open to others (%v, %v)", info.Mode(), err)
	}
}

func TestFilesAreReplacedWhole(t *testing.T) {
	root := t.TempDir()
	write(t, root, sshfiles.Files{
		Address: "203.0.113.7", PrivateKeys: []string{"a long old key\n"},
		KnownHosts: []string{"old"},
	})
	dir := filepath.Join(root, sshfiles.Dir("prod"))
	before, err := os.Open(filepath.Join(dir, "id_ed25519"))
	if err != nil {
		t.Fatal(err)
	}
	defer before.Close()
	write(t, root, sshfiles.Files{Address: "203.0.113.8", PrivateKeys: []string{"new\n"}, KnownHosts: []string{"new"}})

	old := make([]byte, 64)
	n, _ := before.Read(old)
	if string(old[:n]) != "a long old key\n" {
		t.Errorf("a reader of the old key sees %q", old[:n])
	}
	for file, want := range map[string]string{"id_ed25519": "new\n", "known_hosts": "new\n"} {
		if text, err := os.ReadFile(filepath.Join(dir, file)); err != nil || string(text) != want {
			t.Errorf("%s holds %q (%v), want %q", file, text, err, want)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 3 {
		t.Errorf("%d files lie there, want 3: something is left behind", len(entries))
	}
}

func TestPathsAreRelativeAndChecksAreOn(t *testing.T) {
	root := t.TempDir()
	write(t, root, sshfiles.Files{Address: "203.0.113.7", PrivateKeys: []string{"k"}, KnownHosts: []string{"h"}})
	options := sshfiles.Options("prod")
	if len(options) != 2 || options[0] != "-F" || filepath.IsAbs(options[1]) {
		t.Fatalf("options are %q, want -F and a relative path", options)
	}
	text, err := os.ReadFile(filepath.Join(root, options[1]))
	if err != nil {
		t.Fatalf("the options name no file of the project: %v", err)
	}
	if strings.Contains(string(text), root) {
		t.Error("the configuration names this machine's directory")
	}
	needs.Program(t, "ssh")
	// What OpenSSH itself makes of the file, run where Pulumi runs.
	cmd := exec.Command("ssh", append(options, "-G", "203.0.113.7")...) //nolint:gosec // our own file; -G dials nobody
	cmd.Dir = root
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("ssh (package openssh-client): %v: %s", err, out)
	}
	got := map[string]string{}
	for line := range strings.Lines(string(out)) {
		k, v, _ := strings.Cut(strings.TrimSpace(line), " ")
		if got[k] != "" {
			v = got[k] + " " + v
		}
		got[k] = v
	}
	for k, want := range map[string]string{
		"stricthostkeychecking": "true", "user": "root", "identitiesonly": "yes", "passwordauthentication": "no",
		// newest first
		"identityfile":       sshfiles.Dir("prod") + "/id_ed25519 " + sshfiles.Dir("prod") + "/id_ed25519_before",
		"userknownhostsfile": sshfiles.Dir("prod") + "/known_hosts",
	} {
		if got[k] != want {
			t.Errorf("ssh takes %s %q, want %q", k, got[k], want)
		}
	}
}

func TestStacksDoNotShareFiles(t *testing.T) {
	if sshfiles.Dir("prod") == sshfiles.Dir("staging") {
		t.Error("two stacks share a directory")
	}
}

func TestUnwritableDirectoryIsNamedAndTheKeyIsNot(t *testing.T) {
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, ".momentstudio"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	err := sshfiles.Write(root, "prod", sshfiles.Files{Address: "a", PrivateKeys: []string{"canary-key"}})
	if err == nil || !strings.Contains(err.Error(), ".momentstudio/prod/ssh") || strings.Contains(err.Error(), "canary") {
		t.Errorf("got %v, want an error that names the directory", err)
	}
}
