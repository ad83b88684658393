// Package fault words the errors that users of the program read: what is wrong, where it
// stands and what to write instead. It never carries a secret's value.
package fault

import (
	"errors"
	"fmt"
	"strings"
)

// FieldError is one invalid value.
type FieldError struct {
	Path string // where the value stands, e.g. "momentstudio:host.location"
	Got  string // the value as written, never a secret's; "" leaves it out
	Want string // what is accepted
	Fix  string // a command or a line to write; may be empty
}

func (e *FieldError) Error() string {
	var b strings.Builder
	b.WriteString(e.Path)
	b.WriteString(": ")
	if e.Got != "" {
		fmt.Fprintf(&b, "got %s, ", e.Got)
	}
	b.WriteString("want " + e.Want)
	if e.Fix != "" {
		b.WriteString("; fix: " + e.Fix)
	}
	return b.String()
}

// Field reports that the value got at path is not what is wanted. A nil value reads as absent.
func Field(path string, got any, want string) error {
	shown := "nothing"
	if got != nil {
		if s, ok := got.(string); ok {
			shown = fmt.Sprintf("%q", s)
		} else {
			shown = fmt.Sprintf("%v", got)
		}
	}
	return &FieldError{Path: path, Got: shown, Want: want}
}

// ListError is every problem found with one subject.
type ListError struct {
	Subject  string
	Problems []error
}

func (e *ListError) Error() string {
	lines := make([]string, 0, len(e.Problems)+1)
	lines = append(lines, e.Subject+" is not valid:")
	for _, p := range e.Problems {
		lines = append(lines, "  - "+p.Error())
	}
	return strings.Join(lines, "\n")
}

// Unwrap lets errors.Is and errors.As reach each problem.
func (e *ListError) Unwrap() []error { return e.Problems }

// List joins the problems of one subject into one error, or returns nil when there are none.
// Nil problems are left out.
func List(subject string, problems ...error) error {
	var kept []error
	for _, p := range problems {
		if p != nil {
			kept = append(kept, p)
		}
	}
	if len(kept) == 0 {
		return nil
	}
	return &ListError{Subject: subject, Problems: kept}
}

// Hint appends what to do next to an error that reaches a person. The result unwraps to err.
func Hint(err error, next string) error {
	if err == nil {
		return nil
	}
	return &hinted{err: err, next: next}
}

type hinted struct {
	err  error
	next string
}

// fix begins the line of a message that says what to do next.
const fix = "Fix: "

func (h *hinted) Error() string { return h.err.Error() + "\n  " + fix + h.next }
func (h *hinted) Unwrap() error { return h.err }

// Split takes the text of an error apart that Hint made, for an error that comes back as text: the program's own errors
// pass through the Pulumi engine. ok is false when the text says nothing about what to do next.
func Split(text string) (what, next string, ok bool) {
	what, next, ok = strings.Cut(text, fix)
	return strings.TrimSpace(what), strings.TrimSpace(next), ok
}

// Fix is the line that says what to do next, for messages that are put together elsewhere.
func Fix(next string) string { return fix + next }

// Problems returns the single problems inside err: those of a ListError, or err itself.
func Problems(err error) []error {
	var list *ListError
	if errors.As(err, &list) {
		return list.Problems
	}
	if err == nil {
		return nil
	}
	return []error{err}
}
