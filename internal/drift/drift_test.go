package drift_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prekzursil/momentstudio-infra/internal/drift"
	"github.com/prekzursil/momentstudio-infra/internal/engine/enginetest"
	"github.com/prekzursil/momentstudio-infra/internal/resourcetype"
)

const (
	record = "urn:pulumi:prod::momentstudio::" + resourcetype.Record + "::dns-apex"
	state  = `{"version":3,"deployment":{"resources":[{"urn":"` + record + `","type":"` + resourcetype.Record +
		`","id":"r1","outputs":{"name":"shop.example"}}]}}`
	same    = `{"steps":[{"op":"same","urn":"` + record + `"}]}`
	changed = `{"steps":[{"op":"update","urn":"` + record + `","detailedDiff":{"content":{},"modifiedOn":{}}}]}`
	gone    = `{"steps":[{"op":"delete","urn":"` + record + `"}]}`
)

func TestDriftOfTheClouds(t *testing.T) {
	for _, c := range []struct {
		name, refresh string
		finds         string // empty: nothing
	}{
		{"nothing differs", same, ""},
		{"a record was changed", changed, "changed: content"},
		{"a record is gone", gone, "it is gone"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := &enginetest.Programs{State: state, Refresh: c.refresh, Outputs: "{}"}
			stack, out := enginetest.NewStack(t, p, "prod", "config: {}\n")
			err := drift.Run(t.Context(), stack, drift.Options{})
			var found drift.Error
			switch {
			case c.finds == "" && err != nil:
				t.Errorf("%v\n%s", err, out)
			case c.finds != "" && (!errors.As(err, &found) || len(found.Findings) != 1 || found.Findings[0].What != c.finds):
				t.Errorf("got %v, want one finding: %s\n%s", err, c.finds, out)
			}
			for _, call := range p.Calls("pulumi") {
				if strings.HasPrefix(call, "pulumi refresh") && !strings.Contains(call, "--preview-only") ||
					strings.HasPrefix(call, "pulumi up") || strings.HasPrefix(call, "pulumi stack import") {
					t.Errorf("a look for drift changes something: %s", call)
				}
			}
		})
	}
}

func TestDriftThatCannotBeAskedForIsAnErrorOfItsOwn(t *testing.T) {
	p := &enginetest.Programs{
		State: state, Outputs: "{}",
		Fails: map[string]error{"pulumi refresh": errors.New("exit status 255")},
	}
	stack, _ := enginetest.NewStack(t, p, "prod", "config: {}\n")
	file := filepath.Join(t.TempDir(), "drift.json")
	err := drift.Run(t.Context(), stack, drift.Options{JSON: file})
	if found := (drift.Error{}); err == nil || errors.As(err, &found) {
		t.Errorf("got %v, want an error that is no drift", err)
	}
	if text, err := os.ReadFile(file); err != nil || strings.TrimSpace(string(text)) != "[]" {
		t.Errorf("the findings are %q, %v", text, err)
	}
}
