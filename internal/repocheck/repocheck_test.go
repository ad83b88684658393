// Package repocheck tests the repository itself: what files must agree on and nothing else compares.
package repocheck

import (
	"bytes"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const (
	root   = "../.."
	module = "github.com/prekzursil/momentstudio-infra"
)

// files lists what is, or is about to be, committed below the given folders.
func files(t *testing.T, under ...string) []string {
	t.Helper()
	// The owner of a checkout differs from who runs the tests in some CI containers.
	args := append([]string{
		"-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard",
		"--",
	}, under...)
	cmd := exec.Command("git", args...) //nolint:gosec // a listing
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("list the repository's files: %v", err)
	}
	var found []string
	for name := range strings.SplitSeq(strings.TrimRight(string(out), "\x00"), "\x00") {
		if info, err := os.Lstat(filepath.Join(root, name)); name != "" && err == nil && info.Mode().IsRegular() {
			found = append(found, name)
		}
	}
	slices.Sort(found)
	found = slices.Compact(found)
	if len(found) == 0 {
		t.Fatalf("no file below %q: the check saw nothing", under)
	}
	return found
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestHostOpsCarriesNoPulumi(t *testing.T) {
	cmd := exec.Command("go", "list", "-deps", "./internal/hostops/...", "./cmd/hostops")
	cmd.Dir = root
	var errOut bytes.Buffer
	cmd.Stderr = &errOut
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v: %s", err, errOut.String())
	}
	packages := strings.Fields(string(out))
	if !slices.Contains(packages, module+"/cmd/hostops") || len(packages) < 100 {
		t.Fatalf("go list named %d packages: the check saw nothing", len(packages))
	}
	for _, p := range packages {
		if strings.HasPrefix(p, "github.com/pulumi/") {
			t.Errorf("hostops depends on %s", p)
		}
	}
}

// keyPaths flattens a YAML value into the paths of its keys.
func keyPaths(prefix string, v any, into map[string]bool) {
	m, ok := v.(map[string]any)
	if !ok {
		into[prefix] = true
		return
	}
	for k, child := range m {
		keyPaths(strings.TrimPrefix(prefix+"."+k, "."), child, into)
	}
}

func stackFile(t *testing.T, name string) map[string]any {
	t.Helper()
	var f struct {
		Config map[string]any `yaml:"config"`
	}
	if err := yaml.Unmarshal(read(t, name), &f); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if len(f.Config) == 0 {
		t.Fatalf("%s has no config", name)
	}
	return f.Config
}

func TestProductionAndStagingDifferInValuesOnly(t *testing.T) {
	prod, staging := map[string]bool{}, map[string]bool{}
	keyPaths("", stackFile(t, "Pulumi.prod.yaml"), prod)
	keyPaths("", stackFile(t, "Pulumi.staging.yaml"), staging)
	for _, k := range slices.Sorted(maps.Keys(prod)) {
		if !staging[k] {
			t.Errorf("Pulumi.staging.yaml lacks %s", k)
		}
	}
	for _, k := range slices.Sorted(maps.Keys(staging)) {
		if !prod[k] {
			t.Errorf("Pulumi.prod.yaml lacks %s", k)
		}
	}
}

func TestCommittedStackFilesHoldNoSecret(t *testing.T) {
	for _, name := range []string{"prod", "staging", "sandbox"} {
		text := string(read(t, "Pulumi."+name+".yaml"))
		for _, forbidden := range []string{"secure:", "encryptionsalt", "encryptedkey", "secretsprovider"} {
			if strings.Contains(text, forbidden) {
				t.Errorf("Pulumi.%s.yaml holds %s", name, forbidden)
			}
		}
	}
}

