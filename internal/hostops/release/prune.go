package release

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/distribution/reference"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/client"

	"github.com/prekzursil/momentstudio-infra/internal/hostops/docker"
	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
)

// Prune removes images that nothing needs: neither a container, running or finished (the engine's
// state knows the jobs' containers), nor a service, nor one of the kept releases, nor the one that was
// verified last, nor keep. Containers are never touched.
func Prune(ctx context.Context, releasesDir string, keep []string, out io.Writer) error {
	engine, err := docker.Connect()
	if err != nil {
		return err
	}
	defer engine.Close()
	containers, err := engine.ContainerList(ctx, client.ContainerListOptions{All: true})
	if err != nil {
		return fmt.Errorf("list containers: %w", err)
	}
	services, err := engine.ServiceList(ctx, client.ServiceListOptions{})
	if err != nil {
		return fmt.Errorf("list services: %w", err)
	}
	releases, _, err := keptReleases(releasesDir)
	if err != nil {
		return err
	}
	images, err := engine.ImageList(ctx, client.ImageListOptions{})
	if err != nil {
		return fmt.Errorf("list images: %w", err)
	}
	verified, err := os.ReadFile(filepath.Join(releasesDir, filepath.Base(hostspec.VerifiedFile)))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read which release was verified last: %w", err)
	}
	lines := strings.Split(strings.TrimSpace(string(verified)), "\n")
	keep = append(slices.Clone(keep), strings.Fields(lines[len(lines)-1])...)
	needed := neededImages(containers.Items, services.Items, releases, keep)
	var bad []error
	removed := 0
	for _, i := range images.Items {
		if needed[i.ID] || slices.ContainsFunc(append(i.RepoDigests, i.RepoTags...),
			func(r string) bool { return needed[canonical(r)] }) {
			continue
		}
		if _, err := engine.ImageRemove(ctx, i.ID, client.ImageRemoveOptions{Force: true, PruneChildren: true}); err != nil {
			bad = append(bad, fmt.Errorf("remove image %s: %w", i.ID, err))
			continue
		}
		removed++
	}
	fmt.Fprintf(out, "%d of %d images removed; %d releases are kept\n", removed, len(images.Items), len(releases))
	return errors.Join(bad...)
}

// neededImages lists image IDs and references in use. A release's images are kept whether they run or not:
// a rollback must not depend on a registry.
func neededImages(containers []container.Summary, services []swarm.Service, releases []keptRelease,
	keep []string,
) map[string]bool {
	needed := map[string]bool{}
	need := func(refs ...string) {
		for _, r := range refs {
			needed[canonical(r)] = true
		}
	}
	for _, c := range containers {
		need(c.ImageID, c.Image)
	}
	for _, s := range services {
		need(s.Spec.TaskTemplate.ContainerSpec.Image)
		if s.PreviousSpec != nil && s.PreviousSpec.TaskTemplate.ContainerSpec != nil {
			need(s.PreviousSpec.TaskTemplate.ContainerSpec.Image) // Swarm may still roll back to it
		}
	}
	for _, r := range releases {
		need(r.Backend, r.Frontend)
	}
	need(keep...)
	return needed
}

// canonical is a reference with its registry and, beside a digest, without its tag: the engine tells images
// in another form than the config.
func canonical(ref string) string {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return ref // an image's ID
	}
	if digested, ok := named.(reference.Digested); ok {
		return reference.TrimNamed(named).Name() + "@" + digested.Digest().String()
	}
	return named.String()
}
