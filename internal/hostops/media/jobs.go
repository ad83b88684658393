// Package media hands the worker the media jobs that its queue lost. The truth is a table; the worker takes IDs from a
// list in Redis only, and the application puts none there again that is queued or being processed (application.md §5).
package media

import (
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"

	"github.com/prekzursil/momentstudio-infra/internal/hostops/postgres"
	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
)

// leastQuiet is the least age at which a job that is not in the list counts as lost: an upload writes the row before it
// adds the ID to the list.
const leastQuiet = 30 * time.Minute

// mostAttempts is how often a job is begun. After that, the job itself may be what ends the worker.
const mostAttempts = 5

// Jobs are the shop's media jobs.
type Jobs struct {
	db    *pgx.Conn
	redis *redis.Client
	known bool // the table exists: not before the first migration
}

// Open connects to the database by the application's URL, and to the stack's Redis.
func Open(ctx context.Context, url string) (*Jobs, error) {
	address := net.JoinHostPort(hostspec.RedisHost, strconv.Itoa(hostspec.RedisPort))
	db, err := postgres.ConnectURL(ctx, url)
	if err != nil {
		return nil, err
	}
	j := &Jobs{db: db, redis: redis.NewClient(&redis.Options{Addr: address, DialTimeout: 10 * time.Second})}
	if err := j.redis.Ping(ctx).Err(); err != nil {
		j.Close(ctx)
		return nil, fmt.Errorf("reach Redis: %w", err)
	}
	if err := db.QueryRow(ctx, "SELECT to_regclass('media_jobs') IS NOT NULL").Scan(&j.known); err != nil {
		j.Close(ctx)
		return nil, fmt.Errorf("look for media jobs: %w", err)
	}
	return j, nil
}

// Close ends both connections.
func (j *Jobs) Close(ctx context.Context) {
	_ = j.redis.Close()
	_ = j.db.Close(context.WithoutCancel(ctx))
}

// Reset empties Redis, whose queue and limits belong to another state of the database, and queues every job that is not
// done.
func (j *Jobs) Reset(ctx context.Context) error {
	if err := j.redis.FlushDB(ctx).Err(); err != nil {
		return fmt.Errorf("empty Redis: %w", err)
	}
	if !j.known {
		return nil
	}
	if _, err := j.db.Exec(ctx, "UPDATE media_jobs SET status = 'queued' WHERE status = 'processing'"); err != nil {
		return fmt.Errorf("reset the media jobs: %w", err)
	}
	ids, err := j.ids(ctx, "SELECT id::text FROM media_jobs WHERE status = 'queued' ORDER BY created_at")
	if err != nil {
		return err
	}
	return j.push(ctx, ids)
}

// QueueLost queues old jobs that are missing in the list, and jobs whose worker ended before they did. longest is how
// long one job may take; a job counts as old after twice that. It writes the counts to out.
func (j *Jobs) QueueLost(ctx context.Context, longest time.Duration, out io.Writer) error {
	if !j.known {
		return nil
	}
	quiet := max(leastQuiet, 2*longest)
	// Another release may lack the columns attempt and started_at.
	left, err := j.ids(ctx, `UPDATE media_jobs j SET status = 'queued' WHERE status = 'processing'
AND coalesce((to_jsonb(j)->>'started_at')::timestamptz, created_at) < now() - $1::interval
AND coalesce((to_jsonb(j)->>'attempt')::int, 0) < $2 RETURNING id::text`, quiet, mostAttempts)
	if err != nil {
		return err
	}
	waiting, err := j.ids(ctx, "SELECT id::text FROM media_jobs WHERE status = 'queued' AND created_at < now() - "+
		"$1::interval ORDER BY created_at", quiet)
	if err != nil {
		return err
	}
	queued, err := j.redis.LRange(ctx, hostspec.MediaQueue, 0, -1).Result()
	if err != nil {
		return fmt.Errorf("read the queue of media jobs: %w", err)
	}
	lost := missing(waiting, left, queued)
	if err := j.push(ctx, lost); err != nil {
		return err
	}
	fmt.Fprintf(out, "media jobs: %d wait in the queue, %d were lost or interrupted and are queued again\n", len(queued),
		len(lost))
	return nil
}

// missing returns the jobs that belong in the queue and are not in it.
func missing(waiting, left, queued []string) (lost []string) {
	for _, id := range slices.Concat(waiting, left) {
		if !slices.Contains(queued, id) && !slices.Contains(lost, id) {
			lost = append(lost, id)
		}
	}
	return lost
}

func (j *Jobs) ids(ctx context.Context, query string, arguments ...any) ([]string, error) {
	rows, err := j.db.Query(ctx, query, arguments...)
	if err != nil {
		return nil, fmt.Errorf("list the media jobs: %w", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("list the media jobs: %w", err)
	}
	return ids, nil
}

func (j *Jobs) push(ctx context.Context, ids []string) error {
	for _, id := range ids {
		if err := j.redis.RPush(ctx, hostspec.MediaQueue, id).Err(); err != nil {
			return fmt.Errorf("queue media job %s: %w", id, err)
		}
	}
	return nil
}
