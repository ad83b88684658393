package main

import (
	"io"
	"os"
	"path/filepath"
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
		Steps []struct {
			Name string         `yaml:"name"`
			Uses string         `yaml:"uses"`
			Run  string         `yaml:"run"`
			With map[string]any `yaml:"with"`
		} `yaml:"steps"`
	} `yaml:"jobs"`
}

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
			for _, s := range j.Steps {
				for _, words := range commands(t, s.Run) {
					where := w.file + ", job " + job + ": " + strings.Join(words, " ")
					switch {
					case words[0] == "make":
						at := slices.IndexFunc(words[1:], func(w string) bool { return !strings.HasPrefix(w, "-") })
						if at < 0 || !slices.Contains(targets, words[1+at]) {
							t.Errorf("%s: the Makefile has no such target", where)
						}
					case words[0] == "bin/studio":
						studios++
						checkStudio(t, where, words[1:])
					case strings.HasPrefix(words[0], "scripts/"):
						if info, err := os.Stat("../../" + words[0]); err != nil || info.Mode()&0o100 == 0 {
							t.Errorf("%s: no such program", where)
						}
					}
				}
			}
		}
	}
	if studios < 10 {
		t.Errorf("%d calls of studio were found: the test reads the workflows wrongly", studios)
	}
}

// checkStudio parses a command line as studio would, and the one that it is to run as well.
func checkStudio(t *testing.T, where string, args []string) {
	t.Helper()
	if at := slices.Index(args, "--"); at >= 0 {
		inner := args[at+1:]
		if len(inner) == 0 || inner[0] != "bin/studio" {
			t.Errorf("%s: runs something else than studio", where)
			return
		}
		checkStudio(t, where, inner[1:])
	}
	cmd, rest, err := command().Find(args)
	if err != nil || cmd.Name() == "studio" {
		t.Errorf("%s: no such command (%v)", where, err)
		return
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
}

var pinnedAction = regexp.MustCompile(`^[\w.-]+/[\w./-]+@[0-9a-f]{40}$`)

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
				if s.Uses != "" && !pinnedAction.MatchString(s.Uses) {
					t.Errorf("%s: %s is not pinned by a commit", where, s.Uses)
				}
				if strings.HasPrefix(s.Uses, "actions/checkout@") && s.With["persist-credentials"] != false && !writes {
					t.Errorf("%s: the checkout leaves a token behind, and the job pushes nothing", where)
				}
				if strings.Contains(s.Run, "${{") {
					t.Errorf("%s: an expression in a script may become code: %s", where, s.Run)
				}
				updates = updates || strings.Contains(s.Run, "studio up")
			}
			if updates && (j.Concurrency == nil || j.Concurrency.Cancel) {
				t.Errorf("%s: a running update may be cancelled or met by another", where)
			}
		}
	}
}
