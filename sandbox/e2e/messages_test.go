package e2e

import (
	"regexp"
	"strings"
	"testing"
)

// finalMessage is the message that a command ends with.
func finalMessage(command, out string) string {
	at := strings.LastIndex("\n"+out, "\n"+command+": ")
	if at < 0 {
		return ""
	}
	return strings.TrimPrefix(out[at:], command+": ")
}

var (
	trace  = regexp.MustCompile(`^(panic:|goroutine \d|runtime error)|\.go:\d+`)
	advice = regexp.MustCompile(`(?i)what to do: |fix: |want |; mend |nothing was done\. `)
)

// problems are what a person would miss in a message, or must not see in it.
func problems(message string, secrets ...string) (bad []string) {
	first, _, _ := strings.Cut(strings.TrimSpace(message), "\n")
	switch {
	case first == "":
		return []string{"it says nothing"}
	case trace.MatchString(first):
		bad = append(bad, "its first line is for programmers")
	case strings.HasPrefix(strings.TrimLeft(first, " "), "{") || strings.Contains(first, "map["):
		bad = append(bad, "its first line is a dump")
	}
	if !advice.MatchString(message) {
		bad = append(bad, "it does not say what to do")
	}
	for _, s := range secrets {
		if s != "" && strings.Contains(message, s) {
			bad = append(bad, "it shows a secret")
		}
	}
	return bad
}

// explains fails the test when the message of a fault is not one that a person can act on.
func explains(t testing.TB, fault, message string, secrets ...string) {
	t.Helper()
	for _, problem := range problems(message, secrets...) {
		t.Errorf("%s: %s:\n%s", fault, problem, message)
	}
}

func TestProblemsOfMessagesAreFound(t *testing.T) {
	for _, c := range []struct {
		name, message string
		bad           int
	}{
		{"complete", "the disk is full\n  what to do: make room", 0},
		{"complete, with the new marker", "the disk is full. Fix: make room", 0},
		{"a config's", "Pulumi.prod.yaml is not valid:\n  - x: got 1, want 2; fix: set it", 0},
		{"nothing", " \n", 1},
		{"a trace", "panic: runtime error\n  what to do: nothing", 1},
		{"a place in the source", "main.go:17: it failed; want more", 1},
		{"a dump", "{\"error\": 1}\nwhat to do: read it", 1},
		{"no advice", "it failed", 1},
		{"a secret", "hunter2 is wrong\n  what to do: type another", 1},
	} {
		if bad := problems(c.message, "hunter2"); len(bad) != c.bad {
			t.Errorf("%s: %q", c.name, bad)
		}
	}
}
