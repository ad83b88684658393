// Package hcloud maps the Terraform provider for Hetzner Cloud to the resource types and
// field names of the published Pulumi package. It wraps the very release that the published
// package wraps.
package hcloud

import (
	"context"
	"fmt"

	"github.com/hetznercloud/terraform-provider-hcloud/hcloud"
	pf "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/pf/tfbridge"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge/info"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge/tokens"
	shimv2 "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfshim/sdk-v2"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/x/muxer"
	"github.com/pulumi/pulumi-terraform-bridge/v3/unstable/metadata"

	"github.com/prekzursil/momentstudio-infra/sandbox/engine/internal/plugin"
)

// The longest name that the published package generates, and what separates it from the
// random suffix.
const (
	autoNameLength    = 255
	autoNameSeparator = "-"
)

// dispatcher is the part of the bridge's two-in-one provider that says which half serves
// which resource. Its type is internal to the bridge; its method is not.
type dispatcher interface {
	ResolveDispatch(info *tfbridge.ProviderInfo) (muxer.DispatchTable, error)
}

// Info returns the mapping. It fails when the bridge cannot tell which half of the provider
// (old SDK or plugin framework) serves a resource.
func Info(ctx context.Context) (tfbridge.ProviderInfo, error) {
	prov := tfbridge.ProviderInfo{
		P: pf.MuxShimWithPF(ctx,
			shimv2.NewProvider(hcloud.Provider()),
			hcloud.NewPluginProvider()),
		Name:         plugin.Hcloud.Name,
		Version:      plugin.Hcloud.Version,
		MetadataInfo: info.NewProviderMetadata([]byte("{}")),
		Config: map[string]*info.Schema{
			"token": {Secret: tfbridge.True()},
		},
	}
	prov.MustComputeTokens(tokens.SingleModule("hcloud_", "index", tokens.MakeStandard("hcloud")))
	prov.SetAutonaming(autoNameLength, autoNameSeparator)

	// The published package carries the dispatch table in its generated metadata, and the
	// bridge refuses to start without one. Here it is computed when the plugin starts.
	mux, ok := prov.P.(dispatcher)
	if !ok {
		return prov, fmt.Errorf("provider of type %T has no dispatch table", prov.P)
	}
	table, err := mux.ResolveDispatch(&prov)
	if err != nil {
		return prov, fmt.Errorf("compute dispatch table: %w", err)
	}
	if err := metadata.Set(prov.GetMetadata(), "mux", table); err != nil {
		return prov, fmt.Errorf("store dispatch table: %w", err)
	}
	return prov, nil
}
