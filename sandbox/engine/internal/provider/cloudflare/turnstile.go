package cloudflare

import (
	"context"
	"errors"
	"fmt"
	"strings"

	cloudflare "github.com/cloudflare/cloudflare-go"
	"github.com/hashicorp/terraform-plugin-sdk/v2/diag"
	"github.com/hashicorp/terraform-plugin-sdk/v2/helper/schema"
	"github.com/hashicorp/terraform-plugin-sdk/v2/helper/validation"
)

// resourceTurnstileWidget describes a widget. Its ID is the site key.
func resourceTurnstileWidget() *schema.Resource {
	return &schema.Resource{
		CreateContext: widgetCreate,
		ReadContext:   widgetRead,
		UpdateContext: widgetUpdate,
		DeleteContext: widgetDelete,
		Importer:      &schema.ResourceImporter{StateContext: widgetImport},
		Schema: map[string]*schema.Schema{
			"account_id": {Type: schema.TypeString, Required: true},
			"name":       {Type: schema.TypeString, Required: true},
			"domains": {
				Type: schema.TypeSet, Required: true,
				Elem: &schema.Schema{Type: schema.TypeString},
			},
			"mode": {
				Type: schema.TypeString, Required: true,
				ValidateFunc: validation.StringInSlice([]string{"non-interactive", "invisible", "managed"}, false),
			},
			"region": {
				Type: schema.TypeString, Optional: true, Computed: true, ForceNew: true,
				ValidateFunc: validation.StringInSlice([]string{"world"}, false),
			},
			"bot_fight_mode": {Type: schema.TypeBool, Optional: true, Computed: true},
			"offlabel":       {Type: schema.TypeBool, Optional: true, Computed: true},
			"secret":         {Type: schema.TypeString, Computed: true, Sensitive: true},
		},
	}
}

func widgetCreate(ctx context.Context, d *schema.ResourceData, meta any) diag.Diagnostics {
	client := meta.(*cloudflare.API)
	widget, err := client.CreateTurnstileWidget(ctx, account(d), cloudflare.CreateTurnstileWidgetParams{
		Name:         d.Get("name").(string),
		Domains:      widgetDomains(d),
		Mode:         d.Get("mode").(string),
		Region:       d.Get("region").(string),
		BotFightMode: d.Get("bot_fight_mode").(bool),
		OffLabel:     d.Get("offlabel").(bool),
	})
	if err != nil {
		return diag.FromErr(fmt.Errorf("create Turnstile widget %q: %w", d.Get("name"), err))
	}
	d.SetId(widget.SiteKey)
	return setWidget(d, widget)
}

func widgetRead(ctx context.Context, d *schema.ResourceData, meta any) diag.Diagnostics {
	client := meta.(*cloudflare.API)
	widget, err := client.GetTurnstileWidget(ctx, account(d), d.Id())
	var notFound *cloudflare.NotFoundError
	if errors.As(err, &notFound) {
		d.SetId("")
		return nil
	}
	if err != nil {
		return diag.FromErr(fmt.Errorf("read Turnstile widget %s: %w", d.Id(), err))
	}
	return setWidget(d, widget)
}

func widgetUpdate(ctx context.Context, d *schema.ResourceData, meta any) diag.Diagnostics {
	client := meta.(*cloudflare.API)
	name, mode, domains := d.Get("name").(string), d.Get("mode").(string), widgetDomains(d)
	fight, offlabel := d.Get("bot_fight_mode").(bool), d.Get("offlabel").(bool)
	widget, err := client.UpdateTurnstileWidget(ctx, account(d), cloudflare.UpdateTurnstileWidgetParams{
		SiteKey: d.Id(), Name: &name, Domains: &domains, Mode: &mode,
		BotFightMode: &fight, OffLabel: &offlabel,
	})
	if err != nil {
		return diag.FromErr(fmt.Errorf("update Turnstile widget %s: %w", d.Id(), err))
	}
	return setWidget(d, widget)
}

func widgetDelete(ctx context.Context, d *schema.ResourceData, meta any) diag.Diagnostics {
	client := meta.(*cloudflare.API)
	err := client.DeleteTurnstileWidget(ctx, account(d), d.Id())
	var notFound *cloudflare.NotFoundError
	if err != nil && !errors.As(err, &notFound) {
		return diag.FromErr(fmt.Errorf("delete Turnstile widget %s: %w", d.Id(), err))
	}
	return nil
}

func widgetImport(_ context.Context, d *schema.ResourceData, _ any) ([]*schema.ResourceData, error) {
	accountID, siteKey, ok := strings.Cut(d.Id(), "/")
	if !ok {
		return nil, fmt.Errorf("import ID: got %q, want accountID/siteKey", d.Id())
	}
	d.SetId(siteKey)
	if err := d.Set("account_id", accountID); err != nil {
		return nil, fmt.Errorf("import Turnstile widget: %w", err)
	}
	return []*schema.ResourceData{d}, nil
}

func setWidget(d *schema.ResourceData, widget cloudflare.TurnstileWidget) diag.Diagnostics {
	return setAll(d, map[string]any{
		"name": widget.Name, "domains": widget.Domains, "mode": widget.Mode,
		"region": widget.Region, "bot_fight_mode": widget.BotFightMode,
		"offlabel": widget.OffLabel, "secret": widget.Secret,
	})
}

func widgetDomains(d *schema.ResourceData) []string {
	domains := []string{}
	for _, domain := range d.Get("domains").(*schema.Set).List() {
		domains = append(domains, domain.(string))
	}
	return domains
}

func account(d *schema.ResourceData) *cloudflare.ResourceContainer {
	return cloudflare.AccountIdentifier(d.Get("account_id").(string))
}
