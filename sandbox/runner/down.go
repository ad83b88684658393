package runner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/prekzursil/momentstudio-infra/sandbox/hostimage"
	"github.com/prekzursil/momentstudio-infra/sandbox/machine"
)

// Down removes everything that the sandbox made: hosts, volumes, networks, processes and files. It
// goes on after an error and reports all of them. The build cache is shared by all sandboxes and
// stays unless purge is set.
func (s Settings) Down(ctx context.Context, log io.Writer, purge bool) error {
	var failed []error
	failed = append(failed, s.stop("serve", "serve"))
	if dockerAnswers(ctx) {
		failed = append(failed, machine.Cleanup(ctx, "momentstudio-"+s.Name, s.path("machines")))
		if purge {
			failed = append(failed, removeHostImages(ctx))
		}
	}
	if _, ok := s.running("dockerd", "dockerd"); ok {
		if busy, _ := exec.CommandContext(ctx, "docker", "ps", "-q").Output(); len(strings.TrimSpace(string(busy))) == 0 {
			failed = append(failed, s.stop("dockerd", "dockerd"))
		} else {
			fmt.Fprintln(log, "the Docker engine that this sandbox started runs other containers and is left running")
		}
	}
	if err := errors.Join(failed...); err != nil {
		return fmt.Errorf("%w\nnothing else was removed; run it again when the cause is gone", err)
	}
	if err := os.RemoveAll(s.Home); err != nil {
		return fmt.Errorf("remove %s: %w", s.Home, err)
	}
	if err := os.RemoveAll(filepath.Join(s.Project, ".momentstudio", s.Stack)); err != nil {
		return fmt.Errorf("remove the SSH files: %w", err)
	}
	_ = os.Remove(filepath.Join(s.Project, ".momentstudio")) // only when no other stack is in it
	if purge {
		if err := os.RemoveAll(s.Cache); err != nil {
			return fmt.Errorf("remove %s: %w", s.Cache, err)
		}
		fmt.Fprintln(log, "removed the sandbox and its build cache")
		return nil
	}
	fmt.Fprintf(log, "removed the sandbox; the build cache %s is kept for the next one (PURGE=1 removes it too)\n",
		s.Cache)
	return nil
}

func removeHostImages(ctx context.Context) error {
	out, err := exec.CommandContext(ctx, "docker", "images", "-q", hostimage.Repository).Output()
	if err != nil {
		return fmt.Errorf("list host images: %w", err)
	}
	for _, id := range strings.Fields(string(out)) {
		if text, err := exec.CommandContext(ctx, "docker", "rmi", "-f", id).CombinedOutput(); err != nil {
			return fmt.Errorf("remove host image: %w: %s", err, text)
		}
	}
	return nil
}
