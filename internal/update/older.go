package update

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"

	"github.com/prekzursil/momentstudio-infra/internal/engine"
	"github.com/prekzursil/momentstudio-infra/internal/fault"
)

// refuseOlder refuses a commit that does not contain the one of the stack's last update: whoever approves an old run
// again would take the stack back.
func refuseOlder(ctx context.Context, c engine.Stack) error {
	history, err := c.History(ctx)
	if err != nil {
		return err
	}
	last := lastCommit(history)
	if last == "" {
		fmt.Fprintln(c.Out, "the stack's history names no commit, so any commit may update it")
		return nil
	}
	//nolint:gosec // no shell reads it, and git takes a commit that begins with a hyphen for a wrong option
	git := exec.CommandContext(ctx, "git", "merge-base", "--is-ancestor", last, "HEAD")
	git.Dir = c.Root
	out, err := git.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case err == nil:
		fmt.Fprintln(c.Out, "the last update was of commit", last+", which this one contains")
		return nil
	case errors.As(err, &exit) && exit.ExitCode() == 1:
		return fault.Hint(fmt.Errorf("the last update of stack %s was of commit %s, which this commit does not contain: it "+
			"would take the stack back", c.Name, last),
			"run the newest deploy again; to go back on purpose, `studio rollback`, or `git revert` and a deploy of that")
	}
	return fault.Hint(fmt.Errorf("the last update of stack %s was of commit %s, and git cannot tell whether this commit "+
		"contains it: %w: %s", c.Name, last, err, strings.TrimSpace(string(out))),
		"`git fetch --unshallow`, and run it again")
}

// lastCommit is the commit of the last update in a stack's history. One that failed counts: it may have changed the
// schema. Empty: no update names one.
func lastCommit(history []engine.Entry) string {
	for _, e := range history {
		if e.Kind == "update" && e.Commit != "" {
			return e.Commit
		}
	}
	return ""
}
