// Command pulumi-resource-docker is the sandbox's build of the Docker provider plugin.
package main

import (
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge"

	"github.com/prekzursil/momentstudio-infra/sandbox/engine/internal/plugin"
	"github.com/prekzursil/momentstudio-infra/sandbox/engine/internal/provider/docker"
)

func main() {
	tfbridge.Main(plugin.Docker.Name, plugin.Docker.Version, docker.Info(), plugin.Docker.Schema())
}
