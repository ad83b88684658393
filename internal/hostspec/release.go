package hostspec

// What is kept of releases, on the data volume.
const (
	ReleasesDir = DataDir + "/releases"
	BundlesDir  = ReleasesDir + "/bundles" // hashed bundles of the newest KeptReleases releases, served by Caddy
	// PageScripts is a file in BundlesDir: the hashes of the scripts that stand in the pages of those releases, as a
	// Content-Security-Policy names them.
	PageScripts = "page-scripts"
	// what `studio verify` has seen serving, one "backend frontend name" a line, newest last
	VerifiedFile = ReleasesDir + "/verified"
	BackupsDir   = DataDir + "/backups"
	// MigrationBackups holds a dump of the database from before each migration.
	MigrationBackups = BackupsDir + "/before-migration"
	// RegistrySecret holds the registry's credentials as Docker's API wants them; absent without any.
	RegistrySecret = SecretsDir + "/registry.json"
)

// RegistryAuth is a registry's credentials in Docker's own form.
type RegistryAuth struct {
	Username      string `json:"username"`
	Password      string `json:"password"`
	ServerAddress string `json:"serveraddress"`
}

// KeptReleases is how many releases keep their images and bundles on the host.
const KeptReleases = 5

// HashedBundle is the form of a file whose name holds the hash of its content: two contents never
// share a name, so such files of several releases can lie side by side.
const HashedBundle = `[^/]+\.[0-9a-f]{16}\.(js|css)`

// Where the frontend's images keep what browsers load (app-contract §1.3, §1.4).
const (
	StaticWebRoot = "/usr/share/nginx/html"
	SSRWebRoot    = "/app/dist/app/browser"
)
