package engine

import (
	"strings"
	"testing"
)

const created = ` +  docker:index:Service app-backend **creating failed** error: 1 error occurred:
    	* Service with ID (x) did not converge after 4m0s

    Last task logs:
    KeyError: 'canary'
    more of the canary

 +  momentstudio:app:App app created
Diagnostics:
  docker:index:Service (app-backend):
    error: Service with ID (x) did not converge after 4m0s

    Last task logs:
    KeyError: 'canary'

Resources:
    + 3 created
`

func TestLogsOfTasksAreNotShown(t *testing.T) {
	for _, size := range []int{1, 7, 64, len(created)} {
		var out strings.Builder
		f := &taskLogFilter{to: &out}
		for text := created; text != ""; {
			n := min(size, len(text))
			if _, err := f.Write([]byte(text[:n])); err != nil {
				t.Fatal(err)
			}
			text = text[n:]
		}
		f.flush()
		got := out.String()
		if strings.Contains(got, "canary") {
			t.Errorf("in pieces of %d bytes the log is shown:\n%s", size, got)
		}
		for _, want := range []string{
			"did not converge after 4m0s", "`docker service logs NAME` shows them", "momentstudio:app:App app created",
			"docker:index:Service (app-backend):", "    + 3 created\n",
		} {
			if !strings.Contains(got, want) {
				t.Errorf("%q is missing in\n%s", want, got)
			}
		}
	}
	var out strings.Builder
	f := &taskLogFilter{to: &out}
	_, _ = f.Write([]byte("without an end"))
	f.flush()
	if out.String() != "without an end" {
		t.Errorf("the last line is %q", out.String())
	}
	if got := withoutTaskLogs("did not converge\n\nLast task logs:\ncanary\n"); strings.Contains(got, "canary") ||
		!strings.HasPrefix(got, "did not converge\n") {
		t.Errorf("the message becomes %q", got)
	}
	if got := withoutTaskLogs("another"); got != "another" {
		t.Errorf("another message becomes %q", got)
	}
}
