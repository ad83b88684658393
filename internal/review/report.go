package review

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Subject is what is reviewed beside the preview itself.
type Subject struct {
	Stack        string
	Commit       string // of the program
	ConfigHash   string // of the stack's file
	Protect      bool   // the stack says that what holds data is locked
	Placeholders bool   // secrets and credentials were stand-ins
	Approvals    []Approval
	Now          time.Time
}

// Report is a reviewed plan. It holds names and paths of properties, and no value of any.
type Report struct {
	Stack        string      `json:"stack"`
	Commit       string      `json:"commit"`
	ConfigHash   string      `json:"configHash"`
	Placeholders bool        `json:"placeholders"`
	Risk         Risk        `json:"risk"`
	Seconds      int         `json:"seconds"` // of all interruptions
	Changes      []Change    `json:"changes"`
	Violations   []Violation `json:"violations"`
	Refused      []Refusal   `json:"refused"`  // gated changes without an approval that holds
	Approved     []Granted   `json:"approved"` // gated changes with one
	Unused       []string    `json:"unused"`   // files of approvals that nothing needs
	Fingerprint  string      `json:"fingerprint"`
}

// Refusal is a gated change that nobody approved.
type Refusal struct {
	URN     string `json:"urn"`
	Name    string `json:"name"`
	Op      Op     `json:"op"`
	Expired string `json:"expired,omitempty"` // file of an approval whose day is over
}

// Granted is a gated change that somebody approved.
type Granted struct {
	URN    string `json:"urn"`
	Name   string `json:"name"`
	Reason string `json:"reason"`
}

// New reviews the output of `pulumi preview --json`.
func New(preview []byte, s Subject) (Report, error) {
	r := Report{Stack: s.Stack, Commit: s.Commit, ConfigHash: s.ConfigHash, Placeholders: s.Placeholders}
	changes, err := read(preview)
	if err != nil {
		return r, fmt.Errorf("review stack %s: %w", s.Stack, err)
	}
	for i := range changes {
		changes[i] = judge(changes[i])
	}
	withServer(changes)
	for _, c := range changes {
		r.Risk = max(r.Risk, c.Risk)
		r.Seconds += c.Seconds
	}
	slices.SortStableFunc(changes, func(a, b Change) int {
		return cmp.Or(int(b.Risk)-int(a.Risk),
			cmp.Compare(a.URN, b.URN))
	})
	r.Changes, r.Violations = changes, violations(changes)
	if s.Protect {
		r.Violations = append(r.Violations, unprotected(changes)...)
	}
	for _, c := range changes {
		if !c.Gated {
			continue
		}
		switch approval, expired := approved(c, s.Approvals, s.Now); {
		case approval != nil:
			r.Approved = append(r.Approved, Granted{c.URN, c.Name, approval.Reason})
		case expired != nil:
			r.Refused = append(r.Refused, Refusal{c.URN, c.Name, c.Op, expired.file})
		default:
			r.Refused = append(r.Refused, Refusal{URN: c.URN, Name: c.Name, Op: c.Op})
		}
	}
	for _, a := range unused(s.Stack, changes, s.Approvals) {
		if !slices.Contains(r.Unused, a.file) {
			r.Unused = append(r.Unused, a.file)
		}
	}
	r.Fingerprint, err = fingerprint(r)
	return r, err
}

// fingerprint binds program, config and every step with its risk.
func fingerprint(r Report) (string, error) {
	text, err := json.Marshal(struct {
		Commit, Config string
		Changes        []Change
	}{r.Commit, r.ConfigHash, r.Changes})
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:16]), err
}

// Exit codes of a review.
const (
	CodePass     = 0
	CodeRiskier  = 20 // the plan became riskier than the one that was reviewed
	CodeRefused  = 21 // security or data at risk, and not approved
	CodeGone     = 22 // irreversible, and not approved
	CodeViolates = 23 // against a policy, which no approval lifts
)

// Code judges the report: the worst that nobody approved counts.
func (r Report) Code() int {
	if len(r.Violations) > 0 {
		return CodeViolates
	}
	code := CodePass
	for _, refused := range r.Refused {
		at := slices.IndexFunc(r.Changes, func(c Change) bool { return c.URN == refused.URN })
		if r.Changes[at].Risk == Irreversible {
			return CodeGone
		}
		code = CodeRefused
	}
	return code
}

// ErrRiskier means that what is about to be applied is not what was reviewed.
var ErrRiskier = errors.New("the plan is riskier than the one that was reviewed")

// Compare holds a plan against the one that was reviewed. It may have less in it, or the same with less risk; a
// resource that was not reviewed, a greater risk or another operation that is not harmless is refused. Another
// program or config alone is not: a merge makes a new commit, and what counts is what it would do.
func Compare(reviewed, now Report) error {
	var bad []string
	if reviewed.Stack != now.Stack {
		bad = append(bad, fmt.Sprintf("it is of stack %s, the reviewed one of %s", now.Stack, reviewed.Stack))
	}
	for _, c := range now.Changes {
		at := slices.IndexFunc(reviewed.Changes, func(old Change) bool { return old.URN == c.URN })
		switch {
		case at < 0 && c.Risk > None:
			bad = append(bad, fmt.Sprintf("%s: %s was not in the reviewed plan (%s)", c.Name, c.Op, c.Risk))
		case at >= 0 && c.Risk > reviewed.Changes[at].Risk:
			bad = append(bad, fmt.Sprintf("%s: %s is now of risk %q, was reviewed as %q", c.Name, c.Op, c.Risk,
				reviewed.Changes[at].Risk))
		case at >= 0 && c.Risk > None && c.Op != reviewed.Changes[at].Op:
			bad = append(bad, fmt.Sprintf("%s: it is a %s now, a %s was reviewed", c.Name, c.Op, reviewed.Changes[at].Op))
		case at >= 0 && c.Gated && len(missing(c.Properties, reviewed.Changes[at].Properties)) > 0:
			bad = append(bad, fmt.Sprintf("%s: it is also because of %s now", c.Name,
				strings.Join(missing(c.Properties, reviewed.Changes[at].Properties), ", ")))
		}
	}
	if len(bad) > 0 && (reviewed.Commit != now.Commit || reviewed.ConfigHash != now.ConfigHash) {
		bad = append(bad, fmt.Sprintf("the program or the stack's file has changed since: it was %.12s, and is %.12s",
			reviewed.Commit, now.Commit))
	}
	if len(bad) > 0 {
		return fmt.Errorf("%w:\n  - %s", ErrRiskier, strings.Join(bad, "\n  - "))
	}
	return nil
}
