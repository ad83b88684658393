// Command studio is used at the operator's desk and in CI. The text named reference has its exit codes.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/prekzursil/momentstudio-infra/internal/commandline"
	"github.com/prekzursil/momentstudio-infra/internal/drift"
	"github.com/prekzursil/momentstudio-infra/internal/engine"
	"github.com/prekzursil/momentstudio-infra/internal/hostssh"
	"github.com/prekzursil/momentstudio-infra/internal/importenv"
	"github.com/prekzursil/momentstudio-infra/internal/process"
	"github.com/prekzursil/momentstudio-infra/internal/sshfiles"
	"github.com/prekzursil/momentstudio-infra/internal/studio"
	"github.com/prekzursil/momentstudio-infra/internal/update"
	"github.com/prekzursil/momentstudio-infra/internal/verify"
)

// reference introduces the generated docs/reference/studio.md.
const reference = `
The operator's command, and CI's. Build it in a clone: ` + "`go build -o bin/ ./cmd/studio`" + `.
It runs the Pulumi CLI, whose backend and passphrase come from the environment as always.

Exit codes: 0 done; 1 failed; 2 wrong usage, or a Pulumi CLI that is missing or too old. Of a review:
20 riskier than what was reviewed, 21 data at risk and 22 irreversible without an approval, 23 against
a policy. Of a look at the drift: 24
something is not what the stack says.
`

func main() {
	ends := []os.Signal{syscall.SIGINT, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // as nohup does
		ends = append(ends, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(context.Background(), ends...)
	defer stop()
	if err := commandline.Execute(ctx, command()); err != nil {
		fmt.Fprintln(os.Stderr, "studio:", err)
		var reviewed studio.ReviewError
		var differences drift.Error
		var command process.CommandError
		switch {
		case commandline.Wrong(err):
			os.Exit(2)
		case errors.As(err, &reviewed):
			os.Exit(reviewed.Code)
		case errors.As(err, &differences):
			os.Exit(drift.ExitCode)
		case errors.As(err, &command):
			os.Exit(command.Code)
		}
		os.Exit(1)
	}
}

func command() *cobra.Command {
	var cli engine.Stack
	root := &cobra.Command{
		Use: "studio", Short: "Operate momentstudio stacks", SilenceErrors: true, SilenceUsage: true, Version: version(),
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if cobrasOwn(cmd) {
				return nil // works outside a clone too
			}
			wd, err := os.Getwd()
			if err != nil {
				return err
			}
			if cli.Root, err = engine.FindRoot(wd); err != nil {
				return err
			}
			cli.Out, cli.Err = cmd.OutOrStdout(), cmd.ErrOrStderr()
			if !runsPulumi(cmd) {
				return nil
			}
			if err := engine.CheckCLI(cmd.Context()); err != nil {
				return commandline.Usage(err)
			}
			return nil
		},
	}
	root.SetVersionTemplate("{{.Name}} {{.Version}}\n")
	root.PersistentFlags().StringVarP(&cli.Name, "stack", "s", "", "the stack; required")
	root.PersistentFlags().StringVar(&cli.ConfigFile, "config-file", "", "instead of Pulumi.<stack>.yaml")
	_ = root.MarkPersistentFlagRequired("stack")
	root.AddCommand(upCommand(&cli), recoverCommand(&cli), rollbackCommand(&cli), verifyCommand(&cli), statusCommand(&cli),
		reviewCommand(&cli), driftCommand(&cli), sshAllowCommand(&cli), commentCommand(&cli), pinCommand(&cli),
		sentryCommand(&cli), sshConfigCommand(&cli), placeholdersCommand(&cli), importEnvCommand(&cli), drillCommand(&cli),
		logsCommand(&cli), execCommand(&cli), psqlCommand(&cli), sshCommand(&cli),
		historyCommand(&cli), backupCommand(&cli), restoreCommand(&cli))
	return root
}

// withoutPulumi marks a command that never runs the Pulumi CLI. Its value, when there is one, names the flag with which
// alone that is true.
const withoutPulumi = "without-pulumi"

func runsPulumi(cmd *cobra.Command) bool {
	flag, marked := cmd.Annotations[withoutPulumi]
	return !marked || flag != "" && !cmd.Flags().Changed(flag)
}

// cobrasOwn reports whether a command is cobra's: help and a shell's completion.
func cobrasOwn(cmd *cobra.Command) bool {
	switch cmd.Name() {
	case "help", "completion", cobra.ShellCompRequestCmd, cobra.ShellCompNoDescRequestCmd:
		return true
	}
	return cmd.HasParent() && cobrasOwn(cmd.Parent())
}

func upCommand(cli *engine.Stack) *cobra.Command {
	var ca, result string
	var o update.Options
	cmd := &cobra.Command{
		Use: "up", Short: "Update the stack and check that the site serves it", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if o.Roots, err = verify.Roots(ca); err != nil {
				return err
			}
			report, err := update.Run(cmd.Context(), *cli, o)
			return errors.Join(err, writeJSON(result, report))
		},
	}
	updateFlags(cmd, cli, &ca)
	cmd.Flags().StringVar(&result, "json", "", "file to write to what was changed, and whether it was verified")
	cmd.Flags().BoolVar(&o.ForwardOnly, "forward-only", false,
		"refuse a commit that does not contain the one of the last update")
	return cmd
}

