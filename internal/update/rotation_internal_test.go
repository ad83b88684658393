package update

import (
	"strings"
	"testing"

	"github.com/prekzursil/momentstudio-infra/internal/config"
)

func TestRotationsGoOneStepAtATime(t *testing.T) {
	const prefix = `{"urn":"urn:pulumi:prod::momentstudio::momentstudio:secrets:Secrets$` +
		`random:index/randomPassword:RandomPassword::secrets-`
	state := `{"deployment":{"resources":[` + prefix + `login-2"},` + prefix + `login-3"},` + prefix +
		`login-9","delete":true},` +
		prefix + `deploy-key-1"},` + prefix + `deploy-key-0"}]}}`
	for _, c := range []struct {
		what          string
		state         string
		login, deploy int
		refused       string
	}{
		{"no change", state, 3, 1, ""},
		{"one step", state, 4, 2, ""},
		{"one step back", state, 2, 1, ""},
		{"two steps", state, 5, 1, "secrets.databaseLogin: got 5, want 3 or 4"},
		{"two steps back", state, 1, 1, "secrets.databaseLogin: got 1, want 3 or 4"},
		{"two steps of the key to the host", state, 3, 3, "secrets.deployKey: got 3, want 1 or 2"},
		{"a stack before its first update", `{"deployment":{}}`, 7, 7, ""},
	} {
		wanted := config.Config{Secrets: config.SecretGenerations{DatabaseLogin: c.login, DeployKey: c.deploy, HostKey: 1}}
		err := refuseLeaps(wanted, []byte(c.state))
		if (err == nil) != (c.refused == "") || err != nil && !strings.Contains(err.Error(), c.refused) {
			t.Errorf("%s: got %v, want %q", c.what, err, c.refused)
		}
	}
}
