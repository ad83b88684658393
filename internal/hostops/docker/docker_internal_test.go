package docker

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
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

// The hosts' engine is Debian 12's Docker 20.10, which refuses calls of a newer API.
func TestCallsUseTheNewestVersionThatTheEngineSpeaks(t *testing.T) {
	var refused []string
	engine := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Api-Version", "1.41")
		switch {
		case r.URL.Path == "/_ping":
		case !strings.HasPrefix(r.URL.Path, "/v1.41/"):
			refused = append(refused, r.URL.Path)
			w.WriteHeader(http.StatusBadRequest)
		default:
			fmt.Fprint(w, `{"Os":"linux","Architecture":"amd64","Arch":"amd64"}`)
		}
	}))
	defer engine.Close()
	t.Setenv("DOCKER_HOST", "tcp://"+strings.TrimPrefix(engine.URL, "http://"))
	docker, err := Connect()
	if err != nil {
		t.Fatal(err)
	}
	defer docker.Close()
	if err := Pull(t.Context(), docker, "postgres:16", ""); err != nil || len(refused) > 0 {
		t.Errorf("calls of a newer API: %q, %v", refused, err)
	}
	if docker.ClientVersion() != "1.41" {
		t.Errorf("the client speaks version %s, want 1.41", docker.ClientVersion())
	}
}
