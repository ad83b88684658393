package hostspec

import "fmt"

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

// HalfSwitched reports whether a restore is in the middle of its cutover: what would start or back up the shop then
// would mix two states of it. A nil state is no restore.
func (s *RestoreState) HalfSwitched() bool {
	return s != nil && s.Prepared && !s.Switched && !s.Dropping
}

// Describe says where the restore is, for people. A nil state is no restore.
func (s *RestoreState) Describe() string {
	switch {
	case s == nil:
		return "no restore is kept"
	case !s.Prepared:
		return fmt.Sprintf("the restore of %s has not touched the shop; if it does not run any more, the next one starts "+
			"over",
			s.Source)
	case s.Dropping:
		return fmt.Sprintf("%s serves; the other copy of the restore of %s is being deleted: `restore drop` finishes that",
			s.Target, s.Source)
	case !s.Switched:
		return fmt.Sprintf("the restore of %s is in the middle of its cutover to %s: run `restore continue` or `restore "+
			"undo`",
			s.Source, s.Target)
	}
	return fmt.Sprintf("%s serves; the other copy of the restore of %s is kept: `restore drop` deletes it", s.Target,
		s.Source)
}
