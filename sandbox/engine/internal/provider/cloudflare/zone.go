package cloudflare

import (
	"context"
	"fmt"

	cloudflare "github.com/cloudflare/cloudflare-go"
	"github.com/hashicorp/terraform-plugin-sdk/v2/diag"
	"github.com/hashicorp/terraform-plugin-sdk/v2/helper/schema"
)

// dataSourceZone looks a zone up by name or by ID.
func dataSourceZone() *schema.Resource {
	list := func() *schema.Schema {
		return &schema.Schema{
			Type: schema.TypeList, Computed: true,
			Elem: &schema.Schema{Type: schema.TypeString},
		}
	}
	return &schema.Resource{
		ReadContext: zoneRead,
		Schema: map[string]*schema.Schema{
			"zone_id": {
				Type: schema.TypeString, Optional: true, Computed: true,
				ExactlyOneOf: []string{"zone_id", "name"},
			},
			"name": {
				Type: schema.TypeString, Optional: true, Computed: true,
				ExactlyOneOf: []string{"zone_id", "name"},
			},
			"account_id":          {Type: schema.TypeString, Optional: true, Computed: true},
			"status":              {Type: schema.TypeString, Computed: true},
			"paused":              {Type: schema.TypeBool, Computed: true},
			"plan":                {Type: schema.TypeString, Computed: true},
			"name_servers":        list(),
			"vanity_name_servers": list(),
		},
	}
}

func zoneRead(ctx context.Context, d *schema.ResourceData, meta any) diag.Diagnostics {
	client := meta.(*cloudflare.API)
	id := d.Get("zone_id").(string)
	if id == "" {
		name := d.Get("name").(string)
		found, err := client.ListZonesContext(ctx,
			cloudflare.WithZoneFilters(name, d.Get("account_id").(string), ""))
		if err != nil {
			return diag.FromErr(fmt.Errorf("look up zone %q: %w", name, err))
		}
		if len(found.Result) != 1 {
			return diag.FromErr(fmt.Errorf("look up zone %q: got %d zones, want one; check the name and what the token may read",
				name, len(found.Result)))
		}
		id = found.Result[0].ID
	}
	zone, err := client.ZoneDetails(ctx, id)
	if err != nil {
		return diag.FromErr(fmt.Errorf("read zone %s: %w", id, err))
	}
	d.SetId(zone.ID)
	return setAll(d, map[string]any{
		"zone_id": zone.ID, "name": zone.Name, "account_id": zone.Account.ID,
		"status": zone.Status, "paused": zone.Paused, "plan": zone.Plan.Name,
		"name_servers": zone.NameServers, "vanity_name_servers": zone.VanityNS,
	})
}
