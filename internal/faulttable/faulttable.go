// Package faulttable keeps docs/reference/faults.md: every fault that a test tried, what the user was shown, and what
// shows that nothing was lost. A test hands over what it saw. It fails when the table says something else, and writes
// the table when MOMENTSTUDIO_FAULTS=record is set (make faults).
package faulttable

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// Path is the table's, below the project's root.
const Path = "docs/reference/faults.md"

// Row is a fault that was tried.
type Row struct {
	Area  string // where the fault is: a heading of the table
	Fault string // what went wrong; the name of its case in the test
	Shows string // what the user is shown: the message's first line, and what it says to do
	Kept  string // what the test looked at to know that nothing was lost
}

// Try checks a message as a person would want it, and the table's row of it. Secrets are values that may not be in it.
func Try(t testing.TB, area, fault, message, kept string, secrets ...string) {
	t.Helper()
	for _, problem := range Problems(message, secrets...) {
		t.Errorf("%s, %s: %s:\n%s", area, fault, problem, message)
	}
	check(t, Row{area, fault, Reduce(message), kept})
}

// Healed checks the table's row of a fault that nobody has to do anything about.
func Healed(t testing.TB, area, fault, kept string) {
	t.Helper()
	Seen(t, area, fault, "nothing: it is tried again, and goes on", kept)
}

// Seen checks the table's row of a fault that is not told by a message; shows says what people notice of it.
func Seen(t testing.TB, area, fault, shows, kept string) {
	t.Helper()
	check(t, Row{area, fault, shows, kept})
}

func check(t testing.TB, row Row) {
	t.Helper()
	root, err := root()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(root, Path)
	if os.Getenv("MOMENTSTUDIO_FAULTS") == "record" {
		if err := record(path, row); err != nil {
			t.Fatal(err)
		}
		return
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	have, known := Parse(string(text))[row.Area][row.Fault]
	switch {
	case !known:
		t.Errorf("%s does not list %q under %q: run make faults", Path, row.Fault, row.Area)
	case !alike(have, row):
		t.Errorf("%s is stale, run make faults:\n  it says  %+v\n  this run %+v", Path, have, row)
	}
}

// alike says whether two rows tell the same: how the message begins, and its way out. What is between them quotes
// clouds and programs, which word one fault in more than one way.
func alike(a, b Row) bool {
	const beginning = 30
	parts := func(r Row) [3]string {
		first, do, _ := strings.Cut(r.Shows, " / what to do: ")
		return [3]string{string([]rune(first)[:min(beginning, len([]rune(first)))]), do, r.Kept}
	}
	return parts(a) == parts(b)
}

var (
	trace  = regexp.MustCompile(`^(panic:|goroutine \d|runtime error)|\.go:\d+`)
	advice = regexp.MustCompile(`what to do: |fix: |want |; mend |nothing was done\. `)
)

// Problems are what is wrong with a message that a person reads.
func Problems(message string, secrets ...string) (bad []string) {
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
		if strings.Contains(message, s) {
			bad = append(bad, "it shows a secret")
		}
	}
	return bad
}

// changing are the parts of a message that differ from run to run.
var changing = []struct {
	what *regexp.Regexp
	as   string
}{
	{regexp.MustCompile(`SHA256:[A-Za-z0-9+/]{43}`), "SHA256:…"},
	{regexp.MustCompile(`/tmp/[\w./@+-]+|/var/lib/momentstudio-[\w./@+-]+`), "FILE"},
	{
		regexp.MustCompile(`read tcp \S+: (?:use of closed network connection|i/o timeout|connection reset by peer)|\bEOF\b`),
		"no answer",
	},
	{regexp.MustCompile(`\b\d{4}-\d\d-\d\d[T ][\d:]+(?:Z| UTC)?`), "TIME"},
	{regexp.MustCompile(`\b\d{8}T\d{6}Z\b`), "TIME"},
	{regexp.MustCompile(`\b\d+(?:\.\d+)? ?(MB|GB|MiB|GiB|kB|KiB|bytes)\b`), "N $1"},
	{regexp.MustCompile(`\b[a-z0-9]{25}\b`), "…"},
	{regexp.MustCompile(`\b(?:\d{1,3}\.){3}\d{1,3}(?::\d+)?\b`), "ADDRESS"},
	{regexp.MustCompile(`\b[0-9a-f]{7,}\b`), "…"},
	{regexp.MustCompile(`\b\d+(?:\.\d+)?(?:ms|s)\b`), "SECONDS"},
	{regexp.MustCompile(`\b\d{4,}\b`), "N"},
	{regexp.MustCompile(`\s+`), " "},
}

