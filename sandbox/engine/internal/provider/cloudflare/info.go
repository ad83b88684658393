package cloudflare

import (
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge/info"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge/tokens"
	shimv2 "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfshim/sdk-v2"

	"github.com/prekzursil/momentstudio-infra/sandbox/engine/internal/plugin"
)

// Info returns the mapping of this provider to the resource types and field names of the
// published Pulumi package. There is no automatic naming, because the published package has
// none: every name field is required there.
func Info() tfbridge.ProviderInfo {
	prov := tfbridge.ProviderInfo{
		P:            shimv2.NewProvider(Provider()),
		Name:         plugin.Cloudflare.Name,
		Version:      plugin.Cloudflare.Version,
		MetadataInfo: info.NewProviderMetadata([]byte("{}")),
		Config: map[string]*info.Schema{
			"api_token":            {Secret: tfbridge.True()},
			"api_key":              {Secret: tfbridge.True()},
			"api_user_service_key": {Secret: tfbridge.True()},
		},
		Resources: map[string]*info.Resource{
			"cloudflare_record": {
				Tok: "cloudflare:index/record:Record",
				// A new name or type means a gap in which the name does not resolve.
				DeleteBeforeReplace: true,
			},
		},
	}
	prov.MustComputeTokens(tokens.SingleModule("cloudflare_", "index", tokens.MakeStandard("cloudflare")))
	return prov
}
