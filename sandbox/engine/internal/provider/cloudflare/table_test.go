package cloudflare

import (
	"slices"
	"testing"

	"github.com/hashicorp/terraform-plugin-sdk/v2/helper/schema"
)

// What happens to a resource when one of its fields changes, and which fields are secret. The
// source "provider" is the source of the Terraform provider that the published package wraps
// (release 4.52 and the releases before it in which the line was written), "SDK" are the
// comments and constructors of the published Go SDK 5.49.1.
var table = []struct {
	resource string
	replaces []string // a change makes a new resource
	secret   []string
	deletes  bool // the old one goes before the new one comes
	source   string
}{
	{
		"cloudflare_record",
		[]string{"name", "type", "zone_id"},
		nil, true,
		"SDK: \"Modifying this attribute will force creation of a new resource\"; " +
			"provider: internal/sdkv2provider/schema_cloudflare_record.go",
	},
	{
		"cloudflare_turnstile_widget",
		[]string{"region"},
		[]string{"secret"},
		false,
		"SDK: AdditionalSecretOutputs; provider: internal/framework/service/turnstile/schema.go, " +
			"and its issue 5336 for region",
	},
	{
		"cloudflare_ruleset",
		[]string{"name", "phase"},
		nil, false,
		"provider: internal/framework/service/rulesets/schema.go, RequiresReplace",
	},
}

func TestReplacementsAndSecretsAreThoseOfTheTable(t *testing.T) {
	provider, mapping := Provider(), Info()
	if len(table) != len(provider.ResourcesMap) {
		t.Errorf("%d resources, the table has %d", len(provider.ResourcesMap), len(table))
	}
	for _, line := range table {
		resource := provider.ResourcesMap[line.resource]
		if resource == nil {
			t.Errorf("%s: no such resource", line.resource)
			continue
		}
		compare(t, line.resource+" replaces", resource, line.replaces, func(s *schema.Schema) bool { return s.ForceNew })
		compare(t, line.resource+" secret", resource, line.secret, func(s *schema.Schema) bool { return s.Sensitive })
		if got := mapping.Resources[line.resource].DeleteBeforeReplace; got != line.deletes {
			t.Errorf("%s: deletes before it replaces: got %v, want %v", line.resource, got, line.deletes)
		}
	}
}

func compare(t *testing.T, what string, resource *schema.Resource, want []string, is func(*schema.Schema) bool) {
	t.Helper()
	var got []string
	for name, field := range resource.Schema {
		if is(field) {
			got = append(got, name)
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func TestCredentialsAreSecretAndNeverTakenFromDefaults(t *testing.T) {
	for name, field := range Provider().Schema {
		credential := name == "api_token" || name == "api_key" || name == "api_user_service_key"
		if field.Sensitive != credential {
			t.Errorf("%s: secret: got %v, want %v", name, field.Sensitive, credential)
		}
		// A default from the environment would be written into the state.
		if field.DefaultFunc != nil || field.Default != nil {
			t.Errorf("%s: has a default", name)
		}
	}
}

func TestSchemaIsConsistent(t *testing.T) {
	if err := Provider().InternalValidate(); err != nil {
		t.Error(err)
	}
}
