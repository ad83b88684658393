// Package machine boots the servers of the emulated cloud as containers of the
// local Docker engine, with systemd, cloud-init and a Docker engine of their
// own. Volumes are loop devices, private networks are internal Docker networks,
// and the public network is a bridge with this machine as its gateway.
//
// Everything it makes carries the prefix of its sandbox in its name or label;
// it never touches what does not.
package machine

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"

	"github.com/prekzursil/momentstudio-infra/sandbox/hetzner"
)

// Label marks everything in the engine that belongs to a sandbox; its value is
// the prefix.
const Label = "momentstudio-sandbox"

// Config describes one sandbox.
type Config struct {
	// Prefix is in the name of everything that is made. Required, unique on
	// this machine: lower-case letters, digits and hyphens.
	Prefix string
	// Subnet is the public network. Its first address is this machine, where
	// registries and the like listen. Required.
	Subnet netip.Prefix
	// StateDir holds disks and seeds. Required; Cleanup empties it.
	StateDir string
	// Image is the host image, from hostimage.Ensure. Required.
	Image string
	// Certificates are PEM certificates of authorities that hosts trust from
	// their first boot.
	Certificates [][]byte
	// Hosts are names that hosts resolve by their /etc/hosts.
	Hosts map[string]netip.Addr
	// DNS are the resolvers of hosts. Default: those of the engine.
	DNS []string
	// LimitMemory gives hosts the memory of their server type and no more.
	LimitMemory bool
}

// Docker implements hetzner.Machines with the local engine.
type Docker struct {
	config Config
	caps   []string
	cgroup string // version

	mu    sync.Mutex
	locks map[string]*sync.Mutex
}

var _ hetzner.Machines = (*Docker)(nil)

var prefixFormat = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,30}$`)

// New checks the configuration and the engine, and makes the public network.
func New(config Config) (*Docker, error) {
	var problems []string
	if !prefixFormat.MatchString(config.Prefix) {
		problems = append(problems, fmt.Sprintf("Prefix: got %q, want up to 31 lower-case letters, digits and hyphens",
			config.Prefix))
	}
	if !config.Subnet.IsValid() || !config.Subnet.Addr().Is4() || config.Subnet.Masked() != config.Subnet {
		problems = append(problems, fmt.Sprintf("Subnet: got %s, want an IPv4 network such as 10.201.64.0/24", config.Subnet))
	}
	if config.StateDir == "" || !filepath.IsAbs(config.StateDir) {
		problems = append(problems, fmt.Sprintf("StateDir: got %q, want an absolute path", config.StateDir))
	}
	if config.Image == "" {
		problems = append(problems, "Image: got nothing, want the reference that hostimage.Ensure returned")
	}
	if len(problems) > 0 {
		return nil, fmt.Errorf("machines are not configured:\n  - %s", strings.Join(problems, "\n  - "))
	}
	d := &Docker{config: config, locks: map[string]*sync.Mutex{}}
	ctx := context.Background()
	var err error
	if d.cgroup, err = docker(ctx, "info", "--format", "{{.CgroupVersion}}"); err != nil {
		return nil, fmt.Errorf("ask the Docker engine: %w", err)
	}
	if d.caps, err = capabilities("/proc/self/status"); err != nil {
		return nil, err
	}
	for _, dir := range []string{"servers", "volumes"} {
		if err := os.MkdirAll(filepath.Join(config.StateDir, dir), 0o700); err != nil {
			return nil, fmt.Errorf("machines: %w", err)
		}
	}
	return d, d.ensureNetwork(ctx, d.publicNetwork(), config.Subnet, false)
}

// Gateway is the address of this machine as hosts see it.
func (d *Docker) Gateway() netip.Addr { return d.config.Subnet.Addr().Next() }

// Container is the name of the container of a server.
func (d *Docker) Container(id int64) string { return fmt.Sprintf("%s-server-%d", d.config.Prefix, id) }

func (d *Docker) publicNetwork() string { return d.config.Prefix + "-public" }

func (d *Docker) privateNetwork(id int64) string {
	return fmt.Sprintf("%s-network-%d", d.config.Prefix, id)
}

func (d *Docker) label() string { return Label + "=" + d.config.Prefix }

// lock makes operations on one thing wait for one another.
func (d *Docker) lock(name string) func() {
	d.mu.Lock()
	l := d.locks[name]
	if l == nil {
		l = &sync.Mutex{}
		d.locks[name] = l
	}
	d.mu.Unlock()
	l.Lock()
	return l.Unlock
}

// docker runs one command of the engine's client.
func docker(ctx context.Context, args ...string) (string, error) {
	return run(ctx, "docker", args...)
}

func run(ctx context.Context, program string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		// The arguments stay out: they may hold user data.
		return "", fmt.Errorf("%s %s: %w: %s", program, args[0], err, strings.TrimSpace(stderr.String()+stdout.String()))
	}
	return strings.TrimSpace(stdout.String()), nil
}

// absent says whether the engine answered that something does not exist.
func absent(err error) bool {
	return err != nil && regexp.MustCompile(`(?i)no such|not found|is not connected`).MatchString(err.Error())
}