func TestEveryStackDisablesDefaultProviders(t *testing.T) {
	seen := []string{}
	for _, name := range files(t) {
		if ok, _ := filepath.Match("Pulumi.*.yaml", name); !ok {
			continue
		}
		seen = append(seen, name)
		list, _ := stackFile(t, name)["pulumi:disable-default-providers"].([]any)
		if len(list) != 1 || list[0] != "*" {
			t.Errorf(`%s: pulumi:disable-default-providers is %v, want ["*"]`, name, list)
		}
	}
	for _, want := range []string{"Pulumi.prod.yaml", "Pulumi.staging.yaml", "Pulumi.sandbox.yaml"} {
		if !slices.Contains(seen, want) {
			t.Errorf("%s was not looked at", want)
		}
	}
}

// The patterns are put together, so that this file does not hold what it looks for.
var forbidden = map[string]*regexp.Regexp{
	"a path of somebody's machine": regexp.MustCompile(`(^|[^A-Za-z0-9._-])/(` + `work|` + `root)/[A-Za-z0-9._-]`),
	"host keys that are not checked": regexp.MustCompile(`(?i)StrictHostKey` + `Checking[ =]+"?(no|off|accept-new)\b` +
		`|Insecure` + `IgnoreHostKey`),
}

func TestForbiddenPatternsAreRecognised(t *testing.T) {
	for text, want := range map[string]bool{
		"cd /" + "work/main":                         true,
		"see /" + "root/.ssh":                        true,
		"https://x.example/" + "w/a":                 false,
		"the homework/main folder":                   false,
		"rootfs/" + "root":                           false,
		"-o StrictHostKey" + "Checking=no":           true,
		"StrictHostKey" + "Checking accept-new":      true,
		"StrictHostKey" + "Checking yes":             false,
		"ssh.Insecure" + "IgnoreHostKey()":           true,
		"StrictHostKey" + "Checking notwithstanding": false,
	} {
		got := false
		for _, p := range forbidden {
			got = got || p.MatchString(text)
		}
		if got != want {
			t.Errorf("%q: recognised %v, want %v", text, got, want)
		}
	}
}

func TestNoFileHoldsAMachinePathOrSwitchesHostKeysOff(t *testing.T) {
	seen := 0
	for _, name := range files(t) {
		text := read(t, name)
		if bytes.IndexByte(text, 0) >= 0 {
			continue // not a text
		}
		seen++
		for number, line := range bytes.Split(text, []byte("\n")) {
			for what, pattern := range forbidden {
				if pattern.Match(line) {
					t.Errorf("%s:%d holds %s: %s", name, number+1, what, bytes.TrimSpace(line))
				}
			}
		}
	}
	if seen < 100 {
		t.Errorf("%d texts were looked at", seen)
	}
}

var (
	makeTarget = regexp.MustCompile(`(?m)^([a-z][a-z0-9-]*):`)
	inCode     = regexp.MustCompile("`[^`\n]*`")
	commanded  = regexp.MustCompile(`\bmake (?:-[A-Za-z]+ |[A-Z_]+=\S* )*([a-z][a-z0-9-]*)`)
	fence      = regexp.MustCompile("(?ms)^ *```.*?^ *```")
	makeLine   = regexp.MustCompile(`(?m)^ *(?:\$ |# )?make .*$`)
)

// targets lists the make targets that a text tells people to run: in inline code and, in Markdown,
// at the beginning of lines of code blocks.
func targets(text string) []string {
	var pieces []string
	for _, block := range fence.FindAllString(text, -1) {
		pieces = append(pieces, makeLine.FindAllString(block, -1)...)
	}
	pieces = append(pieces, inCode.FindAllString(fence.ReplaceAllString(text, ""), -1)...)
	var found []string
	for _, p := range pieces {
		for _, m := range commanded.FindAllStringSubmatch(p, -1) {
			found = append(found, m[1])
		}
	}
	return found
}

func TestTargetsAreFoundInTexts(t *testing.T) {
	text := "Run `make sandbox`, or `PURGE=1 make sandbox-down`.\nWe make progress.\n```sh\nmake -s sandbox-env\n$ make " +
		"test # all\necho make no\n```\n"
	if got := targets(text); !slices.Equal(got, []string{"sandbox-env", "test", "sandbox", "sandbox-down"}) {
		t.Errorf("got %q", got)
	}
}

