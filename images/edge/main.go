// Command caddy is the edge's server: Caddy with the rate limiter compiled in, because stock
// Caddy has none and the application's own limits count all clients together. It carries the
// public CA roots and a health check, so that its image needs nothing but this file.
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"

	_ "github.com/caddyserver/caddy/v2/modules/standard"
	_ "github.com/mholt/caddy-ratelimit"
	_ "golang.org/x/crypto/x509roots/fallback"
)

// adminSocket is where the rendered configuration puts the admin endpoint.
const adminSocket = "/etc/caddy/admin.sock"

func main() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "healthcheck",
		Short: "Exits with 0 when the running server answers on its admin socket",
		Func: func(caddycmd.Flags) (int, error) {
			if err := healthcheck(); err != nil {
				return caddy.ExitCodeFailedQuit, err
			}
			return caddy.ExitCodeSuccess, nil
		},
	})
	caddycmd.Main()
}

func healthcheck() error {
	// A load keeps the configuration locked for as long as its handover takes, five seconds.
	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Second)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn,
		error,
	) {
		return (&net.Dialer{}).DialContext(ctx, "unix", adminSocket)
	}}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1/config/apps/http/servers", nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("ask the running server: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return errors.New("the running server has no HTTP configuration: " + response.Status)
	}
	return nil
}
