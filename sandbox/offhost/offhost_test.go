package offhost_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prekzursil/momentstudio-infra/sandbox/offhost"
)

func ask(t *testing.T, h http.Handler, method, path, body string, headers map[string]string) (int, string) {
	t.Helper()
	server := httptest.NewServer(h)
	defer server.Close()
	request, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range headers {
		request.Header.Set(k, v)
	}
	if user := request.Header.Get("X-User"); user != "" {
		name, password, _ := strings.Cut(user, ":")
		request.SetBasicAuth(name, password)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

func TestTheRestServerOnlyTakesAdditions(t *testing.T) {
	h, err := offhost.Rest(t.TempDir(), "shop", "password")
	if err != nil {
		t.Fatal(err)
	}
	good := map[string]string{"X-User": "shop:password"}
	for _, c := range []struct {
		name, method, path string
		headers            map[string]string
		want               int
	}{
		{"nobody", http.MethodPost, "/shop/x/?create=true", nil, http.StatusUnauthorized},
		{
			"a wrong password", http.MethodPost, "/shop/x/?create=true",
			map[string]string{"X-User": "shop:other"},
			http.StatusUnauthorized,
		},
		{"another's folder", http.MethodPost, "/other/x/?create=true", good, http.StatusUnauthorized},
		{"a repository of its own", http.MethodPost, "/shop/x/?create=true", good, http.StatusOK},
		{"a configuration", http.MethodPost, "/shop/x/config", good, http.StatusOK},
		{"the same again", http.MethodPost, "/shop/x/config", good, http.StatusForbidden},
		{"its removal", http.MethodDelete, "/shop/x/config", good, http.StatusForbidden},
	} {
		if got, text := ask(t, h, c.method, c.path, "text", c.headers); got != c.want {
			t.Errorf("%s: %d, want %d: %s", c.name, got, c.want, text)
		}
	}
}
