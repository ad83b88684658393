// Package config is the only reader of Pulumi config. It decodes one namespace into typed
// groups, validates everything at once and reports every problem with key, file, reason and fix.
// Groups hold plain values only; each secret is a top-level key of its own, because the SDK can
// tell secret from plain only there.
package config

import (
	"net/netip"
	"time"

	"github.com/prekzursil/momentstudio-infra/internal/appsettings"
	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
	"github.com/prekzursil/momentstudio-infra/internal/secret"
)

// Namespace is the project's name and the prefix of every key.
const Namespace = "momentstudio"

// Kind decides the shape of a stack; the stack's name never does.
type Kind string

// The kinds of stacks.
const (
	Production Kind = "production"
	Staging    Kind = "staging"
	Sandbox    Kind = "sandbox"
	Drill      Kind = "drill" // restores a backup on a host of its own, without a way out, and is thrown away
)

// Public reports whether strangers and their money reach stacks of this kind.
func (k Kind) Public() bool { return k == Production || k == Staging }

// Config is one stack's configuration, validated and read-only.
type Config struct {
	Stack string // name of the Pulumi stack; used in names, never to decide anything
	Kind  Kind   // "production", "staging", "sandbox" or "drill": the shape of the stack; required
	// locks everything stateful in the engine and in the cloud; default true for production and staging
	Protect bool
	Domain  hostspec.Domain // apex domain without scheme, e.g. "momentstudio.ro"; required

	Release    Release
	Images     Images
	Host       Host
	DNS        DNS
	Turnstile  Turnstile
	Postgres   Postgres
	Redis      Redis
	Backend    Backend
	Worker     Worker
	Schedulers Schedulers
	Frontend   Frontend
	TLS        TLS
	Edge       Edge
	App        appsettings.Settings
	Backup     Backup
	Secrets    SecretGenerations
	Registry   Registry
	Endpoints  Endpoints
	Drill      DrillOptions

	AppSecrets appsettings.Secrets // the application's own, each a top-level key

	DatabaseURL      secret.Value // top-level "databaseUrl"; required with postgres.mode external, refused otherwise
	TLSCertificate   secret.Value // top-level "tlsCertificate", PEM chain; required with tls.mode file
	TLSKey           secret.Value // top-level "tlsKey", PEM; required with tls.mode file
	RegistryPassword secret.Value // top-level "registryPassword"; required when registry.username is set

	BackupRestPassword secret.Value // top-level "backupRestPassword"; required when backup.rest.url is set
	BackupS3AccessKey  secret.Value // top-level "backupS3AccessKey"; required when backup.s3.endpoint is set
	BackupS3SecretKey  secret.Value // top-level "backupS3SecretKey"; required when backup.s3.endpoint is set
	BackupSFTPKey      secret.Value // top-level "backupSftpKey", PEM; required when backup.sftp.host is set
	// top-level "backupPassword", of the backups that a drill restores; required with kind drill, refused otherwise
	BackupPassword secret.Value
	// top-level "backupWebhook": https URL that is told of failed backups and checks, as JSON with a "text"; optional
	BackupWebhook secret.Value
	// top-level "backupCheckIn": https URL of a Sentry cron monitor, told how every backup ends; optional
	BackupCheckIn secret.Value

	Warnings []string // what deserves attention and stops nothing
	missing  []string // secret keys that a rule asks for
}

// Release names what runs: a change rolls it out in place.
type Release struct {
	Name     string `json:"name"`     // full 40-character commit; shown as APP_VERSION
	Backend  string `json:"backend"`  // image reference with digest; also runs worker and migrations
	Frontend string `json:"frontend"` // image reference with digest
	// CompatibleRevisions are schema revisions, newer than the backend's own, that it works with; default none: they
	// make a rollback over a migration possible
	CompatibleRevisions []string `json:"compatibleRevisions"`
}

