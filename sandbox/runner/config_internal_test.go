package runner

import "testing"

func TestAnOperatorsOwnImageStays(t *testing.T) {
	built := map[string]string{
		"backend":  "10.201.64.1:5000/backend@sha256:aa",
		"frontend": "10.201.64.1:5000/frontend@sha256:bb",
	}
	for reference, want := range map[string]bool{
		"":                                       true,
		"registry.invalid/backend@sha256:00":     true, // of the committed file
		"10.201.64.1:5000/backend@sha256:aa":     true,
		"10.201.64.1:5000/backend@sha256:99":     true, // of an earlier run
		"10.201.64.1:5000/shop/backend@sha256:1": false,
		"10.201.64.9:5000/backend@sha256:aa":     false,
		"ghcr.io/owner/shop/backend@sha256:aa":   false,
	} {
		if got := builtHere(reference, built); got != want {
			t.Errorf("%q counts as built here: %v, want %v", reference, got, want)
		}
	}
}
