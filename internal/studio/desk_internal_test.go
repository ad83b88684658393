package studio

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prekzursil/momentstudio-infra/internal/commandline"
	"github.com/prekzursil/momentstudio-infra/internal/engine"
	"github.com/prekzursil/momentstudio-infra/internal/engine/enginetest"
	"github.com/prekzursil/momentstudio-infra/internal/process"
)

// program puts a script in the place of a program.
func program(t *testing.T, dir, name, script string) {
	t.Helper()
	text := []byte("#!/bin/sh\n" + script)
	if err := os.WriteFile(filepath.Join(dir, name), text, 0o700); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
}

// onTheHost runs a script as the host would, with a docker that shows its arguments line by line.
func onTheHost(t *testing.T, script, tasks string) (string, error) {
	t.Helper()
	dir := t.TempDir()
	program(t, dir, "docker", `case "$1 $2" in
"ps --quiet") echo "$*" >&2; printf '`+tasks+`' ;;
"service inspect") [ "$3" != momentstudio-schedulers ] ;;
*) for a; do echo "[$a]"; done ;;
esac
`)
	cmd := exec.CommandContext(t.Context(), "sh", "-c", script) //nolint:gosec // what is tested
	cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func TestTheLogsOfServices(t *testing.T) {
	for _, c := range []struct {
		name  string
		o     LogOptions
		shows []string
		hides string
	}{
		{
			"one service",
			LogOptions{Service: "backend", Lines: 100},
			[]string{"[service]\n[logs]\n[--timestamps]\n[--tail]\n[100]\n[momentstudio-backend]"},
			"--since",
		},
		{
			"by its full name, from now on",
			LogOptions{Service: "momentstudio-redis", Lines: 5, Since: 90 * time.Minute, Follow: true},
			[]string{"[--tail]\n[5]\n[--since]\n[5400s]\n[--follow]\n[momentstudio-redis]"},
			"zzz",
		},
		{
			"all of them",
			LogOptions{Lines: 7},
			[]string{"[7]\n[momentstudio-backend]", "[7]\n[momentstudio-caddy]", "[7]\n[momentstudio-redis]"},
			"momentstudio-schedulers",
		},
	} {
		script, err := logScript(c.o)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		out, err := onTheHost(t, script, "")
		if err != nil {
			t.Errorf("%s: %v\n%s", c.name, err, out)
		}
		for _, want := range c.shows {
			if !strings.Contains(out, want) {
				t.Errorf("%s: no %q in\n%s", c.name, want, out)
			}
		}
		if strings.Contains(out, c.hides) {
			t.Errorf("%s: %q stands in\n%s", c.name, c.hides, out)
		}
	}
	for name, o := range map[string]LogOptions{
		"no such service": {Service: "nginx", Lines: 1}, "an option in its place": {Service: "--all", Lines: 1},
		"all at once": {Follow: true, Lines: 1}, "no lines": {Service: "caddy"},
		"a time to come": {Service: "caddy", Lines: 1, Since: -time.Second},
	} {
		if _, err := logScript(o); !commandline.Wrong(err) {
			t.Errorf("%s: got %v, want wrong usage", name, err)
		}
	}
}

func TestOnlyMatchingLinesAreShown(t *testing.T) {
	c, out := stackOfAHost(t, `printf 'first error\nsecond\nERROR'; echo "to stderr: error" >&2`)
	if err := Logs(t.Context(), c, LogOptions{Service: "caddy", Lines: 1, Grep: "(?i)error$"}); err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]bool{
		"first error\n": true, "second": false, "ERROR\n": true, "to stderr: error\n": true,
	} {
		if strings.Contains(out.String(), line) != want {
			t.Errorf("%q is shown: %v, want %v\n%s", line, !want, want, out)
		}
	}
	if err := Logs(t.Context(), c, LogOptions{Service: "caddy", Lines: 1, Grep: "("}); !commandline.Wrong(err) {
		t.Errorf("a pattern that is none: %v", err)
	}
}

func TestACommandRunsInATaskOfItsService(t *testing.T) {
	odd := []string{"sh", "-c", `echo "it's $HOME"; exit`, "", "--flag=two words"}
	out, err := onTheHost(t, execScript("momentstudio-backend", "", odd, false), `abc\ndef\n`)
	const want = "[exec]\n[--interactive]\n[abc]\n[sh]\n[-c]\n[echo \"it's $HOME\"; exit]\n[]\n[--flag=two words]\n"
	if err != nil || !strings.HasSuffix(out, want) {
		t.Errorf("%v\n%s\nwant\n%s", err, out, want)
	}
	if !strings.Contains(out, "label=com.docker.swarm.service.name=momentstudio-backend\n") {
		t.Errorf("it asks for\n%s", out)
	}
	if out, err := onTheHost(t, execScript("momentstudio-backend", "", odd, true), ""); err == nil ||
		!strings.Contains(out, "no task of momentstudio-backend runs on the host") {
		t.Errorf("without a task: %v\n%s", err, out)
	}
}

