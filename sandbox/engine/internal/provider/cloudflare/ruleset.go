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

// errRulesetExists is the published provider's refusal to take over rules that it did not make.
var errRulesetExists = errors.New("a similar configuration with rules already exists and overwriting will " +
	"have unintended consequences; import the existing ruleset first (zone/<zone ID>/<ruleset ID>)")

// resourceRuleset describes the rules of one phase. For the kinds zone and root it stands for
// the phase's entrypoint, of which there is one per zone or account: every change sends the
// whole list of rules and replaces what was there.
func resourceRuleset() *schema.Resource {
	return &schema.Resource{
		CreateContext: rulesetCreate,
		ReadContext:   rulesetRead,
		UpdateContext: rulesetUpdate,
		DeleteContext: rulesetDelete,
		Importer:      &schema.ResourceImporter{StateContext: rulesetImport},
		Schema: map[string]*schema.Schema{
			"account_id": {Type: schema.TypeString, Optional: true, ConflictsWith: []string{"zone_id"}},
			"zone_id":    {Type: schema.TypeString, Optional: true, ConflictsWith: []string{"account_id"}},
			"name":       {Type: schema.TypeString, Required: true, ForceNew: true},
			"phase": {
				Type: schema.TypeString, Required: true, ForceNew: true,
				ValidateFunc: validation.StringInSlice(cloudflare.RulesetPhaseValues(), true),
			},
			"kind": {
				Type: schema.TypeString, Required: true,
				ValidateFunc: validation.StringInSlice(cloudflare.RulesetKindValues(), true),
			},
			"description": {Type: schema.TypeString, Optional: true, Computed: true},
			"rules": {
				Type: schema.TypeList, Optional: true,
				Elem: &schema.Resource{Schema: ruleSchema()},
			},
		},
	}
}

func rulesetCreate(ctx context.Context, d *schema.ResourceData, meta any) diag.Diagnostics {
	client, owner := meta.(*cloudflare.API), rulesetOwner(d)
	phase, kind, description := d.Get("phase").(string), d.Get("kind").(string), d.Get("description").(string)
	rules, err := rulesFromConfig(d.GetRawConfig(), nil)
	if err != nil {
		return diag.FromErr(err)
	}

	if err := clearEntrypoint(ctx, client, owner, phase, kind); err != nil {
		return diag.FromErr(fmt.Errorf("create ruleset %q: %w", phase, err))
	}
	set, err := client.CreateRuleset(ctx, owner, cloudflare.CreateRulesetParams{
		Name: d.Get("name").(string), Description: description, Kind: kind, Phase: phase, Rules: rules,
	})
	if err != nil {
		return diag.FromErr(fmt.Errorf("create ruleset %q: %w", d.Get("name"), err))
	}
	d.SetId(set.ID)
	if kind != string(cloudflare.RulesetKindCustom) {
		set, err = client.UpdateEntrypointRuleset(ctx, owner, cloudflare.UpdateEntrypointRulesetParams{
			Phase: phase, Description: description, Rules: rules,
		})
		if err != nil {
			return diag.FromErr(fmt.Errorf("update entrypoint of %q: %w", phase, err))
		}
		d.SetId(set.ID)
	}
	return setRuleset(d, set)
}

// clearEntrypoint refuses to replace an entrypoint that holds rules, and removes an empty one
// without a description, which the dashboard leaves behind.
func clearEntrypoint(ctx context.Context, client *cloudflare.API, owner *cloudflare.ResourceContainer,
	phase, kind string,
) error {
	set, err := client.GetEntrypointRuleset(ctx, owner, phase)
	var notFound *cloudflare.NotFoundError
	switch {
	case errors.As(err, &notFound):
		return nil
	case err != nil:
		return fmt.Errorf("read entrypoint: %w", err)
	case set.Kind != kind:
		return nil
	case len(set.Rules) > 0:
		return errRulesetExists
	case set.Description == "":
		if err := client.DeleteRuleset(ctx, owner, set.ID); err != nil {
			return fmt.Errorf("delete empty entrypoint %s: %w", set.ID, err)
		}
	}
	return nil
}

func rulesetRead(ctx context.Context, d *schema.ResourceData, meta any) diag.Diagnostics {
	client := meta.(*cloudflare.API)
	set, err := client.GetRuleset(ctx, rulesetOwner(d), d.Id())
	var notFound *cloudflare.NotFoundError
	if errors.As(err, &notFound) {
		d.SetId("")
		return nil
	}
	if err != nil {
		return diag.FromErr(fmt.Errorf("read ruleset %s: %w", d.Id(), err))
	}
	return setRuleset(d, set)
}

func rulesetUpdate(ctx context.Context, d *schema.ResourceData, meta any) diag.Diagnostics {
	client := meta.(*cloudflare.API)
	before, _ := d.GetChange("rules")
	rules, err := rulesFromConfig(d.GetRawConfig(), before.([]any))
	if err != nil {
		return diag.FromErr(err)
	}
	set, err := client.UpdateRuleset(ctx, rulesetOwner(d), cloudflare.UpdateRulesetParams{
		ID: d.Id(), Description: d.Get("description").(string), Rules: rules,
	})
	if err != nil {
		return diag.FromErr(fmt.Errorf("update ruleset %s: %w", d.Id(), err))
	}
	return setRuleset(d, set)
}

func rulesetDelete(ctx context.Context, d *schema.ResourceData, meta any) diag.Diagnostics {
	client := meta.(*cloudflare.API)
	err := client.DeleteRuleset(ctx, rulesetOwner(d), d.Id())
	var notFound *cloudflare.NotFoundError
	if err != nil && !errors.As(err, &notFound) {
		return diag.FromErr(fmt.Errorf("delete ruleset %s: %w", d.Id(), err))
	}
	return nil
}

func rulesetImport(_ context.Context, d *schema.ResourceData, _ any) ([]*schema.ResourceData, error) {
	parts := strings.Split(d.Id(), "/")
	owners := map[string]string{"zone": "zone_id", "account": "account_id"}
	if len(parts) != 3 || owners[parts[0]] == "" {
		return nil, fmt.Errorf("import ID: got %q, want zone/<zone ID>/<ruleset ID> or account/<account ID>/<ruleset ID>",
			d.Id())
	}
	d.SetId(parts[2])
	if err := d.Set(owners[parts[0]], parts[1]); err != nil {
		return nil, fmt.Errorf("import ruleset: %w", err)
	}
	return []*schema.ResourceData{d}, nil
}

func rulesetOwner(d *schema.ResourceData) *cloudflare.ResourceContainer {
	if id := d.Get("account_id").(string); id != "" {
		return cloudflare.AccountIdentifier(id)
	}
	return cloudflare.ZoneIdentifier(d.Get("zone_id").(string))
}

func setRuleset(d *schema.ResourceData, set cloudflare.Ruleset) diag.Diagnostics {
	rules, err := rulesToState(set.Rules)
	if err != nil {
		return diag.FromErr(err)
	}
	return setAll(d, map[string]any{
		"name": set.Name, "description": set.Description, "kind": set.Kind,
		"phase": set.Phase, "rules": rules,
	})
}
