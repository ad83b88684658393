package hostspec

import "time"

// ServerLabel is on everything of Docker's that the program creates.
const ServerLabel = "momentstudio.server"

// Inspection says what `hostops inspect` is asked, on standard input; it answers with a HostReport. Services,
// networks, secrets and containers are always reported.
type Inspection struct {
	Paths       []string `json:"paths,omitempty"`       // files and directories, as paths on the host
	Timers      []string `json:"timers,omitempty"`      // systemd timers
	Logs        []string `json:"logs,omitempty"`        // services whose errors and log lines are wanted
	Application bool     `json:"application,omitempty"` // what the API says of itself and of its schema
	Health      bool     `json:"health,omitempty"`      // backups, restores, units and disks
}

// HostReport is what a host says of itself. It holds the settings of services, whose values may be secret to others:
// print names only.
type HostReport struct {
	Restarts    []Restart             `json:"restarts"` // of the host and of its Docker engine, the last of each
	Services    []Service             `json:"services"`
	Foreign     []string              `json:"foreign,omitempty"` // services that the program did not create
	Secrets     []Object              `json:"secrets"`
	Networks    []Object              `json:"networks"`
	Containers  []Object              `json:"containers"` // of one-shot jobs
	Paths       map[string]PathState  `json:"paths,omitempty"`
	Volume      *Volume               `json:"volume,omitempty"` // nil: of an older program
	Timers      []TimerState          `json:"timers,omitempty"`
	Logs        map[string]ServiceLog `json:"logs,omitempty"`
	Application *Application          `json:"application,omitempty"`
	Restore     *RestoreState         `json:"restore,omitempty"` // nil: nothing is kept of a restore
	Health      *Health               `json:"health,omitempty"`
	Verified    []VerifiedRelease     `json:"verified,omitempty"` // releases that were seen serving, oldest first
}

// Restart is a start of the host or of its Docker engine. A restart ends every task.
type Restart struct {
	Stopped time.Time `json:"stopped,omitzero"` // when the previous run began to stop; zero if unknown
	Started time.Time `json:"started"`
}

// Object is something of Docker's.
type Object struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Running bool   `json:"running,omitempty"` // of a container
	Foreign bool   `json:"foreign,omitempty"` // the program did not create it
}

// Service is a Swarm service as it is defined now, and what became of its tasks.
type Service struct {
	ID       string            `json:"id"`
	Name     string            `json:"name"`
	Image    string            `json:"image"`
	Replicas int               `json:"replicas"`
	Env      map[string]string `json:"env"`
	Secrets  []SecretMount     `json:"secrets,omitempty"`
	Command  []string          `json:"command,omitempty"`
	Health   []string          `json:"health,omitempty"`
	User     string            `json:"user,omitempty"`
	CapAdd   []string          `json:"capAdd,omitempty"`
	CapDrop  []string          `json:"capDrop,omitempty"`
	Networks []string          `json:"networks,omitempty"` // IDs
	Mounts   []Mount           `json:"mounts,omitempty"`
	Ports    []Port            `json:"ports,omitempty"`
	Memory   int64             `json:"memory,omitempty"` // bytes; 0: no limit
	Running  int               `json:"running"`          // tasks that run and, where there is a health check, are healthy
	Update   string            `json:"update,omitempty"` // state of the last update, e.g. "rollback_completed"
	Updated  time.Time         `json:"updated"`          // when its definition was last changed
	Ended    []EndedTask       `json:"ended,omitempty"`  // tasks that are to run no more
}

// SecretMount is a Swarm secret in a service's tasks.
type SecretMount struct {
	Name string `json:"name"`
	File string `json:"file"`
}

// Mount is a bind mount.
type Mount struct {
	Source   string `json:"source"`
	Target   string `json:"target"`
	ReadOnly bool   `json:"readOnly,omitempty"`
}

// Port is a published port.
type Port struct {
	TargetPort    int    `json:"targetPort"`
	PublishedPort int    `json:"publishedPort"`
	Protocol      string `json:"protocol"`
	PublishMode   string `json:"publishMode"`
}

// EndedTask is a task that has ended.
type EndedTask struct {
	At    time.Time `json:"at"`
	State string    `json:"state"` // "complete", "failed", "rejected", "shutdown"
	Error string    `json:"error,omitempty"`
}

// ServiceLog is what is known of the failures of a service.
type ServiceLog struct {
	Errors []string `json:"errors,omitempty"` // of its newest tasks
	Tail   []string `json:"tail,omitempty"`   // the end of its log, without values
}

// Volume is the data volume.
type Volume struct {
	Bytes      int64 `json:"bytes"`      // of the device
	Filesystem int64 `json:"filesystem"` // bytes of the file system on it
}

// Grows reports whether the file system is smaller than the volume.
func (v *Volume) Grows() bool { return v != nil && v.Filesystem+BlockGroupBytes < v.Bytes }

// PathState is a file or a directory on the host.
type PathState struct {
	Directory bool   `json:"directory,omitempty"`
	Mode      string `json:"mode"` // octal, e.g. "400"
	UID       int    `json:"uid"`
	SHA256    string `json:"sha256,omitempty"` // of a file
}

// TimerState is a systemd timer.
type TimerState struct {
	Unit    string   `json:"unit"`
	File    string   `json:"file"`              // state of its unit file, "enabled" as a rule
	Active  string   `json:"active"`            // "active" as a rule
	DropIns []string `json:"dropIns,omitempty"` // units, of the timer and its service, that have drop-in files
}

// Application is what the tasks of the API say.
type Application struct {
	Releases []Answer `json:"releases"` // of each healthy task: its version
	Schema   Schema   `json:"schema"`
	Media    Media    `json:"media"`
}

// Media is whether a task of the API can write where uploads are kept.
type Media struct {
	Unwritable []string `json:"unwritable,omitempty"` // directories, as the task sees them, with the reason
	Error      string   `json:"error,omitempty"`      // why it is not known
}

// Answer is a value, or why there is none.
type Answer struct {
	Value string `json:"value,omitempty"`
	Error string `json:"error,omitempty"`
}

// Schema is where the database is, as the release sees it.
type Schema struct {
	Revision string `json:"revision,omitempty"`
	Head     bool   `json:"head,omitempty"`    // the revision is the newest that the release has
	Unknown  bool   `json:"unknown,omitempty"` // the revision is of a newer release
	Error    string `json:"error,omitempty"`
}

// Health is how the host does.
type Health struct {
	BackupEnabled bool     `json:"backupEnabled"`
	Backup        string   `json:"backup"`                // how old the newest verified backup is
	BackupError   string   `json:"backupError,omitempty"` // backups are overdue, or cannot be judged
	FailedUnits   []string `json:"failedUnits,omitempty"`
	Timers        []Next   `json:"timers,omitempty"`
	Disks         []Disk   `json:"disks"`
}

// Next is when a timer runs its unit.
type Next struct {
	Unit string    `json:"unit"`
	Last time.Time `json:"last"`
	Next time.Time `json:"next"`
}

// Disk is a file system.
type Disk struct {
	Path   string `json:"path"`
	SizeMB int64  `json:"sizeMB"`
	FreeMB int64  `json:"freeMB"`
	// Inodes are how many files it can hold, and FreeInodes how many more; 0: it makes them as it needs them.
	Inodes     uint64 `json:"inodes"`
	FreeInodes uint64 `json:"freeInodes"`
}

// VerifiedRelease is a release that was seen serving.
type VerifiedRelease struct {
	Name     string `json:"name"`
	Backend  string `json:"backend"`
	Frontend string `json:"frontend"`
}
