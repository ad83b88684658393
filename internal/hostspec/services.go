package hostspec

// BackendService is the API's name in the Swarm.
const BackendService = "momentstudio-backend"
