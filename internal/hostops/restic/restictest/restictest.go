// Package restictest gives tests the real restic.
package restictest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// build compiles the restic of the ops image, with that image's compiler flags so that both share the build cache,
// and returns the path of the program in Go's cache.
var build = sync.OnceValues(func() (program string, err error) {
	_, here, _, _ := runtime.Caller(0)
	cmd := exec.Command("go", "tool", "-n", "github.com/restic/restic/cmd/restic")
	cmd.Dir = filepath.Join(filepath.Dir(here), "../../../../images/ops")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-trimpath -buildvcs=false")
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("build restic: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
})

// Program returns the path of the restic that the ops image holds.
func Program(t *testing.T) string {
	t.Helper()
	program, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return program
}
