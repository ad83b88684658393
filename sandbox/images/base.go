package images

import (
	"bufio"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/prekzursil/momentstudio-infra/sandbox/filelock"
)

// epoch is the only time stamp in the images: 1 January 2026, UTC.
const epoch = 1767225600

const suite = "bookworm"

// basePackages is what the five images need together. They share one layer, so that a host
// pulls it once; each image hides what its original does not have.
var basePackages = []string{
	"alembic", "busybox", "nginx-light", "postgresql-15",
	"python3", "python3-asyncpg", "python3-cryptography", "python3-dotenv", "python3-fastapi",
	"python3-httptools", "python3-multipart", "python3-pil", "python3-pydantic", "python3-redis",
	"python3-sqlalchemy", "python3-uvicorn", "python3-uvloop",
	"redis-server", "tzdata",
}

// excludedPaths are never unpacked. PostgreSQL works without its JIT, whose LLVM alone would
// double the layer: it looks for the provider's file and goes on when there is none.
var excludedPaths = []string{
	"/usr/share/doc/*", "/usr/share/man/*", "/usr/share/info/*", "/usr/share/locale/*",
	"/usr/share/i18n/*", "/usr/share/lintian/*", "/usr/share/initramfs-tools/*", "/usr/share/bash-completion/*",
	"/usr/lib/postgresql/15/lib/bitcode/*", "/usr/lib/postgresql/15/lib/llvmjit*",
	"/usr/lib/*/libLLVM*", "/usr/lib/*/libz3.so*", "/usr/lib/llvm-*",
}

// essentialHook keeps Debian's package from creating a cluster that no image would use.
const essentialHook = `set -e
mkdir -p "$1/etc/postgresql-common"
echo "create_main_cluster = false" > "$1/etc/postgresql-common/createcluster.conf"`

// customizeHook gives users the ids of the official images, lets the server listen as the
// official image's does, and drops what only package installation needed.
const customizeHook = `set -e
chroot "$1" groupmod -g 999 postgres
chroot "$1" usermod -u 999 -g 999 postgres
chroot "$1" groupmod -g 1000 redis
chroot "$1" usermod -o -u 999 -g 1000 redis
rm -rf "$1/var/lib/redis" "$1/var/log/redis" "$1/var/log/postgresql" "$1/run/postgresql" "$1/run/redis"
mkdir -p "$1/var/lib/postgresql"
chown 999:999 "$1/var/lib/postgresql"
sed -i "s/^#listen_addresses = 'localhost'/listen_addresses = '*'/" "$1/usr/share/postgresql/15/postgresql.conf.sample"
grep -q "^listen_addresses = '\*'" "$1/usr/share/postgresql/15/postgresql.conf.sample"
for link in $(find "$1/usr/bin" -type l -lname '*postgresql-common*'); do rm "$link"; done
# Debian's redis-server is a link to one of the checkers, which no image needs under that name.
cp --remove-destination "$(realpath "$1/usr/bin/redis-server")" "$1/usr/bin/redis-server.real"
rm -f "$1"/usr/bin/pg_*cluster*
rm -f "$1"/usr/bin/redis-server "$1"/usr/bin/redis-benchmark "$1"/usr/bin/redis-check-* "$1"/usr/bin/redis-sentinel
mv "$1/usr/bin/redis-server.real" "$1/usr/bin/redis-server"
rm -rf "$1/usr/share/perl" "$1/usr/share/perl5" "$1"/usr/bin/perl* "$1/usr/lib/x86_64-linux-gnu/perl" \
  "$1"/usr/lib/*/libperl.so* "$1"/usr/lib/*/gconv "$1/usr/share/javascript"
rm -rf "$1/usr/share/nginx/html" "$1/etc/nginx/sites-enabled" "$1/etc/nginx/modules-enabled" "$1"/etc/nginx/conf.d/*
rm -rf "$1"/var/log/* "$1"/etc/apt/sources.list "$1"/etc/apt/sources.list.d/* \
  "$1"/var/lib/dpkg/info "$1"/var/cache/debconf/*
mkdir -p "$1/var/log/nginx"
: > "$1/etc/machine-id"
: > "$1/etc/resolv.conf"
echo localhost > "$1/etc/hostname"`

// baseHash names the recipe: a change of any part of it builds a new base.
func baseHash() string {
	sum := sha256.New()
	for _, part := range [][]string{basePackages, excludedPaths, {
		suite, essentialHook, customizeHook,
		fmt.Sprint(epoch),
	}} {
		fmt.Fprintf(sum, "%q\n", part)
	}
	return hex.EncodeToString(sum.Sum(nil))[:16]
}

