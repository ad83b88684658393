// Package docker maps the Terraform provider for Docker to the resource types and field
// names of the published Pulumi package.
package docker

import (
	"context"

	"github.com/hashicorp/terraform-plugin-sdk/v2/diag"
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
	readNetworksByName(upstream.ResourcesMap["docker_service"])
	leaveInitToTheEngine(upstream.ResourcesMap["docker_service"])
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

// leaveInitToTheEngine removes a field of services that the published package's release does not
// have: unset, it is sent as false and overrules daemon.json.
func leaveInitToTheEngine(service *schema.Resource) {
	nested := func(r *schema.Resource, field string) *schema.Resource {
		//nolint:forcetypeassert // a changed upstream must stop the build's test
		return r.Schema[field].Elem.(*schema.Resource)
	}
	delete(nested(nested(service, "task_spec"), "container_spec").Schema, "init")
}

// readNetworksByName makes a refresh of a service report its networks in the field "name", as the
// published package's release does: upstream's newer one reports them in "id", which the SDK does
// not have, so that every refresh would plan to replace every service.
func readNetworksByName(service *schema.Resource) {
	read := service.ReadContext
	service.ReadContext = func(ctx context.Context, d *schema.ResourceData, meta any) diag.Diagnostics {
		diags := read(ctx, d, meta)
		spec, ok := d.Get("task_spec").([]any)
		if diags.HasError() || d.Id() == "" || !ok || len(spec) != 1 {
			return diags
		}
		task, ok := spec[0].(map[string]any)
		if !ok {
			return diags
		}
		networks, ok := task["networks_advanced"].(*schema.Set)
		if !ok {
			return diags
		}
		named := make([]any, 0, networks.Len())
		for _, n := range networks.List() {
			network, ok := n.(map[string]any)
			if !ok {
				return diags
			}
			if id, _ := network["id"].(string); id != "" {
				network["name"], network["id"] = id, ""
			}
			named = append(named, network)
		}
		task["networks_advanced"] = schema.NewSet(networks.F, named)
		if err := d.Set("task_spec", []any{task}); err != nil {
			return append(diags, diag.FromErr(err)...)
		}
		return diags
	}
}
