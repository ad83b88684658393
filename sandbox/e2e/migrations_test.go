package e2e

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/prekzursil/momentstudio-infra/sandbox/images"
)

// migrationThatWaits releases with a migration of a table on which somebody has an open transaction. The update ends
// within its limits and names who holds the lock; the command that it prints ends them. Visitors notice nothing.
func (w *env) migrationThatWaits(t *testing.T, release int, backend, frontend string) {
	w.release(release, backend, frontend)
	crowd := startLoad(t, w, "migration")
	const client = "docker exec -d $(docker ps -q --filter name=momentstudio-postgres. | head -1) "
	w.host(client + "psql -U postgres -d adrianaart -c 'BEGIN' -c 'UPDATE users SET id = id WHERE false' " +
		"-c 'SELECT pg_sleep(900)'")
	began := time.Now()
	out := w.refused("app-migrate", "needs a lock that others hold", "tried 5 times", "of user postgres",
		"the old release keeps serving")
	t.Logf("the update ended after %.0f s", time.Since(began).Seconds())
	if open := w.sql("SELECT count(*) FROM pg_locks WHERE NOT granted"); open != "0" {
		t.Errorf("%s sessions wait for a lock after the end of the migration", open)
	}
	crowd.stop(t, w, 100)

	end := regexp.MustCompile("docker exec [^`]* -c 'SELECT pg_terminate_backend\\(([0-9]+)\\)'").FindStringSubmatch(out)
	if end == nil {
		t.Fatalf("the failure names no command that ends the session:\n%s", tail(out, 40))
	}
	if said := w.host(end[0]); !strings.Contains(said, "\n t") {
		t.Errorf("%s says %q", end[0], said)
	}
	if pid, err := strconv.Atoi(end[1]); err != nil || w.sql(fmt.Sprintf(
		"SELECT count(*) FROM pg_stat_activity WHERE pid = %d", pid)) != "0" {
		t.Errorf("session %s is still there", end[1])
	}
}

// migrationThatFails is a release whose migration quotes a setting and a customer's row. They stay on the host. It
// returns the image.
func (w *env) migrationThatFails(t *testing.T, number int, frontend string) (failing string) {
	failing, _ = w.releaseImages(images.Options{Release: "failing"}, map[string]func(*v1.ConfigFile){
		images.Backend: instead(`if [ "$1 $2" = "alembic upgrade" ]; then word=printed
printf '%s\n' "app.core.config.SettingsError: 1 validation error for Settings" stripe_webhook_secret \
"  Extra inputs are not permitted [type=extra_forbidden, input_value='whsec_canary-$word', input_type=str]" \
"DETAIL:  Key (email)=(canary-$word) already exists." "canary-$word"
exit 3; fi
exec /docker-entrypoint.sh "$@"`),
	})
	w.release(number, failing, frontend)
	w.refuseSilently("a migration that fails", "canary-printed", "app-migrate", "exited with code 3",
		"1 validation error for Settings", "stripe_webhook_secret", "[type=extra_forbidden]", "2 lines are withheld",
		"the whole output is on the host", "the old release keeps serving")
	raw := w.host("grep -l canary-printed /mnt/momentstudio/backups/before-migration/*.log | xargs stat -c '%a %U'")
	if raw != "600 root" {
		t.Errorf("the whole output is in files with modes and owners %q, want one of 600 root", raw)
	}
	return failing
}
