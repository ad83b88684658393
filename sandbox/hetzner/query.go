package hetzner

import (
	"cmp"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hetznercloud/hcloud-go/v2/hcloud/schema"
)

// kind says how the common requests find their way in one type of resource.
type kind[T any] struct {
	name   string // as in action references: server, primary_ip
	plural string // as in paths and answers
	all    func(*state) map[int64]*T
	fields func(*T) fields
}

type fields struct {
	id     int64
	name   *string
	labels *map[string]string
}

func sortedIDs[T any](m map[int64]T) []int64 {
	return slices.SortedFunc(maps.Keys(m), cmp.Compare)
}

func find[T any](a *API, k kind[T], q *request) (*T, error) {
	found := k.all(a.state)[q.id]
	if found == nil {
		return nil, notFound(k.name, q.id)
	}
	if q.Method == http.MethodGet && time.Now().Before(a.hidden[k.name+strconv.FormatInt(q.id, 10)]) {
		return nil, notFound(k.name, q.id)
	}
	return found, nil
}

// show is GET of one resource.
func show[T any](a *API, k kind[T]) handler {
	return func(q *request) (int, any, error) {
		found, err := find(a, k, q)
		if err != nil {
			return 0, nil, err
		}
		return http.StatusOK, map[string]any{k.name: found}, nil
	}
}

// list is GET of many, by name, labels and what match adds.
func list[T any](a *API, k kind[T], match func(q *request, item *T) bool) handler {
	return func(q *request) (int, any, error) {
		selector, err := parseSelector(q.URL.Query().Get("label_selector"))
		if err != nil {
			return 0, nil, err
		}
		name := q.URL.Query().Get("name")
		items := k.all(a.state)
		found := []*T{}
		for _, id := range sortedIDs(items) {
			f := k.fields(items[id])
			hidden := time.Now().Before(a.hidden[k.name+strconv.FormatInt(id, 10)])
			if hidden || name != "" && *f.name != name || !selector.matches(*f.labels) || match != nil && !match(q, items[id]) {
				continue
			}
			found = append(found, items[id])
		}
		return page(q, k.plural, found)
	}
}

// update is PUT of name and labels.
func update[T any](a *API, k kind[T], more func(q *request, item *T) error) handler {
	return func(q *request) (int, any, error) {
		found, err := find(a, k, q)
		if err != nil {
			return 0, nil, err
		}
		var body struct {
			Name   *string            `json:"name"`
			Labels *map[string]string `json:"labels"`
		}
		if err := q.decode(&body); err != nil {
			return 0, nil, err
		}
		f := k.fields(found)
		if body.Name != nil && *body.Name != *f.name {
			if err := checkName(a, k, *body.Name); err != nil {
				return 0, nil, err
			}
		}
		if body.Labels != nil {
			if err := checkLabels(*body.Labels); err != nil {
				return 0, nil, err
			}
		}
		if more != nil {
			if err := more(q, found); err != nil {
				return 0, nil, err
			}
		}
		if body.Name != nil {
			*f.name = *body.Name
		}
		if body.Labels != nil {
			*f.labels = *body.Labels
		}
		return http.StatusOK, map[string]any{k.name: found}, nil
	}
}

// created applies what faults want of a new resource.
func created[T any](a *API, k kind[T], q *request, item *T) {
	id := k.fields(item).id
	k.all(a.state)[id] = item
	if q.faults.hideFor > 0 {
		a.hidden[k.name+strconv.FormatInt(id, 10)] = time.Now().Add(q.faults.hideFor)
	}
}

func checkName[T any](a *API, k kind[T], name string) error {
	if name == "" {
		return invalid("name", "must not be empty")
	}
	for _, other := range k.all(a.state) {
		if *k.fields(other).name == name {
			return notUnique("name", "name is already used")
		}
	}
	return nil
}

