// Package toolchain makes the Pulumi engine of the sandbox: the CLI, the Go language host and
// the four provider plugins, built from Go modules pinned in sandbox/engine, because the
// official binaries cannot be counted on where the sandbox runs.
//
// A build is done once and kept until the sources change. The package needs nothing but the
// go command and never reaches for the network itself.
package toolchain

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/prekzursil/momentstudio-infra/sandbox/filelock"
)

// Plugin names a provider plugin and the version under which the engine looks for it, which
// is the version of the Go SDK that the program imports.
type Plugin struct {
	Name    string
	Version string
}

// Plugins returns the plugins that the program needs. A test compares their versions with the
// program's go.mod and with what the plugins answer.
func Plugins() []Plugin {
	return []Plugin{
		{Name: "random", Version: "4.21.2"},
		{Name: "docker", Version: "4.11.2"},
		{Name: "hcloud", Version: "1.32.1"},
		{Name: "cloudflare", Version: "5.49.1"},
	}
}

// Options says where things are.
type Options struct {
	EngineDir  string    // the directory sandbox/engine with the pinned modules; required
	InstallDir string    // where the built toolchain is kept between runs; required
	PulumiHome string    // the PULUMI_HOME that gets the plugins; default InstallDir/home
	Log        io.Writer // progress, one line per step with elapsed time; default none
}

// Toolchain is a ready engine.
type Toolchain struct {
	CLI        string // path of the pulumi binary
	BinDir     string // directory of the CLI and the language host; must lead PATH
	PulumiHome string // the PULUMI_HOME in which the plugins are installed
	Built      bool   // whether this call built anything
}

// Env returns the environment in which the CLI finds its parts and leaves the network alone:
// base with PATH, PULUMI_HOME and the switches for update checks and plugin downloads set.
// The plugins must be looked for in PULUMI_HOME only, so that a forgotten one is an error that
// names it.
func (t Toolchain) Env(base []string) []string {
	path := t.BinDir
	for _, kv := range base {
		if len(kv) > len("PATH=") && kv[:len("PATH=")] == "PATH=" {
			path += string(os.PathListSeparator) + kv[len("PATH="):]
		}
	}
	out := make([]string, 0, len(base)+4)
	set := map[string]string{
		"PATH":                     path,
		"PULUMI_HOME":              t.PulumiHome,
		"PULUMI_SKIP_UPDATE_CHECK": "true",
		"PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
	}
	for _, kv := range base {
		name := kv
		for i := range kv {
			if kv[i] == '=' {
				name = kv[:i]
				break
			}
		}
		if _, ours := set[name]; !ours {
			out = append(out, kv)
		}
	}
	for _, name := range []string{
		"PATH", "PULUMI_HOME", "PULUMI_SKIP_UPDATE_CHECK", "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION",
	} {
		out = append(out, name+"="+set[name])
	}
	return out
}

// Ensure returns a toolchain built from the sources in EngineDir, building it when InstallDir
// holds none or an older one. The first build takes several minutes. A killed build leaves
// nothing that a later call would take for complete. Two calls at once are safe: the second
// waits for the first.
func Ensure(ctx context.Context, o Options) (Toolchain, error) {
	if err := o.complete(); err != nil {
		return Toolchain{}, err
	}
	if err := os.MkdirAll(o.InstallDir, 0o755); err != nil {
		return Toolchain{}, fmt.Errorf("create install directory: %w", err)
	}
	unlock, err := filelock.Lock(ctx, filepath.Join(o.InstallDir, "lock"), o.Log)
	if err != nil {
		return Toolchain{}, err
	}
	defer unlock()

	want, err := stampOf(ctx, o.EngineDir)
	if err != nil {
		return Toolchain{}, fmt.Errorf("hash the engine's sources: %w", err)
	}
	t := Toolchain{
		CLI:        filepath.Join(o.InstallDir, "bin", "pulumi"),
		BinDir:     filepath.Join(o.InstallDir, "bin"),
		PulumiHome: o.PulumiHome,
	}
	if !current(o.InstallDir, want) {
		if err := build(ctx, o, want); err != nil {
			return Toolchain{}, fmt.Errorf("build the Pulumi toolchain: %w", err)
		}
		t.Built = true
	}
	for _, p := range Plugins() {
		from := filepath.Join(o.InstallDir, "bin-plugins", p.binary())
		if err := install(p, from, o.PulumiHome); err != nil {
			return Toolchain{}, fmt.Errorf("install plugin %s %s: %w", p.Name, p.Version, err)
		}
	}
	return t, nil
}

func (o *Options) complete() error {
	var problems []error
	if o.EngineDir == "" {
		problems = append(problems, errors.New("EngineDir is empty, want the directory sandbox/engine"))
	}
	if o.InstallDir == "" {
		problems = append(problems, errors.New("InstallDir is empty, want a directory that may be kept"))
	}
	if len(problems) > 0 {
		return fmt.Errorf("toolchain options: %w", errors.Join(problems...))
	}
	for _, dir := range []*string{&o.EngineDir, &o.InstallDir} {
		absolute, err := filepath.Abs(*dir)
		if err != nil {
			return fmt.Errorf("resolve %s: %w", *dir, err)
		}
		*dir = absolute
	}
	if o.PulumiHome == "" {
		o.PulumiHome = filepath.Join(o.InstallDir, "home")
	}
	if o.Log == nil {
		o.Log = io.Discard
	}
	return nil
}

func (p Plugin) binary() string { return "pulumi-resource-" + p.Name }

// progress writes one line when a step ends, so that a slow build can be told from a hung one.
func progress(w io.Writer, step int, steps int, what string, since time.Time) {
	fmt.Fprintf(w, "toolchain: [%d/%d] %s (%.0f s)\n", step, steps, what, time.Since(since).Seconds())
}
