package toolchain

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const engineDir = "../engine"

func TestStampFollowsSourcesOnly(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	stamp := func() string {
		t.Helper()
		s, err := stampOf(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	if _, err := stampOf(t.Context(), dir); err == nil {
		t.Error("a directory without sources was hashed")
	}
	write("go.mod", "module x")
	write("sub/main.go", "package main")
	before := stamp()
	write("README.md", "text")
	write("sub/main_test.go", "package main")
	write("testdata/x.go", "package x")
	if stamp() != before {
		t.Error("texts and tests changed the stamp")
	}
	for name, content := range map[string]string{"go.mod": "module y", "sub/go.sum": "x", "sub/main.go": "package  main"} {
		was := stamp()
		write(name, content)
		if stamp() == was {
			t.Errorf("%s did not change the stamp", name)
		}
	}
}

func TestVersionsAreComparedByNumber(t *testing.T) {
	for version, want := range map[string]bool{
		"3.256.0": true, "3.274.1": true, "3.1000.0": true, "4.0.0": true, "3.256.0-alpha.1": true,
		"3.255.9": false, "3.99.0": false, "2.300.0": false, "": false, "dev": false,
	} {
		if got := atLeast(version, OldestCLI); got != want {
			t.Errorf("%q: got %v, want %v", version, got, want)
		}
	}
}

func TestThePulumiOfTheMachineIsUsedWhenItIsGoodEnough(t *testing.T) {
	bin, home := t.TempDir(), t.TempDir()
	t.Setenv("PATH", bin)
	script := func(name, body string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\n"+body+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	find := func() (Toolchain, error) { return FromMachine(t.Context(), home, io.Discard) }
	if _, err := find(); !errors.Is(err, ErrNoPulumi) {
		t.Errorf("without a CLI: %v", err)
	}
	script("pulumi", "echo v3.250.0")
	if _, err := find(); err == nil || !strings.Contains(err.Error(), `"3.250.0", want `+OldestCLI) {
		t.Errorf("with an older CLI: %v", err)
	}
	script("pulumi", `case "$1" in version) echo v3.274.1 ;; *) echo "no network" >&2; exit 1 ;; esac`)
	if _, err := find(); err == nil || !strings.Contains(err.Error(), "pulumi-language-go") {
		t.Errorf("without a language host: %v", err)
	}
	script("pulumi-language-go", "")
	_, err := find()
	for _, p := range Plugins() {
		if err == nil || !strings.Contains(err.Error(), "plugin "+p.Name+" "+p.Version) ||
			!strings.Contains(err.Error(), "no network") {
			t.Errorf("plugin %s cannot be installed, and the error does not say so: %v", p.Name, err)
		}
	}
	script("pulumi", `case "$1" in
version) echo v3.274.1 ;;
plugin) d="$PULUMI_HOME/plugins/resource-$4-$5"; /bin/mkdir -p "$d" && : > "$d/pulumi-resource-$4" ;;
esac`)
	for range 2 { // the second time, nothing is installed
		found, err := find()
		if err != nil || found.CLI != filepath.Join(bin, "pulumi") || found.PulumiHome != home {
			t.Errorf("a complete machine: %+v, %v", found, err)
		}
		script("pulumi", "[ \"$1\" = version ] && echo v3.274.1")
	}
}

func TestInstallReplacesAnOlderPlugin(t *testing.T) {
	dir := t.TempDir()
	home, binary := filepath.Join(dir, "home"), filepath.Join(dir, "binary")
	p := Plugins()[0]
	for _, content := range []string{"one", "another"} {
		if err := os.WriteFile(binary+".new", []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(binary+".new", binary); err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second time there is nothing to do
			if err := install(p, binary, home); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(filepath.Join(home, "plugins", "resource-random-v4.21.2", "pulumi-resource-random"))
		if err != nil || string(got) != content {
			t.Errorf("installed: %q, %v; want %q", got, err, content)
		}
	}
}

func TestEnvironmentLeadsToTheToolchain(t *testing.T) {
	env := Toolchain{BinDir: "/t/bin", PulumiHome: "/t/home"}.Env([]string{"A=b", "PATH=/usr/bin", "PULUMI_HOME=/old"})
	for _, want := range []string{"A=b", "PATH=/t/bin:/usr/bin", "PULUMI_HOME=/t/home", "PULUMI_SKIP_UPDATE_CHECK=true"} {
		if !slices.Contains(env, want) {
			t.Errorf("%s is not in %v", want, env)
		}
	}
	if slices.Contains(env, "PULUMI_HOME=/old") {
		t.Errorf("the old home is still in %v", env)
	}
}

// TestVersionsAgree compares the versions here with those that the plugins are built with;
// those are compared with the program's go.mod by the tests in sandbox/engine.
func TestVersionsAgree(t *testing.T) {
	content, err := os.ReadFile(filepath.Join(engineDir, "internal", "plugin", "plugin.go"))
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`Release\{Name: "(\w+)", Version: "([\d.]+)"\}`).FindAllStringSubmatch(string(content), -1)
	if len(found) != len(Plugins()) {
		t.Fatalf("the engine has %d plugins, the toolchain %d", len(found), len(Plugins()))
	}
	for _, match := range found {
		if !slices.Contains(Plugins(), Plugin{Name: match[1], Version: match[2]}) {
			t.Errorf("the engine builds %s %s, the toolchain installs %v", match[1], match[2], Plugins())
		}
	}
	for module, dir := range map[string]string{
		"github.com/pulumi/pulumi/pkg/v3": "cli",
		"github.com/pulumi/pulumi/sdk/v3": "cli",
	} {
		if _, err := required(filepath.Join(engineDir, dir, "go.mod"), module); err != nil {
			t.Error(err)
		}
	}
}
