package release

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/prekzursil/momentstudio-infra/internal/hostops/fsutil"
	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
)

// CaddyLoad puts a checked Caddyfile, and the files beside it, from one directory into another and
// loads it into a running Caddy through the admin socket there. Caddy itself keeps the old
// configuration when it refuses the new one, and the old file stays then too. When no Caddy runs
// yet, the files are all there is to do. With force, Caddy also loads a text that it has already: the files
// that it names may be new.
func CaddyLoad(ctx context.Context, from, to string, force bool, out io.Writer) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return fmt.Errorf("read the new configuration: %w", err)
	}
	var caddyfile []byte
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(from, e.Name()))
		if err != nil {
			return fmt.Errorf("read the new configuration: %w", err)
		}
		if e.Name() == "Caddyfile" {
			caddyfile = text
			continue
		}
		if _, err := fsutil.EnsureFile(filepath.Join(to, e.Name()), text, 0o600); err != nil {
			return fmt.Errorf("write %s: %w", e.Name(), err)
		}
	}
	if len(caddyfile) == 0 {
		return fmt.Errorf("no Caddyfile in %s", from)
	}
	loaded, err := loadIntoCaddy(ctx, filepath.Join(to, "admin.sock"), caddyfile, force)
	if err != nil {
		return err
	}
	if _, err := fsutil.EnsureFile(filepath.Join(to, "Caddyfile"), caddyfile, 0o600); err != nil {
		return fmt.Errorf("write Caddyfile: %w", err)
	}
	if loaded {
		fmt.Fprintln(out, "Caddy has loaded the configuration")
	} else {
		fmt.Fprintln(out, "Caddy is not running; it will start with this configuration")
	}
	return nil
}

// loadIntoCaddy reports whether a running Caddy took the configuration.
func loadIntoCaddy(ctx context.Context, socket string, caddyfile []byte, force bool) (bool, error) {
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}
	defer transport.CloseIdleConnections()
	httpClient := &http.Client{Transport: transport, Timeout: time.Minute}
	// Caddy's admin endpoint on a socket accepts this host name.
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://127.0.0.1/load", bytes.NewReader(caddyfile))
	if err != nil {
		return false, fmt.Errorf("ask Caddy: %w", err)
	}
	request.Header.Set("Content-Type", "text/"+hostspec.CaddyAdapter)
	if force {
		request.Header.Set("Cache-Control", "must-revalidate")
	}
	response, err := httpClient.Do(request)
	if errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ECONNREFUSED) {
		return false, nil // no socket, or one that a dead process left; anything else may be a running Caddy
	}
	if err != nil {
		return false, fmt.Errorf("ask Caddy to load the configuration: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(response.Body, 4<<10))
		return false, fmt.Errorf("the running Caddy refused the configuration and keeps the old one: %s",
			strings.TrimSpace(string(body)))
	}
	return true, nil
}
