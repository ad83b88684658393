package main

import (
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/prekzursil/momentstudio-infra/internal/drill"
	"github.com/prekzursil/momentstudio-infra/internal/engine"
	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
)

func drillCommand(cli *engine.Stack) *cobra.Command {
	o := drill.Options{}
	cmd := &cobra.Command{
		Use: "drill", Short: "Restore a backup on a host of its own, prove it, and remove all of it again",
		Args: cobra.NoArgs,
		Long: `Make a stack of its own from Pulumi.drill.yaml on a new host without a way out, restore a backup
there from its destination, look at everything that the shop must be able to do, write a report and
remove the stack again, also after a failure or an interrupt. Exit code 0 means that every check
passed and that nothing is left, or that it is kept as asked.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			now := time.Now()
			if cli.Name == "" {
				cli.Name = drill.StackName(now)
			}
			drillFile(cli)
			cli.Parallel = 8
			return drill.Run(cmd.Context(), *cli, o, now)
		},
	}
	// In place of the root's, which is required.
	cmd.PersistentFlags().StringVarP(&cli.Name, "stack", "s", "", "the drill's stack; default: drill- and the time")
	cmd.PersistentFlags().StringVar(&cli.ConfigFile, "config-file", "", "instead of Pulumi.drill.yaml")
	cmd.Flags().StringVar(&o.Of, "of", "prod", "stack whose file names the release and the images of the drill; empty: "+
		"the drill's own file does")
	cmd.Flags().StringVar(&o.Backup, "backup", hostspec.LatestBackup,
		`"latest", a backup's ID, or a time such as 2026-11-25T04:30Z: the newest backup of then`)
	cmd.Flags().StringVar(&o.From, "from", "", "destination to take the backup from; default: the first of the drill's "+
		"file")
	cmd.Flags().StringVar(&o.Report, "report", "", "directory for report.md and report.json; default: "+
		".momentstudio/<stack>")
	cmd.Flags().BoolVar(&o.Keep, "keep", false, "leave the stack until it expires")
	cmd.Flags().DurationVar(&o.Life, "for", 6*time.Hour, "time after which studio drill reap may remove the stack, kept "+
		"or left behind")
	cmd.Flags().DurationVar(&o.Allow.For, "ssh-allow", 0, "open the host's SSH port to this machine for so long at most")
	cmd.Flags().StringVar(&o.Allow.Address, "address", os.Getenv("STUDIO_ADDRESS"), addressUsage)
	cmd.AddCommand(&cobra.Command{
		Use: "reap", Short: "Remove the drills whose time is over", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			drillFile(cli)
			return drill.Reap(cmd.Context(), *cli, time.Now())
		},
	})
	return cmd
}

func drillFile(cli *engine.Stack) {
	if cli.ConfigFile == "" {
		cli.ConfigFile = filepath.Join(cli.Root, "Pulumi.drill.yaml")
	}
}