// writeJSON writes a result to the file that a flag names; an empty path writes nothing.
func writeJSON(path string, result any) error {
	if path == "" {
		return nil
	}
	text, err := json.MarshalIndent(result, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, append(text, '\n'), 0o644); err != nil { //nolint:gosec // names and counts only
		return fmt.Errorf("write the result: %w", err)
	}
	return nil
}

func recoverCommand(cli *engine.Stack) *cobra.Command {
	var o update.RecoverOptions
	cmd := &cobra.Command{
		Use: "recover", Short: "Show what a killed run made and did not write down, and take it over", Args: cobra.NoArgs,
		Long: `Ask both clouds and the host what bears the stack's name, and compare it with the state. What the
next update would make and is there already is adopted; what the state knows and is gone is
forgotten, so that the update makes it anew; jobs that a killed run began are removed once they have
ended. Without --yes it only tells. An update does the same before it begins, but for what cannot be
made again as it was (volume, server, address, widget): that is forgotten only when it is named.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return update.Recover(cmd.Context(), *cli, o) },
	}
	cmd.Flags().BoolVar(&o.Apply, "yes", false, "do it")
	cmd.Flags().StringArrayVar(&o.Forget, "forget", nil, "name of a resource that is gone for good, may be given again: "+
		"the next update makes a new one")
	cmd.Flags().DurationVar(&cli.Wait, "wait", 0, "how long to wait for somebody else who changes the host's services")
	return cmd
}

// updateFlags are those of every command that updates the stack.
func updateFlags(cmd *cobra.Command, cli *engine.Stack, ca *string) {
	cmd.Flags().IntVar(&cli.Parallel, "parallel", 8, "resources at a time")
	cmd.Flags().DurationVar(&cli.Wait, "wait", 0, "how long to wait for somebody else who changes the host's services")
	cmd.Flags().StringVar(ca, "ca", "", "PEM file with further authorities by which the site's certificate is checked")
}

func rollbackCommand(cli *engine.Stack) *cobra.Command {
	var ca, to string
	var yes bool
	cmd := &cobra.Command{
		Use: "rollback", Short: "Go back to the last good release, after a preview", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			roots, err := verify.Roots(ca)
			if err != nil {
				return err
			}
			return studio.Rollback(cmd.Context(), *cli, roots, to, func() bool {
				if yes {
					return true
				}
				fmt.Fprint(cmd.OutOrStdout(), "apply this? Only \"yes\" does: ")
				answer, _ := bufio.NewReader(cmd.InOrStdin()).ReadString('\n')
				return strings.TrimSpace(answer) == "yes"
			})
		},
	}
	updateFlags(cmd, cli, &ca)
	cmd.Flags().StringVar(&to, "to", "", "name of the release to go back to; default: the last one that was verified")
	cmd.Flags().BoolVar(&yes, "yes", false, "apply without asking")
	return cmd
}

func verifyCommand(cli *engine.Stack) *cobra.Command {
	var ca string
	var limit time.Duration
	cmd := &cobra.Command{
		Use: "verify", Short: "Check that the host runs what was asked for, and that the site serves it", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			roots, err := verify.Roots(ca)
			if err != nil {
				return err
			}
			if err := hostssh.WriteConfig(cmd.Context(), *cli); err != nil {
				return err
			}
			return verify.Run(cmd.Context(), *cli, roots, limit)
		},
	}
	cmd.Flags().DurationVar(&limit, "limit", 30*time.Second, "how long to wait for everything to hold")
	cmd.Flags().StringVar(&ca, "ca", "", "PEM file with further authorities by which the site's certificate is checked")
	return cmd
}

func reviewCommand(cli *engine.Stack) *cobra.Command {
	var o studio.ReviewOptions
	cmd := &cobra.Command{
		Use: "review", Short: "Preview the stack and judge what an update would risk", Args: cobra.NoArgs,
		Annotations: map[string]string{withoutPulumi: "preview"},
		Long: `Preview the stack, give every step a risk and its cause, and fail when something risky is in it that
no file in approvals/ approves. Exit codes: 0 passes, 20 riskier than the plan that was reviewed, 21
data at risk, 22 irreversible, 23 against a policy.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return studio.Review(cmd.Context(), *cli, o, time.Now()) },
	}
	cmd.Flags().StringVar(&o.Preview, "preview", "", "file with the output of pulumi preview --json, instead of running "+
		"it")
	cmd.Flags().BoolVar(&o.Placeholders, "placeholders", false, "preview with placeholders and an empty state, as a "+
		"stranger does; with --preview or --config-file: say that those are of one")
	cmd.Flags().StringVar(&o.Approvals, "approvals", "approvals", "directory of approvals")
	cmd.Flags().StringVar(&o.Reviewed, "reviewed", "", "an earlier report (--json), which this plan may not exceed")
	cmd.Flags().StringVar(&o.Markdown, "markdown", "", "file to write a comment for a pull request to")
	cmd.Flags().StringVar(&o.JSON, "json", "", "file to write the report to")
	return cmd
}

