package docker

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCredentialsAreForTheirRegistryOnly(t *testing.T) {
	file := filepath.Join(t.TempDir(), "registry.json")
	text := `{"username":"u","password":"canary","serveraddress":"ghcr.io"}`
	if got, err := authFor("ghcr.io/shop/backend@sha256:"+strings.Repeat("0", 64), file); err != nil || got != "" {
		t.Errorf("without a file: %q, %v", got, err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := authFor("ghcr.io/shop/backend@sha256:"+strings.Repeat("0", 64), file)
	if plain, _ := base64.URLEncoding.DecodeString(got); err != nil || string(plain) != text {
		t.Errorf("for its own registry: %q, %v", plain, err)
	}
	for _, other := range []string{"docker.io/library/postgres", "postgres", "ghcr.io.evil.example/x"} {
		if got, err := authFor(other+"@sha256:"+strings.Repeat("0", 64), file); err != nil || got != "" {
			t.Errorf("%s is shown the credentials (%v)", other, err)
		}
	}
	if err := os.WriteFile(file, []byte("canary"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := authFor("ghcr.io/x", file); err == nil || strings.Contains(err.Error(), "canary") {
		t.Errorf("a broken file: %v", err)
	}
}
