package studio

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/prekzursil/momentstudio-infra/internal/config"
	"github.com/prekzursil/momentstudio-infra/internal/fault"
	"github.com/prekzursil/momentstudio-infra/internal/sshfiles"
)

// Up brings the stack to what its config says: it writes the SSH files when the stack has a host,
// readies the state when the server is to be rebuilt, runs jobs again that are recorded as failed,
// updates, and checks that the site answers. It reports success only when all of that holds.
func (c CLI) Up(ctx context.Context, roots *x509.CertPool) error {
	args := []string{"up", "--yes", "--skip-preview", "--parallel", fmt.Sprint(max(c.Parallel, 1))}
	if err := c.SSHConfig(ctx); err != nil && !errors.Is(err, ErrNoHost) { // a first update has none
		return err
	}
	wanted, err := c.wanted()
	if err != nil {
		return err
	}
	state, err := c.output(ctx, "stack", "export")
	if err != nil {
		return fmt.Errorf("read the state of stack %s: %w", c.Stack, err)
	}
	if err := refuseLeaps(wanted, state); err != nil {
		return err
	}
	if err := c.prepareRebuild(ctx, wanted, state); err != nil {
		return err
	}
	failed, err := c.FailedJobs(ctx)
	if err != nil {
		return err
	}
	for _, urn := range failed {
		fmt.Fprintln(c.Out, "running again, because it failed before:", urn[strings.LastIndex(urn, "::")+2:])
		args = append(args, "--replace", urn)
	}
	if err := c.Run(ctx, args...); err != nil {
		return fault.Hint(err, "the message above names the resource; mend the cause and run `studio up` again, it continues where this run ended")
	}
	return c.Verify(ctx, roots, 3*time.Minute)
}

// wanted reads what the stack's file asks for; what is wrong with it, the update tells.
func (c CLI) wanted() (config.Config, error) {
	plain, err := config.FromFile(c.stackFile(), c.Stack)
	if err != nil {
		return config.Config{}, err
	}
	plain.Dir = c.Root
	values, _ := config.Load(plain)
	return values, nil
}

// SSHConfig writes the files by which the Docker provider reaches the host, from state. They make
// `pulumi refresh` and `pulumi destroy` work in a fresh clone.
func (c CLI) SSHConfig(ctx context.Context) error {
	o, err := c.Outputs(ctx)
	if err != nil {
		return err
	}
	return sshfiles.Write(c.Root, c.Stack, sshfiles.Files{Address: o.Address, PrivateKeys: o.SSHKeys, KnownHosts: o.KnownHosts})
}

// Verify asks the site, at the address in state, until it serves the asked-for release or limit is
// over. It checks what customers use: the certificate, the API's readiness, the release's name.
func (c CLI) Verify(ctx context.Context, roots *x509.CertPool, limit time.Duration) error {
	o, err := c.Outputs(ctx)
	if err != nil {
		return err
	}
	u, err := url.Parse(o.URL)
	if err != nil {
		return fmt.Errorf("read the site's URL %q: %w", o.URL, err)
	}
	client := &http.Client{Timeout: 15 * time.Second, Transport: &http.Transport{
		// The name may not have reached this machine's resolver yet; the certificate is checked by name all the same.
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			_, port, err := net.SplitHostPort(address)
			if err != nil {
				return nil, err
			}
			return (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, network, net.JoinHostPort(o.Address, port))
		},
		TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: u.Hostname(), MinVersion: tls.VersionTLS12},
	}}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		err := checkSite(ctx, client, o)
		if err == nil {
			fmt.Fprintln(c.Out, "verified:", o.URL, "serves release", o.Release)
			return nil
		}
		select {
		case <-ctx.Done():
			return fault.Hint(fmt.Errorf("the update ended, but %s does not serve it: %w", o.URL, err),
				"`ssh -F "+sshfiles.Dir(c.Stack)+"/config "+o.Address+" docker service ls` shows which service is not at its count")
		case <-time.After(2 * time.Second):
		}
	}
}

func checkSite(ctx context.Context, client *http.Client, o Outputs) error {
	if _, err := get(ctx, client, o.URL+"/api/v1/health/ready"); err != nil {
		return err
	}
	body, err := get(ctx, client, o.URL+"/assets/app-config.js")
	if err != nil {
		return err
	}
	if !strings.Contains(body, o.Release) {
		return errors.New("/assets/app-config.js does not name release " + o.Release)
	}
	return nil
}

func get(ctx context.Context, client *http.Client, address string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return "", err
	}
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return "", err
	}
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("GET %s: %s", address, response.Status)
	}
	return string(body), nil
}

// Roots returns the public roots, with the certificates in file added when one is given.
func Roots(file string) (*x509.CertPool, error) {
	pool, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("read this machine's certificate authorities: %w", err)
	}
	if file == "" {
		return pool, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read certificate authorities: %w", err)
	}
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s holds no PEM certificate", file)
	}
	return pool, nil
}
