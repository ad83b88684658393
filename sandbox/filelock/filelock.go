// Package filelock makes processes that share a directory wait for one another.
package filelock

import (
	"context"
	"fmt"
	"time"

	"github.com/gofrs/flock"
)

// Lock takes the exclusive lock of a file, which it creates, and gives up when ctx ends. The kernel drops the lock with
// the process, so a killed process blocks nobody.
func Lock(ctx context.Context, path string) (unlock func(), err error) {
	l := flock.New(path)
	if _, err := l.TryLockContext(ctx, 200*time.Millisecond); err != nil {
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return func() { _ = l.Close() }, nil
}
