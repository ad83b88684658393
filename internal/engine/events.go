package engine

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/prekzursil/momentstudio-infra/internal/diagnosis"
)

// Events is what one run of the engine did and said, from its event log (sdk/go/common/apitype/events.go).
type Events struct {
	Steps       []Step // that were completed, in their order
	Diagnostics []diagnosis.Diagnostic
}

// Step is one change of one resource.
type Step struct {
	Op   string `json:"op"` // create, update, delete, create-replacement, same, …
	URN  string `json:"urn"`
	Type string `json:"type"`
}

// Created reports whether the run created a resource of the type.
func (e Events) Created(kind string) bool {
	for _, s := range e.Steps {
		if s.Type == kind && (s.Op == "create" || s.Op == "create-replacement") {
			return true
		}
	}
	return false
}

// Changes counts the completed steps by operation. Resources that stayed the same are not in it.
func (e Events) Changes() map[string]int {
	counts := map[string]int{}
	for _, s := range e.Steps {
		if s.Op != "same" && s.Op != "read" {
			counts[s.Op]++
		}
	}
	return counts
}

// Failures are the errors of the run by resource.
func (e Events) Failures() []diagnosis.Failure { return diagnosis.Failures(e.Diagnostics) }

// readEvents reads an event log. Without one the run ended before the engine began; the last line of a killed run may
// be incomplete and is left out.
func readEvents(path string) (Events, error) {
	var e Events
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return e, nil
	}
	if err != nil {
		return e, fmt.Errorf("read the engine's events: %w", err)
	}
	defer file.Close()
	lines := bufio.NewReader(file)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return e, fmt.Errorf("read the engine's events: %w", err)
		}
		if err != nil {
			return e, nil
		}
		var event struct {
			Diagnostic *struct {
				diagnosis.Diagnostic
				Ephemeral bool `json:"ephemeral"`
			} `json:"diagnosticEvent"`
			Done *struct {
				Metadata Step `json:"metadata"`
				Planning bool `json:"planning"`
			} `json:"resOutputsEvent"`
		}
		if err := json.Unmarshal(line, &event); err != nil {
			return e, fmt.Errorf("read the engine's events: a line is not the JSON that this program knows")
		}
		switch {
		case event.Diagnostic != nil && !event.Diagnostic.Ephemeral:
			event.Diagnostic.Message = withoutTaskLogs(event.Diagnostic.Message)
			e.Diagnostics = append(e.Diagnostics, event.Diagnostic.Diagnostic)
		case event.Done != nil && !event.Done.Planning:
			e.Steps = append(e.Steps, event.Done.Metadata)
		}
	}
}
