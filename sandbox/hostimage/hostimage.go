// Package hostimage builds the root file system of the sandbox's hosts: Debian
// with systemd, sshd, cloud-init and Docker, as an image of the local engine.
//
// Packages come from the sources that this machine's own apt is configured
// with; the package never names a mirror. Nothing of a host's identity (SSH
// host keys, machine id) is in the image.
package hostimage

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/prekzursil/momentstudio-infra/sandbox/filelock"
)

// Suite is the Debian release of the hosts, the one that production runs.
const Suite = "bookworm"

// Repository is the name of the image; its tag is the hash of the recipe.
const Repository = "momentstudio-sandbox-host"

var packages = []string{
	"systemd", "systemd-sysv", "udev", "dbus", "openssh-server", "cloud-init", "python3",
	// cloud-init reports an error for its locale step without it.
	"locales",
	"docker.io", "iptables", "ca-certificates", "curl", "e2fsprogs", "iproute2", "iputils-ping",
	"kmod", "netcat-openbsd", "procps", "unattended-upgrades",
}

//go:embed all:rootfs
var rootfs embed.FS

// Options say where an image is kept between runs.
type Options struct {
	// CacheDir holds the tarball. Required; created when missing. Several
	// processes may share it.
	CacheDir string
	// Log receives the progress of a build, which takes minutes. Optional.
	Log io.Writer
}

// Ensure returns the reference of the host image in the local engine. It
// imports the cached tarball when the engine has not got it, and builds the
// tarball when there is none for this recipe.
func Ensure(ctx context.Context, o Options) (string, error) {
	if o.CacheDir == "" {
		return "", fmt.Errorf("host image: CacheDir is empty, want a directory for the tarball")
	}
	if o.Log == nil {
		o.Log = io.Discard
	}
	hash, err := recipe()
	if err != nil {
		return "", err
	}
	tag := Repository + ":" + hash
	if err := os.MkdirAll(o.CacheDir, 0o755); err != nil {
		return "", fmt.Errorf("host image: %w", err)
	}
	unlock, err := filelock.Lock(ctx, filepath.Join(o.CacheDir, "host.lock"), o.Log)
	if err != nil {
		return "", err
	}
	defer unlock()

	if exec.CommandContext(ctx, "docker", "image", "inspect", tag).Run() == nil {
		return tag, nil
	}
	tarball := filepath.Join(o.CacheDir, "host-"+hash+".tar")
	if _, err := os.Stat(tarball); err != nil {
		if err := build(ctx, tarball, o.Log); err != nil {
			return "", fmt.Errorf("build host image: %w", err)
		}
	}
	fmt.Fprintf(o.Log, "importing %s\n", tag)
	out, err := exec.CommandContext(ctx, "docker", "import",
		"--change", `CMD ["/usr/lib/sandbox/init"]`, tarball, tag).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("import host image: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return tag, nil
}

func build(ctx context.Context, tarball string, log io.Writer) error {
	if _, err := exec.LookPath("mmdebstrap"); err != nil {
		return fmt.Errorf("mmdebstrap is not installed; install Debian's package mmdebstrap: %w", err)
	}
	work, err := os.MkdirTemp("", "momentstudio-host-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	overlay := filepath.Join(work, "overlay")
	if err := extract(overlay); err != nil {
		return err
	}
	sources, err := aptSources("/etc/apt", Suite)
	if err != nil {
		return err
	}

	// Written beside its final place and renamed: a killed build leaves nothing
	// that looks finished.
	unfinished := tarball + ".unfinished"
	defer os.Remove(unfinished)
	args := []string{
		"--variant=minbase", "--format=tar",
		"--include=" + strings.Join(packages, ","),
		"--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-exclude=/usr/share/man/*",
		"--dpkgopt=path-exclude=/usr/share/locale/*", "--dpkgopt=path-include=/usr/share/locale/locale.alias",
		"--customize-hook=sync-in " + overlay + " /",
		"--customize-hook=chroot \"$1\" /usr/lib/sandbox/setup",
	}
	for _, option := range aptProxies(ctx) {
		args = append(args, "--aptopt="+option)
	}
	args = append(args, Suite, unfinished)
	cmd := exec.CommandContext(ctx, "mmdebstrap", args...)
	if sources != "" {
		cmd.Args = append(cmd.Args, "-")
		cmd.Stdin = strings.NewReader(sources)
	}
	fmt.Fprintf(log, "building the host image (Debian %s), this takes a few minutes\n", Suite)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("mmdebstrap: %w", err)
	}
	return os.Rename(unfinished, tarball)
}

// extract writes the embedded files. Embedding drops the execute bit; what lies
// in usr/lib/sandbox are programs.
func extract(dir string) error {
	return fs.WalkDir(rootfs, "rootfs", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		target := filepath.Join(dir, strings.TrimPrefix(path, "rootfs"))
		if entry.IsDir() {
			return os.MkdirAll(target, 0o755)
		}
		body, err := rootfs.ReadFile(path)
		if err != nil {
			return err
		}
		mode := fs.FileMode(0o644)
		if strings.Contains(path, "/usr/lib/sandbox/") {
			mode = 0o755
		}
		return os.WriteFile(target, body, mode)
	})
}

// recipe is a hash of everything in this package that decides what is in the
// image.
func recipe() (string, error) {
	h := sha256.New()
	fmt.Fprintln(h, Suite, packages)
	err := fs.WalkDir(rootfs, "rootfs", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		body, err := rootfs.ReadFile(path)
		fmt.Fprintf(h, "%s %d\n%s", path, len(body), body)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("host image: read recipe: %w", err)
	}
	return hex.EncodeToString(h.Sum(nil))[:12], nil
}
