// Package recovery mends the state of a stack after a run that was killed or whose answer was lost: it finds, among
// what exists and bears the stack's name, what the state does not know, and writes it down as what the next update
// would make. It is pure; whoever uses it asks the clouds and the host, and runs the engine.
package recovery

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/prekzursil/momentstudio-infra/internal/resourcetype"
)

// irreplaceable are the types of which a new one is not the old one: empty, with another address, with other keys.
var irreplaceable = []string{resourcetype.Volume, resourcetype.Server, resourcetype.PrimaryIP, resourcetype.Widget}

// Irreplaceable says whether a resource of this type may not be made anew without being asked for.
func Irreplaceable(kind string) bool { return slices.Contains(irreplaceable, kind) }

// Thing is something that exists and bears the stack's name.
type Thing struct {
	Type, ID string
	// Key is what the resource that would be made is recognized by: its name or, of what joins two, their IDs.
	Key     string
	Content string    // of a DNS record
	Created time.Time // of a widget
}

func (t Thing) String() string { return describe(t.Type, t.Key, t.ID) }

func describe(kind, name, id string) string {
	return fmt.Sprintf("%s %s (ID %s)", kind[strings.LastIndex(kind, ":")+1:], name, id)
}

// Creation is a resource that the next update would make.
type Creation struct {
	URN, Type, Parent, Provider string
	Protect                     bool
	Inputs                      map[string]any // as a state has them, secrets encrypted
	Dependencies                []string       // URNs
	PropertyDependencies        map[string][]string
}

// Name is the resource's own, from its URN.
func (c Creation) Name() string { return c.URN[strings.LastIndex(c.URN, "::")+2:] }

// key is what a Thing of it would have; empty while it is not known, or of a type that cannot be found.
func (c Creation) key() string {
	text := func(field string) string {
		v := c.Inputs[field]
		if v == nil || unknown(v) {
			return ""
		}
		return fmt.Sprint(v)
	}
	join := func(a, b string) string {
		if text(a) == "" || text(b) == "" {
			return ""
		}
		return text(a) + "-" + text(b)
	}
	switch c.Type {
	case resourcetype.Subnet:
		return join("networkId", "ipRange")
	case resourcetype.ServerNetwork:
		return join("serverId", "networkId")
	case resourcetype.VolumeAttachment:
		return join("volumeId", "serverId")
	}
	return text("name")
}

// Adoption is a thing that becomes a resource of the stack.
type Adoption struct {
	Creation
	ID string
}

func (a Adoption) String() string {
	return fmt.Sprintf("%s is %s", a.Name(), describe(a.Type, a.key(), a.ID))
}

// Matched is what became of things that the state does not know.
type Matched struct {
	Adopt   []Adoption
	Refused []error // things that stand in the way
	Blocked []error // what cannot be decided before something else was adopted
	Rest    []Thing // what no resource would be
}

// Match pairs what would be made with what is there. Every error names the thing and says what to do.
func Match(creations []Creation, things []Thing) (m Matched) {
	for _, t := range things {
		i := slices.IndexFunc(creations, func(c Creation) bool { return c.Type == t.Type && t.Key != "" && c.key() == t.Key })
		switch {
		case i < 0 && t.Type == resourcetype.Record: // beside one that the state knows
			m.Refused = append(m.Refused, foreignRecord(t))
			continue
		case i < 0:
			m.Rest = append(m.Rest, t)
			continue
		}
		c := creations[i]
		content := c.Inputs["content"]
		switch {
		case slices.ContainsFunc(m.Adopt, func(a Adoption) bool { return a.URN == c.URN }):
			m.Refused = append(m.Refused, fmt.Errorf("%s: there are two called so, and the stack makes one; delete the one "+
				"that nobody uses", t))
		case t.Type == resourcetype.Record && unknown(content):
			m.Blocked = append(m.Blocked, foreignRecord(t))
		case t.Type == resourcetype.Record && content != t.Content:
			m.Refused = append(m.Refused, foreignRecord(t))
		case c.Type == resourcetype.DockerService && unknown(c.Inputs): // it is read whole, and changed in place
			c.Inputs = maps.Clone(c.Inputs)
			maps.DeleteFunc(c.Inputs, func(_ string, v any) bool { return unknown(v) })
			m.Adopt = append(m.Adopt, Adoption{Creation: c, ID: t.ID})
		case unknown(c.Inputs):
			m.Blocked = append(m.Blocked, fmt.Errorf("%s: the state does not hold what it was made from, so it cannot be "+
				"taken over; "+
				"put a newer copy of the state back (pulumi stack import), or delete it when nothing of it is needed", t))
		default:
			m.Adopt = append(m.Adopt, Adoption{Creation: c, ID: t.ID})
		}
	}
	return m
}

func foreignRecord(t Thing) error {
	return fmt.Errorf("%s leads to %s, and this stack did not make it: a second one would send a part of the visitors "+
		"elsewhere; "+
		"delete it at Cloudflare when the name may move here", t, t.Content)
}

// lostAnswer is the longest time between a creation whose answer was lost and the one that its client made again.
const lostAnswer = 15 * time.Minute

// Twins are the widgets that were made just before the recorded one of the same name: Cloudflare lets two have one
// name, and its client makes another one when the answer to the first is lost (cloudflare-go,
// makeRequestWithAuthTypeAndHeadersComplete). Nobody was ever told the keys of the first.
func (s *State) Twins(things []Thing) (twins []Thing) {
	unrecorded := s.Unrecorded(things)
	for _, t := range unrecorded {
		for _, own := range things {
			if t.Type == resourcetype.Widget && own.Type == resourcetype.Widget && own.Key == t.Key &&
				!slices.Contains(unrecorded, own) &&
				!t.Created.IsZero() && !own.Created.Before(t.Created) && own.Created.Sub(t.Created) <= lostAnswer {
				twins = append(twins, t)
				break
			}
		}
	}
	return twins
}
