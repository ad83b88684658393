package hostspec

// RestoreSide is one of the two states of the shop that a restore leaves on the host.
type RestoreSide string

// The state that the restore brought, and the one that it replaced.
const (
	SideRestored RestoreSide = "restored"
	SideBefore   RestoreSide = "before"
)

// RestoreState is the journal of a restore: whoever reads it can finish or undo a killed one. Databases and
// directories are known by what never changes with their names: OID and inode.
type RestoreState struct {
	ID          string                            `json:"id"`     // UTC time of its beginning
	Source      string                            `json:"source"` // for people
	Manifest    Manifest                          `json:"manifest"`
	Prepared    bool                              `json:"prepared"` // all is there and checked; nothing was touched before
	Live        uint32                            `json:"live"`     // OID of the database that served when it began
	Dropping    bool                              `json:"dropping"` // what does not serve is being removed
	Target      RestoreSide                       `json:"target"`   // what is to serve
	Switched    bool                              `json:"switched"` // the target serves
	Databases   map[RestoreSide]uint32            `json:"databases"`
	Directories map[string]map[RestoreSide]uint64 `json:"directories"`
	Replicas    map[string]uint64                 `json:"replicas"` // of the services, before they were stopped
	Phases      []RestorePhase                    `json:"phases"`
}

// RestorePhase is how long a part of the restore took.
type RestorePhase struct {
	Name    string  `json:"name"`
	Seconds float64 `json:"seconds"`
}
