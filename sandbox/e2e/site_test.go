package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hetznercloud/hcloud-go/v2/hcloud"
)

// site is a visitor outside the host, who trusts the test CA.
type site struct {
	t      testing.TB
	client *http.Client
	token  string // bearer, when the visitor is staff
}

type answer struct {
	status int
	header http.Header
	body   string
}

func (w *env) address() string {
	w.t.Helper()
	found, err := w.hetzner().PrimaryIP.AllWithOpts(w.ctx, hcloud.PrimaryIPListOpts{
		ListOpts: hcloud.ListOpts{LabelSelector: "stack=" + w.s.Stack},
	})
	if err != nil || len(found) != 1 {
		w.t.Fatalf("the stack has %d addresses, want one: %v", len(found), err)
	}
	return found[0].IP.String()
}

func newSite(t testing.TB, w *env) *site {
	t.Helper()
	roots, err := os.ReadFile(w.s.CAFile())
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(roots) {
		t.Fatal("no roots")
	}
	address := w.address()
	return &site{t: t, client: &http.Client{
		Timeout:       30 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12},
			DialContext: func(ctx context.Context, network, target string) (net.Conn, error) {
				_, port, err := net.SplitHostPort(target)
				if err != nil {
					return nil, err
				}
				return (&net.Dialer{}).DialContext(ctx, network, net.JoinHostPort(address, port))
			},
		},
	}}
}

func (s *site) do(method, url, contentType string, body io.Reader, headers map[string]string) answer {
	s.t.Helper()
	request, err := http.NewRequestWithContext(s.t.Context(), method, url, body)
	if err != nil {
		s.t.Fatal(err)
	}
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	if s.token != "" {
		request.Header.Set("Authorization", "Bearer "+s.token)
	}
	for k, v := range headers {
		request.Header.Set(k, v)
	}
	response, err := s.client.Do(request)
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, url, err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, url, err)
	}
	return answer{response.StatusCode, response.Header, string(text)}
}

func (s *site) get(url string) answer {
	s.t.Helper()
	return s.do(http.MethodGet, url, "", nil, nil)
}

func (s *site) post(path, body string, headers map[string]string) answer {
	s.t.Helper()
	return s.do(http.MethodPost, "https://momentstudio.test"+path, "application/json", strings.NewReader(body), headers)
}

// tokenOf is what the API gives a user who logs in.
func (w *env) tokenOf(email string) string {
	w.t.Helper()
	return w.host(fmt.Sprintf(`docker exec $(docker ps -q --filter name=momentstudio-backend. --filter health=healthy |
head -1) python -c "from app.core.security import create_access_token as c; print(c('%s'))"`,
		w.sql("SELECT id FROM users WHERE email = '"+email+"'")))
}

// giveStaff gives the shop a member of the content staff, unless it has one.
func (w *env) giveStaff() {
	w.t.Helper()
	w.sql("INSERT INTO users (id, email, username, hashed_password, role) SELECT gen_random_uuid(), " +
		"'content@example.com', 'content', 'none', 'content' WHERE NOT EXISTS (SELECT FROM users WHERE email = " +
		"'content@example.com')")
}

// giveUpload gives the shop an uploaded picture, unless it has one, so that there is something to lose.
func (w *env) giveUpload() {
	w.t.Helper()
	w.giveStaff()
	if w.sql("SELECT count(*) FROM media_assets") == "0" {
		newSite(w.t, w).upload(w)
	}
}

