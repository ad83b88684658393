package ops

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/docker/docker/api/types/swarm"

	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
)

// BackendService is the API's name in the Swarm.
const BackendService = "momentstudio-backend"

// RestartBackend starts the API anew, new task first, so that it reads the time of the last backup. It
// waits for its turn: never during an update, which holds the lock.
func RestartBackend(ctx context.Context, out io.Writer) error {
	who := "a restart of the API after a backup, since " + time.Now().UTC().Format(time.RFC3339)
	release, err := LockInTurn(ctx, hostspec.ServicesLock, "a change of the services", who, out)
	if err != nil {
		return err
	}
	defer release()
	if err := HalfSwitched(hostspec.RestoreJournal); err != nil {
		return err
	}
	docker, err := connectDocker()
	if err != nil {
		return err
	}
	defer docker.Close()
	service, _, err := docker.ServiceInspectWithRaw(ctx, BackendService, swarm.ServiceInspectOptions{})
	if err != nil {
		return fmt.Errorf("read the service %s: %w", BackendService, err)
	}
	if !slices.Contains(service.Spec.TaskTemplate.ContainerSpec.Env, "MAINTENANCE_MODE=1") {
		switch in, err := inMaintenance(ctx, fmt.Sprintf("http://%s:%d/api/v1/theme", hostspec.BackendHost, hostspec.BackendPort)); {
		case err != nil:
			return err
		case in:
			fmt.Fprintln(out, "the shop is in maintenance, switched on by hand, and a restart would end that: the API shows the backup after its next restart")
			return nil
		}
	}
	before := service.UpdateStatus
	spec := service.Spec
	spec.TaskTemplate.ForceUpdate++
	if _, err := docker.ServiceUpdate(ctx, service.ID, service.Version, spec, swarm.ServiceUpdateOptions{RegistryAuthFrom: swarm.RegistryAuthFromSpec}); err != nil {
		return fmt.Errorf("restart the API: %w", err)
	}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
		}
		now, _, err := docker.ServiceInspectWithRaw(ctx, service.ID, swarm.ServiceInspectOptions{})
		if err != nil {
			return fmt.Errorf("read the service %s: %w", BackendService, err)
		}
		if done, err := updateEnded(before, now.UpdateStatus); done || err != nil {
			return err
		}
	}
}

// updateEnded judges the state of an update that began after the one before.
func updateEnded(before, now *swarm.UpdateStatus) (bool, error) {
	if now == nil || before != nil && before.StartedAt != nil && now.StartedAt != nil && now.StartedAt.Equal(*before.StartedAt) {
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
