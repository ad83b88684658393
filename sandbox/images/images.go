// Package images builds the sandbox's container images without a container engine: PostgreSQL,
// Redis and nginx are the real programs, the application is the stand-in of package standin.
// All images share one base layer made by mmdebstrap from the machine's own package sources.
// The package never talks to a registry or an engine except in Push.
package images

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"runtime"
	"slices"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/prekzursil/momentstudio-infra/sandbox/standin"
)

// Names of the images, as Build and Push return them.
const (
	Backend     = "backend"
	Frontend    = "frontend"
	FrontendSSR = "frontend-ssr"
	Postgres    = "postgres"
	Redis       = "redis"
)

// HeadRevision is the Alembic revision that the backend image migrates to, PreviousRevision the
// one of an image built with OmitHeadMigration.
const (
	HeadRevision     = "0159_add_theme_docs"
	PreviousRevision = "0158_add_client_reference"
)

// Options says what to build.
type Options struct {
	CacheDir          string    // keeps the base layer between builds, about 100 MB; required
	Release           string    // gives bundles and the three application images other digests; default "1"
	OmitHeadMigration bool      // leaves out the last migration, as an older backend image would
	Log               io.Writer // receives one line per step; default none
}

// Build returns the five images by name. Only the first call with a cache directory, or the
// first after a change of the base's recipe, takes long and needs root and the package sources.
func Build(ctx context.Context, o Options) (map[string]v1.Image, error) {
	if o.CacheDir == "" {
		return nil, errors.New("build images: CacheDir is empty, want a directory to keep the base layer in")
	}
	if o.Release == "" {
		o.Release = "1"
	}
	if o.Log == nil {
		o.Log = io.Discard
	}
	shared, err := base(ctx, o)
	if err != nil {
		return nil, err
	}
	built := map[string]v1.Image{}
	for _, d := range definitions(o) {
		image, err := d.assemble(shared)
		if err != nil {
			return nil, fmt.Errorf("build image %q: %w", d.name, err)
		}
		built[d.name] = image
	}
	return built, nil
}

// Push writes images to a registry and returns references by digest, host/name@sha256:….
// Layers that the registry has are not sent again.
func Push(ctx context.Context, built map[string]v1.Image, registryHost string,
	opts ...remote.Option,
) (map[string]string, error) {
	refs := map[string]string{}
	for _, image := range slices.Sorted(maps.Keys(built)) {
		digest, err := built[image].Digest()
		if err != nil {
			return nil, fmt.Errorf("digest of image %q: %w", image, err)
		}
		ref, err := name.NewDigest(registryHost + "/" + image + "@" + digest.String())
		if err != nil {
			return nil, fmt.Errorf("reference of image %q: %w", image, err)
		}
		if err := remote.Write(ref, built[image], append(slices.Clone(opts), remote.WithContext(ctx))...); err != nil {
			return nil, fmt.Errorf("push image %q: %w", image, err)
		}
		refs[image] = ref.Name()
	}
	return refs, nil
}

// definition is one image: its own files over the base, and its configuration.
type definition struct {
	name   string
	config v1.Config
	files  func() ([]file, error)
}

