package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Entry is one run in a stack's history, as the engine keeps it. A run that was killed has none.
type Entry struct {
	Kind    string    // "update", "refresh", "destroy", "import" and so on
	Result  string    // "succeeded", "failed" or "in-progress"
	Started time.Time // UTC
	Ended   time.Time // UTC; zero while it is in progress
	Commit  string    // of the clone that ran it; empty outside git
	Changed bool      // files of the clone differed from the commit
	Author  string    // of the commit
	Changes map[string]int
	config  map[string]struct {
		Value string `json:"value"`
	}
}

// Group decodes a group of the stack's config of then. It is false when the config had none, or another form.
func (e Entry) Group(key string, into any) bool {
	return json.Unmarshal([]byte(e.config[key].Value), into) == nil
}

// historyLength is how many of the newest runs are read.
const historyLength = 100

// History reads the stack's newest runs, the newest first.
func (c Stack) History(ctx context.Context) ([]Entry, error) {
	text, err := c.Output(ctx, "stack", "history", "--json", "--full-dates", "--page-size", fmt.Sprint(historyLength),
		"--page", "1")
	if err != nil {
		return nil, fmt.Errorf("read the history of stack %s: %w", c.Name, err)
	}
	if strings.TrimSpace(string(text)) == "" {
		return nil, nil
	}
	var listed []struct {
		Kind        string            `json:"kind"`
		Result      string            `json:"result"`
		StartTime   time.Time         `json:"startTime"`
		EndTime     time.Time         `json:"endTime"`
		Environment map[string]string `json:"environment"`
		Changes     map[string]int    `json:"resourceChanges"`
		Config      map[string]struct {
			Value string `json:"value"`
		} `json:"config"`
	}
	if err := json.Unmarshal(text, &listed); err != nil {
		return nil, errors.New("the stack's history is not the JSON that this program knows")
	}
	entries := make([]Entry, 0, len(listed))
	for _, l := range listed {
		entries = append(entries, Entry{
			Kind: l.Kind, Result: l.Result, Started: l.StartTime.UTC(), Ended: l.EndTime.UTC(),
			Commit: l.Environment["git.head"], Changed: l.Environment["git.dirty"] == "true",
			Author: l.Environment["git.author"], Changes: l.Changes, config: l.Config,
		})
	}
	return entries, nil
}
