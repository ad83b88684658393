package studio

import (
	"context"
	"errors"
	"fmt"

	"github.com/prekzursil/momentstudio-infra/internal/diagnosis"
	"github.com/prekzursil/momentstudio-infra/internal/fault"
)

// notUpdated words the end of an update that failed: what the engine printed is above it, and written for programmers.
func (c CLI) notUpdated(ctx context.Context, shown string, err error) error {
	const again = "nothing is lost, it continues where this run ended"
	if ctx.Err() != nil {
		return fault.Hint(fmt.Errorf("the update of stack %s was interrupted", c.Stack), "run `studio up` again; "+again)
	}
	var busy inUseError
	if errors.As(err, &busy) {
		return err
	}
	failures := diagnosis.Failures(shown)
	if len(failures) == 0 {
		return fault.Hint(err, "the messages above say why; mend the cause and run `studio up` again, it continues where this run ended")
	}
	return fmt.Errorf("stack %s was not updated:\n%s", c.Stack, diagnosis.Words(failures, "mend the cause and run `studio up` again; "+again))
}

// cloudFailed words an error of a cloud's API that this program met itself.
func cloudFailed(kind, doing string, err error) error {
	means, do, ok := diagnosis.Explain(diagnosis.Failure{Type: kind, Message: err.Error()})
	if !ok {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return fault.Hint(fmt.Errorf("%s: %s\n    it says: %w", doing, means, err), do)
}
