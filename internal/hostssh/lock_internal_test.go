package hostssh

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/prekzursil/momentstudio-infra/internal/engine/enginetest"
)

func TestTheLockIsHeldUntilItIsReleased(t *testing.T) {
	p := &enginetest.Programs{}
	c, _ := enginetest.NewStack(t, p, "prod", "")
	release, err := LockServices(t.Context(), c, "192.0.2.1", "an update")
	if err != nil {
		t.Fatal(err)
	}
	if calls := p.Calls("ssh "); len(calls) != 1 || !strings.Contains(calls[0], "an update") {
		t.Errorf("the host is asked %q, want one question that names the update", calls)
	}
	ended := make(chan struct{})
	go func() { release(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Fatal("the connection does not end when the lock is released")
	}
	release() // a second call does nothing
}

func TestALockThatSomebodyHoldsIsRefused(t *testing.T) {
	p := &enginetest.Programs{Holder: "root on desk (process 7): an update of stack prod"}
	c, _ := enginetest.NewStack(t, p, "prod", "")
	_, err := LockServices(t.Context(), c, "192.0.2.1", "a rollback")
	var locked lockedError
	if !errors.As(err, &locked) || locked.holder != p.Holder {
		t.Errorf("got %v, want the holder's name", err)
	}
}

func TestALockWithoutSSHIsAnError(t *testing.T) {
	p := &enginetest.Programs{Fails: map[string]error{"ssh ": errors.New("ssh: executable file not found")}}
	c, _ := enginetest.NewStack(t, p, "prod", "")
	if _, err := LockServices(t.Context(), c, "192.0.2.1", "an update"); err == nil ||
		!strings.Contains(err.Error(), "executable file not found") {
		t.Errorf("got %v, want ssh's error", err)
	}
}

func TestWaitingForTheLockEndsWithTheRun(t *testing.T) {
	p := &enginetest.Programs{Holder: "root on desk"}
	c, _ := enginetest.NewStack(t, p, "prod", "")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := LockServices(ctx, c, "192.0.2.1", "an update"); err == nil {
		t.Error("an interrupted run has the lock")
	}
}
