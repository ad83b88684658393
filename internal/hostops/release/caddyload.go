package release

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/prekzursil/momentstudio-infra/internal/hostops/fsutil"
	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
)

// CaddyLoad puts a checked Caddyfile, and the files beside it, from one directory into another and
// loads it into a running Caddy through the admin socket there. Caddy itself keeps the old
// configuration when it refuses the new one, and the old file stays then too. When no Caddy runs
// yet, or one of another edition (hostspec.CaddyfileOf), which the update replaces, the files are all
// there is to do. With force, Caddy also loads a text that it has already: the files that it names may be new.
func CaddyLoad(ctx context.Context, from, to string, force bool, out io.Writer) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return fmt.Errorf("read the new configuration: %w", err)
	}
	var name string
	var caddyfile []byte
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(from, e.Name()))
		if err != nil {
			return fmt.Errorf("read the new configuration: %w", err)
		}
		if strings.HasPrefix(e.Name(), hostspec.CaddyfileOf("")) {
			name, caddyfile = e.Name(), text
			continue
		}
		if _, err := fsutil.EnsureFile(filepath.Join(to, e.Name()), text, 0o600); err != nil {
			return fmt.Errorf("write %s: %w", e.Name(), err)
		}
	}
	if len(caddyfile) == 0 {
		return fmt.Errorf("no Caddyfile in %s", from)
	}
	admin := newCaddyAdmin(filepath.Join(to, "admin.sock"))
	defer admin.client.CloseIdleConnections()
	edition, running, err := admin.edition(ctx)
	if err != nil {
		return err
	}
	said := "Caddy is not running; it will start with this configuration"
	switch {
	case running && hostspec.CaddyfileOf(edition) == name:
		if err := admin.load(ctx, caddyfile, force); err != nil {
			return err
		}
		said = "Caddy has loaded the configuration"
	case running:
		said = "the running Caddy has another image or other mounts; the one that replaces it will start with this " +
			"configuration"
	}
	if _, err := fsutil.EnsureFile(filepath.Join(to, name), caddyfile, 0o600); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	fmt.Fprintln(out, said)
	return removeCaddyfiles(to, name, running, edition)
}

// removeCaddyfiles removes the files of all editions except this one and the running one, which Swarm needs for a
// rollback. A running Caddy without an edition reads the file "Caddyfile".
func removeCaddyfiles(dir, name string, running bool, edition string) error {
	keep := []string{name}
	if running {
		keep = append(keep, hostspec.CaddyfileOf(edition))
		if edition == "" {
			keep = append(keep, "Caddyfile")
		}
	}
	found, err := filepath.Glob(filepath.Join(dir, "Caddyfile*"))
	if err != nil {
		return fmt.Errorf("look for old Caddyfiles: %w", err)
	}
	for _, path := range found {
		if slices.Contains(keep, filepath.Base(path)) {
			continue
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove an old Caddyfile: %w", err)
		}
	}
	return nil
}

// caddyAdmin is Caddy's admin endpoint.
type caddyAdmin struct{ client *http.Client }

func newCaddyAdmin(socket string) caddyAdmin {
	return caddyAdmin{&http.Client{Timeout: time.Minute, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		},
	}}}
}

// do asks the endpoint; nothing is the answer when no Caddy runs.
func (a caddyAdmin) do(ctx context.Context, method, path string, body []byte, header http.Header) (*http.Response,
	error,
) {
	// Caddy's admin endpoint on a socket accepts this host name.
	request, err := http.NewRequestWithContext(ctx, method, "http://127.0.0.1"+path, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("ask Caddy: %w", err)
	}
	request.Header = header
	return a.client.Do(request)
}

// edition asks the running Caddy for its edition. It is empty for a Caddy whose configuration sets none.
func (a caddyAdmin) edition(ctx context.Context) (edition string, running bool, err error) {
	response, err := a.do(ctx, http.MethodGet, "/config/apps/http/servers", nil, http.Header{})
	if errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ECONNREFUSED) {
		return "", false, nil // no socket, or one that a dead process left; anything else may be a running Caddy
	}
	if err != nil {
		return "", false, fmt.Errorf("ask Caddy for its configuration: %w", err)
	}
	defer response.Body.Close()
	var servers any
	if err := json.NewDecoder(io.LimitReader(response.Body, 4<<20)).Decode(&servers); err != nil {
		return "", false, fmt.Errorf("ask Caddy for its configuration: it answers %s without JSON: %w", response.Status, err)
	}
	return editionIn(servers), true, nil
}

// editionIn finds the edition that the Caddyfile sets as a variable.
func editionIn(config any) string {
	switch c := config.(type) {
	case map[string]any:
		if edition, ok := c["edition"].(string); ok && c["handler"] == "vars" {
			return edition
		}
		for _, child := range c {
			if edition := editionIn(child); edition != "" {
				return edition
			}
		}
	case []any:
		for _, child := range c {
			if edition := editionIn(child); edition != "" {
				return edition
			}
		}
	}
	return ""
}

// load makes the running Caddy take a configuration.
func (a caddyAdmin) load(ctx context.Context, caddyfile []byte, force bool) error {
	header := http.Header{"Content-Type": {"text/" + hostspec.CaddyAdapter}}
	if force {
		header.Set("Cache-Control", "must-revalidate")
	}
	response, err := a.do(ctx, http.MethodPost, "/load", caddyfile, header)
	if err != nil {
		return fmt.Errorf("ask Caddy to load the configuration: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(response.Body, 4<<10))
		return fmt.Errorf("the running Caddy refused the configuration and keeps the old one: %s",
			strings.TrimSpace(string(body)))
	}
	return nil
}
