package release

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"regexp"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/moby/moby/client"
)

// A migration that waits for a table's lock keeps everybody out who comes after it, readers too: Postgres serves the
// queue in order. So a wait has a limit, after which the migration is undone and tried again.
const (
	lockTries    = 5
	lockPause    = 10 * time.Second // between two tries, in which the shop's requests catch up
	lockInterval = 250 * time.Millisecond
)

// Blocker is a session that holds a lock which a migration needs.
type Blocker struct {
	PID       int
	User      string
	Address   string // of its client; empty for one inside the database's container
	State     string // as pg_stat_activity says it; empty when the migration's login may not see it
	Since     time.Duration
	Statement string // its last statement, up to its first value
}

func (b Blocker) String() string {
	text := fmt.Sprintf("session %d of user %s", b.PID, b.User)
	if b.Address != "" {
		text += " from " + b.Address
	}
	if b.State == "" {
		return text + ", whose state its user alone may see"
	}
	text += fmt.Sprintf(", %s for %s", b.State, b.Since.Round(time.Second))
	if b.Statement != "" {
		text += ", last statement: " + b.Statement
	}
	return text
}

// lockWatch ends a migration's waits for locks at a limit.
type lockWatch struct {
	conn    *pgx.Conn
	address netip.Addr // of the migration's container; invalid while that is unknown
	limit   time.Duration
}

// waits are the sessions of this login that wait for a lock, with those that hold it. A migration's are known by their
// address, and behind a NAT by the lock's mode, which only changes of a schema take. CREATE INDEX CONCURRENTLY waits
// for older transactions (virtualxid) with nobody behind it, and would leave half an index.
const waits = `
SELECT waiting.pid, blocker.pid, coalesce(blocker.usename, ''), coalesce(host(blocker.client_addr), ''),
       coalesce(blocker.state, ''), coalesce(now() - coalesce(blocker.xact_start, blocker.state_change), interval '0'),
       coalesce(blocker.query, '')
FROM pg_stat_activity waiting
JOIN pg_locks l ON l.pid = waiting.pid AND NOT l.granted
JOIN pg_stat_activity blocker ON blocker.pid = ANY (pg_blocking_pids(waiting.pid))
WHERE waiting.usename = session_user AND waiting.datname = current_database() AND waiting.wait_event_type = 'Lock'
  AND l.locktype NOT IN ('advisory', 'virtualxid')
  AND (host(waiting.client_addr) = $1 OR l.locktype = 'relation' AND l.mode IN
       ('ShareUpdateExclusiveLock', 'ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock'))
  AND l.waitstart < now() - $2::interval
ORDER BY blocker.xact_start NULLS LAST`

// cancel cancels the statements that wait longer than the limit and returns who held them up.
func (w lockWatch) cancel(ctx context.Context) (blockers []Blocker, err error) {
	address := ""
	if w.address.IsValid() {
		address = w.address.String()
	}
	rows, err := w.conn.Query(ctx, waits, address, w.limit)
	if err != nil {
		return nil, fmt.Errorf("look at the database's locks: %w", err)
	}
	waiting := map[int]bool{}
	for rows.Next() {
		var pid int
		var b Blocker
		if err := rows.Scan(&pid, &b.PID, &b.User, &b.Address, &b.State, &b.Since, &b.Statement); err != nil {
			rows.Close()
			return nil, fmt.Errorf("look at the database's locks: %w", err)
		}
		b.Statement = withoutValues(b.Statement)
		waiting[pid] = true
		blockers = append(blockers, b)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("look at the database's locks: %w", err)
	}
	for pid := range waiting {
		if _, err := w.conn.Exec(ctx, "SELECT pg_cancel_backend($1)", pid); err != nil {
			return nil, fmt.Errorf("cancel a migration that waits for a lock: %w", err)
		}
	}
	return blockers, nil
}

// run watches until ctx ends, and returns who held the migration up; nobody when it never waited too long.
func (w lockWatch) run(ctx context.Context, engine *client.Client, out io.Writer) (blockers []Blocker) {
	for {
		select {
		case <-ctx.Done():
			return blockers
		case <-time.After(lockInterval):
		}
		if !w.address.IsValid() {
			w.address = containerAddress(ctx, engine, MigrationContainer)
		}
		found, err := w.cancel(ctx)
		if err != nil && ctx.Err() == nil {
			// The migration goes on without a limit, as it would without us.
			fmt.Fprintln(out, "the migration's waits for locks have no limit:", err)
			return blockers
		}
		if len(found) > 0 {
			blockers = found
		}
	}
}

// containerAddress is a container's address in its only network; invalid before it runs.
func containerAddress(ctx context.Context, engine *client.Client, name string) netip.Addr {
	found, err := engine.ContainerInspect(ctx, name, client.ContainerInspectOptions{})
	if err != nil || found.Container.NetworkSettings == nil {
		return netip.Addr{}
	}
	for _, n := range found.Container.NetworkSettings.Networks {
		if n.IPAddress.IsValid() {
			return n.IPAddress
		}
	}
	return netip.Addr{}
}

// quote is the begin of a text or of a comment.
var quote = regexp.MustCompile(`'|\$[A-Za-z_]*\$|--|/\*`)

// number is a number on its own, not the end of a name.
var number = regexp.MustCompile(`\b\d[\w.]*\b`)

// withoutValues shortens a statement to what holds nobody's data: up to its first quote or comment, without numbers.
func withoutValues(statement string) string {
	text := strings.Join(strings.Fields(statement), " ")
	if at := quote.FindStringIndex(text); at != nil {
		text = text[:at[0]] + "…"
	}
	text = number.ReplaceAllString(text, "…")
	if r := []rune(text); len(r) > 120 {
		text = string(r[:120]) + "…"
	}
	return text
}