func TestEveryMentionedMakeTargetExists(t *testing.T) {
	exists := map[string]bool{}
	for _, m := range makeTarget.FindAllStringSubmatch(string(read(t, "Makefile")), -1) {
		exists[m[1]] = true
	}
	if !exists["sandbox"] {
		t.Fatalf("the Makefile's targets were not found; got %v", exists)
	}
	mentioned := map[string]int{}
	for _, name := range files(t) {
		document := slices.Contains([]string{"README.md", "CONTRIBUTING.md", ".github/pull_request_template.md"}, name) ||
			strings.HasPrefix(name, "docs/") && strings.HasSuffix(name, ".md")
		source := strings.HasSuffix(name, ".go") && !strings.HasPrefix(name, "internal/repocheck/")
		if !document && !source {
			continue
		}
		for _, target := range targets(string(read(t, name))) {
			mentioned[name]++
			if !exists[target] {
				t.Errorf("%s tells people to run `make %s`, which the Makefile does not have", name, target)
			}
		}
	}
	if mentioned["README.md"] == 0 {
		t.Error("README.md mentions no make target, or is missing: the check saw nothing")
	}
}

// The README's layout is how a newcomer finds a package: each folder stands in it, and nothing that is none.
func TestTheLayoutNamesEveryFolder(t *testing.T) {
	_, layout, _ := strings.Cut(string(read(t, "README.md")), "## Layout")
	layout, _, _ = strings.Cut(layout, "\n## ")
	named := map[string]bool{}
	for _, row := range regexp.MustCompile(`(?m)^\| (.*?) \|`).FindAllStringSubmatch(layout, -1) {
		for _, path := range regexp.MustCompile("`([A-Za-z_./{},<>-]+)/`").FindAllStringSubmatch(row[1], -1) {
			before, list, several := strings.Cut(path[1], "{")
			if !several {
				named[path[1]] = true
				continue
			}
			for name := range strings.SplitSeq(strings.TrimSuffix(list, "}"), ",") {
				named[before+name] = true
			}
		}
	}
	there := map[string]bool{}
	for _, name := range files(t, ".") {
		parts := strings.Split(name, "/")
		switch {
		case len(parts) == 1 || parts[0] == ".ci" || len(parts) == 2 && parts[0] == ".github":
		case parts[0] == "internal" || parts[0] == "cmd" || parts[0] == "images" || parts[0] == ".github":
			there[parts[0]+"/"+parts[1]] = true
		case parts[0] == "components":
			there["components/<noun>"] = true
		default:
			there[parts[0]] = true
		}
	}
	if want, got := slices.Sorted(maps.Keys(there)), slices.Sorted(maps.Keys(named)); !slices.Equal(want, got) {
		t.Errorf("README.md's layout has\n%q, there are\n%q", got, want)
	}
}

// What the program and the stand-in rely on of the application is written down in one place, by section.
func TestSectionsOfTheApplicationsContractAreThere(t *testing.T) {
	there := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)(?:^#+ |\*\*)([0-9]+(?:\.[0-9]+)?)`).FindAllStringSubmatch(string(read(t,
		"docs/explanation/application.md")), -1) {
		there[m[1]] = true
	}
	citation := regexp.MustCompile(`(?:app-contract|\(contract) ((?:§?[0-9.]+[0-9]|§?[0-9])(?:, §?[0-9.]*[0-9])*)`)
	cited := 0
	for _, name := range files(t, ".") {
		if !regexp.MustCompile(`\.(go|py|md)$`).MatchString(name) {
			continue
		}
		for _, m := range citation.FindAllStringSubmatch(string(read(t, name)), -1) {
			for section := range strings.SplitSeq(m[1], ", ") {
				cited++
				if !there[strings.TrimPrefix(section, "§")] {
					t.Errorf("%s cites section %s, which docs/explanation/application.md lacks", name, section)
				}
			}
		}
	}
	if cited < 40 {
		t.Errorf("only %d citations were found", cited)
	}
}
