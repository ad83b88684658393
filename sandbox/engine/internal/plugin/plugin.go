// Package plugin holds what the four provider plugins have in common: the release that each
// of them stands for, and the small schema that the engine wants to see. It never talks to
// any API.
//
// A plugin here is the bridge of the published one around the same Terraform provider (or,
// for Cloudflare, around a provider written for the sandbox), so that a program runs against
// loopback APIs with the resource types, field names and diffs it will meet in production.
package plugin

import (
	"encoding/json"
	"fmt"
)

// Release names a published provider release: the name of the package and the version that
// its Go SDK asks the engine for. A plugin that answered another version would not be found.
type Release struct {
	Name    string
	Version string
}

// The releases that the plugins stand for. They are those of the Go SDKs that the program
// imports; a test compares them with its go.mod.
var (
	Cloudflare = Release{Name: "cloudflare", Version: "5.49.1"}
	Docker     = Release{Name: "docker", Version: "4.11.2"}
	Hcloud     = Release{Name: "hcloud", Version: "1.32.1"}
	Random     = Release{Name: "random", Version: "4.21.2"}
)

// Schema returns the schema that the plugin hands to the engine. It names no resources:
// only languages whose host checks types at run time read more than name and version, and
// Go is compiled against the published SDK instead.
func (r Release) Schema() []byte {
	schema, err := json.Marshal(map[string]string{"name": r.Name, "version": r.Version})
	if err != nil {
		// A map of two strings always encodes.
		panic(fmt.Sprintf("encode schema of %s: %v", r.Name, err))
	}
	return schema
}
