// Package commandline runs a program's commands and tells mistakes in the command line from failures.
package commandline

import (
	"context"
	"errors"

	"github.com/spf13/cobra"
)

// UsageError is a mistake in the command line: an unknown command or flag, a required one that is missing, a value of
// the wrong kind.
type UsageError struct{ error }

// Usage is a mistake that a command finds itself.
func Usage(err error) error { return UsageError{err} }

// Unwrap returns the mistake.
func (e UsageError) Unwrap() error { return e.error }

// Wrong reports whether an error is a mistake in the command line.
func Wrong(err error) bool {
	var usage UsageError
	return errors.As(err, &usage)
}

// Execute runs the command that the program's arguments name. An error of before it began is a UsageError. No command below root may
// have a PersistentPreRun of its own.
func Execute(ctx context.Context, root *cobra.Command) error {
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
		return UsageError{err}
	}
	return err
}
