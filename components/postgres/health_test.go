package postgres_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/prekzursil/momentstudio-infra/components/postgres"
)

// pg_isready exits 0 when the server takes connections, 1 when it refuses them because it starts or recovers, 2 when it
// does not answer, 3 when it was called wrongly (https://www.postgresql.org/docs/current/app-pg-isready.html).
func TestARecoveringServerCountsAsAlive(t *testing.T) {
	for code, want := range []bool{true, true, false, false} {
		dir := t.TempDir()
		//nolint:gosec // a program of the test
		if err := os.WriteFile(filepath.Join(dir, "pg_isready"), []byte("#!/bin/sh\nexit "+strconv.Itoa(code)+"\n"),
			0o700); err != nil {
			t.Fatal(err)
		}
		command := postgres.Alive()
		cmd := exec.CommandContext(t.Context(), command[0], command[1:]...) //nolint:gosec // the program's own
		cmd.Env = []string{"PATH=" + dir + ":" + os.Getenv("PATH")}
		if alive := cmd.Run() == nil; alive != want {
			t.Errorf("pg_isready exits %d: alive is %t, want %t", code, alive, want)
		}
	}
}
