package machine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Cleanup removes everything of this sandbox: machines, disks, networks, files.
// It goes on after an error and returns all of them; it can be called again.
func (d *Docker) Cleanup(ctx context.Context) error {
	return Cleanup(ctx, d.config.Prefix, d.config.StateDir)
}

// Cleanup does the same for a sandbox whose process is gone.
func Cleanup(ctx context.Context, prefix, stateDir string) error {
	var problems []error
	label := "label=" + Label + "=" + prefix
	for _, step := range []struct{ list, remove []string }{
		{[]string{"ps", "--all", "--quiet", "--filter", label}, []string{"rm", "--force", "--volumes"}},
		{[]string{"volume", "ls", "--quiet", "--filter", label}, []string{"volume", "rm", "--force"}},
		{[]string{"network", "ls", "--quiet", "--filter", label}, []string{"network", "rm"}},
	} {
		found, err := docker(ctx, step.list...)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		for _, id := range strings.Fields(found) {
			if _, err := docker(ctx, append(step.remove, id)...); err != nil && !absent(err) {
				problems = append(problems, err)
			}
		}
	}
	files, err := filepath.Glob(filepath.Join(stateDir, "volumes", "*.img"))
	if err != nil {
		problems = append(problems, err)
	}
	for _, file := range files {
		if err := release(ctx, file); err != nil {
			problems = append(problems, err)
		}
	}
	for _, dir := range []string{"servers", "volumes"} {
		if err := os.RemoveAll(filepath.Join(stateDir, dir)); err != nil {
			problems = append(problems, err)
		}
	}
	if len(problems) > 0 {
		return fmt.Errorf("clean up sandbox %s: %w", prefix, errors.Join(problems...))
	}
	return nil
}