// Reduce leaves of a message its first line and what it says to do, without what differs from run to run.
func Reduce(message string) string {
	lines := strings.Split(strings.TrimSpace(message), "\n")
	kept := lines[0]
	if strings.HasSuffix(kept, ":") && len(lines) > 1 { // the first of a list is what there is to say
		kept = strings.TrimPrefix(strings.TrimSpace(lines[1]), "- ")
	}
	for _, l := range lines[1:] {
		if _, do, ok := strings.Cut(l, "what to do: "); ok {
			kept += " / what to do: " + do
			break
		}
	}
	for _, c := range changing {
		kept = c.what.ReplaceAllString(kept, c.as)
	}
	if r := []rune(kept); len(r) > 600 {
		kept = string(r[:600]) + "…"
	}
	return strings.TrimSpace(kept)
}

func root() (string, error) {
	dir, err := os.Getwd()
	for ; err == nil && dir != "/"; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "Pulumi.yaml")); err == nil {
			return dir, nil
		}
	}
	return "", fmt.Errorf("no Pulumi.yaml above the test's directory")
}

const introduction = `# What can go wrong, and what is shown

Every fault that the tests try, what the user is shown, and what the test looked at to know that nothing was lost. The
tests write this table (` + "`make faults`" + `) and fail when it says something else than what they see. Times,
addresses, IDs and files are left out of the messages.
`

var rowLine = regexp.MustCompile(`^\| (.+?) \| (.+?) \| (.+?) \|$`)

// Parse reads a table, by area and fault.
func Parse(text string) map[string]map[string]Row {
	rows := map[string]map[string]Row{}
	area := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if name, ok := strings.CutPrefix(line, "## "); ok {
			area = name
			rows[area] = map[string]Row{}
			continue
		}
		if m := rowLine.FindStringSubmatch(line); m != nil && area != "" && m[1] != "Fault" && !strings.HasPrefix(m[1],
			"--") {
			rows[area][unescape(m[1])] = Row{area, unescape(m[1]), unescape(m[2]), unescape(m[3])}
		}
	}
	return rows
}

// Format writes a table.
func Format(rows map[string]map[string]Row) string {
	number := 0
	for _, area := range rows {
		number += len(area)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s\nThere are %d of them.\n", introduction, number)
	for _, area := range slices.Sorted(maps.Keys(rows)) {
		fmt.Fprintf(&b, "\n## %s\n\n| Fault | What is shown | Nothing was lost |\n|---|---|---|\n", area)
		for _, fault := range slices.Sorted(maps.Keys(rows[area])) {
			r := rows[area][fault]
			fmt.Fprintf(&b, "| %s | %s | %s |\n", escape(r.Fault), escape(r.Shows), escape(r.Kept))
		}
	}
	return b.String()
}

func escape(s string) string   { return strings.NewReplacer("|", `\|`, "<", `\<`).Replace(s) }
func unescape(s string) string { return strings.NewReplacer(`\|`, "|", `\<`, "<").Replace(s) }

// record writes a row. Tests of several packages run at once, so the file is locked.
func record(path string, row Row) error {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644) //nolint:gosec // a document
	if err != nil {
		return err
	}
	defer file.Close()
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX); err != nil {
		return err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	rows := Parse(string(text))
	if rows[row.Area] == nil {
		rows[row.Area] = map[string]Row{}
	}
	rows[row.Area][row.Fault] = row
	return os.WriteFile(path, []byte(Format(rows)), 0o644) //nolint:gosec // the same
}
