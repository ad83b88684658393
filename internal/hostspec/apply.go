package hostspec

// Where host-apply finds its input in its own container, and the host's file system.
const (
	HostRoot   = "/host"
	ApplyInbox = "/in"
	ApplySpec  = ApplyInbox + "/spec.json"
	// AppliedFile lists on the host what host-apply wrote there, so that what is no longer asked for goes.
	AppliedFile = EtcDir + "/applied.json"
)

// Apply is what host-apply is asked to make true.
type Apply struct {
	Directories []Directory  `json:"directories"`
	Files       []File       `json:"files"`
	Secrets     []SecretFile `json:"secrets"`
	Reload      []string     `json:"reload"` // systemd units reloaded or restarted after the files are in place
	Timers      []string     `json:"timers"` // systemd timers among the files, enabled and started
}

// Directory is made with this owner and mode when it is missing. An existing one is left alone: a
// service's entrypoint may have taken it over.
type Directory struct {
	Path string `json:"path"`
	Mode uint32 `json:"mode"`
	UID  int    `json:"uid"`
	GID  int    `json:"gid"`
}

// File is written whole when it differs, and removed when a later specification has it no more.
type File struct {
	Path    string `json:"path"`
	Mode    uint32 `json:"mode"`
	Content string `json:"content"`
}

// SecretFile is a file of mode 0400, removed as other files are, whose content was uploaded beside the specification,
// so that the specification can be shown.
type SecretFile struct {
	Path   string `json:"path"`
	Upload string `json:"upload"`
	UID    int    `json:"uid"` // owner; default root
	// KeepOld keeps an older content beside the new one until its user has changed over and removes
	// it (OldSecret names the file).
	KeepOld bool `json:"keepOld"`
}

// OldSecret is the pattern of the files that hold what a secret file with KeepOld held before.
func OldSecret(path, part string) string { return path + ".before-" + part }

// Directories are those that every stack's services mount. Other
// users' entrypoints than those of Postgres and Redis change the owner themselves.
func Directories(postgres bool) []Directory {
	dirs := []Directory{
		{Path: EtcDir, Mode: 0o700},
		{Path: SecretsDir, Mode: 0o700},
		{Path: SSHKeysDir, Mode: 0o700},
		{Path: RedisDir, Mode: 0o750, UID: PostgresUID, GID: PostgresUID},
		{Path: UploadsDir, Mode: 0o755},
		{Path: PrivateUploadsDir, Mode: 0o700},
		{Path: DataDir + "/caddy", Mode: 0o700},
		{Path: CaddyConfigDir, Mode: 0o700},
		{Path: CaddyDataDir, Mode: 0o700},
		{Path: ReleasesDir, Mode: 0o755},
		{Path: BundlesDir, Mode: 0o755},
		{Path: BackupsDir, Mode: 0o700},
		{Path: MigrationBackups, Mode: 0o700},
		{Path: BackupPublic, Mode: 0o755},
		{Path: RestoreDir, Mode: 0o700},
	}
	if postgres {
		dirs = append(dirs, Directory{Path: PostgresDir, Mode: 0o700, UID: PostgresUID, GID: PostgresUID},
			Directory{Path: PostgresSecrets, Mode: 0o700, UID: PostgresUID, GID: PostgresUID})
	}
	return dirs
}
