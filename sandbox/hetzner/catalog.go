package hetzner

import (
	"net/http"
	"slices"
	"time"

	"github.com/hetznercloud/hcloud-go/v2/hcloud/schema"
)

// The catalog is what the provider offers. Figures are of the kind that the
// real one has; nothing may depend on a price.

var locations = []schema.Location{
	{
		ID: 1, Name: "fsn1", Description: "Falkenstein DC Park 1", Country: "DE", City: "Falkenstein", Latitude: 50.47612,
		Longitude: 12.370071, NetworkZone: "eu-central",
	},
	{
		ID: 2, Name: "nbg1", Description: "Nuremberg DC Park 1", Country: "DE", City: "Nuremberg", Latitude: 49.452102,
		Longitude: 11.076665, NetworkZone: "eu-central",
	},
	{
		ID: 3, Name: "hel1", Description: "Helsinki DC Park 1", Country: "FI", City: "Helsinki", Latitude: 60.169855,
		Longitude: 24.938379, NetworkZone: "eu-central",
	},
}

var serverTypes = []schema.ServerType{
	serverType(114, "cx23", "x86", "shared", 2, 4, 40, "3.49"),
	serverType(115, "cx33", "x86", "shared", 4, 8, 80, "5.49"),
	serverType(116, "cx43", "x86", "shared", 8, 16, 160, "9.49"),
	serverType(22, "cpx11", "x86", "shared", 2, 2, 40, "4.35"),
	serverType(23, "cpx21", "x86", "shared", 3, 4, 80, "7.55"),
	serverType(24, "cpx31", "x86", "shared", 4, 8, 160, "13.60"),
	serverType(45, "cax11", "arm", "shared", 2, 4, 40, "3.79"),
	serverType(93, "cax21", "arm", "shared", 4, 8, 80, "6.49"),
	serverType(96, "ccx13", "x86", "dedicated", 2, 8, 80, "12.49"),
	serverType(97, "ccx23", "x86", "dedicated", 4, 16, 160, "24.49"),
}

func serverType(id int64, name, arch, cpu string, cores int, memory float32, disk int,
	monthly string,
) schema.ServerType {
	t := schema.ServerType{
		ID: id, Name: name, Description: name, Category: "Cost-Optimized", Cores: cores, Memory: memory, Disk: disk,
		StorageType: "local", CPUType: cpu, Architecture: arch,
	}
	for _, l := range locations {
		t.Prices = append(t.Prices, schema.PricingServerTypePrice{
			Location: l.Name, PriceHourly: schema.Price{Net: "0.0060", Gross: "0.0071"},
			PriceMonthly: schema.Price{Net: monthly, Gross: monthly}, IncludedTraffic: 20 << 40,
			PricePerTBTraffic: schema.Price{Net: "1.00", Gross: "1.19"},
		})
		t.Locations = append(t.Locations, schema.ServerTypeLocation{ID: l.ID, Name: l.Name})
	}
	return t
}

var images = []schema.Image{
	image(114690387, "debian-12", "x86", "debian", "12", "Debian 12"),
	image(114690389, "debian-12", "arm", "debian", "12", "Debian 12"),
	image(310557660, "debian-13", "x86", "debian", "13", "Debian 13"),
	image(161547269, "ubuntu-24.04", "x86", "ubuntu", "24.04", "Ubuntu 24.04"),
	image(161547270, "ubuntu-24.04", "arm", "ubuntu", "24.04", "Ubuntu 24.04"),
}

func image(id int64, name, arch, flavor, version, description string) schema.Image {
	since := time.Date(2023, 6, 13, 6, 0, 0, 0, time.UTC)
	return schema.Image{
		ID: id, Status: "available", Type: "system", Name: &name, Description: description, DiskSize: 5,
		Created: &since, OSFlavor: flavor, OSVersion: &version, Architecture: arch, RapidDeploy: true,
		Labels: map[string]string{},
	}
}

func datacenters() []schema.Datacenter {
	var ids []int64
	for _, t := range serverTypes {
		ids = append(ids, t.ID)
	}
	var found []schema.Datacenter
	for i, name := range []string{"fsn1-dc14", "nbg1-dc3", "hel1-dc2"} {
		found = append(found, schema.Datacenter{
			ID: int64(i + 2), Name: name, Description: locations[i].City, Location: locations[i],
			ServerTypes: schema.DatacenterServerTypes{Supported: ids, Available: ids, AvailableForMigration: ids},
		})
	}
	return found
}

