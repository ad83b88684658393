package fault_test

import (
	"errors"
	"io/fs"
	"testing"

	"github.com/prekzursil/momentstudio-infra/internal/fault"
)

func TestWording(t *testing.T) {
	tests := []struct {
		name string
		err  error
		want string // "" means: no error
	}{
		{"a text is quoted, so that blanks show", fault.Field("zone", " x", "an ID"), `zone: got " x", want an ID`},
		{"an empty text is not absent", fault.Field("zone", "", "an ID"), `zone: got "", want an ID`},
		{"a number stands bare", fault.Field("sizeGB", 5, "10 to 20"), "sizeGB: got 5, want 10 to 20"},
		{"an absent value reads as nothing", fault.Field("server", nil, "an ID"), "server: got nothing, want an ID"},
		{
			"a fix is a command to copy", &fault.FieldError{Path: "a", Got: "1", Want: "2", Fix: "set a 2"},
			"a: got 1, want 2; fix: set a 2",
		},
		{"a value that may not be shown is left out", &fault.FieldError{Path: "a", Want: "2"}, "a: want 2"},
		{
			"a list names its subject and each problem", fault.List(`volume "data"`, fault.Field("a", 1, "2"), errors.New("b")),
			"volume \"data\" is not valid:\n  - a: got 1, want 2\n  - b",
		},
		{"what is no problem is left out of a list", fault.List("x", nil, errors.New("b"), nil), "x is not valid:\n  - b"},
		{"a list of nothing is no error", fault.List("x", nil, nil), ""},
		{"an empty list is no error", fault.List("x"), ""},
		{"a hint stands on a line of its own", fault.Hint(errors.New("broken"), "mend it"), "broken\n  Fix: mend it"},
		{"a hint without an error is none", fault.Hint(nil, "mend it"), ""},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			got := ""
			if c.err != nil {
				got = c.err.Error()
			}
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestCausesStayReachable(t *testing.T) {
	inner := &fault.FieldError{Path: "a", Want: "b"}
	err := fault.Hint(fault.List("x", errors.New("other"), inner, fs.ErrNotExist), "mend it")
	if !errors.Is(err, fs.ErrNotExist) {
		t.Error("errors.Is does not find a problem of the list behind a hint")
	}
	var field *fault.FieldError
	if !errors.As(err, &field) || field != inner {
		t.Error("errors.As does not find the field behind a hint")
	}
}

func TestProblems(t *testing.T) {
	a, b := errors.New("a"), errors.New("b")
	for _, c := range []struct {
		name string
		err  error
		want []error
	}{
		{"those of a list", fault.List("x", a, b), []error{a, b}},
		{"those of a list behind a hint", fault.Hint(fault.List("x", a, b), "y"), []error{a, b}},
		{"a single error is its own problem", a, []error{a}},
		{"no error has none", nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := fault.Problems(c.err)
			if len(got) != len(c.want) {
				t.Fatalf("got %v, want %v", got, c.want)
			}
			for i := range got {
				if !errors.Is(got[i], c.want[i]) {
					t.Errorf("problem %d is %v, want %v", i, got[i], c.want[i])
				}
			}
		})
	}
}
