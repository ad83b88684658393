package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/prekzursil/momentstudio-infra/internal/engine"
	"github.com/prekzursil/momentstudio-infra/internal/studio"
)

func logsCommand(cli *engine.Stack) *cobra.Command {
	o := studio.LogOptions{}
	cmd := &cobra.Command{
		Use: "logs [SERVICE]", Short: "Show what services print", Args: cobra.MaximumNArgs(1), ValidArgs: studio.Services(),
		Long: "Show what one service prints, or all of them: " + strings.Join(studio.Services(), ", ") + `.
The output may hold customers' data.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				o.Service = args[0]
			}
			return studio.Logs(cmd.Context(), *cli, o)
		},
	}
	cmd.Flags().DurationVar(&o.Since, "since", 0, "only lines of this time, for example 30m; default: all that are kept")
	cmd.Flags().IntVar(&o.Lines, "lines", 100, "how many of the newest lines of each task")
	cmd.Flags().StringVar(&o.Grep, "grep", "", "only lines that match this regular expression")
	cmd.Flags().BoolVarP(&o.Follow, "follow", "f", false, "go on until interrupted; needs a service")
	return cmd
}

func execCommand(cli *engine.Stack) *cobra.Command {
	return &cobra.Command{
		Use: "exec SERVICE -- COMMAND [ARGUMENT…]", DisableFlagsInUseLine: true,
		Short: "Run a command in a task of a service", Args: cobra.MinimumNArgs(2), ValidArgs: studio.Services(),
		Long: "Run a command in a task of one of the services " + strings.Join(studio.Services(), ", ") + `. The exit code is
the command's.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return studio.Exec(cmd.Context(), *cli, args[0], args[1:])
		},
	}
}

func psqlCommand(cli *engine.Stack) *cobra.Command {
	var o studio.PsqlOptions
	var yes bool
	cmd := &cobra.Command{
		Use: "psql [flags] [-- ARGUMENT…]", DisableFlagsInUseLine: true, Short: "Open the shop's database, to read",
		Long: `Open the shop's database with psql; what follows -- are arguments of psql. Transactions only read,
unless --write is given, which asks for the stack's name. The exit code is psql's.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Args = args
			o.Confirm = func() error {
				if yes {
					return nil
				}
				return confirmWriting(cli.Name)
			}
			return studio.Psql(cmd.Context(), *cli, o)
		},
	}
	cmd.Flags().BoolVar(&o.Write, "write", false, "let transactions write")
	cmd.Flags().BoolVar(&yes, "yes", false, "with --write: do not ask")
	return cmd
}

// confirmWriting wants the stack's name typed.
func confirmWriting(stack string) error {
	if !term.IsTerminal(int(os.Stdin.Fd())) {
		return errors.New("--write asks for the stack's name, and there is no terminal; fix: add --yes")
	}
	fmt.Fprintf(os.Stderr, "What you write changes the live shop of stack %s.\nType the stack's name to go on: ", stack)
	line, err := bufio.NewReader(os.Stdin).ReadString('\n')
	if err != nil || strings.TrimSpace(line) != stack {
		return errors.New("that is not the stack's name: nothing was opened; fix: run it again and type " + stack)
	}
	return nil
}

func sshCommand(cli *engine.Stack) *cobra.Command {
	return &cobra.Command{
		Use: "ssh [-- COMMAND [ARGUMENT…]]", DisableFlagsInUseLine: true,
		Short: "Open a shell on the host, or run a command there",
		Long: `Open a shell on the host as root, with the host key from the state, or run a command there. The exit
code is the command's.`,
		RunE: func(cmd *cobra.Command, args []string) error { return studio.Shell(cmd.Context(), *cli, args) },
	}
}

func historyCommand(cli *engine.Stack) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "history", Short: "Show who changed the stack, when, with which commit and result", Args: cobra.NoArgs,
		Long: `Show the newest hundred runs of the engine on the stack, the newest first: updates, refreshes, imports.
An update that brings an earlier release again is marked (back). A run that was killed leaves no
entry.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return studio.History(cmd.Context(), *cli, asJSON) },
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the runs as JSON")
	return cmd
}
