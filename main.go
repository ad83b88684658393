// Command momentstudio is the Pulumi program: it loads the stack's config and declares the stack.
package main

import (
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/prekzursil/momentstudio-infra/internal/config"
	"github.com/prekzursil/momentstudio-infra/stacks"
)

func main() {
	pulumi.Run(func(ctx *pulumi.Context) error {
		source, err := config.FromEnvironment(ctx.Project(), ctx.Stack(), ctx.DryRun())
		if err != nil {
			return err
		}
		c, err := config.Load(source)
		if err != nil {
			return err
		}
		for _, warning := range c.Warnings {
			if err := ctx.Log.Warn(warning, nil); err != nil {
				return err
			}
		}
		return stacks.Deploy(ctx, c)
	})
}
