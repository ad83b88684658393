package restic

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/prekzursil/momentstudio-infra/internal/hostops/restic/restictest"
	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
)

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
		{"is there, and a killed run left the old key", "", true, []string{
			"repo old key list --json --no-lock",
			"repo new key remove bb",
		}, ""},
		{"loses stale locks", "OLD=12", true, []string{"repo new unlock --quiet"}, ""},
		{"is made", "NEW=10", true, []string{"repo new cat config --no-lock", "repo new init"}, ""},
		{"is away", "NEW=1", true, []string{"repo new cat config --no-lock"}, "exit status 1"},
		{"gets the new password", "NEW=12", true, []string{
			"repo new cat config --no-lock", "repo old cat config --no-lock", "repo old key add --new-password-file",
			"repo old key list --json --no-lock", "repo new key remove bb",
		}, ""},
		{"keeps the old key where nothing is deleted", "NEW=12 REMOVE=1", false, []string{"repo new key remove bb"}, ""},
		{
			"must lose the old key elsewhere", "NEW=12 REMOVE=1", true,
			[]string{"repo new key remove bb"},
			"remove the old key",
		},
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
			r := Repository{
				Destination: hostspec.Destination{Name: "x", Repository: "repo", Env: env, Prune: c.prune},
				Password:    "new", Program: program,
			}
			var out strings.Builder
			_, err := r.Open(t.Context(), []string{"old"}, &out)
			if (err == nil) != (c.fault == "") || err != nil && !strings.Contains(err.Error(), c.fault) {
				t.Errorf("got %v, want %q", err, c.fault)
			}
			text, _ := os.ReadFile(log)
			for _, want := range c.wants {
				if !strings.Contains(string(text), want) {
					t.Errorf("restic was not asked for %q:\n%s", want, text)
				}
			}
			if strings.Contains(string(text), "remove aa") || c.fault != "" && slices.Contains(strings.Split(string(text), "\n"),
				"repo new init") {
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
	r := Repository{Destination: hostspec.Destination{
		Repository: "repo",
		Env: map[string]string{
			"LOG": filepath.Join(dir, "log"), "PATH": os.Getenv("PATH"),
			"KEY": "canary",
		},
	}, Password: "new", Program: program}
	err := r.Run(t.Context(), &strings.Builder{}, "backup")
	if err == nil || strings.Contains(err.Error(), "canary") || strings.Contains(err.Error(),
		" new ") || !strings.Contains(err.Error(), "[secret] refused [secret]") {
		t.Errorf("got %v", err)
	}
}

// newRepository is a place on this machine's disk where there is none yet.
func newRepository(t *testing.T) Repository {
	t.Helper()
	d := hostspec.Destination{Name: "local", Repository: filepath.Join(t.TempDir(), "restic"), Prune: true}
	return Repository{Destination: d, Password: "secret", Program: restictest.Program(t)}
}

func TestARepositoryThatIsGoneIsNotMadeAnew(t *testing.T) {
	r := newRepository(t)
	var out bytes.Buffer
	id, err := r.Open(t.Context(), nil, &out)
	if err != nil || id == "" || !strings.Contains(out.String(), "making the repository") {
		t.Fatalf("a new one: %q, %v\n%s", id, err, out.String())
	}
	r.Expected = hostspec.RepositoryRef{Location: r.Location(), ID: id}
	if again, err := r.Open(t.Context(), nil, io.Discard); err != nil || again != id {
		t.Fatalf("one that is there: %q, %v", again, err)
	}
	if err := os.RemoveAll(r.Repository); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Open(t.Context(), nil, io.Discard); !errors.Is(err, errGone) || !strings.Contains(err.Error(),
		"--anew local") {
		t.Errorf("one that is gone: %v", err)
	}
	if _, err := os.Stat(r.Repository); err == nil {
		t.Error("it was made all the same")
	}

	elsewhere := r
	elsewhere.Expected.Location = "/elsewhere" // the stack's config names another place now
	other, err := elsewhere.Open(t.Context(), nil, io.Discard)
	if err != nil || other == id {
		t.Fatalf("a new place: %q, %v", other, err)
	}
	if _, err := r.Open(t.Context(), nil, io.Discard); !errors.Is(err, errAnother) || !strings.Contains(err.Error(),
		"--anew local") {
		t.Errorf("another one in its place: %v", err)
	}
	r.Expected.ID = "" // an older run wrote it down
	if _, err := r.Open(t.Context(), nil, io.Discard); err != nil {
		t.Errorf("one of which only the place is known: %v", err)
	}
}