func (a *API) catalogRoutes() map[string]handler {
	return map[string]handler{
		"GET /v1/locations": catalog("locations", locations, func(q *request,
			l schema.Location,
		) bool {
			return named(q, l.Name)
		}),
		"GET /v1/locations/{id}": catalogItem("location", locations, func(l schema.Location) int64 { return l.ID }),
		"GET /v1/datacenters": catalog("datacenters", datacenters(),
			func(q *request, d schema.Datacenter) bool { return named(q, d.Name) }),
		"GET /v1/datacenters/{id}": catalogItem("datacenter", datacenters(),
			func(d schema.Datacenter) int64 { return d.ID }),
		"GET /v1/server_types": catalog("server_types", serverTypes,
			func(q *request, t schema.ServerType) bool { return named(q, t.Name) }),
		"GET /v1/server_types/{id}": catalogItem("server_type", serverTypes, func(t schema.ServerType) int64 { return t.ID }),
		"GET /v1/images": catalog("images", images, func(q *request, i schema.Image) bool {
			return named(q, *i.Name) && among(q, "architecture", i.Architecture) && among(q, "type", i.Type) && among(q,
				"status", i.Status) &&
				q.URL.Query().Get("label_selector") == ""
		}),
		"GET /v1/images/{id}": catalogItem("image", images, func(i schema.Image) int64 { return i.ID }),
		"GET /v1/pricing":     pricing,
	}
}

func catalog[T any](name string, items []T, match func(*request, T) bool) handler {
	return func(q *request) (int, any, error) {
		found := []T{}
		for _, item := range items {
			if match(q, item) {
				found = append(found, item)
			}
		}
		return page(q, name, found)
	}
}

func catalogItem[T any](name string, items []T, id func(T) int64) handler {
	return func(q *request) (int, any, error) {
		i := slices.IndexFunc(items, func(item T) bool { return id(item) == q.id })
		if i < 0 {
			return 0, nil, notFound(name, q.id)
		}
		return http.StatusOK, map[string]any{name: items[i]}, nil
	}
}

func named(q *request, name string) bool { return among(q, "name", name) }

func among(q *request, parameter, value string) bool {
	wanted := q.URL.Query()[parameter]
	return len(wanted) == 0 || slices.Contains(wanted, value)
}

func pricing(*request) (int, any, error) {
	price := schema.Price{Net: "0.0440", Gross: "0.0524"}
	p := schema.Pricing{
		Currency: "EUR", VATRate: "19.00", Image: schema.PricingImage{PricePerGBMonth: price},
		Volume: schema.PricingVolume{PricePerGBPerMonth: price}, ServerBackup: schema.PricingServerBackup{
			Percentage: "20.00",
		},
	}
	for _, t := range serverTypes {
		p.ServerTypes = append(p.ServerTypes, schema.PricingServerType{ID: t.ID, Name: t.Name, Prices: t.Prices})
	}
	monthly := schema.Price{Net: "0.50", Gross: "0.60"}
	for _, version := range []string{"ipv4", "ipv6"} {
		primary := schema.PricingPrimaryIP{Type: version}
		floating := schema.PricingFloatingIPType{Type: version}
		for _, l := range locations {
			primary.Prices = append(primary.Prices, schema.PricingPrimaryIPTypePrice{
				Location: l.Name, PriceHourly: schema.Price{Net: "0.0008", Gross: "0.0010"}, PriceMonthly: monthly,
			})
			floating.Prices = append(floating.Prices, schema.PricingFloatingIPTypePrice{Location: l.Name, PriceMonthly: monthly})
		}
		p.PrimaryIPs = append(p.PrimaryIPs, primary)
		p.FloatingIPs = append(p.FloatingIPs, floating)
	}
	return http.StatusOK, schema.PricingGetResponse{Pricing: p}, nil
}

func locationNamed(name string) (schema.Location, bool) {
	for _, l := range locations {
		if l.Name == name {
			return l, true
		}
	}
	return schema.Location{}, false
}
