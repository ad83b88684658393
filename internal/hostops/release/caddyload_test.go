package release_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prekzursil/momentstudio-infra/internal/hostops/filetest"
	"github.com/prekzursil/momentstudio-infra/internal/hostops/release"
)

// shortDir is a directory whose sockets fit into the 108 bytes of a socket's address.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "caddy")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// admin plays the admin endpoint of a Caddy of edition b. Handler answers a load.
func admin(t *testing.T, dir string, handler http.HandlerFunc) {
	t.Helper()
	adminOf(t, dir, "b", handler)
}

func adminOf(t *testing.T, dir, edition string, load http.HandlerFunc) {
	t.Helper()
	handler := http.NewServeMux()
	handler.HandleFunc("/load", load)
	handler.HandleFunc("GET /config/apps/http/servers", func(rw http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(rw, `{"srv0":{"routes":[{"handle":[{"handler":"subroute","routes":[{"handle":[{"handler":"vars",`+
			`"edition":%q}]}]}]}]}}`, edition)
	})
	l, err := net.Listen("unix", filepath.Join(dir, "admin.sock"))
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { server.Close() })
}

func TestCaddyLoad(t *testing.T) {
	type world struct{ from, to string }
	for _, c := range []struct {
		name    string
		arrange func(t *testing.T, w world)
		file    string // the Caddyfile afterwards
		out     string // part of the log
		err     string // part of the error; "" means none
	}{
		{"no Caddy yet: the files are all there is to do", func(*testing.T, world) {}, "new", "it will start with this " +
			"configuration", ""},
		{"a socket that a dead Caddy left", func(t *testing.T, w world) {
			t.Helper()
			l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(w.to, "admin.sock"), Net: "unix"})
			if err != nil {
				t.Fatal(err)
			}
			l.SetUnlinkOnClose(false)
			l.Close()
		}, "new", "it will start with this configuration", ""},
		{"a running Caddy takes it, and only then is it written", func(t *testing.T, w world) {
			t.Helper()
			admin(t, w.to, func(rw http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				file, _ := os.ReadFile(filepath.Join(w.to, "Caddyfile.b"))
				root, _ := os.ReadFile(filepath.Join(w.to, "acme-root.pem"))
				if r.Method != http.MethodPost || r.URL.Path != "/load" || r.Host != "127.0.0.1" ||
					r.Header.Get("Content-Type") != "text/edge" || string(body) != "new" {
					t.Errorf("Caddy was asked %s %s at %s with %q", r.Method, r.URL, r.Host, body)
				}
				if string(file) != "old" || string(root) != "root" {
					t.Errorf("while it loads, the Caddyfile is %q and the file beside it %q; want the old one, and the new one that "+
						"it reads", file, root)
				}
				rw.WriteHeader(http.StatusOK)
			})
		}, "new", "Caddy has loaded the configuration", ""},
		{"a running Caddy refuses it", func(t *testing.T, w world) {
			t.Helper()
			admin(t, w.to, func(rw http.ResponseWriter, _ *http.Request) {
				http.Error(rw, `{"error":"unrecognized directive: redirect"}`, http.StatusBadRequest)
			})
		}, "old", "", "keeps the old one: {\"error\":\"unrecognized directive: redirect\"}"},
		{"a Caddy that dies while it loads", func(t *testing.T, w world) {
			t.Helper()
			admin(t, w.to, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
		}, "old", "", "ask Caddy to load the configuration"},
		{"something that is no socket", func(t *testing.T, w world) {
			t.Helper()
			filetest.Put(t, filepath.Join(w.to, "admin.sock"), "")
		}, "new", "it will start", ""},
		{"no new Caddyfile", func(t *testing.T, w world) {
			t.Helper()
			if err := os.Remove(filepath.Join(w.from, "Caddyfile.b")); err != nil {
				t.Fatal(err)
			}
		}, "old", "", "no Caddyfile in "},
		{"no new configuration at all", func(t *testing.T, w world) {
			t.Helper()
			if err := os.RemoveAll(w.from); err != nil {
				t.Fatal(err)
			}
		}, "old", "", "read the new configuration"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := world{from: t.TempDir(), to: shortDir(t)}
			filetest.Put(t, filepath.Join(w.from, "Caddyfile.b"), "new")
			filetest.Put(t, filepath.Join(w.from, "acme-root.pem"), "root")
			filetest.Put(t, filepath.Join(w.to, "Caddyfile.b"), "old")
			c.arrange(t, w)
			out := &bytes.Buffer{}
			err := release.CaddyLoad(context.Background(), w.from, w.to, false, out)
			switch {
			case c.err == "" && err != nil:
				t.Errorf("got %v, want success", err)
			case c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)):
				t.Errorf("got %v, want an error with %q", err, c.err)
			}
			if !strings.Contains(out.String(), c.out) || (c.err != "" && out.Len() > 0) {
				t.Errorf("the log is %q, want %q in it", out, c.out)
			}
			filetest.Check(t, filepath.Join(w.to, "Caddyfile.b"), c.file, 0o600)
		})
	}
}

// A Caddy that cannot be reached for another reason may still run: to call it absent would report a
// configuration as loaded that is not.
func TestUnreachableCaddyIsNotAnAbsentOne(t *testing.T) {
	from, to := t.TempDir(), filepath.Join(shortDir(t), strings.Repeat("a-long-name-", 12))
	filetest.Put(t, filepath.Join(from, "Caddyfile.b"), "new")
	filetest.Put(t, filepath.Join(to, "Caddyfile.b"), "old")
	out := &bytes.Buffer{}
	err := release.CaddyLoad(context.Background(), from, to, false, out)
	if err == nil || !strings.Contains(err.Error(), "ask Caddy for its configuration") {
		t.Errorf("got %v and %q, want an error", err, out)
	}
	filetest.Check(t, filepath.Join(to, "Caddyfile.b"), "old", 0o600)
}

// A running Caddy of another image or with other mounts cannot read the new file, and is not asked to: the update
// replaces it. Its own file stays, because Swarm goes back to it when the new one does not start.
func TestACaddyOfAnotherEditionIsNotAsked(t *testing.T) {
	for _, c := range []struct {
		edition string // of the running Caddy; "" when its configuration sets none
		stay    []string
	}{
		{"a", []string{"Caddyfile.a", "Caddyfile.b"}},
		{"", []string{"Caddyfile", "Caddyfile.b"}},
	} {
		from, to := t.TempDir(), shortDir(t)
		filetest.Put(t, filepath.Join(from, "Caddyfile.b"), "new")
		for _, name := range []string{"Caddyfile", "Caddyfile.a", "Caddyfile.older"} {
			filetest.Put(t, filepath.Join(to, name), name)
		}
		adminOf(t, to, c.edition, func(rw http.ResponseWriter, _ *http.Request) {
			t.Errorf("a Caddy of edition %q is asked to load the file of edition b", c.edition)
			rw.WriteHeader(http.StatusBadRequest)
		})
		out := &bytes.Buffer{}
		if err := release.CaddyLoad(t.Context(), from, to, true, out); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(out.String(), "has another image or other mounts") {
			t.Errorf("it says %q", out)
		}
		found, err := filepath.Glob(filepath.Join(to, "Caddyfile*"))
		if err != nil {
			t.Fatal(err)
		}
		for i := range found {
			found[i] = filepath.Base(found[i])
		}
		if !slices.Equal(found, c.stay) {
			t.Errorf("beside edition %q, %v stay; want %v", c.edition, found, c.stay)
		}
		filetest.Check(t, filepath.Join(to, "Caddyfile.b"), "new", 0o600)
	}
}
