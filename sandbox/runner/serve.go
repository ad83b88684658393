package runner

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"

	"github.com/prekzursil/momentstudio-infra/sandbox/cloudflare"
	"github.com/prekzursil/momentstudio-infra/sandbox/dns"
	"github.com/prekzursil/momentstudio-infra/sandbox/hetzner"
	"github.com/prekzursil/momentstudio-infra/sandbox/machine"
	"github.com/prekzursil/momentstudio-infra/sandbox/offhost"
)

// Serve runs everything that the sandbox serves until ctx ends: the two emulated clouds, DNS, the registry, the ACME
// test CA and the places for backups. Hosts keep running when it ends and are found again by the next.
func (s Settings) Serve(ctx context.Context, hostImage string) error {
	ca, err := s.loadAuthority()
	if err != nil {
		return err
	}
	hcloud, flare, err := s.newClouds(ca, hostImage) //nolint:contextcheck // an API ends when it is closed
	if err != nil {
		return err
	}
	names, err := dns.Serve(ctx, s.address(dnsPort), flare)
	if err != nil {
		return err
	}
	defer func() { _ = names.Close() }()
	acme, acmeRoot := newACME(s.address(dnsPort))
	if err := s.addRoot(ca.certPEM, acmeRoot); err != nil {
		return err
	}
	images := registry.New(registry.WithBlobHandler(registry.NewDiskBlobHandler(s.path("registry"))),
		registry.Logger(log.New(io.Discard, "", 0)))

	rest, err := offhost.Rest(s.path("offhost", "rest"), backupUser, backupPassword)
	if err != nil {
		return err
	}
	storeContext, stopStore := context.WithCancel(context.WithoutCancel(ctx)) // it ends below, and not by itself
	storeEnded, err := s.startS3(storeContext)
	if err != nil {
		stopStore()
		return fmt.Errorf("serve the S3 store: %w", err)
	}
	defer func() {
		stopStore()
		for range storeEnded { // until it is closed
			continue
		}
	}()
	log.Printf("S3 store on %s", s.address(s3Port))

	servers, failed, err := s.serveEndpoints(ctx, ca, []endpoint{
		{"Hetzner API", hetznerPort, false, hcloud.Handler()},
		{"Cloudflare API", cloudflarePort, true, flare.Handler()},
		{"registry", registryPort, true, images},
		{"ACME test CA", acmePort, true, acme},
		{"rest-server", restPort, true, rest},
	})
	if err != nil {
		return err
	}
	if err := os.WriteFile(s.path("run", "ready"), []byte("ready\n"), 0o600); err != nil {
		return fmt.Errorf("tell that the sandbox is ready: %w", err)
	}
	select {
	case <-ctx.Done():
		err = nil
	case err = <-failed:
	case err = <-storeEnded:
		if err = fmt.Errorf("serve the S3 store: %w", err); ctx.Err() != nil { // a terminal's Ctrl-C ends both
			err = nil
		}
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	for _, server := range servers {
		_ = server.Shutdown(stop)
	}
	return err
}

// newClouds loads the two emulated clouds from their state files. Servers of the Hetzner API boot from hostImage.
func (s Settings) newClouds(ca authority, hostImage string) (*hetzner.API, *cloudflare.API, error) {
	machines, err := machine.New(machine.Config{
		Prefix: "momentstudio-" + s.Name, Subnet: s.Subnet, StateDir: s.path("machines"), Image: hostImage,
		Certificates: [][]byte{ca.certPEM},
	})
	if err != nil {
		return nil, nil, err
	}
	hcloud, err := hetzner.New(hetzner.Config{
		StateFile: s.path("hetzner.json"), Token: hetznerToken, Pool: s.Subnet, Machines: machines, Logf: log.Printf,
	})
	if err != nil {
		return nil, nil, err
	}
	flare, err := cloudflare.New(cloudflare.Config{
		StatePath: s.path("cloudflare.json"), Token: cloudflareToken, AccountID: accountID,
		Zones: []cloudflare.Zone{{ID: zoneID, Name: Domain}},
	})
	if err != nil {
		return nil, nil, err
	}
	return hcloud, flare, nil
}

// endpoint is one HTTP server of the sandbox.
type endpoint struct {
	name    string
	port    int
	secure  bool
	handler http.Handler
}

// serveEndpoints starts a server for each endpoint; failed receives the error of one that ends by itself.
func (s Settings) serveEndpoints(ctx context.Context, ca authority, endpoints []endpoint) (
	servers []*http.Server, failed <-chan error, err error,
) {
	failures := make(chan error, len(endpoints))
	for _, e := range endpoints {
		listener, err := s.listen(ctx, ca, e)
		if err != nil {
			return nil, nil, fmt.Errorf("serve the %s: %w", e.name, err)
		}
		server := &http.Server{Handler: e.handler, ReadHeaderTimeout: 30 * time.Second}
		servers = append(servers, server)
		go func() {
			if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
				failures <- fmt.Errorf("serve the %s: %w", e.name, err)
			}
		}()
		log.Printf("%s on %s", e.name, listener.Addr())
	}
	return servers, failures, nil
}

func (s Settings) listen(ctx context.Context, ca authority, e endpoint) (net.Listener, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.address(e.port))
	if err != nil || !e.secure {
		return listener, err
	}
	pair, err := tls.X509KeyPair(ca.serverPEM, ca.serverKeyPEM)
	if err != nil {
		_ = listener.Close()
		return nil, err
	}
	return tls.NewListener(listener, &tls.Config{
		Certificates: []tls.Certificate{pair},
		MinVersion:   tls.VersionTLS12,
	}), nil
}

// addRoot adds certificates to the file of roots. The ACME test CA makes a new root whenever it
// starts, and a site keeps serving the certificate of an older one, so old roots stay.
func (s Settings) addRoot(certificates ...[]byte) error {
	have, err := os.ReadFile(s.CAFile())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("read the sandbox's roots: %w", err)
	}
	for _, c := range certificates {
		if !bytes.Contains(have, bytes.TrimSpace(c)) {
			have = append(have, c...)
		}
	}
	if err := os.WriteFile(s.CAFile(), have, 0o644); err != nil { //nolint:gosec // certificates are public
		return fmt.Errorf("write the sandbox's roots: %w", err)
	}
	return nil
}
