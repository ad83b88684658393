package hostspec

// AcceptanceReport is what a restored shop was found to be.
type AcceptanceReport struct {
	Source   string            `json:"source"`
	Manifest Manifest          `json:"manifest"`
	Phases   []RestorePhase    `json:"phases"` // of the restore
	Checks   []AcceptanceCheck `json:"checks"`
}

// AcceptanceCheck is one thing that was looked at.
type AcceptanceCheck struct {
	Name   string           `json:"name"`
	Result AcceptanceResult `json:"result"`
	Detail string           `json:"detail"` // what was found
}

// AcceptanceResult is how a check ended.
type AcceptanceResult string

// A check that the backup gives nothing to is neither passed nor failed.
const (
	CheckPassed      AcceptanceResult = "passed"
	CheckFailed      AcceptanceResult = "failed"
	CheckNotPossible AcceptanceResult = "not possible"
)

// Failures lists the checks that failed.
func (p AcceptanceReport) Failures() []string {
	var names []string
	for _, c := range p.Checks {
		if c.Result == CheckFailed {
			names = append(names, c.Name)
		}
	}
	return names
}
