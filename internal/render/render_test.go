package render_test

import (
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/prekzursil/momentstudio-infra/internal/needs"
	"github.com/prekzursil/momentstudio-infra/internal/render"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// golden compares text with testdata/<name>.golden.
func golden(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil { //nolint:gosec // a golden file is public
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (make snapshots writes it)", err)
	}
	if text != string(want) {
		t.Errorf("%s is stale; `make snapshots` rewrites it. Got:\n%s", path, text)
	}
}

// The Caddyfiles in testdata are passed through the real server's parser by images/edge.
func TestCaddyfile(t *testing.T) {
	for name, c := range map[string]render.Caddy{
		"static-acme": {
			Domain: "shop.example", Edition: "0123456789ab", Email: "admin@shop.example", Mode: "acme",
			ACMEDirectory: "https://acme.example/dir", RateLimits: true,
		},
		"ssr-proxied-file": {
			Domain: "shop.example", Edition: "0123456789ab", Mode: "file", Proxied: true, SSR: true, RateLimits: true,
			MaxBodyMB: 20, MaxUploadMB: 100,
		},
		"internal-bare": {Domain: "shop.example", Edition: "0123456789ab", Mode: "internal"},
		"acme-own-root": {
			Domain: "shop.example", Edition: "0123456789ab", Email: "admin@shop.example", Mode: "acme",
			ACMEDirectory: "https://10.0.0.1/dir", ACMERoot: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			text, err := render.Caddyfile(c)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, "Caddyfile."+name, text)
		})
	}
}

func TestUserData(t *testing.T) {
	text, err := render.CloudInit(render.UserData{
		BootstrapKeyPEM:    "-----BEGIN OPENSSH PRIVATE KEY-----\nnot a key\n-----END OPENSSH PRIVATE KEY-----\n",
		BootstrapKeyPublic: "ssh-ed25519 AAAA bootstrap", VolumeID: "4711", PrivateAddress: "10.77.1.2",
	})
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "user-data", text)

	var parsed struct {
		WriteFiles []struct{ Path, Content string } `yaml:"write_files"`
	}
	if err := yaml.Unmarshal([]byte(text), &parsed); err != nil {
		t.Fatalf("cloud-init could not read it: %v", err)
	}
	if len(parsed.WriteFiles) < 7 {
		t.Fatalf("got %d files", len(parsed.WriteFiles))
	}
	for _, f := range parsed.WriteFiles {
		if strings.Contains(f.Content, "{{") && !strings.Contains(f.Content, "{{.Swarm.LocalNodeState}}") {
			t.Errorf("%s holds an unfilled template", f.Path)
		}
	}
}

func TestUserDataOverTheCloudsLimitIsRefused(t *testing.T) {
	_, err := render.CloudInit(render.UserData{BootstrapKeyPEM: strings.Repeat("x", 33<<10)})
	if err == nil || !strings.Contains(err.Error(), "32768") {
		t.Fatalf("got %v, want an error that names the limit", err)
	}
}

func TestSSHConfig(t *testing.T) {
	text, err := render.SSHConfig("203.0.113.7", ".momentstudio/prod/ssh")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "ssh_config", text)
	if !strings.Contains(text, "StrictHostKeyChecking yes") {
		t.Error("host keys are not checked")
	}
}

