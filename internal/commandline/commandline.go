// Package commandline runs a program's commands and tells mistakes in the command line from failures.
package commandline

import (
	"context"
	"errors"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// usageError is a mistake in the command line: an unknown command or flag, a required one that is missing, a value of
// the wrong kind.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// Usage is a mistake that a command finds itself.
func Usage(err error) error { return usageError{err} }

// Wrong reports whether an error is a mistake in the command line.
func Wrong(err error) bool {
	var usage usageError
	return errors.As(err, &usage)
}

// Execute runs the command that the program's arguments name. An error of before it began is a mistake in the command
// line. No command below root may have a PersistentPreRun of its own.
func Execute(ctx context.Context, root *cobra.Command) error {
	withoutRequiredFlags(root)
	begun := false
	before := root.PersistentPreRunE
	root.PersistentPreRunE = func(cmd *cobra.Command, args []string) error {
		// cobra asks for them only after this function.
		if err := errors.Join(cmd.ValidateRequiredFlags(), cmd.ValidateFlagGroups()); err != nil {
			return err
		}
		begun = true
		if before == nil {
			return nil
		}
		return before(cmd, args)
	}
	err := root.ExecuteContext(ctx)
	if err != nil && !begun {
		return Usage(err)
	}
	return err
}

// withoutRequiredFlags lets cobra's own commands, help and completion, run without the flags that root requires.
func withoutRequiredFlags(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, cmd := range root.Commands() {
		if cmd.Name() != "help" && cmd.Name() != "completion" {
			continue
		}
		root.PersistentFlags().VisitAll(func(f *pflag.Flag) {
			optional := *f // hides root's
			optional.Annotations = nil
			cmd.PersistentFlags().AddFlag(&optional)
		})
	}
}
