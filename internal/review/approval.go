package review

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Approval lets one risky change pass, until its day is over.
type Approval struct {
	URN     string `yaml:"urn"`
	Op      Op     `yaml:"op"` // the step that is approved, and no other of the resource
	Reason  string `yaml:"reason"`
	Expires string `yaml:"expires"` // YYYY-MM-DD, UTC; the last day on which it holds
	file    string
}

// longest is how far ahead an approval may reach.
const longest = 31 * 24 * time.Hour

// ReadApprovals reads every *.yaml of a directory; one that is missing approves nothing. All that is wrong is
// reported at once.
func ReadApprovals(dir string, now time.Time) ([]Approval, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the approvals: %w", err)
	}
	var all []Approval
	var bad []error
	for _, e := range entries {
		if ext := filepath.Ext(e.Name()); ext != ".yaml" && ext != ".yml" {
			continue
		}
		path := filepath.Join(dir, e.Name())
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("read the approvals: %w", err)
		}
		var list []Approval
		decoder := yaml.NewDecoder(strings.NewReader(string(text)))
		decoder.KnownFields(true)
		if err := decoder.Decode(&list); err != nil {
			bad = append(bad, fmt.Errorf("%s is no list of approvals with urn, reason and expires: %w", path, err))
			continue
		}
		for i := range list {
			list[i].file = path
			if err := list[i].check(now); err != nil {
				bad = append(bad, fmt.Errorf("%s, entry %d: %w", path, i+1, err))
			}
		}
		all = append(all, list...)
	}
	return all, errors.Join(bad...)
}

func (a Approval) check(now time.Time) error {
	var bad []error
	if !strings.HasPrefix(a.URN, "urn:pulumi:") {
		bad = append(bad, fmt.Errorf("urn is %q, want the whole URN of one resource, as the review shows it", a.URN))
	}
	if !slices.Contains([]Op{Create, Update, Replace, Delete, Import, Unknown}, a.Op) {
		bad = append(bad, fmt.Errorf("op is %q, want the step as the review shows it: update, replace, delete", a.Op))
	}
	if len(strings.Fields(a.Reason)) < 3 {
		bad = append(bad, fmt.Errorf("reason is %q, want a sentence that somebody understands in a year", a.Reason))
	}
	day, err := time.Parse(time.DateOnly, a.Expires)
	switch {
	case err != nil:
		bad = append(bad, fmt.Errorf("expires is %q, want a day such as 2026-12-01", a.Expires))
	case day.Sub(now) > longest:
		bad = append(bad, fmt.Errorf("expires is %s, want a day within %d days: an approval is for one change", a.Expires,
			int(longest.Hours())/24))
	}
	return errors.Join(bad...)
}

func (a Approval) holds(now time.Time) bool {
	day, err := time.Parse(time.DateOnly, a.Expires)
	return err == nil && now.Before(day.Add(24*time.Hour))
}

// approved finds the approval of a change, or one that has expired.
func approved(c Change, all []Approval, now time.Time) (approval, expired *Approval) {
	for i, a := range all {
		switch {
		case a.URN != c.URN || a.Op != c.Op:
		case a.holds(now):
			return &all[i], nil
		default:
			expired = &all[i]
		}
	}
	return nil, expired
}

// unused lists approvals of the stack that no change of the plan needs.
func unused(stack string, changes []Change, all []Approval) []Approval {
	return slices.DeleteFunc(slices.Clone(all), func(a Approval) bool {
		return !strings.HasPrefix(a.URN, "urn:pulumi:"+stack+"::") || slices.ContainsFunc(changes,
			func(c Change) bool { return c.Gated && c.URN == a.URN && c.Op == a.Op })
	})
}
