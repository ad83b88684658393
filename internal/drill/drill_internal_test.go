package drill

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prekzursil/momentstudio-infra/internal/commandline"
	"github.com/prekzursil/momentstudio-infra/internal/engine"
	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
	"github.com/prekzursil/momentstudio-infra/internal/resourcetype"
)

func TestWhenADrillExpires(t *testing.T) {
	for _, c := range []struct{ stack, updated, outputs, want string }{
		{"drill-20261127-030000", "", `{"expires": "2026-11-30T03:00:00Z"}`, "2026-11-30T03:00:00Z"},
		{"drill-mine", "", `{"expires": "2026-11-30T03:00:00Z"}`, "2026-11-30T03:00:00Z"},
		// Its first update was killed: some hours after the time in its name, or after that update.
		{"drill-20261127-030000", "2026-11-28T03:00:00Z", `{}`, "2026-11-27T09:00:00Z"},
		{"drill-20261127-030000", "", `{"expires": ""}`, "2026-11-27T09:00:00Z"},
		{"drill-mine", "2026-11-28T03:00:00.000Z", `{}`, "2026-11-28T09:00:00Z"},
		{"drill-mine", "", `{}`, ""},
		{"drill-mine", "", `no JSON`, ""},
	} {
		at, err := expiryOf(c.stack, c.updated, []byte(c.outputs), nil)
		if (err != nil) != (c.want == "") || err == nil && at.Format(time.RFC3339) != c.want {
			t.Errorf("%s with %s: %s, %v; want %s", c.stack, c.outputs, at, err, c.want)
		}
	}
	now := time.Date(2026, 11, 27, 3, 0, 0, 0, time.UTC)
	if at, err := expiryOf(StackName(now), "", []byte(`{}`), nil); err != nil || !at.Equal(now.Add(unnamedLife)) {
		t.Errorf("the name that drills get: %s, %v", at, err)
	}
}

func TestALabelSaysWhenADrillExpiresWhoseStateDoesNot(t *testing.T) {
	labels := []map[string]string{{"expires": "soon"}, {}, {"expires": "1796094000"}}
	if at, err := expiryOf("drill-20261127-030000", "", []byte(`{}`), labels); err != nil || at.Unix() != 1796094000 {
		t.Errorf("without outputs: %s, %v", at, err)
	}
	if at, err := expiryOf("drill-20261127-030000", "", []byte(`{"expires": "2026-11-30T03:00:00Z"}`),
		labels); err != nil || at.UTC().Day() != 30 {
		t.Errorf("with outputs: %s, %v", at, err)
	}
}

func TestAStackThatOnlyHasADrillsNameIsKept(t *testing.T) {
	state := func(resources string) []byte { return []byte(`{"deployment":{"resources":[` + resources + `]}}`) }
	server := func(labels string) string {
		return `{"urn":"x::host-server","type":"` + resourcetype.Server + `","inputs":{"labels":` + labels + `}}`
	}
	const (
		expires   = `{"stack":"drill-x","expires":"1796094000"}`
		container = `{"urn":"x::app-migrate","type":"docker:index/container:Container","inputs":{"labels":[]}}`
	)
	for _, c := range []struct {
		name, resources string
		kept            bool
	}{
		{"a drill", server(expires) + "," + container, false},
		{"a drill that was killed before its first resource", "", false},
		{"a server that does not expire", server(`{"stack":"drill-x"}`), true},
		{"a server without labels", server(`null`), true},
		{"one of several", server(expires) + "," + server(`{}`), true},
		{"a name at Cloudflare", `{"urn":"x::dns-apex","type":"` + resourcetype.Record + `","inputs":{}}`, true},
	} {
		if err := refuseKept(state(c.resources)); (err != nil) != c.kept {
			t.Errorf("%s: got %v, want an error: %v", c.name, err, c.kept)
		}
	}
}

func TestADrillsFileIsTheTemplateWithItsEnd(t *testing.T) {
	dir := t.TempDir()
	from, to := filepath.Join(dir, "Pulumi.drill.yaml"), filepath.Join(dir, "drill.yaml")
	const text = "encryptionsalt: v1:abc\nconfig:\n  momentstudio:kind: drill\n  momentstudio:backupPassword:\n    " +
		"secure: v1:xyz\n"
	if err := os.WriteFile(from, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := copyForDrill(from, "", to, time.Date(2026, 11, 27, 9, 0, 0, 0, time.UTC)); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(to)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"encryptionsalt: v1:abc", "momentstudio:kind: drill", "secure: v1:xyz",
		`expires: "2026-11-27T09:00:00Z"`,
	} {
		if !strings.Contains(string(got), want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	like := filepath.Join(dir, "Pulumi.prod.yaml")
	if err := os.WriteFile(like, []byte("config:\n  momentstudio:kind: production\n  momentstudio:release:\n    name: "+
		"of-prod\n  momentstudio:images:\n    ops: of-prod-too\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := copyForDrill(from, like, to, time.Now()); err != nil {
		t.Fatal(err)
	}
	if got, err = os.ReadFile(to); err != nil || !strings.Contains(string(got),
		"name: of-prod") || !strings.Contains(string(got), "ops: of-prod-too") ||
		!strings.Contains(string(got), "kind: drill") {
		t.Errorf("the release of another stack's file: %v\n%s", err, got)
	}
	if before, err := os.ReadFile(from); err != nil || string(before) != text {
		t.Errorf("the template was changed: %s, %v", before, err)
	}
	for name, bad := range map[string]string{"no YAML": "\t", "no config": "encryptionsalt: v1:abc\n"} {
		if err := os.WriteFile(from, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := copyForDrill(from, "", to, time.Now()); err == nil || !strings.Contains(err.Error(), from) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestADrillOfNoBackupIsWrongUsageAndMakesNothing(t *testing.T) {
	for _, text := range []string{"nonsense", "", "20261125"} {
		c := engine.Stack{Name: "drill-1", Root: t.TempDir()}
		err := Run(t.Context(), c, Options{Backup: text, Life: time.Hour}, time.Now())
		if !commandline.Wrong(err) || !strings.Contains(err.Error(), "--backup: ") {
			t.Errorf("%q: got %v, want an error about --backup that is wrong usage", text, err)
		}
		if made, err := os.ReadDir(c.Root); err != nil || len(made) > 0 {
			t.Errorf("%q: the drill made %v (%v)", text, made, err)
		}
	}
}

func TestOnlyDrillsAreRemoved(t *testing.T) {
	for _, stack := range []string{"prod", "drill", "drill-", "staging-drill-1", "drill-1,stack=prod", "drill-A"} {
		c := engine.Stack{Name: stack, Root: t.TempDir()}
		if err := tearDown(t.Context(), c); err == nil || !strings.Contains(err.Error(), "nothing of it is removed") {
			t.Errorf("%q: %v", stack, err)
		}
		if err := Run(t.Context(), c, Options{Backup: hostspec.LatestBackup, Life: time.Hour},
			time.Now()); err == nil || !strings.Contains(err.Error(),
			"--of names the stack") {
			t.Errorf("a drill called %q: %v", stack, err)
		}
	}
	if !drillName.MatchString(StackName(time.Now())) {
		t.Errorf("the name that drills get, %s, is none", StackName(time.Now()))
	}
}
