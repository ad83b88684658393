package main

import (
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/syntax"
)

// workflow is the part of a GitHub workflow that these tests judge.
type workflow struct {
	file        string
	Permissions map[string]string `yaml:"permissions"`
	Jobs        map[string]struct {
		Permissions map[string]string `yaml:"permissions"`
		Timeout     int               `yaml:"timeout-minutes"`
		Concurrency *struct {
			Cancel bool `yaml:"cancel-in-progress"`
		} `yaml:"concurrency"`
		Steps []step `yaml:"steps"`
	} `yaml:"jobs"`
}

// step is one of a workflow's job or of an action.
type step struct {
	Name string         `yaml:"name"`
	Uses string         `yaml:"uses"`
	Run  string         `yaml:"run"`
	With map[string]any `yaml:"with"`
}

// setup is the action that installs Go and, unless told otherwise, the Pulumi CLI.
const setup = "./.github/actions/setup"

func workflows(t *testing.T) []workflow {
	t.Helper()
	files, err := filepath.Glob("../../.github/workflows/*.yml")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d workflows, %v", len(files), err)
	}
	var all []workflow
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		w := workflow{file: filepath.Base(f)}
		if err := yaml.Unmarshal(text, &w); err != nil {
			t.Fatalf("%s: %v", f, err)
		}
		all = append(all, w)
	}
	return all
}

// commands are the simple commands of a script, each as its words; a variable holds "true", which is a flag's value
// as well as a name.
func commands(t *testing.T, script string) [][]string {
	t.Helper()
	file, err := syntax.NewParser().Parse(strings.NewReader(script), "")
	if err != nil {
		t.Fatalf("%v in\n%s", err, script)
	}
	var out [][]string
	env := &expand.Config{
		Env:      expand.FuncEnviron(func(string) string { return "true" }),
		CmdSubst: func(io.Writer, *syntax.CmdSubst) error { return nil },
	}
	syntax.Walk(file, func(node syntax.Node) bool {
		call, ok := node.(*syntax.CallExpr)
		if !ok || len(call.Args) == 0 {
			return true
		}
		var words []string
		for _, arg := range call.Args {
			word, err := expand.Literal(env, arg)
			if err != nil {
				t.Fatalf("%v in\n%s", err, script)
			}
			words = append(words, word)
		}
		out = append(out, words)
		return true
	})
	return out
}

var target = regexp.MustCompile(`(?m)^([a-z-]+):`)

func TestWorkflowsCallWhatExists(t *testing.T) {
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	var targets []string
	for _, m := range target.FindAllStringSubmatch(string(makefile), -1) {
		targets = append(targets, m[1])
	}
	studios := 0
	for _, w := range workflows(t) {
		for job, j := range w.Jobs {
			needs, has := false, false
			for _, s := range j.Steps {
				has = has || s.Uses == setup && s.With["pulumi"] != false
				for _, words := range commands(t, s.Run) {
					where := w.file + ", job " + job + ": " + strings.Join(words, " ")
					if words[0] == "exec" {
						words = words[1:]
					}
					switch {
					case words[0] == "make":
						at := slices.IndexFunc(words[1:], func(w string) bool { return !strings.HasPrefix(w, "-") })
						if at < 0 || !slices.Contains(targets, words[1+at]) {
							t.Errorf("%s: the Makefile has no such target", where)
						}
					case words[0] == "bin/studio":
						studios++
						needs = checkStudio(t, where, words[1:]) || needs
					case strings.HasPrefix(words[0], "scripts/"):
						if info, err := os.Stat("../../" + words[0]); err != nil || info.Mode()&0o100 == 0 {
							t.Errorf("%s: no such program", where)
						}
					}
				}
			}
			if needs != has {
				t.Errorf("%s, job %s: it runs pulumi: %v, and installs it: %v", w.file, job, needs, has)
			}
		}
	}
	if studios < 10 {
		t.Errorf("%d calls of studio were found: the test reads the workflows wrongly", studios)
	}
}

