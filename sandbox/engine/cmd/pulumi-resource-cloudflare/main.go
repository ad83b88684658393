// Command pulumi-resource-cloudflare is the sandbox's Cloudflare provider plugin.
package main

import (
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge"

	"github.com/prekzursil/momentstudio-infra/sandbox/engine/internal/plugin"
	"github.com/prekzursil/momentstudio-infra/sandbox/engine/internal/provider/cloudflare"
)

func main() {
	tfbridge.Main(plugin.Cloudflare.Name, plugin.Cloudflare.Version, cloudflare.Info(), plugin.Cloudflare.Schema())
}
