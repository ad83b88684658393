package stacks

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// recorder lists the custom resources, providers aside, in the order of their declaration. Whatever
// must wait for a component waits for the resources that it declared: the SDK gives a component its
// children only when their own registration begins, so that a dependency on the component itself misses
// some of them now and then (seen in one of thirty runs).
type recorder struct{ made []pulumi.Resource }

// record begins to list. It must come before the first resource.
func record(ctx *pulumi.Context) (*recorder, error) {
	r := &recorder{}
	err := ctx.RegisterStackTransformation(
		func(args *pulumi.ResourceTransformationArgs) *pulumi.ResourceTransformationResult {
			if _, custom := args.Resource.(pulumi.CustomResource); custom && !strings.HasPrefix(args.Type, "pulumi:providers:") {
				r.made = append(r.made, args.Resource)
			}
			return nil
		})
	if err != nil {
		return nil, fmt.Errorf("list the resources: %w", err)
	}
	return r, nil
}

// all returns what was declared so far.
func (r *recorder) all() []pulumi.Resource { return slices.Clone(r.made) }

// count is how many were declared so far.
func (r *recorder) count() int { return len(r.made) }

// since returns what was declared after the first n resources.
func (r *recorder) since(n int) []pulumi.Resource { return slices.Clone(r.made[n:]) }
