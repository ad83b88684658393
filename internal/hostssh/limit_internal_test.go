package hostssh

import (
	"context"
	"errors"
	"os/exec"
	"testing"
	"time"

	"github.com/prekzursil/momentstudio-infra/internal/engine"
)

// slow is a host that answers nothing until it is given up.
type slow struct{ given context.Context }

func (s slow) Run(*exec.Cmd) error {
	<-s.given.Done()
	return errors.New("signal: killed")
}

func TestAHostThatDoesNotAnswerInTimeIsNamedAsThat(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	c := engine.Stack{Root: t.TempDir(), Name: "test", Programs: slow{ctx}}
	if _, err := Run(ctx, c, "192.0.2.1", "true"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a script: %v", err)
	}
	if _, err := inspectWith(ctx, c, "192.0.2.1", "ops", nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a report: %v", err)
	}
}
