package engine

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestPlainValuesEnterAStackFileAndLeaveTheRest(t *testing.T) {
	path := filepath.Join(t.TempDir(), "Pulumi.prod.yaml")
	const before = `# Production.
config:
  momentstudio:kind: production # the shape
  momentstudio:app:
    smtp:
      enabled: false
  momentstudio:sentryDsn:
    secure: v1:abc
`
	const after = `# Production.
config:
  momentstudio:kind: production # the shape
  momentstudio:app:
    smtp:
      enabled: true
      host: mx.example
    siteName: "2024"
    admin:
      ipAllowlist:
        - 203.0.113.7
    accounts:
      deletionBatch: 201
  momentstudio:sentryDsn:
    secure: v1:abc
  momentstudio:domain: shop.example
`
	if err := os.WriteFile(path, []byte(before), 0o600); err != nil {
		t.Fatal(err)
	}
	values := map[string]any{
		"app.smtp.enabled": true, "app.smtp.host": "mx.example", "app.siteName": "2024", "domain": "shop.example",
		"app.admin.ipAllowlist": []string{"203.0.113.7"}, "app.accounts.deletionBatch": 201,
	}
	for range 2 { // a second import changes nothing
		if err := SetPlain(path, values); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		want, have := strings.Split(after, "\n"), strings.Split(string(got), "\n")
		for _, line := range want { // the order within a new group is that of the keys
			if !slices.Contains(have, line) {
				t.Errorf("the line %q is missing in\n%s", line, got)
			}
		}
		if len(want) != len(have) {
			t.Errorf("got %d lines, want %d:\n%s", len(have), len(want), got)
		}
	}
}

func TestAGroupThatIsATextIsNamed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "Pulumi.prod.yaml")
	if err := os.WriteFile(path, []byte("config:\n  momentstudio:app: text\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	err := SetPlain(path, map[string]any{"app.smtp.host": "mx"})
	if err == nil || !strings.Contains(err.Error(), "momentstudio:app: a text where an object belongs") {
		t.Errorf("got %v", err)
	}
}