// cachedLayer is a compressed layer on disk whose digests were computed when it was written.
type cachedLayer struct {
	path string
	meta layerMeta
}

type layerMeta struct {
	Digest v1.Hash `json:"digest"`
	DiffID v1.Hash `json:"diffID"`
	Size   int64   `json:"size"`
}

func (l cachedLayer) Digest() (v1.Hash, error)            { return l.meta.Digest, nil }
func (l cachedLayer) DiffID() (v1.Hash, error)            { return l.meta.DiffID, nil }
func (l cachedLayer) Size() (int64, error)                { return l.meta.Size, nil }
func (l cachedLayer) MediaType() (types.MediaType, error) { return types.DockerLayer, nil }
func (l cachedLayer) Compressed() (io.ReadCloser, error)  { return os.Open(l.path) }
func (l cachedLayer) Uncompressed() (_ io.ReadCloser, err error) {
	f, err := os.Open(l.path)
	if err != nil {
		return nil, err
	}
	zr, err := gzip.NewReader(f)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return struct {
		io.Reader
		io.Closer
	}{zr, f}, nil
}

// base returns the shared layer from the cache, building it first when the recipe is new.
func base(ctx context.Context, o Options) (v1.Layer, error) {
	if err := os.MkdirAll(o.CacheDir, 0o755); err != nil {
		return nil, fmt.Errorf("create image cache: %w", err)
	}
	unlock, err := filelock.Lock(ctx, filepath.Join(o.CacheDir, "lock"), o.Log)
	if err != nil {
		return nil, fmt.Errorf("lock image cache: %w", err)
	}
	defer unlock()

	stem := filepath.Join(o.CacheDir, "base-"+baseHash())
	layer := cachedLayer{path: stem + ".tar.gz"}
	if raw, err := os.ReadFile(stem + ".json"); err == nil {
		if err := json.Unmarshal(raw, &layer.meta); err != nil {
			return nil, fmt.Errorf("read %s.json: %w; fix: remove it", stem, err)
		}
		if info, err := os.Stat(layer.path); err == nil && info.Size() == layer.meta.Size {
			return layer, nil
		}
	}
	fmt.Fprintf(o.Log, "images: building the shared base (%d packages and what they need), about two minutes\n",
		len(basePackages))
	partial := layer.path + ".partial"
	if layer.meta, err = buildBase(ctx, o.Log, partial); err != nil {
		return nil, errors.Join(fmt.Errorf("build base image: %w", err), os.Remove(partial))
	}
	if err := os.Rename(partial, layer.path); err != nil {
		return nil, fmt.Errorf("keep base image: %w", err)
	}
	// Written last: its presence says that the layer beside it is whole.
	raw, err := json.Marshal(layer.meta)
	if err != nil {
		return nil, fmt.Errorf("describe base image: %w", err)
	}
	if err := os.WriteFile(stem+".json", raw, 0o644); err != nil {
		return nil, fmt.Errorf("keep base image: %w", err)
	}
	fmt.Fprintf(o.Log, "images: base ready, %d MB compressed\n", layer.meta.Size>>20)
	return layer, nil
}

func buildBase(ctx context.Context, log io.Writer, path string) (layerMeta, error) {
	if _, err := exec.LookPath("mmdebstrap"); err != nil {
		return layerMeta{}, fmt.Errorf("%w; fix: apt-get install mmdebstrap", err)
	}
	dir, err := os.MkdirTemp("", "images-apt-")
	if err != nil {
		return layerMeta{}, err
	}
	defer os.RemoveAll(dir)
	sources, err := aptSources("/etc/apt", dir)
	if err != nil {
		return layerMeta{}, err
	}
	args := []string{"--variant=minbase", "--format=tar", "--mode=root", "--include=" + strings.Join(basePackages, ",")}
	for _, path := range excludedPaths {
		args = append(args, "--dpkgopt=path-exclude="+path)
	}
	for _, option := range aptOptions(ctx) {
		args = append(args, "--aptopt="+option)
	}
	args = append(args, "--essential-hook="+essentialHook, "--customize-hook="+customizeHook, suite, "-")
	args = append(args, sources...)

	out, err := os.Create(path)
	if err != nil {
		return layerMeta{}, err
	}
	defer out.Close()
	diffID, digest := sha256.New(), sha256.New()
	var size counter
	zw, err := gzip.NewWriterLevel(io.MultiWriter(out, digest, &size), gzip.BestSpeed)
	if err != nil {
		return layerMeta{}, err
	}
	cmd := exec.CommandContext(ctx, "mmdebstrap", args...)
	cmd.Env = append(os.Environ(), fmt.Sprintf("SOURCE_DATE_EPOCH=%d", epoch))
	cmd.Stdout = io.MultiWriter(zw, diffID)
	tail := &tailLog{out: log}
	cmd.Stderr = tail
	if err := cmd.Run(); err != nil {
		return layerMeta{}, fmt.Errorf("mmdebstrap: %w; its last lines:\n%s", err, strings.Join(tail.lines, "\n"))
	}
	if err := errors.Join(zw.Close(), out.Close()); err != nil {
		return layerMeta{}, err
	}
	hash := func(sum []byte) v1.Hash { return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum)} }
	return layerMeta{Digest: hash(digest.Sum(nil)), DiffID: hash(diffID.Sum(nil)), Size: int64(size)}, nil
}

