package restore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/client"
	"golang.org/x/sys/unix"

	"github.com/prekzursil/momentstudio-infra/internal/atomicfile"
	"github.com/prekzursil/momentstudio-infra/internal/hostops/docker"
	"github.com/prekzursil/momentstudio-infra/internal/hostops/journal"
	"github.com/prekzursil/momentstudio-infra/internal/hostops/media"
	"github.com/prekzursil/momentstudio-infra/internal/hostops/release"
	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
)

// Writers are the services that write into the database or the files; the frontend is one of them, because a
// rendering one asks the API for what it then keeps.
var Writers = []string{
	hostspec.BackendService, hostspec.WorkerService, hostspec.SchedulersService, hostspec.FrontendService,
}

// settleTime is how long services may take to stop or to become healthy.
const settleTime = 5 * time.Minute

// switchTo makes one side of the restore serve. Every step looks first whether it is done, so that a
// killed run is finished, or turned back, by the next.
func switchTo(ctx context.Context, state *hostspec.RestoreState, target hostspec.RestoreSide, engine *client.Client,
	db *databases, out io.Writer,
) error {
	if err := bothThere(ctx, state, db); err != nil {
		return err
	}
	if state.Switched { // counts may have changed since
		replicas, err := replicasOf(ctx, engine, state.Replicas)
		if err != nil {
			return err
		}
		state.Replicas = replicas
	}
	state.Target, state.Switched = target, false
	if err := journal.Save(*state); err != nil {
		return err
	}
	writers, err := writersThere(ctx, engine)
	if err != nil {
		return err
	}
	err = timed(state, "switch", out, func() error {
		if err := scale(ctx, engine, writers, func(string) uint64 { return 0 }); err != nil {
			return err
		}
		if err := docker.Settle(ctx, engine, release.MigrationContainer); err != nil { // a bare `pulumi up` takes no lock
			return err
		}
		if err := db.exchange(ctx, state.Databases[target]); err != nil {
			return err
		}
		for part, sides := range state.Directories {
			if err := exchangeDirectories(filepath.Join(hostspec.DataDir, part), filepath.Join(hostspec.RestoreFiles, part),
				sides[target]); err != nil {
				return err
			}
		}
		return requeue(ctx, db.urlLive)
	})
	if err == nil {
		err = timed(state, "start", out, func() error {
			before := func(name string) uint64 { return state.Replicas[name] }
			if err := scale(ctx, engine, writers[:1], before); err != nil { // worker and pages need the API
				return err
			}
			if err := ready(ctx); err != nil {
				return err
			}
			return scale(ctx, engine, writers[1:], before)
		})
	}
	if err != nil {
		return errors.Join(err, journal.Save(*state), errors.New("the restore stands in the middle of its switch: once the "+
			"cause is mended, `restore continue` finishes it, and `restore undo` or `restore continue --to restored` choose a "+
			"side"))
	}
	state.Switched = true
	if err := journal.Save(*state); err != nil {
		return err
	}
	if target == hostspec.SideRestored {
		fmt.Fprintf(out, "the shop serves %s; what it replaced is kept: `restore drop` removes it for good, `restore undo` "+
			"goes back to it\n", state.Source)
	} else {
		fmt.Fprintf(out, "the shop serves what it had before the restore of %s; what was restored, and written since, is "+
			"kept until `restore drop`\n", state.Source)
	}
	return nil
}

// writersThere are the writers that the stack has.
func writersThere(ctx context.Context, engine *client.Client) ([]string, error) {
	_, err := engine.ServiceInspect(ctx, hostspec.SchedulersService, client.ServiceInspectOptions{})
	if errdefs.IsNotFound(err) {
		return slices.DeleteFunc(slices.Clone(Writers), func(s string) bool { return s == hostspec.SchedulersService }), nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the service %s: %w", hostspec.SchedulersService, err)
	}
	return Writers, nil
}

// replicasOf notes how many tasks of each writer there are to be. Somebody may have stopped the shop by hand, to save
// what there is: then it is as many as before, or one.
func replicasOf(ctx context.Context, engine *client.Client, before map[string]uint64) (map[string]uint64, error) {
	replicas := map[string]uint64{}
	writers, err := writersThere(ctx, engine)
	if err != nil {
		return nil, err
	}
	for _, name := range writers {
		found, err := engine.ServiceInspect(ctx, name, client.ServiceInspectOptions{})
		if err != nil {
			return nil, fmt.Errorf("read the service %s: %w", name, err)
		}
		replicas[name] = max(before[name], 1)
		if r := found.Service.Spec.Mode.Replicated; r != nil && r.Replicas != nil && *r.Replicas > 0 {
			replicas[name] = *r.Replicas
		}
	}
	return replicas, nil
}

