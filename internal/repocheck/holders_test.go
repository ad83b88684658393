package repocheck

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// secretsUsed finds the names of secrets in a workflow's text.
var secretsUsed = regexp.MustCompile(`\bsecrets\.([A-Z_]+)`)

// holders are the jobs that get secrets: per environment ("-" without one), which jobs and which secrets.
func holders(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob("../../.github/workflows/*.yml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no workflows: %v", err)
	}
	jobs, secrets := map[string][]string{}, map[string][]string{}
	for _, file := range files {
		workflow := strings.TrimSuffix(filepath.Base(file), ".yml")
		var parsed struct {
			Jobs map[string]yaml.Node `yaml:"jobs"`
		}
		if err := yaml.Unmarshal(read(t, ".github/workflows/"+workflow+".yml"), &parsed); err != nil {
			t.Fatal(err)
		}
		for name, node := range parsed.Jobs {
			text, err := yaml.Marshal(&node)
			if err != nil {
				t.Fatal(err)
			}
			var job struct {
				Environment string `yaml:"environment"`
				Strategy    struct {
					Matrix struct {
						Stack []string `yaml:"stack"`
					} `yaml:"matrix"`
				} `yaml:"strategy"`
			}
			if err := node.Decode(&job); err != nil {
				t.Fatalf("%s, job %s: %v", workflow, name, err)
			}
			var found []string
			for _, m := range secretsUsed.FindAllStringSubmatch(string(text), -1) {
				found = append(found, "`"+m[1]+"`")
			}
			if len(found) == 0 {
				continue
			}
			for _, environment := range environments(job.Environment, job.Strategy.Matrix.Stack) {
				jobs[environment] = append(jobs[environment], workflow+"/"+name)
				secrets[environment] = append(secrets[environment], found...)
			}
		}
	}
	rows := map[string]string{}
	for environment := range jobs {
		rows[environment] = list(jobs[environment]) + " | " + list(secrets[environment])
	}
	return rows
}

func environments(name string, stacks []string) []string {
	if name == "" {
		return []string{"-"}
	}
	if !strings.Contains(name, "${{ matrix.stack }}") {
		return []string{name}
	}
	var all []string
	for _, stack := range stacks {
		all = append(all, strings.ReplaceAll(name, "${{ matrix.stack }}", stack))
	}
	return all
}

func list(words []string) string {
	slices.Sort(words)
	return strings.Join(slices.Compact(words), ", ")
}

// The table says which jobs hold which secrets, and what a thief of them could do. A job that gets one more has to say
// so there.
func TestTheDocumentsNameEveryHolderOfASecret(t *testing.T) {
	const heading = "## Who holds what"
	_, section, found := strings.Cut(string(read(t, "docs/explanation/security.md")), heading)
	if !found {
		t.Fatalf("docs/explanation/security.md has no section %q", heading)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	documented := map[string]string{}
	for line := range strings.Lines(section) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | ")
		if len(cells) != 5 || !strings.Contains(cells[1], "/") {
			continue
		}
		documented[strings.Trim(strings.TrimSpace(cells[0]), "`")] = strings.TrimSpace(cells[1]) + " | " +
			strings.TrimSpace(cells[2])
	}
	want := holders(t)
	for environment, row := range want {
		if documented[environment] != row {
			t.Errorf("docs/explanation/security.md, %s, environment %s:\n%s\nbut the workflows say\n%s", heading, environment,
				documented[environment], row)
		}
	}
	for environment := range documented {
		if want[environment] == "" {
			t.Errorf("no workflow gives a secret of environment %s to a job: %s", environment,
				fmt.Sprint(documented[environment]))
		}
	}
}
