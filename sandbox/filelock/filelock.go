// Package filelock makes processes that share a directory wait for one another.
package filelock

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/gofrs/flock"
)

// Lock takes the exclusive lock of a file, which it creates. It says so in log when another process has the lock, and
// gives up when ctx ends. The kernel drops the lock with the process, so a killed process blocks nobody.
func Lock(ctx context.Context, path string, log io.Writer) (unlock func(), err error) {
	l := flock.New(path)
	taken, err := l.TryLock()
	if err == nil && !taken {
		fmt.Fprintf(log, "waiting for another process, which holds %s\n", path)
		_, err = l.TryLockContext(ctx, 200*time.Millisecond)
	}
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return func() { _ = l.Close() }, nil
}
