package inspect

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/client"

	"github.com/prekzursil/momentstudio-infra/internal/hostops/docker"
	"github.com/prekzursil/momentstudio-infra/internal/hostops/lines"
	"github.com/prekzursil/momentstudio-infra/internal/hostops/release"
	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
	"github.com/prekzursil/momentstudio-infra/internal/redact"
)

// ours selects what the program created.
func ours() client.Filters { return make(client.Filters).Add("label", hostspec.ServerLabel) }

// engineReport reads what Docker runs and holds.
func engineReport(ctx context.Context, engine *client.Client, r *hostspec.HostReport) error {
	services, err := engine.ServiceList(ctx, client.ServiceListOptions{})
	if err != nil {
		return err
	}
	tasks, err := engine.TaskList(ctx, client.TaskListOptions{})
	if err != nil {
		return err
	}
	for _, s := range services.Items {
		if _, mine := s.Spec.Labels[hostspec.ServerLabel]; !mine {
			r.Foreign = append(r.Foreign, s.Spec.Name)
			continue
		}
		r.Services = append(r.Services, serviceOf(s, tasks.Items))
	}
	slices.SortFunc(r.Services, func(a, b hostspec.Service) int { return strings.Compare(a.Name, b.Name) })
	// Foreign secrets and networks are reported too: one may have taken the place of one of ours.
	secrets, err := engine.SecretList(ctx, client.SecretListOptions{})
	if err != nil {
		return err
	}
	for _, s := range secrets.Items {
		_, mine := s.Spec.Labels[hostspec.ServerLabel]
		r.Secrets = append(r.Secrets, hostspec.Object{ID: s.ID, Name: s.Spec.Name, Foreign: !mine})
	}
	networks, err := engine.NetworkList(ctx, client.NetworkListOptions{})
	if err != nil {
		return err
	}
	for _, n := range networks.Items {
		_, mine := n.Labels[hostspec.ServerLabel]
		r.Networks = append(r.Networks, hostspec.Object{ID: n.ID, Name: n.Name, Foreign: !mine})
	}
	containers, err := engine.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: ours()})
	if err != nil {
		return err
	}
	for _, c := range containers.Items {
		name := ""
		if len(c.Names) > 0 {
			name = strings.TrimPrefix(c.Names[0], "/")
		}
		r.Containers = append(r.Containers, hostspec.Object{ID: c.ID, Name: name, Running: c.State == "running"})
	}
	return nil
}

// serviceOf takes from a service and the tasks of all services what the desk compares.
func serviceOf(s swarm.Service, tasks []swarm.Task) hostspec.Service {
	out := hostspec.Service{ID: s.ID, Name: s.Spec.Name, Env: map[string]string{}, Updated: s.UpdatedAt}
	if s.Spec.Mode.Replicated != nil && s.Spec.Mode.Replicated.Replicas != nil {
		out.Replicas = int(*s.Spec.Mode.Replicated.Replicas) //nolint:gosec // a number of tasks
	}
	if s.UpdateStatus != nil {
		out.Update = string(s.UpdateStatus.State)
	}
	for _, n := range s.Spec.TaskTemplate.Networks {
		out.Networks = append(out.Networks, n.Target)
	}
	if r := s.Spec.TaskTemplate.Resources; r != nil && r.Limits != nil {
		out.Memory = r.Limits.MemoryBytes
	}
	if s.Spec.EndpointSpec != nil {
		for _, p := range s.Spec.EndpointSpec.Ports {
			out.Ports = append(out.Ports, hostspec.Port{
				TargetPort: int(p.TargetPort), PublishedPort: int(p.PublishedPort),
				Protocol: string(p.Protocol), PublishMode: string(p.PublishMode),
			})
		}
	}
	if c := s.Spec.TaskTemplate.ContainerSpec; c != nil {
		containerOf(c, &out)
	}
	for _, t := range tasks {
		if t.ServiceID != s.ID {
			continue
		}
		switch {
		case t.DesiredState == swarm.TaskStateRunning && t.Status.State == swarm.TaskStateRunning:
			out.Running++
		case t.DesiredState == swarm.TaskStateShutdown:
			out.Ended = append(out.Ended, hostspec.EndedTask{
				At: t.Status.Timestamp, State: string(t.Status.State), Error: t.Status.Err,
			})
		}
	}
	return out
}

