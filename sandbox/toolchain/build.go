package toolchain

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

const stampFile = "stamp"

// hcloudModule is missing from the public checksum database. Its hashes stand in go.sum, so
// the build is verified all the same; only the look-up must be skipped.
const hcloudModule = "github.com/hetznercloud/terraform-provider-hcloud"

// target is one binary. Modules are separate where they cannot share one set of versions: the
// CLI and the bridge want different releases of the same table writer, and the language host
// needs next to nothing of either.
type target struct {
	dir     string // module, relative to EngineDir
	pkg     string // package to build
	output  string // path relative to the install directory
	version string // module whose version the binary reports; "" when the source says it
}

// versionVariable is what the CLI and the language host report as their version. Official
// builds set it while linking; without it the Automation API refuses the CLI.
const versionVariable = "github.com/pulumi/pulumi/sdk/v3/go/common/version.Version"

func targets() []target {
	list := []target{
		{
			dir: "cli", pkg: "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi",
			output: "bin/pulumi", version: "github.com/pulumi/pulumi/pkg/v3",
		},
		{
			dir: "cli", pkg: "./langhost",
			output: "bin/pulumi-language-go", version: "github.com/pulumi/pulumi/sdk/v3",
		},
	}
	for _, p := range Plugins() {
		list = append(list, target{
			dir: ".", pkg: "./cmd/" + p.binary(), output: "bin-plugins/" + p.binary(),
		})
	}
	return list
}

// build makes all binaries, one after the other: on two cores, linking two of this size at
// once needs more memory than it saves time. The stamp goes away first and comes back last.
func build(ctx context.Context, o Options, stamp string) error {
	if err := os.Remove(filepath.Join(o.InstallDir, stampFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove stamp: %w", err)
	}
	list := targets()
	for i, t := range list {
		started := time.Now()
		fmt.Fprintf(o.Log, "toolchain: [%d/%d] building %s\n", i+1, len(list), filepath.Base(t.output))
		if err := buildOne(ctx, o, t); err != nil {
			return fmt.Errorf("%s: %w", filepath.Base(t.output), err)
		}
		progress(o.Log, i+1, len(list), "built "+filepath.Base(t.output), started)
	}
	if err := os.WriteFile(filepath.Join(o.InstallDir, stampFile), []byte(stamp), 0o644); err != nil {
		return fmt.Errorf("write stamp: %w", err)
	}
	return nil
}

func buildOne(ctx context.Context, o Options, t target) error {
	output := filepath.Join(o.InstallDir, t.output)
	if err := os.MkdirAll(filepath.Dir(output), 0o755); err != nil {
		return fmt.Errorf("create directory: %w", err)
	}
	flags := "-s -w"
	if t.version != "" {
		version, err := required(filepath.Join(o.EngineDir, t.dir, "go.mod"), t.version)
		if err != nil {
			return err
		}
		flags += " -X " + versionVariable + "=" + version
	}
	// The compose resource of the Docker provider is left out: it is not part of the published
	// package and would add several hundred packages.
	cmd := exec.CommandContext(ctx, "go", "build", "-mod=readonly", "-trimpath",
		"-tags", "no_compose", "-ldflags", flags, "-o", output+".new", t.pkg)
	cmd.Dir = filepath.Join(o.EngineDir, t.dir)
	// Flags and workspaces of the caller must not leak into a pinned build.
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-buildvcs=false", "GONOSUMDB="+noSumDB())
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("go build %s: %w\n%s", t.pkg, err, tail(log.String(), 20))
	}
	if err := os.Rename(output+".new", output); err != nil {
		return fmt.Errorf("put in place: %w", err)
	}
	return nil
}

// required returns the version of a module in a go.mod.
func required(file, module string) (string, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("read pinned version: %w", err)
	}
	for _, line := range strings.Split(string(content), "\n") {
		fields := strings.Fields(strings.TrimPrefix(strings.TrimSpace(line), "require "))
		if len(fields) >= 2 && fields[0] == module {
			return fields[1], nil
		}
	}
	return "", fmt.Errorf("%s: no version of %s", file, module)
}

func noSumDB() string {
	if before := os.Getenv("GONOSUMDB"); before != "" {
		return before + "," + hcloudModule
	}
	return hcloudModule
}

func tail(text string, lines int) string {
	all := strings.Split(strings.TrimSpace(text), "\n")
	if len(all) > lines {
		all = all[len(all)-lines:]
	}
	return strings.Join(all, "\n")
}

// current reports whether the install directory holds the build that the stamp describes.
func current(dir, stamp string) bool {
	have, err := os.ReadFile(filepath.Join(dir, stampFile))
	if err != nil || string(have) != stamp {
		return false
	}
	for _, t := range targets() {
		if _, err := os.Stat(filepath.Join(dir, t.output)); err != nil {
			return false
		}
	}
	return true
}

// stampOf hashes what the binaries are made of: the modules' files and sources (tests aside),
// the platform, and the release of Go.
func stampOf(ctx context.Context, engineDir string) (string, error) {
	version, err := exec.CommandContext(ctx, "go", "env", "GOVERSION").Output()
	if err != nil {
		return "", fmt.Errorf("ask for the release of Go: %w", err)
	}
	sum := sha256.New()
	fmt.Fprintf(sum, "%s %s %s\n", bytes.TrimSpace(version), runtime.GOOS, runtime.GOARCH)
	found := false
	err = filepath.WalkDir(engineDir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := entry.Name()
		if entry.IsDir() {
			if name == "testdata" {
				return filepath.SkipDir
			}
			return nil
		}
		source := strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go")
		if !source && name != "go.mod" && name != "go.sum" {
			return nil
		}
		found = true
		return hashFile(sum, engineDir, path)
	})
	if err != nil {
		return "", err
	}
	if !found {
		return "", fmt.Errorf("%s holds no Go sources", engineDir)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

func hashFile(sum io.Writer, root, path string) error {
	relative, err := filepath.Rel(root, path)
	if err != nil {
		return err
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	// Length and name keep two files from being taken for one longer one.
	fmt.Fprintf(sum, "%s %d\n", filepath.ToSlash(relative), len(content))
	_, err = sum.Write(content)
	return err
}
