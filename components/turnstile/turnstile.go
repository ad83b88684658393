// Package turnstile provisions the captcha widget of the login and contact forms.
package turnstile

import (
	"fmt"

	"github.com/pulumi/pulumi-cloudflare/sdk/v5/go/cloudflare"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/prekzursil/momentstudio-infra/internal/fault"
)

// TypeToken is part of every child's URN: changing it needs an alias.
const TypeToken = "momentstudio:turnstile:Turnstile"

// Args describes the widget.
type Args struct {
	AccountID  string   // Cloudflare account; required; a change replaces the widget
	WidgetName string   // shown in the dashboard; required; changed in place
	Hostnames  []string // where the widget may be shown; required; changed in place
	Mode       string   // "managed", "non-interactive" or "invisible"; required; changed in place
	Protect    bool     // a new widget has new keys, so every open page would fail to log in
}

// Turnstile is one widget.
type Turnstile struct {
	pulumi.ResourceState
	SiteKey pulumi.StringOutput `pulumi:"siteKey"` // public; CAPTCHA_SITE_KEY of the frontend
	Secret  pulumi.StringOutput // secret output; TURNSTILE_SECRET_KEY of the backend
}

// New makes the widget.
func New(ctx *pulumi.Context, name string, args Args, opts ...pulumi.ResourceOption) (*Turnstile, error) {
	var bad []error
	if args.AccountID == "" {
		bad = append(bad, fault.Field("accountID", args.AccountID, "a Cloudflare account ID"))
	}
	if len(args.Hostnames) == 0 {
		bad = append(bad, fault.Field("hostnames", nil, "at least one host name"))
	}
	if err := fault.List(fmt.Sprintf("turnstile %q", name), bad...); err != nil {
		return nil, err
	}
	t := &Turnstile{}
	if err := ctx.RegisterComponentResource(TypeToken, name, t, opts...); err != nil {
		return nil, fmt.Errorf("register turnstile %q: %w", name, err)
	}
	domains := pulumi.StringArray{}
	for _, h := range args.Hostnames {
		domains = append(domains, pulumi.String(h))
	}
	widget, err := cloudflare.NewTurnstileWidget(ctx, name+"-widget", &cloudflare.TurnstileWidgetArgs{
		AccountId: pulumi.String(args.AccountID),
		Name:      pulumi.String(args.WidgetName),
		Domains:   domains,
		Mode:      pulumi.String(args.Mode),
	}, pulumi.Parent(t), pulumi.Protect(args.Protect),
		// a change of region replaces the widget (terraform-provider-cloudflare#4217)
		pulumi.IgnoreChanges([]string{"region"}),
		pulumi.AdditionalSecretOutputs([]string{"secret"}))
	if err != nil {
		return nil, fmt.Errorf("make widget %q: %w", name, err)
	}
	t.SiteKey = widget.ID().ToStringOutput()
	t.Secret = pulumi.ToSecret(widget.Secret).(pulumi.StringOutput)
	return t, ctx.RegisterResourceOutputs(t, pulumi.Map{"siteKey": t.SiteKey})
}
