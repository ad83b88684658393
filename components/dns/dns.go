// Package dns publishes the shop's names.
package dns

import (
	"fmt"

	"github.com/pulumi/pulumi-cloudflare/sdk/v5/go/cloudflare"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/prekzursil/momentstudio-infra/internal/fault"
	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
)

// TypeToken is part of every child's URN: changing it needs an alias.
const TypeToken = "momentstudio:dns:DNS"

// Args describes the records.
type Args struct {
	ZoneID  string             // Cloudflare zone; required; a change replaces the records
	Domain  hostspec.Domain    // apex; required; a change deletes the records before making new ones
	Address pulumi.StringInput // IPv4 address of the host; required; changed in place
	Proxied bool               // through Cloudflare's proxies; changed in place
	TTL     int                // seconds; ignored when proxied, where the API wants 1
}

// DNS is the A records of apex and www. There is no AAAA record: Docker's bridge hides the
// addresses of IPv6 clients, and the application would see the proxy's.
type DNS struct {
	pulumi.ResourceState
	Names []string
}

// New publishes the records. It never overwrites a record that it did not make.
func New(ctx *pulumi.Context, name string, args Args, opts ...pulumi.ResourceOption) (*DNS, error) {
	var bad []error
	if args.ZoneID == "" {
		bad = append(bad, fault.Field("zoneID", args.ZoneID, "a Cloudflare zone ID"))
	}
	if args.Domain == "" {
		bad = append(bad, fault.Field("domain", args.Domain, "the apex domain"))
	}
	if args.Address == nil {
		bad = append(bad, fault.Field("address", nil, "the host's address"))
	}
	if err := fault.List(fmt.Sprintf("dns %q", name), bad...); err != nil {
		return nil, err
	}
	d := &DNS{Names: args.Domain.Names()}
	if err := ctx.RegisterComponentResource(TypeToken, name, d, opts...); err != nil {
		return nil, fmt.Errorf("register dns %q: %w", name, err)
	}
	ttl := args.TTL
	if args.Proxied {
		ttl = 1
	}
	for i, part := range []string{"apex", "www"} {
		_, err := cloudflare.NewRecord(ctx, name+"-"+part, &cloudflare.RecordArgs{
			ZoneId: pulumi.String(args.ZoneID),
			Name:   pulumi.String(d.Names[i]),
			Type:   pulumi.String("A"),
			// never Value, whose updates do nothing (pulumi-cloudflare#952)
			Content: args.Address.ToStringOutput().ToStringPtrOutput(),
			Proxied: pulumi.Bool(args.Proxied),
			Ttl:     pulumi.Int(ttl),
			Comment: pulumi.String("managed by Pulumi"),
		}, pulumi.Parent(d))
		if err != nil {
			return nil, fmt.Errorf("publish record %s: %w", d.Names[i], err)
		}
	}
	return d, ctx.RegisterResourceOutputs(d, pulumi.Map{})
}
