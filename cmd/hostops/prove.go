package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/prekzursil/momentstudio-infra/internal/hostops/acceptance"
	"github.com/prekzursil/momentstudio-infra/internal/hostops/backup"
	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
)

func proveCommand() *cobra.Command {
	var domain string
	cmd := &cobra.Command{
		Use: "prove", Short: "Look at everything that a restored shop must be able to do, on a host that is thrown away",
		Args: cobra.NoArgs,
		Long: `Look at everything that a restored shop must be able to do, and print what was found as JSON. It
removes one picture for good, and refuses on a stack that is no drill. Exit code 1: a check failed.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			spec, err := backup.ReadSpec(hostspec.BackupSecret)
			if err != nil {
				return err
			}
			proof, err := acceptance.Run(cmd.Context(), spec, hostspec.Domain(domain))
			if err != nil {
				return err
			}
			out := json.NewEncoder(cmd.OutOrStdout())
			out.SetIndent("", "  ")
			if err := out.Encode(proof); err != nil {
				return err
			}
			if bad := proof.Failures(); len(bad) > 0 {
				return fmt.Errorf("not so: %s", strings.Join(bad, "; "))
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&domain, "domain", "", "the shop's domain; required")
	_ = cmd.MarkFlagRequired("domain")
	return cmd
}
