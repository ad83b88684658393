package main

import (
	"errors"
	"slices"

	"github.com/spf13/cobra"

	"github.com/prekzursil/momentstudio-infra/internal/commandline"
	"github.com/prekzursil/momentstudio-infra/internal/engine"
	"github.com/prekzursil/momentstudio-infra/internal/studio"
)

func backupCommand(cli *engine.Stack) *cobra.Command {
	cmd := &cobra.Command{Use: "backup", Short: "Back the stack up, and list its backups"}
	now := &cobra.Command{
		Use: "now", Short: "Make a backup at every destination, and show how it goes", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return studio.BackUp(cmd.Context(), *cli) },
	}
	cmd.AddCommand(now, restoreListCommand(cli))
	return cmd
}

// restoreCommand is `hostops restore` from the desk.
func restoreCommand(cli *engine.Stack) *cobra.Command {
	cmd := &cobra.Command{
		Use: "restore", Short: "Restore a backup on the host, and undo or finish a restore",
		Long: `Run hostops restore on the host, with this terminal. Its exit codes are in docs/reference/hostops.md; a
restore that loses its connection is continued.`,
	}
	plain := func(name, short string) *cobra.Command {
		return &cobra.Command{
			Use: name, Short: short, Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error { return studio.Restore(cmd.Context(), *cli, name) },
		}
	}
	cmd.AddCommand(
		restoreListCommand(cli), restoreStartCommand(cli), plain("undo", "Make the state of before the restore serve again"),
		plain("drop", "Remove for good what does not serve"), restoreContinueCommand(cli), restoreStatusCommand(cli),
	)
	return cmd
}

func restoreListCommand(cli *engine.Stack) *cobra.Command {
	var from string
	cmd := &cobra.Command{
		Use: "list", Short: "Show the backups of a destination", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return studio.Restore(cmd.Context(), *cli, withFlags([]string{"list"}, "--from", from)...)
		},
	}
	cmd.Flags().StringVar(&from, "from", "", "destination (default: the first that is not on the data volume)")
	return cmd
}

func restoreStartCommand(cli *engine.Stack) *cobra.Command {
	var backup, archive, from, of string
	var yes bool
	cmd := &cobra.Command{
		Use: "start", Short: "Replace database and files by those of a backup", Args: cobra.NoArgs,
		Long: `Replace database and files by those of a backup. It asks for the stack's name first; what was replaced is
kept until restore drop.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if (backup == "") == (archive == "") {
				return commandline.Usage(errors.New("say what to restore: either --backup or --archive"))
			}
			args := withFlags(nil, "--backup", backup, "--archive", archive, "--from", from, "--of", of)
			if yes {
				args = append(args, "--yes")
			}
			return studio.Restore(cmd.Context(), *cli, args...)
		},
	}
	cmd.Flags().StringVar(&backup, "backup", "", `"latest", a backup's ID, or a time such as 2026-11-25T04:30Z`)
	cmd.Flags().StringVar(&archive, "archive", "", "archive of the old scripts, on the data volume, instead")
	cmd.Flags().StringVar(&from, "from", "", "destination (default: the first that is not on the data volume)")
	cmd.Flags().StringVar(&of, "of", "", "stack whose backup it is (default: this one)")
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask for the stack's name")
	return cmd
}

func restoreContinueCommand(cli *engine.Stack) *cobra.Command {
	var to string
	cmd := &cobra.Command{
		Use: "continue", Short: "Finish a restore that was interrupted", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return studio.Restore(cmd.Context(), *cli, withFlags([]string{"continue"}, "--to", to)...)
		},
	}
	cmd.Flags().StringVar(&to, "to", "", "which state is to serve: restored or before (default: the one that the "+
		"interrupted run was to bring)")
	return cmd
}

func restoreStatusCommand(cli *engine.Stack) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "status", Short: "Show the state of the last restore", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			args := []string{"status"}
			if asJSON {
				args = append(args, "--json")
			}
			return studio.Restore(cmd.Context(), *cli, args...)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print it as JSON")
	return cmd
}

// withFlags appends those flags whose value is not empty.
func withFlags(args []string, flags ...string) []string {
	for pair := range slices.Chunk(flags, 2) {
		if value := pair[1]; value != "" {
			args = append(args, pair[0]+"="+value)
		}
	}
	return args
}
