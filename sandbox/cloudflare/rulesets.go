package cloudflare

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

type rulesetFields struct {
	Name        *string          `json:"name"`
	Description *string          `json:"description"`
	Kind        *string          `json:"kind"`
	Phase       *string          `json:"phase"`
	Rules       []map[string]any `json:"rules"`
}

// shownRuleset is a ruleset as the API shows it: versions are texts, lists have no rules.
type shownRuleset struct {
	ID          string           `json:"id"`
	Name        string           `json:"name"`
	Description string           `json:"description"`
	Kind        string           `json:"kind"`
	Phase       string           `json:"phase"`
	Version     string           `json:"version"`
	LastUpdated time.Time        `json:"last_updated"`
	Rules       []map[string]any `json:"rules,omitempty"`
}

func show(s *ruleset, rules bool) shownRuleset {
	shown := shownRuleset{
		ID: s.ID, Name: s.Name, Description: s.Description, Kind: s.Kind, Phase: s.Phase,
		Version: strconv.Itoa(s.Version), LastUpdated: s.LastUpdated,
	}
	if rules {
		shown.Rules = s.Rules
	}
	return shown
}

// rulesetOwner is the zone or account that the path names, and the kind of its entrypoints.
func (q *request) rulesetOwner() (owner, entrypointKind string) {
	if q.zone.ID != "" {
		return "zones/" + q.zone.ID, "zone"
	}
	return "accounts/" + q.PathValue("account"), "root"
}

func (a *API) listRulesets(q *request) (reply, error) {
	owner, _ := q.rulesetOwner()
	found := []shownRuleset{}
	for _, s := range a.state.Rulesets {
		if s.Owner == owner {
			found = append(found, show(s, false))
		}
	}
	return reply{result: found}, nil
}

func (a *API) findRuleset(q *request) (int, error) {
	owner, _ := q.rulesetOwner()
	i := slices.IndexFunc(a.state.Rulesets, func(s *ruleset) bool { return s.Owner == owner && s.ID == q.PathValue("id") })
	if i < 0 {
		return 0, refuse(http.StatusNotFound, 10003, fmt.Sprintf("could not find ruleset %q", q.PathValue("id")))
	}
	return i, nil
}

func (a *API) findEntrypoint(q *request, phase string) int {
	owner, kind := q.rulesetOwner()
	return slices.IndexFunc(a.state.Rulesets, func(s *ruleset) bool {
		return s.Owner == owner && s.Kind == kind && s.Phase == phase
	})
}

func (a *API) getRuleset(q *request) (reply, error) {
	i, err := a.findRuleset(q)
	if err != nil {
		return reply{}, err
	}
	return reply{result: show(a.state.Rulesets[i], true)}, nil
}

func (a *API) getEntrypoint(q *request) (reply, error) {
	i := a.findEntrypoint(q, q.PathValue("phase"))
	if i < 0 {
		return reply{}, refuse(http.StatusNotFound, 10003,
			fmt.Sprintf("could not find entrypoint ruleset in the %s phase", q.PathValue("phase")))
	}
	return reply{result: show(a.state.Rulesets[i], true)}, nil
}

func (a *API) createRuleset(q *request) (reply, error) {
	var body rulesetFields
	if err := q.decode(&body); err != nil {
		return reply{}, err
	}
	owner, entrypoint := q.rulesetOwner()
	s := &ruleset{Owner: owner, ID: newID(), Name: text(body.Name), Kind: text(body.Kind), Phase: text(body.Phase)}
	switch {
	case s.Name == "":
		return reply{}, refuse(http.StatusBadRequest, 20019, "name is required")
	case s.Kind != entrypoint && s.Kind != "custom":
		return reply{}, refuse(http.StatusBadRequest, 20217, fmt.Sprintf("'%s' is not a valid value for kind", s.Kind))
	case s.Kind == entrypoint && a.findEntrypoint(q, s.Phase) >= 0:
		return reply{}, refuse(http.StatusBadRequest, 20217, fmt.Sprintf(
			"'%s' is not a valid value for kind because exceeded maximum number of %s rulesets for phase %s (1)", s.Kind, s.Kind,
			s.Phase))
	}
	if err := a.fillRuleset(q, s, body); err != nil {
		return reply{}, err
	}
	a.state.Rulesets = append(a.state.Rulesets, s)
	return reply{result: show(s, true)}, nil
}

func (a *API) updateRuleset(q *request) (reply, error) {
	i, err := a.findRuleset(q)
	if err != nil {
		return reply{}, err
	}
	return a.storeRuleset(q, i)
}

// updateEntrypoint creates the phase's entrypoint when there is none.
func (a *API) updateEntrypoint(q *request) (reply, error) {
	phase := q.PathValue("phase")
	if i := a.findEntrypoint(q, phase); i >= 0 {
		return a.storeRuleset(q, i)
	}
	var body rulesetFields
	if err := q.decode(&body); err != nil {
		return reply{}, err
	}
	owner, kind := q.rulesetOwner()
	s := &ruleset{Owner: owner, ID: newID(), Name: cmp.Or(text(body.Name), "default"), Kind: kind, Phase: phase}
	if err := a.fillRuleset(q, s, body); err != nil {
		return reply{}, err
	}
	a.state.Rulesets = append(a.state.Rulesets, s)
	return reply{result: show(s, true)}, nil
}

