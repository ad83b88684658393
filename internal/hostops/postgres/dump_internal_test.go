package postgres

import (
	"testing"
)

func TestTheTablesOfADump(t *testing.T) {
	for _, c := range []struct {
		log  string
		want int
		ok   bool
	}{
		{"tables=15\n", 15, true},
		{"WARNING:  database has a collation version mismatch\ntables=3\n", 3, true},
		{"tables=0\n", 0, true},
		{"pg_dump: warning\n", 0, false},
		{"tables=many\n", 0, false},
	} {
		if got, err := tablesOf(c.log); got != c.want || (err == nil) != c.ok {
			t.Errorf("%q: %d, %v", c.log, got, err)
		}
	}
}
