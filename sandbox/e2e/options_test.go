package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// options are what the environment chooses. readOptions is the only place that reads these variables.
type options struct {
	groups        []string // E2E_GROUP: names separated by commas, in the order in which they run
	full          bool     // E2E_FULL: all faults and the full load
	reuse         bool     // E2E_REUSE: use a stack that is up, and keep it at the end
	sandbox       int      // E2E_SANDBOX: 0 to 4; runs with different ones share nothing, their drills included
	stacks        int      // E2E_STACKS: 2 deals the groups onto two stacks side by side, in sandboxes of their own
	record        string   // MOMENTSTUDIO_RECORD: record plans below this directory instead of running groups
	interruptions int      // E2E_INTERRUPTIONS: how many updates are killed
	seed          uint64   // E2E_SEED: repeats the random choices of a run that logged this seed
}

var (
	chosen options
	full   bool
	record string
)

// groupOrder is the order in which the groups share one stack: what destroys it comes last.
var groupOrder = []string{"site", "releases", "review", "data", "recovery", "lifecycle"}

func readOptions(get func(string) string) (options, error) {
	o := options{
		full: get("E2E_FULL") != "", reuse: get("E2E_REUSE") != "", record: get("MOMENTSTUDIO_RECORD"),
		groups: slices.Clone(groupOrder),
	}
	var problems []error
	number := func(name string, least, most int) int {
		n, err := strconv.Atoi(get(name))
		if get(name) != "" && (err != nil || n < least || n > most) {
			problems = append(problems, fmt.Errorf("%s: got %q, want a number from %d to %d", name, get(name), least, most))
		}
		return n
	}
	if text := get("E2E_GROUP"); text != "" {
		o.groups = strings.Split(text, ",")
		for _, name := range o.groups {
			if !slices.Contains(groupOrder, name) {
				problems = append(problems, fmt.Errorf("E2E_GROUP: there is no group %q, only %s", name,
					strings.Join(groupOrder, ", ")))
			}
		}
	}
	o.sandbox = number("E2E_SANDBOX", 0, 4)
	o.stacks = max(number("E2E_STACKS", 1, 2), 1)
	o.interruptions = number("E2E_INTERRUPTIONS", 1, 10_000)
	if text := get("E2E_SEED"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil || n == 0 {
			problems = append(problems, fmt.Errorf("E2E_SEED: got %q, want a number above 0", text))
		}
		o.seed = n
	}
	return o, errors.Join(problems...)
}

// TestMain makes the tests independent of the caller's shell, which may be that of `make sandbox-env`.
func TestMain(m *testing.M) {
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); foreign(name) {
			_ = os.Unsetenv(name)
		}
	}
	var err error
	if chosen, err = readOptions(os.Getenv); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	full, record = chosen.full, chosen.record
	os.Exit(m.Run())
}

// foreign says whether a variable selects another account, state or sandbox than the tests' own. The Makefile clears
// the same ones.
func foreign(name string) bool {
	for _, prefix := range []string{"PULUMI_", "AWS_", "SANDBOX_"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return slices.Contains([]string{"SSL_CERT_FILE", "SSL_CERT_DIR", "HCLOUD_TOKEN", "CLOUDFLARE_API_TOKEN"}, name)
}

func TestOptionsAreReadAndChecked(t *testing.T) {
	for _, c := range []struct {
		name   string
		set    map[string]string
		groups []string
		fails  string
	}{
		{"nothing is set", nil, groupOrder, ""},
		{"two groups, in another order", map[string]string{"E2E_GROUP": "data,site"}, []string{"data", "site"}, ""},
		{
			"an unknown group",
			map[string]string{"E2E_GROUP": "sight"},
			nil,
			`there is no group "sight", only site, releases, review, data, recovery, lifecycle`,
		},
		{"three stacks", map[string]string{"E2E_STACKS": "3"}, nil, "E2E_STACKS"},
		{"a sandbox that is no digit", map[string]string{"E2E_SANDBOX": "12"}, nil, "E2E_SANDBOX"},
		{"a seed that is no number", map[string]string{"E2E_SEED": "x"}, nil, "E2E_SEED"},
		{"a number of interruptions below 1", map[string]string{"E2E_INTERRUPTIONS": "0"}, nil, "E2E_INTERRUPTIONS"},
	} {
		o, err := readOptions(func(name string) string { return c.set[name] })
		switch {
		case c.fails == "" && (err != nil || !slices.Equal(o.groups, c.groups)):
			t.Errorf("%s: %q, %v", c.name, o.groups, err)
		case c.fails != "" && (err == nil || !strings.Contains(err.Error(), c.fails)):
			t.Errorf("%s: got %v, want %q", c.name, err, c.fails)
		}
	}
}

// The Makefile clears for its recipes what TestMain clears for the tests.
func TestTheMakefileClearsTheSameVariables(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"SSL_CERT_FILE", "SSL_CERT_DIR", "HCLOUD_TOKEN", "CLOUDFLARE_API_TOKEN", "PULUMI_%", "AWS_%", "SANDBOX_%",
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the Makefile does not clear %s", want)
		}
	}
}
