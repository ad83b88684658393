// Package lock holds the host's locks. The kernel releases a lock when its process ends, however it ends.
package lock

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/prekzursil/momentstudio-infra/internal/hostops/fsutil"
)

// ErrHeld means that somebody else has the lock right now.
var ErrHeld = errors.New("it is somebody else's turn")

// LockPoll is how often whoever waits looks at a lock.
const LockPoll = 2 * time.Second

// AcquireInTurn waits until it has the lock, and tells once who has it meanwhile.
func AcquireInTurn(ctx context.Context, path, work, who string, out io.Writer) (release func(), err error) {
	for told := false; ; told = true {
		release, err := Acquire(path, work, who)
		if !errors.Is(err, ErrHeld) {
			return release, err
		}
		if !told {
			fmt.Fprintln(out, "waiting:", err)
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(err, ctx.Err())
		case <-time.After(LockPoll):
		}
	}
}

// Acquire takes the lock of a kind of work, or fails at once with who has it. The kernel lets it go when
// the process ends, however it ends. work and who are read by people.
func Acquire(path, work, who string) (release func(), err error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the lock of %s: %w", work, err)
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		defer file.Close()
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		holder, _ := io.ReadAll(io.LimitReader(file, 1<<10))
		return nil, fmt.Errorf("%w: %s is held by %s", ErrHeld, path, strings.TrimSpace(string(holder)))
	}
	if err := errors.Join(file.Truncate(0), fsutil.WriteAll(file, who+"\n")); err != nil {
		file.Close()
		return nil, fmt.Errorf("write who holds %s: %w", path, err)
	}
	return func() { file.Close() }, nil
}
