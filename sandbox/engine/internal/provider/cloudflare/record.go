package cloudflare

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	cloudflare "github.com/cloudflare/cloudflare-go"
	"github.com/hashicorp/terraform-plugin-sdk/v2/diag"
	"github.com/hashicorp/terraform-plugin-sdk/v2/helper/retry"
	"github.com/hashicorp/terraform-plugin-sdk/v2/helper/schema"
	"github.com/hashicorp/terraform-plugin-sdk/v2/helper/validation"
)

// recordTimeout is how long a create or update keeps trying while the API says that the
// record exists already, as it may for a moment after a deletion.
const recordTimeout = 30 * time.Second

// ttlAutomatic is the only TTL that a proxied record may have.
const ttlAutomatic = 1

func recordTypes() []string {
	return []string{
		"A", "AAAA", "CAA", "CNAME", "TXT", "SRV", "LOC", "MX", "NS", "SPF", "CERT", "DNSKEY",
		"DS", "NAPTR", "SMIMEA", "SSHFP", "TLSA", "URI", "PTR", "HTTPS", "SVCB",
	}
}

func resourceRecord() *schema.Resource {
	return &schema.Resource{
		CreateContext: recordCreate,
		ReadContext:   recordRead,
		UpdateContext: recordUpdate,
		DeleteContext: recordDelete,
		Importer:      &schema.ResourceImporter{StateContext: recordImport},
		Timeouts: &schema.ResourceTimeout{
			Create: schema.DefaultTimeout(recordTimeout),
			Update: schema.DefaultTimeout(recordTimeout),
		},
		Schema: map[string]*schema.Schema{
			"zone_id": {Type: schema.TypeString, Required: true, ForceNew: true},
			"name": {
				Type: schema.TypeString, Required: true, ForceNew: true,
				StateFunc: func(v any) string { return strings.ToLower(v.(string)) },
			},
			"type": {
				Type: schema.TypeString, Required: true, ForceNew: true,
				ValidateFunc: validation.StringInSlice(recordTypes(), false),
			},
			"content": {
				Type: schema.TypeString, Optional: true, Computed: true,
				ExactlyOneOf:     []string{"data", "content", "value"},
				DiffSuppressFunc: sameButTrailingDot,
			},
			"value": {
				Type: schema.TypeString, Optional: true, Computed: true,
				ExactlyOneOf:     []string{"data", "content", "value"},
				DiffSuppressFunc: sameButTrailingDot,
				Deprecated:       "`value` is deprecated in favour of `content` and will be removed in the next major release.",
			},
			"data": {
				Type: schema.TypeList, MaxItems: 1, Optional: true,
				ExactlyOneOf: []string{"data", "content", "value"},
				Elem:         &schema.Resource{Schema: recordDataSchema()},
			},
			"ttl": {Type: schema.TypeInt, Optional: true, Computed: true},
			"priority": {
				Type: schema.TypeInt, Optional: true,
				DiffSuppressFunc: func(_, _, _ string, d *schema.ResourceData) bool {
					t := d.Get("type").(string)
					return t != "MX" && t != "URI"
				},
			},
			"proxied":         {Type: schema.TypeBool, Optional: true},
			"allow_overwrite": {Type: schema.TypeBool, Optional: true, Default: false},
			"comment":         {Type: schema.TypeString, Optional: true},
			"tags":            {Type: schema.TypeSet, Optional: true, Elem: &schema.Schema{Type: schema.TypeString}},
			"hostname":        {Type: schema.TypeString, Computed: true},
			"created_on":      {Type: schema.TypeString, Computed: true},
			"modified_on":     {Type: schema.TypeString, Computed: true},
			"proxiable":       {Type: schema.TypeBool, Computed: true},
			"metadata": {
				Type: schema.TypeMap, Computed: true,
				Elem: &schema.Schema{Type: schema.TypeString},
			},
		},
	}
}

