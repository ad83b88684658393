// Package clouds connects to the stack's Hetzner project and Cloudflare account.
package clouds

import (
	"errors"
	"fmt"
	"net/http"
	"os"

	"github.com/cloudflare/cloudflare-go"
	"github.com/hetznercloud/hcloud-go/v2/hcloud"

	"github.com/prekzursil/momentstudio-infra/internal/config"
	"github.com/prekzursil/momentstudio-infra/internal/diagnosis"
	"github.com/prekzursil/momentstudio-infra/internal/engine"
	"github.com/prekzursil/momentstudio-infra/internal/fault"
	"github.com/prekzursil/momentstudio-infra/internal/naming"
)

// Explain words an error of a cloud's API that this program met itself.
func Explain(kind, doing string, err error) error {
	means, do, ok := diagnosis.Explain(diagnosis.Failure{Type: kind, Message: err.Error()})
	if !ok {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return fault.Hint(fmt.Errorf("%s: %s\n    it says: %w", doing, means, err), do)
}

// Cloudflare reaches the stack's account.
func Cloudflare(wanted config.Config) (*cloudflare.API, error) {
	token := os.Getenv("CLOUDFLARE_API_TOKEN")
	if token == "" {
		return nil, errors.New("CLOUDFLARE_API_TOKEN is not set")
	}
	options := []cloudflare.Option{
		cloudflare.UserAgent(naming.Project + "-studio"),
		cloudflare.HTTPClient(http.DefaultClient),
	}
	if host := wanted.Endpoints.CloudflareHost; host != "" {
		options = append(options, cloudflare.BaseURL("https://"+host+wanted.Endpoints.CloudflarePath))
	}
	return cloudflare.NewWithAPIToken(token, options...)
}

// Hetzner reaches the stack's project.
func Hetzner(c engine.Stack) (*hcloud.Client, error) {
	token := os.Getenv("HCLOUD_TOKEN")
	if token == "" {
		return nil, errors.New("HCLOUD_TOKEN is not set")
	}
	wanted, err := c.Config()
	if err != nil {
		return nil, err
	}
	options := []hcloud.ClientOption{hcloud.WithToken(token), hcloud.WithApplication(naming.Project+"-studio", "")}
	if wanted.Endpoints.Hcloud != "" {
		options = append(options, hcloud.WithEndpoint(wanted.Endpoints.Hcloud))
	}
	return hcloud.NewClient(options...), nil
}
