// Command pulumi-resource-random is the sandbox's build of the random provider plugin.
package main

import (
	"context"

	pf "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/pf/tfbridge"

	"github.com/prekzursil/momentstudio-infra/sandbox/engine/internal/plugin"
	"github.com/prekzursil/momentstudio-infra/sandbox/engine/internal/provider/random"
)

func main() {
	ctx := context.Background()
	pf.Main(ctx, plugin.Random.Name, random.Info(ctx), pf.ProviderMetadata{
		PackageSchema: plugin.Random.Schema(),
	})
}
