// Command pulumi-resource-hcloud is the sandbox's build of the Hetzner Cloud provider plugin.
package main

import (
	"context"
	"fmt"
	"os"

	pf "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/pf/tfbridge"

	"github.com/prekzursil/momentstudio-infra/sandbox/engine/internal/plugin"
	"github.com/prekzursil/momentstudio-infra/sandbox/engine/internal/provider/hcloud"
)

func main() {
	ctx := context.Background()
	info, err := hcloud.Info(ctx)
	if err != nil {
		fmt.Fprintf(os.Stderr, "map the Hetzner Cloud provider: %v\n", err)
		os.Exit(1)
	}
	pf.MainWithMuxer(ctx, plugin.Hcloud.Name, info, plugin.Hcloud.Schema())
}
