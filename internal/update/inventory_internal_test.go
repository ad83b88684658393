package update

import (
	"slices"
	"testing"

	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
	"github.com/prekzursil/momentstudio-infra/internal/recovery"
	"github.com/prekzursil/momentstudio-infra/internal/resourcetype"
)

func TestTheInventoryOfAHostHasOnlyWhatTheProgramCreated(t *testing.T) {
	var i inventory
	inventoryHost(hostspec.HostReport{
		Services:   []hostspec.Service{{ID: "s1", Name: "backend"}},
		Secrets:    []hostspec.Object{{ID: "x1", Name: "env-1"}, {ID: "x2", Name: "somebody-else", Foreign: true}},
		Networks:   []hostspec.Object{{ID: "n1", Name: "app"}, {ID: "n2", Name: "bridge", Foreign: true}},
		Containers: []hostspec.Object{{ID: "c1", Name: "job", Running: true}},
		Foreign:    []string{"by-hand"},
	}, &i)
	want := []recovery.Thing{
		{Type: resourcetype.DockerService, ID: "s1", Key: "backend"},
		{Type: resourcetype.DockerSecret, ID: "x1", Key: "env-1"},
		{Type: resourcetype.DockerNetwork, ID: "n1", Key: "app"},
		{Type: resourcetype.DockerContainer, ID: "c1", Key: "job"},
	}
	if len(i.things) != len(want) {
		t.Errorf("got %v", i.things)
	}
	for _, w := range want {
		if !slices.Contains(i.things, w) {
			t.Errorf("%v is missing in %v", w, i.things)
		}
	}
	if slices.Contains(i.asked, resourcetype.DockerContainer) || !slices.Contains(i.asked, resourcetype.DockerSecret) {
		t.Errorf("what was asked for completely: %v", i.asked)
	}
}
