package stacks_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"

	"github.com/prekzursil/momentstudio-infra/internal/config"
	"github.com/prekzursil/momentstudio-infra/internal/graphtest"
	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
	"github.com/prekzursil/momentstudio-infra/internal/render"
)

// hostSecrets are the contents that host-apply writes, by path, and their description.
func hostSecrets(t *testing.T, g graphtest.Graph) (contents map[string]string, files map[string]hostspec.SecretFile) {
	t.Helper()
	plain := func(v resource.PropertyValue) string {
		if v.IsSecret() {
			v = v.SecretValue().Element
		}
		return v.StringValue()
	}
	uploads := map[string]string{}
	for _, n := range g.OfType(container) {
		if n.Name != "host-apply-job" {
			continue
		}
		list := n.Inputs["uploads"]
		if list.IsSecret() {
			list = list.SecretValue().Element
		}
		for _, u := range list.ArrayValue() {
			uploads[plain(u.ObjectValue()["file"])] = plain(u.ObjectValue()["content"])
		}
	}
	var spec hostspec.Apply
	if err := json.Unmarshal([]byte(uploads[hostspec.ApplySpec]), &spec); err != nil {
		t.Fatal(err)
	}
	contents, files = map[string]string{}, map[string]hostspec.SecretFile{}
	for _, s := range spec.Secrets {
		contents[s.Path], files[s.Path] = uploads[s.Upload], s
	}
	return contents, files
}

// hostops connects by this file, and the application by its own settings: both must name one database.
func TestTheHostGetsTheDatabasesURLAsAFileOfItsOwn(t *testing.T) {
	each(t, func(t *testing.T, _ config.Config, g graphtest.Graph) {
		contents, files := hostSecrets(t, g)
		url := contents[hostspec.DatabaseURLSecret]
		if !strings.HasPrefix(url, "postgresql+asyncpg://") {
			t.Fatalf("%s is not a URL of the application's database", hostspec.DatabaseURLSecret)
		}
		if f := files[hostspec.DatabaseURLSecret]; f.UID != 0 || f.KeepOld {
			t.Errorf("got %+v, want a file of root's without older contents", f)
		}
		if !strings.Contains(contents[hostspec.AppEnvSecret], render.DotEnv(map[string]string{"DATABASE_URL": url})) {
			t.Error("the application's settings name another database")
		}
	})
}
