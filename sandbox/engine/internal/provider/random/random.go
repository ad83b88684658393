// Package random maps the Terraform provider for random values to the resource types and
// field names of the published Pulumi package.
package random

import (
	"context"
	"errors"

	pf "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/pf/tfbridge"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge/info"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge/tokens"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/terraform-providers/terraform-provider-random/shim"

	"github.com/prekzursil/momentstudio-infra/sandbox/engine/internal/plugin"
)

// Info returns the mapping. Its resource types carry the prefix Random, as those of the
// published package do.
func Info(ctx context.Context) tfbridge.ProviderInfo {
	prov := tfbridge.ProviderInfo{
		P:            pf.ShimProviderWithContext(ctx, shim.NewProvider()),
		Name:         plugin.Random.Name,
		Version:      plugin.Random.Version,
		MetadataInfo: info.NewProviderMetadata([]byte("{}")),
		Resources: map[string]*info.Resource{
			"random_bytes": {ComputeID: bytesID},
		},
	}
	standard := tokens.MakeStandard("random")
	prov.MustComputeTokens(tokens.SingleModule("random_", "index", func(module, name string) (string, error) {
		return standard(module, "Random"+name)
	}))
	return prov
}

// bytesID takes the value itself as the ID, because the Terraform resource has none. The
// published package does the same, although an ID is not kept secret in the state: whoever
// derives keys from RandomBytes must know that the sandbox and production are alike in this.
func bytesID(_ context.Context, state resource.PropertyMap) (resource.ID, error) {
	value, ok := state["base64"]
	if !ok {
		return "", errors.New("random bytes: no base64 in state")
	}
	if value.IsSecret() {
		value = value.SecretValue().Element
	}
	if !value.IsString() {
		return "", errors.New("random bytes: base64 in state is not a string")
	}
	return resource.ID(value.StringValue()), nil
}
