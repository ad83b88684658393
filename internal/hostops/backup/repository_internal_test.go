package backup

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prekzursil/momentstudio-infra/internal/hostops/fsutil"
	"github.com/prekzursil/momentstudio-infra/internal/hostops/restic"
	"github.com/prekzursil/momentstudio-infra/internal/hostops/restic/restictest"
	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
)

// newRepository is a place on this machine's disk where there is none yet.
func newRepository(t *testing.T) restic.Repository {
	t.Helper()
	d := hostspec.Destination{Name: "local", Repository: filepath.Join(t.TempDir(), "restic"), Prune: true}
	return restic.Repository{Destination: d, Password: "secret", Program: restictest.Program(t)}
}

func TestPlacesAreKnownFromRunsOfBefore(t *testing.T) {
	r := restic.Repository{Destination: hostspec.Destination{Name: "local", Repository: "/repository"}}
	here := hostspec.RepositoryRef{Location: "/repository"}
	for name, c := range map[string]struct {
		state hostspec.BackupState
		want  hostspec.RepositoryRef
	}{
		"nothing": {hostspec.BackupState{}, hostspec.RepositoryRef{}},
		"a run of before": {
			hostspec.BackupState{
				Verified: &hostspec.BackupRun{Destinations: map[string]hostspec.BackupAtDestination{"local": {Snapshot: "1"}}},
			},
			here,
		},
		"one of another": {
			hostspec.BackupState{
				Verified: &hostspec.BackupRun{Destinations: map[string]hostspec.BackupAtDestination{"rest": {Snapshot: "1"}}},
			},
			hostspec.RepositoryRef{},
		},
		"one of before, and": {
			hostspec.BackupState{
				Verified:     &hostspec.BackupRun{Destinations: map[string]hostspec.BackupAtDestination{"local": {Snapshot: "1"}}},
				Repositories: map[string]hostspec.RepositoryRef{"rest": {Location: "r", ID: "1"}},
			}, here,
		},
		"written down": {hostspec.BackupState{Repositories: map[string]hostspec.RepositoryRef{"local": {
			Location: "/old",
			ID:       "1",
		}}}, hostspec.RepositoryRef{Location: "/old", ID: "1"}},
	} {
		if got := knownPlace(c.state, r); got != c.want {
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
		if _, err := r.Open(t.Context(), nil, io.Discard); err != nil {
			t.Fatal(err)
		}
		source := filepath.Join(t.TempDir(), "file")
		rewrite(t, source, strings.Repeat("text", 1000))
		if err := r.Run(t.Context(), io.Discard, "backup", "--quiet", "--host", "shop", "--tag", "momentstudio", "--tag",
			"20261128T013000Z", source); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if err := check(t.Context(), r, hostspec.Backup{Stack: "shop"}, "--read-data-subset=1/1", false,
			&out); err != nil || strings.Contains(out.String(), "looked at again") {
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
		err = check(t.Context(), r, hostspec.Backup{Stack: "shop"}, "--read-data-subset=1/1", false, &out)
		if !errors.Is(err, restic.ErrDamaged) || strings.Count(out.String(), "looked at again") != c.looks {
			t.Errorf("%s, a flipped bit: %v\n%s", c.name, err, out.String())
		}
	}
}

// The guide's promise (docs/guides/back-up.md): all of the last keepDays days stay, and the newest of each of the
// last eight weeks and twelve months. restic counts days, weeks and months in which there is one.
func TestWhatStaysOverTheMonths(t *testing.T) {
	r := newRepository(t)
	if _, err := r.Open(t.Context(), nil, io.Discard); err != nil {
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
		if err := r.Run(t.Context(), io.Discard, append(args, source)...); err != nil {
			t.Fatal(err)
		}
	}
	newest := time.Now().UTC().Truncate(time.Second).Add(-time.Hour)
	var made []time.Time
	for age, step := 0, 1; age < 400; age += step {
		at := newest.AddDate(0, 0, -age)
		made = append(made, at)
		plant(at, "momentstudio", at.Format(hostspec.BackupIDLayout))
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
			want = append(want, at.Format(hostspec.BackupIDLayout))
		}
	}
	slices.Sort(want)
	var out bytes.Buffer
	if err := forget(t.Context(), r, hostspec.Backup{Stack: "shop", KeepDays: 30}, &out); err != nil || out.Len() > 0 {
		t.Fatalf("%v\n%s", err, out.String())
	}
	all, err := r.Snapshots(t.Context())
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
	if err := r.Run(t.Context(), &others, "snapshots", "--json", "--tag",
		"somebody's own"); err != nil || !strings.Contains(others.String(), "somebody's own") {
		t.Errorf("somebody's own snapshot is gone: %v\n%s", err, others.String())
	}
	if err := r.Run(t.Context(), io.Discard, "check", "--read-data"); err != nil {
		t.Errorf("what is left: %v", err)
	}
}

// A repository that fills the volume is thinned before the next copy is stored, not only after it.
func TestOldSnapshotsGoWhenTheNextCopyDoesNotFit(t *testing.T) {
	r := newRepository(t)
	if _, err := r.Open(t.Context(), nil, io.Discard); err != nil {
		t.Fatal(err)
	}
	staging := t.TempDir()
	// Of eight in a row, those that end a week or a month stay, the oldest, and the newest two.
	for days := 8; days > 0; days-- {
		noise := make([]byte, 2<<20)
		_, _ = rand.Read(noise)
		if err := os.WriteFile(filepath.Join(staging, "file"), noise, 0o600); err != nil {
			t.Fatal(err)
		}
		at := time.Now().AddDate(0, 0, -days)
		if err := r.Run(t.Context(), io.Discard, "backup", "--quiet", "--host", "shop", "--time",
			at.Format("2006-01-02 15:04:05"), "--tag", "momentstudio", "--tag", at.UTC().Format(hostspec.BackupIDLayout),
			staging); err != nil {
			t.Fatal(err)
		}
	}
	size := func() (bytes int64) {
		err := filepath.WalkDir(r.Repository, func(_ string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				info, errInfo := d.Info()
				bytes, err = bytes+info.Size(), errInfo
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return bytes
	}
	full := size()
	// A volume on which they fit, and nothing else.
	free := func(string) (int64, error) { return (full - size() + fsutil.ReserveMB<<20) >> 20, nil }
	rewrite(t, filepath.Join(staging, "new"), strings.Repeat("new text ", 200_000))
	spec := hostspec.Backup{Stack: "shop", KeepDays: 1}
	var out bytes.Buffer
	r.Prune = false
	if err := roomFor(t.Context(), r, spec, staging, free, &out); !errors.Is(err, errTooLittle) || size() < full {
		t.Errorf("where others prune: %v, %d bytes", err, size())
	}
	r.Prune = true
	noise := make([]byte, 2<<20)
	_, _ = rand.Read(noise)
	if err := os.WriteFile(filepath.Join(staging, "new"), noise, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := roomFor(t.Context(), r, spec, staging, free, &out); err != nil || size() >= full {
		t.Errorf("%v, %d bytes of %d:\n%s", err, size(), full, out.String())
	}
	all, err := r.Snapshots(t.Context())
	if err != nil || len(all) == 0 {
		t.Errorf("%d snapshots are left, %v", len(all), err)
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
