package ops

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
)

// resticDirectory holds what buildRestic built; empty when no test asked for it.
var resticDirectory string

// buildRestic builds the restic of the ops image, with that image's flags.
var buildRestic = sync.OnceValues(func() (program string, err error) {
	if resticDirectory, err = os.MkdirTemp("", "restic-*"); err != nil {
		return "", err
	}
	program = filepath.Join(resticDirectory, "restic")
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -buildid=", "-o", program, "github.com/restic/restic/cmd/restic") //nolint:gosec // our own arguments; it serves all tests
	cmd.Dir, cmd.Env = "../../images/ops", append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build restic: %w: %s", err, out)
	}
	return program, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	_ = os.RemoveAll(resticDirectory)
	os.Exit(code)
}

// newRepository is a place on this machine's disk where there is none yet.
func newRepository(t *testing.T) repository {
	t.Helper()
	program, err := buildRestic()
	if err != nil {
		t.Fatal(err)
	}
	d := hostspec.Destination{Name: "local", Repository: filepath.Join(t.TempDir(), "restic"), Prune: true}
	return repository{Destination: d, password: "secret", program: program}
}

func TestARepositoryThatIsGoneIsNotMadeAnew(t *testing.T) {
	r := newRepository(t)
	var out bytes.Buffer
	id, err := r.open(t.Context(), nil, &out)
	if err != nil || id == "" || !strings.Contains(out.String(), "making the repository") {
		t.Fatalf("a new one: %q, %v\n%s", id, err, out.String())
	}
	r.expected = Place{r.location(), id}
	if again, err := r.open(t.Context(), nil, io.Discard); err != nil || again != id {
		t.Fatalf("one that is there: %q, %v", again, err)
	}
	if err := os.RemoveAll(r.Repository); err != nil {
		t.Fatal(err)
	}
	if _, err := r.open(t.Context(), nil, io.Discard); !errors.Is(err, errGone) || !strings.Contains(err.Error(), "--anew local") {
		t.Errorf("one that is gone: %v", err)
	}
	if _, err := os.Stat(r.Repository); err == nil {
		t.Error("it was made all the same")
	}

	elsewhere := r
	elsewhere.expected.Location = "/elsewhere" // the stack's config names another place now
	other, err := elsewhere.open(t.Context(), nil, io.Discard)
	if err != nil || other == id {
		t.Fatalf("a new place: %q, %v", other, err)
	}
	if _, err := r.open(t.Context(), nil, io.Discard); !errors.Is(err, errAnother) || !strings.Contains(err.Error(), "--anew local") {
		t.Errorf("another one in its place: %v", err)
	}
	r.expected.ID = "" // an older run wrote it down
	if _, err := r.open(t.Context(), nil, io.Discard); err != nil {
		t.Errorf("one of which only the place is known: %v", err)
	}
}

