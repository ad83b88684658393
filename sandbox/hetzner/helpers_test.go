package hetzner_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hetznercloud/hcloud-go/v2/hcloud"

	"github.com/prekzursil/momentstudio-infra/sandbox/hetzner"
)

var token = strings.Repeat("t", 64)

// project is an emulated project with a client of the real library.
type project struct {
	api    *hetzner.API
	url    string
	client *hcloud.Client
	ctx    context.Context
}

func newProject(t *testing.T, config hetzner.Config) *project {
	t.Helper()
	if config.ActionDelay == 0 {
		config.ActionDelay = 2 * time.Millisecond
	}
	api, err := hetzner.New(config)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(api.Handler())
	t.Cleanup(func() { server.Close(); api.Close() })
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return &project{api, server.URL, newClient(server.URL, token), ctx}
}

func newClient(url, token string) *hcloud.Client {
	return hcloud.NewClient(
		hcloud.WithEndpoint(url+"/v1"), hcloud.WithToken(token),
		hcloud.WithPollOpts(hcloud.PollOpts{BackoffFunc: hcloud.ConstantBackoff(3 * time.Millisecond)}),
		hcloud.WithRetryOpts(hcloud.RetryOpts{BackoffFunc: hcloud.ConstantBackoff(time.Millisecond), MaxRetries: 3}),
	)
}

func (p *project) wait(t *testing.T, actions ...*hcloud.Action) {
	t.Helper()
	if err := p.client.Action.WaitFor(p.ctx, actions...); err != nil {
		t.Fatal(err)
	}
}

// ok makes a call that must not fail, and returns its result.
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

func wantCode(t *testing.T, err error, status int, code hcloud.ErrorCode) {
	t.Helper()
	var apiErr hcloud.Error
	if !hcloud.IsError(err, code) {
		t.Errorf("got %v, want code %s", err, code)
		return
	}
	if asError(err, &apiErr) && apiErr.Response().StatusCode != status {
		t.Errorf("code %s with status %d, want %d", code, apiErr.Response().StatusCode, status)
	}
}

// publicKey makes a key in the format of authorized_keys from one byte.
func publicKey(seed byte) string {
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, 32)).Public().(ed25519.PublicKey)
	var blob bytes.Buffer
	for _, part := range [][]byte{[]byte("ssh-ed25519"), key} {
		_ = binary.Write(&blob, binary.BigEndian, uint32(len(part))) //nolint:gosec // a key is short
		blob.Write(part)
	}
	return "ssh-ed25519 " + base64.StdEncoding.EncodeToString(blob.Bytes()) + " test"
}

func (p *project) key(t *testing.T, name string, seed byte) *hcloud.SSHKey {
	t.Helper()
	return ok[*hcloud.SSHKey](t)(p.client.SSHKey.Create(p.ctx, hcloud.SSHKeyCreateOpts{
		Name:      name,
		PublicKey: publicKey(seed),
	}))
}

func (p *project) address(t *testing.T, name string) *hcloud.PrimaryIP {
	t.Helper()
	return ok[*hcloud.PrimaryIPCreateResult](t)(p.client.PrimaryIP.Create(p.ctx, hcloud.PrimaryIPCreateOpts{
		Name: name, Type: hcloud.PrimaryIPTypeIPv4, AssigneeType: "server", Location: "fsn1", AutoDelete: hcloud.Ptr(false),
	})).PrimaryIP
}

func (p *project) server(t *testing.T, name string, ip *hcloud.PrimaryIP) *hcloud.Server {
	t.Helper()
	result := ok[hcloud.ServerCreateResult](t)(p.client.Server.Create(p.ctx, serverOpts(name, ip)))
	p.wait(t, append(result.NextActions, result.Action)...)
	return ok[*hcloud.Server](t)(p.client.Server.GetByID(p.ctx, result.Server.ID))
}

func serverOpts(name string, ip *hcloud.PrimaryIP) hcloud.ServerCreateOpts {
	return hcloud.ServerCreateOpts{
		Name: name, ServerType: &hcloud.ServerType{Name: "cx23"}, Image: &hcloud.Image{Name: "debian-12"},
		Location: &hcloud.Location{Name: "fsn1"}, UserData: "#cloud-config\n",
		PublicNet: &hcloud.ServerCreatePublicNet{EnableIPv4: true, IPv4: ip},
	}
}

func (p *project) volume(t *testing.T, name string) *hcloud.Volume {
	t.Helper()
	result := ok[hcloud.VolumeCreateResult](t)(p.client.Volume.Create(p.ctx, hcloud.VolumeCreateOpts{
		Name: name, Size: 10, Location: &hcloud.Location{Name: "fsn1"}, Format: hcloud.Ptr("ext4"),
	}))
	p.wait(t, append(result.NextActions, result.Action)...)
	return ok[*hcloud.Volume](t)(p.client.Volume.GetByID(p.ctx, result.Volume.ID))
}

func (p *project) network(t *testing.T, name string) *hcloud.Network {
	t.Helper()
	n := ok[*hcloud.Network](t)(p.client.Network.Create(p.ctx, hcloud.NetworkCreateOpts{
		Name:    name,
		IPRange: cidr(t, "10.60.0.0/16"),
	}))
	p.wait(t, ok[*hcloud.Action](t)(p.client.Network.AddSubnet(p.ctx, n, hcloud.NetworkAddSubnetOpts{
		Subnet: hcloud.NetworkSubnet{
			Type: hcloud.NetworkSubnetTypeCloud, IPRange: cidr(t, "10.60.1.0/24"),
			NetworkZone: "eu-central",
		},
	})))
	return ok[*hcloud.Network](t)(p.client.Network.GetByID(p.ctx, n.ID))
}

func (p *project) firewall(t *testing.T, name string) *hcloud.Firewall {
	t.Helper()
	return ok[hcloud.FirewallCreateResult](t)(p.client.Firewall.Create(p.ctx, hcloud.FirewallCreateOpts{
		Name: name, Rules: []hcloud.FirewallRule{rule(t, "22")},
	})).Firewall
}

// fault sends a rule over the control endpoint.
func (p *project) fault(t *testing.T, f hetzner.Fault) {
	t.Helper()
	body, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.Post(p.url+"/_sandbox/faults", "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusNoContent {
		t.Fatalf("fault %+v: status %d", f, response.StatusCode)
	}
}

func (p *project) wantNothingUnexpected(t *testing.T) {
	t.Helper()
	for _, r := range p.api.Unexpected() {
		t.Errorf("unexpected request %s %s", r.Method, r.Path)
	}
}

func stateFile(t *testing.T) string { return filepath.Join(t.TempDir(), "state.json") }
