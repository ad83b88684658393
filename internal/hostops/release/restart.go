package release

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"slices"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/client"

	"github.com/prekzursil/momentstudio-infra/internal/hostops/docker"
	"github.com/prekzursil/momentstudio-infra/internal/hostops/journal"
	"github.com/prekzursil/momentstudio-infra/internal/hostops/lock"
	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
)

// RestartBackend starts the API anew, new task first, so that it reads the time of the last backup. It
// waits for its turn: never during an update, which holds the lock.
func RestartBackend(ctx context.Context, out io.Writer) error {
	return restartBackend(ctx, func(context.Context, *client.Client) (bool, error) { return true, nil }, out)
}

// ShowBackup does so when the API began before the newest backup was written down: a maintenance, or a failure, kept
// it then.
func ShowBackup(ctx context.Context, out io.Writer) error {
	noted, err := os.Stat(hostspec.LastBackupFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	stale := func(ctx context.Context, engine *client.Client) (bool, error) {
		began, err := backendBegan(ctx, engine)
		return err == nil && !began.IsZero() && began.Before(noted.ModTime()), err
	}
	engine, err := docker.Connect()
	if err != nil {
		return err
	}
	defer engine.Close()
	if is, err := stale(ctx, engine); err != nil || !is {
		return err
	}
	return restartBackend(ctx, stale, out) // which asks again: a backup that is just being made restarts it itself
}

// backendBegan is when the oldest of the API's running tasks began; zero without any.
func backendBegan(ctx context.Context, engine *client.Client) (oldest time.Time, err error) {
	running, err := engine.ContainerList(ctx, docker.TasksOf(hostspec.BackendService))
	if err != nil {
		return oldest, fmt.Errorf("list the API's tasks: %w", err)
	}
	for _, c := range running.Items {
		task, err := engine.ContainerInspect(ctx, c.ID, client.ContainerInspectOptions{})
		if errdefs.IsNotFound(err) {
			continue
		}
		if err != nil {
			return oldest, fmt.Errorf("look at a task of the API: %w", err)
		}
		began, err := time.Parse(time.RFC3339Nano, task.Container.State.StartedAt)
		if err != nil {
			return oldest, fmt.Errorf("look at a task of the API: %w", err)
		}
		if oldest.IsZero() || began.Before(oldest) {
			oldest = began
		}
	}
	return oldest, nil
}

// restartBackend starts the API anew unless it is not needed any more when its turn comes.
func restartBackend(ctx context.Context, needed func(context.Context, *client.Client) (bool, error),
	out io.Writer,
) error {
	who := "a restart of the API after a backup, since " + time.Now().UTC().Format(time.RFC3339)
	release, err := lock.AcquireInTurn(ctx, hostspec.ServicesLock, "a change of the services", who, out)
	if err != nil {
		return err
	}
	defer release()
	if err := journal.HalfSwitched(hostspec.RestoreJournal); err != nil {
		return err
	}
	engine, err := docker.Connect()
	if err != nil {
		return err
	}
	defer engine.Close()
	if is, err := needed(ctx, engine); err != nil || !is {
		return err
	}
	found, err := engine.ServiceInspect(ctx, hostspec.BackendService, client.ServiceInspectOptions{})
	if err != nil {
		return fmt.Errorf("read the service %s: %w", hostspec.BackendService, err)
	}
	service := found.Service
	if !slices.Contains(service.Spec.TaskTemplate.ContainerSpec.Env, "MAINTENANCE_MODE=1") {
		switch in, err := inMaintenance(ctx, fmt.Sprintf("http://%s:%d/api/v1/theme", hostspec.BackendHost,
			hostspec.BackendPort)); {
		case err != nil:
			return err
		case in:
			fmt.Fprintln(out, "the shop is in maintenance, switched on by hand, and a restart would end that: the API shows "+
				"the backup within an hour of its end")
			return nil
		}
	}
	before := service.UpdateStatus
	spec := service.Spec
	spec.TaskTemplate.ForceUpdate++
	if _, err := engine.ServiceUpdate(ctx, service.ID, client.ServiceUpdateOptions{
		Version: service.Version, Spec: spec, RegistryAuthFrom: swarm.RegistryAuthFromSpec,
	}); err != nil {
		return fmt.Errorf("restart the API: %w", err)
	}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
		}
		now, err := engine.ServiceInspect(ctx, service.ID, client.ServiceInspectOptions{})
		if err != nil {
			return fmt.Errorf("read the service %s: %w", hostspec.BackendService, err)
		}
		if done, err := updateEnded(before, now.Service.UpdateStatus); done || err != nil {
			return err
		}
	}
}

// updateEnded judges the state of an update that began after the one before.
func updateEnded(before, now *swarm.UpdateStatus) (bool, error) {
	if now == nil || before != nil && before.StartedAt != nil && now.StartedAt != nil &&
		now.StartedAt.Equal(*before.StartedAt) {
		return false, nil // it has not begun
	}
	switch now.State {
	case swarm.UpdateStateCompleted:
		return true, nil
	case swarm.UpdateStateUpdating:
		return false, nil
	default:
		return false, fmt.Errorf("the restart of the API ended in %s: %s", now.State, now.Message)
	}
}

// inMaintenance asks the API whether it turns visitors away. Who switches maintenance on by hand does it in
// the process's memory only (app-contract §3.5).
func inMaintenance(ctx context.Context, url string) (bool, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false, err
	}
	response, err := (&http.Client{Timeout: 10 * time.Second}).Do(request)
	if err != nil {
		return false, fmt.Errorf("ask the API whether it is in maintenance: %w", err)
	}
	defer response.Body.Close()
	return response.StatusCode == http.StatusServiceUnavailable && response.Header.Get("Retry-After") == "120", nil
}
