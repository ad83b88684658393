package runner

import (
	"io"
	"log"
	"net/http"
	"os"

	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
)

// newACME returns an ACME test CA and its root certificate. It validates for real: it resolves names
// through the emulated zone and connects to ports 80 and 443 of what they point to.
func newACME(resolver string) (http.Handler, []byte) {
	// Pebble's own switches: no artificial delays, no randomly refused nonces, which only tests of
	// ACME clients want.
	_ = os.Setenv("PEBBLE_VA_NOSLEEP", "1")
	_ = os.Setenv("PEBBLE_WFE_NONCEREJECT", "0")
	quiet := log.New(io.Discard, "", 0)
	store := db.NewMemoryStore()
	authority := ca.New(quiet, store, "", "ecdsa", 0, 1, map[string]ca.Profile{
		"default": {Description: "test certificates"},
	})
	validator := va.New(quiet, 80, 443, false, resolver, store)
	front := wfe.New(quiet, store, validator, authority, []string{"sandbox.invalid"}, false, false, 1, 1)
	return front.Handler(), authority.GetRootCert(0).PEM()
}
