package ops

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/swarm"

	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
)

func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o640); err != nil { //nolint:gosec // a test's file
			t.Fatal(err)
		}
	}
	return root
}

// rewrite writes into a file as the application's libraries do: without a new name.
func rewrite(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestWhatIsWrittenIntoIsAFileOfItsOwn(t *testing.T) {
	live := t.TempDir()
	s := &staged{dir: t.TempDir()}
	for _, part := range mediaParts {
		root := filepath.Join(live, part)
		if err := os.MkdirAll(root, 0o700); err != nil {
			t.Fatal(err)
		}
		rewrite(t, filepath.Join(root, "same"), "same")
		rewrite(t, filepath.Join(root, "variant.jpg"), "old")
		if err := os.Chmod(filepath.Join(root, "variant.jpg"), 0o640); err != nil { //nolint:gosec // the mode is what is tested
			t.Fatal(err)
		}
		if err := linkTree(root, filepath.Join(s.dir, part)); err != nil {
			t.Fatal(err)
		}
	}
	m := Manifest{Files: map[string]Tree{}}
	if changed, err := s.measure(&m); err != nil || changed {
		t.Fatalf("changed %v, %v", changed, err)
	}
	if changed, err := s.measure(&m); err != nil || changed {
		t.Fatalf("nothing changed: %v, %v", changed, err)
	}
	first := m.Files[uploadsPart]

	rewrite(t, filepath.Join(live, uploadsPart, "variant.jpg"), "new") // as long as before
	if changed, err := s.measure(&m); err != nil || !changed {
		t.Fatalf("changed %v, %v", changed, err)
	}
	second := m.Files[uploadsPart]
	if second == first || second.Files != 2 || second.Bytes != first.Bytes {
		t.Errorf("the manifest has %+v, had %+v", second, first)
	}
	if have, err := measureTree(filepath.Join(s.dir, uploadsPart)); err != nil || have != second {
		t.Errorf("staged is %+v, the manifest has %+v: %v", have, second, err)
	}
	var written Manifest
	if err := readJSON(filepath.Join(s.dir, "manifest.json"), &written); err != nil || written.Files[uploadsPart] != second {
		t.Errorf("on the disk is %+v: %v", written.Files, err)
	}
	if info, err := os.Stat(filepath.Join(s.dir, uploadsPart, "variant.jpg")); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("the copy's mode: %v, %v", info, err)
	}
	// From now on nobody else has it.
	rewrite(t, filepath.Join(live, uploadsPart, "variant.jpg"), "newer")
	if changed, err := s.measure(&m); err != nil || changed || m.Files[uploadsPart] != second {
		t.Errorf("changed %v, %+v, %v", changed, m.Files[uploadsPart], err)
	}
}

