// Package drill is what a restore drill has to tell.
package drill

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
)

// Phase is a part of the drill and the time that it took.
type Phase struct {
	Name    string  `json:"name"`
	Seconds float64 `json:"seconds"`
}

// Report is what a drill found.
type Report struct {
	Stack  string    `json:"stack"`
	Began  time.Time `json:"began"`
	Phases []Phase   `json:"phases"` // of the whole drill, those of the restore among them
	// from the backup's beginning to the drill's: what would have been lost
	Age     float64                    `json:"ageSeconds,omitempty"`
	Proof   *hostspec.AcceptanceReport `json:"proof,omitempty"` // nil: it did not come so far
	Error   string                     `json:"error,omitempty"` // why it ended early
	Removed bool                       `json:"removed"`         // nothing of the drill is left
	Kept    time.Time                  `json:"keptUntil,omitzero"`
}

// Expected is what the backup is to be; checks of it join those of the proof.
type Expected struct {
	Stack  string        // that made it; empty: any
	MaxAge time.Duration // when the drill began; 0: any, because an old one was asked for
}

// Judge adds to the proof what only the drill knows: whether the backup is the one that was meant.
func (r *Report) Judge(e Expected) {
	m, age := r.Proof.Manifest, r.Began.Sub(r.Proof.Manifest.Started)
	r.Age = age.Seconds()
	check := func(name string, good bool, detail string) {
		result := hostspec.CheckPassed
		if !good {
			result = hostspec.CheckFailed
		}
		r.Proof.Checks = append(r.Proof.Checks, hostspec.AcceptanceCheck{Name: name, Result: result, Detail: detail})
	}
	if e.Stack != "" {
		check("the backup is of the stack that is drilled", m.Stack == e.Stack,
			fmt.Sprintf("it is of %s, and %s is drilled", m.Stack, e.Stack))
	}
	if e.MaxAge != 0 {
		check("the backup is not too old", age <= e.MaxAge && age > -time.Hour,
			fmt.Sprintf("it is %s old; backup.maxAgeHours is %.0f", Words(age), e.MaxAge.Hours()))
	}
}

// Err tells whether the backup was proven: nil only when the drill came to its end, and no check failed.
func (r Report) Err() error {
	switch {
	case r.Error != "":
		return errors.New(r.Error)
	case r.Proof == nil || len(r.Proof.Checks) == 0:
		return errors.New("nothing was checked")
	}
	var bad []error
	for _, c := range r.Proof.Checks {
		if c.Result != hostspec.CheckPassed && c.Result != hostspec.CheckNotPossible {
			bad = append(bad, fmt.Errorf("not so: %s: %s", c.Name, c.Detail))
		}
	}
	if !r.Removed && r.Kept.IsZero() {
		bad = append(bad, errors.New("something of the drill may be left"))
	}
	return errors.Join(bad...)
}

// ReadProof reads what `hostops prove` printed.
func ReadProof(text []byte) (*hostspec.AcceptanceReport, error) {
	var p hostspec.AcceptanceReport
	if err := json.Unmarshal(text, &p); err != nil || len(p.Checks) == 0 {
		return nil, errors.New("the host's proof is not the JSON that this program knows")
	}
	return &p, nil
}

// JSON is the report for programs.
func (r Report) JSON() ([]byte, error) {
	text, err := json.MarshalIndent(r, "", "  ")
	return append(text, '\n'), err
}

// Markdown is the report for people; the verdict comes first.
func (r Report) Markdown() string {
	var b strings.Builder
	if err := r.Err(); err == nil && len(r.unproven()) == 0 {
		fmt.Fprintf(&b, "# The backup is good: %s\n\n", r.Proof.Source)
	} else if err == nil {
		fmt.Fprintf(&b, "# The backup is good as far as it can be checked: %s\n\n", r.Proof.Source)
	} else {
		fmt.Fprintf(&b, "# The backup is NOT proven\n\n")
		for line := range strings.Lines(err.Error()) {
			fmt.Fprintf(&b, "> %s\n", strings.TrimRight(line, "\n"))
		}
		b.WriteString("\n")
	}
	fmt.Fprintf(&b, "Drill `%s`, begun %s", r.Stack, r.Began.UTC().Format("2006-01-02 15:04 MST"))
	switch {
	case r.Removed:
		b.WriteString("; nothing of it is left.\n")
	case !r.Kept.IsZero():
		fmt.Fprintf(&b, "; **its stack is kept** until %s.\n", r.Kept.UTC().Format("2006-01-02 15:04 MST"))
	default:
		b.WriteString("; **something of it may be left**: `studio drill reap`.\n")
	}
	if p := r.Proof; p != nil {
		m := p.Manifest
		var rows, bytes int64
		files := 0
		for _, n := range m.Database.Rows {
			rows += n
		}
		for _, t := range m.Files {
			files, bytes = files+t.Files, bytes+t.Bytes
		}
		fmt.Fprintf(&b, "\n| | |\n|---|---|\n| would have been lost | %s of data |\n| backup | `%s` of stack %s, release "+
			"`%.12s`, schema %s |\n| holds | %d rows in %d tables, a dump of %s; %d files of %s |\n",
			Words(time.Duration(r.Age*float64(time.Second))), m.ID, m.Stack, m.Release, m.Revision, rows, len(m.Database.Rows),
			size(m.Database.Bytes), files, size(bytes))
		b.WriteString("\n| Check | Result | Found |\n|---|---|---|\n")
		for _, c := range p.Checks {
			result := map[hostspec.AcceptanceResult]string{"passed": "✓", "not possible": "–"}[c.Result]
			if result == "" {
				result = "**✗**"
			}
			fmt.Fprintf(&b, "| %s | %s | %s |\n", c.Name, result, strings.NewReplacer("|", "\\|", "\n", "; ").Replace(c.Detail))
		}
		if len(r.unproven()) > 0 {
			fmt.Fprintf(&b, "\n– not possible: the backup has nothing to check it with.\n")
		}
	}
	if len(r.Phases) > 0 {
		total := 0.0
		b.WriteString("\n| Phase | Time |\n|---|---:|\n")
		for _, p := range r.Phases {
			total += p.Seconds
			fmt.Fprintf(&b, "| %s | %s |\n", p.Name, Words(time.Duration(p.Seconds*float64(time.Second))))
		}
		fmt.Fprintf(&b, "| **together** | **%s** |\n", Words(time.Duration(total*float64(time.Second))))
	}
	return b.String()
}

// unproven are the checks that the backup has nothing for.
func (r Report) unproven() (names []string) {
	for _, c := range r.Proof.Checks {
		if c.Result == "not possible" {
			names = append(names, c.Name)
		}
	}
	return names
}

// Words is a time in the two greatest of its units.
func Words(d time.Duration) string {
	if d < time.Minute {
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	units := []struct {
		name string
		size time.Duration
	}{{"d", 24 * time.Hour}, {"h", time.Hour}, {"min", time.Minute}, {"s", time.Second}}
	for i, u := range units[:len(units)-1] {
		if d >= u.size {
			next := units[i+1]
			return fmt.Sprintf("%d %s %d %s", d/u.size, u.name, d%u.size/next.size, next.name)
		}
	}
	return d.String()
}

// size is a number of bytes in decimal units.
func size(n int64) string {
	units := map[int64]string{1e9: "GB", 1e6: "MB", 1e3: "kB"}
	for _, u := range slices.Backward(slices.Sorted(maps.Keys(units))) {
		if n >= u {
			return fmt.Sprintf("%.1f %s", float64(n)/float64(u), units[u])
		}
	}
	return fmt.Sprintf("%d bytes", n)
}
