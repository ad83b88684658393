package dns

import (
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"

	"github.com/miekg/dns"
)

const (
	automaticTTL = 300  // what TTL 1 means for a record that is not proxied
	soaTTL       = 1800 // also how long a missing name may be remembered
	maxAliases   = 8    // how many CNAMEs in a row are followed
	txtPiece     = 255  // the longest piece of a TXT record
)

// answer builds the reply to one query. A reply that does not fit into a UDP packet of the
// client's size is cut, and the client asks again over TCP.
func answer(zones []Zone, query *dns.Msg, udp bool) *dns.Msg {
	reply := new(dns.Msg)
	reply.SetReply(query)
	reply.Authoritative = true
	if query.Opcode != dns.OpcodeQuery || len(query.Question) != 1 {
		reply.Rcode = dns.RcodeNotImplemented
		return reply
	}
	size := dns.MinMsgSize
	if edns := query.IsEdns0(); edns != nil {
		size = int(edns.UDPSize())
		reply.SetEdns0(dns.DefaultMsgSize, false)
	}

	question := query.Question[0]
	name := strings.ToLower(strings.TrimSuffix(question.Name, "."))
	zone := zoneOf(zones, name)
	if zone == nil || question.Qclass != dns.ClassINET {
		reply.Authoritative = false
		reply.Rcode = dns.RcodeRefused
		return reply
	}
	resolve(zones, zone, name, question.Qtype, reply)
	if udp {
		reply.Truncate(max(size, dns.MinMsgSize))
	}
	return reply
}

// resolve adds the records of a name, following aliases as long as they stay in zones that are
// served here.
func resolve(zones []Zone, zone *Zone, name string, qtype uint16, reply *dns.Msg) {
	for range maxAliases {
		found, exists := zone.lookup(name)
		var alias string
		for _, record := range found {
			rrtype := dns.StringToType[record.Type]
			if rrtype != qtype && qtype != dns.TypeANY && rrtype != dns.TypeCNAME {
				continue
			}
			if rr := record.rr(name); rr != nil {
				reply.Answer = append(reply.Answer, rr)
			}
			if rrtype == dns.TypeCNAME && qtype != dns.TypeCNAME {
				alias = strings.ToLower(strings.TrimSuffix(record.Content, "."))
			}
		}
		if name == zone.Name && (qtype == dns.TypeSOA || qtype == dns.TypeANY) {
			reply.Answer = append(reply.Answer, zone.soa())
		}
		if alias == "" {
			if len(reply.Answer) == 0 {
				reply.Ns = append(reply.Ns, zone.soa())
				if !exists {
					reply.Rcode = dns.RcodeNameError
				}
			}
			return
		}
		if name, zone = alias, zoneOf(zones, alias); zone == nil {
			return
		}
	}
}

func zoneOf(zones []Zone, name string) *Zone {
	var best *Zone
	for i := range zones {
		z := &zones[i]
		if (name == z.Name || strings.HasSuffix(name, "."+z.Name)) && (best == nil || len(z.Name) > len(best.Name)) {
			best = z
		}
	}
	return best
}

// lookup returns the records of a name, or those of the wildcard that covers it, and whether
// the name exists: a name between the zone and a record does, without records of its own.
func (z *Zone) lookup(name string) (found []Record, exists bool) {
	exists = name == z.Name
	for _, r := range z.Records {
		exists = exists || r.Name == name || strings.HasSuffix(r.Name, "."+name)
		if r.Name == name {
			found = append(found, r)
		}
	}
	if name == z.Name && !slices.ContainsFunc(found, func(r Record) bool { return r.Type == "NS" }) {
		for _, server := range z.NameServers {
			found = append(found, Record{Name: name, Type: "NS", Content: server, TTL: soaTTL})
		}
	}
	for parent := name; !exists && parent != z.Name; {
		_, parent, _ = strings.Cut(parent, ".")
		for _, r := range z.Records {
			if r.Name == "*."+parent {
				found = append(found, r)
			}
		}
		if len(found) > 0 {
			return found, true
		}
		// A wildcard does not reach past a name that exists.
		if slices.ContainsFunc(z.Records, func(r Record) bool {
			return r.Name == parent || strings.HasSuffix(r.Name, "."+parent)
		}) {
			break
		}
	}
	return found, exists
}

// rr turns a record into wire form, under the name that was asked for. A content that is not
// valid for its type is left out.
func (r Record) rr(name string) dns.RR {
	content := r.Content
	switch r.Type {
	case "TXT":
		content = quote(content)
	case "MX":
		content = strconv.Itoa(int(r.Priority)) + " " + dns.Fqdn(content)
	case "CNAME", "NS", "PTR":
		content = dns.Fqdn(content)
	}
	ttl := r.TTL
	if ttl <= 1 {
		ttl = automaticTTL
	}
	rr, err := dns.NewRR(fmt.Sprintf("%s %d IN %s %s", dns.Fqdn(name), ttl, r.Type, content))
	if err != nil {
		return nil
	}
	return rr
}

// quote writes the text of a TXT record in pieces. Cloudflare takes texts with and without
// quotation marks.
func quote(content string) string {
	if strings.HasPrefix(content, `"`) && strings.HasSuffix(content, `"`) && len(content) > 1 {
		return content
	}
	escaped := func(s string) string {
		return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
	}
	var pieces []string
	for len(content) > txtPiece {
		pieces, content = append(pieces, escaped(content[:txtPiece])), content[txtPiece:]
	}
	return strings.Join(append(pieces, escaped(content)), " ")
}

// soa carries a serial number that changes with the records.
func (z *Zone) soa() dns.RR {
	sum := fnv.New32a()
	for _, r := range z.Records {
		_, _ = fmt.Fprintf(sum, "%s %s %s %d\n", r.Name, r.Type, r.Content, r.TTL)
	}
	server := "ns." + z.Name
	if len(z.NameServers) > 0 {
		server = z.NameServers[0]
	}
	return &dns.SOA{
		Hdr: dns.RR_Header{Name: dns.Fqdn(z.Name), Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: soaTTL},
		Ns:  dns.Fqdn(server), Mbox: dns.Fqdn("dns.cloudflare.com"), Serial: sum.Sum32(),
		Refresh: 10000, Retry: 2400, Expire: 604800, Minttl: soaTTL,
	}
}
