package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
	"syscall"

	"github.com/prekzursil/momentstudio-infra/internal/fault"
)

// stateLocked is what the CLI says of a state in a bucket or directory that somebody has locked
// (pkg/backend/diy/lock.go), and stateBusy what it says of one in Pulumi Cloud.
const (
	stateLocked = "the stack is currently locked by"
	stateBusy   = "Another update is currently in progress"
)

var lockHolder = regexp.MustCompile(`created by (\S+)@(\S+) \(pid (\d+)\) at (\S+)`)

// unlocking does work that needs the state's lock. A lock whose process has ended on this machine was left by a
// killed run: it is removed, and the work, which was refused before it began, is done again.
func (c Stack) unlocking(ctx context.Context, work func() (output string, err error)) error {
	output, err := work()
	if err == nil {
		return nil
	}
	switch {
	case strings.Contains(output, stateBusy):
		return InUseError{fault.Hint(fmt.Errorf("somebody else is at work on stack %s", c.Name),
			"wait for the other run. When it is known to be dead: pulumi cancel --stack "+c.Name+", then run this again")}
	case !strings.Contains(output, stateLocked):
		return err
	}
	host, _ := os.Hostname()
	holders, alive := holders(output, host, processLives)
	if alive {
		return InUseError{fault.Hint(fmt.Errorf("somebody else is at work on stack %s: %s", c.Name, holders),
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

// holders are those who hold the lock, in words, and whether one of them may still be at work: only a process of this
// machine is known to have ended.
func holders(output, host string, lives func(pid int) bool) (words string, alive bool) {
	found := lockHolder.FindAllStringSubmatch(output, -1)
	if len(found) == 0 {
		return "who, the lock does not say", true
	}
	var list []string
	for _, m := range found {
		list = append(list, fmt.Sprintf("%s on %s (process %s), since %s", m[1], m[2], m[3], m[4]))
		pid, err := strconv.Atoi(m[3])
		alive = alive || m[2] != host || err != nil || lives(pid)
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
