package update

import (
	"context"
	"encoding/json"
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
	history, err := c.Output(ctx, "stack", "history", "--json", "--full-dates", "--page-size", "100", "--page", "1")
	if err != nil {
		return fmt.Errorf("read the history of stack %s: %w", c.Name, err)
	}
	last, err := lastCommit(history)
	if err != nil {
		return err
	}
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

// lastCommit reads from a stack's history, newest first, of which commit the last update was. One that failed counts:
// it may have changed the schema. Empty: no update names one.
func lastCommit(history []byte) (string, error) {
	var updates []struct {
		Kind        string            `json:"kind"`
		Environment map[string]string `json:"environment"`
	}
	if err := json.Unmarshal(history, &updates); err != nil {
		return "", errors.New("the stack's history is not the JSON that this program knows")
	}
	for _, u := range updates {
		if commit := u.Environment["git.head"]; u.Kind == "update" && commit != "" {
			return commit, nil
		}
	}
	return "", nil
}