// aptSources copies those of the machine's own package sources that serve the suite into dir and
// returns the copies. Other suites are left out: their keys are not in the new root.
func aptSources(etc, dir string) ([]string, error) {
	paths, err := filepath.Glob(filepath.Join(etc, "sources.list.d", "*"))
	if err != nil {
		return nil, err
	}
	var copies []string
	for _, path := range append([]string{filepath.Join(etc, "sources.list")}, paths...) {
		var separator string
		switch filepath.Ext(path) {
		case ".list":
			separator = "\n"
		case ".sources":
			separator = "\n\n"
		default:
			continue
		}
		raw, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) {
			continue
		} else if err != nil {
			return nil, fmt.Errorf("read package sources: %w", err)
		}
		var kept []string
		for _, entry := range strings.Split(string(raw), separator) {
			if servesSuite(entry) {
				kept = append(kept, strings.TrimSpace(entry))
			}
		}
		if len(kept) == 0 {
			continue
		}
		copied := filepath.Join(dir, filepath.Base(path))
		if err := os.WriteFile(copied, []byte(strings.Join(kept, separator)+"\n"), 0o644); err != nil {
			return nil, err
		}
		copies = append(copies, copied)
	}
	if len(copies) == 0 {
		return nil, fmt.Errorf("%s names no package source of Debian %s", etc, suite)
	}
	return copies, nil
}

// servesSuite reports whether a one-line entry or a stanza is about binary packages of the suite.
func servesSuite(entry string) bool {
	for _, line := range strings.Split(entry, "\n") {
		fields := strings.Fields(line)
		if len(fields) < 2 || (fields[0] != "deb" && !strings.EqualFold(fields[0], "Suites:")) {
			continue
		}
		for _, field := range fields[1:] {
			if field == suite || strings.HasPrefix(field, suite+"-") {
				return true
			}
		}
	}
	return false
}

// aptOptions returns those of the machine's own options that decide whether its sources can be read.
func aptOptions(ctx context.Context) []string {
	raw, err := exec.CommandContext(ctx, "apt-config", "dump", "Acquire").Output()
	if err != nil {
		// Without apt-config there are no options to carry over; mmdebstrap has its own defaults.
		return nil
	}
	var options []string
	for _, line := range strings.Split(string(raw), "\n") {
		line = strings.TrimSuffix(strings.TrimSpace(line), ";")
		for _, wanted := range []string{
			"Acquire::Check-", "Acquire::http::Proxy", "Acquire::https::Proxy",
			"Acquire::Retries",
		} {
			if strings.HasPrefix(line, wanted) {
				options = append(options, line)
			}
		}
	}
	return options
}

// counter counts the bytes written to it.
type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

// tailLog passes the steps of mmdebstrap on and keeps its last lines for an error.
type tailLog struct {
	out   io.Writer
	lines []string
}

func (t *tailLog) Write(p []byte) (int, error) {
	scanner := bufio.NewScanner(strings.NewReader(strings.ReplaceAll(string(p), "\r", "\n")))
	scanner.Buffer(nil, len(p)+1)
	for scanner.Scan() {
		line := strings.TrimSpace(scanner.Text())
		if line == "" {
			continue
		}
		t.lines = append(t.lines, line)
		if len(t.lines) > 20 {
			t.lines = t.lines[1:]
		}
		if step, ok := strings.CutPrefix(line, "I: "); ok && !strings.Contains(step, "running --") {
			fmt.Fprintf(t.out, "images: base: %s\n", step)
		}
	}
	return len(p), nil
}
