package runner

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/prekzursil/momentstudio-infra/sandbox/filelock"
	"github.com/prekzursil/momentstudio-infra/sandbox/hostimage"
	"github.com/prekzursil/momentstudio-infra/sandbox/images"
	"github.com/prekzursil/momentstudio-infra/sandbox/toolchain"
)

// Phase is one step of Up and the time it took.
type Phase struct {
	Name string        `json:"name"`
	Took time.Duration `json:"nanoseconds"`
}

// Result is what Up made.
type Result struct {
	Phases    []Phase
	Unchanged bool // the update changed nothing
	Tools     toolchain.Toolchain
}

// Prepare does everything up to the update: packages, engine, images, emulators, the stack's file.
func (s Settings) Prepare(ctx context.Context, log io.Writer) (Result, error) {
	var r Result
	var tag string
	var ca authority
	phase := func(name string, f func() error) func() error {
		return func() error {
			fmt.Fprintf(log, "== %s\n", name)
			start := time.Now()
			if err := f(); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			r.Phases = append(r.Phases, Phase{name, time.Since(start)})
			return nil
		}
	}
	refs := map[string]string{}
	if err := os.MkdirAll(s.Cache, 0o700); err != nil {
		return r, fmt.Errorf("prepare the sandbox: %w", err)
	}
	// Sandboxes that are made side by side build once.
	unlock, err := filelock.Lock(ctx, filepath.Join(s.Cache, "prepare.lock"), log)
	if err != nil {
		return r, fmt.Errorf("prepare the sandbox: %w", err)
	}
	defer unlock()
	for _, step := range []func() error{
		phase("prepare the machine", func() error { return s.prepare(ctx, log) }),
		phase("build the Pulumi engine and its plugins", func() (err error) { r.Tools, err = s.tools(ctx, log); return err }),
		phase("build the program", func() error {
			bin := s.Programs + "/"
			return errors.Join(
				s.run(ctx, os.Environ(), log, "go", "build", "-o", bin, ".", "./cmd/studio", "./cmd/images"),
				s.run(ctx, os.Environ(), log, "go", "build", "-C", "sandbox", "-o", bin, "./cmd/sandbox"),
				s.run(ctx, os.Environ(), log, "go", "build", "-C", filepath.Join("sandbox", "s3store"), "-o", bin, "."))
		}),
		phase("build the host's image", func() (err error) {
			tag, err = hostimage.Ensure(ctx, hostimage.Options{CacheDir: s.Cache, Log: log})
			return err
		}),
		phase("start the emulated clouds", func() (err error) {
			if ca, err = s.loadAuthority(); err != nil {
				return err
			}
			if err = s.bundle(ca.certPEM); err != nil {
				return err
			}
			return s.ensureServing(ctx, tag)
		}),
		phase("build and push the images", func() error { return s.pushImages(ctx, log, refs) }),
		phase("write the stack's config", func() error { return s.writeConfig(ctx, s.Env(r.Tools), refs, ca.certPEM) }),
	} {
		if err := step(); err != nil {
			return r, err
		}
	}
	return r, nil
}

// Up brings the sandbox up. Running it again changes nothing.
func (s Settings) Up(ctx context.Context, log io.Writer) (Result, error) {
	r, err := s.Prepare(ctx, log)
	if err != nil {
		return r, err
	}
	fmt.Fprintln(log, "== studio up")
	start := time.Now()
	result := s.path("run", "update.json")
	if err := s.run(ctx, s.Env(r.Tools), log, s.Program("studio"), "up", "--json", result,
		"--stack", s.Stack, "--config-file", s.ConfigFile(), "--ca", s.CAFile()); err != nil {
		return r, err
	}
	r.Phases = append(r.Phases, Phase{"studio up", time.Since(start)})
	text, err := os.ReadFile(result)
	if err != nil {
		return r, fmt.Errorf("read the result of the update: %w", err)
	}
	var done struct {
		Changes map[string]int `json:"changes"`
	}
	if err := json.Unmarshal(text, &done); err != nil {
		return r, fmt.Errorf("read the result of the update: %w", err)
	}
	r.Unchanged = len(done.Changes) == 0
	return r, nil
}

// ensureServing starts the serving process unless it runs.
func (s Settings) ensureServing(ctx context.Context, hostImage string) error {
	if _, ok := s.running("serve", "serve"); ok {
		return nil
	}
	// Copies: the next build replaces the programs, and these processes outlive it.
	for _, name := range []string{"sandbox", "s3store"} {
		text, err := os.ReadFile(s.Program(name))
		if err != nil {
			return err
		}
		_ = os.Remove(s.path("run", name))
		if err := os.WriteFile(s.path("run", name), text, 0o700); err != nil { //nolint:gosec // a program
			return err
		}
	}
	_ = os.Remove(s.path("run", "ready"))
	settings, err := json.Marshal(s)
	if err != nil {
		return err
	}
	ended, err := s.daemon("serve", s.path("run", "sandbox"), "serve", "--settings", string(settings), "--host-image",
		hostImage)
	if err != nil {
		return err
	}
	what := "did not start in two minutes"
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); {
		if _, err := os.Stat(s.path("run", "ready")); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ended:
			what, deadline = "ended at their start", time.Time{}
		case <-time.After(100 * time.Millisecond):
		}
	}
	text, _ := os.ReadFile(s.path("log", "serve.log"))
	return fmt.Errorf("the sandbox's servers %s; %s ends with:\n%s", what, s.path("log", "serve.log"),
		text[max(0, len(text)-1500):])
}

func (s Settings) pushImages(ctx context.Context, log io.Writer, refs map[string]string) error {
	built, err := images.Build(ctx, images.Options{CacheDir: s.imageCache(), Release: "sandbox", Log: log})
	if err != nil {
		return err
	}
	pushed, err := s.Push(ctx, built)
	if err != nil {
		return err
	}
	maps.Copy(refs, pushed)
	cmd := exec.CommandContext(ctx, s.Program("images"), "-push", s.address(registryPort))
	cmd.Dir = s.Project
	cmd.Env = append(os.Environ(), "SSL_CERT_FILE="+s.path("ca", "bundle.pem"))
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("build ops and edge: %w: %s", err, errOut.String())
	}
	return json.Unmarshal(out.Bytes(), &refs)
}

func (s Settings) imageCache() string { return filepath.Join(s.Cache, "images") }

// BuildRelease builds the images of a further release of the stand-in; o.CacheDir is the sandbox's own.
func (s Settings) BuildRelease(ctx context.Context, o images.Options) (map[string]v1.Image, error) {
	o.CacheDir = s.imageCache()
	return images.Build(ctx, o)
}

// Push pushes images to the sandbox's registry and returns their references by name.
func (s Settings) Push(ctx context.Context, built map[string]v1.Image) (map[string]string, error) {
	ca, err := s.loadAuthority()
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca.certPEM)
	transport := remote.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	return images.Push(ctx, built, s.address(registryPort), remote.WithTransport(transport))
}
