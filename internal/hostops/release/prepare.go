package release

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/prekzursil/momentstudio-infra/internal/hostops/docker"
	"github.com/prekzursil/momentstudio-infra/internal/hostops/fsutil"
	"github.com/prekzursil/momentstudio-infra/internal/hostops/journal"
	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
)

// Preparation is all that a release needs on the host before anything of it starts.
type Preparation struct {
	Release      string // name; part of the record
	Backend      string // reference with digest
	Frontend     string // reference with digest
	WebRoot      string // directory of the frontend's image with what browsers load
	MemoryMB     int    // most that one further task takes beside those that run
	ReleasesDir  string // where bundles and records are kept
	RegistryAuth string // file with credentials; may be missing
}

// What must stay free, beside what is known to be needed.
const (
	memoryReserveMB = 128
	imageRoomMB     = 2048 // room for the layers of one release
)

// Prepare checks that the host has room for a release, pulls its images and keeps its bundles. It
// changes nothing that serves, and reports all that is in the way at once.
func Prepare(ctx context.Context, p Preparation, out io.Writer) error {
	if err := journal.HalfSwitched(hostspec.RestoreJournal); err != nil {
		return err
	}
	engine, err := docker.Connect()
	if err != nil {
		return err
	}
	defer engine.Close()
	needed := fsutil.ReserveMB
	for _, image := range []string{p.Backend, p.Frontend} {
		if _, err := engine.ImageInspect(ctx, image); err != nil {
			needed = imageRoomMB
		}
	}
	have, err := measure("/proc/meminfo", p.ReleasesDir)
	if err != nil {
		return err
	}
	if err := have.enough(p.MemoryMB, needed); err != nil {
		return err
	}
	fmt.Fprintf(out, "the host has %d MB of memory, %d MB of disk and %d MB of the data volume free\n", have.memoryMB,
		have.diskMB, have.volumeMB)
	var bad []error
	for _, image := range []string{p.Backend, p.Frontend} {
		bad = append(bad, docker.Pull(ctx, engine, image, p.RegistryAuth))
	}
	if err := errors.Join(bad...); err != nil {
		return err
	}
	names, err := keepBundles(ctx, engine, p)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "the release's images are there, and its %d bundles are kept\n", names)
	return nil
}

// room is what is free on the host. The root of this container lies on the host's disk, where images are.
type room struct{ memoryMB, diskMB, volumeMB int }

func measure(meminfo, volume string) (room, error) {
	var r room
	file, err := os.Open(meminfo)
	if err != nil {
		return r, fmt.Errorf("read the host's memory: %w", err)
	}
	defer file.Close()
	found := false
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if kB, ok := strings.CutPrefix(lines.Text(), "MemAvailable:"); ok {
			n, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(kB), " kB"))
			if err != nil {
				return r, fmt.Errorf("read the host's memory: %q", lines.Text())
			}
			r.memoryMB, found = n>>10, true
		}
	}
	if !found {
		return r, fmt.Errorf("read the host's memory: %s has no MemAvailable", meminfo)
	}
	for path, free := range map[string]*int{"/": &r.diskMB, volume: &r.volumeMB} {
		mb, err := fsutil.FreeMB(path)
		if err != nil {
			return r, err
		}
		*free = int(mb)
	}
	return r, nil
}

// enough reports everything that is too little.
func (r room) enough(taskMB, diskMB int) error {
	var bad []error
	if need := taskMB + memoryReserveMB; r.memoryMB < need {
		bad = append(bad, fmt.Errorf("the host has %d MB of memory available, and the update needs %d MB: a new task of up "+
			"to %d MB starts before the old one stops; raise host.serverType, or lower backend.memoryMB or frontend.memoryMB",
			r.memoryMB, need, taskMB))
	}
	if r.diskMB < diskMB {
		bad = append(bad, fmt.Errorf("the host's disk has %d MB free, and the update needs %d MB for images; `docker "+
			"system df` shows what fills it, and `systemctl start momentstudio-prune.service` removes the images of old "+
			"releases",
			r.diskMB, diskMB))
	}
	if r.volumeMB < fsutil.ReserveMB {
		bad = append(bad, fmt.Errorf("the data volume has %d MB free, and the update needs %d MB; raise host.volumeSizeGB",
			r.volumeMB, fsutil.ReserveMB))
	}
	return errors.Join(bad...)
}
