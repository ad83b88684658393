package cloudflare

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// recordFields is a request body. Absent and null fields are nil, which PATCH leaves alone.
type recordFields struct {
	Type     *string        `json:"type"`
	Name     *string        `json:"name"`
	Content  *string        `json:"content"`
	Data     map[string]any `json:"data"`
	Proxied  *bool          `json:"proxied"`
	TTL      *int           `json:"ttl"`
	Priority *int           `json:"priority"`
	Comment  *string        `json:"comment"`
	Tags     *[]string      `json:"tags"`
	Settings map[string]any `json:"settings"`
}

func (a *API) listRecords(q *request) (reply, error) {
	proxied := q.query("proxied")
	name := q.query("name")
	if name == "" {
		name = q.query("name.exact")
	}
	found := []*record{}
	for _, r := range a.state.Records {
		if r.ZoneID == q.zone.ID && equalOrEmpty(q.query("type"), r.Type) && equalOrEmpty(name, r.Name) &&
			equalOrEmpty(q.query("content"), r.Content) && equalOrEmpty(q.query("comment"), text(r.Comment)) &&
			(proxied == "" || proxied == strconv.FormatBool(r.Proxied)) {
			found = append(found, r)
		}
	}
	slices.SortStableFunc(found, func(x, y *record) int {
		return strings.Compare(x.Type+"\x00"+x.Name, y.Type+"\x00"+y.Name)
	})
	return paged(q, found, 100)
}

func (a *API) findRecord(q *request) (int, error) {
	i := slices.IndexFunc(a.state.Records, func(r *record) bool {
		return r.ZoneID == q.zone.ID && r.ID == q.PathValue("id")
	})
	if i < 0 {
		return 0, refuse(http.StatusNotFound, 81044, "Record does not exist.")
	}
	return i, nil
}

func (a *API) getRecord(q *request) (reply, error) {
	i, err := a.findRecord(q)
	if err != nil {
		return reply{}, err
	}
	return reply{result: a.state.Records[i]}, nil
}

func (a *API) createRecord(q *request) (reply, error) {
	r := &record{
		ID: newID(), ZoneID: q.zone.ID, ZoneName: q.zone.Name, TTL: 1, CreatedOn: a.now(),
		Settings: map[string]any{}, Meta: map[string]any{}, Tags: []string{},
	}
	if err := a.fillRecord(q, r); err != nil {
		return reply{}, err
	}
	a.state.Records = append(a.state.Records, r)
	return reply{result: r}, nil
}

// replaceRecord takes the body for the whole record: what it leaves out goes back to the
// default.
func (a *API) replaceRecord(q *request) (reply, error) {
	i, err := a.findRecord(q)
	if err != nil {
		return reply{}, err
	}
	old := a.state.Records[i]
	r := &record{
		ID: old.ID, ZoneID: old.ZoneID, ZoneName: old.ZoneName, TTL: 1, CreatedOn: old.CreatedOn,
		Settings: map[string]any{}, Meta: map[string]any{}, Tags: []string{},
	}
	return a.storeRecord(q, i, r)
}

func (a *API) patchRecord(q *request) (reply, error) {
	i, err := a.findRecord(q)
	if err != nil {
		return reply{}, err
	}
	r := *a.state.Records[i]
	return a.storeRecord(q, i, &r)
}

func (a *API) storeRecord(q *request, i int, r *record) (reply, error) {
	if err := a.fillRecord(q, r); err != nil {
		return reply{}, err
	}
	a.state.Records[i] = r
	return reply{result: r}, nil
}

func (a *API) deleteRecord(q *request) (reply, error) {
	i, err := a.findRecord(q)
	if err != nil {
		return reply{}, err
	}
	a.state.Records = slices.Delete(a.state.Records, i, i+1)
	return reply{result: map[string]string{"id": q.PathValue("id")}}, nil
}

// fillRecord puts a body into a record and refuses what the real API refuses.
func (a *API) fillRecord(q *request, r *record) error {
	var body recordFields
	if err := q.decode(&body); err != nil {
		return err
	}
	if body.Type != nil {
		r.Type = strings.ToUpper(*body.Type)
	}
	if body.Name != nil {
		r.Name = fullName(*body.Name, q.zone.Name)
	}
	if body.Data != nil {
		r.Data = body.Data
	}
	if body.Content != nil && *body.Content != "" {
		r.Content = strings.TrimSpace(*body.Content)
	} else if body.Data != nil {
		r.Content = contentOf(r.Type, r.Data)
	}
	assign(&r.Proxied, body.Proxied)
	assign(&r.TTL, body.TTL)
	assign(&r.Tags, body.Tags)
	if body.Priority != nil {
		r.Priority = body.Priority
	}
	if body.Comment != nil {
		r.Comment = body.Comment
		if *body.Comment == "" {
			r.Comment = nil
		}
	}
	r.Proxiable = r.Type == "A" || r.Type == "AAAA" || r.Type == "CNAME"
	if r.Proxied {
		r.TTL = 1 // the edge decides
	}
	r.ModifiedOn = a.now()
	if err := validateRecord(r); err != nil {
		return err
	}
	return a.conflict(r)
}

