package verify

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
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/prekzursil/momentstudio-infra/internal/config"
	"github.com/prekzursil/momentstudio-infra/internal/csp"
	"github.com/prekzursil/momentstudio-infra/internal/engine"
	"github.com/prekzursil/momentstudio-infra/internal/fault"
	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
	"github.com/prekzursil/momentstudio-infra/internal/hostssh"
	"github.com/prekzursil/momentstudio-infra/internal/sshfiles"
	"github.com/prekzursil/momentstudio-infra/internal/swarm"
)

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

// Run checks that the stack is what it claims to be: on the host, that every service runs the
// image, settings, secrets and tasks of the state and that the database's schema is the release's; from
// outside, at the address in state, what visitors meet. It asks until all of it holds or limit is over,
// and then reports everything that does not.
func Run(ctx context.Context, c engine.Stack, roots *x509.CertPool, limit time.Duration) error {
	o, err := c.Outputs(ctx)
	if err != nil {
		return err
	}
	wanted, err := c.Config()
	if err != nil {
		return err
	}
	var shop *site
	visit := func(context.Context) error { return nil }
	if wanted.Kind != config.Drill { // which no visitor reaches; `hostops prove` looks at that from inside
		if shop, err = newSite(o, roots, wanted.Frontend.Mode == "ssr"); err != nil {
			return err
		}
		visit = shop.check
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var outside, inside error
	for checked := false; ; {
		nowOutside, nowInside := visit(ctx), checkHost(ctx, c, o, wanted.Release.CompatibleRevisions)
		if ctx.Err() == nil || !checked { // one that the limit cut short saw less than the one before
			outside, inside = nowOutside, nowInside
		}
		checked = checked || ctx.Err() == nil
		if outside == nil && inside == nil {
			if err := record(ctx, c, o); err != nil {
				return err
			}
			if wanted.Kind == config.Drill {
				fmt.Fprintln(c.Out, "verified on the host:", "release", o.Release)
				return nil
			}
			fmt.Fprintln(c.Out, "verified:", o.URL, "serves release", o.Release)
			for _, note := range shop.notes {
				fmt.Fprintln(c.Out, "warning:", note)
			}
			return nil
		}
		select {
		case <-ctx.Done():
		case <-time.After(2 * time.Second):
		}
		if small := (smallError{}); errors.As(inside, &small) {
			return errors.Join(outside, small.error) // it has a fix of its own
		}
		final := finalError{}
		if !checked && !errors.As(inside, &final) {
			return fault.Hint(fmt.Errorf("the stack could not be checked within %s:\n%w", limit, errors.Join(outside, inside)),
				"look at the host's load and run `studio verify` again, with a longer --limit")
		}
		if ctx.Err() != nil || errors.As(inside, &final) {
			return fault.Hint(fmt.Errorf("the update ended, but the stack is not what was asked for:\n%w",
				errors.Join(outside, inside)),
				"mend the cause and run `studio up` again; `ssh -F "+sshfiles.Dir(c.Name)+"/config "+o.Address+
					" docker service ls` shows the services")
		}
	}
}

// checkHost compares what runs on the host with what the state says, and asks the API for its release and its schema.
// Its error names each service that differs, with its tasks' errors and the end of its log.
func checkHost(ctx context.Context, c engine.Stack, o engine.Outputs, compatible []string) error {
	state, err := c.Output(ctx, "stack", "export")
	if err != nil {
		return fmt.Errorf("read the state of stack %s: %w", c.Name, err)
	}
	want, err := swarm.Wanted(state)
	if err != nil {
		return err
	}
	report, err := hostssh.Inspect(ctx, c, o.Address, state, hostspec.Inspection{Application: true})
	if err != nil {
		return err
	}
	if differences := swarm.Compare(want, swarm.Found(report.Services)); len(differences) > 0 {
		logs, err := hostssh.Inspect(ctx, c, o.Address, state, hostspec.Inspection{Logs: swarm.Names(differences)})
		if err != nil {
			logs.Logs = nil // what differs is told all the same
		}
		err = errors.New("the host does not run what was asked for:\n" + swarm.Describe(differences, logs.Logs))
		if swarm.Final(differences) {
			return finalError{err}
		}
		return err
	}
	if report.Application == nil {
		return errors.New("the host does not report what the API says")
	}
	if err := hostssh.JudgeVolume(report.Volume); err != nil {
		return smallError{err}
	}
	return errors.Join(judgeSchema(report.Application.Schema, compatible), judgeMedia(report.Application.Media),
		judgeReleases(report.Application.Releases, o.Release))
}

// finalError is a state of the host that no waiting changes.
type finalError struct{ error }

func (e finalError) Unwrap() error { return e.error }

// smallError is a file system that did not grow with its volume.
type smallError struct{ error }

func (e smallError) Unwrap() error { return e.error }

// judgeReleases checks that every healthy task of the API is of the release.
func judgeReleases(answers []hostspec.Answer, release string) error {
	if len(answers) == 0 {
		return errors.New("no healthy task of the API tells its version")
	}
	for _, a := range answers {
		if a.Error != "" {
			return errors.New(a.Error)
		}
		if a.Value != release {
			return fmt.Errorf("asked for its release, the API answers %q, want %q", a.Value, release)
		}
	}
	return nil
}

// judgeMedia checks that uploads can be stored.
func judgeMedia(m hostspec.Media) error {
	switch {
	case m.Error != "":
		return fmt.Errorf("whether the API can store uploads is not known: %s", m.Error)
	case len(m.Unwritable) > 0:
		return fault.Hint(errors.New("the API cannot store uploads in "+strings.Join(m.Unwritable, "; ")),
			"on the host, `chown -R root:root "+hostspec.UploadsDir+" "+hostspec.PrivateUploadsDir+"`")
	}
	return nil
}

// judgeSchema checks that the database is at the head of the release's own migrations, or at a newer revision that the
// release is declared to work with.
func judgeSchema(s hostspec.Schema, compatible []string) error {
	switch {
	case s.Error != "":
		return fmt.Errorf("the schema's revision is not known: %s", s.Error)
	case s.Head, s.Unknown && slices.Contains(compatible, s.Revision):
		return nil
	case s.Unknown:
		return fmt.Errorf("the database is at revision %s, which the release does not know and release.compatibleRevisions "+
			"does not name", s.Revision)
	}
	return fmt.Errorf("the database is at revision %q, which is not the head of the release's migrations", s.Revision)
}

// site is the shop as visitors meet it.
type site struct {
	client  *http.Client
	dial    func(ctx context.Context, network, address string) (net.Conn, error)
	roots   *x509.CertPool
	url     string // https://<domain>
	domain  hostspec.Domain
	release string
	ssr     bool
	notes   []string // what the last check saw that deserves attention and is no defect of the stack
}

func newSite(o engine.Outputs, roots *x509.CertPool, ssr bool) (*site, error) {
	u, err := url.Parse(o.URL)
	if err != nil || u.Hostname() == "" {
		return nil, fmt.Errorf("read the site's URL %q", o.URL)
	}
	s := &site{roots: roots, url: o.URL, domain: hostspec.Domain(u.Hostname()), release: o.Release, ssr: ssr}
	// The name may not have reached this machine's resolver yet; the certificate is checked by name all the same.
	s.dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		_, port, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		return (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, network, net.JoinHostPort(o.Address, port))
	}
	s.client = &http.Client{
		Timeout:       15 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{DialContext: s.dial, TLSClientConfig: &tls.Config{
			RootCAs:    roots,
			MinVersion: tls.VersionTLS12,
		}},
	}
	return s, nil
}