func TestDotEnvKeepsEveryCharacter(t *testing.T) {
	got := render.DotEnv(map[string]string{"B": `it's`, "A": `back\slash "quoted" $HOME #hash`})
	want := "A='back\\\\slash \"quoted\" $HOME #hash'\nB='it\\'s'\n"
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func pruneTimer() render.Timer {
	return render.Timer{
		Name: "prune", Description: "Remove images of old releases", Image: "registry.example/ops@sha256:0a",
		Calendar:    "*-*-* 04:30:00",
		RandomDelay: 10 * time.Minute, Limit: 20 * time.Minute, MemoryMB: 256,
		Command: []string{"prune", "--contract", "3"},
		Mounts:  []string{"type=bind,source=/run/lock,target=/run/lock", "type=bind,source=/var/lib/x,target=/x,readonly"},
	}
}

func TestTimerUnits(t *testing.T) {
	timer := pruneTimer()
	if timer.Unit() != "momentstudio-prune.timer" {
		t.Errorf("the unit is %s", timer.Unit())
	}
	timer.Notify = true
	files, err := timer.Files()
	if err != nil || len(files) != 2 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	notice, err := render.Notice("registry.example/ops@sha256:0a", "app",
		[]string{"type=bind,source=/run/lock,target=/run/lock"})
	if err != nil {
		t.Fatal(err)
	}
	files = append(files, notice)
	dir := t.TempDir()
	paths := []string{"verify", "--man=no", "--recursive-errors=no"}
	for _, f := range files {
		golden(t, filepath.Base(f.Path), f.Content)
		path := filepath.Join(dir, filepath.Base(f.Path))
		// The programs of the host are not those of this machine.
		text := strings.ReplaceAll(f.Content, "/usr/bin/docker", "/bin/true")
		text = strings.ReplaceAll(text, "docker.service", "basic.target")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	needs.Program(t, "systemd-analyze")
	// systemd's own reader; it complains on stderr and may still exit with 0.
	if out, err := exec.Command("systemd-analyze", paths...).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}

func TestUnattendedUpgradesReadByAPT(t *testing.T) {
	for rebootAt, want := range map[string][2]string{
		"":      {`Unattended-Upgrade::Automatic-Reboot "false"`, "03:00:00"},
		"03:30": {`Unattended-Upgrade::Automatic-Reboot-Time "03:30"`, "03:00:00"},
		"00:10": {`Unattended-Upgrade::Automatic-Reboot-Time "00:10"`, "23:40:00"},
	} {
		files, err := render.UnattendedUpgrades(rebootAt)
		if err != nil || len(files) != 2 {
			t.Fatalf("%d files, %v", len(files), err)
		}
		path := filepath.Join(t.TempDir(), "90momentstudio-upgrades")
		if err := os.WriteFile(path, []byte(files[0].Content), 0o600); err != nil {
			t.Fatal(err)
		}
		needs.Program(t, "apt-config", "systemd-analyze")
		out, err := exec.Command("apt-config", "-c", path, "dump").CombinedOutput() //nolint:gosec // a file of this test
		if err != nil || !strings.Contains(string(out), want[0]) || !strings.Contains(string(out), `label=Debian-Security"`) {
			t.Errorf("rebootAt %q: %v: APT does not read %s:\n%s", rebootAt, err, want[0], out)
		}
		calendar := "*-*-* " + want[1]
		if !strings.Contains(files[1].Content, "OnCalendar=\nOnCalendar="+calendar+"\n") {
			t.Errorf("rebootAt %q: upgrades come at another time than %s:\n%s", rebootAt, want[1], files[1].Content)
		}
		//nolint:gosec // a time
		if out, err := exec.Command("systemd-analyze", "calendar", calendar).CombinedOutput(); err != nil {
			t.Errorf("systemd does not read %q: %v\n%s", calendar, err, out)
		}
	}
	if _, err := render.UnattendedUpgrades("at night"); err == nil {
		t.Error("a window at no time of day is accepted")
	}
}

func TestHostopsCommand(t *testing.T) {
	file, err := render.HostopsCommand("registry.example/ops@sha256:0a", "app",
		[]string{"type=bind,source=/a,target=/a", "type=bind,source=/b,target=/b,readonly"}, false)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, filepath.Base(file.Path), file.Content)
	// Run with a docker that only tells how it is called.
	dir := t.TempDir()
	for name, text := range map[string]string{
		"docker":  "#!/bin/sh\n[ \"$1\" = run ] || exit 1\nprintf '%s\\n' \"$@\"\n",
		"hostops": file.Content,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o700); err != nil { //nolint:gosec // it is a program
			t.Fatal(err)
		}
	}
	cmd := exec.Command(filepath.Join(dir, "hostops"), "restore", "--backup", "two words") //nolint:gosec // our own
	cmd.Env = []string{"PATH=" + dir + ":" + os.Getenv("PATH")}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	const want = "type=bind,source=/b,target=/b,readonly\nregistry.example/ops@sha256:0a\n" +
		"restore\n--backup\ntwo words\n"
	if !strings.HasSuffix(string(out), want) || strings.Contains(string(out), "--tty") {
		t.Errorf("docker is called with:\n%s", out)
	}
}

// Where the network has no way out, hostops gets one beside it, and its exit code is still the command's.
func TestHostopsCommandWithAWayOut(t *testing.T) {
	file, err := render.HostopsCommand("registry.example/ops@sha256:0a", "app", []string{"type=bind,source=/a,target=/a"},
		true)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "hostops-way-out", file.Content)
	dir := t.TempDir()
	for name, text := range map[string]string{
		"hostops": file.Content,
		"docker": "#!/bin/sh\necho \"$*\" >> \"$LOG\"\ncase $1 in create) echo id-of-it;; network) exit ${CONNECTS:-0};; " +
			"start) exit 12;; esac\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o700); err != nil { //nolint:gosec // it is a program
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		connects, last string
		code           int
	}{
		{"0", "start --attach --interactive id-of-it", 12},
		{"3", "rm --force id-of-it", 1},
	} {
		log := filepath.Join(t.TempDir(), "log")
		cmd := exec.Command(filepath.Join(dir, "hostops"), "restore", "--backup", "two words") //nolint:gosec // our own
		cmd.Env = []string{"PATH=" + dir + ":" + os.Getenv("PATH"), "LOG=" + log, "CONNECTS=" + c.connects}
		var exit *exec.ExitError
		if out, err := cmd.CombinedOutput(); !errors.As(err, &exit) || exit.ExitCode() != c.code {
			t.Errorf("connecting ends with %s: %v, want exit code %d\n%s", c.connects, err, c.code, out)
		}
		text, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		calls := strings.Split(strings.TrimSpace(string(text)), "\n")
		if len(calls) != 3 || !strings.HasPrefix(calls[0], "create --rm ") || !strings.HasSuffix(calls[0],
			" restore --backup two words") ||
			calls[1] != "network connect bridge id-of-it" || calls[2] != c.last {
			t.Errorf("docker is called with %q", calls)
		}
	}
}
