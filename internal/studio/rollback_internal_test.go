package studio

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prekzursil/momentstudio-infra/internal/engine/enginetest"
)

func releaseNo(n int) Release {
	return Release{
		Name: fmt.Sprintf("%040d", n), Backend: fmt.Sprintf("r/backend@sha256:%064d", n),
		Frontend: fmt.Sprintf("r/frontend@sha256:%064d", n),
	}
}

func historyEntry(kind, result string, n int) string {
	r := releaseNo(n)
	return fmt.Sprintf(`{"kind":%q,"result":%q,"endTime":"2026-11-%02dT10:00:00.000Z","config":{
		"momentstudio:kind":{"value":"production","secret":false},
		"momentstudio:release":{
			"value":"{\"backend\":\"%s\",\"frontend\":\"%s\",\"name\":\"%s\"}",
			"secret":false,"objectValue":{}}}}`, kind, result, n, r.Backend, r.Frontend, r.Name)
}

func TestReleasesOfAHistory(t *testing.T) {
	text := "[" + strings.Join([]string{
		historyEntry("update", "failed", 5), historyEntry("refresh", "succeeded", 5), historyEntry("update", "succeeded", 4),
		historyEntry("update", "succeeded", 3), historyEntry("update", "succeeded", 3), historyEntry("destroy", "succeeded",
			2),
		`{"kind":"update","result":"succeeded","config":{}}`, historyEntry("update", "succeeded", 4),
	}, ",") + "]"
	c, _ := enginetest.NewStack(t, &enginetest.Programs{History: text}, "prod", "config: {}\n")
	history, err := c.History(t.Context())
	got := releasesOf(history)
	if err != nil || len(got) != 3 {
		t.Fatalf("got %+v, %v", got, err)
	}
	for i, n := range []int{4, 3, 4} {
		if !got[i].same(releaseNo(n)) {
			t.Errorf("number %d is %+v, want release %d", i, got[i], n)
		}
	}
	if got[0].Applied != time.Date(2026, 11, 4, 10, 0, 0, 0, time.UTC) {
		t.Errorf("release 4 was applied at %v", got[0].Applied)
	}
}

func TestWhichReleaseARollbackChooses(t *testing.T) {
	list := func(numbers ...int) (out []Release) {
		for _, n := range numbers {
			out = append(out, releaseNo(n))
		}
		return out
	}
	for _, c := range []struct {
		name              string
		history, verified []Release
		to                string
		want              int
		fault             string
	}{
		{"the one before", list(4, 3, 2), list(2, 3, 4), "", 3, ""},
		{"never one that was not verified", list(4, 3, 2), list(2), "", 2, ""},
		{"never forward to what was left before", list(4, 5, 4, 3), list(3, 4, 5), "", 3, ""},
		{"forward by name", list(4, 5, 4, 3), list(3, 4, 5), releaseNo(5).Name, 5, ""},
		{"nothing older", list(4, 3, 4), list(3, 4), "", 0, "no earlier release"},
		{"one by name, verified or not", list(4, 3, 2), list(3), releaseNo(2).Name, 2, ""},
		{"nothing to go back to", list(4), list(4), "", 0, "no earlier release"},
		{"nothing that was verified", list(4, 3), list(4), "", 0, "no earlier release"},
		{"a name that never was", list(4, 3), list(3, 4), "ffff", 0, "no successful update to release ffff"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := chooseRelease(c.history, c.verified, releaseNo(4), c.to)
			if c.fault != "" {
				if err == nil || !strings.Contains(strings.ReplaceAll(err.Error(), "\n", " "), c.fault) {
					t.Errorf("got %v, want %q", err, c.fault)
				}
				return
			}
			if err != nil || !got.same(releaseNo(c.want)) {
				t.Errorf("got %+v, %v, want release %d", got, err, c.want)
			}
		})
	}
}
