package csp_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/prekzursil/momentstudio-infra/internal/csp"
)

const page = `<!doctype html><html><head>
<script>document.title="a < b";</script>
<script type="application/ld+json">{"@type":"Store"}</script>
<script src="assets/app-config.js"></script>
<link rel="stylesheet" href="styles.css" media="print" onload="this.media=&#39;all&#39;">
</head><body><script src="main.js" type="module"></script><script>document.title="a < b";</script></body></html>`

// The hashes are those that openssl computes: printf %s TEXT | openssl dgst -sha256 -binary | base64.
const (
	ofScript  = "'sha256-xmQxA0ti2/U5cimH17lLFUxNNLfrvNmrBQx5e/2WHgI='"
	ofHandler = "'sha256-MhtPZXr7+LpJUY5qtMutB+qWfQtMaPccfe7QXtCcEYc='" // this.media='all', as in production's policy
)

func TestTheHashesOfAPage(t *testing.T) {
	if got, want := csp.Hashes([]byte(page)), []string{ofScript, ofHandler}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	unix, windows := csp.Hashes([]byte("<script>\nx\n</script>")), csp.Hashes([]byte("<script>\r\nx\r\n</script>"))
	if !slices.Equal(unix, windows) {
		t.Error("line ends count, which browsers read as one kind")
	}
	for _, none := range []string{"", "no page", "<script>", "<script></script>", "<!-- <script>x</script> -->"} {
		if got := csp.Hashes([]byte(none)); got != nil {
			t.Errorf("%q has the hashes %q", none, got)
		}
	}
}

func TestWhatABrowserRefuses(t *testing.T) {
	const others = "'self' https://challenges.cloudflare.com"
	for _, c := range []struct {
		name, page, policy string
		refused            []string
	}{
		{"all is allowed", page, "script-src " + others + " 'unsafe-hashes' " + ofScript + " " + ofHandler, nil},
		{
			"the hash of the inline script is missing", page, "script-src 'self' 'unsafe-hashes' " + ofHandler,
			[]string{ofScript, ofScript},
		},
		{"a handler needs unsafe-hashes", page, "script-src 'self' " + ofScript + " " + ofHandler, []string{"onload"}},
		{
			"default-src counts without script-src", page, "default-src 'none'; img-src 'self'",
			[]string{ofScript, "assets/app-config.js", "onload", "main.js", ofScript},
		},
		{"script-src counts first", `<script src="a.js"></script>`, "default-src 'none'; script-src 'self'", nil},
		{"a policy without scripts", page, "frame-ancestors 'none'", nil},
		{"no policy", page, "", nil},
		{
			"another origin", `<script src="https://cdn.example/a.js"></script>`, "script-src " + others,
			[]string{"https://cdn.example/a.js"},
		},
		{
			"a listed origin", `<script src="https://challenges.cloudflare.com/turnstile/v0/api.js"></script>`,
			"script-src " + others, nil,
		},
		{"a whole scheme", `<script src="https://cdn.example/a.js"></script>`, "script-src https:", nil},
		{
			"a script over http", `<script src="http://shop.example/a.js"></script>`, "script-src 'self'",
			[]string{"http://shop.example/a.js"},
		},
	} {
		got := csp.Blocked([]byte(c.page), "https://shop.example", c.policy)
		if len(got) != len(c.refused) {
			t.Errorf("%s: got %q, want %q", c.name, got, c.refused)
			continue
		}
		for i, want := range c.refused {
			if !strings.Contains(got[i], want) {
				t.Errorf("%s: got %q, want %q in it", c.name, got[i], want)
			}
		}
	}
}
