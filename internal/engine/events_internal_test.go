package engine

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/prekzursil/momentstudio-infra/internal/resourcetype"
)

// eventLog is what the CLI 3.274 writes, without the states of resources.
const eventLog = `{"sequence":0,"preludeEvent":{"config":{}}}
{"sequence":1,"resourcePreEvent":{"metadata":{"op":"create","urn":"u::widget","type":"` + resourcetype.Widget + `"}}}
{"sequence":2,"diagnosticEvent":{"urn":"u::data","message":"broken\n","color":"never","severity":"error"}}
{"sequence":3,"diagnosticEvent":{"urn":"u::data","message":"at work","severity":"info","ephemeral":true}}
{"sequence":4,"resOutputsEvent":{"metadata":{"op":"create","urn":"u::widget","type":"` + resourcetype.Widget + `"}}}
{"sequence":5,"resOutputsEvent":{"metadata":{"op":"same","urn":"u::net","type":"` + resourcetype.Network + `"}}}
{"sequence":6,"resOutputsEvent":{"planning":true,"metadata":{"op":"update","urn":"u::vol","type":"x:y:Z"}}}
{"sequence":7,"resOutputsEve`

func TestTheEventLogOfAKilledRunIsReadAsFarAsItGoes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.json")
	if e, err := readEvents(path); err != nil || len(e.Steps)+len(e.Diagnostics) != 0 {
		t.Errorf("without a log: %+v, %v", e, err)
	}
	if err := os.WriteFile(path, []byte(eventLog), 0o600); err != nil {
		t.Fatal(err)
	}
	e, err := readEvents(path)
	if err != nil {
		t.Fatal(err)
	}
	if !e.Created(resourcetype.Widget) || e.Created(resourcetype.Network) || e.Created(resourcetype.Volume) {
		t.Errorf("what was created is not read: %+v", e.Steps)
	}
	if changes := e.Changes(); len(changes) != 1 || changes["create"] != 1 {
		t.Errorf("changes: %v", changes)
	}
	if len(e.Diagnostics) != 1 || len(e.Failures()) != 1 || e.Failures()[0].Message != "broken" {
		t.Errorf("diagnostics: %+v", e.Diagnostics)
	}
	if err := os.WriteFile(path, []byte("nonsense\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readEvents(path); err == nil {
		t.Error("nonsense is read")
	}
}