func TestPsqlOnlyReadsUnlessItIsToldOtherwise(t *testing.T) {
	for _, write := range []bool{false, true} {
		script := psqlScript(PsqlOptions{Write: write, Args: []string{"-c", "select 1"}}, true)
		out, err := onTheHost(t, script, "abc")
		readOnly := strings.Contains(out, "[--env]\n[PGOPTIONS=-c default_transaction_read_only=on]\n[abc]\n")
		if err != nil || readOnly == write || !strings.Contains(out, "[--tty]\n") ||
			!strings.HasSuffix(out, "[abc]\n[psql]\n[-U]\n[postgres]\n[-d]\n[adrianaart]\n[-c]\n[select 1]\n") {
			t.Errorf("with write %v: %v\n%s", write, err, out)
		}
	}
	refused := errors.New("no")
	c, _ := stackOfAHost(t, "exit 0")
	err := Psql(t.Context(), c, PsqlOptions{Write: true, Confirm: func() error { return refused }})
	if !errors.Is(err, refused) {
		t.Errorf("it writes although nobody agreed: %v", err)
	}
}

// stackOfAHost has a host, which an ssh of the test's answers for.
func stackOfAHost(t *testing.T, ssh string) (engine.Stack, *bytes.Buffer) {
	t.Helper()
	c, out := enginetest.NewStack(t, &enginetest.Programs{
		Outputs: `{"address":"192.0.2.1","knownHosts":["192.0.2.1 ssh-ed25519 A"],"sshPrivateKeys":["key"]}`,
	}, "prod", "config: {}\n")
	dir := t.TempDir()
	program(t, dir, "ssh", ssh)
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	t.Chdir(c.Root)
	return c, out
}

func TestTheExitCodeIsTheCommands(t *testing.T) {
	c, out := stackOfAHost(t, `echo "$*"; exit 7`)
	err := Shell(t.Context(), c, []string{"ls", "a b"})
	var ended process.CommandError
	if !errors.As(err, &ended) || ended.Code != 7 {
		t.Errorf("got %v, want the code 7", err)
	}
	if want := "-F .momentstudio/prod/ssh/config 192.0.2.1 'ls' 'a b'\n"; out.String() != want {
		t.Errorf("ssh gets %q, want %q", out, want)
	}
	if text, err := os.ReadFile(filepath.Join(c.Root, ".momentstudio/prod/ssh/known_hosts")); err != nil ||
		!strings.Contains(string(text), "ssh-ed25519 A") {
		t.Errorf("the host's key is not pinned: %q, %v", text, err)
	}
}

func TestAHostThatIsAwayHasAWayOut(t *testing.T) {
	c, _ := stackOfAHost(t, "exit 255")
	for name, run := range map[string]func() error{
		"logs": func() error { return Logs(t.Context(), c, LogOptions{Service: "caddy", Lines: 1}) },
		"exec": func() error { return Exec(t.Context(), c, "caddy", []string{"true"}) },
		"psql": func() error { return Psql(t.Context(), c, PsqlOptions{}) },
		"ssh":  func() error { return Shell(t.Context(), c, nil) },
	} {
		err := run()
		if err == nil || !strings.Contains(err.Error(), "the host 192.0.2.1 cannot be reached") ||
			!strings.Contains(err.Error(), "studio ssh-allow --stack prod") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestABackupIsFollowedAndItsCodeIsTheUnits(t *testing.T) {
	for code, unit := range map[int]string{0: "exit 0", 3: "exit 3"} {
		dir := t.TempDir()
		program(t, dir, "journalctl", "echo \"$*\"; echo stored; exec sleep 60\n")
		program(t, dir, "systemctl", "sleep 0.2; echo \"$*\"; "+unit+"\n")
		cmd := exec.CommandContext(t.Context(), "sh", "-c", backUpScript()) //nolint:gosec // what is tested
		cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"))
		began := time.Now()
		out, _ := cmd.CombinedOutput()
		if got := cmd.ProcessState.ExitCode(); got != code {
			t.Errorf("it ends with %d, want %d:\n%s", got, code, out)
		}
		for _, want := range []string{"--unit momentstudio-backup.service --follow", "stored", "start momentstudio-backup"} {
			if !strings.Contains(string(out), want) {
				t.Errorf("no %q in\n%s", want, out)
			}
		}
		if took := time.Since(began); took > 30*time.Second {
			t.Errorf("it waits for the journal, which never ends: %s", took)
		}
	}
}

func TestARestoreRunsOnTheHost(t *testing.T) {
	c, out := stackOfAHost(t, `echo "$*"; exit 12`)
	err := Restore(t.Context(), c, "--backup=2026-11-25T04:30Z", "--of=the old; one")
	var ended process.CommandError
	if !errors.As(err, &ended) || ended.Code != 12 {
		t.Errorf("got %v, want hostops's code 12", err)
	}
	const want = "/etc/momentstudio/hostops restore '--backup=2026-11-25T04:30Z' '--of=the old; one'\n"
	if !strings.HasSuffix(out.String(), want) {
		t.Errorf("the host is asked %q, want %q", out, want)
	}
}
