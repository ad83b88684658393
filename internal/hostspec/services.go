package hostspec

// BackendService is the API's name in the Swarm.
const BackendService = "momentstudio-backend"

// CaddyfileOf is the name of the Caddyfile for one edition of the edge's service: what its image and its mounts are. An
// edition reads its own file alone, so that Swarm can go back to the edition before, which may not know what the new
// file says.
func CaddyfileOf(edition string) string { return "Caddyfile." + edition }

// SchedulersService runs the application's schedulers; a stack without any has none.
const SchedulersService = "momentstudio-schedulers"

// PostgresService is the database's name in the Swarm.
const PostgresService = "momentstudio-postgres"
