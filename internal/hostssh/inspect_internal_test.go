package hostssh

import (
	"testing"

	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
)

func TestTheOpsImageIsThatOfTheJobThatConfiguresTheHost(t *testing.T) {
	const state = `{"deployment":{"resources":[
 {"urn":"u::other","type":"docker:index/container:Container","inputs":{"image":"r/app@1","command":["migrate"]}},
 {"urn":"u::gone","type":"docker:index/container:Container","delete":true,
  "inputs":{"image":"r/ops@0","command":["host-apply"]}},
 {"urn":"u::apply","type":"docker:index/container:Container",
  "inputs":{"image":"r/ops@1","command":["host-apply","--contract","5"]}}]}}`
	for text, want := range map[string]string{
		state: "r/ops@1", `{"deployment":{"resources":[]}}`: "", "nonsense": "", "": "",
	} {
		if got := opsImage([]byte(text)); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestAnotherImageIsTriedWhenThisOneCannotAnswer(t *testing.T) {
	for code, want := range map[int]bool{
		noImage: true, int(hostspec.ExitUsage): true, int(hostspec.ExitContract): true,
		int(hostspec.ExitFailed): false, SSHFailed: false, 0: false,
	} {
		if got := olderOrMissing(code); got != want {
			t.Errorf("exit code %d: got %v", code, got)
		}
	}
}
