package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/prekzursil/momentstudio-infra/internal/commandline"
	"github.com/prekzursil/momentstudio-infra/internal/hostops/backup"
	"github.com/prekzursil/momentstudio-infra/internal/hostops/journal"
	"github.com/prekzursil/momentstudio-infra/internal/hostops/lock"
	"github.com/prekzursil/momentstudio-infra/internal/hostops/restic"
	"github.com/prekzursil/momentstudio-infra/internal/hostops/restore"
	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
)

const resticProgram = "/restic"

func restoreCommand() *cobra.Command {
	r := restore.Restoration{Restic: resticProgram}
	var yes bool
	cmd := &cobra.Command{
		Use: "restore", Short: "Replace database and files by those of a backup; the replaced ones are kept",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if (r.Backup == "") == (r.Archive == "") {
				return commandline.Usage(errors.New("say what to restore: either --backup or --archive"))
			}
			return restoring("a restore", func(spec hostspec.Backup) error {
				r.Spec = spec
				r.Confirm = func(what string) error {
					if yes {
						return nil
					}
					return confirm(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout(), spec.Stack, what)
				}
				return restore.Run(cmd.Context(), r, cmd.OutOrStdout())
			})
		},
	}
	cmd.Flags().StringVar(&r.From, "from", "", "destination to take the backup from (default: the first that is not on "+
		"the data volume)")
	cmd.Flags().StringVar(&r.Backup, "backup", "",
		`"latest", a backup's ID, or a time such as 2026-11-25T04:30Z: the newest backup of then`)
	cmd.Flags().StringVar(&r.Archive, "archive", "", "archive of the old scripts (backup-*.tar.gz), on the data volume, "+
		"instead")
	cmd.Flags().StringVar(&r.Of, "of", "", "stack whose backup it is (default: this host's own)")
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask for the stack's name")
	cmd.AddCommand(
		continueCommand(),
		stepCommand("undo", "Make the state of before the restore serve again",
			func(cmd *cobra.Command, spec hostspec.Backup) error {
				return restore.Undo(cmd.Context(), spec, cmd.OutOrStdout())
			}),
		stepCommand("drop", "Remove for good what does not serve", func(cmd *cobra.Command, spec hostspec.Backup) error {
			return restore.Drop(cmd.Context(), spec, cmd.OutOrStdout())
		}),
		listCommand(), restoreStatusCommand(),
	)
	return cmd
}

// patience is how long the question waits: the locks are held meanwhile, and a terminal may be lost.
const patience = 10 * time.Minute

// confirm wants the stack's name typed.
func confirm(ctx context.Context, in io.Reader, out io.Writer, stack, what string) error {
	fmt.Fprintf(out, "This replaces the database and all files of the stack %s by %s.\nType the stack's name to go on: ",
		stack, what)
	answer := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(in).ReadString('\n')
		answer <- strings.TrimSpace(line)
	}()
	select {
	case line := <-answer:
		fmt.Fprintln(out) // the answer's own line end is not seen when it is no terminal
		if line != stack {
			return fmt.Errorf("that is not the stack's name: nothing was changed; fix: run it again and type %s, or give --yes",
				stack)
		}
		return nil
	case <-ctx.Done():
		fmt.Fprintln(out)
		return fmt.Errorf("nothing was changed: %w", ctx.Err())
	case <-time.After(patience):
		fmt.Fprintln(out)
		return fmt.Errorf("no answer within %s: nothing was changed; fix: run it again and type %s, or give --yes", patience,
			stack)
	}
}

func continueCommand() *cobra.Command {
	var to string
	cmd := stepCommand("continue", "Finish a restore that was interrupted",
		func(cmd *cobra.Command, spec hostspec.Backup) error {
			side := hostspec.RestoreSide(to)
			if side != "" && side != hostspec.SideRestored && side != hostspec.SideBefore {
				return commandline.Usage(fmt.Errorf("--to is %q, want %s or %s", to, hostspec.SideRestored, hostspec.SideBefore))
			}
			return restore.Continue(cmd.Context(), spec, side, cmd.OutOrStdout())
		})
	cmd.Flags().StringVar(&to, "to", "", "which state is to serve: restored or before (default: the one that the "+
		"interrupted run was to bring)")
	return cmd
}

// restoring runs work as the only one that changes services, and without a backup beside it.
func restoring(what string, work func(hostspec.Backup) error) error {
	who := fmt.Sprintf("%s, since %s", what, time.Now().UTC().Format(time.RFC3339))
	for _, l := range []struct{ path, work string }{
		{hostspec.ServicesLock, "a change of the services"},
		{hostspec.BackupLock, "a backup"},
	} {
		release, err := lock.Acquire(l.path, l.work, who)
		if err != nil {
			return err
		}
		defer release()
	}
	spec, err := backup.ReadSpec(hostspec.BackupSecret)
	if err != nil {
		return fmt.Errorf("%w; restores need backup.enabled in the stack's config, and an update with it", err)
	}
	return work(spec)
}

func stepCommand(use, short string, work func(*cobra.Command, hostspec.Backup) error) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return restoring("a restore ("+use+")", func(spec hostspec.Backup) error { return work(cmd, spec) })
		},
	}
}

func listCommand() *cobra.Command {
	var from string
	cmd := &cobra.Command{
		Use: "list", Short: "Show the backups of a destination", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			spec, err := backup.ReadSpec(hostspec.BackupSecret)
			if err != nil {
				return err
			}
			name, all, err := restic.Snapshots(cmd.Context(), spec, from, resticProgram)
			if err != nil {
				return err
			}
			for _, s := range all {
				fmt.Fprintf(cmd.OutOrStdout(), "%s  %s  %.8s  %s\n", s.ID, name, s.Snapshot, s.Stack)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&from, "from", "", "destination (default: the first that is not on the data volume)")
	return cmd
}

func restoreStatusCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "status", Short: "Show the state of the last restore", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			state, err := journal.Read(hostspec.RestoreJournal)
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			if asJSON {
				return json.NewEncoder(out).Encode(state)
			}
			fmt.Fprintln(out, state.Describe())
			if state != nil {
				for _, p := range state.Phases {
					fmt.Fprintf(out, "  %-28s %8.1f s\n", p.Name, p.Seconds)
				}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the state as JSON; null without a restore")
	return cmd
}
