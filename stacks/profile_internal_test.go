package stacks

import (
	"testing"
	"time"

	"github.com/prekzursil/momentstudio-infra/internal/config"
)

func TestOnlyADrillLeavesSomethingOut(t *testing.T) {
	c := config.Config{Drill: config.DrillOptions{Expires: "2026-12-01T03:00:00Z"}}
	for _, kind := range []config.Kind{config.Production, config.Staging, config.Sandbox} {
		c.Kind = kind
		if got, want := profileOf(c), (profile{public: true, wayOut: true, backsUp: true}); got != want {
			t.Errorf("%s: got %+v, want %+v", kind, got, want)
		}
	}
	c.Kind = config.Drill
	want := profile{expires: time.Date(2026, 12, 1, 3, 0, 0, 0, time.UTC)}
	if got := profileOf(c); got != want {
		t.Errorf("a drill: got %+v, want %+v", got, want)
	}
}