func containerOf(c *swarm.ContainerSpec, out *hostspec.Service) {
	out.Image, out.User, out.CapAdd, out.CapDrop = c.Image, c.User, c.CapabilityAdd, c.CapabilityDrop
	out.Command = slices.Concat(c.Command, c.Args)
	if c.Healthcheck != nil {
		out.Health = c.Healthcheck.Test
	}
	for _, v := range c.Env {
		name, value, _ := strings.Cut(v, "=")
		out.Env[name] = value
	}
	for _, m := range c.Mounts {
		out.Mounts = append(out.Mounts, hostspec.Mount{Source: m.Source, Target: m.Target, ReadOnly: m.ReadOnly})
	}
	for _, s := range c.Secrets {
		mount := hostspec.SecretMount{Name: s.SecretName}
		if s.File != nil {
			mount.File = s.File.Name
		}
		out.Secrets = append(out.Secrets, mount)
	}
}

const (
	logTime  = 20 * time.Second // for the log of one service
	logLines = "200"            // read of each task
	logShown = 30               // of those, the lines that may leave the host
	mostSaid = 3                // errors of tasks
)

// logs reads why the tasks of services ended, and the end of their logs. What cannot be read is left out.
func logs(ctx context.Context, engine *client.Client, all []hostspec.Service,
	wanted []string,
) map[string]hostspec.ServiceLog {
	found := map[string]hostspec.ServiceLog{}
	var lock sync.Mutex
	var reading sync.WaitGroup
	for _, s := range all {
		if !slices.Contains(wanted, s.Name) {
			continue
		}
		reading.Go(func() {
			var l hostspec.ServiceLog
			tasks, err := engine.TaskList(ctx, client.TaskListOptions{Filters: make(client.Filters).Add("service", s.ID)})
			if err == nil {
				l.Errors = taskErrors(tasks.Items)
			}
			l.Tail = logOf(ctx, engine, s.ID)
			lock.Lock()
			defer lock.Unlock()
			found[s.Name] = l
		})
	}
	reading.Wait()
	return found
}

// taskErrors are the errors of the newest tasks, with what they were doing.
func taskErrors(tasks []swarm.Task) (said []string) {
	slices.SortFunc(tasks, func(a, b swarm.Task) int { return b.Status.Timestamp.Compare(a.Status.Timestamp) })
	for _, t := range tasks {
		if t.Status.Err != "" && len(said) < mostSaid {
			said = append(said, string(t.Status.State)+" at "+t.Status.Timestamp.UTC().Format(time.RFC3339)+": "+t.Status.Err)
		}
	}
	return said
}

func logOf(ctx context.Context, engine *client.Client, id string) []string {
	ctx, cancel := context.WithTimeout(ctx, logTime)
	defer cancel()
	stream, err := engine.ServiceLogs(ctx, id, client.ServiceLogsOptions{
		ShowStdout: true, ShowStderr: true,
		Tail: logLines,
	})
	if err != nil {
		return nil
	}
	defer stream.Close()
	var text bytes.Buffer
	_, _ = stdcopy.StdCopy(&text, &text, stream) // what came before a failure is shown
	if said := redact.Tail(text.String(), logShown); said != "" {
		return strings.Split(said, "\n")
	}
	return nil
}

// schema asks the API of a task where the database is, as its own migrations see it.
func schema(ctx context.Context, engine *client.Client, id string) hostspec.Schema {
	done, err := docker.Exec(ctx, engine, id, "alembic", "current")
	if err != nil {
		return hostspec.Schema{Error: err.Error()}
	}
	if revision, unknown := release.UnknownRevision(done.Stdout + done.Stderr); unknown {
		return hostspec.Schema{Revision: revision, Unknown: true}
	}
	if done.Code != 0 {
		return hostspec.Schema{Error: "alembic current failed: " + redact.Tail(done.Stderr, 3)}
	}
	return current(done.Stdout)
}

// current reads the output of `alembic current`: a revision, and what it is: "0159_add (head)", "ab12 (head)
// (mergepoint)".
func current(output string) hostspec.Schema {
	revision, kinds, _ := strings.Cut(lines.Last(strings.TrimSpace(output), 1), " ")
	return hostspec.Schema{Revision: redact.Revision(revision), Head: strings.Contains(kinds, "(head)")}
}
