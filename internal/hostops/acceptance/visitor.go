package acceptance

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path"
	"strings"
	"time"

	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
)

// internalRoot is the certificate of Caddy's own authority, which signs for a shop that no public one does.
const internalRoot = hostspec.CaddyDataDir + "/caddy/pki/authorities/local/root.crt"

const assetsPath = "/api/v1/content/admin/media/assets"

// visitor meets the shop as browsers do: through the edge, by its name, with a certificate that is checked.
type visitor struct {
	client *http.Client
	base   string // https://<domain>
	bearer string // of a member of the staff
}

func newVisitor(domain hostspec.Domain) (*visitor, error) {
	text, err := os.ReadFile(internalRoot)
	if err != nil {
		return nil, fmt.Errorf("read the certificate of the edge's own authority: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s holds no certificate", internalRoot)
	}
	dialer := net.Dialer{Timeout: 10 * time.Second}
	return &visitor{base: domain.Origin(), client: &http.Client{
		Timeout:       time.Minute,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true,
			DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				_, port, err := net.SplitHostPort(address)
				if err != nil {
					return nil, err
				}
				return dialer.DialContext(ctx, network, net.JoinHostPort(hostspec.EdgeHost, port))
			},
		},
	}}, nil
}

// ask sends one request and hands the answer's body on.
func (v *visitor) ask(ctx context.Context, method, path string, read func(*http.Response) error) error {
	request, err := http.NewRequestWithContext(ctx, method, v.base+path, nil)
	if err != nil {
		return err
	}
	if v.bearer != "" {
		request.Header.Set("Authorization", "Bearer "+v.bearer)
	}
	response, err := v.client.Do(request)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err
		}
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	defer response.Body.Close()
	if response.StatusCode < 200 || response.StatusCode > 299 {
		return fmt.Errorf("%s %s: %w", method, path, statusError(response.StatusCode))
	}
	if err := read(response); err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	return nil
}

// statusError is an answer that was none of those wanted.
type statusError int

func (e statusError) Error() string { return fmt.Sprintf("status %d", int(e)) }

func (v *visitor) act(ctx context.Context, method, path string) error {
	return v.ask(ctx, method, path, func(*http.Response) error { return nil })
}

// text reads an answer of up to 4 MiB.
func (v *visitor) text(ctx context.Context, path string) (string, error) {
	var text []byte
	err := v.ask(ctx, http.MethodGet, path, func(r *http.Response) (err error) {
		text, err = io.ReadAll(io.LimitReader(r.Body, 4<<20))
		return err
	})
	return string(text), err
}

func (p *checker) ready(ctx context.Context) (string, error) {
	const path = "/api/v1/health/ready"
	_, err := p.visitor.text(ctx, path)
	return path, err
}

func (p *checker) pages(ctx context.Context) (string, error) {
	page, err := p.visitor.text(ctx, "/")
	if err != nil {
		return "", err
	}
	if !strings.Contains(page, "<html") {
		return "", errors.New("GET /: that is no page")
	}
	settings, err := p.visitor.text(ctx, "/assets/app-config.js")
	if err != nil {
		return "", err
	}
	if !strings.Contains(settings, p.release) {
		return "", fmt.Errorf("/assets/app-config.js does not name the release %s", p.release)
	}
	return "release " + p.release, nil
}

func (p *checker) sitemap(ctx context.Context) (string, error) {
	text, err := p.visitor.text(ctx, "/sitemap.xml")
	if err != nil {
		return "", err
	}
	n, err := countPages(text)
	if err != nil {
		return "", fmt.Errorf("/sitemap.xml: %w", err)
	}
	return fmt.Sprintf("%d pages", n), nil
}

// countPages reads a sitemap (sitemaps.org, 0.9).
func countPages(text string) (int, error) {
	var list struct {
		XMLName xml.Name `xml:"urlset"`
		Pages   []struct {
			Location string `xml:"loc"`
		} `xml:"url"`
	}
	if err := xml.Unmarshal([]byte(text), &list); err != nil {
		return 0, fmt.Errorf("it is no sitemap: %w", err)
	}
	if len(list.Pages) == 0 {
		return 0, errors.New("it lists no page")
	}
	return len(list.Pages), nil
}

// media fetches a sample of the pictures that are for everybody.
func (p *checker) media(ctx context.Context) (string, error) {
	all, err := p.assets(ctx)
	if err != nil {
		return "", err
	}
	var bad []error
	seen := 0
	for _, a := range all {
		if !a.public() || seen == visitedAssets {
			continue
		}
		seen++
		err := p.visitor.ask(ctx, http.MethodGet, (&url.URL{Path: path.Join("/media", a.Key)}).EscapedPath(),
			func(r *http.Response) error {
				sum := sha256.New()
				if _, err := io.Copy(sum, r.Body); err != nil {
					return err
				}
				if have := hex.EncodeToString(sum.Sum(nil)); a.Checksum != "" && have != a.Checksum {
					return errors.New("that is another content than the database says")
				}
				return nil
			})
		if err != nil { // it names the file as a person called it
			bad = append(bad, fmt.Errorf("the original of %s: %w", a.ID, errors.Unwrap(err)))
		}
	}
	if seen == 0 {
		return "", fmt.Errorf("%w: no picture is for everybody", errNothingThere)
	}
	return fmt.Sprintf("%d pictures under /media", seen), atMost(5, bad)
}

// list compares the library that staff see with the database, with and without the trash.
func (p *checker) list(ctx context.Context) (string, error) {
	if err := p.login(ctx); err != nil {
		return "", err
	}
	all, err := p.assets(ctx)
	if err != nil {
		return "", err
	}
	trashed := 0
	for _, a := range all {
		if a.Status == "trashed" {
			trashed++
		}
	}
	for _, q := range []struct {
		query string
		want  int
	}{
		{"?limit=1&include_trashed=true", len(all)},
		{"?limit=1&status=trashed&include_trashed=true", trashed},
	} {
		var answer struct {
			Meta struct {
				Total *int `json:"total_items"`
			} `json:"meta"`
		}
		if err := p.visitor.ask(ctx, http.MethodGet, assetsPath+q.query,
			func(r *http.Response) error { return json.NewDecoder(r.Body).Decode(&answer) }); err != nil {
			return "", err
		}
		if answer.Meta.Total == nil || *answer.Meta.Total != q.want {
			return "", fmt.Errorf("%s lists another number than the %d of the database", q.query, q.want)
		}
	}
	return fmt.Sprintf("%d pictures, %d of them in the trash", len(all), trashed), nil
}
