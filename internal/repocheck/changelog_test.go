package repocheck

import (
	"cmp"
	"flag"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/semver"
)

var update = flag.Bool("update", false, "rewrite CHANGELOG.md")

// releaseFolder is one of changelog/: what is not released yet, or a version and its day.
var releaseFolder = regexp.MustCompile(`^(?:unreleased|(v[0-9]+\.[0-9]+\.[0-9]+)_([0-9]{4}-[0-9]{2}-[0-9]{2}))$`)

// changelog renders the files of changelog/, by their names, newest release first. wrong lists what does not fit.
func changelog(texts map[string]string) (page string, wrong []string) {
	releases := map[string][]string{}
	for name := range texts {
		folder := path.Base(path.Dir(name))
		if !releaseFolder.MatchString(folder) {
			wrong = append(wrong, name+": want a folder unreleased, or like v1.2.0_2026-12-01")
			continue
		}
		releases[folder] = append(releases[folder], name)
	}
	folders := make([]string, 0, len(releases))
	for folder := range releases {
		folders = append(folders, folder)
	}
	slices.SortFunc(folders, func(a, b string) int {
		if a == "unreleased" || b == "unreleased" {
			return cmp.Compare(a, b) // as words: "unreleased" comes before every "v…"
		}
		return -semver.Compare(releaseFolder.FindStringSubmatch(a)[1], releaseFolder.FindStringSubmatch(b)[1])
	})
	var b strings.Builder
	b.WriteString("<!-- Written by `make snapshots` from changelog/. -->\n\n# Changelog\n")
	for _, folder := range folders {
		title := "Unreleased"
		if m := releaseFolder.FindStringSubmatch(folder); m[1] != "" {
			title = m[1] + " (" + m[2] + ")"
		}
		b.WriteString("\n## " + title + "\n")
		slices.Sort(releases[folder])
		for _, name := range releases[folder] {
			heading, list, _ := strings.Cut(strings.TrimSpace(texts[name]), "\n")
			list = strings.TrimSpace(list)
			if !strings.HasPrefix(heading, "# ") || !strings.HasPrefix(list, "- ") {
				wrong = append(wrong, name+": want a heading with one #, and a list of changes")
			}
			// The files lie two folders deeper than the page.
			b.WriteString("\n##" + heading + "\n\n" + strings.ReplaceAll(list, "](../../", "](") + "\n")
		}
	}
	return b.String(), wrong
}

func TestTheChangelogHasTheNewestReleaseFirst(t *testing.T) {
	page, wrong := changelog(map[string]string{
		"changelog/v1.9.0_2026-12-01/b.md":  "# Nine\n\n- Old.\n",
		"changelog/v1.10.0_2026-12-24/a.md": "# Ten\n\n- New ([guide](../../docs/g.md)).\n",
		"changelog/unreleased/z.md":         "# Last\n\n- Later.\n",
		"changelog/unreleased/a.md":         "# First\n\n- Soon,\n  on two lines.\n- And this.\n",
	})
	want := "<!-- Written by `make snapshots` from changelog/. -->\n\n# Changelog\n\n## Unreleased\n\n### First\n\n- " +
		"Soon,\n" +
		"  on two lines.\n- And this.\n\n### Last\n\n- Later.\n\n## v1.10.0 (2026-12-24)\n\n### Ten\n\n" +
		"- New ([guide](docs/g.md)).\n\n## v1.9.0 (2026-12-01)\n\n### Nine\n\n- Old.\n"
	if page != want || wrong != nil {
		t.Errorf("got %q and\n%s\nwant\n%s", wrong, page, want)
	}
	if _, wrong := changelog(map[string]string{
		"changelog/next/a.md": "# A\n\n- A.\n", "changelog/unreleased/a.md": "A.\n",
		"changelog/unreleased/b.md": "# B\n\nB.\n",
	}); len(wrong) != 3 {
		t.Errorf("of three wrong files these are told: %q", wrong)
	}
}

func TestTheChangelogIsCurrent(t *testing.T) {
	texts := map[string]string{}
	for _, name := range files(t, "changelog") {
		texts[name] = string(read(t, name))
	}
	page, wrong := changelog(texts)
	for _, w := range wrong {
		t.Error(w)
	}
	if *update {
		//nolint:gosec // a page of documentation
		if err := os.WriteFile(filepath.Join(root, "CHANGELOG.md"), []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if string(read(t, "CHANGELOG.md")) != page {
		t.Error("CHANGELOG.md is stale. Fix: make snapshots")
	}
}
