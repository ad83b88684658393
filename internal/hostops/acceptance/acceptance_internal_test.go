package acceptance

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestMoreRowsThanTheManifestSaysAreFineAndFewerAreNot(t *testing.T) {
	want := map[string]int64{"public.users": 2, "public.orders": 3}
	for name, c := range map[string]struct {
		have map[string]int64
		bad  string
	}{
		"the same":      {map[string]int64{"public.users": 2, "public.orders": 3}, ""},
		"written since": {map[string]int64{"public.users": 3, "public.orders": 3, "public.new": 1}, ""},
		"a row is missing": {map[string]int64{"public.users": 2, "public.orders": 2}, "public.orders has 2 rows, its " +
			"manifest says 3"},
		"a table is missing":   {map[string]int64{"public.users": 2}, "public.orders has 0 rows"},
		"everything is missed": {nil, "public.users has 0 rows"},
	} {
		detail, err := compareRows(want, c.have)
		if (err == nil) != (c.bad == "") || err != nil && !strings.Contains(err.Error(),
			c.bad) || detail != "5 rows in 2 tables" {
			t.Errorf("%s: %q, %v", name, detail, err)
		}
	}
	if _, err := compareRows(map[string]int64{"public.users": 0}, map[string]int64{"public.users": 0}); err == nil ||
		!strings.Contains(err.Error(), "is empty") {
		t.Errorf("an empty database: %v", err)
	}
	if _, err := compareRows(nil, nil); !errors.Is(err, errNothingThere) {
		t.Errorf("a manifest without rows: %v", err)
	}
}

func TestPicturesAreFoundUnderBothRootsAndCompared(t *testing.T) {
	root := t.TempDir()
	write := func(path, text string) string {
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256([]byte(text))
		return hex.EncodeToString(sum[:])
	}
	public := asset{ID: "1", Key: "originals/1/a.png", Checksum: write("uploads/originals/1/a.png", "a")}
	trashed := asset{ID: "2", Key: "trash/2/b.png", Checksum: write("private_uploads/trash/2/b.png", "b")}
	write("secret.txt", "outside")
	if detail, err := comparePictures(root, []asset{public, trashed}); err != nil ||
		detail != "2 originals, 2 of them compared by hash" {
		t.Errorf("good ones: %q, %v", detail, err)
	}
	changed, lost, climbing := public, public, public
	changed.Checksum, lost.Key, climbing.Key = trashed.Checksum, "originals/1/gone.png", "../secret.txt"
	for name, c := range map[string]struct {
		a    asset
		want string
	}{
		"another content":       {changed, "another content"},
		"a missing file":        {lost, "under neither root"},
		"a key that climbs out": {climbing, "under neither root"},
	} {
		if _, err := comparePictures(root, []asset{public, c.a}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	many := make([]asset, 9)
	for i := range many {
		many[i] = lost
	}
	if _, err := comparePictures(root, many); err == nil || !strings.Contains(err.Error(), "and 4 more") {
		t.Errorf("nine lost ones: %v", err)
	}
}

func TestADefaultRouteIsSeen(t *testing.T) {
	const head = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
	const inside = "eth0\t001919AC\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
	const out = "eth1\t00000000\t01001BAC\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
	if hasDefaultRoute(head+inside) || hasDefaultRoute("") {
		t.Error("one is seen where there is none")
	}
	if !hasDefaultRoute(head + inside + out) {
		t.Error("it is not seen")
	}
}

func TestASitemapMustListPages(t *testing.T) {
	const open, end = `<?xml version="1.0" encoding="UTF-8"?><urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">`,
		`</urlset>`
	if n, err := countPages(open +
		"<url><loc>https://shop.example/</loc></url><url><loc>https://shop.example/a</loc></url>" +
		end); n != 2 || err != nil {
		t.Errorf("two pages: %d, %v", n, err)
	}
	for _, bad := range []string{open + end, "<html></html>", "", open + "<url>"} {
		if _, err := countPages(bad); err == nil {
			t.Errorf("%q passes for a sitemap", bad)
		}
	}
}
