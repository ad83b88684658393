package commandline_test

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/prekzursil/momentstudio-infra/internal/commandline"
)

func TestMistakesAreToldFromFailures(t *testing.T) {
	failure := errors.New("the disk is full")
	for line, want := range map[string]struct{ wrong, fails bool }{
		"work --name x":            {false, true},
		"work --name given --ok":   {false, false},
		"work":                     {true, true}, // a required flag is missing
		"work --name x --colour":   {true, true},
		"work --name x --count ab": {true, true},
		"work --name x surplus":    {true, true},
		"wrok --name x":            {true, true},
		"judge":                    {true, true}, // it finds the mistake itself
		"--help":                   {false, false},
	} {
		root := &cobra.Command{Use: "program", SilenceErrors: true, SilenceUsage: true}
		var name string
		var count int
		var ok bool
		work := &cobra.Command{Use: "work", Args: cobra.NoArgs, RunE: func(*cobra.Command, []string) error {
			if ok {
				return nil
			}
			return failure
		}}
		work.Flags().StringVar(&name, "name", "", "")
		work.Flags().IntVar(&count, "count", 0, "")
		work.Flags().BoolVar(&ok, "ok", false, "")
		if err := work.MarkFlagRequired("name"); err != nil {
			t.Fatal(err)
		}
		judge := &cobra.Command{Use: "judge", RunE: func(*cobra.Command, []string) error {
			return commandline.Usage(errors.New("either one or the other"))
		}}
		root.AddCommand(work, judge)
		root.SetArgs(strings.Fields(line))
		root.SetOut(io.Discard)
		err := commandline.Execute(t.Context(), root)
		if got := commandline.Wrong(err); got != want.wrong || (err != nil) != want.fails {
			t.Errorf("%s: %v; a mistake is %v, want %v", line, err, got, want.wrong)
		}
		if !want.wrong && want.fails && !errors.Is(err, failure) {
			t.Errorf("%s: %v, want the failure itself", line, err)
		}
	}
}

func TestHelpAndCompletionNeedNoRequiredFlag(t *testing.T) {
	for line, fails := range map[string]bool{
		"help": false, "help work": false, "completion bash": false, "completion bash --no-descriptions": false,
		"work": true,
	} {
		root := &cobra.Command{Use: "program", SilenceErrors: true, SilenceUsage: true}
		root.PersistentFlags().String("where", "", "")
		if err := root.MarkPersistentFlagRequired("where"); err != nil {
			t.Fatal(err)
		}
		root.AddCommand(&cobra.Command{Use: "work", RunE: func(*cobra.Command, []string) error { return nil }})
		root.SetArgs(strings.Fields(line))
		root.SetOut(io.Discard)
		if err := commandline.Execute(t.Context(), root); (err != nil) != fails {
			t.Errorf("%s: %v, want that it fails: %v", line, err, fails)
		}
	}
}