// bundle is a script whose name holds the hash of its content.
var bundle = regexp.MustCompile(`[^"'/ ]+\.[0-9a-f]{16}\.js`)

// insecureCanonical is a link to the page's own address that is no https address.
var insecureCanonical = regexp.MustCompile(`<link rel="canonical" href="http://[^"]*">`)

// check makes the post-deployment checks that mean something (app-contract §12) and reports every one
// that fails.
func (s *site) check(ctx context.Context) error {
	defer s.client.CloseIdleConnections()
	var bad []error
	failed := func(format string, args ...any) { bad = append(bad, fmt.Errorf(format, args...)) }
	expect := func(path string, status int) (page, bool) {
		p, err := s.ask(ctx, http.MethodGet, s.url+path)
		if err != nil {
			failed("GET %s: %w", path, err)
			return p, false
		}
		if p.status != status {
			failed("GET %s: status %d, want %d", path, p.status, status)
			return p, false
		}
		return p, true
	}
	if err := s.handshake(ctx, s.domain.WWW()); err != nil {
		failed("the certificate of %s: %w", s.domain.WWW(), err)
	}
	expect("/api/v1/health/ready", http.StatusOK)
	if p, ok := expect("/assets/app-config.js", http.StatusOK); ok {
		if !strings.Contains(p.body, s.release) {
			failed("/assets/app-config.js does not name release %s", s.release)
		}
		if cache := p.header.Get("Cache-Control"); !strings.Contains(cache, "no-store") {
			failed("/assets/app-config.js may be stored (Cache-Control %q): browsers would keep an old release", cache)
		}
	}
	s.notes = nil
	if p, ok := expect("/", http.StatusOK); ok {
		if n := len(p.header.Values("Content-Security-Policy")); n != 1 {
			failed("the page has %d Content-Security-Policy headers, want 1", n)
		}
		for _, what := range csp.Blocked([]byte(p.body), s.url, p.header.Get("Content-Security-Policy")) {
			failed("the page's Content-Security-Policy makes browsers refuse %s", what)
		}
		if m := insecureCanonical.FindString(p.body); m != "" {
			s.notes = append(s.notes, "the page tells search engines an address that begins with http://: "+m)
		}
		if s.ssr && !strings.Contains(p.body, `ng-server-context="ssr"`) {
			failed("the page is not rendered on the server: NG_ALLOWED_HOSTS does not name the domain")
		}
		if name := bundle.FindString(p.body); name == "" {
			failed("the page names no hashed bundle")
		} else if b, ok := expect("/"+name, http.StatusOK); ok && !strings.Contains(b.header.Get("Content-Type"),
			"javascript") {
			failed("the bundle /%s is served as %q", name, b.header.Get("Content-Type"))
		}
	}
	if p, ok := expect("/manifest.webmanifest", http.StatusOK); ok && !strings.HasPrefix(p.header.Get("Content-Type"),
		"application/manifest+json") {
		failed("/manifest.webmanifest is served as %q", p.header.Get("Content-Type"))
	}
	expect("/media/private/verify", http.StatusNotFound)
	expect("/assets/verify-missing.png", http.StatusNotFound)
	if p, err := s.ask(ctx, http.MethodGet, "https://"+s.domain.WWW()+"/verify"); err != nil {
		failed("GET https://%s/verify: %w", s.domain.WWW(), err)
	} else if want := s.url + "/verify"; p.status != http.StatusMovedPermanently || p.header.Get("Location") != want {
		failed("%s answers %d to %q, want 301 to %q", s.domain.WWW(), p.status, p.header.Get("Location"), want)
	}
	for _, path := range []string{
		"/api/v1/payments/webhook", "/api/v1/payments/paypal/webhook",
		"/api/v1/payments/netopia/webhook",
	} {
		// Unsigned, so it is refused or, by Netopia's contract, answered with an error and 200: but it arrives.
		if p, err := s.ask(ctx, http.MethodPost, s.url+path); err != nil {
			failed("POST %s: %w", path, err)
		} else if p.status == http.StatusNotFound || p.status == http.StatusServiceUnavailable ||
			p.status == http.StatusBadGateway || p.status == http.StatusTooManyRequests {
			failed("POST %s: status %d: payments would not be noticed", path, p.status)
		}
	}
	return errors.Join(bad...)
}

// handshake checks the certificate of one name.
func (s *site) handshake(ctx context.Context, name string) error {
	raw, err := s.dial(ctx, "tcp", net.JoinHostPort(name, "443"))
	if err != nil {
		return err
	}
	defer raw.Close()
	return tls.Client(raw, &tls.Config{
		RootCAs: s.roots, ServerName: name,
		MinVersion: tls.VersionTLS12,
	}).HandshakeContext(ctx)
}

type page struct {
	status int
	header http.Header
	body   string
}

func (s *site) ask(ctx context.Context, method, address string) (page, error) {
	request, err := http.NewRequestWithContext(ctx, method, address, nil)
	if err != nil {
		return page{}, err
	}
	response, err := s.client.Do(request)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // the address stands in the message already
		}
		return page{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 4<<20))
	return page{response.StatusCode, response.Header, string(body)}, err
}