func TestANewPasswordTakesTheOldOnesPlaceInTheSameRepositoryOnly(t *testing.T) {
	before := newRepository(t)
	id, err := before.open(t.Context(), nil, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	r := before
	r.password = "new"
	r.expected = Place{r.location(), "somebody else's"}
	if _, err := r.open(t.Context(), []string{before.password}, io.Discard); !errors.Is(err, errAnother) {
		t.Errorf("another repository that the old password opens: %v", err)
	}
	if err := r.opens(t.Context()); !errors.Is(err, errWrongPassword) {
		t.Errorf("its password was replaced all the same: %v", err)
	}
	r.expected.ID = id
	if got, err := r.open(t.Context(), []string{before.password}, io.Discard); err != nil || got != id {
		t.Errorf("the same: %q, %v", got, err)
	}
	if err := before.opens(t.Context()); !errors.Is(err, errWrongPassword) {
		t.Errorf("the old password: %v", err)
	}
	if got, err := r.open(t.Context(), []string{before.password}, io.Discard); err != nil || got != id {
		t.Errorf("the next run: %q, %v", got, err)
	}
}

func TestPlacesAreKnownFromRunsOfBefore(t *testing.T) {
	r := repository{Destination: hostspec.Destination{Name: "local", Repository: "/repository"}}
	here := Place{Location: "/repository"}
	for name, c := range map[string]struct {
		state BackupState
		want  Place
	}{
		"nothing":            {BackupState{}, Place{}},
		"a run of before":    {BackupState{Verified: &BackupRun{Destinations: map[string]BackupAtDestination{"local": {Snapshot: "1"}}}}, here},
		"one of another":     {BackupState{Verified: &BackupRun{Destinations: map[string]BackupAtDestination{"rest": {Snapshot: "1"}}}}, Place{}},
		"one of before, and": {BackupState{Verified: &BackupRun{Destinations: map[string]BackupAtDestination{"local": {Snapshot: "1"}}}, Repositories: map[string]Place{"rest": {"r", "1"}}}, here},
		"written down":       {BackupState{Repositories: map[string]Place{"local": {"/old", "1"}}}, Place{"/old", "1"}},
	} {
		if got := c.state.place(r); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

func TestAFaultWhereOthersPruneIsLookedAtTwice(t *testing.T) {
	defer func(before time.Duration) { secondLook = before }(secondLook)
	secondLook = time.Millisecond
	for _, c := range []struct {
		name  string
		prune bool
		looks int
	}{{"where the host prunes", true, 0}, {"where others do", false, 1}} {
		r := newRepository(t)
		r.Prune = c.prune
		if _, err := r.open(t.Context(), nil, io.Discard); err != nil {
			t.Fatal(err)
		}
		source := filepath.Join(t.TempDir(), "file")
		rewrite(t, source, strings.Repeat("text", 1000))
		if err := r.restic(t.Context(), io.Discard, "backup", "--quiet", "--host", "shop", "--tag", "momentstudio", "--tag", "20261128T013000Z", source); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if err := r.check(t.Context(), hostspec.Backup{}, "--read-data-subset=1/1", false, &out); err != nil || strings.Contains(out.String(), "looked at again") {
			t.Errorf("%s, a repository without fault: %v\n%s", c.name, err, out.String())
		}
		packs, err := filepath.Glob(filepath.Join(r.Repository, "data", "*", "*"))
		if err != nil || len(packs) == 0 {
			t.Fatalf("no packs: %v", err)
		}
		for _, pack := range packs {
			text, err := os.ReadFile(pack)
			if err != nil {
				t.Fatal(err)
			}
			text[len(text)/2] ^= 1
			if err := errors.Join(os.Chmod(pack, 0o600), os.WriteFile(pack, text, 0o600)); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.check(t.Context(), hostspec.Backup{}, "--read-data-subset=1/1", false, &out); !errors.Is(err, ErrDamaged) || strings.Count(out.String(), "looked at again") != c.looks {
			t.Errorf("%s, a flipped bit: %v\n%s", c.name, err, out.String())
		}
	}
}

func TestALocationIsWithoutCredentials(t *testing.T) {
	for repo, want := range map[string]string{
		"rest:https://shop:secret@backup.example:8000/shop/momentstudio": "rest:https://backup.example:8000/shop/momentstudio",
		"s3:https://store.example/bucket/restic":                         "s3:https://store.example/bucket/restic",
		"sftp:shop@backup.example:momentstudio":                          "sftp:shop@backup.example:momentstudio",
		"/mnt/momentstudio/backups/restic":                               "/mnt/momentstudio/backups/restic",
	} {
		if got := (repository{Destination: hostspec.Destination{Repository: repo}}).location(); got != want {
			t.Errorf("%s is at %s, want %s", repo, got, want)
		}
	}
}

// The guide's promise (docs/guides/back-up.md): all of the last keepDays days stay, and the newest of each of the last eight weeks and
// twelve months. restic counts days, weeks and months in which there is one.
func TestWhatStaysOverTheMonths(t *testing.T) {
	r := newRepository(t)
	if _, err := r.open(t.Context(), nil, io.Discard); err != nil {
		t.Fatal(err)
	}
	source := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(source, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	plant := func(at time.Time, tags ...string) {
		t.Helper()
		args := []string{"backup", "--quiet", "--host", "shop", "--time", at.Local().Format("2006-01-02 15:04:05")}
		for _, tag := range tags {
			args = append(args, "--tag", tag)
		}
		if err := r.restic(t.Context(), io.Discard, append(args, source)...); err != nil {
			t.Fatal(err)
		}
	}
	newest := time.Now().UTC().Truncate(time.Second).Add(-time.Hour)
	var made []time.Time
	for age, step := 0, 1; age < 400; age += step {
		at := newest.AddDate(0, 0, -age)
		made = append(made, at)
		plant(at, "momentstudio", at.Format(backupIDLayout))
		switch { // no gap that makes the clock doubtful
		case age > 90:
			step = 20
		case age > 35:
			step = 6
		}
	}
	plant(newest.AddDate(-3, 0, 0), "somebody's own")

	weeks, months := map[string]bool{}, map[string]bool{}
	var want []string
	for _, at := range made { // newest first
		year, week := at.Local().ISOWeek()
		w, m := fmt.Sprint(year, week), at.Local().Format("2006-01")
		ofWeek, ofMonth := !weeks[w] && len(weeks) < 8, !months[m] && len(months) < 12
		weeks[w], months[m] = true, true
		if newest.Sub(at) < 30*24*time.Hour || ofWeek || ofMonth {
			want = append(want, at.Format(backupIDLayout))
		}
	}
	slices.Sort(want)
	var out bytes.Buffer
	if err := r.forget(t.Context(), hostspec.Backup{Stack: "shop", KeepDays: 30}, &out); err != nil || out.Len() > 0 {
		t.Fatalf("%v\n%s", err, out.String())
	}
	all, err := r.snapshots(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range all {
		got = append(got, s.ID)
	}
	if len(want) == len(made) || !slices.Equal(got, want) {
		t.Errorf("of %d there are left\n%q, want\n%q", len(made), got, want)
	}
	var others bytes.Buffer
	if err := r.restic(t.Context(), &others, "snapshots", "--json", "--tag", "somebody's own"); err != nil || !strings.Contains(others.String(), "somebody's own") {
		t.Errorf("somebody's own snapshot is gone: %v\n%s", err, others.String())
	}
	if err := r.restic(t.Context(), io.Discard, "check", "--read-data"); err != nil {
		t.Errorf("what is left: %v", err)
	}
}

func TestTheSampleHasTheNewestFiles(t *testing.T) {
	dir := t.TempDir()
	var paths, newest []string
	for n := range 200 {
		path := filepath.Join(dir, fmt.Sprint(n))
		rewrite(t, path, "text")
		at := time.Now().Add(-24 * time.Hour)
		if n >= 190 {
			at = at.Add(time.Duration(n) * time.Minute)
			newest = append(newest, path)
		}
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	first, second := sample(slices.Clone(paths)), sample(slices.Clone(paths))
	for _, chosen := range [][]string{first, second} {
		if slices.Sort(chosen); len(slices.Compact(chosen)) != sampleFiles {
			t.Errorf("it has %d files, want %d", len(chosen), sampleFiles)
		}
		for _, path := range newest {
			if !slices.Contains(chosen, path) {
				t.Errorf("it lacks %s, of the ten newest", path)
			}
		}
	}
	if slices.Equal(first, second) {
		t.Error("the others are always the same")
	}
	if few := sample(slices.Clone(paths[:3])); len(few) != 3 {
		t.Errorf("of three files it has %d", len(few))
	}
}