func (a *API) storeRuleset(q *request, i int) (reply, error) {
	var body rulesetFields
	if err := q.decode(&body); err != nil {
		return reply{}, err
	}
	s := *a.state.Rulesets[i]
	if err := a.fillRuleset(q, &s, body); err != nil {
		return reply{}, err
	}
	a.state.Rulesets[i] = &s
	return reply{result: show(&s, true)}, nil
}

// fillRuleset replaces all rules by those of the body. A rule whose reference or ID is that of
// an old rule remains the same rule.
func (a *API) fillRuleset(q *request, s *ruleset, body rulesetFields) error {
	assign(&s.Description, body.Description)
	s.Version++
	s.LastUpdated = a.now()
	rules := []map[string]any{}
	for i, given := range body.Rules {
		rule, err := a.completeRule(s, maps.Clone(given), i)
		if err != nil {
			return err
		}
		rules = append(rules, rule)
	}
	s.Rules = rules
	if q.zone.Plan.LegacyID == "free" {
		return freeLimits(s)
	}
	return nil
}

func (a *API) completeRule(s *ruleset, rule map[string]any, index int) (map[string]any, error) {
	for _, required := range []string{"expression", "action"} {
		if value, _ := rule[required].(string); strings.TrimSpace(value) == "" {
			return nil, refuse(http.StatusBadRequest, 20127, fmt.Sprintf("rules[%d]: %s is required", index, required))
		}
	}
	id, _ := rule["id"].(string)
	ref, _ := rule["ref"].(string)
	rule["id"] = newID()
	for _, old := range s.Rules {
		if (ref != "" && old["ref"] == ref) || (id != "" && old["id"] == id) {
			rule["id"], ref = old["id"], old["ref"].(string)
		}
	}
	if ref == "" {
		ref, _ = rule["id"].(string)
	}
	rule["ref"] = ref
	rule["version"] = strconv.Itoa(s.Version)
	rule["last_updated"] = a.now()
	if rule["enabled"] == nil {
		rule["enabled"] = true
	}
	return rule, nil
}

func (a *API) deleteRuleset(q *request) (reply, error) {
	i, err := a.findRuleset(q)
	if err != nil {
		return reply{}, err
	}
	a.state.Rulesets = slices.Delete(a.state.Rulesets, i, i+1)
	return reply{status: http.StatusNoContent}, nil
}

func (a *API) deleteRule(q *request) (reply, error) {
	i, err := a.findRuleset(q)
	if err != nil {
		return reply{}, err
	}
	s := *a.state.Rulesets[i]
	rules := slices.DeleteFunc(slices.Clone(s.Rules), func(r map[string]any) bool {
		return r["id"] == q.PathValue("rule")
	})
	if len(rules) == len(s.Rules) {
		return reply{}, refuse(http.StatusNotFound, 10003, fmt.Sprintf("could not find rule %q", q.PathValue("rule")))
	}
	s.Rules, s.Version, s.LastUpdated = rules, s.Version+1, a.now()
	a.state.Rulesets[i] = &s
	return reply{result: show(&s, true)}, nil
}

// freeRules is how many rules a phase may hold in a zone of the free plan.
var freeRules = map[string]int{
	"http_ratelimit": 1, "http_request_firewall_custom": 5, "http_request_cache_settings": 10,
	"http_request_dynamic_redirect": 10, "http_request_transform": 10,
	"http_request_late_transform": 10, "http_response_headers_transform": 10,
	"http_config_settings": 10, "http_request_origin": 10,
}

// freeRatePeriod is the only period and mitigation time of rate limits in the free plan, in
// seconds.
const freeRatePeriod = 10

func freeLimits(s *ruleset) error {
	limit, known := freeRules[s.Phase]
	if known && len(s.Rules) > limit {
		return refuse(http.StatusBadRequest, 20120,
			fmt.Sprintf("exceeded maximum number of rules in the phase %s: %d out of %d", s.Phase, len(s.Rules), limit))
	}
	for _, rule := range s.Rules {
		rate, ok := rule["ratelimit"].(map[string]any)
		if !ok {
			continue
		}
		for _, field := range []string{"period", "mitigation_timeout"} {
			if seconds, _ := rate[field].(float64); seconds != freeRatePeriod {
				return refuse(http.StatusBadRequest, 20120, fmt.Sprintf(
					"not entitled to use the %s %v, can only use a %s among [%d]", field, seconds, field, freeRatePeriod))
			}
		}
		characteristics, _ := rate["characteristics"].([]any)
		if !slices.Contains(characteristics, any("cf.colo.id")) {
			return refuse(http.StatusBadRequest, 20120, "ratelimit: characteristics must include cf.colo.id")
		}
	}
	return nil
}
