package docker

import (
	"errors"
	"strings"
	"testing"
)

// The texts are the engine's own, of public reports (Docker Hub, ghcr.io).
func TestARegistrysRefusalHasAFix(t *testing.T) {
	const head = `Head "https://ghcr.io/v2/shop/backend/manifests/sha256:1": `
	for text, want := range map[string]string{
		"toomanyrequests: You have reached your pull rate limit. You may increase the limit by authenticating and " +
			"upgrading: https://www.docker.com/increase-rate-limit": "limits how often",
		head + "unauthorized: authentication required":  "refuses the login",
		head + "denied: denied":                         "refuses the login",
		head + "dial tcp: lookup ghcr.io: no such host": "",
	} {
		if got := pullFix(errors.New(text)); (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%s: the fix is %q, want %q", text, got, want)
		}
	}
}