// upload sends a public picture as a member of the content staff, approves it, waits for the worker and returns the
// picture's key.
func (s *site) upload(w *env) string {
	s.t.Helper()
	w.giveStaff()
	s.token = w.tokenOf("content@example.com")
	defer func() { s.token = "" }()

	var picture, form bytes.Buffer
	if err := png.Encode(&picture, image.NewRGBA(image.Rect(0, 0, 800, 400))); err != nil {
		s.t.Fatal(err)
	}
	writer := multipart.NewWriter(&form)
	if err := writer.WriteField("visibility", "public"); err != nil {
		s.t.Fatal(err)
	}
	part, err := writer.CreateFormFile("file", "picture.png")
	if err != nil {
		s.t.Fatal(err)
	}
	_, _ = part.Write(picture.Bytes())
	_ = writer.Close()
	const assets = "https://momentstudio.test/api/v1/content/admin/media/assets"
	r := s.do(http.MethodPost, assets+"/upload", writer.FormDataContentType(), &form, nil)
	var asset struct {
		ID  string `json:"id"`
		Key string `json:"storage_key"`
	}
	if err := json.Unmarshal([]byte(r.body), &asset); err != nil || r.status != http.StatusCreated {
		s.t.Fatalf("upload: status %d, %s", r.status, r.body)
	}
	if r := s.do(http.MethodPost, assets+"/"+asset.ID+"/approve", "application/json", strings.NewReader("{}"),
		nil); r.status/100 != 2 {
		s.t.Fatalf("approve: status %d, %s", r.status, r.body)
	}
	deadline := time.Now().Add(time.Minute)
	for state := ""; state != "completed"; time.Sleep(time.Second) {
		if state = w.sql("SELECT status FROM media_jobs ORDER BY created_at DESC LIMIT 1"); time.Now().After(deadline) {
			s.t.Fatalf("the worker did not process the upload: the job is %q", state)
		}
	}
	return asset.Key
}

// remains counts what the emulated clouds hold.
func (w *env) remains() map[string]int {
	w.t.Helper()
	left := map[string]int{}
	for name, lists := range map[string][]string{
		"hetzner":    {"ssh_keys", "networks", "primary_ips", "firewalls", "servers", "volumes"},
		"cloudflare": {"records", "widgets", "rulesets"},
	} {
		var state map[string]json.RawMessage
		w.control(name, "state", &state)
		for _, list := range lists {
			var items []json.RawMessage
			if raw, ok := state[list]; ok && json.Unmarshal(raw, &items) != nil {
				w.t.Fatalf("the state of %s has no list %s", name, list)
			}
			left[name] += len(items)
		}
	}
	return left
}

func (w *env) unexpected() []json.RawMessage {
	w.t.Helper()
	var all []json.RawMessage
	for _, name := range []string{"hetzner", "cloudflare"} {
		var log struct {
			Requests []json.RawMessage `json:"requests"`
		}
		w.control(name, "requests?unexpected=1", &log)
		all = append(all, log.Requests...)
	}
	return all
}

// clearFaults ends all faults that a failed test left in the emulated clouds. They may not run any more.
func (w *env) clearFaults() {
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{TLSClientConfig: w.trust()}}
	for _, base := range []string{"http://" + w.s.Gateway().String() + ":8080", "https://" + w.s.Gateway().String() +
		":8443"} {
		request, err := http.NewRequestWithContext(w.ctx, http.MethodDelete, base+"/_sandbox/faults", nil)
		if err != nil {
			w.t.Fatal(err)
		}
		if response, err := client.Do(request); err == nil {
			_ = response.Body.Close()
		}
	}
}

// trust knows the sandbox's own authority.
func (w *env) trust() *tls.Config {
	w.t.Helper()
	roots, err := os.ReadFile(w.s.CAFile())
	if err != nil {
		w.t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(roots)
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
}

// control asks an emulated cloud about itself.
func (w *env) control(api, path string, into any) {
	w.t.Helper()
	if err := json.Unmarshal(w.controlRequest(api, http.MethodGet, path, nil), into); err != nil {
		w.t.Fatalf("%s, %s: %v", api, path, err)
	}
}

func (w *env) controlRequest(api, method, path string, sent []byte) []byte {
	w.t.Helper()
	base := "http://" + w.s.Gateway().String() + ":8080/_sandbox/"
	if api == "cloudflare" {
		base = "https://" + w.s.Gateway().String() + ":8443/_sandbox/"
	}
	request, err := http.NewRequestWithContext(w.ctx, method, base+path, bytes.NewReader(sent))
	if err != nil {
		w.t.Fatal(err)
	}
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{TLSClientConfig: w.trust()}}
	response, err := client.Do(request)
	if err != nil {
		w.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode >= http.StatusMultipleChoices {
		w.t.Fatalf("%s %s%s: %s, %v\n%s", method, base, path, response.Status, err, text)
	}
	return text
}

// body gets a page's text.
func body(client *http.Client, url string) (string, error) {
	response, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return string(text), err
}
