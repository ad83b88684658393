// Package shim hands out the Terraform provider for random values. It exists because that
// provider lives in an internal package: only a module whose path lies below the provider's
// own path may import it, so this one takes such a path and is reached through a replace
// directive.
package shim

import (
	"github.com/hashicorp/terraform-plugin-framework/provider"
	random "github.com/terraform-providers/terraform-provider-random/internal/provider"
)

// NewProvider returns the provider.
func NewProvider() provider.Provider {
	return random.New()
}
