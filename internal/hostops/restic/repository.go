// Package restic runs restic on one repository and lists the backups in it.
package restic

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/prekzursil/momentstudio-infra/internal/hostops/fsutil"
	"github.com/prekzursil/momentstudio-infra/internal/hostops/lines"
	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
)

// Exit codes of restic (its manual, "Scripting").
const (
	resticNoRepository  = 10
	resticLocked        = 11
	resticWrongPassword = 12
)

// answerTime is how long a destination may take to open.
const answerTime = 90 * time.Second

// What a destination may refuse.
var (
	errNoRepository  = errors.New("there is no repository")
	ErrWrongPassword = errors.New("the repository does not open with this password")
	ErrLocked        = errors.New("the repository is locked by another run")
	errAway          = errors.New("the destination does not open")
	errGone          = errors.New("the repository that had the earlier backups is gone, and none was made in its place")
	errAnother       = errors.New("another repository is where the one with the earlier backups was")
)

// Repository is a destination and the password that opens it.
type Repository struct {
	hostspec.Destination
	Password string
	Program  string                 // restic
	Expected hostspec.RepositoryRef // where a verified copy was before; none when there was none
}

// Location is where it is, without credentials.
func (r Repository) Location() string {
	kind, rest, _ := strings.Cut(r.Repository, ":")
	if u, err := url.Parse(rest); err == nil && u.User != nil {
		u.User = nil
		return kind + ":" + u.String()
	}
	return r.Repository
}

// Run runs one command and returns what it printed. Location, credentials and password reach it through
// pipes: arguments and environments can be read by others.
func (r Repository) Run(ctx context.Context, stdout io.Writer, args ...string) error {
	secrets := []string{r.Repository, r.Password}
	if r.CACert != "" {
		secrets = append(secrets, r.CACert)
	}
	flags := []string{"--repository-file", "/dev/fd/3", "--password-file", "/dev/fd/4"}
	if r.CACert != "" {
		flags = append(flags, "--cacert", "/dev/fd/5")
	}
	if r.SSH != nil {
		own, err := os.Executable()
		if err != nil {
			return err
		}
		flags = append(flags, "-o", "sftp.command="+own+" sftp-connect --destination "+r.Name)
	}
	cmd := exec.CommandContext(ctx, r.Program, append(flags, args...)...) //nolint:gosec // our own arguments
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
	// A lock that restic leaves behind would keep the next run out: let it take it back.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 30 * time.Second
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
			return ErrWrongPassword
		case resticLocked:
			return fmt.Errorf("%w: %s", ErrLocked, text)
		}
	}
	return fmt.Errorf("restic %s: %w: %s", args[0], err, lines.Last(withoutFrames(text), 5))
}

// Open makes the repository when there is none and there was none before, and replaces earlier generations'
// passwords: the new key is added before an old one is removed, so that a killed run leaves one that works, and the
// next run removes what that one left. It returns the repository's ID.
func (r Repository) Open(ctx context.Context, old []string, out io.Writer) (id string, err error) {
	expected := r.Expected.Location == r.Location()
	giveUp := fmt.Sprintf("fix: bring back what was at %s, or give it up: %s backup --anew %s", r.Location(),
		hostspec.HostopsCommand, r.Name)
	id, err = r.identify(ctx)
	switch {
	case errors.Is(err, errNoRepository) && expected:
		return "", fmt.Errorf("%w; %s", errGone, giveUp)
	case errors.Is(err, errNoRepository):
		fmt.Fprintf(out, "%s: making the repository\n", r.Name)
		if err := r.Run(ctx, io.Discard, "init"); err != nil {
			return "", err
		}
		return r.identify(ctx)
	case err != nil && !errors.Is(err, ErrWrongPassword):
		return "", err
	}
	// Before anything is touched there.
	same := func(id string) error {
		if expected && r.Expected.ID != "" && r.Expected.ID != id {
			return fmt.Errorf("%w; %s", errAnother, giveUp)
		}
		return nil
	}
	works := err == nil
	if works {
		if err := same(id); err != nil {
			return "", err
		}
		// Only stale ones: a run that was killed with an exclusive lock would keep all later ones out.
		err := r.Run(ctx, io.Discard, "unlock", "--quiet")
		switch {
		case err != nil && (r.Prune || ctx.Err() != nil):
			return "", fmt.Errorf("remove stale locks: %w", err)
		case err != nil: // a destination that refuses even that
			fmt.Fprintf(out, "%s: stale locks could not be removed, and an exclusive one would stop this backup: %v\n", r.Name,
				err)
		}
	}
	for _, password := range old {
		before := r
		before.Password = password
		found, err := before.identify(ctx)
		if errors.Is(err, ErrWrongPassword) {
			continue
		}
		if err == nil {
			err = same(found)
		}
		if err != nil {
			return "", err
		}
		if !works {
			fmt.Fprintf(out, "%s: replacing the password\n", r.Name)
			if err := before.addKey(ctx, r.Password); err != nil {
				return "", err
			}
			id, works = found, true
		}
		if err := r.removeKeyOf(ctx, before, out); err != nil {
			return "", err
		}
	}
	if !works {
		return "", fmt.Errorf("%w, nor with one of the %d before it: it is another stack's, or its password was changed "+
			"elsewhere", ErrWrongPassword, len(old))
	}
	return id, nil
}

