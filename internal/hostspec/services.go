package hostspec

import "time"

// BackendService is the API's name in the Swarm.
const BackendService = "momentstudio-backend"

// CaddyfileOf is the name of the Caddyfile for one edition of the edge's service: what its image and its mounts are. An
// edition reads its own file alone, so that Swarm can go back to the edition before, which may not know what the new
// file says.
func CaddyfileOf(edition string) string { return "Caddyfile." + edition }

// Other names in the Swarm.
const (
	EdgeService     = "momentstudio-caddy"
	FrontendService = "momentstudio-frontend"
	WorkerService   = "momentstudio-media-worker"
	RedisService    = "momentstudio-redis"
)

// SchedulersService runs the application's schedulers; a stack without any has none.
const SchedulersService = "momentstudio-schedulers"

// PostgresService is the database's name in the Swarm.
const PostgresService = "momentstudio-postgres"

// StopLayer are services that end together when the Docker engine stops.
type StopLayer struct {
	Grace    time.Duration // for each task to end by itself; the longest of its services
	Services []string
}

// Grace periods of services, for updates. When the Docker engine stops, a layer has that of StopOrder.
const (
	// EdgeGrace covers a configuration that is being loaded (5 s), the Caddyfile's shutdown_delay (5 s) and its
	// grace_period (30 s).
	EdgeGrace = 60 * time.Second
	// AppGrace is for the requests of the API. A media job that ends with its worker is queued again later.
	AppGrace = 45 * time.Second
	// FrontendGrace is for pages that are being rendered.
	FrontendGrace = 30 * time.Second
	// RedisGrace is for the last write of its file.
	RedisGrace = 30 * time.Second
	// PostgresGrace is for its last checkpoint.
	PostgresGrace = 2 * time.Minute
)

// StopOrder is the order in which services end when the Docker engine stops: the edge takes no more requests, then what
// answers them ends, then the databases. All services of a layer end together.
func StopOrder() []StopLayer {
	return []StopLayer{
		{EdgeGrace, []string{EdgeService}},
		{AppGrace, []string{FrontendService, BackendService, WorkerService, SchedulersService}},
		{PostgresGrace, []string{PostgresService, RedisService}},
	}
}
