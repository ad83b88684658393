package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/prekzursil/momentstudio-infra/internal/commandline"
	"github.com/prekzursil/momentstudio-infra/internal/engine"
	"github.com/prekzursil/momentstudio-infra/internal/pullrequest"
	"github.com/prekzursil/momentstudio-infra/internal/review"
	"github.com/prekzursil/momentstudio-infra/internal/studio"
)

// forkNote stands on top of what a fork's own code wrote.
const forkNote = "> **From a fork:** this was written by the pull request's own code, without any secret. Read it as " +
	"a claim; the deploy reviews again.\n\n"

func commentCommand(cli *engine.Stack) *cobra.Command {
	var file, pull, head string
	var fork bool
	cmd := &cobra.Command{
		Use: "comment", Short: "Put a review's comment on its pull request, in place of the last one", Args: cobra.NoArgs,
		Annotations: map[string]string{withoutPulumi: ""},
		Long: `Put what ` + "`studio review --markdown`" +
			` wrote on a pull request of GitHub, in place of the last comment on the same stack.
GITHUB_TOKEN, GITHUB_REPOSITORY and GITHUB_API_URL come from the environment, as in every workflow.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			text, err := os.ReadFile(file)
			if err != nil {
				return fmt.Errorf("read the comment: %w", err)
			}
			if name, found := strings.CutPrefix(pull, "@"); found {
				content, err := os.ReadFile(name)
				if err != nil {
					return fmt.Errorf("read the pull request's number: %w", err)
				}
				pull = string(bytes.TrimSpace(content))
			}
			number, err := strconv.Atoi(pull)
			if err != nil {
				return commandline.Usage(fmt.Errorf("--pull %q is no number", pull))
			}
			marker := review.Marker(cli.Name)
			body := string(text)
			if fork {
				body = strings.Replace(body, marker+"\n", marker+"\n"+forkNote, 1)
			}
			token := os.Getenv("GITHUB_TOKEN")
			if token == "" {
				return errors.New("GITHUB_TOKEN is not set: the comment is written with it (pull-requests: write)")
			}
			api, err := pullrequest.Client(token, os.Getenv("GITHUB_API_URL"))
			if err != nil {
				return err
			}
			err = pullrequest.Post(cmd.Context(), api, pullrequest.Comment{
				Repository: os.Getenv("GITHUB_REPOSITORY"), Number: number, Head: head, Marker: marker, Text: body,
			})
			if errors.Is(err, pullrequest.ErrOutdated) {
				fmt.Fprintf(cmd.OutOrStdout(), "nothing is written: %v\n", err)
				return nil
			}
			return err
		},
	}
	cmd.Flags().StringVar(&file, "file", "", "the comment; required")
	cmd.Flags().StringVar(&pull, "pull", "", "number of the pull request, or @ and a file that holds it; required")
	cmd.Flags().StringVar(&head, "head", "", "commit that the comment speaks of; one on an older commit than the pull "+
		"request's is not written")
	cmd.Flags().BoolVar(&fork, "fork", false, "say that a fork's own code wrote it")
	_ = cmd.MarkFlagRequired("file")
	_ = cmd.MarkFlagRequired("pull")
	return cmd
}

func pinCommand(cli *engine.Stack) *cobra.Command {
	var release string
	cmd := &cobra.Command{
		Use: "pin [--release COMMIT] [NAME=REFERENCE…]", Short: "Write images into the stack's file, by the digests that " +
			"their tags have now",
		Annotations: map[string]string{withoutPulumi: ""},
		Long: `Resolve each reference with a tag to its digest and write it into the stack's file: backend and
frontend with the release's name, ops, edge, postgres, redis. Nothing is written unless all images
are there for linux/amd64. Registry credentials are those of ` + "`docker login`" + `.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			images := map[string]string{}
			for _, a := range args {
				name, ref, found := strings.Cut(a, "=")
				if !found {
					return commandline.Usage(fmt.Errorf("%q is not NAME=REFERENCE", a))
				}
				images[name] = ref
			}
			return studio.Pin(cmd.Context(), *cli, release, images)
		},
	}
	cmd.Flags().StringVar(&release, "release", "", "the release's full commit")
	return cmd
}

func sentryCommand(cli *engine.Stack) *cobra.Command {
	var check bool
	cmd := &cobra.Command{
		Use: "sentry", Short: "Check that Sentry knows the stack's release, and mark its deploy", Args: cobra.NoArgs,
		Annotations: map[string]string{withoutPulumi: ""},
		Long: `Check that Sentry knows the release that the stack's file names (the application's repository
uploads its source maps), and mark that it was deployed. SENTRY_AUTH_TOKEN, SENTRY_ORG,
SENTRY_PROJECT and SENTRY_URL come from the environment; without the first three nothing is asked.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, there, err := studio.SentryFromEnv(os.Getenv)
			if err != nil {
				return err
			}
			if !there {
				fmt.Fprintln(cmd.OutOrStdout(), "SENTRY_AUTH_TOKEN, SENTRY_ORG and SENTRY_PROJECT are not set: Sentry is not asked")
				return nil
			}
			return studio.MarkDeploy(cmd.Context(), *cli, s, check)
		},
	}
	cmd.Flags().BoolVar(&check, "check", false, "only check; mark nothing")
	return cmd
}
