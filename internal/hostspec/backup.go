package hostspec

// Where backups are made and what is known of them.
const (
	BackupSecret   = SecretsDir + "/backup.json" // a Backup: destinations with their credentials
	BackupStaging  = BackupsDir + "/staging"     // what one backup covers, while it is made
	LocalRepo      = BackupsDir + "/restic"      // the destination "local"
	BackupStatus   = BackupsDir + "/status.json" // what the last runs did
	BackupPublic   = DataDir + "/backup-status"  // mounted in the backend
	LastBackupFile = BackupPublic + "/last-at"   // ISO 8601 time of the newest verified backup; absent before the first
	BackupCheck    = BackupsDir + "/check"       // the throw-away database of a check, while it runs
	BackupLock     = "/run/lock/momentstudio-backup.lock"
	BackupUnit     = "momentstudio-backup.service"
	BackupFact     = "BACKUP_DESTINATIONS" // names, in the environment of the job that configures the host
)

// DestinationNames are the names that a destination can have.
var DestinationNames = []string{"local", "rest", "s3", "sftp"}

// Backup is what `hostops backup` is told.
type Backup struct {
	Stack       string            `json:"stack"`
	Release     string            `json:"release"`
	Images      map[string]string `json:"images"`      // by part, with digests; recorded
	ClientImage string            `json:"clientImage"` // has pg_dump and pg_restore
	Network     string            `json:"network"`
	Compatible  []string          `json:"compatible,omitempty"` // revisions newer than the release's that it works with
	KeepDays    int               `json:"keepDays"`
	Password    string            `json:"password"` // of the repositories
	// of earlier generations, newest first; replaced where still in use
	OldPasswords []string      `json:"oldPasswords,omitempty"`
	Destinations []Destination `json:"destinations"`
	MaxAgeHours  int           `json:"maxAgeHours"` // age of the newest verified backup that is a failure
	Notify       Notify        `json:"notify"`
	// the destinations are another stack's: nothing is backed up here, and nothing removed there
	ReadOnly bool `json:"readOnly,omitempty"`
}

// Notify says who is told when a timer's service fails. Every way is optional.
type Notify struct {
	Webhook string `json:"webhook,omitempty"` // URL that takes JSON with "text", "stack", "unit" and "time"
	CheckIn string `json:"checkIn,omitempty"` // URL of a Sentry cron monitor, told of every backup
	Mail    Mail   `json:"mail"`
}

// Mail is sent when To is set, by the shop's own server.
type Mail struct {
	To       string `json:"to,omitempty"`
	From     string `json:"from,omitempty"`
	Host     string `json:"host,omitempty"`
	Port     int    `json:"port,omitempty"`
	TLS      bool   `json:"tls,omitempty"` // STARTTLS
	Username string `json:"username,omitempty"`
	Password string `json:"password,omitempty"`
}

// Destination is one restic repository.
type Destination struct {
	Name       string            `json:"name"`
	Repository string            `json:"repository"`       // restic's location, with a rest-server's credentials in it
	Env        map[string]string `json:"env,omitempty"`    // credentials that restic takes from the environment only
	Prune      bool              `json:"prune"`            // whether old snapshots are removed from here
	CACert     string            `json:"caCert,omitempty"` // PEM of further authorities
	SSH        *SSH              `json:"ssh,omitempty"`    // of the destination "sftp"
}

// SSH is how an SFTP server is reached.
type SSH struct {
	Address string `json:"address"` // host and port
	User    string `json:"user"`
	HostKey string `json:"hostKey"` // the only one that is accepted, as in authorized_keys
	Key     string `json:"key"`     // private key, PEM
}
