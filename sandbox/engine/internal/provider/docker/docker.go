// Package docker maps the Terraform provider for Docker to the resource types and field
// names of the published Pulumi package.
package docker

import (
	"github.com/hashicorp/terraform-plugin-sdk/v2/helper/schema"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge/info"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge/tokens"
	shimv2 "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfshim/sdk-v2"
	"github.com/terraform-providers/terraform-provider-docker/shim"

	"github.com/prekzursil/momentstudio-infra/sandbox/engine/internal/plugin"
)

// The longest name that the published package generates, and what separates it from the
// random suffix.
const (
	autoNameLength    = 255
	autoNameSeparator = "-"
)

// Info returns the mapping. The renamed and singular names are those of the published
// package; everything else follows from the usual rules.
func Info() tfbridge.ProviderInfo {
	upstream := shim.NewProvider(plugin.Docker.Version)
	for _, r := range upstream.ResourcesMap {
		silence(r)
	}
	prov := tfbridge.ProviderInfo{
		P:            shimv2.NewProvider(upstream),
		Name:         plugin.Docker.Name,
		Version:      plugin.Docker.Version,
		MetadataInfo: info.NewProviderMetadata([]byte("{}")),
		Config: map[string]*info.Schema{
			"host": {Default: &info.Default{
				Value:   "unix:///var/run/docker.sock",
				EnvVars: []string{"DOCKER_HOST"},
			}},
			"registry_auth": {Name: "registryAuth", MaxItemsOne: tfbridge.False()},
		},
		Resources: map[string]*info.Resource{
			"docker_config": {Tok: "docker:index/serviceConfig:ServiceConfig"},
			"docker_image": {
				Tok:    "docker:index/remoteImage:RemoteImage",
				Fields: map[string]*info.Schema{"name": {Name: "name"}},
			},
			"docker_container": {
				Tok:                 "docker:index/container:Container",
				DeleteBeforeReplace: true,
				Fields: map[string]*info.Schema{
					// Lists that the published package does not name in the plural.
					"command":           {Name: "command"},
					"networks_advanced": {Name: "networksAdvanced"},
				},
			},
		},
		DataSources: map[string]*info.DataSource{
			"docker_image": {Tok: "docker:index/getRemoteImage:getRemoteImage"},
		},
	}
	prov.MustComputeTokens(tokens.SingleModule("docker_", "index", tokens.MakeStandard("docker")))
	prov.SetAutonaming(autoNameLength, autoNameSeparator)
	return prov
}

// silence removes the deprecation notes of upstream's newer release: the published package wraps
// an older one, which has none of the fields that the notes recommend.
func silence(r *schema.Resource) {
	for _, s := range r.Schema {
		s.Deprecated = ""
		if nested, ok := s.Elem.(*schema.Resource); ok {
			silence(nested)
		}
	}
}
