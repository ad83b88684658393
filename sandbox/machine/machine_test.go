package machine_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hetznercloud/hcloud-go/v2/hcloud"

	"github.com/prekzursil/momentstudio-infra/sandbox/hetzner"
	"github.com/prekzursil/momentstudio-infra/sandbox/hostimage"
	"github.com/prekzursil/momentstudio-infra/sandbox/machine"
)

// cloud is an emulated project with real machines behind it.
type cloud struct {
	t        *testing.T
	ctx      context.Context
	client   *hcloud.Client
	machines *machine.Docker
	config   machine.Config
	private  netip.Prefix
	dir      string
}

func newCloud(t *testing.T) *cloud {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Minute)
	t.Cleanup(cancel)
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	image, err := hostimage.Ensure(ctx, hostimage.Options{
		CacheDir: filepath.Join(cache, "momentstudio-sandbox"),
		Log:      testLog{t},
	})
	if err != nil {
		t.Fatal(err)
	}
	// Runs beside one another on this machine must not share a range; those in
	// 172.16.0.0/12 are the ones that Docker engines hand out by themselves.
	slot := os.Getpid() % 4096
	c := &cloud{t: t, ctx: ctx, dir: t.TempDir()}
	c.private = netip.MustParsePrefix(fmt.Sprintf("10.%d.%d.0/24", 128+slot/256, slot%256))
	c.config = machine.Config{
		Prefix: fmt.Sprintf("mt-%d", os.Getpid()), Subnet: netip.MustParsePrefix(fmt.Sprintf("10.%d.%d.0/24", 64+slot/256,
			slot%256)),
		StateDir: t.TempDir(), Image: image, Certificates: [][]byte{authority(t)},
		Hosts: map[string]netip.Addr{"registry.sandbox.test": netip.MustParseAddr("192.0.2.7")},
	}
	if c.machines, err = machine.New(c.config); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.leavesNothing)
	api, err := hetzner.New(hetzner.Config{
		StateFile: filepath.Join(c.dir, "state.json"), Pool: c.config.Subnet, Machines: c.machines, Logf: t.Logf,
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(api.Handler())
	t.Cleanup(func() {
		server.Close()
		api.Close()
		for _, r := range api.Unexpected() {
			t.Errorf("unexpected request %s %s", r.Method, r.Path)
		}
	})
	c.client = hcloud.NewClient(hcloud.WithEndpoint(server.URL+"/v1"), hcloud.WithToken(strings.Repeat("t", 64)),
		hcloud.WithPollOpts(hcloud.PollOpts{BackoffFunc: hcloud.ConstantBackoff(50 * time.Millisecond)}))
	return c
}

// leavesNothing is the last thing that a run does.
func (c *cloud) leavesNothing() {
	ctx := context.Background()
	if err := c.machines.Cleanup(ctx); err != nil {
		c.t.Errorf("clean up: %v", err)
	}
	if err := machine.Cleanup(ctx, c.config.Prefix, c.config.StateDir); err != nil {
		c.t.Errorf("clean up again: %v", err)
	}
	for _, command := range [][]string{
		{"docker", "ps", "--all", "--format", "{{.Names}}"},
		{"docker", "volume", "ls", "--format", "{{.Name}}"},
		{"docker", "network", "ls", "--format", "{{.Name}}"},
	} {
		out, err := exec.Command(command[0], command[1:]...).CombinedOutput()
		if err != nil || strings.Contains(string(out), c.config.Prefix) {
			c.t.Errorf("%v after clean up: %s%v", command, out, err)
		}
	}
	loops, err := exec.Command("losetup", "--list", "--noheadings", "--output", "BACK-FILE").CombinedOutput()
	if err != nil || strings.Contains(string(loops), c.config.StateDir) {
		c.t.Errorf("loop devices after clean up: %s%v", loops, err)
	}
	if files, err := os.ReadDir(c.config.StateDir); err != nil || len(files) > 0 {
		c.t.Errorf("files after clean up: %v %v", files, err)
	}
}

func (c *cloud) wait(actions ...*hcloud.Action) {
	c.t.Helper()
	if err := c.client.Action.WaitFor(c.ctx, actions...); err != nil {
		c.t.Fatal(err)
	}
}

func ok[T any](t *testing.T) func(result T, _ *hcloud.Response, err error) T {
	t.Helper()
	return func(result T, _ *hcloud.Response, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return result
	}
}

// keyPair makes an SSH key with the tool that users have.
func (c *cloud) keyPair(name string) (private, public string) {
	c.t.Helper()
	path := filepath.Join(c.dir, name)
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f",
		path).CombinedOutput(); err != nil {
		c.t.Fatalf("ssh-keygen: %v: %s", err, out)
	}
	body, err := os.ReadFile(path)
	if err != nil {
		c.t.Fatal(err)
	}
	line, err := os.ReadFile(path + ".pub")
	if err != nil {
		c.t.Fatal(err)
	}
	return string(body), strings.TrimSpace(string(line))
}

// ssh runs a command on a host whose key is pinned.
func (c *cloud) ssh(ip, command string) (string, error) {
	ctx, cancel := context.WithTimeout(c.ctx, 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "ssh", "-F", "none", "-i", filepath.Join(c.dir, "user"),
		"-o", "UserKnownHostsFile="+filepath.Join(c.dir, "known_hosts"), "-o", "StrictHostKeyChecking=yes",
		"-o", "BatchMode=yes", "-o", "ConnectTimeout=3", "root@"+ip, command)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return strings.TrimSpace(stdout.String()), fmt.Errorf("%w: %s", err, stderr.String())
	}
	return strings.TrimSpace(stdout.String()), nil
}

// must runs a command on a host that has to succeed.
func (c *cloud) must(ip, command string) string {
	c.t.Helper()
	out, err := c.ssh(ip, command)
	if err != nil {
		c.t.Fatalf("%s: %v\n%s", command, err, out)
	}
	return out
}

// up waits until cloud-init has finished and returns how long that took.
func (c *cloud) up(ip string) time.Duration {
	c.t.Helper()
	begun := time.Now()
	var err error
	for time.Since(begun) < 2*time.Minute {
		if _, err = c.ssh(ip, "true"); err == nil {
			break
		}
		time.Sleep(200 * time.Millisecond)
	}
	if err != nil {
		c.t.Fatalf("no SSH: %v", err)
	}
	if out, err := c.ssh(ip, "cloud-init status --wait --long"); err != nil || !strings.Contains(out, "status: done") {
		log, _ := c.ssh(ip, "tail -50 /var/log/cloud-init-output.log")
		c.t.Fatalf("cloud-init: %v\n%s\n%s", err, out, log)
	}
	return time.Since(begun)
}

func canReach(address string) bool {
	conn, err := net.DialTimeout("tcp", address, 2*time.Second)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

type testLog struct{ t *testing.T }

func (l testLog) Write(p []byte) (int, error) {
	l.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

func authority(t *testing.T) []byte {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "sandbox test authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func userData(hostPrivate, hostPublic string) string {
	return `#cloud-config
ssh_deletekeys: true
ssh_keys:
  ed25519_private: |
    ` + strings.ReplaceAll(strings.TrimSpace(hostPrivate), "\n", "\n    ") + `
  ed25519_public: ` + strconv.Quote(hostPublic) + `
write_files:
  - path: /etc/written-by-user-data
    content: "written"
runcmd:
  - [systemctl, enable, --now, docker]
  - [sh, -c, "docker swarm init --advertise-addr $(ip -o -4 route get 1.1.1.1 | sed 's/.*src //;s/ .*//')"]
`
}
