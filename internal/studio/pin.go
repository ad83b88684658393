package studio

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/prekzursil/momentstudio-infra/internal/commandline"
	"github.com/prekzursil/momentstudio-infra/internal/engine"
)

// pinned are the keys of the stack's file that hold an image, by the name that Pin takes.
var pinned = map[string]string{
	"backend": "release.backend", "frontend": "release.frontend",
	"ops": "images.ops", "edge": "images.edge", "postgres": "images.postgres", "redis": "images.redis",
}

// platform is that of every host.
var platform = v1.Platform{OS: "linux", Architecture: "amd64"}

var fullCommit = regexp.MustCompile(`^[0-9a-f]{40}$`)

// Pin resolves each reference with a tag ("backend" -> "ghcr.io/o/backend:v1") to its digest and writes it into the
// stack's file, with the release's name when one is given. It writes nothing unless every image is there for the
// hosts' platform.
func Pin(ctx context.Context, c engine.Stack, release string, images map[string]string) error {
	var wrong, bad []error
	values := map[string]any{}
	if release != "" {
		if !fullCommit.MatchString(release) {
			wrong = append(wrong, fmt.Errorf("--release %q is not a full commit of 40 characters", release))
		}
		values["release.name"] = release
	}
	for _, what := range slices.Sorted(maps.Keys(images)) {
		key, known := pinned[what]
		if !known {
			wrong = append(wrong, fmt.Errorf("%q is no image of a stack; there are %s", what,
				strings.Join(slices.Sorted(maps.Keys(pinned)), ", ")))
			continue
		}
		ref, err := resolve(ctx, images[what])
		if err != nil {
			bad = append(bad, fmt.Errorf("%s: %w", what, err))
			continue
		}
		fmt.Fprintf(c.Out, "%s: %s\n", key, ref)
		values[key] = ref
	}
	if release == "" && len(images) == 0 {
		wrong = append(wrong, errors.New("name at least one image, as backend=ghcr.io/owner/backend:tag, or --release"))
	}
	if err := errors.Join(append(wrong, bad...)...); err != nil {
		err = fmt.Errorf("%s stays as it is:\n%w", c.File(), err)
		if len(wrong) > 0 {
			err = commandline.Usage(err)
		}
		return err
	}
	return engine.SetPlain(c.File(), values)
}

// resolve asks the registry for the digest of a reference, and whether the image runs on the hosts.
func resolve(ctx context.Context, text string) (string, error) {
	ref, err := name.ParseReference(text, name.StrictValidation)
	if err != nil {
		return "", fmt.Errorf("%q is no image reference with a tag or a digest", text)
	}
	found, err := remote.Get(ref, remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain),
		remote.WithPlatform(platform))
	if err != nil {
		return "", fmt.Errorf("look %s up: %w", text, err)
	}
	img, err := found.Image() // of the platform, when the reference is an index
	if err != nil {
		return "", fmt.Errorf("look %s up: %w", text, err)
	}
	file, err := img.ConfigFile()
	if err != nil {
		return "", fmt.Errorf("look %s up: %w", text, err)
	}
	if file.OS != platform.OS || file.Architecture != platform.Architecture {
		return "", fmt.Errorf("%s is for %s/%s, the hosts are %s", text, file.OS, file.Architecture, platform.String())
	}
	// as everybody writes it
	repository := strings.Replace(ref.Context().Name(), name.DefaultRegistry+"/", "docker.io/", 1)
	return repository + "@" + found.Digest.String(), nil
}
