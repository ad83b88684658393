package hostspec

import ()

// BackendService is the API's name in the Swarm.
const BackendService = "momentstudio-backend"