// scale sets the number of tasks of services and waits until they are so: none left at all, or all running,
// which for a service with a health check means healthy.
func scale(ctx context.Context, engine *client.Client, services []string, want func(string) uint64) error {
	for _, name := range services {
		found, err := engine.ServiceInspect(ctx, name, client.ServiceInspectOptions{})
		if err != nil {
			return fmt.Errorf("read the service %s: %w", name, err)
		}
		s := found.Service
		if n := want(name); s.Spec.Mode.Replicated == nil || s.Spec.Mode.Replicated.Replicas == nil ||
			*s.Spec.Mode.Replicated.Replicas != n {
			spec := s.Spec
			spec.Mode = swarm.ServiceMode{Replicated: &swarm.ReplicatedService{Replicas: &n}}
			if _, err := engine.ServiceUpdate(ctx, s.ID, client.ServiceUpdateOptions{
				Version: s.Version, Spec: spec, RegistryAuthFrom: swarm.RegistryAuthFromSpec,
			}); err != nil {
				return fmt.Errorf("scale the service %s to %d: %w", name, n, err)
			}
		}
	}
	for _, name := range services {
		if err := settled(ctx, engine, name, want(name)); err != nil {
			return err
		}
	}
	return nil
}

func settled(ctx context.Context, engine *client.Client, name string, want uint64) error {
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	last := ""
	for {
		tasks, err := engine.TaskList(ctx, client.TaskListOptions{Filters: make(client.Filters).Add("service", name)})
		if err != nil {
			return errors.Join(fmt.Errorf("service %s has not come to %d tasks within %s%s", name, want, settleTime, last), err)
		}
		alive, running := countTasks(tasks.Items)
		if alive == want && running == want {
			return nil
		}
		for _, t := range tasks.Items {
			if t.Status.Err != "" {
				last = "; a task of it ended with: " + t.Status.Err
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// countTasks tells how many tasks have not ended, and how many of these run as they should.
func countTasks(tasks []swarm.Task) (alive, running uint64) {
	ended := []swarm.TaskState{
		swarm.TaskStateComplete, swarm.TaskStateShutdown, swarm.TaskStateFailed,
		swarm.TaskStateRejected, swarm.TaskStateRemove, swarm.TaskStateOrphaned,
	}
	for _, t := range tasks {
		if slices.Contains(ended, t.Status.State) {
			continue
		}
		alive++
		if t.Status.State == swarm.TaskStateRunning && t.DesiredState == swarm.TaskStateRunning {
			running++
		}
	}
	return alive, running
}

// exchangeDirectories gives two directories each other's place, in one step, unless the wanted one is live.
// Both are synced, so that a power cut later finds them as the journal says.
func exchangeDirectories(live, aside string, want uint64) error {
	have, err := inode(live)
	if err != nil {
		return err
	}
	if have != want {
		if other, err := inode(aside); err != nil || other != want {
			return errors.Join(fmt.Errorf("neither %s nor %s is the directory that the journal names", live, aside), err)
		}
		if err := unix.Renameat2(unix.AT_FDCWD, live, unix.AT_FDCWD, aside, unix.RENAME_EXCHANGE); err != nil {
			return fmt.Errorf("exchange %s and %s: %w", live, aside, err)
		}
	}
	return atomicfile.SyncDirectories(filepath.Dir(live), filepath.Dir(aside))
}

// bothThere fails, before anything is stopped, when one of the two states is not there as the journal says.
func bothThere(ctx context.Context, s *hostspec.RestoreState, db *databases) error {
	have, err := db.oids(ctx)
	if err != nil {
		return err
	}
	a, b := have[hostspec.SideBefore], have[hostspec.SideRestored] // whichever is live
	if want := s.Databases; (a != want[hostspec.SideBefore] || b != want[hostspec.SideRestored]) &&
		(a != want[hostspec.SideRestored] || b != want[hostspec.SideBefore]) {
		return fmt.Errorf("the databases %s and %s are not the two that the journal names: nothing was changed", db.live,
			db.aside)
	}
	for part, sides := range s.Directories {
		a, errLive := inode(filepath.Join(hostspec.DataDir, part))
		b, errAside := inode(filepath.Join(hostspec.RestoreFiles, part))
		if err := errors.Join(errLive, errAside); err != nil {
			return err
		}
		if (a != sides[hostspec.SideBefore] || b != sides[hostspec.SideRestored]) && (a != sides[hostspec.SideRestored] ||
			b != sides[hostspec.SideBefore]) {
			return fmt.Errorf("%s and the directory aside are not the two that the journal names: nothing was changed", part)
		}
	}
	return nil
}

func inode(path string) (uint64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, fmt.Errorf("%s: the file system has no inodes", path)
	}
	return s.Ino, nil
}

// syncAll writes what was fetched to the disk, before the journal says that it is there.
func syncAll() error {
	dir, err := os.Open(hostspec.DataDir)
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := unix.Syncfs(int(dir.Fd())); err != nil {
		return fmt.Errorf("write the restored files to the disk: %w", err)
	}
	return nil
}

// requeue starts the queue of media jobs again from what the database says.
func requeue(ctx context.Context, urlLive string) error {
	jobs, err := media.Open(ctx, urlLive)
	if err != nil {
		return err
	}
	defer jobs.Close(ctx)
	return jobs.Reset(ctx)
}

// ready asks the API whether it can serve.
func ready(ctx context.Context) error {
	url := fmt.Sprintf("http://%s:%d/api/v1/health/ready", hostspec.BackendHost, hostspec.BackendPort)
	var last error
	for range 30 {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		response, err := (&http.Client{Timeout: 10 * time.Second}).Do(request)
		if err == nil {
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return nil
			}
			err = fmt.Errorf("status %d", response.StatusCode)
		}
		last = err
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
		}
	}
	return fmt.Errorf("the API does not become ready: %w", last)
}
