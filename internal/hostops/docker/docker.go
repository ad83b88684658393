// Package docker pulls images and runs one-off containers on the host's own engine.
package docker

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"

	"github.com/prekzursil/momentstudio-infra/internal/hostops/fsutil"
	"github.com/prekzursil/momentstudio-infra/internal/hostops/lines"
	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
)

// Connect reaches the host's own engine. The first call agrees on an API version that the engine speaks.
func Connect() (*client.Client, error) {
	docker, err := client.New(client.FromEnv)
	if err != nil {
		return nil, fmt.Errorf("reach Docker: %w", err)
	}
	return docker, nil
}

// ServiceLabel is on the container of every task of a service, and has the service's name.
const ServiceLabel = "com.docker.swarm.service.name"

// TasksOf lists the running tasks of a service.
func TasksOf(service string) client.ContainerListOptions {
	return client.ContainerListOptions{Filters: make(client.Filters).Add("label", ServiceLabel+"="+service)}
}

// authFor returns the header by which a private image is pulled, from a file that may be missing;
// empty for an image of another registry.
func authFor(image, file string) (string, error) {
	var auth hostspec.RegistryAuth
	err := fsutil.ReadJSON(file, &auth)
	if errors.Is(err, fs.ErrNotExist) || file == "" {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read the registry's credentials: %w", err)
	}
	named, err := reference.ParseNormalizedNamed(image)
	if err != nil || reference.Domain(named) != auth.ServerAddress {
		return "", nil //nolint:nilerr // the pull itself tells what is wrong with the reference
	}
	text, err := json.Marshal(auth) //nolint:gosec // it goes to the host's own engine
	return base64.URLEncoding.EncodeToString(text), err
}

// Pull makes an image of the host's own platform present. It returns at once when it is there.
func Pull(ctx context.Context, docker *client.Client, image, authFile string) error {
	if _, err := docker.ImageInspect(ctx, image); err != nil {
		auth, err := authFor(image, authFile)
		if err != nil {
			return err
		}
		if err := download(ctx, docker, image, auth); err != nil {
			return fmt.Errorf("pull %s: %w%s", image, err, pullFix(err))
		}
	}
	have, err := docker.ImageInspect(ctx, image)
	if err != nil {
		return fmt.Errorf("pull %s: it is not there after the pull: %w", image, err)
	}
	host, err := docker.ServerVersion(ctx, client.ServerVersionOptions{})
	if err != nil {
		return fmt.Errorf("ask Docker for its platform: %w", err)
	}
	if have.Os != host.Os || have.Architecture != host.Arch {
		return fmt.Errorf("image %s is for %s/%s, and the host is %s/%s: use the digest of the image for the host's "+
			"platform, or of the index over all of them",
			image, have.Os, have.Architecture, host.Os, host.Arch)
	}
	return nil
}

// pullFix says what to do about a registry's refusal. The engine passes the registry's error on as text only, which
// begins with its code (OCI distribution specification, error codes), in lower case.
func pullFix(err error) string {
	switch text := strings.ToLower(err.Error()); {
	case strings.Contains(text, "toomanyrequests"):
		return ". Fix: the registry limits how often this host may pull; wait for some hours, or give it a login with " +
			"registry.address, registry.username and registryPassword"
	case strings.Contains(text, "unauthorized:"), strings.Contains(text, "denied:"):
		return ". Fix: the registry refuses the login, which is missing or expired. Set a new password with " +
			"`pulumi config set --secret momentstudio:registryPassword`, then run `studio up`"
	}
	return ""
}

// download pulls an image; an error may also be the last line of the progress.
func download(ctx context.Context, docker *client.Client, ref, auth string) error {
	progress, err := docker.ImagePull(ctx, ref, client.ImagePullOptions{RegistryAuth: auth})
	if err != nil {
		return err
	}
	defer progress.Close()
	for dec := json.NewDecoder(progress); ; {
		var line struct {
			Error string `json:"error"`
		}
		if err := dec.Decode(&line); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if line.Error != "" {
			return errors.New(line.Error)
		}
	}
}

// Task is a container that runs to its end.
type Task struct {
	Name    string // fixed, so that a killed run's container is found and not doubled
	Image   string
	Config  container.Config // its Image is set by run
	Host    container.HostConfig
	Network string // network; empty: none
	// killable: it is killed when this process is told to end.
	Killable bool
	Files    map[string]string // put into the container before it starts, owned by root with mode 0400
}

