package redact_test

import (
	_ "embed"
	"strings"
	"testing"

	"github.com/prekzursil/momentstudio-infra/internal/redact"
)

// printed is what the programs of a release print when they fail, in their own words. MARK stands for each value.
//
//go:embed testdata/printed.txt
var printed string

// shown is what may leave the host of it.
//
//go:embed testdata/shown.txt
var shown string

func TestNamesAreShownAndValuesAreNot(t *testing.T) {
	lines, withheld := redact.Lines(printed)
	if got := strings.Join(lines, "\n") + "\n"; got != shown {
		t.Errorf("got\n%s\nwant\n%s", got, shown)
	}
	if want := strings.Count(printed, "\n") - len(lines); withheld != want {
		t.Errorf("%d lines count as withheld, want %d", withheld, want)
	}
}

func TestTheTail(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", ""},
		{"KeyError: 'x'\n\n", "KeyError"},
		{"a\nKeyError: 'x'\nb", "KeyError\n(2 lines are withheld)"},
		{"TypeError\nValueError\nKeyError", "ValueError\nKeyError"},
		{"\x1b[31mKeyError\x1b[0m: x", "KeyError"},
	} {
		if got := redact.Tail(c.text, 2); got != c.want {
			t.Errorf("%q becomes %q, want %q", c.text, got, c.want)
		}
	}
}

func TestRevisions(t *testing.T) {
	if got := redact.Revision("0159_add_theme_docs"); got != "0159_add_theme_docs" {
		t.Errorf("got %q", got)
	}
	for _, text := range []string{"postgres://u:p@h/db", "two words", strings.Repeat("a", 65)} {
		if got := redact.Revision(text); strings.Contains(got, "p@h") || got != "(not a revision)" {
			t.Errorf("%q counts as a revision: %q", text, got)
		}
	}
}

// FuzzNoValueIsShown puts any text where the programs print values.
func FuzzNoValueIsShown(f *testing.F) {
	for _, v := range []string{
		"whsec_5f0c1e", "a@b.ro", "x\ny", `it's "quoted"`, "[type=int_parsing]", "KeyError: x", "\x1b[1m",
	} {
		f.Add(v)
	}
	f.Fuzz(func(t *testing.T, value string) {
		const mark = "\u2603canary7d1f" // no name of a program holds it
		text := strings.ReplaceAll(printed, "MARK", strings.ReplaceAll(value, "\n", " ")+mark)
		if got := redact.Tail(text, 1000); strings.Contains(got, mark) {
			t.Errorf("%q is shown:\n%s", value+mark, got)
		}
	})
}
