package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"

	"github.com/prekzursil/momentstudio-infra/internal/diagnosis"
	"github.com/prekzursil/momentstudio-infra/internal/fault"
)

// unlocking does work that needs the state's lock. A lock whose process has ended on this machine was left by a
// killed run: it is removed, and the work, which was refused before it began, is done again.
func (c Stack) unlocking(ctx context.Context, work func() (output string, err error)) error {
	output, err := work()
	if err == nil {
		return nil
	}
	found, locked := diagnosis.StateLock(output)
	if !locked {
		return err
	}
	host, _ := os.Hostname()
	holders, alive := describeHolders(found, host, processLives)
	if alive {
		return InUseError{fault.Hint(fmt.Errorf("another run is at work on stack %s: %s", c.Name, holders),
			"wait for the other run. When it is known to be dead: pulumi cancel --stack "+c.Name+", then run this again")}
	}
	fmt.Fprintf(c.Out, "removing the lock of a run that was killed: %s\n", holders)
	if _, err := c.Output(ctx, "cancel", "--yes"); err != nil {
		return fmt.Errorf("remove the lock of a run that was killed: %w", err)
	}
	_, err = work()
	return err
}

// InUseError says that somebody else is at work on the stack.
type InUseError struct{ error }

// describeHolders names those who hold the lock, and says whether one of them may still be at work: only a process of
// this machine is known to have ended.
func describeHolders(found []diagnosis.Holder, host string, lives func(pid int) bool) (words string, alive bool) {
	if len(found) == 0 {
		return "(holder unknown)", true
	}
	var list []string
	for _, h := range found {
		list = append(list, fmt.Sprintf("%s on %s (process %d), since %s", h.User, h.Host, h.PID, h.Since))
		alive = alive || h.Host != host || h.PID == 0 || lives(h.PID)
	}
	return strings.Join(list, "; "), alive
}

func processLives(pid int) bool {
	err := syscall.Kill(pid, 0)
	return err == nil || errors.Is(err, syscall.EPERM)
}

// tee keeps the end of what goes through it.
type tee struct {
	to   io.Writer
	kept bytes.Buffer
}

// teeLimit holds the diagnostics of an update, which come last.
const teeLimit = 1 << 20

func (t *tee) Write(p []byte) (int, error) {
	if t.kept.Len()+len(p) > 2*teeLimit {
		t.kept.Next(t.kept.Len() - teeLimit)
	}
	t.kept.Write(p)
	return t.to.Write(p)
}
