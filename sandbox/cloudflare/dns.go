package cloudflare

import "github.com/prekzursil/momentstudio-infra/sandbox/dns"

var _ dns.Source = (*API)(nil)

// DNSZones returns what a name server for the account's zones has to answer with.
func (a *API) DNSZones() []dns.Zone {
	a.mu.Lock()
	defer a.mu.Unlock()
	zones := make([]dns.Zone, 0, len(a.zones))
	for _, z := range a.zones {
		zone := dns.Zone{Name: z.Name, NameServers: z.NameServers}
		for _, r := range a.state.Records {
			if r.ZoneID != z.ID {
				continue
			}
			//nolint:gosec // validated: 1 to 86400
			record := dns.Record{Name: r.Name, Type: r.Type, Content: r.Content, TTL: uint32(r.TTL)}
			if r.Priority != nil {
				record.Priority = uint16(*r.Priority) //nolint:gosec // 16 bit on the wire
			}
			zone.Records = append(zone.Records, record)
		}
		zones = append(zones, zone)
	}
	return zones
}
