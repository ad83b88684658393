// Package hostspec holds the facts that the deployed host and the programs that work on it must
// agree on: paths, ports, names. Each is written here once; the Pulumi program and hostops both
// import it, and it drags nothing onto the host.
package hostspec

// ContractVersion is raised when hostops and the program stop understanding each other's files
// or flags. Every job passes it; hostops refuses another one.
const ContractVersion = 7

// The data volume and what lies on it. Everything that must survive the server is below DataDir.
const (
	DataDir           = "/mnt/momentstudio"
	GuardFile         = DataDir + "/.momentstudio-volume" // written on the volume, so its absence means: not mounted
	PostgresDir       = DataDir + "/postgres"
	RedisDir          = DataDir + "/redis"
	UploadsDir        = DataDir + "/uploads"
	PrivateUploadsDir = DataDir + "/private_uploads"
	CaddyConfigDir    = DataDir + "/caddy/config"
	CaddyDataDir      = DataDir + "/caddy/data"
)

// Configuration of the host itself.
const (
	EtcDir       = "/etc/momentstudio"
	SecretsDir   = EtcDir + "/secrets"
	AppEnvSecret = SecretsDir + "/app.env"
	// DatabaseURLSecret holds the application's DATABASE_URL alone: hostops connects by it.
	DatabaseURLSecret = SecretsDir + "/database-url"
	PostgresSecrets   = EtcDir + "/postgres" // mounted in Postgres itself; a directory, so that a new file is seen
	SuperuserSecret   = PostgresSecrets + "/superuser"
	// SuperuserFirst is the password of the first initialisation, replaced by the roles job at once: the
	// image's entrypoint leaves it in the server's environment for good.
	SuperuserFirst = PostgresSecrets + "/superuser-first"
	SSHKeysDir     = EtcDir + "/ssh"
	AuthorizedKeys = SSHKeysDir + "/authorized_keys"
	SSHHostKey     = "/etc/ssh/ssh_host_ed25519_key"
	ServicesLock   = "/run/lock/momentstudio-services.lock"
	ReadyFile      = EtcDir + "/bootstrap-done" // written as the last step of the user data
)

// Files of the host's first boot, which host-apply keeps from then on.
const (
	VolumeFile         = EtcDir + "/volume"              // ID of the data volume
	FilesystemSizeFile = EtcDir + "/filesystem-size"     // bytes of the file system on it, after a mount or reload
	DataVolumeCommand  = EtcDir + "/mount-data-volume"   // mounts it and grows its file system
	TasksCommand       = EtcDir + "/swarm-tasks"         // ends and starts the Swarm's tasks with the Docker engine
	DataService        = "momentstudio-data.service"     // runs DataVolumeCommand, also on a reload
	MetadataService    = "momentstudio-metadata.service" // closes the metadata address to containers
	BlockGroupBytes    = 128 << 20                       // of ext4: a file system may end that much earlier
)

// Inside containers.
const (
	AppEnvFile     = "/app/.env" // the file the application reads its settings from (app-contract §2.1)
	CaddyAdminSock = "/etc/caddy/admin.sock"
	CaddyfilePath  = "/etc/caddy/Caddyfile" // with CaddyfileOf's suffix, but for a file that is only checked
	CaddyAdapter   = "edge"                 // what reads the Caddyfile in the edge image (images/edge/handover.go)
)

// Networks. The provider's private network lies in 10.0.0.0/8, so everything of Docker's keeps
// out of that range. AppSubnet is fixed, because it is what the application trusts as its proxy.
const (
	AppNetwork = "momentstudio-app"
	AppSubnet  = "172.25.0.0/24"
	AppGateway = "172.25.0.1" // Docker's own choice; written down, or a refresh shows it as a change
	// leads nowhere (RFC 5737): Docker's own resolver would ask outside for a network that has no way out
	NoResolver         = "192.0.2.1"
	DockerBridgeCIDR   = "172.26.0.1/24"
	DockerAddressPool  = "172.27.0.0/16"
	SwarmAddressPool   = "172.28.0.0/16"
	MetadataAddress    = "169.254.169.254"
	PostgresPort       = 5432
	RedisPort          = 6379
	BackendPort        = 8000
	FrontendStaticPort = 80
	FrontendSSRPort    = 4000
)

// Names by which services find each other on the app network.
const (
	PostgresHost = "postgres"
	RedisHost    = "redis"
	BackendHost  = "backend" // the static frontend's nginx has this name compiled in (app-contract §1.3)
	FrontendHost = "frontend"
	EdgeHost     = "edge"
)

// AdminIPHeader carries the client's address to the application's admin allow-list. Caddy always
// overwrites it, so a client cannot set it (app-contract §10).
const AdminIPHeader = "X-Momentstudio-Client-IP"

// ClientAddressHeaders are those that the edge overwrites with the client's address; the first is
// the one that the application is told to read.
func ClientAddressHeaders() []string { return []string{AdminIPHeader, "X-Forwarded-For", "X-Real-IP"} }

// Postgres roles: the owner owns every object and cannot log in; the two login roles act as it,
// one in use and one idle, so that a password is rotated without a moment in which none works.
const (
	DatabaseName  = "adrianaart" // name of the existing production database (app-contract §6.1)
	OwnerRole     = "momentstudio_owner"
	LoginRoleA    = "momentstudio_a"
	LoginRoleB    = "momentstudio_b"
	SuperuserName = "postgres"
)

// PostgresUID is the postgres user and group of the official Debian images; redis has the same numbers in its own.
const PostgresUID = 999

// MigrationLock is the key of the Postgres advisory lock under which migrations run.
const MigrationLock = 0x6d6f6d656e74 // "moment"
