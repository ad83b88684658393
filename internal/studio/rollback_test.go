package studio_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/prekzursil/momentstudio-infra/internal/engine/enginetest"
	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
	"github.com/prekzursil/momentstudio-infra/internal/studio"
)

func image(kind string, n int) string {
	return fmt.Sprintf("registry.example/%s@sha256:%064d", kind, n)
}

// stackFile is the file of a stack that runs the second release.
func stackFile() string {
	return fmt.Sprintf("config:\n  momentstudio:kind: production\n  momentstudio:release:\n    name: %040d\n"+
		"    backend: %s\n    frontend: %s\n  momentstudio:images:\n    ops: %s\n",
		2, image("backend", 2), image("frontend", 2), image("ops", 1))
}

// programs are those of a stack whose history has two releases, of which the host saw the first one serving.
func programs() *enginetest.Programs {
	entry := func(n int) string {
		return fmt.Sprintf(`{"kind":"update","result":"succeeded","endTime":"2026-11-0%dT10:00:00.000Z","config":{
			"momentstudio:release":{"value":"{\"name\":\"%040d\",\"backend\":\"%s\",\"frontend\":\"%s\"}"}}}`,
			n, n, image("backend", n), image("frontend", n))
	}
	return &enginetest.Programs{
		State:   `{"version":3,"deployment":{"resources":[]}}`,
		Outputs: `{"address":"192.0.2.1","sshPrivateKeys":["canary-key"],"knownHosts":["192.0.2.1 ssh-ed25519 AAAA"]}`,
		History: "[" + entry(2) + "," + entry(1) + "]",
		Report: hostspec.HostReport{Verified: []hostspec.VerifiedRelease{{
			Name: fmt.Sprintf("%040d", 1), Backend: image("backend", 1), Frontend: image("frontend", 1),
		}}},
	}
}

func TestARollbackThatIsNotConfirmedLeavesTheFile(t *testing.T) {
	p := programs()
	c, out := enginetest.NewStack(t, p, "prod", stackFile())
	asked := false
	err := studio.Rollback(t.Context(), c, nil, "", func() bool {
		asked = true
		text, err := os.ReadFile(c.File())
		if err != nil || !strings.Contains(string(text), image("backend", 1)) {
			t.Errorf("the question comes before the file names the earlier release: %v\n%s", err, text)
		}
		return false
	})
	if err != nil || !asked {
		t.Fatalf("asked is %v, %v\n%s", asked, err, out)
	}
	if text, _ := os.ReadFile(c.File()); string(text) != stackFile() {
		t.Errorf("the file has changed:\n%s", text)
	}
	if calls := p.Calls("pulumi preview", "pulumi up"); len(calls) != 1 || !strings.HasPrefix(calls[0], "pulumi preview") {
		t.Errorf("want one preview and no update: %q", calls)
	}
}

func TestARollbackThatFailsLeavesTheFile(t *testing.T) {
	for name, fails := range map[string]string{"the preview": "pulumi preview", "the update": "pulumi up"} {
		t.Run(name, func(t *testing.T) {
			p := programs()
			p.Fails = map[string]error{fails: errors.New("exit status 255")}
			c, out := enginetest.NewStack(t, p, "prod", stackFile())
			if err := studio.Rollback(t.Context(), c, nil, "", func() bool { return true }); err == nil {
				t.Errorf("a rollback without %s is a success:\n%s", name, out)
			}
			if text, _ := os.ReadFile(c.File()); string(text) != stackFile() {
				t.Errorf("the file has changed:\n%s", text)
			}
		})
	}
}

func TestARollbackNeedsAVerifiedRelease(t *testing.T) {
	p := programs()
	p.Report.Verified = nil
	c, _ := enginetest.NewStack(t, p, "prod", stackFile())
	err := studio.Rollback(t.Context(), c, nil, "", func() bool { t.Error("it asks"); return true })
	if err == nil || len(p.Calls("pulumi preview", "pulumi up")) != 0 {
		t.Errorf("got %v, and these calls: %q", err, p.Calls("pulumi"))
	}
}
