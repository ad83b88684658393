package workload_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/prekzursil/momentstudio-infra/internal/workload"
)

// numbered is a log of n lines.
func numbered(n int) string {
	var b strings.Builder
	for i := 1; i <= n; i++ {
		fmt.Fprintf(&b, "line %d.\n", i)
	}
	return b.String()
}

func TestJobResult(t *testing.T) {
	for _, c := range []struct {
		name  string
		code  int
		logs  string
		shows []string // parts of the error; none means success
		hides []string
	}{
		{"a job that ended well is done", 0, numbered(3), nil, nil},
		{"a log full of errors does not make it fail", 0, "ERROR: harmless", nil, nil},
		{
			"a failed job shows name, code, log and the way on", 3, numbered(2),
			[]string{
				"job app-migrate exited with code 3", "\n    line 1.\n    line 2.\n", "Fix:", "`studio up`",
				"--replace",
			},
			nil,
		},
		{
			"the whole log when it has twenty lines", 1, numbered(20),
			[]string{"    line 1.\n", "    line 20.\n"},
			[]string{"line 21."},
		},
		{
			"the last twenty of a longer one", 1, numbered(21),
			[]string{"    line 2.\n", "    line 21.\n"},
			[]string{"    line 1.\n"},
		},
		{"a log without an end of line", 1, "only", []string{"    only\n"}, nil},
		{
			"what hostops says comes first", 1, "pulling\nhostops: pull x: not found\nof the registry",
			[]string{"exited with code 1: pull x: not found\n", "    of the registry\n"},
			nil,
		},
		{"or else the last line", 1, numbered(2), []string{"exited with code 1: line 2.\n"}, nil},
		{
			"Caddy's own words are taken out of its log", 1, "{\"level\":\"info\",\"msg\":\"using " +
				"config\"}\n{\"level\":\"error\",\"ts\":1.2,\"msg\":\"loading tls app module\"}",
			[]string{"exited with code 1: loading tls app module\n"},
			nil,
		},
		{"no log is said to be none", 1, " \n\n", []string{"(no log)"}, nil},
		{"one whose end nobody saw", 0, " \n", []string{
			"nobody saw how job app-migrate ended", "Fix:", "`studio up`",
			"--replace",
		}, nil},
		{"a killed job", 137, "", []string{"exited with code 137", "(no log)"}, nil},
		{"a code that Docker could not tell", -1, "", []string{"exited with code -1"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := workload.JobResult("app-migrate", c.code, c.logs)
			if len(c.shows) == 0 {
				if err != nil || got != "done" {
					t.Errorf("got %q, %v; want done", got, err)
				}
				return
			}
			if err == nil || got != "" {
				t.Fatalf("got %q and no error", got)
			}
			for _, want := range c.shows {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%v\nwant %q in it", err, want)
				}
			}
			for _, not := range c.hides {
				if strings.Contains(err.Error(), not) {
					t.Errorf("%v\nwant no %q in it", err, not)
				}
			}
		})
	}
}
