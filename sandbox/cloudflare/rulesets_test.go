package cloudflare_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	client "github.com/cloudflare/cloudflare-go"

	"github.com/prekzursil/momentstudio-infra/sandbox/cloudflare"
)

func rateRule(period int, characteristics ...string) client.RulesetRule {
	return client.RulesetRule{
		Action: "block", Expression: `http.request.uri.path contains "/login"`, Description: "login",
		RateLimit: &client.RulesetRuleRateLimit{
			Characteristics: characteristics, Period: period, RequestsPerPeriod: 10, MitigationTimeout: 10,
		},
	}
}

func TestEntrypointHoldsTheWholeListOfRules(t *testing.T) {
	a, ctx := start(t, ""), context.Background()
	const phase = "http_request_firewall_custom"
	_, err := a.client.GetEntrypointRuleset(ctx, a.zone, phase)
	var notFound *client.NotFoundError
	if !errors.As(err, &notFound) {
		t.Fatalf("got %v, want a NotFoundError before there are rules", err)
	}
	set, err := a.client.CreateRuleset(ctx, a.zone, client.CreateRulesetParams{
		Name: "custom rules", Kind: "zone", Phase: phase,
		Rules: []client.RulesetRule{
			{Action: "block", Expression: "true", Description: "one", Ref: "one"},
			{Action: "log", Expression: "true"},
		},
	})
	if err != nil || len(set.Rules) != 2 || *set.Version != "1" {
		t.Fatalf("create: %+v, %v", set, err)
	}
	_, err = a.client.CreateRuleset(ctx, a.zone, client.CreateRulesetParams{Name: "second", Kind: "zone", Phase: phase})
	wantCode(t, err, 20217)

	replaced, err := a.client.UpdateEntrypointRuleset(ctx, a.zone, client.UpdateEntrypointRulesetParams{
		Phase: phase, Rules: []client.RulesetRule{{Action: "challenge", Expression: "true", Ref: "one"}},
	})
	if err != nil || len(replaced.Rules) != 1 || *replaced.Version != "2" {
		t.Fatalf("replace: %+v, %v", replaced, err)
	}
	if replaced.ID != set.ID || replaced.Rules[0].ID != set.Rules[0].ID || replaced.Rules[0].Description != "" {
		t.Errorf("a rule with the same reference keeps its ID and nothing else: %+v", replaced.Rules[0])
	}
	list, err := a.client.ListRulesets(ctx, a.zone, client.ListRulesetsParams{})
	if err != nil || len(list) != 1 || len(list[0].Rules) != 0 {
		t.Errorf("list, which has no rules: %+v, %v", list, err)
	}
	if err := a.client.DeleteRuleset(ctx, a.zone, set.ID); err != nil {
		t.Fatal(err)
	}
	if n := a.api.Resources(); n != 0 {
		t.Errorf("%d things left", n)
	}
}

func TestFreePlanLimitsRateRules(t *testing.T) {
	a, ctx := start(t, ""), context.Background()
	put := func(zone *client.ResourceContainer, rules ...client.RulesetRule) error {
		_, err := a.client.UpdateEntrypointRuleset(ctx, zone, client.UpdateEntrypointRulesetParams{
			Phase: "http_ratelimit",
			Rules: rules,
		})
		return err
	}
	good := rateRule(10, "ip.src", "cf.colo.id")
	if err := put(a.zone, good); err != nil {
		t.Errorf("what the free plan allows: %v", err)
	}
	for name, rules := range map[string][]client.RulesetRule{
		"two rules":                {good, good},
		"another period":           {rateRule(60, "ip.src", "cf.colo.id")},
		"no place in the counting": {rateRule(10, "ip.src")},
	} {
		t.Run(name, func(t *testing.T) { wantCode(t, put(a.zone, rules...), 20120) })
	}
	if err := put(client.ZoneIdentifier(a.api.ZoneID("other.test")), good, rateRule(60, "ip.src")); err != nil {
		t.Errorf("a zone of the pro plan: %v", err)
	}
}

func TestFaultsHitAsManyRequestsAsTheySay(t *testing.T) {
	a, ctx := start(t, ""), context.Background()
	inject := func(body string) {
		t.Helper()
		response, err := a.server.Client().Post(a.server.URL+"/_sandbox/faults", "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != http.StatusNoContent {
			t.Fatalf("inject %s: %s", body, response.Status)
		}
	}
	params := client.CreateDNSRecordParams{Type: "A", Name: "www", Content: "192.0.2.1"}

	inject(`{"method":"POST","path":"dns_records$","times":2,"kind":"status","status":503,"retry_after":1}`)
	if _, err := a.client.CreateDNSRecord(ctx, a.zone, params); err != nil {
		t.Errorf("two failures and a retry policy of two: %v", err)
	}
	inject(`{"method":"POST","path":"dns_records$","times":1,"kind":"drop-after"}`)
	params.Name = "lost"
	_, err := a.client.CreateDNSRecord(ctx, a.zone, params)
	wantCode(t, err, 81058) // the client repeats itself and meets its own record
	inject(`{"path":"dns_records","times":1,"kind":"drop-before"}`)
	inject(`{"path":"dns_records","times":1,"kind":"delay","seconds":0.01}`)
	if found, _, err := a.client.ListDNSRecords(ctx, a.zone, client.ListDNSRecordsParams{}); err != nil ||
		len(found) != 2 {
		t.Errorf("list: %d records, %v", len(found), err)
	}
	for _, f := range a.api.Faults() {
		if f.Hits != f.Times {
			t.Errorf("fault %s: %d hits, want %d", f.Kind, f.Hits, f.Times)
		}
	}
	if err := a.api.InjectFault(cloudflare.Fault{Kind: "explode"}); err == nil {
		t.Error("an unknown kind of fault was accepted")
	}
	a.api.ClearFaults()
	if len(a.api.Faults()) != 0 {
		t.Error("faults are still there")
	}
}

func TestConfigurationErrorsAreReportedTogether(t *testing.T) {
	_, err := cloudflare.New(cloudflare.Config{Zones: []cloudflare.Zone{{Name: "nodot"}, {Name: "a.test", Plan: "gold"}}})
	if err == nil {
		t.Fatal("no error")
	}
	for _, part := range []string{"Token", `"nodot"`, `"gold"`} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q is not in: %v", part, err)
		}
	}
}
