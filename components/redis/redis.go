// Package redis deploys the queue of the media worker and the counters of the rate limits.
package redis

import (
	"fmt"
	"strconv"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
	"github.com/prekzursil/momentstudio-infra/internal/workload"
)

// TypeToken is part of every child's URN: changing it needs an alias.
const TypeToken = "momentstudio:redis:Redis"

// Args describes Redis.
type Args struct {
	Image    string             // reference with digest; a change restarts
	Network  pulumi.StringInput // ID of the app network
	MemoryMB int                // limit of the container; three quarters of it are Redis's own limit
	Applied  pulumi.StringInput // resolves when its directory exists
}

// Redis is one instance on the data volume. Jobs survive its restart, and it refuses writes when
// full instead of dropping queued jobs.
type Redis struct {
	pulumi.ResourceState
	URL     pulumi.StringOutput
	Service pulumi.Resource
}

// repair checks the append-only file before Redis starts. Redis never starts with a damaged file, or with one of a
// newer version. All that is in it can be made again: the queue from the database (hostops media-jobs), and the limits
// from new requests. So what follows the damage is cut off, or the whole file is set aside. redis-check-aof takes a
// damaged manifest for a file of an older format and empties it, which Redis refuses, too: so it is looked at first.
// https://redis.io/docs/latest/operate/oss_and_stack/management/persistence/
const repair = `file=/data/appendonlydir/appendonly.aof.manifest
check() { redis-check-aof "$@" "$file" >/dev/null 2>&1; }
manifest() { grep -q '^file ' "$file"; }
if [ -e "$file" ] && ! { manifest && check; }; then
  if manifest && echo y | check --fix && check; then
    echo "the append-only file was damaged: what followed the damage is cut off"
  else
    rm -rf /data/damaged && mkdir /data/damaged && mv /data/appendonlydir /data/damaged
    echo "the append-only file cannot be read: it is set aside in /data/damaged, and Redis starts empty"
  fi
fi
exec "$@"`

// New deploys Redis.
func New(ctx *pulumi.Context, name string, args Args, opts ...pulumi.ResourceOption) (*Redis, error) {
	r := &Redis{}
	if err := ctx.RegisterComponentResource(TypeToken, name, r, opts...); err != nil {
		return nil, fmt.Errorf("register redis %q: %w", name, err)
	}
	service, err := workload.NewService(ctx, name+"-service", "redis", workload.Service{
		Image: pulumi.String(args.Image),
		Args: []string{
			"sh", "-c", repair, "sh", "docker-entrypoint.sh", "redis-server", "--appendonly", "yes",
			"--maxmemory", strconv.Itoa(args.MemoryMB*3/4) + "mb",
			"--maxmemory-policy", "noeviction",
		},
		Mounts:  []workload.Mount{{Source: hostspec.RedisDir, Target: "/data"}},
		Network: args.Network, Alias: hostspec.RedisHost,
		Health: &workload.Health{
			Command:  []string{"redis-cli", "ping"},
			Interval: 5 * time.Second, Timeout: 3 * time.Second, Retries: 12, StartPeriod: 30 * time.Second,
		},
		Replicas: 1, MemoryMB: args.MemoryMB, StopGrace: hostspec.RedisGrace,
		// CAP_KILL: the engine's init passes the stop signal on to the server, which is another user.
		Caps:     []string{"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_KILL", "CAP_SETGID", "CAP_SETUID"},
		Converge: 3 * time.Minute, After: []pulumi.StringInput{args.Applied},
	}, pulumi.Parent(r))
	if err != nil {
		return nil, err
	}
	r.Service = service
	r.URL = pulumi.Sprintf("redis://%s:%d/0", hostspec.RedisHost, hostspec.RedisPort)
	return r, ctx.RegisterResourceOutputs(r, pulumi.Map{"url": r.URL})
}