var recordTypes = []string{
	"A", "AAAA", "CAA", "CERT", "CNAME", "DNSKEY", "DS", "HTTPS", "LOC", "MX", "NAPTR", "NS",
	"OPENPGPKEY", "PTR", "SMIMEA", "SRV", "SSHFP", "SVCB", "TLSA", "TXT", "URI",
}

func validateRecord(r *record) error {
	address, err := netip.ParseAddr(r.Content)
	switch {
	case !slices.Contains(recordTypes, r.Type):
		return refuse(http.StatusBadRequest, 9016, fmt.Sprintf("%q is not a valid record type.", r.Type))
	case r.Name == "":
		return refuse(http.StatusBadRequest, 9000, "DNS name is invalid.")
	case r.Content == "":
		return refuse(http.StatusBadRequest, 9001, "Content for "+r.Type+" record is missing.")
	case r.Type == "A" && (err != nil || !address.Is4()):
		return refuse(http.StatusBadRequest, 9005, "Content for A record must be a valid IPv4 address.")
	case r.Type == "AAAA" && (err != nil || !address.Is6() || address.Is4In6()):
		return refuse(http.StatusBadRequest, 9006, "Content for AAAA record must be a valid IPv6 address.")
	case r.Type == "CNAME" && (err == nil || strings.EqualFold(strings.TrimSuffix(r.Content, "."), r.Name)):
		return refuse(http.StatusBadRequest, 9007, "Content for CNAME record is invalid.")
	case r.Type == "MX" && r.Priority == nil:
		return refuse(http.StatusBadRequest, 9008, "Priority is required for MX records.")
	case r.Priority != nil && (*r.Priority < 0 || *r.Priority > 65535):
		return refuse(http.StatusBadRequest, 9008, "Priority must be between 0 and 65535.")
	case r.Proxied && !r.Proxiable:
		return refuse(http.StatusBadRequest, 9004, "This record type cannot be proxied.")
	case r.TTL != 1 && (r.TTL < 60 || r.TTL > 86400):
		return refuse(http.StatusBadRequest, 9021, "Invalid TTL. Must be between 60 and 86400 seconds, or 1 for Automatic.")
	case len(r.Tags) > 0:
		return refuse(http.StatusBadRequest, 9300, "DNS record has 1 tags, exceeding the quota of 0.")
	case len(text(r.Comment)) > 100:
		return refuse(http.StatusBadRequest, 9301, "DNS record comment is too long, the quota is 100 characters.")
	}
	return nil
}

// conflict refuses what cannot stand beside another record of the same name. The zone's apex
// may hold a CNAME beside others, which the real API flattens.
func (a *API) conflict(r *record) error {
	for _, other := range a.state.Records {
		if other.ID == r.ID || other.ZoneID != r.ZoneID || other.Name != r.Name {
			continue
		}
		address := func(t string) bool { return t == "A" || t == "AAAA" || t == "CNAME" }
		switch {
		case other.Type == r.Type && strings.EqualFold(other.Content, r.Content):
			return refuse(http.StatusBadRequest, 81058, "An identical record already exists.")
		case r.Type == "CNAME" && address(other.Type):
			return refuse(http.StatusBadRequest, 81053, "An A, AAAA, or CNAME record with that host already exists.")
		case other.Type == "CNAME" && address(r.Type):
			return refuse(http.StatusBadRequest, 81054, "A CNAME record with that host already exists.")
		case r.Type == "NS" && address(other.Type), other.Type == "NS" && address(r.Type):
			return refuse(http.StatusBadRequest, 81056, "NS records with that host already exist.")
		}
	}
	return nil
}

// fullName completes a name with the zone: "@" is the zone, "www" lies in it.
func fullName(name, zone string) string {
	name = strings.ToLower(strings.TrimSuffix(strings.TrimSpace(name), "."))
	if name == "@" || name == zone {
		return zone
	}
	if name == "" || strings.HasSuffix(name, "."+zone) {
		return name
	}
	return name + "." + zone
}

// contentOf writes the parts of a structured record as one line, as the API does.
func contentOf(recordType string, data map[string]any) string {
	parts := map[string][]string{
		"CAA":   {"flags", "tag", "value"},
		"SRV":   {"priority", "weight", "port", "target"},
		"SSHFP": {"algorithm", "type", "fingerprint"},
		"TLSA":  {"usage", "selector", "matching_type", "certificate"},
	}[recordType]
	words := []string{}
	for _, part := range parts {
		word := fmt.Sprint(data[part])
		if data[part] == nil {
			word = "0"
		}
		if recordType == "CAA" && part == "value" {
			word = strconv.Quote(word)
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}

func equalOrEmpty(want, have string) bool { return want == "" || strings.EqualFold(want, have) }

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func assign[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}
