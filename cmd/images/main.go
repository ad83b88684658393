// Command images builds the images of our own, ops and edge, from pinned Go modules without any
// base image, and pushes them to a registry. It prints their references with digests as JSON.
package main

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

func main() {
	push := flag.String("push", "", "registry and prefix to push to, e.g. ghcr.io/OWNER/momentstudio-infra; required")
	flag.Parse()
	if *push == "" || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "usage: images -push REGISTRY/PREFIX   (run it in the repository's root)")
		os.Exit(2)
	}
	if err := run(*push, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "images:", err)
		os.Exit(1)
	}
}

// recipe is one image: static programs and nothing else.
type recipe struct {
	name     string
	programs []program // the first one is the entrypoint
}

// program is a static program in the image's root.
type program struct {
	module, pkg, binary string
}

var recipes = []recipe{
	{"ops", []program{{".", "./cmd/hostops", "hostops"}, {"images/ops", "github.com/restic/restic/cmd/restic", "restic"}}},
	{"edge", []program{{"images/edge", ".", "caddy"}}},
}

func run(prefix string, out io.Writer) error {
	work, err := os.MkdirTemp("", "images-*")
	if err != nil {
		return fmt.Errorf("make a working directory: %w", err)
	}
	defer os.RemoveAll(work)
	refs := map[string]string{}
	for _, r := range recipes {
		img, err := build(r, work)
		if err != nil {
			return fmt.Errorf("build image %s: %w", r.name, err)
		}
		digest, err := img.Digest()
		if err != nil {
			return fmt.Errorf("build image %s: %w", r.name, err)
		}
		tag, err := name.NewTag(prefix + "/" + r.name + ":" + digest.Hex[:12])
		if err != nil {
			return fmt.Errorf("name image %s: %w", r.name, err)
		}
		if err := remote.Write(tag, img, remote.WithAuthFromKeychain(authn.DefaultKeychain)); err != nil {
			return fmt.Errorf("push image %s: %w", r.name, err)
		}
		refs[r.name] = prefix + "/" + r.name + "@" + digest.String()
	}
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	return enc.Encode(refs)
}

func build(r recipe, work string) (v1.Image, error) {
	img := empty.Image
	for _, p := range r.programs {
		binary := filepath.Join(work, p.binary)
		// No path, no version control stamp, no symbol table: the same sources give the same digest.
		//nolint:gosec // fixed list above
		cmd := exec.CommandContext(context.Background(), "go", "build", "-trimpath", "-buildvcs=false", "-ldflags",
			"-s -w -buildid=", "-o", binary, p.pkg)
		cmd.Dir = p.module
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
		var log bytes.Buffer
		cmd.Stderr = &log
		if err := cmd.Run(); err != nil {
			return nil, errors.Join(err, errors.New(log.String()))
		}
		layer, err := fileLayer(binary, p.binary)
		if err != nil {
			return nil, err
		}
		if img, err = mutate.AppendLayers(img, layer); err != nil {
			return nil, err
		}
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", "amd64"
	config.Config.Entrypoint = []string{"/" + r.programs[0].binary}
	config.Config.Env = []string{"PATH=/"}
	config.Config.Labels = map[string]string{"org.opencontainers.image.title": "momentstudio-" + r.name}
	return mutate.ConfigFile(img, config)
}

func fileLayer(path, as string) (v1.Layer, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	epoch := time.Unix(0, 0)
	for _, h := range []*tar.Header{
		{Typeflag: tar.TypeDir, Name: "tmp/", Mode: 0o1777, ModTime: epoch},
		{Typeflag: tar.TypeReg, Name: as, Mode: 0o755, Size: int64(len(content)), ModTime: epoch},
	} {
		if err := w.WriteHeader(h); err != nil {
			return nil, err
		}
	}
	if _, err := w.Write(content); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil })
}
