package release

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/prekzursil/momentstudio-infra/internal/hostops/docker"
	"github.com/prekzursil/momentstudio-infra/internal/hostops/fsutil"
)

// PullAll pulls images for the host's own platform, before the running services stop. It reports every image that
// cannot be pulled.
func PullAll(ctx context.Context, images []string, registryAuth string, out io.Writer) error {
	engine, err := docker.Connect()
	if err != nil {
		return err
	}
	defer engine.Close()
	missing := 0
	for _, image := range images {
		if _, err := engine.ImageInspect(ctx, image); err != nil {
			missing++
		}
	}
	if free, err := fsutil.FreeMB("/"); missing > 0 && (err != nil || int(free) < imageRoomMB) {
		return errors.Join(err, fmt.Errorf("the host's disk has %d MB free, and new images need %d: `docker system df` "+
			"shows what takes it", free, imageRoomMB))
	}
	var bad []error
	for _, image := range images {
		bad = append(bad, docker.Pull(ctx, engine, image, registryAuth))
	}
	if err := errors.Join(bad...); err != nil {
		return err
	}
	fmt.Fprintf(out, "%d images are there, %d of them new\n", len(images), missing)
	return nil
}
