package engine

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/prekzursil/momentstudio-infra/internal/resourcetype"
)

const eventLog = `{"sequence":0,"timestamp":1,"preludeEvent":{"config":{}}}
{"sequence":1,"timestamp":1,"resourcePreEvent":{"metadata":{"op":"create","urn":"u::widget","type":"cloudflare:index/turnstileWidget:TurnstileWidget"}}}
{"sequence":2,"timestamp":1,"diagnosticEvent":{"urn":"u::data","message":"broken\n","color":"never","severity":"error"}}
{"sequence":3,"timestamp":1,"diagnosticEvent":{"urn":"u::data","message":"still at work","severity":"info","ephemeral":true}}
{"sequence":4,"timestamp":2,"resOutputsEvent":{"metadata":{"op":"create","urn":"u::widget","type":"cloudflare:index/turnstileWidget:TurnstileWidget"}}}
{"sequence":5,"timestamp":2,"resOutputsEvent":{"metadata":{"op":"same","urn":"u::net","type":"hcloud:index/network:Network"}}}
{"sequence":6,"timestamp":2,"resOutputsEvent":{"metadata":{"op":"update","urn":"u::vol","type":"hcloud:index/volume:Volume"},"planning":true}}
{"sequence":7,"timestamp":2,"resOutputsEve`

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
