package ops

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrLocked means that somebody else changes the host's services right now.
var ErrLocked = errors.New("the host's services are being changed")

// LockServices takes the one lock for everything that changes services, or fails at once with who
// has it. The kernel lets it go when the process ends, however it ends. who is read by people.
func LockServices(path, who string) (release func(), err error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the lock of the host's services: %w", err)
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil { //nolint:gosec // a file descriptor
		defer file.Close()
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		holder, _ := io.ReadAll(io.LimitReader(file, 1<<10))
		return nil, fmt.Errorf("%w by %s", ErrLocked, strings.TrimSpace(string(holder)))
	}
	if err := errors.Join(file.Truncate(0), writeAll(file, who+"\n")); err != nil {
		file.Close()
		return nil, fmt.Errorf("write who holds %s: %w", path, err)
	}
	return func() { file.Close() }, nil
}
