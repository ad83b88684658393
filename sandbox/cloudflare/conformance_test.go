package cloudflare_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	client "github.com/cloudflare/cloudflare-go"

	"github.com/prekzursil/momentstudio-infra/sandbox/cloudflare"
)

const (
	testZone  = "momentstudio.test"
	testToken = "sandbox-token"
)

type account struct {
	api    *cloudflare.API
	server *httptest.Server
	client *client.API
	zone   *client.ResourceContainer
	owner  *client.ResourceContainer
}

func start(t *testing.T, statePath string) account {
	t.Helper()
	api, err := cloudflare.New(cloudflare.Config{
		StatePath: statePath, Token: testToken,
		Zones: []cloudflare.Zone{{Name: testZone}, {Name: "other.test", Plan: "pro"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewTLSServer(api.Handler())
	t.Cleanup(server.Close)
	t.Cleanup(func() {
		if unexpected := api.Unexpected(); len(unexpected) > 0 {
			t.Errorf("requests that the emulation does not know: %+v", unexpected)
		}
	})
	return account{
		api: api, server: server, client: dial(t, server, testToken),
		zone:  client.ZoneIdentifier(api.ZoneID(testZone)),
		owner: client.AccountIdentifier(api.AccountID()),
	}
}

func dial(t *testing.T, server *httptest.Server, token string) *client.API {
	t.Helper()
	c, err := client.NewWithAPIToken(token, client.BaseURL(server.URL+"/client/v4"),
		client.HTTPClient(server.Client()), client.UsingRateLimit(10_000), client.UsingRetryPolicy(2, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// wantCode fails unless err carries the code of Cloudflare.
func wantCode(t *testing.T, err error, code int) {
	t.Helper()
	var coded interface{ ErrorCodes() []int }
	if !errors.As(err, &coded) || !slices.Contains(coded.ErrorCodes(), code) {
		t.Errorf("got error %v, want code %d", err, code)
	}
}

func create(t *testing.T, a account, p client.CreateDNSRecordParams) client.DNSRecord {
	t.Helper()
	r, err := a.client.CreateDNSRecord(context.Background(), a.zone, p)
	if err != nil {
		t.Fatalf("create %s %s: %v", p.Type, p.Name, err)
	}
	return r
}

func TestRecordsAreCreatedReadChangedListedAndDeleted(t *testing.T) {
	a, ctx := start(t, ""), context.Background()
	r := create(t, a, client.CreateDNSRecordParams{Type: "A", Name: "www", Content: "192.0.2.1", TTL: 300, Comment: "web"})
	if r.Name != "www."+testZone || r.TTL != 300 || !r.Proxiable || *r.Proxied || r.Comment != "web" {
		t.Errorf("created record: %+v", r)
	}
	if apex := create(t, a, client.CreateDNSRecordParams{
		Type: "A", Name: "@",
		Content: "192.0.2.1",
	}); apex.Name != testZone || apex.TTL != 1 {
		t.Errorf("record of the apex: %+v", apex)
	}

	changed, err := a.client.UpdateDNSRecord(ctx, a.zone, client.UpdateDNSRecordParams{
		ID: r.ID, Content: "192.0.2.9",
		Proxied: client.BoolPtr(true),
	})
	if err != nil {
		t.Fatal(err)
	}
	if changed.Content != "192.0.2.9" || changed.TTL != 1 || !*changed.Proxied || changed.Comment != "web" {
		t.Errorf("changed record: %+v", changed)
	}
	found, info, err := a.client.ListDNSRecords(ctx, a.zone, client.ListDNSRecordsParams{
		Type: "A",
		Name: "www." + testZone,
	})
	if err != nil || len(found) != 1 || found[0].ID != r.ID || info.Total != 1 {
		t.Errorf("list: %+v, %+v, %v", found, info, err)
	}
	if err := a.client.DeleteDNSRecord(ctx, a.zone, r.ID); err != nil {
		t.Fatal(err)
	}
	_, err = a.client.GetDNSRecord(ctx, a.zone, r.ID)
	wantCode(t, err, 81044)
	var notFound *client.NotFoundError
	if !errors.As(err, &notFound) {
		t.Errorf("got %T, want a NotFoundError, by which the provider drops the record", err)
	}
}

func TestListOfRecordsIsPaged(t *testing.T) {
	a := start(t, "")
	for i := range 230 {
		create(t, a, client.CreateDNSRecordParams{Type: "TXT", Name: "many", Content: strings.Repeat("x", i+1)})
	}
	all, _, err := a.client.ListDNSRecords(context.Background(), a.zone, client.ListDNSRecordsParams{})
	if err != nil || len(all) != 230 {
		t.Fatalf("all: %d records, %v", len(all), err)
	}
	page, info, err := a.client.ListDNSRecords(context.Background(), a.zone,
		client.ListDNSRecordsParams{ResultInfo: client.ResultInfo{Page: 3, PerPage: 100}})
	if err != nil || len(page) != 30 || info.TotalPages != 3 || info.Total != 230 || info.Count != 30 {
		t.Errorf("page 3: %d records, %+v, %v", len(page), info, err)
	}
}

func TestRecordsThatCannotStandTogetherAreRefused(t *testing.T) {
	a := start(t, "")
	create(t, a, client.CreateDNSRecordParams{Type: "A", Name: "www", Content: "192.0.2.1"})
	create(t, a, client.CreateDNSRecordParams{Type: "A", Name: "www", Content: "192.0.2.2"})
	create(t, a, client.CreateDNSRecordParams{Type: "CNAME", Name: "cdn", Content: "www." + testZone})
	cases := map[string]struct {
		params client.CreateDNSRecordParams
		code   int
	}{
		"the same record again": {
			client.CreateDNSRecordParams{Type: "A", Name: "WWW", Content: "192.0.2.1"},
			81058,
		},
		"an alias beside an address": {
			client.CreateDNSRecordParams{Type: "CNAME", Name: "www", Content: "x.test"},
			81053,
		},
		"a second alias": {
			client.CreateDNSRecordParams{Type: "CNAME", Name: "cdn", Content: "x.test"},
			81053,
		},
		"an address beside an alias": {
			client.CreateDNSRecordParams{Type: "A", Name: "cdn", Content: "192.0.2.1"},
			81054,
		},
		"an address that is none": {client.CreateDNSRecordParams{Type: "A", Name: "x", Content: "2001:db8::1"}, 9005},
		"an IPv6 address that is none": {
			client.CreateDNSRecordParams{Type: "AAAA", Name: "x", Content: "192.0.2.1"},
			9006,
		},
		"a TTL of a second more than one": {
			client.CreateDNSRecordParams{Type: "A", Name: "x", Content: "192.0.2.1", TTL: 2},
			9021,
		},
		"a proxied text": {client.CreateDNSRecordParams{
			Type: "TXT", Name: "x", Content: "t",
			Proxied: client.BoolPtr(true),
		}, 9004},
		"mail without priority": {client.CreateDNSRecordParams{Type: "MX", Name: "x", Content: "m.test"}, 9008},
		"an unknown type":       {client.CreateDNSRecordParams{Type: "SPAM", Name: "x", Content: "t"}, 9016},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := a.client.CreateDNSRecord(context.Background(), a.zone, c.params)
			wantCode(t, err, c.code)
		})
	}
	if n := a.api.Resources(); n != 3 {
		t.Errorf("%d records after refusals, want 3", n)
	}
}

func TestWidgetsKeepTheirKeyAndRotateTheirSecret(t *testing.T) {
	a, ctx := start(t, ""), context.Background()
	w, err := a.client.CreateTurnstileWidget(ctx, a.owner, client.CreateTurnstileWidgetParams{
		Name: "shop", Domains: []string{testZone}, Mode: "managed",
	})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(w.SiteKey, "0x4AAAA") || !strings.HasPrefix(w.Secret, "0x4AAAA") || w.Region != "world" {
		t.Errorf("widget: %+v", w)
	}
	domains := []string{testZone, "www." + testZone}
	changed, err := a.client.UpdateTurnstileWidget(ctx, a.owner, client.UpdateTurnstileWidgetParams{
		SiteKey: w.SiteKey,
		Domains: &domains,
	})
	if err != nil || changed.Secret != w.Secret || changed.Name != "shop" || len(changed.Domains) != 2 {
		t.Errorf("changed widget: %+v, %v", changed, err)
	}
	rotated, err := a.client.RotateTurnstileWidget(ctx, a.owner, client.RotateTurnstileWidgetParams{SiteKey: w.SiteKey})
	if err != nil || rotated.Secret == w.Secret || rotated.SiteKey != w.SiteKey {
		t.Errorf("rotated widget: %+v, %v", rotated, err)
	}
	read, err := a.client.GetTurnstileWidget(ctx, a.owner, w.SiteKey)
	if err != nil || read.Secret != rotated.Secret {
		t.Errorf("read widget: %+v, %v", read, err)
	}
	list, _, err := a.client.ListTurnstileWidgets(ctx, a.owner, client.ListTurnstileWidgetParams{})
	if err != nil || len(list) != 1 || list[0].Secret != "" {
		t.Errorf("list, which has no secrets: %+v, %v", list, err)
	}
	if err := a.client.DeleteTurnstileWidget(ctx, a.owner, w.SiteKey); err != nil {
		t.Fatal(err)
	}
	_, err = a.client.GetTurnstileWidget(ctx, a.owner, w.SiteKey)
	wantCode(t, err, 10404)
}

func TestZonesAreLookedUpByNameAndByID(t *testing.T) {
	a, ctx := start(t, ""), context.Background()
	found, err := a.client.ListZonesContext(ctx, client.WithZoneFilters(testZone, "", ""))
	if err != nil || len(found.Result) != 1 || found.Result[0].ID != a.api.ZoneID(testZone) {
		t.Fatalf("by name: %+v, %v", found.Result, err)
	}
	z, err := a.client.ZoneDetails(ctx, a.api.ZoneID("other.test"))
	if err != nil || z.Name != "other.test" || z.Account.ID != a.api.AccountID() || z.Plan.LegacyID != "pro" {
		t.Errorf("by ID: %+v, %v", z, err)
	}
	if id, err := a.client.ZoneIDByName(testZone); err != nil || id != a.zone.Identifier {
		t.Errorf("ZoneIDByName: %q, %v", id, err)
	}
}

func TestWrongTokensAndForeignObjectsAreRefused(t *testing.T) {
	a, ctx := start(t, ""), context.Background()
	if body, err := a.client.VerifyAPIToken(ctx); err != nil || body.Status != "active" {
		t.Errorf("verify: %+v, %v", body, err)
	}
	stranger := dial(t, a.server, "wrong")
	_, err := stranger.VerifyAPIToken(ctx)
	wantCode(t, err, 1000)
	_, err = stranger.ZoneDetails(ctx, a.zone.Identifier)
	wantCode(t, err, 9109)
	_, _, err = stranger.ListTurnstileWidgets(ctx, a.owner, client.ListTurnstileWidgetParams{})
	wantCode(t, err, 10000)
	_, err = a.client.ZoneDetails(ctx, strings.Repeat("0", 32))
	wantCode(t, err, 9109)
	_, err = a.client.ZoneDetails(ctx, "not-an-id")
	wantCode(t, err, 7003)
	_, _, err = a.client.ListTurnstileWidgets(ctx, client.AccountIdentifier("1"), client.ListTurnstileWidgetParams{})
	wantCode(t, err, 10000)
}

func TestStateOutlivesTheProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cloudflare.json")
	first := start(t, path)
	r := create(t, first, client.CreateDNSRecordParams{Type: "TXT", Name: "note", Content: "kept"})
	second := start(t, path)
	read, err := second.client.GetDNSRecord(context.Background(), second.zone, r.ID)
	if err != nil || read.Content != "kept" || !read.CreatedOn.Equal(r.CreatedOn) {
		t.Errorf("after a restart: %+v, %v", read, err)
	}
}

func TestUnknownRequestsAreKept(t *testing.T) {
	a := start(t, "")
	request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, a.server.URL+"/client/v4/radar/top",
		nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+testToken)
	response, err := a.server.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if list := a.api.Unexpected(); response.StatusCode != http.StatusNotImplemented || len(list) != 1 ||
		list[0].Path != "/client/v4/radar/top" {
		t.Errorf("status %d, unexpected %+v", response.StatusCode, list)
	}
	a.api.ForgetRequests()
}
