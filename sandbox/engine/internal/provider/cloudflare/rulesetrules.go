package cloudflare

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"

	cloudflare "github.com/cloudflare/cloudflare-go"
	"github.com/hashicorp/go-cty/cty"
	"github.com/hashicorp/terraform-plugin-sdk/v2/helper/schema"
)

// The names of the fields are those of the API's JSON, so rules are translated by walking the
// schema and passing through JSON, not field by field. The three places where both differ are
// the headers (a list here, an object by name there) and the two of objectInAPI.

// rulesFromConfig builds the API's rules from what the program set. It reads the raw
// configuration, because only there an absent setting differs from false or zero. A rule
// without a reference that is equal to one of the rules before keeps that one's, so that its
// identity and its statistics survive changes to other rules.
func rulesFromConfig(config cty.Value, before []any) ([]cloudflare.RulesetRule, error) {
	if !has(config, "rules") {
		return []cloudflare.RulesetRule{}, nil
	}
	list := listToAPI(ruleSchema(), config.GetAttr("rules"))
	for _, rule := range list {
		if rule["enabled"] == nil {
			rule["enabled"] = true
		}
	}
	encoded, err := json.Marshal(list)
	if err != nil {
		return nil, fmt.Errorf("encode rules: %w", err)
	}
	rules := []cloudflare.RulesetRule{}
	if err := json.Unmarshal(encoded, &rules); err != nil {
		return nil, fmt.Errorf("decode rules: %w", err)
	}
	return rules, keepReferences(rules, before)
}

func keepReferences(rules []cloudflare.RulesetRule, before []any) error {
	states, err := rulesToState(rules)
	if err != nil {
		return err
	}
	used := map[string]bool{}
	for _, rule := range rules {
		used[rule.Ref] = true
	}
	for i, state := range states {
		if rules[i].Ref != "" {
			continue
		}
		for _, old := range before {
			known, ok := old.(map[string]any)
			if !ok {
				continue
			}
			ref, _ := known["ref"].(string)
			if ref != "" && !used[ref] && sameRule(state, known) {
				rules[i].Ref, used[ref] = ref, true
				break
			}
		}
	}
	return nil
}

// sameRule compares what makes a rule recognisable: what it matches and what it does.
func sameRule(a, b map[string]any) bool {
	for _, key := range []string{"expression", "action", "description"} {
		left, _ := a[key].(string)
		right, _ := b[key].(string)
		if !reflect.DeepEqual(left, right) {
			return false
		}
	}
	return true
}

func listToAPI(fields map[string]*schema.Schema, list cty.Value) []map[string]any {
	out := []map[string]any{}
	for _, item := range list.AsValueSlice() {
		out = append(out, objectToAPI(fields, item))
	}
	return out
}

func objectToAPI(fields map[string]*schema.Schema, object cty.Value) map[string]any {
	out := map[string]any{}
	for name, field := range fields {
		if !object.Type().HasAttribute(name) {
			continue
		}
		value := object.GetAttr(name)
		if value.IsNull() || !value.IsKnown() {
			continue
		}
		nested, ok := field.Elem.(*schema.Resource)
		if !ok {
			out[name] = plainToAPI(value)
			continue
		}
		list := listToAPI(nested.Schema, value)
		switch {
		case len(list) == 0:
		case name == "headers":
			headers := map[string]any{}
			for _, header := range list {
				key, _ := header["name"].(string)
				headers[key] = without(header, "name")
			}
			out[name] = headers
		case field.MaxItems == 1 || objectInAPI[name]:
			out[name] = list[0]
		default:
			out[name] = list
		}
	}
	return out
}

func plainToAPI(value cty.Value) any {
	switch value.Type() {
	case cty.String:
		return value.AsString()
	case cty.Bool:
		return value.True()
	case cty.Number:
		number, _ := value.AsBigFloat().Int64()
		return number
	default:
		out := []any{}
		for _, item := range value.AsValueSlice() {
			if !item.IsNull() && item.IsKnown() {
				out = append(out, plainToAPI(item))
			}
		}
		return out
	}
}

// rulesToState turns the API's rules into what the state holds.
func rulesToState(rules []cloudflare.RulesetRule) ([]map[string]any, error) {
	encoded, err := json.Marshal(rules)
	if err != nil {
		return nil, fmt.Errorf("encode rules: %w", err)
	}
	var list []map[string]any
	if err := json.Unmarshal(encoded, &list); err != nil {
		return nil, fmt.Errorf("decode rules: %w", err)
	}
	out := []map[string]any{}
	for _, rule := range list {
		out = append(out, objectToState(ruleSchema(), rule))
	}
	return out, nil
}

func objectToState(fields map[string]*schema.Schema, object map[string]any) map[string]any {
	out := map[string]any{}
	for name, value := range object {
		field, ok := fields[name]
		if !ok || value == nil {
			continue
		}
		nested, ok := field.Elem.(*schema.Resource)
		if !ok {
			out[name] = plainToState(field, value)
			continue
		}
		var list []any
		switch value := value.(type) {
		case []any:
			list = value
		case map[string]any:
			if name == "headers" {
				list = headersToList(value)
			} else {
				list = []any{value}
			}
		}
		items := []any{}
		for _, item := range list {
			if entry, ok := item.(map[string]any); ok {
				items = append(items, objectToState(nested.Schema, entry))
			}
		}
		out[name] = items
	}
	return out
}

// headersToList sorts by name, because an object has no order and the state must not change
// from one reading to the next.
func headersToList(headers map[string]any) []any {
	list := []any{}
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		header, _ := headers[name].(map[string]any)
		header = maps.Clone(header)
		header["name"] = name
		list = append(list, header)
	}
	return list
}

func plainToState(field *schema.Schema, value any) any {
	kind := field.Type
	if list, ok := value.([]any); ok {
		element, _ := field.Elem.(*schema.Schema)
		out := []any{}
		for _, item := range list {
			out = append(out, plainToState(element, item))
		}
		return out
	}
	if number, ok := value.(float64); ok && kind == schema.TypeInt {
		return int(number)
	}
	return value
}

func without(m map[string]any, key string) map[string]any {
	out := maps.Clone(m)
	delete(out, key)
	return out
}