func TestALinkedTreeHoldsWhatWasThere(t *testing.T) {
	from := tree(t, map[string]string{"a.png": "a", "originals/1/b.png": "bb", "variants/1/b.jpg": "v"})
	if err := os.Chmod(filepath.Join(from, "originals"), 0o711); err != nil { //nolint:gosec // the mode is what is tested
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(from, "link")); err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(t.TempDir(), "uploads")
	if err := linkTree(from, to); err != nil {
		t.Fatal(err)
	}
	first, err := measureTree(to)
	if err != nil || first.Files != 3 || first.Bytes != 4 {
		t.Fatalf("got %+v, %v", first, err)
	}
	if info, err := os.Stat(filepath.Join(to, "originals")); err != nil || info.Mode().Perm() != 0o711 {
		t.Errorf("the directory's mode is lost: %v, %v", info, err)
	}
	// The application replaces and removes files while the backup is made: the copy keeps what it saw,
	// and a second look adds what came from the other directory meanwhile.
	if err := os.Remove(filepath.Join(from, "a.png")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(from, "c.png"), []byte("c"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := linkTree(from, to); err != nil {
		t.Fatal(err)
	}
	second, err := measureTree(to)
	if err != nil || second.Files != 4 || second.SHA256 == first.SHA256 {
		t.Errorf("after the second look: %+v, %v", second, err)
	}
	if text, err := os.ReadFile(filepath.Join(to, "a.png")); err != nil || string(text) != "a" {
		t.Errorf("what was removed meanwhile is lost: %q, %v", text, err)
	}
	if err := linkTree(filepath.Join(from, "gone"), to); err != nil {
		t.Errorf("a directory that vanished: %v", err)
	}
}

func TestTheSameFilesHaveTheSameSum(t *testing.T) {
	files := map[string]string{"b": "2", "a/x": "1"}
	one, _ := measureTree(tree(t, files))
	two, _ := measureTree(tree(t, files))
	moved, _ := measureTree(tree(t, map[string]string{"b": "2", "a/y": "1"}))
	if one != two || one == moved {
		t.Errorf("%+v, %+v, moved %+v", one, two, moved)
	}
}

func TestAFailedBackupNeverMovesTheTime(t *testing.T) {
	root := t.TempDir()
	at := func(hour int) time.Time { return time.Date(2026, 11, 25, hour, 0, 0, 0, time.UTC) }
	last := func() string {
		text, _ := os.ReadFile(root + hostspec.LastBackupFile)
		return string(text)
	}
	for _, run := range []struct {
		run  BackupRun
		want string
	}{
		{BackupRun{ID: "0", Started: at(1), Error: "no destination"}, ""},
		{BackupRun{ID: "1", Started: at(2)}, "2026-11-25T02:00:00Z\n"},
		{BackupRun{ID: "2", Started: at(3), Error: "disk full"}, "2026-11-25T02:00:00Z\n"},
		{BackupRun{ID: "3", Started: at(4)}, "2026-11-25T04:00:00Z\n"},
	} {
		if err := recordRun(root, run.run); err != nil {
			t.Fatal(err)
		}
		if got := last(); got != run.want {
			t.Errorf("after run %s: %q, want %q", run.run.ID, got, run.want)
		}
		state, err := ReadBackupState(root + hostspec.BackupStatus)
		if err != nil || state.Last.ID != run.run.ID || (state.Verified != nil) != (run.want != "") || state.Verified != nil && state.Verified.Error != "" {
			t.Errorf("after run %s: %+v, %v", run.run.ID, state, err)
		}
	}
}

func TestABrokenSpecificationIsNotQuoted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "backup.json")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, text := range []string{`{"password": "canary`, `{"password": "canary", "destinations": []}`, `{}`} {
		write(text)
		if _, err := ReadBackupSpec(path); err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v", text, err)
		}
	}
	good, err := json.Marshal(hostspec.Backup{Password: "p", Destinations: []hostspec.Destination{{Name: "local", Repository: "/x"}}}) //nolint:gosec // made up
	if err != nil {
		t.Fatal(err)
	}
	write(string(good))
	if spec, err := ReadBackupSpec(path); err != nil || spec.Destinations[0].Name != "local" {
		t.Errorf("got %+v, %v", spec, err)
	}
}

func TestTheEndOfARestart(t *testing.T) {
	began := time.Now()
	later := began.Add(time.Second)
	status := func(at time.Time, state swarm.UpdateState) *swarm.UpdateStatus {
		return &swarm.UpdateStatus{State: state, StartedAt: &at}
	}
	for _, c := range []struct {
		name        string
		before, now *swarm.UpdateStatus
		done, fails bool
	}{
		{"nothing yet", nil, nil, false, false},
		{"the update before", status(began, swarm.UpdateStateCompleted), status(began, swarm.UpdateStateCompleted), false, false},
		{"under way", nil, status(later, swarm.UpdateStateUpdating), false, false},
		{"done", status(began, swarm.UpdateStateCompleted), status(later, swarm.UpdateStateCompleted), true, false},
		{"rolled back", nil, status(later, swarm.UpdateStateRollbackCompleted), false, true},
		{"paused", nil, status(later, swarm.UpdateStatePaused), false, true},
	} {
		if done, err := updateEnded(c.before, c.now); done != c.done || (err != nil) != c.fails {
			t.Errorf("%s: %v, %v", c.name, done, err)
		}
	}
}

func TestMaintenanceIsToldFromBeingAway(t *testing.T) {
	for _, c := range []struct {
		status int
		retry  string
		want   bool
	}{{503, "120", true}, {503, "", false}, {200, "", false}, {429, "120", false}} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if c.retry != "" {
				w.Header().Set("Retry-After", c.retry)
			}
			w.WriteHeader(c.status)
		}))
		got, err := inMaintenance(t.Context(), server.URL)
		server.Close()
		if err != nil || got != c.want {
			t.Errorf("status %d, Retry-After %q: %v, %v", c.status, c.retry, got, err)
		}
	}
	if _, err := inMaintenance(t.Context(), "http://127.0.0.1:1/"); err == nil {
		t.Error("an API that does not answer is taken for one that serves")
	}
}