func recordCreate(ctx context.Context, d *schema.ResourceData, meta any) diag.Diagnostics {
	client := meta.(*cloudflare.API)
	zone := cloudflare.ZoneIdentifier(d.Get("zone_id").(string))
	fields, err := recordFields(d)
	if err != nil {
		return diag.FromErr(err)
	}
	params := cloudflare.CreateDNSRecordParams{
		Type: fields.Type, Name: fields.Name, Content: fields.Content, Data: fields.Data,
		Priority: fields.Priority, TTL: fields.TTL, Proxied: fields.Proxied, Tags: fields.Tags,
		Comment: d.Get("comment").(string),
	}

	err = retry.RetryContext(ctx, d.Timeout(schema.TimeoutCreate), func() *retry.RetryError {
		record, err := client.CreateDNSRecord(ctx, zone, params)
		switch {
		case err == nil && record.ID == "":
			return retry.NonRetryableError(errors.New("the API answered with a record without an ID"))
		case err == nil:
			d.SetId(record.ID)
			return nil
		case !strings.Contains(err.Error(), "already exist"):
			return retry.NonRetryableError(err)
		case !d.Get("allow_overwrite").(bool):
			return retry.RetryableError(errors.New("expected DNS record to not already be present but already exists"))
		}
		id, err := existingRecord(ctx, client, zone, fields)
		if err != nil {
			return retry.NonRetryableError(err)
		}
		fields.ID = id
		if _, err := client.UpdateDNSRecord(ctx, zone, fields); err != nil {
			return retry.NonRetryableError(fmt.Errorf("overwrite: %w", err))
		}
		d.SetId(id)
		return nil
	})
	if err != nil {
		return diag.FromErr(fmt.Errorf("create %s record %q: %w", params.Type, params.Name, err))
	}
	return recordRead(ctx, d, meta)
}

// existingRecord finds the one record of the same name and type that allow_overwrite means.
func existingRecord(ctx context.Context, client *cloudflare.API, zone *cloudflare.ResourceContainer,
	fields cloudflare.UpdateDNSRecordParams,
) (string, error) {
	details, err := client.ZoneDetails(ctx, zone.Identifier)
	if err != nil {
		return "", fmt.Errorf("read zone: %w", err)
	}
	name := strings.TrimSuffix(fields.Name, "."+details.Name)
	if name == "@" || name == details.Name {
		name = details.Name
	} else {
		name += "." + details.Name
	}
	found, _, err := client.ListDNSRecords(ctx, zone, cloudflare.ListDNSRecordsParams{Name: name, Type: fields.Type})
	if err != nil {
		return "", fmt.Errorf("list records: %w", err)
	}
	if len(found) != 1 {
		return "", fmt.Errorf("attempted to override existing record however didn't find an exact match: %d records",
			len(found))
	}
	return found[0].ID, nil
}

func recordRead(ctx context.Context, d *schema.ResourceData, meta any) diag.Diagnostics {
	client := meta.(*cloudflare.API)
	record, err := client.GetDNSRecord(ctx, cloudflare.ZoneIdentifier(d.Get("zone_id").(string)), d.Id())
	var notFound *cloudflare.NotFoundError
	if errors.As(err, &notFound) {
		d.SetId("")
		return nil
	}
	if err != nil {
		return diag.FromErr(fmt.Errorf("read DNS record %s: %w", d.Id(), err))
	}

	values := map[string]any{
		"hostname": record.Name, "type": record.Type, "content": record.Content,
		"value": record.Content, "ttl": record.TTL, "comment": record.Comment, "tags": record.Tags,
		"proxiable": record.Proxiable, "metadata": textMap(record.Meta),
		"created_on":  record.CreatedOn.Format(time.RFC3339Nano),
		"modified_on": record.ModifiedOn.Format(time.RFC3339Nano),
	}
	if record.Proxied != nil {
		values["proxied"] = *record.Proxied
	}
	if record.Priority != nil {
		values["priority"] = int(*record.Priority)
	}
	if data, ok := record.Data.(map[string]any); ok && len(data) > 0 {
		values["data"] = []any{recordDataFromAPI(data)}
	}
	return setAll(d, values)
}

