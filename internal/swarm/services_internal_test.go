package swarm

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

const backendURN = "urn:pulumi:prod::momentstudio::momentstudio:app:App$docker:index/service:Service::app-backend"

// recorded is a state with one service and one that only waits to be deleted.
func recorded() []byte {
	const one = `{"urn":%q,"type":"docker:index/service:Service","delete":%v,"inputs":{"name":"momentstudio-backend","mode":{"replicated":{"replicas":2}},
 "taskSpec":{"containerSpec":{"image":"r/backend@sha256:aa","env":{"A":"1","B":"x=y"},"secrets":[{"secretName":"s-2"},{"secretName":"s-1"}]}}}}`
	return fmt.Appendf(nil, `{"deployment":{"resources":[`+one+","+one+
		`,{"urn":"x","type":"docker:index/secret:Secret"}]}}`, backendURN, false, backendURN+"-old", true)
}

// reported is what Docker says of a service: image, environment, secrets, replicas, state of the last
// update, and the states of its tasks.
func reported(image string, env, secrets []string, replicas int, update string, tasks ...string) string {
	var refs []map[string]string
	for _, s := range secrets {
		refs = append(refs, map[string]string{"SecretName": s})
	}
	text, _ := json.Marshal(map[string]any{"Spec": map[string]any{
		"Name": "momentstudio-backend", "Mode": map[string]any{"Replicated": map[string]int{"Replicas": replicas}},
		"TaskTemplate": map[string]any{"ContainerSpec": map[string]any{"Image": image, "Env": env, "Secrets": refs}},
	}, "UpdateStatus": map[string]string{"State": update}})
	out := string(text) + "\n"
	for _, t := range tasks {
		out += fmt.Sprintf("{\"Task\":{\"State\":%q}}\n", t)
	}
	return out
}

func TestServicesThatAreNotAsAskedForAreFound(t *testing.T) {
	want, err := Wanted(recorded())
	if err != nil || len(want) != 1 {
		t.Fatalf("got %d services, %v", len(want), err)
	}
	image, env, secrets := "r/backend@sha256:aa", []string{"B=x=y", "A=1"}, []string{"s-1", "s-2"}
	up := []string{"Running 2 minutes ago", "Running 1 second ago"}
	for _, c := range []struct {
		what, host string
		why        string // "" for none
	}{
		{"what was asked for", reported(image, env, secrets, 2, "completed", up...), ""},
		{"a service that was never updated", reported(image, env, secrets, 2, "", up...), ""},
		{"no such service", "", "it does not exist"},
		{
			"an older release", reported("r/backend@sha256:bb", env, secrets, 2, "completed", up...),
			"it runs image r/backend@sha256:bb, want r/backend@sha256:aa",
		},
		{
			"a release that was rolled back", reported("r/backend@sha256:bb", env, secrets, 2, "rollback_completed", up...),
			"its last update ended in rollback_completed",
		},
		{"a rollback to what is asked for now", reported(image, env, secrets, 2, "rollback_completed", up...), ""},
		{
			"a rollback that was stopped", reported(image, env, secrets, 2, "rollback_paused", up[0]),
			"its last update ended in rollback_paused",
		},
		{"older secrets", reported(image, env, []string{"s-0", "s-2"}, 2, "completed", up...), "it has secrets s-0 s-2, " +
			"want s-1 s-2"},
		{
			"another setting", reported(image, []string{"A=2", "B=x=y"}, secrets, 2, "completed", up...),
			"its setting A is not the one that was asked for",
		},
		{"a setting less", reported(image, []string{"A=1"}, secrets, 2, "completed", up...), "its setting B is not the one"},
		{
			"a setting more", reported(image, append(env, "C=1"), secrets, 2, "completed", up...),
			"it has the setting C, which nobody asked for",
		},
		{"fewer replicas", reported(image, env, secrets, 1, "completed", up[:1]...), "it is set to 1 replicas, want 2"},
		{
			"a task that is not healthy yet", reported(image, env, secrets, 2, "completed", up[0], "Starting 3 seconds ago"),
			"1 of 2 tasks run",
		},
	} {
		have, err := parseServices([]byte(c.host))
		if err != nil {
			t.Fatalf("%s: %v", c.what, err)
		}
		got := Compare(want, have)
		switch {
		case c.why == "" && len(got) != 0:
			t.Errorf("%s: reported as %q", c.what, got[0].Why)
		case c.why != "" && (len(got) != 1 || got[0].Service != "momentstudio-backend" || got[0].Urn != backendURN ||
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
		have, err := parseServices([]byte(reported("r/backend@sha256:aa", nil, nil, 1, state, "Running")))
		if err != nil {
			t.Fatal(err)
		}
		got := RolledBack(have)
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
	have, err := parseServices([]byte(reported("r/backend@sha256:aa", []string{"A=canary", "B=x=y", "C=canary"},
		[]string{"s-1", "s-2"}, 2, "", "Running", "Running")))
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(Compare(want, have)); strings.Contains(got, "canary") {
		t.Errorf("a value is shown: %s", got)
	}
}

func TestAnswersThatAreNoListOfServices(t *testing.T) {
	if _, err := parseServices([]byte("Cannot connect to the Docker daemon: canary")); err == nil ||
		strings.Contains(err.Error(), "canary") {
		t.Errorf("got %v, want an error that quotes nothing", err)
	}
	if _, err := Wanted([]byte(`{"deployment":{"resources":[{"type":"docker:index/service:Service","urn":"u","inputs":{"name":7}}]}}`)); err == nil {
		t.Error("a damaged record is accepted")
	}
}