// Images are the references, with digests, of everything that is not the app itself.
type Images struct {
	Ops  string `json:"ops"`  // hostops
	Edge string `json:"edge"` // Caddy with the rate limiter
	// official image's contract; its pg_dump makes the backup before a migration, also of an external database
	Postgres string `json:"postgres"`
	Redis    string `json:"redis"` // official image's contract
}

// Host is the VPS.
type Host struct {
	// Hetzner location; default "fsn1"; fixed once the host exists: another one is refused
	Location    string `json:"location"`
	NetworkZone string `json:"networkZone"` // zone of the private network; default "eu-central"
	// Hetzner server type; required; changed in place with a reboot
	ServerType string `json:"serverType"`
	Image      string `json:"image"` // default "debian-12"; no other is tested; used when the server is made
	// default 1; raising it rebuilds the server and nothing else does
	Generation int `json:"generation"`
	// generation whose bootstrap host key is no longer accepted; default 0
	BootstrapKeyDropped int      `json:"bootstrapKeyDropped"`
	SSHFrom             []string `json:"sshFrom"`             // CIDRs that may reach port 22; required
	PrivateNetwork      string   `json:"privateNetwork"`      // default "10.77.0.0/16"; a change replaces the network
	PrivateSubnet       string   `json:"privateSubnet"`       // inside privateNetwork; default "10.77.1.0/24"
	PrivateAddress      string   `json:"privateAddress"`      // the first node's address; default "10.77.1.2"
	VolumeSizeGB        int      `json:"volumeSizeGB"`        // 10 to 10240; required; grows in place or at a reboot
	ReadyTimeoutSeconds int      `json:"readyTimeoutSeconds"` // limit of the readiness gate; default 600
	// time of day in UTC at which a security upgrade may reboot the host; default "03:30"; "" never; upgrades, which may
	// restart Docker, come half an hour before
	RebootAt string `json:"rebootAt"`
	// time of day in UTC at which images of old releases are removed; default "04:30"
	PruneAt string `json:"pruneAt"`
}

// ReadyTimeout is the readiness gate's limit as a duration.
func (h Host) ReadyTimeout() time.Duration { return time.Duration(h.ReadyTimeoutSeconds) * time.Second }

// DNS are the zone and how its records answer.
type DNS struct {
	ZoneID  string `json:"zoneId"`     // Cloudflare zone; required
	Proxied bool   `json:"proxied"`    // through Cloudflare's proxies; default false
	TTL     int    `json:"ttlSeconds"` // of the records; default 300; ignored when proxied
}

// Turnstile is the widget of this stack; each stack has its own.
type Turnstile struct {
	Enabled   bool     `json:"enabled"`   // default true; off: no widget, and app.captcha.enabled must be off too
	AccountID string   `json:"accountId"` // Cloudflare account; required when enabled
	Mode      string   `json:"mode"`      // "managed" (default), "non-interactive" or "invisible"; changed in place
	Hostnames []string `json:"hostnames"` // default: apex and www
}

// Postgres is the database, in a container on the data volume or elsewhere.
type Postgres struct {
	Mode           string `json:"mode"`            // "container" (default) or "external"
	MaxConnections int    `json:"maxConnections"`  // default 120; a change restarts Postgres
	MemoryMB       int    `json:"memoryMB"`        // limit; default 1024
	SharedBuffers  int    `json:"sharedBuffersMB"` // default 256
	// seconds that a statement of a migration may wait for a lock, while everybody else waits behind it; default 5;
	// then the migration is undone and tried again, five times in all
	MigrationLockSeconds int `json:"migrationLockSeconds"`
}

// Redis is the queue and rate-limit store; its content may be lost.
type Redis struct {
	MemoryMB int `json:"memoryMB"` // limit; default 256
}

// Backend is the API.
type Backend struct {
	Replicas int `json:"replicas"` // default 1
	MemoryMB int `json:"memoryMB"` // limit of one task; default 1024: the API buffers request bodies
}

