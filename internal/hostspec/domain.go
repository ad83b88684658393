package hostspec

// Domain is the shop's apex domain, without scheme and path: "momentstudio.ro".
type Domain string

// Apex is the name that serves the shop.
func (d Domain) Apex() string { return string(d) }

// WWW is the name that redirects to the apex.
func (d Domain) WWW() string { return "www." + string(d) }

// Names are all names of the shop, the apex first.
func (d Domain) Names() []string { return []string{d.Apex(), d.WWW()} }

// Origin is the shop's address, as browsers write an origin.
func (d Domain) Origin() string { return "https://" + string(d) }
