package ops

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/swarm"
)

// Prune removes images that nothing needs: neither a container, running or finished (the engine's
// state knows the jobs' containers), nor a service, nor one of the kept releases. Containers are
// never touched.
func Prune(ctx context.Context, releasesDir string, out io.Writer) error {
	docker, err := connectDocker()
	if err != nil {
		return err
	}
	defer docker.Close()
	containers, err := docker.ContainerList(ctx, container.ListOptions{All: true})
	if err != nil {
		return fmt.Errorf("list containers: %w", err)
	}
	services, err := docker.ServiceList(ctx, swarm.ServiceListOptions{})
	if err != nil {
		return fmt.Errorf("list services: %w", err)
	}
	releases, _, err := keptReleases(releasesDir)
	if err != nil {
		return err
	}
	images, err := docker.ImageList(ctx, image.ListOptions{All: false})
	if err != nil {
		return fmt.Errorf("list images: %w", err)
	}
	needed := neededImages(containers, services, releases)
	var bad []error
	removed := 0
	for _, i := range images {
		if needed[i.ID] || slices.ContainsFunc(append(i.RepoDigests, i.RepoTags...), func(r string) bool { return needed[r] }) {
			continue
		}
		if _, err := docker.ImageRemove(ctx, i.ID, image.RemoveOptions{Force: true, PruneChildren: true}); err != nil {
			bad = append(bad, fmt.Errorf("remove image %s: %w", i.ID, err))
			continue
		}
		removed++
	}
	fmt.Fprintf(out, "%d of %d images removed; %d releases are kept\n", removed, len(images), len(releases))
	return errors.Join(bad...)
}

// neededImages lists image IDs and references in use. A release's images are kept whether they run or not:
// a rollback must not depend on a registry.
func neededImages(containers []container.Summary, services []swarm.Service, releases []keptRelease) map[string]bool {
	needed := map[string]bool{}
	for _, c := range containers {
		needed[c.ImageID], needed[c.Image] = true, true
	}
	for _, s := range services {
		needed[s.Spec.TaskTemplate.ContainerSpec.Image] = true
		if s.PreviousSpec != nil && s.PreviousSpec.TaskTemplate.ContainerSpec != nil {
			needed[s.PreviousSpec.TaskTemplate.ContainerSpec.Image] = true // Swarm may still roll back to it
		}
	}
	for _, r := range releases {
		needed[r.Backend], needed[r.Frontend] = true, true
	}
	return needed
}
