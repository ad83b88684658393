package hostspec

// Where backups are made and what is known of them.
const (
	BackupSecret   = SecretsDir + "/backup.json" // a Backup: destinations with their credentials
	BackupStaging  = BackupsDir + "/staging"     // what one backup covers, while it is made
	LocalRepo      = BackupsDir + "/restic"      // the destination "local"
	BackupStatus   = BackupsDir + "/status.json" // what the last runs did
	BackupPublic   = DataDir + "/backup-status"  // mounted in the backend
	LastBackupFile = BackupPublic + "/last-at"   // ISO 8601 time of the newest verified backup; absent before the first
	BackupLock     = "/run/lock/momentstudio-backup.lock"
)

// Backup is what `hostops backup` is told.
type Backup struct {
	Stack        string            `json:"stack"`
	Release      string            `json:"release"`
	Images       map[string]string `json:"images"`      // by part, with digests; recorded
	ClientImage  string            `json:"clientImage"` // has pg_dump and pg_restore
	Network      string            `json:"network"`
	KeepDays     int               `json:"keepDays"`
	Password     string            `json:"password"`               // of the repositories
	OldPasswords []string          `json:"oldPasswords,omitempty"` // of earlier generations, newest first; replaced where still in use
	Destinations []Destination     `json:"destinations"`
}

// Destination is one restic repository.
type Destination struct {
	Name       string            `json:"name"`
	Repository string            `json:"repository"`       // restic's location, with a rest-server's credentials in it
	Env        map[string]string `json:"env,omitempty"`    // credentials that restic takes from the environment only
	Prune      bool              `json:"prune"`            // whether old snapshots are removed from here
	CACert     string            `json:"caCert,omitempty"` // PEM of further authorities
}
