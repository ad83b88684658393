package hostspec

import (
	"slices"
	"testing"
)

func TestADomainIsTheApexItsWWWNameAndItsOrigin(t *testing.T) {
	d := Domain("shop.example")
	if d.Apex() != "shop.example" || d.WWW() != "www.shop.example" || d.Origin() != "https://shop.example" {
		t.Errorf("got %s, %s and %s", d.Apex(), d.WWW(), d.Origin())
	}
	if !slices.Equal(d.Names(), []string{"shop.example", "www.shop.example"}) {
		t.Errorf("got %v", d.Names())
	}
}