// Run runs a task and returns its exit code. Its log goes to out line by line; the container is
// removed at the end.
func Run(ctx context.Context, docker *client.Client, t Task, out io.Writer) (int64, error) {
	id, err := Create(ctx, docker, t)
	if err != nil {
		return 0, err
	}
	defer func() {
		// What may not be killed goes on, and the next run waits for it.
		kill := client.ContainerRemoveOptions{Force: t.Killable && ctx.Err() != nil}
		_, _ = docker.ContainerRemove(context.WithoutCancel(ctx), id, kill)
	}()
	if _, err := docker.ContainerStart(ctx, id, client.ContainerStartOptions{}); err != nil {
		return 0, fmt.Errorf("start container %s: %w", t.Name, err)
	}
	all := client.ContainerLogsOptions{ShowStdout: true, ShowStderr: true, Follow: true}
	logs, err := docker.ContainerLogs(ctx, id, all)
	if err != nil {
		return 0, fmt.Errorf("read the log of container %s: %w", t.Name, err)
	}
	printed := &lines.Writer{Out: out}
	_, _ = stdcopy.StdCopy(printed, printed, logs)
	printed.Flush()
	logs.Close()
	return waitFor(ctx, docker, id)
}

// Settle waits for the end of a container that a killed run left, and removes it. It is never killed in the
// middle of its work.
func Settle(ctx context.Context, docker *client.Client, name string) error {
	found, err := docker.ContainerInspect(ctx, name, client.ContainerInspectOptions{})
	if errdefs.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look for container %s of an earlier run: %w", name, err)
	}
	old := found.Container
	if old.State.Running {
		if _, err := waitFor(ctx, docker, old.ID); err != nil {
			return err
		}
	}
	_, err = docker.ContainerRemove(ctx, old.ID, client.ContainerRemoveOptions{})
	if err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("remove container %s of an earlier run: %w", name, err)
	}
	return nil
}

// Create makes a task's container.
func Create(ctx context.Context, docker *client.Client, t Task) (id string, err error) {
	if err := Settle(ctx, docker, t.Name); err != nil {
		return "", err
	}
	t.Config.Image, t.Host.CapDrop = t.Image, []string{"ALL"}
	var networks *network.NetworkingConfig
	if t.Network == "" {
		t.Host.NetworkMode = "none"
	} else {
		networks = &network.NetworkingConfig{EndpointsConfig: map[string]*network.EndpointSettings{t.Network: {}}}
		on, err := docker.NetworkInspect(ctx, t.Network, client.NetworkInspectOptions{})
		if err != nil {
			return "", fmt.Errorf("look at network %s: %w", t.Network, err)
		}
		if on.Network.Internal { // Docker would still ask for names outside
			t.Host.DNS = []netip.Addr{netip.MustParseAddr(hostspec.NoResolver)}
		}
	}
	made, err := docker.ContainerCreate(ctx, client.ContainerCreateOptions{
		Name: t.Name, Config: &t.Config, HostConfig: &t.Host, NetworkingConfig: networks,
	})
	if err != nil {
		return "", fmt.Errorf("create container %s: %w", t.Name, err)
	}
	if len(t.Files) > 0 {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for path, content := range t.Files {
			head := &tar.Header{
				Typeflag: tar.TypeReg, Name: strings.TrimPrefix(path, "/"), Mode: 0o400,
				Size: int64(len(content)),
			}
			if err := errors.Join(w.WriteHeader(head), fsutil.WriteAll(w, content)); err != nil {
				return "", fmt.Errorf("pack files for container %s: %w", t.Name, err)
			}
		}
		if err := w.Close(); err != nil {
			return "", fmt.Errorf("pack files for container %s: %w", t.Name, err)
		}
		options := client.CopyToContainerOptions{DestinationPath: "/", Content: &b}
		if _, err := docker.CopyToContainer(ctx, made.ID, options); err != nil {
			return "", fmt.Errorf("put files into container %s: %w", t.Name, err)
		}
	}
	return made.ID, nil
}

func waitFor(ctx context.Context, docker *client.Client, id string) (int64, error) {
	wait := docker.ContainerWait(ctx, id, client.ContainerWaitOptions{Condition: container.WaitConditionNotRunning})
	select {
	case r := <-wait.Result:
		return r.StatusCode, nil
	case err := <-wait.Error:
		return 0, fmt.Errorf("wait for a container: %w", err)
	}
}
