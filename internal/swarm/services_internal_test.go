package swarm

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
)

const backendURN = "urn:pulumi:prod::momentstudio::momentstudio:app:App$docker:index/service:Service::app-backend"

// recorded is a state with one service and one that only waits to be deleted.
func recorded() []byte {
	const one = `{"urn":%q,"type":"docker:index/service:Service","delete":%v,
 "inputs":{"name":"momentstudio-backend","mode":{"replicated":{"replicas":2}},
 "taskSpec":{"containerSpec":{"image":"r/backend@sha256:aa","env":{"A":"1","B":"x=y"},
 "secrets":[{"secretName":"s-2"},{"secretName":"s-1"}]}}}}`
	return fmt.Appendf(nil, `{"deployment":{"resources":[`+one+","+one+
		`,{"urn":"x","type":"docker:index/secret:Secret"}]}}`, backendURN, false, backendURN+"-old", true)
}

// reported is a host's report of the service; running tasks are those at the end.
func reported(image string, env map[string]string, secrets []string, replicas int, update string,
	running int,
) []hostspec.Service {
	s := hostspec.Service{
		Name: "momentstudio-backend", Image: image, Env: env, Replicas: replicas, Update: update, Running: running,
	}
	for _, name := range secrets {
		s.Secrets = append(s.Secrets, hostspec.SecretMount{Name: name})
	}
	return []hostspec.Service{s}
}

func TestServicesThatAreNotAsAskedForAreFound(t *testing.T) {
	want, err := Wanted(recorded())
	if err != nil || len(want) != 1 {
		t.Fatalf("got %d services, %v", len(want), err)
	}
	image, secrets := "r/backend@sha256:aa", []string{"s-1", "s-2"}
	env := map[string]string{"A": "1", "B": "x=y"}
	for _, c := range []struct {
		what string
		host []hostspec.Service
		why  string // "" for none
	}{
		{"what was asked for", reported(image, env, secrets, 2, "completed", 2), ""},
		{"a service that was never updated", reported(image, env, secrets, 2, "", 2), ""},
		{"no such service", nil, "it does not exist"},
		{
			"an older release", reported("r/backend@sha256:bb", env, secrets, 2, "completed", 2),
			"it runs image r/backend@sha256:bb, want r/backend@sha256:aa",
		},
		{
			"a release that was rolled back", reported("r/backend@sha256:bb", env, secrets, 2, "rollback_completed", 2),
			"its last update ended in rollback_completed",
		},
		{"a rollback to what is asked for now", reported(image, env, secrets, 2, "rollback_completed", 2), ""},
		{
			"a rollback that was stopped", reported(image, env, secrets, 2, "rollback_paused", 1),
			"its last update ended in rollback_paused",
		},
		{"older secrets", reported(image, env, []string{"s-0", "s-2"}, 2, "completed", 2), "it has secrets s-0 s-2, " +
			"want s-1 s-2"},
		{
			"another setting", reported(image, map[string]string{"A": "2", "B": "x=y"}, secrets, 2, "completed", 2),
			"its setting A is not the one that was asked for",
		},
		{
			"a setting less", reported(image, map[string]string{"A": "1"}, secrets, 2, "completed", 2),
			"its setting B is not the one",
		},
		{
			"a setting more", reported(image, map[string]string{"A": "1", "B": "x=y", "C": "1"}, secrets, 2, "completed", 2),
			"it has the setting C, which nobody asked for",
		},
		{"fewer replicas", reported(image, env, secrets, 1, "completed", 1), "it is set to 1 replicas, want 2"},
		{
			"a task that is not healthy yet", reported(image, env, secrets, 2, "completed", 1),
			"1 of 2 tasks run",
		},
	} {
		got := Compare(want, Found(c.host))
		switch {
		case c.why == "" && len(got) != 0:
			t.Errorf("%s: reported as %q", c.what, got[0].Why)
		case c.why != "" && (len(got) != 1 || got[0].Service != "momentstudio-backend" || got[0].URN != backendURN ||
			!slices.ContainsFunc(got[0].Why, func(w string) bool { return strings.Contains(w, c.why) })):
			t.Errorf("%s: got %+v, want %q", c.what, got, c.why)
		}
	}
}

func TestUpdatesThatDidNotStayAreListed(t *testing.T) {
	for state, listed := range map[string]bool{
		"": false, "completed": false, "updating": false,
		"rollback_completed": true, "rollback_paused": true, "paused": true,
	} {
		got := RolledBack(Found(reported("r/backend@sha256:aa", nil, nil, 1, state, 1)))
		if (len(got) == 1) != listed || listed && got[0].Why[0] != "its last update ended in "+state {
			t.Errorf("after %q: %+v, want it listed: %v", state, got, listed)
		}
	}
}

func TestValuesOfSettingsAreNotShown(t *testing.T) {
	want, err := Wanted(recorded())
	if err != nil {
		t.Fatal(err)
	}
	have := Found(reported("r/backend@sha256:aa", map[string]string{"A": "canary", "B": "x=y", "C": "canary"},
		[]string{"s-1", "s-2"}, 2, "", 2))
	if got := fmt.Sprint(Compare(want, have)); strings.Contains(got, "canary") {
		t.Errorf("a value is shown: %s", got)
	}
}

func TestADamagedRecordIsRefused(t *testing.T) {
	const damaged = `{"deployment":{"resources":[{"type":"docker:index/service:Service","urn":"u","inputs":{"name":7}}]}}`
	if _, err := Wanted([]byte(damaged)); err == nil {
		t.Error("a damaged record is accepted")
	}
}

func TestDifferencesAreDescribedWithTheTasksErrorsAndTheLog(t *testing.T) {
	all := []Difference{{Service: "a", Why: []string{"x", "y"}}, {Service: "b", Why: []string{"z"}, final: true}}
	got := Describe(all, map[string]hostspec.ServiceLog{"a": {Errors: []string{"failed: 1"}, Tail: []string{"l1", "l2"}}})
	const want = "  - a: x; y\n    tasks: failed: 1\n    the end of its log, without values (`docker service logs a` on " +
		"the host shows all of it):\n      l1\n      l2\n  - b: z"
	if got != want || !Final(all) || Final(all[:1]) || len(Names(all)) != 2 {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