func statusCommand(cli *engine.Stack) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "status", Short: "Show the host's backups, restore, services, timers and disks", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := hostssh.WriteConfig(cmd.Context(), *cli); err != nil {
				return err
			}
			return studio.Status(cmd.Context(), *cli, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the host's report as JSON, without the settings of services")
	return cmd
}

const addressUsage = "this machine's address, to which the port is opened; default: STUDIO_ADDRESS, or the one that " +
	"Cloudflare sees"

func driftCommand(cli *engine.Stack) *cobra.Command {
	var o drift.Options
	cmd := &cobra.Command{
		Use: "drift", Short: "Compare what the stack says with what is there, and change nothing", Args: cobra.NoArgs,
		Long: `Compare what the last update left with what is there: the clouds' resources, and on the host the
services, files, secrets, networks and timers. Every difference comes with the commands that revert
or adopt it. Nothing is changed. Exit codes: 0 no drift, 24 drift, 1 not everything could be asked.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return drift.Run(cmd.Context(), *cli, o) },
	}
	cmd.Flags().StringVar(&o.JSON, "json", "", "file to write the findings to")
	cmd.Flags().DurationVar(&o.Allow.For, "ssh-allow", 0, "open the host's SSH port to this machine for so long at most")
	cmd.Flags().StringVar(&o.Allow.Address, "address", os.Getenv("STUDIO_ADDRESS"), addressUsage)
	return cmd
}

func sshAllowCommand(cli *engine.Stack) *cobra.Command {
	var a hostssh.Allow
	cmd := &cobra.Command{
		Use: "ssh-allow [flags] -- COMMAND [ARGUMENT…]", DisableFlagsInUseLine: true, Short: "Run a command while the " +
			"host's SSH port is open to this machine", Args: cobra.MinimumNArgs(1),
		Annotations: map[string]string{withoutPulumi: ""}, // the command that it runs may
		Long: `Open port 22 of the stack's host to this machine's address, in a firewall of its own, run the
command, and close it again, however the command ended. When the time is over, the command is
interrupted first. An opening that was left behind by a process that was killed is removed by the
next one. The exit code is the command's.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if a.For <= 0 {
				return commandline.Usage(fmt.Errorf("--for %s is no time", a.For))
			}
			return hostssh.WithAccess(cmd.Context(), *cli, a, func(ctx context.Context) error {
				return process.Command(ctx, os.Stdin, cmd.OutOrStdout(), cmd.ErrOrStderr(), args[0], args[1:]...)
			})
		},
	}
	cmd.Flags().DurationVar(&a.For, "for", 30*time.Minute, "how long it stays open at most")
	cmd.Flags().StringVar(&a.Address, "address", os.Getenv("STUDIO_ADDRESS"), addressUsage)
	return cmd
}

func sshConfigCommand(cli *engine.Stack) *cobra.Command {
	return &cobra.Command{
		Use: "ssh-config", Short: "Write key, known_hosts and SSH configuration from state", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := hostssh.WriteConfig(cmd.Context(), *cli); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "wrote %s; the host answers to: ssh -F %[1]s/config <address>\n",
				sshfiles.Dir(cli.Name))
			return nil
		},
	}
}

func placeholdersCommand(cli *engine.Stack) *cobra.Command {
	var target string
	cmd := &cobra.Command{
		Use: "placeholders", Short: "Copy the stack's file and fill in stand-ins for its secrets", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := cli.Placeholders(cmd.Context(), target); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "wrote %s: good for `pulumi preview --config-file`, refused by an update\n", target)
			return nil
		},
	}
	cmd.Flags().StringVar(&target, "to", "", "the copy's path; required")
	_ = cmd.MarkFlagRequired("to")
	return cmd
}

func importEnvCommand(cli *engine.Stack) *cobra.Command {
	var files importenv.Files
	cmd := &cobra.Command{
		Use: "import-env", Short: "Take the settings of the hand-made deployment into the stack's file", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if files == (importenv.Files{}) {
				return commandline.Usage(errors.New("name at least one file: --backend, --frontend, --infra"))
			}
			return studio.ImportEnv(cmd.Context(), *cli, files)
		},
	}
	cmd.Flags().StringVar(&files.Backend, "backend", "", "the server's backend/.env")
	cmd.Flags().StringVar(&files.Frontend, "frontend", "", "the server's frontend/.env")
	cmd.Flags().StringVar(&files.Infra, "infra", "", "the server's infra/prod/.env")
	return cmd
}
