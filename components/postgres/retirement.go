package postgres

import (
	"fmt"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// RetirementToken is part of the child's URN: changing it needs an alias.
const RetirementToken = "momentstudio:postgres:Retirement"

// Retirement closes the login role that is not in use. It is no child of Postgres: everything that
// waits for the database would wait for it, and it waits for everything that uses the database.
type Retirement struct {
	pulumi.ResourceState
}

// NewRetirement closes the idle login role once everything in after uses the active one. A change of
// the active role or of a password runs it again.
func NewRetirement(ctx *pulumi.Context, name string, args Args, after []pulumi.Resource,
	opts ...pulumi.ResourceOption,
) (*Retirement, error) {
	if err := args.validate(name); err != nil {
		return nil, err
	}
	r := &Retirement{}
	if err := ctx.RegisterComponentResource(RetirementToken, name, r, opts...); err != nil {
		return nil, fmt.Errorf("register retirement %q: %w", name, err)
	}
	job, err := rolesJob(ctx, name+"-job", "db-retire", args, pulumi.Parent(r), pulumi.DependsOn(after))
	if err != nil {
		return nil, err
	}
	return r, ctx.RegisterResourceOutputs(r, pulumi.Map{"done": job.Done})
}
