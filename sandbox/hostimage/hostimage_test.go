package hostimage

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSourcesAreTakenFromTheMachineAndOnlyForTheSuite(t *testing.T) {
	cases := map[string]struct {
		files map[string]string
		want  string
	}{
		"stanzas of the suite, without comments and third parties": {
			files: map[string]string{
				"sources.list.d/debian.sources": "Types: deb\n# comment\nURIs: http://mirror.example/debian\nSuites: bookworm " +
					"bookworm-updates\nComponents: main\n\nTypes: deb\nURIs: http://mirror.example/other\nSuites: " +
					"trixie\nComponents: main\n",
				"sources.list.d/vendor.sources": "Types: deb\nURIs: https://vendor.example/node\nSuites: nodistro\nComponents: " +
					"main\n",
				"sources.list.d/vendor.list": "deb https://vendor.example/sdk sdk-bookworm main\n",
			},
			want: "Types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm bookworm-updates\nComponents: main\n",
		},
		"one-line entries with options": {
			files: map[string]string{"sources.list": "# deb http://old.example x main\ndeb [signed-by=/k.gpg] " +
				"http://mirror.example/debian bookworm main contrib\ndeb http://mirror.example/debian bookworm-backports main\n"},
			want: "deb [signed-by=/k.gpg] http://mirror.example/debian bookworm main contrib\n",
		},
		"a machine of another release": {
			files: map[string]string{"sources.list": "deb http://mirror.example/debian trixie main\n"},
			want:  "",
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for file, body := range c.files {
				path := filepath.Join(dir, file)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(body), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			got, err := aptSources(dir, Suite)
			if err != nil {
				t.Fatal(err)
			}
			if got != c.want {
				t.Errorf("got:\n%s\nwant:\n%s", got, c.want)
			}
		})
	}
}

func TestRecipeHoldsEveryProgramOfTheBoot(t *testing.T) {
	dir := t.TempDir()
	if err := extract(dir); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		"init", "disks", "firewall", "certificates", "metadata", "metadata-network", "volume-of",
		"setup",
	} {
		info, err := os.Stat(filepath.Join(dir, "usr/lib/sandbox", name))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if info.Mode()&0o111 == 0 {
			t.Errorf("%s is not executable", name)
		}
	}
	first, err := recipe()
	if err != nil || len(first) != 12 || strings.Trim(first, "0123456789abcdef") != "" {
		t.Errorf("recipe hash %q, %v; want 12 hex digits", first, err)
	}
}