// opens reports whether there is a repository that the password opens.
func (r Repository) opens(ctx context.Context) error {
	_, err := r.identify(ctx)
	return err
}

// identify returns the ID of the repository that the password opens. restic itself would look for one that
// does not answer for a quarter of an hour.
func (r Repository) identify(ctx context.Context) (id string, err error) {
	limited, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	var config bytes.Buffer
	err = r.Run(limited, &config, "cat", "config", "--no-lock")
	if err != nil && limited.Err() != nil && ctx.Err() == nil {
		return "", fmt.Errorf("%w within %s: %w", errAway, answerTime, err)
	}
	if err != nil {
		return "", err
	}
	var known struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(config.Bytes(), &known); err != nil || known.ID == "" {
		return "", errors.New("the repository's config is not the JSON that this program knows")
	}
	return known.ID, nil
}

// addKey makes a further password open the repository.
func (r Repository) addKey(ctx context.Context, password string) error {
	file, err := os.CreateTemp("/dev/shm", "key-*") // memory, never a disk
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	if err := errors.Join(fsutil.WriteAll(file, password), file.Close()); err != nil {
		return err
	}
	return r.Run(ctx, io.Discard, "key", "add", "--new-password-file", file.Name())
}

// removeKeyOf removes the key that another password opens, and no other: an operator may have added one. A
// destination that only takes additions refuses: that is told, and is its owner's to do.
func (r Repository) removeKeyOf(ctx context.Context, before Repository, out io.Writer) error {
	var list bytes.Buffer
	if err := before.Run(ctx, &list, "key", "list", "--json", "--no-lock"); err != nil {
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
			continue
		}
		err := r.Run(ctx, io.Discard, "key", "remove", k.ID)
		switch {
		case err == nil:
		case r.Prune:
			return fmt.Errorf("remove the old key: %w", err)
		default:
			fmt.Fprintf(out, "%s: the new password works, and the old one still does: its key %.8s could not be removed by "+
				"this host, which may only add; remove it with the credentials that prune there\n", r.Name, k.ID)
		}
	}
	return nil
}

// withoutFrames leaves out the places in restic's source that it prints below some of its errors: a function, and
// below it the file, behind a tab.
func withoutFrames(text string) string {
	var kept []string
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "\t") {
			kept = kept[:max(0, len(kept)-1)]
			continue
		}
		kept = append(kept, line)
	}
	return strings.TrimSpace(strings.Join(kept, ""))
}

// Find finds a destination by its name; without one, the first that is not on the data volume.
func Find(ctx context.Context, spec hostspec.Backup, name, program string) (Repository, error) {
	chosen := slices.IndexFunc(spec.Destinations, func(d hostspec.Destination) bool {
		return d.Name == name || name == "" && !strings.HasPrefix(d.Repository, "/")
	})
	if chosen < 0 && name == "" {
		chosen = 0
	}
	if chosen < 0 || len(spec.Destinations) == 0 {
		return Repository{}, fmt.Errorf("%w: %w", ErrNoBackup, HasDestination(spec, name))
	}
	return Repository{Destination: spec.Destinations[chosen], Password: spec.Password, Program: program}.WithPassword(ctx,
		spec.OldPasswords), nil
}

// HasDestination is an error that names those there are when a spec has none of that name.
func HasDestination(spec hostspec.Backup, name string) error {
	var names []string
	for _, d := range spec.Destinations {
		if d.Name == name {
			return nil
		}
		names = append(names, d.Name)
	}
	return fmt.Errorf("no destination is named %q; there are %s", name, strings.Join(names, ", "))
}

// WithPassword takes an earlier generation's password when the newest does not open the repository yet: the
// next backup is what replaces it there.
func (r Repository) WithPassword(ctx context.Context, old []string) Repository {
	if !errors.Is(r.opens(ctx), ErrWrongPassword) {
		return r
	}
	for _, password := range old {
		before := r
		if before.Password = password; before.opens(ctx) == nil {
			return before
		}
	}
	return r
}
