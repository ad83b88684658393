package release

import (
	"archive/tar"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/swarm"

	"github.com/prekzursil/momentstudio-infra/internal/csp"
	"github.com/prekzursil/momentstudio-infra/internal/hostops/fsutil"
	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
)

func TestRoomOfTheHost(t *testing.T) {
	for _, c := range []struct {
		name   string
		have   room
		wanted []string // of the error; none: there is room
	}{
		{"just enough", room{memoryMB: 512 + memoryReserveMB, diskMB: 2048, volumeMB: fsutil.ReserveMB}, nil},
		{
			"a little memory short",
			room{memoryMB: 511 + memoryReserveMB, diskMB: 2048, volumeMB: 9999},
			[]string{"639 MB of memory", "640 MB", "host.serverType"},
		},
		{
			"a full disk",
			room{memoryMB: 9999, diskMB: 2047, volumeMB: 9999},
			[]string{"2047 MB free", "2048 MB", "momentstudio-prune.service"},
		},
		{"everything at once", room{}, []string{"memory", "the host's disk", "the data volume", "host.volumeSizeGB"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := c.have.enough(512, 2048)
			if (err == nil) != (c.wanted == nil) {
				t.Fatalf("got %v", err)
			}
			for _, want := range c.wanted {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error does not say %q: %v", want, err)
				}
			}
		})
	}
}

func TestMeasureReadsTheKernelsFigures(t *testing.T) {
	path := filepath.Join(t.TempDir(), "meminfo")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("MemTotal:        8000000 kB\nMemFree:          100000 kB\nMemAvailable:    1048576 kB\n")
	r, err := measure(path, t.TempDir())
	if err != nil || r.memoryMB != 1024 || r.diskMB <= 0 || r.volumeMB <= 0 {
		t.Errorf("got %+v, %v", r, err)
	}
	write("MemTotal: 8000000 kB\n")
	if _, err := measure(path, "/"); err == nil {
		t.Error("memory that the kernel does not tell is taken as known")
	}
	if r, err := measure("/proc/meminfo", "/"); err != nil || r.memoryMB <= 0 {
		t.Errorf("this machine: %+v, %v", r, err)
	}
}

