// Package shim hands out the Terraform provider for Docker. It exists because that provider
// lives in an internal package: only a module whose path lies below the provider's own path
// may import it, so this one takes such a path and is reached through a replace directive.
package shim

import (
	"github.com/hashicorp/terraform-plugin-sdk/v2/helper/schema"
	"github.com/terraform-providers/terraform-provider-docker/internal/provider"
)

// NewProvider returns the provider, which reports the given version in its requests.
func NewProvider(version string) *schema.Provider {
	return provider.New(version)()
}
