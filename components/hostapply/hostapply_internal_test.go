package hostapply

import (
	"slices"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
	"github.com/prekzursil/momentstudio-infra/internal/render"
	"github.com/prekzursil/momentstudio-infra/internal/workload"
)

func args(parts ...workload.HostPart) Args {
	return Args{OpsImage: "ops@sha256:1", Ready: pulumi.String("ready"), Parts: parts, Reload: []string{"ssh.service"}}
}

func secret(path string) workload.HostPart {
	return workload.HostPart{Secrets: map[string]workload.HostSecret{path: {Content: pulumi.String("x")}}}
}

func file(path string) workload.HostPart {
	return workload.HostPart{Files: []hostspec.File{{Path: path, Mode: 0o644}}}
}

func TestThePartsBecomeOneSpecification(t *testing.T) {
	first := secret("/etc/b")
	first.Files = []hostspec.File{{Path: "/etc/first"}}
	first.Timers = []render.Timer{{Name: "first", Calendar: "*-*-* 01:00:00", Image: "ops@sha256:1"}}
	first.Facts = pulumi.StringArray{pulumi.String("A=1")}
	second := secret("/etc/a")
	second.Secrets["/etc/a"] = workload.HostSecret{Content: pulumi.String("y"), UID: 999, KeepOld: true}
	second.Files = []hostspec.File{{Path: "/etc/second"}}
	spec, uploads, facts, err := args(first, second).specification("host-apply")
	if err != nil {
		t.Fatal(err)
	}
	if want := []hostspec.SecretFile{
		{Path: "/etc/a", Upload: "/in/secret-0", UID: 999, KeepOld: true}, {Path: "/etc/b", Upload: "/in/secret-1"},
	}; !slices.Equal(spec.Secrets, want) {
		t.Errorf("the secrets are %+v, want %+v", spec.Secrets, want)
	}
	for _, u := range uploads {
		if !pulumi.IsSecret(u.Content.(pulumi.StringOutput)) {
			t.Errorf("the upload %s is not secret", u.Path)
		}
	}
	var files []string
	for _, f := range spec.Files {
		files = append(files, f.Path)
	}
	if want := []string{
		"/etc/first", "/etc/second", "/etc/systemd/system/momentstudio-first.service",
		"/etc/systemd/system/momentstudio-first.timer",
	}; !slices.Equal(files, want) {
		t.Errorf("the files are %q, want %q", files, want)
	}
	if !slices.Equal(spec.Timers, []string{"momentstudio-first.timer"}) || len(facts) != 1 || len(uploads) != 2 {
		t.Errorf("timers %v, facts %v, %d uploads", spec.Timers, facts, len(uploads))
	}
}

func TestAPathBelongsToOnePart(t *testing.T) {
	for name, parts := range map[string][]workload.HostPart{
		"two secrets":         {secret("/etc/x"), secret("/etc/x")},
		"two files":           {file("/etc/x"), file("/etc/x")},
		"a file and a secret": {file("/etc/x"), secret("/etc/x")},
	} {
		if _, _, _, err := args(parts...).specification("host-apply"); err == nil ||
			!strings.Contains(err.Error(), `"/etc/x", want a path that no other part has`) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, _, err := (Args{}).specification("host-apply"); err == nil || !strings.Contains(err.Error(), "opsImage") ||
		!strings.Contains(err.Error(), "ready") {
		t.Errorf("without anything: %v", err)
	}
}
