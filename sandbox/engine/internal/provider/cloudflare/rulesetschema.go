package cloudflare

import "github.com/hashicorp/terraform-plugin-sdk/v2/helper/schema"

// objectInAPI names the blocks that are lists in the published provider although the API
// takes one object.
var objectInAPI = map[string]bool{"response": true, "status_code_range": true}

func ruleSchema() map[string]*schema.Schema {
	return map[string]*schema.Schema{
		"id":                {Type: schema.TypeString, Computed: true},
		"ref":               {Type: schema.TypeString, Optional: true, Computed: true},
		"enabled":           {Type: schema.TypeBool, Optional: true, Default: true},
		"description":       optional(schema.TypeString),
		"expression":        {Type: schema.TypeString, Required: true},
		"action":            optional(schema.TypeString),
		"action_parameters": block(parameterSchema()),
		"ratelimit": block(map[string]*schema.Schema{
			"characteristics":            setOf(schema.TypeString),
			"counting_expression":        optional(schema.TypeString),
			"mitigation_timeout":         optional(schema.TypeInt),
			"period":                     optional(schema.TypeInt),
			"requests_per_period":        optional(schema.TypeInt),
			"requests_to_origin":         optional(schema.TypeBool),
			"score_per_period":           optional(schema.TypeInt),
			"score_response_header_name": optional(schema.TypeString),
		}),
		"logging": block(map[string]*schema.Schema{"enabled": optional(schema.TypeBool)}),
		"exposed_credential_check": block(map[string]*schema.Schema{
			"password_expression": optional(schema.TypeString),
			"username_expression": optional(schema.TypeString),
		}),
	}
}

func parameterSchema() map[string]*schema.Schema {
	fields := map[string]*schema.Schema{
		"additional_cacheable_ports": setOf(schema.TypeInt),
		"phases":                     setOf(schema.TypeString),
		"products":                   setOf(schema.TypeString),
		"rulesets":                   setOf(schema.TypeString),
		"browser_ttl": block(map[string]*schema.Schema{
			"default": optional(schema.TypeInt),
			"mode":    {Type: schema.TypeString, Required: true},
		}),
		"edge_ttl": block(map[string]*schema.Schema{
			"default": optional(schema.TypeInt),
			"mode":    {Type: schema.TypeString, Required: true},
			"status_code_ttl": blocks(map[string]*schema.Schema{
				"status_code": optional(schema.TypeInt),
				"value":       optional(schema.TypeInt),
				"status_code_range": blocks(map[string]*schema.Schema{
					"from": optional(schema.TypeInt),
					"to":   optional(schema.TypeInt),
				}),
			}),
		}),
		"serve_stale": block(map[string]*schema.Schema{
			"disable_stale_while_updating": optional(schema.TypeBool),
		}),
		"from_value": block(map[string]*schema.Schema{
			"preserve_query_string": optional(schema.TypeBool),
			"status_code":           optional(schema.TypeInt),
			"target_url":            block(valueOrExpression()),
		}),
		"uri": block(map[string]*schema.Schema{
			"origin": optional(schema.TypeBool),
			"path":   block(valueOrExpression()),
			"query":  block(valueOrExpression()),
		}),
		"headers": blocks(map[string]*schema.Schema{
			"name":       optional(schema.TypeString),
			"operation":  optional(schema.TypeString),
			"value":      optional(schema.TypeString),
			"expression": optional(schema.TypeString),
		}),
		"response": blocks(map[string]*schema.Schema{
			"status_code":  optional(schema.TypeInt),
			"content":      optional(schema.TypeString),
			"content_type": optional(schema.TypeString),
		}),
	}
	for kind, names := range map[schema.ValueType][]string{
		schema.TypeBool: {
			"automatic_https_rewrites", "bic", "cache", "disable_apps", "disable_railgun",
			"disable_rum", "disable_zaraz", "email_obfuscation", "fonts", "hotlink_protection",
			"mirage", "opportunistic_encryption", "origin_cache_control",
			"origin_error_page_passthru", "respect_strong_etags", "rocket_loader",
			"server_side_excludes", "sxg",
		},
		schema.TypeInt: {"increment", "read_timeout", "status_code"},
		schema.TypeString: {
			"content", "content_type", "host_header", "id", "polish", "ruleset", "security_level", "ssl",
		},
	} {
		for _, name := range names {
			fields[name] = optional(kind)
		}
	}
	return fields
}

func valueOrExpression() map[string]*schema.Schema {
	return map[string]*schema.Schema{
		"value":      optional(schema.TypeString),
		"expression": optional(schema.TypeString),
	}
}

func optional(kind schema.ValueType) *schema.Schema {
	return &schema.Schema{Type: kind, Optional: true}
}

func setOf(kind schema.ValueType) *schema.Schema {
	return &schema.Schema{Type: schema.TypeSet, Optional: true, Elem: &schema.Schema{Type: kind}}
}

// block is a nested object that appears at most once.
func block(fields map[string]*schema.Schema) *schema.Schema {
	return &schema.Schema{
		Type: schema.TypeList, MaxItems: 1, Optional: true,
		Elem: &schema.Resource{Schema: fields},
	}
}

// blocks is a list of nested objects.
func blocks(fields map[string]*schema.Schema) *schema.Schema {
	return &schema.Schema{Type: schema.TypeList, Optional: true, Elem: &schema.Resource{Schema: fields}}
}