func recordUpdate(ctx context.Context, d *schema.ResourceData, meta any) diag.Diagnostics {
	client := meta.(*cloudflare.API)
	zone := cloudflare.ZoneIdentifier(d.Get("zone_id").(string))
	fields, err := recordFields(d)
	if err != nil {
		return diag.FromErr(err)
	}
	fields.ID = d.Id()
	comment := d.Get("comment").(string)
	fields.Comment = &comment

	err = retry.RetryContext(ctx, d.Timeout(schema.TimeoutUpdate), func() *retry.RetryError {
		_, err := client.UpdateDNSRecord(ctx, zone, fields)
		switch {
		case err == nil:
			return nil
		case strings.Contains(err.Error(), "already exist"):
			return retry.RetryableError(err)
		}
		return retry.NonRetryableError(err)
	})
	if err != nil {
		return diag.FromErr(fmt.Errorf("update %s record %q: %w", fields.Type, fields.Name, err))
	}
	return recordRead(ctx, d, meta)
}

func recordDelete(ctx context.Context, d *schema.ResourceData, meta any) diag.Diagnostics {
	client := meta.(*cloudflare.API)
	err := client.DeleteDNSRecord(ctx, cloudflare.ZoneIdentifier(d.Get("zone_id").(string)), d.Id())
	var notFound *cloudflare.NotFoundError
	if err != nil && !errors.As(err, &notFound) {
		return diag.FromErr(fmt.Errorf("delete DNS record %s: %w", d.Id(), err))
	}
	return nil
}

func recordImport(ctx context.Context, d *schema.ResourceData, meta any) ([]*schema.ResourceData, error) {
	zone, id, ok := strings.Cut(d.Id(), "/")
	if !ok {
		return nil, fmt.Errorf("import ID: got %q, want zoneID/recordID", d.Id())
	}
	client := meta.(*cloudflare.API)
	record, err := client.GetDNSRecord(ctx, cloudflare.ZoneIdentifier(zone), id)
	if err != nil {
		return nil, fmt.Errorf("import DNS record %q: %w", d.Id(), err)
	}
	details, err := client.ZoneDetails(ctx, zone)
	if err != nil {
		return nil, fmt.Errorf("import DNS record %q: read zone: %w", d.Id(), err)
	}
	d.SetId(id)
	name := strings.TrimSuffix(record.Name, "."+details.Name)
	if err := errors.Join(d.Set("name", name), d.Set("zone_id", zone)); err != nil {
		return nil, fmt.Errorf("import DNS record %q: %w", id, err)
	}
	if problems := recordRead(ctx, d, meta); problems.HasError() {
		return nil, errors.New(problems[0].Summary)
	}
	return []*schema.ResourceData{d}, nil
}

// recordFields collects what create and update send alike.
func recordFields(d *schema.ResourceData) (cloudflare.UpdateDNSRecordParams, error) {
	fields := cloudflare.UpdateDNSRecordParams{
		Type: d.Get("type").(string), Name: d.Get("name").(string),
		TTL: d.Get("ttl").(int), Tags: []string{},
	}
	fields.Content = recordContent(d)
	if list, ok := d.GetOk("data"); ok {
		fields.Content = ""
		if data, ok := list.([]any)[0].(map[string]any); ok {
			fields.Data = recordDataToAPI(data)
		}
	}
	config := d.GetRawConfig()
	if has(config, "priority") {
		priority := uint16(d.Get("priority").(int)) //nolint:gosec // priorities are 16 bit on the wire
		fields.Priority = &priority
	}
	if has(config, "proxied") {
		proxied := d.Get("proxied").(bool)
		fields.Proxied = &proxied
		if proxied && has(config, "ttl") && fields.TTL != ttlAutomatic {
			return fields, fmt.Errorf("error validating record %s: ttl must be set to 1 when `proxied` is true", fields.Name)
		}
		if proxied && !has(config, "ttl") {
			fields.TTL = ttlAutomatic
		}
	}
	for _, tag := range d.Get("tags").(*schema.Set).List() {
		fields.Tags = append(fields.Tags, tag.(string))
	}
	return fields, nil
}

// recordContent prefers what the program sets. A changed value is not sent while the state
// still has a content: the published provider has that defect, and a program that relied on
// the deprecated field would work here and silently fail in production.
func recordContent(d *schema.ResourceData) string {
	if content := d.Get("content").(string); content != "" {
		return content
	}
	return d.Get("value").(string)
}

func sameButTrailingDot(_, before, after string, _ *schema.ResourceData) bool {
	trimmed := strings.TrimSuffix(after, ".")
	if trimmed == "" {
		return before == after
	}
	return strings.TrimSuffix(before, ".") == trimmed
}
