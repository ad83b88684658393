package main

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/prekzursil/momentstudio-infra/internal/commandline"
)

func TestTheVersionNamesModuleOrCommit(t *testing.T) {
	const commit = "308e0c1d0f3c5b0a4c9d3a7a2a3f8c0e1b2d4f60"
	modified := debug.BuildSetting{Key: "vcs.modified", Value: "true"}
	revision := debug.BuildSetting{Key: "vcs.revision", Value: commit}
	for name, c := range map[string]struct {
		module   string
		settings []debug.BuildSetting
		want     string
	}{
		"a release":                  {"v1.2.3", []debug.BuildSetting{revision}, "v1.2.3"},
		"a release and changes":      {"v1.2.3+dirty", []debug.BuildSetting{revision, modified}, "v1.2.3-dirty"},
		"a commit":                   {"(devel)", []debug.BuildSetting{revision}, commit},
		"a commit and changes":       {"", []debug.BuildSetting{revision, modified}, commit + "-dirty"},
		"a build that knows neither": {"(devel)", nil, "unknown (built without version control)"},
	} {
		info := &debug.BuildInfo{Main: debug.Module{Version: c.module}, Settings: c.settings}
		if got := versionOf(info); got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

// inClone makes the working directory a clone's root, and puts a pulumi on PATH that prints this version. The function
// returns its calls so far.
func inClone(t *testing.T, version string) (calls func() string) {
	t.Helper()
	dir := t.TempDir()
	log := filepath.Join(dir, "calls")
	script := "#!/bin/sh\necho \"$*\" >> " + log + "\necho " + version + "\n"
	for name, text := range map[string]string{"pulumi": script, "Pulumi.yaml": "name: momentstudio\nruntime: go\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o700); err != nil { //nolint:gosec // a program
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	t.Setenv("PATH", dir)
	for _, name := range []string{"SENTRY_AUTH_TOKEN", "SENTRY_ORG", "SENTRY_PROJECT", "HCLOUD_TOKEN", "GITHUB_TOKEN"} {
		t.Setenv(name, "")
	}
	return func() string {
		text, _ := os.ReadFile(log)
		return strings.TrimSpace(string(text))
	}
}

// execute runs studio and returns what it printed.
func execute(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	root := command()
	root.SetArgs(args)
	root.SetOut(&out)
	root.SetErr(&out)
	err := commandline.Execute(t.Context(), root)
	return out.String(), err
}

// commandLines has one valid command line for every command of studio.
func commandLines(t *testing.T) map[string][]string {
	t.Helper()
	lines := map[string][]string{}
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		if cmd.Runnable() {
			args := append(strings.Fields(cmd.CommandPath())[1:], "--stack", "x")
			cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
				if f.Name != "stack" && len(f.Annotations[cobra.BashCompOneRequiredFlag]) > 0 {
					args = append(args, "--"+f.Name, "missing")
				}
			})
			switch cmd.Name() {
			case "ssh-allow":
				args = append(args, "--", "true")
			case "exec":
				args = append(args, "caddy", "--", "true")
			}
			lines[cmd.CommandPath()] = args
		}
		for _, c := range cmd.Commands() {
			walk(c)
		}
	}
	walk(command())
	if len(lines) < 16 {
		t.Fatalf("%d commands were found", len(lines))
	}
	return lines
}

func TestEveryCommandThatRunsPulumiRefusesAnOldOne(t *testing.T) {
	without := map[string]bool{
		"studio comment": true, "studio pin": true, "studio sentry": true, "studio ssh-allow": true,
	}
	for name, args := range commandLines(t) {
		t.Run(name, func(t *testing.T) {
			calls := inClone(t, "v3.255.0")
			_, err := execute(t, args...)
			refused := err != nil && strings.Contains(err.Error(), "is v3.255.0; studio needs ")
			switch {
			case without[name] && (refused || calls() != ""):
				t.Errorf("it asks for pulumi, which it does not run: %v, calls %q", err, calls())
			case !without[name] && (!refused || !commandline.Wrong(err) || calls() != "version"):
				t.Errorf("got %v and calls %q, want exit code 2 and nothing but the version asked for", err, calls())
			}
		})
	}
}

func TestAReviewOfAGivenPreviewNeedsNoPulumi(t *testing.T) {
	calls := inClone(t, "v3.255.0")
	_, err := execute(t, "review", "--stack", "x", "--preview", "missing.json")
	if err == nil || !strings.Contains(err.Error(), "read the preview") || calls() != "" {
		t.Errorf("got %v and calls %q, want that it reads the file", err, calls())
	}
}

func TestAPulumiThatIsNewEnoughIsCheckedOnce(t *testing.T) {
	calls := inClone(t, "v3.274.1")
	_, err := execute(t, "placeholders", "--stack", "x", "--to", "copy.yaml")
	if err == nil || commandline.Wrong(err) || calls() != "version" {
		t.Errorf("got %v and calls %q, want that it goes on and misses the stack's file", err, calls())
	}
}

func TestHelpVersionAndCompletionNeedNothing(t *testing.T) {
	for line, want := range map[string]string{
		"--version": "studio " + version(), "help": "Available Commands:", "help up": "Update the stack",
		"up --help": "Update the stack", "completion bash": "bash completion", "__complete ssh-c": "ssh-config",
	} {
		t.Chdir(t.TempDir()) // not a clone
		t.Setenv("PATH", t.TempDir())
		out, err := execute(t, strings.Fields(line)...)
		if err != nil || !strings.Contains(out, want) {
			t.Errorf("studio %s: %v, %.200q; want %q", line, err, out, want)
		}
	}
}