func TestANewPasswordTakesTheOldOnesPlaceInTheSameRepositoryOnly(t *testing.T) {
	before := newRepository(t)
	id, err := before.Open(t.Context(), nil, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	r := before
	r.Password = "new"
	r.Expected = hostspec.RepositoryRef{Location: r.Location(), ID: "somebody else's"}
	if _, err := r.Open(t.Context(), []string{before.Password}, io.Discard); !errors.Is(err, errAnother) {
		t.Errorf("another repository that the old password opens: %v", err)
	}
	if err := r.opens(t.Context()); !errors.Is(err, ErrWrongPassword) {
		t.Errorf("its password was replaced all the same: %v", err)
	}
	r.Expected.ID = id
	if got, err := r.Open(t.Context(), []string{before.Password}, io.Discard); err != nil || got != id {
		t.Errorf("the same: %q, %v", got, err)
	}
	if err := before.opens(t.Context()); !errors.Is(err, ErrWrongPassword) {
		t.Errorf("the old password: %v", err)
	}
	if got, err := r.Open(t.Context(), []string{before.Password}, io.Discard); err != nil || got != id {
		t.Errorf("the next run: %q, %v", got, err)
	}
}

func TestALocationIsWithoutCredentials(t *testing.T) {
	for repo, want := range map[string]string{
		"rest:https://shop:secret@backup.example:8000/momentstudio": "rest:https://backup.example:8000/momentstudio",
		"s3:https://store.example/bucket/restic":                    "s3:https://store.example/bucket/restic",
		"sftp:shop@backup.example:momentstudio":                     "sftp:shop@backup.example:momentstudio",
		"/mnt/momentstudio/backups/restic":                          "/mnt/momentstudio/backups/restic",
	} {
		if got := (Repository{Destination: hostspec.Destination{Repository: repo}}).Location(); got != want {
			t.Errorf("%s is at %s, want %s", repo, got, want)
		}
	}
}

func TestTheBackupsOfAnotherStackAreNotTakenForTheOwn(t *testing.T) {
	r := newRepository(t)
	if _, err := r.Open(t.Context(), nil, io.Discard); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	const id = "20261128T013000Z"
	manifest := filepath.Join(dir, "manifest.json")
	for host, stack := range map[string]string{"shop": "shop", "other": "other", "forged": "other"} {
		if err := os.WriteFile(manifest, []byte(`{"format":1,"id":"`+id+`","stack":"`+stack+`"}`), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := r.Run(t.Context(), io.Discard, "backup", "--quiet", "--host", host, "--tag", "momentstudio", "--tag", id,
			dir); err != nil {
			t.Fatal(err)
		}
	}
	all, err := r.Snapshots(t.Context())
	if err != nil || len(all) != 3 {
		t.Fatalf("%d backups, %v", len(all), err)
	}
	for _, c := range []struct{ stack, want string }{
		{"shop", ""},
		{"other", ""},
		{"forged", `of stack "other", not of "forged"`},
		{"third", "none of stack third, but those of "},
	} {
		own, err := OfStack(all, c.stack)
		if err == nil {
			_, err = Stored{Repo: r, Snapshot: own[0], Stack: c.stack}.Describe(t.Context())
		}
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("stack %s: got %v, want %q", c.stack, err, c.want)
		}
		if c.stack == "third" && !errors.Is(err, ErrNoBackup) {
			t.Errorf("without a backup of its own: %v", err)
		}
	}
	if own, err := OfStack(nil, "shop"); own != nil || err != nil {
		t.Errorf("of an empty repository: %v, %v", own, err)
	}
	if _, err := (Stored{Repo: r, Snapshot: all[0]}).Describe(t.Context()); err != nil {
		t.Errorf("a drill takes any: %v", err)
	}
}