// fakeRestic stands in for the program where only its exit codes and arguments matter: it appends its arguments
// to a file, reads what it is given through pipes, and plays the script of its environment.
const fakeRestic = `#!/bin/sh
shift 4
echo "$(cat /dev/fd/3) $(cat /dev/fd/4) $*" >> "$LOG"
case "$(tail -n 1 "$LOG")" in
"repo new cat config --no-lock") [ -e "$LOG.added" ] || [ -z "$NEW" ] || exit "$NEW"; echo '{"id":"1"}' ;;
"repo old cat config --no-lock") [ -z "$OLD" ] || exit "$OLD"; echo '{"id":"1"}' ;;
"repo old key add"*|"repo new init") : > "$LOG.added" ;;
"repo new unlock --quiet") exit ${UNLOCK:-0} ;;
"repo old key list --json --no-lock") echo '[{"id":"aa","current":false},{"id":"bb","current":true}]' ;;
"repo new key remove bb") exit ${REMOVE:-0} ;;
"repo new backup") echo "password new of repo refused canary" >&2; exit 1 ;;
esac
`

func TestOpeningARepository(t *testing.T) {
	for _, c := range []struct {
		name, env string
		prune     bool
		wants     []string
		fault     string
	}{
		{"is there", "OLD=12", true, []string{"repo new cat config --no-lock"}, ""},
		{"is there, and a killed run left the old key", "", true, []string{"repo old key list --json --no-lock", "repo new key remove bb"}, ""},
		{"loses stale locks", "OLD=12", true, []string{"repo new unlock --quiet"}, ""},
		{"is made", "NEW=10", true, []string{"repo new cat config --no-lock", "repo new init"}, ""},
		{"is away", "NEW=1", true, []string{"repo new cat config --no-lock"}, "exit status 1"},
		{"gets the new password", "NEW=12", true, []string{
			"repo new cat config --no-lock", "repo old cat config --no-lock", "repo old key add --new-password-file", "repo old key list --json --no-lock", "repo new key remove bb",
		}, ""},
		{"keeps the old key where nothing is deleted", "NEW=12 REMOVE=1", false, []string{"repo new key remove bb"}, ""},
		{"must lose the old key elsewhere", "NEW=12 REMOVE=1", true, []string{"repo new key remove bb"}, "remove the old key"},
		{"is somebody else's", "NEW=12 OLD=12", true, nil, "nor with one of the 1 before it"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			program, log := filepath.Join(dir, "restic"), filepath.Join(dir, "log")
			if err := os.WriteFile(program, []byte(fakeRestic), 0o700); err != nil { //nolint:gosec // a program
				t.Fatal(err)
			}
			env := map[string]string{"LOG": log, "PATH": os.Getenv("PATH")}
			for pair := range strings.FieldsSeq(c.env) {
				name, value, _ := strings.Cut(pair, "=")
				env[name] = value
			}
			r := repository{Destination: hostspec.Destination{Name: "x", Repository: "repo", Env: env, Prune: c.prune}, password: "new", program: program}
			var out strings.Builder
			_, err := r.open(t.Context(), []string{"old"}, &out)
			if (err == nil) != (c.fault == "") || err != nil && !strings.Contains(err.Error(), c.fault) {
				t.Errorf("got %v, want %q", err, c.fault)
			}
			text, _ := os.ReadFile(log)
			for _, want := range c.wants {
				if !strings.Contains(string(text), want) {
					t.Errorf("restic was not asked for %q:\n%s", want, text)
				}
			}
			if strings.Contains(string(text), "remove aa") || c.fault != "" && slices.Contains(strings.Split(string(text), "\n"), "repo new init") {
				t.Errorf("restic was asked for too much:\n%s", text)
			}
		})
	}
}

func TestWhatResticSaysIsShownWithoutSecrets(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "restic")
	if err := os.WriteFile(program, []byte(fakeRestic), 0o700); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	r := repository{Destination: hostspec.Destination{Repository: "repo", Env: map[string]string{"LOG": filepath.Join(dir, "log"), "PATH": os.Getenv("PATH"), "KEY": "canary"}}, password: "new", program: program}
	err := r.restic(t.Context(), &strings.Builder{}, "backup")
	if err == nil || strings.Contains(err.Error(), "canary") || strings.Contains(err.Error(), " new ") || !strings.Contains(err.Error(), "[secret] refused [secret]") {
		t.Errorf("got %v", err)
	}
}

func TestTheTablesOfADump(t *testing.T) {
	for _, c := range []struct {
		log  string
		want int
		ok   bool
	}{
		{"tables=15\n", 15, true},
		{"WARNING:  database has a collation version mismatch\ntables=3\n", 3, true},
		{"tables=0\n", 0, true},
		{"pg_dump: warning\n", 0, false},
		{"tables=many\n", 0, false},
	} {
		if got, err := tablesOf(c.log); got != c.want || (err == nil) != c.ok {
			t.Errorf("%q: %d, %v", c.log, got, err)
		}
	}
}
