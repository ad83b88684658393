package hostspec

// BackendService is the API's name in the Swarm.
const BackendService = "momentstudio-backend"

// PostgresService is the database's name in the Swarm.
const PostgresService = "momentstudio-postgres"
