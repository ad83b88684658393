package e2e

import (
	"strings"
	"testing"
)

// openToCrowd lets one address send many POSTs; the steps that use it stand together, and the last
// one closes it again.
func (w *world) openToCrowd() {
	w.t.Helper()
	if limited, set := w.configured("edge")["rateLimits"].(bool); set && !limited {
		return // it is open
	}
	w.configureApp("captcha", map[string]any{"enabled": false})
	w.configureApp("rateLimits", map[string]any{"contact": 1_000_000})
	w.configure("edge", "rateLimits", false)
	w.up()
}

// releases roll out a release and a change of the edge under load, then one that cannot start.
func releases(t *testing.T, w *world) {
	w.openToCrowd()
	crowd := startLoad(t, w, "release")
	w.configure("release", "name", "0000000000000000000000000000000000000002")
	w.configure("edge", "maxBodyMB", 600)
	w.up()
	crowd.stop(t, w, 500)
	if r := newSite(t, w).get("https://momentstudio.test/assets/app-config.js"); !strings.Contains(r.body, "0000000000000000000000000000000000000002") {
		t.Errorf("browsers get another release:\n%s", r.body)
	}

	// An image that is there and does not serve: its process ends at once.
	release, images := w.configured("release"), w.configured("images")
	crowd = startLoad(t, w, "broken")
	w.configure("release", "frontend", images["ops"])
	out, err := w.studio("up", "--config-file", w.s.ConfigFile(), "--ca", w.s.CAFile())
	if err == nil {
		t.Fatalf("a release that does not start is reported as done:\n%s", tail(out, 30))
	}
	for _, want := range []string{"momentstudio-frontend", "rollback", "the end of its log", "hostops"} {
		if !strings.Contains(out, want) {
			t.Errorf("the failure does not tell %q:\n%s", want, tail(out, 60))
		}
	}
	w.configure("release", "frontend", release["frontend"])
	w.up()
	crowd.stop(t, w, 500)
	if out, err := w.studio("verify", "--config-file", w.s.ConfigFile(), "--ca", w.s.CAFile()); err != nil {
		t.Errorf("verify: %v\n%s", err, tail(out, 30))
	}

	w.configure("edge", "rateLimits", true)
	w.configureApp("captcha", map[string]any{"enabled": true})
	w.configure("app", "maintenanceMode", true)
	w.up()
	w.afterRotations()
	w.mustPulumi("preview", "--diff", "--expect-no-changes")
	w.configure("app", "maintenanceMode", false) // with the next update
}
