package release

import (
	"strings"
	"testing"
	"time"
)

func TestAStatementIsShownWithoutItsValues(t *testing.T) {
	for statement, want := range map[string]string{
		"UPDATE products SET stock = 3 WHERE id = 17":                "UPDATE products SET stock = … WHERE id = …",
		"UPDATE users\n  SET email = 'ana@example.com' WHERE id = 1": "UPDATE users SET email = …",
		"INSERT INTO t VALUES (E'a\\'b', 'secret')":                  "INSERT INTO t VALUES (E…",
		"SELECT $1::INTEGER, address2 FROM orders":                   "SELECT $…::INTEGER, address2 FROM orders",
		"DO $$ BEGIN PERFORM 'x'; END $$":                            "DO …",
		"SELECT 1 -- token abc":                                      "SELECT … …",
		"SELECT $tag$customer$tag$":                                  "SELECT …",
		"/* from=ana */ SELECT 2":                                    "…",
		"SELECT 0x1F, 1.5e3 FROM \"Order 7\"":                        "SELECT …, … FROM \"Order …\"",
		"LOCK TABLE " + strings.Repeat("a", 200) + " IN SHARE MODE":  "LOCK TABLE " + strings.Repeat("a", 109) + "…",
	} {
		if got := withoutValues(statement); got != want {
			t.Errorf("%q becomes %q, want %q", statement, got, want)
		}
	}
}

func TestWhoHoldsALockIsNamed(t *testing.T) {
	b := Blocker{
		PID: 7, User: "momentstudio_a", Address: "10.0.1.9", State: "idle in transaction", Since: 90 * time.Second,
		Statement: "UPDATE products SET stock = …",
	}
	want := "session 7 of user momentstudio_a from 10.0.1.9, idle in transaction for 1m30s, last statement: " +
		"UPDATE products SET stock = …"
	if got := b.String(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	got := (Blocker{PID: 8, User: "postgres"}).String()
	if got != "session 8 of user postgres, whose state its user alone may see" {
		t.Errorf("a session of another user is shown as %q", got)
	}
}
