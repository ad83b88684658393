package review_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/prekzursil/momentstudio-infra/internal/review"
)

var now = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

func subject(approvals ...review.Approval) review.Subject {
	return review.Subject{Stack: "prod", Commit: strings.Repeat("c", 40), ConfigHash: "h", Now: now, Approvals: approvals}
}

// plan is a preview with one step.
func plan(op, kind, name string, oldInputs, newInputs map[string]any, reasons ...string) []byte {
	step := map[string]any{"op": op, "urn": "urn:pulumi:prod::momentstudio::" + kind + "::" + name, "diffReasons": reasons}
	if oldInputs != nil {
		step["oldState"] = map[string]any{"type": kind, "inputs": oldInputs}
	}
	if newInputs != nil {
		step["newState"] = map[string]any{"type": kind, "inputs": newInputs}
	}
	text, err := json.Marshal(map[string]any{"steps": []any{step}})
	if err != nil {
		panic(err)
	}
	return text
}

func mustReview(t *testing.T, preview []byte, s review.Subject) review.Report {
	t.Helper()
	r, err := review.New(preview, s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestWhatIsUnknownIsTheWorst(t *testing.T) {
	for name, preview := range map[string][]byte{
		"an operation": plan("teleport", "docker:index/secret:Secret", "app-env", map[string]any{}, map[string]any{}),
		"a type": plan("update", "hcloud:index/loadBalancer:LoadBalancer", "lb", map[string]any{},
			map[string]any{}),
		"a type, even made":  plan("create", "aws:s3/bucket:Bucket", "b", nil, map[string]any{}),
		"a step without any": plan("delete", "", "x", nil, nil),
	} {
		r := mustReview(t, preview, subject())
		if r.Risk != review.Irreversible || r.Code() != review.CodeGone || len(r.Refused) != 1 {
			t.Errorf("%s: risk %s, code %d, refused %v", name, r.Risk, r.Code(), r.Refused)
		}
	}
}

func TestOnlyWhatDiffersIsACause(t *testing.T) {
	inputs := func(image string) map[string]any {
		return map[string]any{"taskSpec": map[string]any{
			"image": image, "sysctl": nil,
			"mounts": []any{map[string]any{"source": "/a"}},
		}, "password": "[secret]"}
	}
	r := mustReview(t, plan("update", "docker:index/service:Service", "app-backend", inputs("one"), inputs("two"),
		"taskSpec", "taskSpec.image", "taskSpec.sysctl", "taskSpec.mounts[0].source", "password"), subject())
	if got := strings.Join(r.Changes[0].Properties, " "); got != "password taskSpec.image" {
		t.Errorf("the causes are %q", got)
	}
}

func TestALockThatIsLiftedIsSeen(t *testing.T) {
	const kind, urn = "random:index/randomPassword:RandomPassword",
		"urn:pulumi:prod::momentstudio::random:index/randomPassword:RandomPassword::secrets-app-key"
	for _, c := range []struct {
		before, after bool
		code          int
	}{{true, false, review.CodeRefused}, {false, true, review.CodePass}, {true, true, review.CodePass}} {
		text := fmt.Sprintf(`{"steps": [{
			"op": "same", "urn": %q,
			"oldState": {"type": %q, "protect": %t}, "newState": {"type": %q, "protect": %t}
		}]}`, urn, kind, c.before, kind, c.after)
		if r := mustReview(t, []byte(text), subject()); r.Code() != c.code || (len(r.Changes) == 0) != (c.before == c.after) {
			t.Errorf("%t to %t: code %d, %+v", c.before, c.after, r.Code(), r.Changes)
		}
	}
	// Its approval does not let the deletion pass.
	all, err := approvalsIn(t, "- urn: "+urn+"\n  op: update\n  reason: the rebuild needs it unlocked\n  expires: "+
		"2026-12-01\n")
	if err != nil {
		t.Fatal(err)
	}
	if r := mustReview(t, plan("delete", kind, "secrets-app-key", map[string]any{}, nil),
		subject(all...)); r.Code() != review.CodeRefused {
		t.Errorf("a deletion passes by the approval of an update: code %d", r.Code())
	}
}

func TestAnOldGenerationGoesWhenANewerIsThere(t *testing.T) {
	const kind, prefix = "random:index/randomPassword:RandomPassword",
		"urn:pulumi:prod::momentstudio::random:index/randomPassword:RandomPassword::secrets-"
	for _, c := range []struct {
		goes, stays string
		risk        review.Risk
	}{
		{"login-0", "login-1", review.None},
		{"deploy-key-1", "deploy-key-2", review.None},
		{"login-1", "login-0", review.DataAtRisk},
		{"login-0", "deploy-key-1", review.DataAtRisk},
		{"app-key", "app-key-2", review.DataAtRisk},                   // what was encrypted with it may be needed
		{"backup-password", "backup-password-2", review.Irreversible}, // old repositories need it
	} {
		text := fmt.Sprintf(`{"steps": [{"op": "delete", "urn": %q, "oldState": {"type": %q}}, {"op": "same", "urn": %q}]}`,
			prefix+c.goes, kind, prefix+c.stays)
		if r := mustReview(t, []byte(text), subject()); r.Risk != c.risk {
			t.Errorf("%s goes, %s stays: %s, want %s", c.goes, c.stays, r.Risk, c.risk)
		}
	}
}

func TestWhatIsNoPreviewIsAnError(t *testing.T) {
	for name, text := range map[string]string{
		"nothing": "", "no JSON": "error: no stack", "no steps": `{"steps": []}`, "another document": `{"version": 3}`,
		"a failed one": `{
			"steps": [{"op": "same", "urn": "urn:pulumi:a::b::c::d"}],
			"diagnostics": [{"severity": "error", "message": "Pulumi.prod.yaml is not valid:\n - x"}]
		}`,
	} {
		if r, err := review.New([]byte(text), subject()); err == nil || !strings.Contains(err.Error(), "stack prod") {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
	// Notices before the document do no harm.
	if _, err := review.New(append([]byte("warning: a new version\n"),
		plan("create", "docker:index/secret:Secret", "s", nil, map[string]any{})...), subject()); err != nil {
		t.Error(err)
	}
}

func TestAReplacementIsOneChange(t *testing.T) {
	const urn = "urn:pulumi:prod::momentstudio::hcloud:index/volume:Volume::host-data"
	state := `{"type": "hcloud:index/volume:Volume", "inputs": {}}`
	for _, order := range [][]string{
		{"delete-replaced", "replace", "create-replacement"},
		{"create-replacement", "replace", "delete-replaced"},
	} {
		var steps []string
		for _, op := range order {
			steps = append(steps,
				fmt.Sprintf(`{"op": %q, "urn": %q, "oldState": %s, "newState": %[3]s, "replaceReasons": ["location"]}`, op, urn,
					state))
		}
		r := mustReview(t, []byte(`{"steps": [`+strings.Join(steps, ",")+`]}`), subject())
		if len(r.Changes) != 1 || r.Changes[0].Op != review.Replace || r.Risk != review.Irreversible ||
			len(r.Changes[0].Properties) != 1 {
			t.Errorf("%v: %+v", order, r.Changes)
		}
	}
}

// No value reaches a report, whatever it is called and wherever it stands.
func TestNoValueIsPrinted(t *testing.T) {
	const canary = "canary-7f3a"
	inputs := func(n float64) map[string]any {
		return map[string]any{
			"size": n, "password": canary, "userData": canary, "image": canary, "rules": []any{map[string]any{
				"port":      canary,
				"direction": "out",
			}},
			"taskSpec": map[string]any{"containerSpec": map[string]any{
				"image": canary,
				"env":   map[string]any{"KEY": canary},
			}}, canary + "x": map[string]any{"deep": []any{canary}},
		}
	}
	for _, kind := range []string{
		"hcloud:index/server:Server", "hcloud:index/volume:Volume", "hcloud:index/firewall:Firewall",
		"docker:index/service:Service", "docker:index/container:Container",
		"random:index/randomPassword:RandomPassword", "cloudflare:index/turnstileWidget:TurnstileWidget",
		"cloudflare:index/record:Record", "somebody:else/thing:Thing",
	} {
		for _, op := range []string{"create", "update", "delete", "replace", "import", "read", "nonsense"} {
			r := mustReview(t, plan(op, kind, "a", inputs(2), inputs(1), "size", "taskSpec.containerSpec.env"), subject())
			text, err := json.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			for form, out := range map[string]string{"JSON": string(text), "Markdown": r.Markdown(), "text": r.Text()} {
				if strings.Contains(out, canary) {
					t.Errorf("%s of %s %s:\n%s", form, op, kind, out)
				}
			}
		}
	}
}

func TestALongPlanIsCutAndKeepsItsVerdict(t *testing.T) {
	var steps []string
	for i := range 3000 {
		steps = append(steps,
			fmt.Sprintf(`{"op": "replace", "urn": "urn:pulumi:prod::momentstudio::hcloud:index/volume:Volume::ő-%d-%s"}`, i,
				strings.Repeat("x", 40)))
	}
	r := mustReview(t, []byte(`{"steps": [`+strings.Join(steps, ",")+`]}`), subject())
	text := r.Markdown()
	if n := utf8.RuneCountInString(text); n > review.MaxComment || !utf8.ValidString(text) {
		t.Errorf("the comment has %d characters", n)
	}
	for _, want := range []string{
		review.Marker("prod"), "REFUSED until 3000 changes are approved", "cut here",
		r.Fingerprint,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the comment does not hold %q", want)
		}
	}
}

func approvalsIn(t *testing.T, text string) ([]review.Approval, error) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return review.ReadApprovals(dir, now)
}

func TestAnApprovalLetsOneChangePassUntilItsDay(t *testing.T) {
	const kind = "hcloud:index/server:Server"
	preview := plan("replace", kind, "host-server", map[string]any{}, map[string]any{}, "image")
	urn := "urn:pulumi:prod::momentstudio::" + kind + "::host-server"
	for _, c := range []struct {
		name, urn, expires string
		code               int
	}{
		{"of today", urn, "2026-11-25", review.CodePass},
		{"of next week", urn, "2026-12-01", review.CodePass},
		{"of yesterday", urn, "2026-11-24", review.CodeRefused},
		{"of another resource", urn + "2", "2026-12-01", review.CodeRefused},
		{"of another stack", strings.Replace(urn, "prod", "staging", 1), "2026-12-01", review.CodeRefused},
	} {
		all, err := approvalsIn(t, fmt.Sprintf("- urn: %s\n  op: replace\n  reason: rebuilt on purpose, see the plan\n  "+
			"expires: %s\n", c.urn, c.expires))
		if err != nil {
			t.Fatal(err)
		}
		r := mustReview(t, preview, subject(all...))
		if r.Code() != c.code {
			t.Errorf("%s: code %d, want %d\n%s", c.name, r.Code(), c.code, r.Text())
		}
		if told := strings.Contains(r.Text(), "is over"); told != (c.name == "of yesterday") {
			t.Errorf("%s: %s", c.name, r.Text())
		}
		if (len(r.Unused) == 1) != (c.name == "of another resource") {
			t.Errorf("%s: unused %v", c.name, r.Unused)
		}
	}
	// A policy is no risk: nothing approves it.
	all, err := approvalsIn(t, "- urn: urn:pulumi:prod::momentstudio::docker:index/container:Container::job\n  op: "+
		"create\n  reason: we really want this\n  expires: 2026-12-01\n")
	if err != nil {
		t.Fatal(err)
	}
	r := mustReview(t, plan("create", "docker:index/container:Container", "job", nil,
		map[string]any{"image": "busybox:latest"}), subject(all...))
	if r.Code() != review.CodeViolates || len(r.Violations) != 1 {
		t.Errorf("an image without digest: code %d, %v", r.Code(), r.Violations)
	}
}

func TestBadApprovalsAreAllTold(t *testing.T) {
	_, err := approvalsIn(t, "- urn: host-server\n  reason: because\n  expires: soon\n- urn: urn:pulumi:a::b::c::d\n  "+
		"op: replace\n  reason: three good words\n  expires: 2027-11-25\n")
	for _, want := range []string{
		"entry 1", `op is ""`, `urn is "host-server"`, `reason is "because"`,
		`expires is "soon"`, "entry 2", "within 31 days",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not told: %v", want, err)
		}
	}
	if _, err := approvalsIn(t, "- urn: x\n  because: y\n"); err == nil {
		t.Error("an unknown key is taken")
	}
	if all, err := review.ReadApprovals(filepath.Join(t.TempDir(), "none"), now); err != nil || len(all) != 0 {
		t.Errorf("no directory: %v, %v", all, err)
	}
}

func TestARiskierPlanThanTheReviewedIsRefused(t *testing.T) {
	service := func(op string) []byte {
		return plan(op, "docker:index/service:Service", "app-backend",
			map[string]any{"updateConfig": map[string]any{"order": "start-first"}},
			map[string]any{
				"updateConfig": map[string]any{"order": "start-first"},
				"taskSpec":     map[string]any{"resources": map[string]any{"limits": map[string]any{"memoryBytes": 1.0}}},
			})
	}
	reviewed := mustReview(t, service("update"), subject())
	other := subject()
	other.Commit, other.ConfigHash = "merged", "merged"
	for name, c := range map[string]struct {
		preview []byte
		fails   bool
	}{
		"the same":        {service("update"), false},
		"less":            {plan("update", "hcloud:index/rdns:Rdns", "r", map[string]any{}, map[string]any{}), false},
		"deleted instead": {service("delete"), true},
		"a new one": {plan("update", "docker:index/service:Service", "redis-service", map[string]any{},
			map[string]any{}), true},
	} {
		err := review.Compare(reviewed, mustReview(t, c.preview, other))
		if errors.Is(err, review.ErrRiskier) != c.fails {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A report is read back as it was written.
	text, err := json.Marshal(reviewed)
	if err != nil {
		t.Fatal(err)
	}
	var back review.Report
	if err := json.Unmarshal(text, &back); err != nil || back.Risk != reviewed.Risk || len(back.Changes) != 1 {
		t.Errorf("read back: %+v, %v", back, err)
	}
	same := mustReview(t, service("update"), subject())
	if same.Fingerprint != reviewed.Fingerprint || mustReview(t, service("update"),
		other).Fingerprint == reviewed.Fingerprint {
		t.Error("the fingerprint does not follow program and config")
	}
}

func TestPolicies(t *testing.T) {
	rule := func(port, source string) map[string]any {
		return map[string]any{"rules": []any{map[string]any{
			"direction": "in", "protocol": "tcp", "port": port,
			"sourceIps": []any{source},
		}}}
	}
	service := func(image string, memory float64) map[string]any {
		return map[string]any{"taskSpec": map[string]any{
			"containerSpec": map[string]any{"image": image}, "resources": map[string]any{
				"limits": map[string]any{"memoryBytes": memory},
			},
		}}
	}
	pinned := "r.example/a@sha256:" + strings.Repeat("a", 64)
	for _, c := range []struct {
		name, kind, resource string
		inputs               map[string]any
		want                 string
	}{
		{"SSH for the world", "hcloud:index/firewall:Firewall", "f", rule("22", "0.0.0.0/0"), "port 22/tcp is open to the " +
			"world"},
		{"a range for the world", "hcloud:index/firewall:Firewall", "f", rule("1-65535", "::/0"), "port 1-65535/tcp"},
		{"HTTPS for the world", "hcloud:index/firewall:Firewall", "f", rule("443", "::/0"), ""},
		{"half of the world", "hcloud:index/firewall:Firewall", "f", rule("22", "128.0.0.0/1"), "port 22/tcp"},
		{"SSH for an office", "hcloud:index/firewall:Firewall", "f", rule("22", "192.0.2.0/24"), ""},
		{"a tag", "docker:index/service:Service", "s", service("r.example/a:1", 1), "no digest"},
		{"no limit", "docker:index/service:Service", "s", service(pinned, 0), "no memory limit"},
		{"a good service", "docker:index/service:Service", "s", service(pinned, 1), ""},
		{"a default provider", "pulumi:providers:hcloud", "default_1_32_1", map[string]any{}, "default provider"},
	} {
		r := mustReview(t, plan("create", c.kind, c.resource, nil, c.inputs), subject())
		told := ""
		for _, v := range r.Violations {
			told += v.What
		}
		if (c.want == "") != (told == "") || !strings.Contains(told, c.want) {
			t.Errorf("%s: %q, want %q", c.name, told, c.want)
		}
	}
	protected := subject()
	protected.Protect = true
	if r := mustReview(t, plan("create", "hcloud:index/volume:Volume", "host-data", nil, map[string]any{}),
		protected); r.Code() != review.CodeViolates {
		t.Errorf("an unprotected volume in a stack that protects: code %d", r.Code())
	}
}
