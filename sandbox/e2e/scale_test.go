package e2e

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// What a shop of full size has.
const (
	scaleRows  = 200_000
	scaleFiles = 5_000
	scaleBytes = 209_715 // of one file: together a little over 1 GB
)

// words are what messages are made of.
const words = "hello good morning i ordered a picture for my wife and it has not come yet can you please tell me " +
	"when will be sent " +
	"thank you very much the frame was broken on one side would like to change address of delivery before friday kind " +
	"regards"

// scale backs up, verifies and drills a shop of full size, beside what the old scripts' way costs for the same data.
func scale(t *testing.T, w *env) {
	const psql = "docker exec -i $(docker ps -q --filter name=momentstudio-postgres. | head -1) psql -U postgres -v " +
		"ON_ERROR_STOP=1 -q -d adrianaart"
	timed := func(command string) time.Duration {
		t.Helper()
		began := time.Now()
		w.host(command)
		return time.Since(began)
	}
	// files makes pictures that nothing can compress, and their rows.
	files := func(n int) {
		w.host(fmt.Sprintf(`cd /mnt/momentstudio/uploads/originals && rm -f /tmp/new && for i in $(seq %d); do
d=$(cat /proc/sys/kernel/random/uuid) && mkdir $d && head -c %d /dev/urandom > $d/p.jpg && echo $d/p.jpg >> /tmp/new
done
xargs sha256sum < /tmp/new | awk '{split($2,p,"/"); print p[1] "\timage\tapproved\tpublic\toriginals/" $2 \
  "\tp.jpg\timage/jpeg\t" $1 "\t%[2]d"}' |
%[3]s -c "COPY media_assets (id, asset_type, status, visibility, storage_key, original_filename, mime_type,
  checksum_sha256, size_bytes) FROM STDIN"`, n, scaleBytes, psql))
	}
	// rows are messages of words, as people write them: random letters would compress like pictures.
	rows := func(n int) {
		w.host(fmt.Sprintf(`%s -c "INSERT INTO support_messages (id, topic, name, email, message)
SELECT gen_random_uuid(), 'contact', md5(random()::text), md5(random()::text) || '@example.com',
  (SELECT string_agg((string_to_array('%s', ' '))[1 + floor(random() * 47)::int], ' ')
   FROM generate_series(1, 60) WHERE n > 0)
FROM generate_series(1, %d) n"`, psql, words, n))
	}
	w.giveOwner()
	rows(scaleRows)
	files(scaleFiles)

	old := timed(`cd /mnt/momentstudio && docker exec $(docker ps -q --filter name=momentstudio-postgres. | head -1) \
pg_dump -U postgres adrianaart | gzip > /tmp/old.sql.gz && tar -czf /tmp/old.tar.gz uploads private_uploads`)
	oldMB := w.megabytes("/tmp/old.sql.gz /tmp/old.tar.gz")
	w.host("rm /tmp/old.*")

	table := "\n| | time | stored at each destination | peak memory |\n|---|---:|---:|---:|\n"
	table += fmt.Sprintf("| `pg_dump \\| gzip` and `tar -z`, each time | %.0f s | %d MB | |\n", old.Seconds(), oldMB)
	first, firstTook, firstPeak := w.measuredBackup()
	table += fmt.Sprintf("| first backup, to %d destinations, read back | %.0f s | %d MB | %d MB |\n", len(first),
		firstTook.Seconds(), first["s3"]>>20, firstPeak>>20)

	// One in a hundred changes.
	rows(scaleRows / 200)
	w.host(psql + fmt.Sprintf(` -c "UPDATE support_messages SET topic = 'changed'
WHERE id IN (SELECT id FROM support_messages LIMIT %d)"`, scaleRows/200))
	files(scaleFiles / 100)
	second, secondTook, secondPeak := w.measuredBackup()
	table += fmt.Sprintf("| second, after a change of 1 %% | %.0f s | %d MB | %d MB |\n", secondTook.Seconds(),
		second["s3"]>>20, secondPeak>>20)
	for name, added := range second {
		if added*20 > first[name] {
			t.Errorf("destination %s: the second backup stores %d bytes, the first %d: more than 5 %%", name, added, first[name])
		}
	}
	check := timed("/etc/momentstudio/hostops backup-check")
	table += fmt.Sprintf("| a sample of all destinations read back | %.0f s | | |\n", check.Seconds())
	whole := timed("/etc/momentstudio/hostops backup-check --whole")
	table += fmt.Sprintf("| all read back, the dump restored | %.0f s | | |\n", whole.Seconds())
	t.Log(table)

	before := w.remains()
	reports := t.ArtifactDir()
	cmd, out := w.drillCommand("--stack", "drill-scale", "--of", "", "--config-file", w.drillFile(), "--report", reports,
		"--ssh-allow", "60m", "--address", w.s.Gateway().String())
	if err := cmd.Run(); err != nil {
		t.Fatalf("studio drill: %v\n%s", err, tail(out.String(), 80))
	}
	t.Logf("the report, in %s:\n%s", filepath.Base(reports), tail(out.String(), 60))
	nothingOfDrills(t, w, before)
}

func (w *env) megabytes(files string) int {
	w.t.Helper()
	n, err := strconv.Atoi(w.host("du -cm " + files + " | tail -1 | cut -f1"))
	if err != nil {
		w.t.Fatal(err)
	}
	return n
}

// measuredBackup backs up and returns what was new at each destination, in bytes, the time, and the most memory that
// hostops and restic had, without the page cache.
func (w *env) measuredBackup() (added map[string]int64, took time.Duration, peak int64) {
	w.t.Helper()
	w.host(`rm -f /tmp/peak /tmp/measured; (for n in $(seq 6000); do
  id=$(docker inspect --format '{{.Id}}' momentstudio-backup 2>/dev/null) &&
    f=$(find /sys/fs/cgroup -path "*$id*" -name memory.stat 2>/dev/null | head -1) && [ -n "$f" ] &&
    awk '$1=="anon" || $1=="rss" {print $2}' "$f" >> /tmp/peak 2>/dev/null
  [ -e /tmp/measured ] && exit; sleep 0.2; done) >/dev/null 2>&1 &`)
	began := time.Now()
	w.mustBackUp()
	took = time.Since(began)
	w.host("touch /tmp/measured")
	var state struct {
		Last struct {
			Destinations map[string]struct {
				Added int64 `json:"added"`
			} `json:"destinations"`
		} `json:"last"`
	}
	if err := json.Unmarshal([]byte(w.host("cat /mnt/momentstudio/backups/status.json")),
		&state); err != nil || len(state.Last.Destinations) < 3 {
		w.t.Fatalf("the state of the backups: %v", err)
	}
	added = map[string]int64{}
	for name, d := range state.Last.Destinations {
		added[name] = d.Added
	}
	for line := range strings.Lines(w.host("cat /tmp/peak 2>/dev/null || true")) {
		if n, err := strconv.ParseInt(strings.TrimSpace(line), 10, 64); err == nil {
			peak = max(peak, n)
		}
	}
	return added, took, peak
}
