package ops

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"

	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
)

// Exit codes of restic (its manual, "Scripting").
const (
	resticNoRepository  = 10
	resticLocked        = 11
	resticWrongPassword = 12
)

// What a destination may refuse.
var (
	errNoRepository  = errors.New("there is no repository")
	errWrongPassword = errors.New("the repository does not open with this password")
	errRepoLocked    = errors.New("the repository is locked by another run")
)

// repository is a destination and the password that opens it.
type repository struct {
	hostspec.Destination
	password string
	program  string // restic
}

// restic runs one command and returns what it printed. Location, credentials and password reach it through
// pipes: arguments and environments can be read by others.
func (r repository) restic(ctx context.Context, stdout io.Writer, args ...string) error {
	secrets := []string{r.Repository, r.password}
	if r.CACert != "" {
		secrets = append(secrets, r.CACert)
	}
	flags := []string{"--repository-file", "/dev/fd/3", "--password-file", "/dev/fd/4"}
	if r.CACert != "" {
		flags = append(flags, "--cacert", "/dev/fd/5")
	}
	cmd := exec.CommandContext(ctx, r.program, append(flags, args...)...) //nolint:gosec // our own arguments
	cmd.Env = []string{"PATH=/", "HOME=/tmp", "TMPDIR=/tmp", "RESTIC_CACHE_DIR=/tmp/restic", "RESTIC_PROGRESS_FPS=0"}
	for _, name := range slices.Sorted(maps.Keys(r.Env)) {
		cmd.Env = append(cmd.Env, name+"="+r.Env[name])
	}
	for _, s := range secrets {
		read, write, err := os.Pipe()
		if err != nil {
			return err
		}
		defer read.Close()
		go func() {
			_, _ = io.WriteString(write, s)
			write.Close()
		}()
		cmd.ExtraFiles = append(cmd.ExtraFiles, read)
	}
	var errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = stdout, &errOut
	err := cmd.Run()
	if err == nil {
		return nil
	}
	text := strings.TrimSpace(errOut.String())
	for _, s := range append(secrets, slices.Collect(maps.Values(r.Env))...) {
		text = strings.ReplaceAll(text, s, "[secret]")
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		switch exit.ExitCode() {
		case resticNoRepository:
			return errNoRepository
		case resticWrongPassword:
			return errWrongPassword
		case resticLocked:
			return fmt.Errorf("%w: %s", errRepoLocked, text)
		}
	}
	return fmt.Errorf("restic %s: %w: %s", args[0], err, lastLines(text, 5))
}

// open makes the repository when there is none, and replaces an earlier generation's password: the
// new key is added before the old one is removed, so that a killed run leaves one that works.
func (r repository) open(ctx context.Context, old []string, out io.Writer) error {
	err := r.restic(ctx, io.Discard, "cat", "config", "--no-lock")
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errNoRepository):
		fmt.Fprintf(out, "%s: making the repository\n", r.Name)
		return r.restic(ctx, io.Discard, "init")
	case !errors.Is(err, errWrongPassword):
		return err
	}
	for _, password := range old {
		before := r
		before.password = password
		if err := before.restic(ctx, io.Discard, "cat", "config", "--no-lock"); errors.Is(err, errWrongPassword) {
			continue
		} else if err != nil {
			return err
		}
		fmt.Fprintf(out, "%s: replacing the password\n", r.Name)
		return before.replaceKey(ctx, r, out)
	}
	return fmt.Errorf("%w, nor with one of the %d before it: it is another stack's, or its password was changed elsewhere", errWrongPassword, len(old))
}

// replaceKey adds the key of the new password and removes all others with it. A destination that only
// takes additions refuses the removal: that is told, and is its owner's to do.
func (r repository) replaceKey(ctx context.Context, after repository, out io.Writer) error {
	file, err := os.CreateTemp("/dev/shm", "key-*") // memory, never a disk
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	if err := errors.Join(writeAll(file, after.password), file.Close()); err != nil {
		return err
	}
	if err := r.restic(ctx, io.Discard, "key", "add", "--new-password-file", file.Name()); err != nil {
		return err
	}
	var list bytes.Buffer
	if err := after.restic(ctx, &list, "key", "list", "--json"); err != nil {
		return err
	}
	var keys []struct {
		ID      string `json:"id"`
		Current bool   `json:"current"`
	}
	if err := json.Unmarshal(list.Bytes(), &keys); err != nil {
		return fmt.Errorf("list the keys of %s: %w", r.Name, err)
	}
	for _, k := range keys {
		if !k.Current {
			err := after.restic(ctx, io.Discard, "key", "remove", k.ID)
			switch {
			case err == nil:
			case r.Prune:
				return fmt.Errorf("remove the old key: %w", err)
			default:
				fmt.Fprintf(out, "%s: the new password works, and the old one still does: its key %.8s could not be removed by this host, which may only add; remove it with the credentials that prune there\n", r.Name, k.ID)
			}
		}
	}
	return nil
}

func lastLines(text string, n int) string {
	lines := strings.Split(text, "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
