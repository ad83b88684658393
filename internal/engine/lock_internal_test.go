package engine

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/prekzursil/momentstudio-infra/internal/diagnosis"
)

// refusal is what the CLI prints (pkg/backend/diy/lock.go).
const refusal = "error: the stack is currently locked by 1 lock(s). Either wait for the other process(es) to end or " +
	"delete the lock file with `pulumi cancel`.\n" +
	"  file:///state/.pulumi/locks/organization/momentstudio/prod/6e7e.json: created by root@here (pid 4711) at " +
	"2026-11-27T10:00:00Z"

func TestWhoHoldsTheStatesLock(t *testing.T) {
	here := diagnosis.Holder{User: "root", Host: "here", PID: 4711, Since: "2026-11-27T10:00:00Z"}
	there := diagnosis.Holder{User: "root", Host: "there", PID: 12, Since: "2026-11-27T10:00:00Z"}
	const words = "root on here (process 4711), since 2026-11-27T10:00:00Z"
	for _, c := range []struct {
		name    string
		holders []diagnosis.Holder
		lives   bool
		words   string
		alive   bool
	}{
		{"a process of this machine that ended", []diagnosis.Holder{here}, false, words, false},
		{"one that is at work", []diagnosis.Holder{here}, true, words, true},
		{"one of another machine, of which nothing is known", []diagnosis.Holder{there}, false, "root on there", true},
		{"one of each", []diagnosis.Holder{here, there}, false, "; root on there (process 12)", true},
		{"a lock that names nobody", nil, false, "(holder unknown)", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			words, alive := describeHolders(c.holders, "here", func(int) bool { return c.lives })
			if !strings.Contains(words, c.words) || alive != c.alive {
				t.Errorf("got %q, %v", words, alive)
			}
		})
	}
}

func TestALockOfSomebodyElseIsNotTouched(t *testing.T) {
	var out bytes.Buffer
	c := Stack{Name: "prod", Out: &out, Err: &out}
	for name, output := range map[string]string{"another machine's": strings.ReplaceAll(refusal, "@here",
		"@elsewhere.invalid"), "Pulumi Cloud's": "error: [409] Conflict: Another update is currently in progress."} {
		tries := 0
		err := c.unlocking(context.Background(), func() (string, error) {
			tries++
			return output,
				errors.New("exit status 255")
		})
		var busy InUseError
		if !errors.As(err, &busy) || !strings.Contains(err.Error(), "pulumi cancel --stack prod") || tries != 1 {
			t.Errorf("%s: tried %d times, %v", name, tries, err)
		}
	}
	failed := errors.New("exit status 1")
	if err := c.unlocking(context.Background(), func() (string, error) {
		return "error: something else",
			failed
	}); !errors.Is(err, failed) {
		t.Errorf("another failure: %v", err)
	}
	if err := c.unlocking(context.Background(), func() (string, error) { return refusal, nil }); err != nil {
		t.Errorf("what succeeds is not read: %v", err)
	}
}

func TestTheEndOfWhatGoesThroughIsKept(t *testing.T) {
	var to bytes.Buffer
	w := tee{to: &to}
	line := strings.Repeat("x", 1000) + "\n"
	for range 5000 {
		if _, err := w.Write([]byte(line)); err != nil {
			t.Fatal(err)
		}
	}
	_, _ = w.Write([]byte("the end"))
	if to.Len() != 5000*len(line)+7 || w.kept.Len() > 2*teeLimit || w.kept.Len() < teeLimit ||
		!strings.HasSuffix(w.kept.String(), "the end") {
		t.Errorf("%d went through, %d are kept", to.Len(), w.kept.Len())
	}
}
