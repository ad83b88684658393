package needs_test

import (
	"runtime"
	"testing"

	"github.com/prekzursil/momentstudio-infra/internal/needs"
)

// probe records how a test ended.
type probe struct {
	testing.TB
	ended string
}

func (p *probe) Helper() {}

func (p *probe) Skipf(string, ...any) {
	p.ended = "skipped"
	runtime.Goexit()
}

func (p *probe) Fatalf(string, ...any) {
	p.ended = "failed"
	runtime.Goexit()
}

func TestAMissingProgramIsSkippedByMakeUnitOnly(t *testing.T) {
	for _, c := range []struct{ variable, program, want string }{
		{"1", "sh", ""},
		{"", "sh", ""},
		{"1", "no-such-program-anywhere", "skipped"},
		{"", "no-such-program-anywhere", "failed"},
	} {
		t.Setenv("UNIT_MAY_SKIP", c.variable)
		for name, check := range map[string]func(testing.TB){
			"Program": func(tb testing.TB) { tb.Helper(); needs.Program(tb, c.program) },
			"That":    func(tb testing.TB) { tb.Helper(); needs.That(tb, c.program == "sh", c.program) },
			"Working": func(tb testing.TB) { tb.Helper(); needs.Working(tb, c.program, "-c", "true") },
		} {
			p, ended := &probe{TB: t}, make(chan struct{})
			go func() {
				defer close(ended)
				check(p)
			}()
			<-ended
			if p.ended != c.want {
				t.Errorf("%s of %s with %q: %q, want %q", name, c.program, c.variable, p.ended, c.want)
			}
		}
	}
}