// checkStudio parses a command line as studio would, and the one that it is to run as well. It returns whether one of
// them runs the Pulumi CLI.
func checkStudio(t *testing.T, where string, args []string) (pulumi bool) {
	t.Helper()
	if at := slices.Index(args, "--"); at >= 0 {
		inner := args[at+1:]
		if len(inner) == 0 || inner[0] != "bin/studio" {
			t.Errorf("%s: runs something else than studio", where)
			return false
		}
		pulumi = checkStudio(t, where, inner[1:])
	}
	cmd, rest, err := command().Find(args)
	if err != nil || cmd.Name() == "studio" {
		t.Errorf("%s: no such command (%v)", where, err)
		return pulumi
	}
	if err := cmd.ParseFlags(rest); err != nil {
		t.Errorf("%s: %v", where, err)
	}
	if err := cmd.ValidateArgs(cmd.Flags().Args()); err != nil {
		t.Errorf("%s: %v", where, err)
	}
	if err := cmd.ValidateRequiredFlags(); err != nil {
		t.Errorf("%s: %v", where, err)
	}
	return pulumi || runsPulumi(cmd)
}

var pinnedAction = regexp.MustCompile(`^[\w.-]+/[\w./-]+@[0-9a-f]{40}$`)

// checkStep checks what holds for the steps of workflows and actions alike.
func checkStep(t *testing.T, where string, s step) {
	t.Helper()
	if s.Uses != "" && s.Uses != setup && !pinnedAction.MatchString(s.Uses) {
		t.Errorf("%s: %s is not pinned by a commit", where, s.Uses)
	}
	if strings.Contains(s.Run, "${{") {
		t.Errorf("%s: an expression in a script may become code: %s", where, s.Run)
	}
}

// Go and Pulumi are set up in one place, where their versions are read.
func TestOneActionSetsUpEveryJob(t *testing.T) {
	text, err := os.ReadFile("../../" + setup + "/action.yml")
	if err != nil {
		t.Fatal(err)
	}
	var action struct {
		Runs struct {
			Steps []step `yaml:"steps"`
		} `yaml:"runs"`
	}
	if err := yaml.Unmarshal(text, &action); err != nil {
		t.Fatal(err)
	}
	read := map[string]any{}
	for _, s := range action.Runs.Steps {
		checkStep(t, setup, s)
		name, _, _ := strings.Cut(s.Uses, "@")
		read[name] = []any{s.With["go-version-file"], s.With["pulumi-version-file"]}
	}
	want := map[string]any{"actions/setup-go": []any{"go.mod", nil}, "pulumi/actions": []any{nil, ".pulumi.version"}}
	if !reflect.DeepEqual(read, want) {
		t.Errorf("%s: got %v, want %v", setup, read, want)
	}
	for _, w := range workflows(t) {
		for job, j := range w.Jobs {
			checkedOut, ready := false, false
			for _, s := range j.Steps {
				name, _, _ := strings.Cut(s.Uses, "@")
				checkedOut = checkedOut || name == "actions/checkout"
				if read[name] != nil {
					t.Errorf("%s, job %s: %s is what %s is for", w.file, job, name, setup)
				}
				if s.Uses == setup && !checkedOut {
					t.Errorf("%s, job %s: %s comes with the checkout, which is later", w.file, job, setup)
				}
				ready = ready || s.Uses == setup
			}
			if !ready {
				t.Errorf("%s, job %s: no %s", w.file, job, setup)
			}
		}
	}
}

func TestWorkflowsHoldLittle(t *testing.T) {
	for _, w := range workflows(t) {
		if w.Permissions == nil {
			t.Errorf("%s: without permissions of its own it gets the repository's default", w.file)
		}
		for job, j := range w.Jobs {
			where := w.file + ", job " + job
			if j.Timeout == 0 {
				t.Errorf("%s: no timeout", where)
			}
			writes := w.Permissions["contents"] == "write" || j.Permissions["contents"] == "write"
			updates := false
			for _, s := range j.Steps {
				checkStep(t, where, s)
				if strings.HasPrefix(s.Uses, "actions/checkout@") && s.With["persist-credentials"] != false && !writes {
					t.Errorf("%s: the checkout leaves a token behind, and the job pushes nothing", where)
				}
				updates = updates || strings.Contains(s.Run, "studio up")
			}
			if updates && (j.Concurrency == nil || j.Concurrency.Cancel) {
				t.Errorf("%s: a running update may be cancelled or met by another", where)
			}
		}
	}
}