func (d definition) assemble(shared v1.Layer) (v1.Image, error) {
	files, err := d.files()
	if err != nil {
		return nil, err
	}
	own, err := overlay(files)
	if err != nil {
		return nil, err
	}
	created := v1.Time{Time: time.Unix(epoch, 0).UTC()}
	image, err := mutate.Append(empty.Image,
		mutate.Addendum{Layer: shared, History: v1.History{Created: created, CreatedBy: "shared base " + baseHash()}},
		mutate.Addendum{Layer: own, History: v1.History{Created: created, CreatedBy: "stand-in " + d.name}},
	)
	if err != nil {
		return nil, err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.Created, config.OS, config.Architecture, config.Config = created, "linux", runtime.GOARCH, d.config
	return mutate.ConfigFile(image, config)
}

// What an original does not have is hidden, so that nothing comes to rely on it.
var (
	python  = []string{"/usr/bin/python3", "/usr/bin/python3.11", "/usr/bin/alembic", "/usr/lib/python3"}
	servers = map[string][]string{
		Postgres: {"/usr/lib/postgresql"},
		Redis:    {"/usr/bin/redis-server", "/usr/bin/redis-cli"},
		Frontend: {"/usr/sbin/nginx"},
	}
	busybox = []string{"/usr/bin/busybox"}
)

func hideAll(groups ...[]string) []file {
	var files []file
	for _, group := range groups {
		for _, path := range group {
			files = append(files, hide(path))
		}
	}
	return files
}

// wget is the only applet that health commands of the originals use.
var wget = file{path: "/usr/bin/wget", mode: 0o777, link: "busybox"}

const (
	systemPath  = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	runtimeFile = "/docker-entrypoint.d/99-runtime-config.sh"
)

func definitions(o Options) []definition {
	return []definition{postgresImage(), redisImage(), backendImage(o), frontendImage(o), ssrImage(o)}
}

func postgresImage() definition {
	return definition{
		name: Postgres,
		config: v1.Config{
			Env: []string{
				"PATH=/usr/lib/postgresql/15/bin:" + systemPath, "LANG=C.UTF-8", "PG_MAJOR=15",
				"PGDATA=/var/lib/postgresql/data",
			},
			Entrypoint: []string{"docker-entrypoint.sh"}, Cmd: []string{"postgres"},
			ExposedPorts: map[string]struct{}{"5432/tcp": {}},
			Volumes:      map[string]struct{}{"/var/lib/postgresql/data": {}},
			StopSignal:   "SIGINT",
		},
		files: func() ([]file, error) {
			files, err := tree(standin.Files, "postgres/rootfs")
			return slices.Concat(files, hideAll(python, servers[Redis], servers[Frontend], busybox), []file{
				dir("/docker-entrypoint-initdb.d", 0o755, 0, 0),
				dir("/var/lib/postgresql", 0o755, 999, 999),
				dir("/var/lib/postgresql/data", 0o777, 999, 999),
			}), err
		},
	}
}

func redisImage() definition {
	return definition{
		name: Redis,
		config: v1.Config{
			Env:        []string{"PATH=" + systemPath},
			Entrypoint: []string{"docker-entrypoint.sh"}, Cmd: []string{"redis-server"}, WorkingDir: "/data",
			ExposedPorts: map[string]struct{}{"6379/tcp": {}},
			Volumes:      map[string]struct{}{"/data": {}},
		},
		files: func() ([]file, error) {
			files, err := tree(standin.Files, "redis/rootfs")
			return slices.Concat(files, hideAll(python, servers[Postgres], servers[Frontend], busybox),
				[]file{
					dir("/data", 0o755, 999, 1000),
					// One program under several names, as in the official image.
					{path: "/usr/bin/redis-check-aof", link: "redis-server", mode: 0o777},
				}), err
		},
	}
}

func backendImage(o Options) definition {
	return definition{
		name: Backend,
		config: v1.Config{
			Env:        []string{"PATH=" + systemPath, "LANG=C.UTF-8"},
			Entrypoint: []string{"/docker-entrypoint.sh"},
			Cmd:        []string{"uvicorn", "app.main:app", "--host", "0.0.0.0", "--port", "8000"},
			WorkingDir: "/app",
		},
		files: func() ([]file, error) {
			files, err := tree(standin.Files, "backend/rootfs")
			if o.OmitHeadMigration {
				files = slices.DeleteFunc(files, func(f file) bool {
					return f.path == "/app/alembic/versions/"+HeadRevision+".py"
				})
			}
			return slices.Concat(files, hideAll(servers[Postgres], servers[Redis], servers[Frontend], busybox), []file{
				releaseFile(o),
				{path: "/usr/local/bin/python", mode: 0o777, link: "/usr/bin/python3"},
			}), err
		},
	}
}

func frontendImage(o Options) definition {
	return definition{
		name: Frontend,
		config: v1.Config{
			Env:        []string{"PATH=" + systemPath},
			Entrypoint: []string{"/docker-entrypoint.sh"}, Cmd: []string{"nginx", "-g", "daemon off;"},
			ExposedPorts: map[string]struct{}{"80/tcp": {}},
			StopSignal:   "SIGQUIT",
		},
		files: func() ([]file, error) {
			files, err := tree(standin.Files, "frontend/rootfs")
			web, _, webErr := webFiles(standin.Files, "/usr/share/nginx/html", o.Release)
			return slices.Concat(files, web, hideAll(python, servers[Postgres], servers[Redis]),
				[]file{releaseFile(o), wget}), errors.Join(err, webErr)
		},
	}
}

func ssrImage(o Options) definition {
	return definition{
		name: FrontendSSR,
		config: v1.Config{
			Env: []string{
				"PATH=" + systemPath, "NODE_ENV=production", "PORT=4000", "SSR_AUTOSTART=1",
				"SSR_API_BASE_URL=http://backend:8000/api/v1",
			},
			Cmd: []string{"/bin/sh", "/docker-cmd.sh"}, WorkingDir: "/app",
			ExposedPorts: map[string]struct{}{"4000/tcp": {}},
		},
		files: func() ([]file, error) {
			files, err := tree(standin.Files, "ssr/rootfs")
			web, template, webErr := webFiles(standin.Files, "/app/dist/app/browser", o.Release)
			script, scriptErr := fs.ReadFile(standin.Files, "frontend/rootfs"+runtimeFile)
			return slices.Concat(files, web, hideAll(servers[Postgres], servers[Redis], servers[Frontend]), []file{
				releaseFile(o), wget,
				{path: runtimeFile, mode: 0o755, data: script},
				{path: "/app/dist/app/server/template.html", mode: 0o644, data: template},
			}), errors.Join(err, webErr, scriptErr)
		},
	}
}

// releaseFile gives the three application images another digest for each release.
func releaseFile(o Options) file {
	return file{path: "/etc/standin-release", mode: 0o644, data: []byte(o.Release + "\n")}
}
