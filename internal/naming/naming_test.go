package naming_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/prekzursil/momentstudio-infra/internal/naming"
)

// label is what DNS and Swarm accept.
var label = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// The expected names are written out, their hashes from sha256sum: a changed one would replace what
// bears it.
func TestPhysicalNames(t *testing.T) {
	for _, c := range []struct{ name, stack, part, want string }{
		{"project, stack and part", "prod", "data", "momentstudio-prod-data"},
		{"capitals are lowered, because clouds compare without them", "Prod", "Data", "momentstudio-prod-data"},
		{
			"the longest name that stays whole", "prod", strings.Repeat("a", 45),
			"momentstudio-prod-" + strings.Repeat("a", 45),
		},
		{
			"one letter more is cut and hashed", "prod", strings.Repeat("a", 46),
			"momentstudio-prod-" + strings.Repeat("a", 36) + "-85625899",
		},
		{
			"a cut at a dash leaves no double dash", "prod", strings.Repeat("a", 35) + "-" + strings.Repeat("b", 20),
			"momentstudio-prod-" + strings.Repeat("a", 35) + "-4b96e282",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := naming.Physical(c.stack, c.part)
			if got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
			if !label.MatchString(got) {
				t.Errorf("%s is no label of at most %d characters", got, naming.MaxLength)
			}
		})
	}
}

func TestCutNamesStayApart(t *testing.T) {
	long := strings.Repeat("x", 80)
	a, b := naming.Physical("prod", long+"1"), naming.Physical("prod", long+"2")
	if a == b {
		t.Errorf("two parts share the name %s", a)
	}
	if len(a) > naming.MaxLength || len(naming.Swarm(long)) > naming.MaxLength {
		t.Errorf("%s or %s is longer than %d", a, naming.Swarm(long), naming.MaxLength)
	}
}

func TestSwarmNamesHaveNoStack(t *testing.T) {
	if got := naming.Swarm("backend"); got != "momentstudio-backend" {
		t.Errorf("got %s", got)
	}
}

func TestContentHash(t *testing.T) {
	// The first digits of `printf content | sha256sum`.
	if got := naming.ContentHash("content"); got != "ed7002b439e9" {
		t.Errorf("got %s, want the first 12 digits of the SHA-256", got)
	}
	if naming.ContentHash("content") == naming.ContentHash("content ") {
		t.Error("another content has the same name")
	}
}

func TestLabels(t *testing.T) {
	got := naming.Labels("prod", "host")
	for k, want := range map[string]string{"managed-by": "pulumi-momentstudio", "stack": "prod", "component": "host"} {
		if got[k] != want {
			t.Errorf("label %s is %q, want %q", k, got[k], want)
		}
	}
	if len(got) != 3 {
		t.Errorf("got %d labels, want 3", len(got))
	}
}
