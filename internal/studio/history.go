package studio

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/prekzursil/momentstudio-infra/internal/config"
	"github.com/prekzursil/momentstudio-infra/internal/engine"
)

// HistoryEntry is one run of the engine on a stack.
type HistoryEntry struct {
	Started time.Time      `json:"started"` // UTC
	Seconds float64        `json:"seconds"` // how long it took; 0 while it is in progress
	Kind    string         `json:"kind"`    // "update", "refresh", "destroy", "import" and so on
	Result  string         `json:"result"`  // "succeeded", "failed" or "in-progress"
	Release string         `json:"release"` // name of the release that the stack's file asked for; empty: none
	Back    bool           `json:"back"`    // whether an earlier update had brought that release before another
	Commit  string         `json:"commit"`  // of the clone; empty outside git
	Changed bool           `json:"changed"` // whether files of the clone differed from the commit
	Author  string         `json:"author"`  // of the commit
	Changes map[string]int `json:"changes"` // steps by operation, without those that changed nothing
}

// History shows the newest runs of the engine on the stack, the newest first, as a table or as JSON.
func History(ctx context.Context, c engine.Stack, asJSON bool) error {
	entries, err := c.History(ctx)
	if err != nil {
		return err
	}
	runs := historyOf(entries)
	if asJSON {
		out := json.NewEncoder(c.Out)
		out.SetIndent("", "  ")
		return out.Encode(runs)
	}
	w := tabwriter.NewWriter(c.Out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "STARTED\tTOOK\tRUN\tRESULT\tRELEASE\tCOMMIT\tAUTHOR\tCHANGES")
	for _, r := range runs {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.Started.Format(time.RFC3339),
			time.Duration(r.Seconds*float64(time.Second)), r.Kind, r.Result, r.release(), r.commit(), r.Author, r.changes())
	}
	return w.Flush()
}

// historyOf are the runs, the newest first.
func historyOf(entries []engine.Entry) []HistoryEntry {
	runs := make([]HistoryEntry, 0, len(entries))
	before, last := map[string]bool{}, "" // releases that updates have brought, the oldest first
	for _, e := range slices.Backward(entries) {
		r := HistoryEntry{
			Started: e.Started, Kind: e.Kind, Result: e.Result, Commit: e.Commit, Changed: e.Changed, Author: e.Author,
			Changes: maps.Clone(e.Changes),
		}
		delete(r.Changes, "same")
		if !e.Ended.IsZero() {
			r.Seconds = e.Ended.Sub(e.Started).Seconds()
		}
		var release config.Release
		if e.Group(config.Namespace+":release", &release) {
			r.Release = release.Name
		}
		if e.Kind == "update" && r.Release != "" {
			r.Back = before[r.Release] && r.Release != last
			before[r.Release], last = true, r.Release
		}
		runs = append(runs, r)
	}
	slices.Reverse(runs)
	return runs
}

const shortCommit = 12

func (r HistoryEntry) release() string {
	name := r.Release[:min(len(r.Release), shortCommit)]
	if r.Back {
		name += " (back)"
	}
	return name
}

func (r HistoryEntry) commit() string {
	commit := r.Commit[:min(len(r.Commit), shortCommit)]
	if r.Changed && commit != "" {
		commit += "-changed"
	}
	return commit
}

func (r HistoryEntry) changes() string {
	parts := make([]string, 0, len(r.Changes))
	for _, op := range slices.Sorted(maps.Keys(r.Changes)) {
		parts = append(parts, fmt.Sprintf("%d %s", r.Changes[op], op))
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}
