package cloudflare

import (
	"fmt"
	"maps"

	"github.com/hashicorp/go-cty/cty"
	"github.com/hashicorp/terraform-plugin-sdk/v2/diag"
	"github.com/hashicorp/terraform-plugin-sdk/v2/helper/schema"
)

// recordDataFields lists the parts of structured records (SRV, CAA, LOC and the like) by
// type. Flags are text here and a number in the API for some record types.
var recordDataFields = map[schema.ValueType][]string{
	schema.TypeInt: {
		"algorithm", "digest_type", "key_tag", "lat_degrees", "lat_minutes", "long_degrees",
		"long_minutes", "matching_type", "order", "port", "preference", "priority", "protocol",
		"selector", "type", "usage", "weight",
	},
	schema.TypeFloat: {"altitude", "lat_seconds", "long_seconds", "precision_horz", "precision_vert", "size"},
	schema.TypeString: {
		"certificate", "content", "digest", "fingerprint", "flags", "lat_direction",
		"long_direction", "name", "proto", "public_key", "regex", "replacement", "service", "tag",
		"target", "value",
	},
}

func recordDataSchema() map[string]*schema.Schema {
	fields := map[string]*schema.Schema{}
	for kind, names := range recordDataFields {
		for _, name := range names {
			fields[name] = &schema.Schema{Type: kind, Optional: true}
		}
	}
	return fields
}

func recordDataToAPI(data map[string]any) map[string]any {
	out := map[string]any{}
	for key, value := range data {
		// Unset numbers and texts arrive as zero values. Only priority, weight and flags have
		// a zero that means something, and the API takes zero for an absent one.
		if value == nil || value == "" || value == 0 || value == 0.0 {
			continue
		}
		out[key] = value
	}
	return out
}

func recordDataFromAPI(data map[string]any) map[string]any {
	out := maps.Clone(data)
	if flags, ok := out["flags"].(float64); ok {
		out["flags"] = fmt.Sprintf("%.0f", flags)
	}
	for _, name := range recordDataFields[schema.TypeInt] {
		if number, ok := out[name].(float64); ok {
			out[name] = int(number)
		}
	}
	maps.DeleteFunc(out, func(name string, _ any) bool { return recordDataSchema()[name] == nil })
	return out
}

// has reports whether the program itself set a top-level attribute, which the typed getters
// cannot tell from a zero value.
func has(config cty.Value, name string) bool {
	if config.IsNull() || !config.IsKnown() || !config.Type().IsObjectType() || !config.Type().HasAttribute(name) {
		return false
	}
	return !config.GetAttr(name).IsNull()
}

func textMap(v any) map[string]string {
	out := map[string]string{}
	if values, ok := v.(map[string]any); ok {
		for key, value := range values {
			out[key] = fmt.Sprint(value)
		}
	}
	return out
}

func setAll(d *schema.ResourceData, values map[string]any) diag.Diagnostics {
	var problems diag.Diagnostics
	for key, value := range values {
		if err := d.Set(key, value); err != nil {
			problems = append(problems, diag.FromErr(fmt.Errorf("set %s: %w", key, err))...)
		}
	}
	return problems
}
