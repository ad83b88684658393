package update_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prekzursil/momentstudio-infra/internal/engine/enginetest"
	"github.com/prekzursil/momentstudio-infra/internal/resourcetype"
	"github.com/prekzursil/momentstudio-infra/internal/update"
)

const (
	urnOfStack  = "urn:pulumi:drill-1::momentstudio::pulumi:pulumi:Stack::momentstudio-drill-1"
	urnOfVolume = "urn:pulumi:drill-1::momentstudio::" + resourcetype.Volume + "::host-data"
	urnOfCloud  = "urn:pulumi:drill-1::momentstudio::pulumi:providers:hcloud::hetzner"
)

// hetzner answers every list of a project that has these volumes and nothing else.
func hetzner(t *testing.T, volumes ...string) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		kind := strings.TrimPrefix(r.URL.Path, "/")
		list := []any{}
		if kind == "volumes" {
			for n, name := range volumes {
				list = append(list, map[string]any{"id": 7 + n, "name": name, "size": 10, "location": map[string]any{}})
			}
		}
		if strings.Contains(kind, "/") { // one that is gone
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `{"error":{"code":"not_found","message":"not found"}}`)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{kind: list})
	}))
	t.Cleanup(server.Close)
	t.Setenv("HCLOUD_TOKEN", strings.Repeat("0", 64))
	return "config:\n  momentstudio:kind: drill\n  momentstudio:endpoints:\n    hcloud: " + server.URL + "\n"
}

// stateOf is an exported state of a stack with a provider and these other resources.
func stateOf(t *testing.T, others ...map[string]any) string {
	t.Helper()
	resources := []any{
		map[string]any{"urn": urnOfStack, "type": "pulumi:pulumi:Stack"},
		map[string]any{"urn": urnOfCloud, "type": "pulumi:providers:hcloud", "id": "p", "custom": true},
	}
	for _, r := range others {
		resources = append(resources, r)
	}
	text, err := json.Marshal(map[string]any{"version": 3, "deployment": map[string]any{"resources": resources}})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// planOf is a plan that creates the volume.
const planOf = `{"manifest":{},"resourcePlans":{"` + urnOfVolume + `":{"steps":["create"],"goal":{
	"type":"` + resourcetype.Volume + `","custom":true,"parent":"` + urnOfStack + `","provider":"` + urnOfCloud + `::p",
	"inputDiff":{"adds":{"name":"drill-1-data"}}}}}}`

func TestRecoverAdoptsWhatAKilledRunCreated(t *testing.T) {
	p := &enginetest.Programs{State: stateOf(t), Plan: planOf, Outputs: "{}"}
	c, out := enginetest.NewStack(t, p, "drill-1", hetzner(t, "drill-1-data"))
	if err := update.Recover(t.Context(), c, update.RecoverOptions{}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "would adopt") || !strings.Contains(out.String(), "host-data") ||
		len(p.Imported()) != 0 || len(p.Calls("pulumi refresh", "pulumi up")) != 0 {
		t.Errorf("a recovery without Apply changed something, or did not print its plan:\n%s%q", out, p.Calls("pulumi"))
	}

	if err := update.Recover(t.Context(), c, update.RecoverOptions{Apply: true}); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	imported := p.Imported()
	if len(imported) == 0 || !strings.Contains(imported[len(imported)-1], urnOfVolume) {
		t.Fatalf("the volume is not in the imported states: %q", imported)
	}
	if refreshes := p.Calls("pulumi refresh"); len(refreshes) != 1 ||
		!strings.Contains(refreshes[0], "--target "+urnOfVolume) {
		t.Errorf("the adopted volume is not read: %q", refreshes)
	}
}

func TestRecoverDropsNoRecordOfDataUnasked(t *testing.T) {
	volume := map[string]any{
		"urn": urnOfVolume, "type": resourcetype.Volume, "id": "7", "custom": true,
		"inputs": map[string]any{"name": "drill-1-data"}, "outputs": map[string]any{"name": "drill-1-data"},
	}
	p := &enginetest.Programs{State: stateOf(t, volume), Plan: planOf, Outputs: "{}"}
	c, out := enginetest.NewStack(t, p, "drill-1", hetzner(t))
	err := update.Recover(t.Context(), c, update.RecoverOptions{Apply: true})
	if err == nil || !strings.Contains(err.Error(), "--forget host-data") {
		t.Errorf("a volume that is gone: %v, want the command that gives it up", err)
	}
	if len(p.Imported()) != 0 || len(p.Calls("pulumi refresh")) != 0 {
		t.Errorf("the state was touched: %q", p.Calls("pulumi"))
	}

	given := update.RecoverOptions{Apply: true, Forget: []string{"host-data"}}
	if err := update.Recover(t.Context(), c, given); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if refreshes := p.Calls("pulumi refresh"); len(refreshes) != 1 ||
		!strings.Contains(refreshes[0], "--target "+urnOfVolume) {
		t.Errorf("the record is not dropped: %q", refreshes)
	}
}

func TestRecoverEndsBeforeItTouchesAStateInUse(t *testing.T) {
	p := &enginetest.Programs{
		State: stateOf(t), Plan: planOf, Outputs: "{}",
		Fails: map[string]error{"pulumi stack import": errors.New("exit status 255")},
	}
	c, _ := enginetest.NewStack(t, p, "drill-1", hetzner(t, "drill-1-data"))
	if err := update.Recover(t.Context(), c, update.RecoverOptions{Apply: true}); err == nil {
		t.Error("a state that cannot be written is a success")
	}
	if calls := p.Calls("pulumi refresh", "pulumi up"); len(calls) != 0 {
		t.Errorf("the run went on: %q", calls)
	}
}
