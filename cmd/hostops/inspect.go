package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/prekzursil/momentstudio-infra/internal/commandline"
	"github.com/prekzursil/momentstudio-infra/internal/hostops/inspect"
	"github.com/prekzursil/momentstudio-infra/internal/hostops/systemd"
	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
)

// inspectLimit is longer than the logs of all services take.
const inspectLimit = 3 * time.Minute

func inspectCommand() *cobra.Command {
	return &cobra.Command{
		Use: "inspect", Short: "Report what the host runs and holds, as JSON", Args: cobra.NoArgs,
		Long: `Read from standard input, as JSON, what is asked of the host, and report it as JSON. The types of both are in
internal/hostspec. Nothing is changed. The report holds settings of the shop.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var q hostspec.Inspection
			in := json.NewDecoder(cmd.InOrStdin())
			in.DisallowUnknownFields()
			if err := in.Decode(&q); err != nil && !errors.Is(err, io.EOF) {
				return commandline.Usage(errors.New("standard input is not the JSON of an inspection"))
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), inspectLimit)
			defer cancel()
			report, err := inspect.Run(ctx, q, hostspec.HostRoot, systemd.Manager{})
			if err != nil {
				return err
			}
			return json.NewEncoder(cmd.OutOrStdout()).Encode(report)
		},
	}
}