// webRoot packs files the way the engine does: below the base name of the directory.
func webRoot(t *testing.T, files map[string]string) *bytes.Buffer {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for name, content := range files {
		if err := w.WriteHeader(&tar.Header{
			Typeflag: tar.TypeReg, Name: "html/" + name, Mode: 0o644,
			Size: int64(len(content)),
		}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &b
}

func TestBundlesOfTheNewestFiveReleasesAreKept(t *testing.T) {
	dir := t.TempDir()
	bundles := filepath.Join(dir, "bundles")
	shared := "shared.00000000000000ff.css"
	prepare := func(n int) {
		t.Helper()
		own := fmt.Sprintf("main.%016x.js", n)
		names, scripts, err := unpackBundles(webRoot(t, map[string]string{
			own: fmt.Sprint("release ", n), shared: "same", "assets/deep.0123456789abcdef.js": "deep",
			"main.js":                     "no hash",
			"../main.aaaaaaaaaaaaaaaa.js": "outside",
			"index.html":                  fmt.Sprintf("<script>release(%d)</script><script>same()</script>", n),
			"index.csr.html":              "<script>same()</script>",
			"help.html":                   "<script>other()</script>",
		}), bundles)
		if err != nil || !slices.Equal(names, []string{own, shared}) {
			t.Fatalf("got %q, %v", names, err)
		}
		record := keptRelease{
			Release: fmt.Sprint(n), Backend: fmt.Sprint("b", n), Frontend: fmt.Sprint("f", n),
			Bundles: names, Scripts: scripts, Prepared: time.Now(),
		}
		if err := recordRelease(dir, record); err != nil {
			t.Fatal(err)
		}
	}
	kept := func() []string {
		t.Helper()
		entries, err := os.ReadDir(bundles)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, e := range entries {
			if e.Name() == hostspec.PageScripts {
				continue
			}
			names = append(names, strings.TrimPrefix(strings.TrimSuffix(e.Name(), ".js"), "main.000000000000000"))
		}
		return names
	}
	for n := 1; n <= 6; n++ {
		prepare(n)
	}
	if got := kept(); !slices.Equal(got, []string{"2", "3", "4", "5", "6", shared}) {
		t.Errorf("after six releases: %q", got)
	}
	prepare(2) // a rollback makes an old release the newest
	prepare(7)
	if got := kept(); !slices.Equal(got, []string{"2", "4", "5", "6", "7", shared}) {
		t.Errorf("after a rollback and a further release: %q", got)
	}
	if info, err := os.Stat(filepath.Join(bundles, shared)); err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("Caddy could not read %s: %v", shared, err)
	}
	hashes := csp.Hashes([]byte("<script>release(7)</script><script>same()</script><script>release(2)</script>" +
		"<script>release(6)</script><script>release(5)</script><script>release(4)</script>"))
	if text, err := os.ReadFile(filepath.Join(bundles, hostspec.PageScripts)); err != nil ||
		!slices.Equal(slices.Sorted(slices.Values(strings.Fields(string(text)))), slices.Sorted(slices.Values(hashes))) {
		t.Errorf("the pages' scripts are %q, %v; want %q", text, err, hashes)
	}
	releases, _, err := keptReleases(dir)
	if err != nil || len(releases) != 5 || releases[0].Backend != "b7" || releases[1].Backend != "b2" {
		t.Errorf("the records say %+v, %v", releases, err)
	}
}

func TestATruncatedBundleIsWrittenAnew(t *testing.T) {
	dir := t.TempDir()
	name := "main.0123456789abcdef.js"
	if err := os.WriteFile(filepath.Join(dir, name), []byte("hal"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := unpackBundles(webRoot(t, map[string]string{name: "half"}), dir); err != nil {
		t.Fatal(err)
	}
	if text, _ := os.ReadFile(filepath.Join(dir, name)); string(text) != "half" {
		t.Errorf("the file holds %q", text)
	}
}

func TestImagesInUseAreNeeded(t *testing.T) {
	digest := "sha256:" + strings.Repeat("a", 64)
	service := func(image, before string) swarm.Service {
		s := swarm.Service{
			Spec: swarm.ServiceSpec{TaskTemplate: swarm.TaskSpec{ContainerSpec: &swarm.ContainerSpec{Image: image}}},
		}
		if before != "" {
			s.PreviousSpec = &swarm.ServiceSpec{TaskTemplate: swarm.TaskSpec{ContainerSpec: &swarm.ContainerSpec{Image: before}}}
		}
		return s
	}
	needed := neededImages(
		[]container.Summary{{ImageID: "sha256:job", Image: "ops@sha256:1", State: "exited"}},
		[]swarm.Service{service("backend@sha256:2", "backend@sha256:1"), service("caddy@sha256:1", "")},
		[]keptRelease{{
			Backend:  "ghcr.io/shop/backend:1.2@" + digest,
			Frontend: "shop/frontend@" + digest,
		}}, []string{"docker.io/library/postgres@" + digest})
	for _, want := range []string{
		"sha256:job", "ops@sha256:1", "backend@sha256:2", "backend@sha256:1", "caddy@sha256:1",
		// as the engine tells them
		"ghcr.io/shop/backend@" + digest, "docker.io/shop/frontend@" + digest, "postgres@" + digest,
	} {
		if !needed[canonical(want)] {
			t.Errorf("%s would be removed", want)
		}
	}
	if needed[canonical("ghcr.io/shop/backend@sha256:"+strings.Repeat("b", 64))] {
		t.Error("another digest is kept too")
	}
	if len(needed) != 8 {
		t.Errorf("got %v", needed)
	}
}

func TestOldDumpsGoAndPartialOnesToo(t *testing.T) {
	dir := t.TempDir()
	for n := range 12 {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("202611%02dT000000Z-0158_x.dump", 10+n)), nil,
			0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"20261128T000000Z-x.dump.partial", "notes.txt"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := forgetDumps(dir); err != nil {
		t.Fatal(err)
	}
	entries, _ := os.ReadDir(dir)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if len(names) != 11 || names[0] != "20261112T000000Z-0158_x.dump" || names[10] != "notes.txt" {
		t.Errorf("left are %q", names)
	}
}