var (
	labelKey = regexp.MustCompile(
		`^([a-zA-Z0-9]([a-zA-Z0-9.-]{0,251}[a-zA-Z0-9])?/)?[a-zA-Z0-9]([a-zA-Z0-9._-]{0,61}[a-zA-Z0-9])?$`)
	labelValue = regexp.MustCompile(`^([a-zA-Z0-9]([a-zA-Z0-9._-]{0,61}[a-zA-Z0-9])?)?$`)
)

func checkLabels(labels map[string]string) error {
	for key, value := range labels {
		if !labelKey.MatchString(key) {
			return invalid("labels", "label key %q is not valid", key)
		}
		if !labelValue.MatchString(value) {
			return invalid("labels", "label value %q is not valid", value)
		}
	}
	return nil
}

func labelsOf(labels *map[string]string) (map[string]string, error) {
	if labels == nil || *labels == nil {
		return map[string]string{}, nil
	}
	return *labels, checkLabels(*labels)
}

// page cuts a list and describes the cut as the API does.
func page[T any](q *request, name string, all []T) (int, any, error) {
	number, err := positive(q, "page", 1)
	if err != nil {
		return 0, nil, err
	}
	size, err := positive(q, "per_page", 25)
	if err != nil {
		return 0, nil, err
	}
	size = min(size, 50)
	last := max((len(all)+size-1)/size, 1)
	pagination := map[string]any{
		"page": number, "per_page": size, "last_page": last, "total_entries": len(all),
		"previous_page": nil, "next_page": nil,
	}
	if number > 1 {
		pagination["previous_page"] = number - 1
	}
	if number < last {
		pagination["next_page"] = number + 1
	}
	from := min((number-1)*size, len(all))
	items := all[from:min(from+size, len(all))]
	if items == nil {
		items = []T{}
	}
	return http.StatusOK, map[string]any{name: items, "meta": map[string]any{"pagination": pagination}}, nil
}

func positive(q *request, name string, otherwise int) (int, error) {
	text := q.URL.Query().Get(name)
	if text == "" {
		return otherwise, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return 0, invalid(name, "must be a number of 1 or more")
	}
	return n, nil
}

// selector is a label selector: all of its terms must hold.
type selector []func(map[string]string) bool

func (s selector) matches(labels map[string]string) bool {
	return !slices.ContainsFunc(s, func(term func(map[string]string) bool) bool { return !term(labels) })
}

var (
	selectorTerm = regexp.MustCompile(`(?:[^,(]|\([^)]*\))+`)
	setTerm      = regexp.MustCompile(`^(\S+)\s+(in|notin)\s*\(([^)]*)\)$`)
)

func parseSelector(text string) (selector, error) {
	var s selector
	for _, term := range selectorTerm.FindAllString(text, -1) {
		term = strings.TrimSpace(term)
		if set := setTerm.FindStringSubmatch(term); set != nil {
			var values []string
			for value := range strings.SplitSeq(set[3], ",") {
				values = append(values, strings.TrimSpace(value))
			}
			s = append(s, func(labels map[string]string) bool {
				value, ok := labels[set[1]]
				return (ok && slices.Contains(values, value)) == (set[2] == "in")
			})
			continue
		}
		if key, value, ok := strings.Cut(term, "!="); ok {
			s = append(s, func(labels map[string]string) bool { return labels[key] != value })
			continue
		}
		if key, value, ok := strings.Cut(term, "="); ok {
			value = strings.TrimPrefix(value, "=")
			s = append(s, func(labels map[string]string) bool { got, ok := labels[key]; return ok && got == value })
			continue
		}
		key, absent := strings.CutPrefix(term, "!")
		if !labelKey.MatchString(key) {
			return nil, invalid("label_selector", "%q is not a label selector", term)
		}
		s = append(s, func(labels map[string]string) bool { _, ok := labels[key]; return ok != absent })
	}
	return s, nil
}

// busy says whether an action works on a volume now.
func (a *API) busy(volume int64) bool {
	for _, action := range a.state.Actions {
		if action.Status == "running" && slices.Contains(action.Resources,
			schema.ActionResourceReference{ID: volume, Type: "volume"}) {
			return true
		}
	}
	return false
}