// Worker is the media worker, always one task.
type Worker struct {
	MemoryMB          int `json:"memoryMB"`          // default 1024
	LongestJobSeconds int `json:"longestJobSeconds"` // heartbeat age at which the worker counts as dead; default 1800
}

// Schedulers are API processes that no visitor reaches, one for each of the application's schedulers that are on.
type Schedulers struct {
	MemoryMB int `json:"memoryMB"` // limit of all of them together, which share most of their memory; default 1024
}

// SchedulerConnections is how many connections to the database a scheduler's process opens at most.
const SchedulerConnections = 4

// Frontend serves the pages.
type Frontend struct {
	Mode     string `json:"mode"`     // "static" (default) or "ssr"
	Replicas int    `json:"replicas"` // default 1
	MemoryMB int    `json:"memoryMB"` // default 256
	// AllowedHosts are the hosts that the ssr mode renders for; default: the domain, 127.0.0.1 and
	// localhost (the health check)
	AllowedHosts []string `json:"allowedHosts"`
}

// TLS says where certificates come from.
type TLS struct {
	Mode          string `json:"mode"`          // "acme" (default), "file" or "internal"
	Email         string `json:"email"`         // ACME account; required in acme mode
	ACMEDirectory string `json:"acmeDirectory"` // default Let's Encrypt production
	// certificate that the directory's own TLS is checked with; default: public roots
	ACMERootPEM string `json:"acmeRootPem"`
}

// Edge is what Caddy does beyond routing.
type Edge struct {
	// default true: requests per client address to login, checkout, contact and the like
	RateLimits bool `json:"rateLimits"`
	// largest request, in millions of bytes; default 10; at most 100, because the app reads it into memory
	MaxBodyMB int `json:"maxBodyMB"`
	// largest request to a route on which staff uploads files, in millions of bytes; default 540: the app takes 512 MiB
	MaxUploadMB int `json:"maxUploadMB"`
}

// SecretGenerations rotate generated secrets: raising one by 1 makes a new value and rolls it out
// (docs/guides/rotate-secrets.md). Default 1 each.
type SecretGenerations struct {
	// SECRET_KEY: a new one logs everyone out and breaks every TOTP enrolment
	AppKey             int `json:"appKey"`
	AppKeyAcknowledged int `json:"appKeyAcknowledged"` // must equal appKey once that is above 1: you know what it costs
	Tokens             int `json:"tokens"`             // maintenance bypass and content preview tokens
	// login role and password of the app: odd generations use role a, even ones role b
	DatabaseLogin int `json:"databaseLogin"`
	Superuser     int `json:"superuser"` // password of the database's superuser
	DeployKey     int `json:"deployKey"` // SSH key that reaches the host
	HostKey       int `json:"hostKey"`   // SSH host key that never was in user data
	// newest generation of the host key that is no longer accepted; default 0
	HostKeyDropped int `json:"hostKeyDropped"`
	BackupPassword int `json:"backupPassword"` // encrypts the backups
}

// Registry holds credentials for private images; empty means none are needed.
type Registry struct {
	Address  string `json:"address"`  // e.g. "ghcr.io"; required with username
	Username string `json:"username"` // registryPassword belongs to it
}

// Endpoints replace the public cloud APIs; only stacks of kind sandbox and drills may set them.
type Endpoints struct {
	Hcloud             string `json:"hcloud"`             // e.g. "http://127.0.0.1:8080/v1"
	HcloudPollInterval string `json:"hcloudPollInterval"` // e.g. "100ms"
	CloudflareHost     string `json:"cloudflareHost"`     // host and port of an https API
	CloudflarePath     string `json:"cloudflarePath"`     // e.g. "/client/v4"
}

// Prefixes parses CIDRs that Load has already checked.
func Prefixes(list []string) []netip.Prefix {
	out := make([]netip.Prefix, 0, len(list))
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}
