package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/prekzursil/momentstudio-infra/internal/commandline"
	"github.com/prekzursil/momentstudio-infra/internal/hostops/backup"
	"github.com/prekzursil/momentstudio-infra/internal/hostops/journal"
	"github.com/prekzursil/momentstudio-infra/internal/hostops/lock"
	"github.com/prekzursil/momentstudio-infra/internal/hostops/release"
	"github.com/prekzursil/momentstudio-infra/internal/hostops/restic"
	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
)

func backupCommand() *cobra.Command {
	var anew []string
	cmd := &cobra.Command{
		Use: "backup", Short: "Back the shop up to every destination, and read it back", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			who := "a backup, since " + time.Now().UTC().Format(time.RFC3339)
			unlock, err := lock.AcquireInTurn(cmd.Context(), hostspec.BackupLock, "a backup", who, cmd.OutOrStdout())
			if err != nil {
				return err
			}
			defer unlock()
			if err := journal.HalfSwitched(hostspec.RestoreJournal); err != nil {
				return err
			}
			spec, err := backup.ReadSpec(hostspec.BackupSecret)
			if err != nil {
				return err
			}
			for _, name := range anew {
				if err := restic.HasDestination(spec, name); err != nil {
					return commandline.Usage(err)
				}
			}
			if err := backup.Run(cmd.Context(), spec, backup.Paths{Restic: resticProgram}, anew, cmd.OutOrStdout()); err != nil {
				return err
			}
			if err := backup.CheckIn(cmd.Context(), spec.Notify, true); err != nil {
				fmt.Fprintln(cmd.OutOrStdout(), "the backup is a good one, but its monitor was not told:", err)
			}
			if err := release.RestartBackend(cmd.Context(), cmd.OutOrStdout()); err != nil {
				// Its kind is not passed on: what is true of a lock is not of the backup.
				return fmt.Errorf("the backup is a good one, but the API was not restarted, so the admin page shows the one "+
					"before: %v; fix: docker service update --force momentstudio-backend", err)
			}
			return nil
		},
	}
	cmd.Flags().StringSliceVar(&anew, "anew", nil, "destination at which a repository is made although the one that was "+
		"there is gone; may be repeated")
	return cmd
}

// showLimit leaves the timer's five minutes room to tell the age.
const showLimit = 4 * time.Minute

func backupAgeCommand() *cobra.Command {
	return &cobra.Command{
		Use: "backup-age", Short: "Fail when the newest verified backup is too old", Args: cobra.NoArgs,
		Long: `Fail when the newest verified backup is too old. An API that does not show it yet, because a
maintenance or a failure kept it from being restarted, is restarted here.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			text, err := backup.AgeOn("", time.Now())
			fmt.Fprint(cmd.OutOrStdout(), text)
			// It has its next turn in an hour, and is no matter of the backups' age.
			ctx, cancel := context.WithTimeout(cmd.Context(), showLimit)
			defer cancel()
			if err := release.ShowBackup(ctx, cmd.OutOrStdout()); err != nil {
				fmt.Fprintln(cmd.OutOrStdout(), "the API may show an older backup:", err)
			}
			return err
		},
	}
}

func backupCheckCommand() *cobra.Command {
	var whole bool
	cmd := &cobra.Command{
		Use: "backup-check", Short: "Read a sample of every destination's backups back", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			spec, err := backup.ReadSpec(hostspec.BackupSecret)
			if err != nil {
				return err
			}
			return backup.Check(cmd.Context(), spec, resticProgram, whole, cmd.OutOrStdout())
		},
	}
	cmd.Flags().BoolVar(&whole, "whole", false, "read everything, and restore the newest dump into a Postgres that is "+
		"thrown away")
	return cmd
}

func notifyCommand() *cobra.Command {
	var unit string
	cmd := &cobra.Command{
		Use: "notify", Short: "Tell those who are to know that a unit failed", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			spec, err := backup.ReadSpec(hostspec.BackupSecret)
			if err != nil {
				return err
			}
			now := time.Now()
			state, errState := backup.ReadState(hostspec.BackupStatus) // what cannot be read is told too
			text, errAge := backup.AgeOn("", now)
			return backup.Notify(cmd.Context(), spec.Notify, backup.Failure{
				Stack: spec.Stack, Unit: unit, Detail: errors.Join(errAge, errors.New(text)).Error(), Time: now,
				Backup: errState != nil || state.FailedBy(now),
			})
		},
	}
	cmd.Flags().StringVar(&unit, "unit", "", "the systemd unit that failed")
	_ = cmd.MarkFlagRequired("unit")
	return cmd
}

func sftpCommand() *cobra.Command {
	var destination string
	cmd := &cobra.Command{
		Use: "sftp-connect", Short: "Join standard input and output with a destination's SFTP server; restic runs it",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			spec, err := backup.ReadSpec(hostspec.BackupSecret)
			if err != nil {
				return err
			}
			if err := restic.ConnectSFTP(cmd.Context(), spec, destination, cmd.InOrStdin(), cmd.OutOrStdout()); err != nil {
				return overheard{err}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&destination, "destination", "", "the destination's name; required")
	_ = cmd.MarkFlagRequired("destination")
	return cmd
}
