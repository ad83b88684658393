package studio

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prekzursil/momentstudio-infra/internal/engine"
)

func TestSentryIsSetWholeOrNotAtAll(t *testing.T) {
	whole := map[string]string{"SENTRY_AUTH_TOKEN": "canary", "SENTRY_ORG": "o", "SENTRY_PROJECT": "p"}
	for _, c := range []struct {
		name    string
		without []string
		there   bool
		says    string
	}{
		{"whole", nil, true, ""},
		{"none", []string{"SENTRY_AUTH_TOKEN", "SENTRY_ORG", "SENTRY_PROJECT"}, false, ""},
		{"no token", []string{"SENTRY_AUTH_TOKEN"}, false, "SENTRY_AUTH_TOKEN is missing"},
		{"no project and no organization", []string{"SENTRY_ORG", "SENTRY_PROJECT"}, false, "SENTRY_ORG, SENTRY_PROJECT is " +
			"missing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			env := map[string]string{}
			for k, v := range whole {
				env[k] = v
			}
			for _, k := range c.without {
				delete(env, k)
			}
			s, there, err := SentryFromEnv(func(k string) string { return env[k] })
			if there != c.there || (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, %v; want %v, %q", there, err, c.there, c.says)
			}
			if s.URL != "https://sentry.io" {
				t.Errorf("the address is %q", s.URL)
			}
		})
	}
}

func TestDeploysAreMarked(t *testing.T) {
	release := strings.Repeat("a", 40)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "Pulumi.prod.yaml"),
		[]byte("config:\n  momentstudio:kind: production\n  momentstudio:domain: shop.example\n  momentstudio:release:\n   "+
			" name: "+release+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, project string
		status        int
		check         bool
		marks         int
		says          string
	}{
		{"a release that is known", "p", 200, false, 1, ""},
		{"only checked", "p", 200, true, 0, ""},
		{"a release that is not known", "p", 404, false, 0, "has no release " + release},
		{"of another project", "q", 200, false, 0, "has no release"},
		{"a token that may not", "p", 403, false, 0, "project:releases"},
	} {
		t.Run(c.name, func(t *testing.T) {
			marks := 0
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Authorization") != "Bearer canary" {
					t.Error("no token")
				}
				switch r.Method + " " + r.URL.Path {
				case "GET /api/0/organizations/o/releases/" + release + "/":
					w.WriteHeader(c.status)
					_, _ = w.Write([]byte(`{"projects":[{"slug":"p"}]}`))
				case "POST /api/0/organizations/o/releases/" + release + "/deploys/":
					var deploy map[string]any
					if json.NewDecoder(r.Body).Decode(&deploy) != nil || deploy["environment"] != "production" ||
						deploy["url"] != "https://shop.example" {
						t.Errorf("marked as %v", deploy)
					}
					marks++
					w.WriteHeader(http.StatusCreated)
				default:
					t.Errorf("asked for %s %s", r.Method, r.URL.Path)
				}
			}))
			defer server.Close()
			var out bytes.Buffer
			err := MarkDeploy(t.Context(), engine.Stack{Root: dir, Name: "prod", Out: &out},
				Sentry{server.URL, "o", c.project, "canary"}, c.check)
			if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want %q", err, c.says)
			}
			if marks != c.marks || strings.Contains(out.String(), "canary") {
				t.Errorf("%d marks, want %d; it says %q", marks, c.marks, out.String())
			}
		})
	}
}
