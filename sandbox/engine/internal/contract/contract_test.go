package contract

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge/info"
	shim "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfshim"

	"github.com/prekzursil/momentstudio-infra/sandbox/engine/internal/plugin"
	"github.com/prekzursil/momentstudio-infra/sandbox/engine/internal/provider/cloudflare"
	"github.com/prekzursil/momentstudio-infra/sandbox/engine/internal/provider/docker"
	"github.com/prekzursil/momentstudio-infra/sandbox/engine/internal/provider/hcloud"
	"github.com/prekzursil/momentstudio-infra/sandbox/engine/internal/provider/random"
)

type candidate struct {
	release plugin.Release
	info    tfbridge.ProviderInfo
}

func candidates(t *testing.T) []candidate {
	t.Helper()
	ctx := context.Background()
	hetzner, err := hcloud.Info(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return []candidate{
		{plugin.Cloudflare, cloudflare.Info()},
		{plugin.Docker, docker.Info()},
		{plugin.Hcloud, hetzner},
		{plugin.Random, random.Info(ctx)},
	}
}

// TestFieldsAreThoseOfThePublishedSDKs compares every resource that an SDK and a plugin both
// have, to the last nested field that a program can set.
func TestFieldsAreThoseOfThePublishedSDKs(t *testing.T) {
	for _, c := range candidates(t) {
		t.Run(c.release.Name, func(t *testing.T) {
			published := loadSDK(t, c.release)
			compared := 0
			got := []string{}
			for tfName, resource := range c.info.Resources {
				want, ok := published.resources[string(resource.Tok)]
				if !ok {
					continue // newer than the SDK: no program can name it
				}
				compared++
				w := walk{sdk: published, path: want.name}
				fields := c.info.P.ResourcesMap().Get(tfName).Schema()
				w.inputs(fields, resource.Fields, argsOf(want.name), 0)
				w.outputs(fields, resource.Fields, want.name)
				w.required(fields, resource.Fields, want.required)
				w.secrets(fields, resource.Fields, want.secrets)
				got = append(got, w.found...)
			}
			if compared < 3 {
				t.Fatalf("compared %d resources, want at least 3", compared)
			}
			slices.Sort(got)
			want := slices.Sorted(slices.Values(differences[c.release.Name]))
			for _, line := range got {
				if !slices.Contains(want, line) {
					t.Errorf("new difference: %s", line)
				}
			}
			for _, line := range want {
				if !slices.Contains(got, line) {
					t.Errorf("difference is gone, take it off the list: %s", line)
				}
			}
		})
	}
}

// walk collects differences between one resource of a plugin and of an SDK.
type walk struct {
	sdk   sdk
	path  string
	found []string
}

func (w *walk) differ(path, what string) { w.found = append(w.found, path+": "+what) }

func (w *walk) inputs(fields shim.SchemaMap, infos map[string]*info.Schema, structName string, depth int) {
	w.inputsAt(w.path, fields, infos, structName, depth)
}

func (w *walk) inputsAt(path string, fields shim.SchemaMap, infos map[string]*info.Schema, structName string,
	depth int,
) {
	want := maps.Clone(w.sdk.structs[structName])
	fields.Range(func(tfName string, field shim.Schema) bool {
		if !field.Optional() && !field.Required() && depth == 0 {
			return true // top-level outputs are compared on their own
		}
		name := tfbridge.TerraformToPulumiNameV2(tfName, fields, infos)
		kind, ok := want[name]
		delete(want, name)
		switch {
		case tfName == "id" && depth == 0:
		case !ok && field.Removed() == "" && (field.Optional() || field.Required()):
			w.differ(path+"."+name, "only in the plugin")
		case ok:
			w.kind(path+"."+name, field, infos[tfName], kind, depth)
		}
		return true
	})
	for name := range want {
		w.differ(path+"."+name, "only in the SDK")
	}
}

// kind compares the shape of a field and goes into nested objects.
func (w *walk) kind(path string, field shim.Schema, fieldInfo *info.Schema, kind string, depth int) {
	got := map[shim.ValueType]string{
		shim.TypeString: "string", shim.TypeBool: "bool", shim.TypeInt: "int", shim.TypeFloat: "float64",
	}[field.Type()]
	if list := field.Type() == shim.TypeList || field.Type() == shim.TypeSet; list {
		single := tfbridge.IsMaxItemsOne(field, fieldInfo)
		if single == strings.HasPrefix(kind, "[]") {
			w.differ(path, "one object in one of both, a list in the other")
			return
		}
	}
	if got != "" && got != kind {
		w.differ(path, "a "+got+", in the SDK a "+kind)
		return
	}
	nested, ok := field.Elem().(shim.Resource)
	if !ok {
		return
	}
	var nestedInfo map[string]*info.Schema
	if fieldInfo != nil && fieldInfo.Elem != nil {
		nestedInfo = fieldInfo.Elem.Fields
	}
	structName := strings.TrimPrefix(kind, "[]")
	if w.sdk.structs[structName] == nil {
		w.differ(path, "nested object, in the SDK a "+kind)
		return
	}
	w.inputsAt(path, nested.Schema(), nestedInfo, structName, depth+1)
}

func (w *walk) outputs(fields shim.SchemaMap, infos map[string]*info.Schema, structName string) {
	want := maps.Clone(w.sdk.structs[structName])
	fields.Range(func(tfName string, field shim.Schema) bool {
		name := tfbridge.TerraformToPulumiNameV2(tfName, fields, infos)
		_, ok := want[name]
		delete(want, name)
		if !ok && tfName != "id" && !field.Optional() && !field.Required() {
			w.differ(w.path+"."+name, "output only in the plugin")
		}
		return true
	})
	for name := range want {
		if _, input := w.sdk.structs[argsOf(structName)][name]; !input {
			w.differ(w.path+"."+name, "output only in the SDK")
		}
	}
}

func (w *walk) required(fields shim.SchemaMap, infos map[string]*info.Schema, want []string) {
	fields.Range(func(tfName string, field shim.Schema) bool {
		name := tfbridge.TerraformToPulumiNameV2(tfName, fields, infos)
		// A name that the plugin can make up is not required.
		named := infos[tfName] != nil && infos[tfName].Default != nil && infos[tfName].Default.AutoNamed
		if got := field.Required() && !named; got != slices.Contains(want, name) {
			w.differ(w.path+"."+name, "required in one of both only")
		}
		return true
	})
}

func (w *walk) secrets(fields shim.SchemaMap, infos map[string]*info.Schema, want []string) {
	fields.Range(func(tfName string, field shim.Schema) bool {
		name := tfbridge.TerraformToPulumiNameV2(tfName, fields, infos)
		if field.Sensitive() != slices.Contains(want, name) {
			w.differ(w.path+"."+name, "secret in one of both only")
		}
		return true
	})
}
