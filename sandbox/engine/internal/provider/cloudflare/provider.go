// Package cloudflare is a small Terraform provider for the part of Cloudflare's API that the
// program uses: DNS records, Turnstile widgets, rulesets and the lookup of zones.
//
// It exists because the provider that the published Pulumi package wraps cannot be had as a
// Go module. It talks to the API through the same client library, and its fields, required
// and replacing changes and secrets are those of that provider's release 4.52; the tests
// compare them with the published Go SDK and with a table. It never runs against a real
// account: production uses the published plugin.
package cloudflare

import (
	"context"
	"fmt"
	"os"
	"strconv"

	cloudflare "github.com/cloudflare/cloudflare-go"
	"github.com/hashicorp/terraform-plugin-sdk/v2/diag"
	"github.com/hashicorp/terraform-plugin-sdk/v2/helper/schema"
)

// What the client does when neither configuration nor environment says otherwise. They are
// the published provider's defaults.
const (
	defaultHostname   = "api.cloudflare.com"
	defaultBasePath   = "/client/v4"
	defaultRPS        = 4
	defaultRetries    = 3
	defaultMinBackoff = 1
	defaultMaxBackoff = 30
)

// Provider returns the provider, not yet configured.
func Provider() *schema.Provider {
	return &schema.Provider{
		Schema: configSchema(),
		ResourcesMap: map[string]*schema.Resource{
			"cloudflare_record":           resourceRecord(),
			"cloudflare_turnstile_widget": resourceTurnstileWidget(),
			"cloudflare_ruleset":          resourceRuleset(),
		},
		DataSourcesMap: map[string]*schema.Resource{
			"cloudflare_zone": dataSourceZone(),
		},
		ConfigureContextFunc: configure,
	}
}

func configSchema() map[string]*schema.Schema {
	text := func() *schema.Schema { return &schema.Schema{Type: schema.TypeString, Optional: true} }
	number := func() *schema.Schema { return &schema.Schema{Type: schema.TypeInt, Optional: true} }
	secret := func() *schema.Schema {
		return &schema.Schema{Type: schema.TypeString, Optional: true, Sensitive: true}
	}
	return map[string]*schema.Schema{
		"api_token":                  secret(),
		"api_key":                    secret(),
		"api_user_service_key":       secret(),
		"email":                      text(),
		"api_hostname":               text(),
		"api_base_path":              text(),
		"user_agent_operator_suffix": text(),
		"api_client_logging":         {Type: schema.TypeBool, Optional: true},
		"rps":                        number(),
		"retries":                    number(),
		"min_backoff":                number(),
		"max_backoff":                number(),
	}
}

// configure builds the client. Values from the environment stand in for what configuration
// leaves out and are read here, not through schema defaults, so that a token in the
// environment never becomes part of the state.
func configure(_ context.Context, d *schema.ResourceData) (any, diag.Diagnostics) {
	var problems diag.Diagnostics
	number := func(key, env string, fallback int) int {
		value, err := intSetting(d, key, env, fallback)
		if err != nil {
			problems = append(problems, diag.FromErr(err)...)
		}
		return value
	}
	options := []cloudflare.Option{
		cloudflare.BaseURL("https://" +
			textSetting(d, "api_hostname", "CLOUDFLARE_API_HOSTNAME", defaultHostname) +
			textSetting(d, "api_base_path", "CLOUDFLARE_API_BASE_PATH", defaultBasePath)),
		cloudflare.UsingRateLimit(float64(number("rps", "CLOUDFLARE_RPS", defaultRPS))),
		cloudflare.UsingRetryPolicy(
			number("retries", "CLOUDFLARE_RETRIES", defaultRetries),
			number("min_backoff", "CLOUDFLARE_MIN_BACKOFF", defaultMinBackoff),
			number("max_backoff", "CLOUDFLARE_MAX_BACKOFF", defaultMaxBackoff)),
		cloudflare.UserAgent("momentstudio-sandbox " +
			textSetting(d, "user_agent_operator_suffix", "CLOUDFLARE_USER_AGENT_OPERATOR_SUFFIX", "")),
	}
	if problems.HasError() {
		return nil, problems
	}

	client, err := newClient(d, options)
	if err != nil {
		return nil, diag.FromErr(fmt.Errorf("configure the Cloudflare client: %w", err))
	}
	return client, nil
}

// newClient picks the kind of credential: a token, a user service key, or the legacy pair of
// key and address.
func newClient(d *schema.ResourceData, options []cloudflare.Option) (*cloudflare.API, error) {
	if token := textSetting(d, "api_token", "CLOUDFLARE_API_TOKEN", ""); token != "" {
		return cloudflare.NewWithAPIToken(token, options...)
	}
	if key := textSetting(d, "api_user_service_key", "CLOUDFLARE_API_USER_SERVICE_KEY", ""); key != "" {
		return cloudflare.NewWithUserServiceKey(key, options...)
	}
	if key := textSetting(d, "api_key", "CLOUDFLARE_API_KEY", ""); key != "" {
		email := textSetting(d, "email", "CLOUDFLARE_EMAIL", "")
		if email == "" {
			return nil, fmt.Errorf("email is not set, and apiKey needs it; set email or CLOUDFLARE_EMAIL, or use apiToken")
		}
		return cloudflare.New(key, email, options...)
	}
	return nil, fmt.Errorf("no credentials; set apiToken or CLOUDFLARE_API_TOKEN")
}

func textSetting(d *schema.ResourceData, key, env, fallback string) string {
	if value, ok := d.GetOk(key); ok {
		return value.(string)
	}
	if value := os.Getenv(env); value != "" {
		return value
	}
	return fallback
}

func intSetting(d *schema.ResourceData, key, env string, fallback int) (int, error) {
	if value, ok := d.GetOk(key); ok {
		return value.(int), nil
	}
	text := os.Getenv(env)
	if text == "" {
		return fallback, nil
	}
	value, err := strconv.Atoi(text)
	if err != nil {
		return 0, fmt.Errorf("%s: got %q, want a whole number", env, text)
	}
	return value, nil
}
