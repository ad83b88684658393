package update

import (
	"strings"
	"testing"

	"github.com/prekzursil/momentstudio-infra/internal/recovery"
	"github.com/prekzursil/momentstudio-infra/internal/resourcetype"
)

func TestWhatCannotBeMadeAgainIsForgottenByNameOnly(t *testing.T) {
	gone := []recovery.Recorded{
		{URN: "urn::host-data", Type: resourcetype.Volume, ID: "7", Key: "shop-data"},
		{URN: "urn::host-server", Type: resourcetype.Server, ID: "8", Key: "shop-node"},
		{URN: "urn::dns-apex", Type: resourcetype.Record, ID: "r", Key: "shop.example"},
	}
	err := refuseLosses("prod", gone, []string{"host-server"})
	if err == nil {
		t.Fatal("a volume that is gone is forgotten")
	}
	for _, want := range []string{"host-data, Volume shop-data (ID 7)", "studio recover --stack prod --yes --forget " +
		"host-data;", "restore"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("it does not say %q: %v", want, err)
		}
	}
	if strings.Contains(err.Error(), "host-server") || strings.Contains(err.Error(), "dns-apex") {
		t.Errorf("it names what may be forgotten: %v", err)
	}
	if err := refuseLosses("prod", gone, []string{"host-server", "host-data"}); err != nil {
		t.Error(err)
	}
}
