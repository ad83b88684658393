package recovery_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prekzursil/momentstudio-infra/internal/recovery"
	"github.com/prekzursil/momentstudio-infra/internal/resourcetype"
)

const (
	unknownValue = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
	prefix       = "urn:pulumi:prod::momentstudio::"
)

func secretOf(v string) map[string]any {
	return map[string]any{"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "ciphertext": v}
}

func creation(kind, name string, inputs map[string]any) recovery.Creation {
	return recovery.Creation{
		URN: prefix + kind + "::" + name, Type: kind, Parent: "parent", Provider: "provider::1",
		Inputs: inputs,
	}
}

func apexRecord(content string) recovery.Creation {
	return creation(resourcetype.Record, "dns-apex", map[string]any{"name": "shop.example", "content": content})
}

// pairs are what exists beside what would be made, and what becomes of it.
var pairs = []struct {
	name      string
	creations []recovery.Creation
	thing     recovery.Thing
	adopts    string // the resource's name; empty: none
	refuses   string // a part of what is told; empty: nothing
	waits     string // the same, of what cannot be decided yet
}{
	{
		"a volume by its name",
		[]recovery.Creation{creation(resourcetype.Volume, "host-data",
			map[string]any{"name": "shop-data"})},
		recovery.Thing{Type: resourcetype.Volume, ID: "7", Key: "shop-data"},
		"host-data", "", "",
	},
	{
		"a secret value is no obstacle",
		[]recovery.Creation{creation(resourcetype.DockerSecret, "app-env",
			map[string]any{"name": "env-1", "data": secretOf("canary")})},
		recovery.Thing{Type: resourcetype.DockerSecret, ID: "x", Key: "env-1"},
		"app-env", "", "",
	},
	{"another name is another thing", []recovery.Creation{creation(resourcetype.Volume, "host-data",
		map[string]any{"name": "shop-data"})}, recovery.Thing{Type: resourcetype.Volume, ID: "7", Key: "other"}, "", "", ""},
	{"another type is another thing", []recovery.Creation{creation(resourcetype.Volume, "host-data",
		map[string]any{"name": "shop"})}, recovery.Thing{Type: resourcetype.Server, ID: "7", Key: "shop"}, "", "", ""},
	{
		"a subnet by its network and range",
		[]recovery.Creation{creation(resourcetype.Subnet, "host-subnet",
			map[string]any{"networkId": json.Number("3"), "ipRange": "10.0.0.0/24"})},
		recovery.Thing{Type: resourcetype.Subnet, ID: "3-10.0.0.0/24", Key: "3-10.0.0.0/24"},
		"host-subnet", "", "",
	},
	{
		"an attachment to another server is another one",
		[]recovery.Creation{creation(resourcetype.VolumeAttachment,
			"host-data-attachment", map[string]any{
				"volumeId": json.Number("7"),
				"serverId": json.Number("9"),
			})},
		recovery.Thing{Type: resourcetype.VolumeAttachment, ID: "7", Key: "7-8"},
		"", "",
		"",
	},
	{
		"a record that leads here is ours",
		[]recovery.Creation{apexRecord("192.0.2.1")},
		recovery.Thing{Type: resourcetype.Record, ID: "r", Key: "shop.example", Content: "192.0.2.1"},
		"dns-apex", "", "",
	},
	{
		"a record that leads elsewhere is not",
		[]recovery.Creation{apexRecord("192.0.2.1")},
		recovery.Thing{
			Type: resourcetype.Record, ID: "r", Key: "shop.example",
			Content: "198.51.100.9",
		},
		"", "leads to 198.51.100.9", "",
	},
	{"nor one beside the recorded one", nil, recovery.Thing{
		Type: resourcetype.Record, ID: "r", Key: "shop.example",
		Content: "198.51.100.9",
	}, "", "leads to 198.51.100.9", ""},
	{
		"nor one before there is an address",
		[]recovery.Creation{apexRecord(unknownValue)},
		recovery.Thing{
			Type: resourcetype.Record, ID: "r", Key: "shop.example",
			Content: "198.51.100.9",
		},
		"", "", "leads to 198.51.100.9",
	},
	{"what it was made from must be known", []recovery.Creation{creation(resourcetype.Server, "host-server",
		map[string]any{"name": "node", "userData": unknownValue})}, recovery.Thing{
		Type: resourcetype.Server, ID: "9",
		Key: "node",
	}, "", "", "does not hold what it was made from"},
	{
		"a name that is not known yet matches nothing",
		[]recovery.Creation{creation(resourcetype.DockerSecret, "app-env",
			map[string]any{"name": unknownValue})},
		recovery.Thing{Type: resourcetype.DockerSecret, ID: "x", Key: unknownValue},
		"", "", "",
	},
}

func TestWhatIsThereIsPairedWithWhatWouldBeMade(t *testing.T) {
	for _, c := range pairs {
		t.Run(c.name, func(t *testing.T) {
			m := recovery.Match(c.creations, []recovery.Thing{c.thing})
			if got := len(m.Adopt) + len(m.Refused) + len(m.Blocked) + len(m.Rest); got != 1 {
				t.Fatalf("the thing became %d of them: %+v", got, m)
			}
			if c.adopts != "" && (len(m.Adopt) != 1 || m.Adopt[0].Name() != c.adopts || m.Adopt[0].ID != c.thing.ID) {
				t.Errorf("adopted: %v", m.Adopt)
			}
			if c.refuses != "" && (len(m.Refused) != 1 || !strings.Contains(m.Refused[0].Error(), c.refuses)) {
				t.Errorf("refused: %v", m.Refused)
			}
			if c.waits != "" && (len(m.Blocked) != 1 || !strings.Contains(m.Blocked[0].Error(), c.waits)) {
				t.Errorf("waits: %v", m.Blocked)
			}
			if c.adopts+c.refuses+c.waits == "" && len(m.Rest) != 1 {
				t.Errorf("not left alone: %+v", m)
			}
		})
	}
}

func TestTwinsAreRefused(t *testing.T) {
	widget := creation(resourcetype.Widget, "turnstile-widget", map[string]any{"name": "shop-turnstile"})
	m := recovery.Match([]recovery.Creation{widget}, []recovery.Thing{{
		Type: resourcetype.Widget, ID: "a",
		Key: "shop-turnstile",
	}, {Type: resourcetype.Widget, ID: "b", Key: "shop-turnstile"}})
	if len(m.Refused) != 1 || !strings.Contains(m.Refused[0].Error(), "two called so") {
		t.Errorf("%+v", m)
	}
}

func TestTheTwinOfALostAnswerIsTheOneMadeJustBefore(t *testing.T) {
	s := state(t, recorded(resourcetype.Widget, "turnstile-widget", "own", nil))
	at := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	widget := func(id, name string, created time.Time) recovery.Thing {
		return recovery.Thing{Type: resourcetype.Widget, ID: id, Key: name, Created: created}
	}
	got := s.Twins([]recovery.Thing{
		widget("own", "shop", at), widget("twin", "shop", at.Add(-2*time.Second)), widget("of an earlier year", "shop",
			at.AddDate(-1, 0, 0)),
		widget("made since", "shop", at.Add(time.Second)), widget("another name", "other",
			at.Add(-time.Second)), widget("of no age", "shop", time.Time{}),
	})
	if len(got) != 1 || got[0].ID != "twin" {
		t.Errorf("%v", got)
	}
	if got := s.Twins([]recovery.Thing{widget("a", "shop", at), widget("b", "shop", at)}); len(got) != 0 {
		t.Errorf("of two that nobody recorded, %v", got)
	}
}

func state(t *testing.T, resources ...map[string]any) *recovery.State {
	t.Helper()
	list := []any{}
	for _, r := range resources {
		list = append(list, r)
	}
	text, err := json.Marshal(map[string]any{"version": 3, "deployment": map[string]any{
		"resources": list,
		"pending_operations": []any{map[string]any{
			"type":     "creating",
			"resource": map[string]any{"urn": prefix + "x::host-data"},
		}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	s, err := recovery.ReadState(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func recorded(kind, name, id string, more map[string]any) map[string]any {
	r := map[string]any{"urn": prefix + kind + "::" + name, "type": kind, "id": id, "inputs": map[string]any{"name": name}}
	maps.Copy(r, more)
	return r
}

func TestTheStateKnowsAlsoWhatWaitsToBeDeleted(t *testing.T) {
	s := state(t, recorded(resourcetype.DockerSecret, "env", "1", map[string]any{"delete": true}),
		recorded(resourcetype.Volume, "data", "2", nil),
		recorded(resourcetype.VolumeAttachment, "attachment", "2", map[string]any{"pendingReplacement": true}))
	things := []recovery.Thing{
		{Type: resourcetype.DockerSecret, ID: "1"},
		{Type: resourcetype.Volume, ID: "2"},
		{Type: resourcetype.Server, ID: "2"},
		{Type: resourcetype.VolumeAttachment, ID: "2"},
	}
	if got := s.Unrecorded(things); len(got) != 2 || got[0].Type != resourcetype.Server ||
		got[1].Type != resourcetype.VolumeAttachment {
		t.Errorf("unrecorded: %v", got)
	}
	if got := s.Interrupted(); !slices.Equal(got, []string{"creating host-data"}) {
		t.Errorf("interrupted: %v", got)
	}
}

func TestWhatACloudMadeAndAFailureLeftIsToBeRead(t *testing.T) {
	failed := map[string]any{"initErrors": []any{"1 error occurred: EOF"}}
	s := state(t,
		recorded(resourcetype.Volume, "data", "1", nil),
		recorded("hcloud:index/networkSubnet:NetworkSubnet", "subnet", "2-10.0.0.0/24", failed),
		recorded(resourcetype.Record, "apex", "3", map[string]any{"initErrors": []any{}}),
		recorded(resourcetype.Widget, "widget", "4", failed),
		recorded(resourcetype.DockerService, "backend", "5", failed)) // the update itself mends it
	var got []string
	for _, urn := range s.Unread() {
		got = append(got, urn[strings.LastIndex(urn, ":")+1:])
	}
	if want := []string{"subnet", "widget"}; !slices.Equal(got, want) {
		t.Errorf("to be read are %q, want %q", got, want)
	}
}

func TestGoneIsWhatWasAskedForAndIsNotThere(t *testing.T) {
	s := state(t,
		recorded(resourcetype.Volume, "data", "2", nil),
		recorded(resourcetype.DockerSecret, "old", "3", map[string]any{"delete": true}),
		recorded(resourcetype.Server, "server", "4", map[string]any{"pendingReplacement": true}),
		recorded(resourcetype.DockerSecret, "env", "5", nil),
		recorded(resourcetype.DockerService, "backend", "6", nil))
	got := s.Gone([]string{resourcetype.Volume, resourcetype.DockerSecret, resourcetype.Server},
		[]recovery.Thing{{Type: resourcetype.DockerSecret, ID: "5"}, {Type: resourcetype.Server, ID: "2"}})
	if len(got) != 2 || got[0].ID != "2" || got[0].Name() != "data" || got[0].Deleted || got[1].ID != "3" ||
		!got[1].Deleted {
		t.Errorf("gone: %+v", got)
	}
}

// adopted is the state's list after an adoption, each record as name, ID and whether it waits to be deleted.
func adopted(t *testing.T, s *recovery.State, a recovery.Adoption) []string {
	t.Helper()
	if err := s.Adopt(a); err != nil {
		t.Fatal(err)
	}
	if got := s.Unread(); !slices.Equal(got, []string{a.URN}) {
		t.Errorf("to be read are %q", got)
	}
	text, err := s.JSON()
	if err != nil {
		t.Fatal(err)
	}
	var export struct {
		Version    int
		Deployment struct {
			Resources []struct {
				URN, ID         string
				Delete          bool
				Inputs, Outputs map[string]any
			}
			Pending []any `json:"pending_operations"`
		}
	}
	if err := json.Unmarshal(text, &export); err != nil {
		t.Fatal(err)
	}
	if export.Version != 3 || len(export.Deployment.Pending) != 0 {
		t.Errorf("version %d, %d pending operations", export.Version, len(export.Deployment.Pending))
	}
	var out []string
	for _, r := range export.Deployment.Resources {
		out = append(out, fmt.Sprint(lastPart(r.URN), " ", r.ID, " ", r.Delete))
		if r.ID == a.ID && (fmt.Sprint(r.Outputs["data"]) != fmt.Sprint(a.Inputs["data"]) || r.Outputs["__defaults"] != nil) {
			t.Errorf("the outputs are %v", r.Outputs)
		}
	}
	return out
}

func TestAdoptionsAreWrittenDown(t *testing.T) {
	a := recovery.Adoption{Creation: creation(resourcetype.DockerSecret, "env",
		map[string]any{"name": "env-2", "data": secretOf("canary"), "__defaults": []any{}}), ID: "new"}
	provider := map[string]any{"urn": "provider", "id": "1"}
	others := []map[string]any{
		recorded(resourcetype.Volume, "data", "2", nil),
		recorded(resourcetype.DockerService, "backend", "6", nil),
	}
	for _, c := range []struct {
		name string
		have []map[string]any
		want []string
	}{
		{"what is new comes last", others, []string{"data 2 false", "backend 6 false", "env new false"}},
		{
			"what replaces comes before what it replaces",
			[]map[string]any{
				others[0],
				recorded(resourcetype.DockerSecret, "env", "old", nil), others[1],
			},
			[]string{"data 2 false", "env new false", "env old true", "backend 6 false"},
		},
		{
			"what was deleted to be replaced is dropped",
			[]map[string]any{
				others[0],
				recorded(resourcetype.DockerSecret, "env", "old", map[string]any{"pendingReplacement": true}), others[1],
			},
			[]string{"data 2 false", "env new false", "backend 6 false"},
		},
		{"what replaces comes after what it needs", []map[string]any{
			recorded(resourcetype.DockerSecret, "env", "old", nil),
			provider, others[1],
		}, []string{"env old true", "provider 1 false", "env new false", "backend 6 false"}},
		{"what waits to be deleted goes on waiting", []map[string]any{recorded(resourcetype.DockerSecret, "env", "older",
			map[string]any{"delete": true}), others[1]}, []string{"env older true", "backend 6 false", "env new false"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if !slices.ContainsFunc(c.have, func(r map[string]any) bool { return r["urn"] == "provider" }) {
				c.have, c.want = append([]map[string]any{provider}, c.have...), append([]string{"provider 1 false"}, c.want...)
			}
			if got := adopted(t, state(t, c.have...), a); !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// An older copy of the state may lack what an adopted resource depends on; the engine refuses what names it.
func TestWhatTheStateLacksIsNotNamed(t *testing.T) {
	a := recovery.Adoption{
		Creation: creation(resourcetype.DockerSecret, "env", map[string]any{"name": "env-2"}),
		ID:       "new",
	}
	a.Dependencies, a.PropertyDependencies = []string{"gone", "provider"}, map[string][]string{
		"data": {"gone"},
		"name": {"provider"},
	}
	s := state(t, map[string]any{"urn": "provider", "id": "1"})
	if err := s.Adopt(a); err != nil {
		t.Fatal(err)
	}
	text, err := s.JSON()
	if err != nil {
		t.Fatal(err)
	}
	if out := string(text); strings.Contains(out, "gone") || strings.Contains(out, `"parent"`) || !strings.Contains(out,
		`"dependencies":["provider"]`) {
		t.Errorf("written down: %s", out)
	}
	if err := state(t).Adopt(a); err == nil || !strings.Contains(err.Error(), "pulumi stack import") {
		t.Errorf("without its provider: %v", err)
	}
}

// A service is read whole, so what of it is not known yet may be left out.
func TestAServiceIsAdoptedWithoutWhatIsNotKnownYet(t *testing.T) {
	c := creation(resourcetype.DockerService, "app-backend", map[string]any{
		"name":     "backend",
		"taskSpec": map[string]any{"secretId": unknownValue},
	})
	m := recovery.Match([]recovery.Creation{c}, []recovery.Thing{{
		Type: resourcetype.DockerService, ID: "x",
		Key: "backend",
	}})
	if len(m.Adopt) != 1 || fmt.Sprint(m.Adopt[0].Inputs) != "map[name:backend]" || c.Inputs["taskSpec"] == nil {
		t.Errorf("%+v", m)
	}
}

func TestCreationsAreReadFromThePlan(t *testing.T) {
	s := state(t, recorded(resourcetype.DockerSecret, "env", "1", map[string]any{"inputs": map[string]any{
		"name":   "env-1",
		"labels": "kept", "gone": "x",
	}}))
	goal := func(custom bool, steps, diff string) string {
		return fmt.Sprintf(`{"steps":[%s],"goal":{
			"type":"t","custom":%v,"parent":"p","provider":"v","protect":true,
			"dependencies":["d"],"propertyDependencies":{"n":["d"]},
			"inputDiff":%s
		}}`, steps, custom, diff)
	}
	text := fmt.Sprintf(`{"manifest":{},"resourcePlans":{
		"urn::a":%s,"urn::b":%s,"urn::c":%s,%q:%s,
		"urn::e":{"steps":["delete"]}
	}}`,
		goal(true, `"create"`, `{"adds":{"n":12345678901234567}}`), goal(true, `"same"`, `{}`), goal(false, `"create"`, `{}`),
		prefix+resourcetype.DockerSecret+"::env", goal(true, `"replace","create-replacement","delete-replaced"`,
			`{"adds":{"new":1},"updates":{"name":"env-2"},"deletes":["gone"]}`))
	got, err := s.Creations([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || got[0].Name() != "a" || got[1].Name() != "env" {
		t.Fatalf("%+v", got)
	}
	if a := got[0]; fmt.Sprint(a.Inputs["n"]) != "12345678901234567" || !a.Protect || a.Parent != "p" ||
		a.Provider != "v" || !slices.Equal(a.Dependencies, []string{"d"}) || len(a.PropertyDependencies) != 1 {
		t.Errorf("%+v", a)
	}
	if in := fmt.Sprint(got[1].Inputs); in != "map[labels:kept name:env-2 new:1]" {
		t.Errorf("the inputs of a replacement are %s", in)
	}
	for _, bad := range []string{"", "{}", "error: no", text[:len(text)-5]} {
		if _, err := s.Creations([]byte(bad)); err == nil {
			t.Errorf("%.20q is taken for a plan", bad)
		}
	}
}

func TestAStateThatIsNoneIsRefused(t *testing.T) {
	for _, bad := range []string{"", "[]", "{}", `{"deployment":{"resources":[1]}}`} {
		if _, err := recovery.ReadState([]byte(bad)); err == nil {
			t.Errorf("%q is taken for a state", bad)
		}
	}
}

func lastPart(urn string) string {
	parts := strings.Split(urn, "::")
	return parts[len(parts)-1]
}
