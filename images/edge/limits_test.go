package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	maphandler "github.com/caddyserver/caddy/v2/modules/caddyhttp/map"
)

// zones are the limits of one minute, written down here once more so that one that gets lost or
// looser is noticed.
var zones = []struct {
	events int
	paths  []string
}{
	{10, []string{
		"/api/v1/orders/checkout", "/api/v1/orders/guest-checkout",
		"/api/v1/orders/guest-checkout/email/request", "/api/v1/payments/intent",
	}},
	{5, []string{"/api/v1/auth/verify/request", "/api/v1/auth/password-reset/request"}},
	{10, []string{"/api/v1/support/contact", "/api/v1/newsletter/subscribe"}},
	{10, []string{"/api/v1/auth/login", "/api/v1/auth/login/2fa", "/api/v1/auth/register"}},
	{10, []string{
		"/api/v1/auth/passkeys/login/options", "/api/v1/auth/passkeys/login/verify",
		"/api/v1/auth/passkeys/register/options", "/api/v1/auth/passkeys/register/verify", "/api/v1/auth/step-up",
	}},
	{10, []string{"/api/v1/auth/password-reset/confirm"}},
	{30, []string{"/api/v1/auth/refresh"}},
}

var webhooks = []string{
	"/api/v1/payments/webhook", "/api/v1/payments/paypal/webhook",
	"/api/v1/payments/netopia/webhook",
}

const (
	login         = "/api/v1/auth/login"
	loginAttempts = 10
)

// inNetwork gives addresses of one IPv6 /64, each time another. Half of the groups are zero, so
// that every way to shorten an address comes up.
func inNetwork(prefix string) func() string {
	network := netip.MustParsePrefix(prefix)
	return func() string {
		a := network.Addr().As16()
		for i := 8; i < 16; i += 2 {
			if rand.IntN(2) == 0 {
				binary.BigEndian.PutUint16(a[i:], uint16(rand.Uint32())) //nolint:gosec // any 16 bits
			}
		}
		return netip.AddrFrom16(a).String()
	}
}

func always(address string) func() string { return func() string { return address } }

// cloudflare gives addresses of Cloudflare's proxies.
func cloudflare() string {
	if rand.IntN(2) == 0 {
		return fmt.Sprintf("173.245.48.%d", 1+rand.IntN(250))
	}
	return fmt.Sprintf("2400:cb00:%x::%x", 1+rand.IntN(0xfff), 1+rand.IntN(0xfff))
}

// visitor sends as one client would: with an address of its own, directly or through Cloudflare.
type visitor struct {
	name    string
	address func() string
	proxied bool
}

func (v visitor) request(path string) request {
	r := request{method: http.MethodPost, path: path, from: v.address()}
	if v.proxied {
		r.header = map[string]string{"CF-Connecting-IP": r.from}
		r.from = cloudflare()
	}
	return r
}

func checkRefusal(t *testing.T, r *http.Response, what string) {
	t.Helper()
	if r.StatusCode != http.StatusTooManyRequests {
		t.Errorf("%s got %d, want 429", what, r.StatusCode)
		return
	}
	if wait, err := strconv.Atoi(r.Header.Get("Retry-After")); err != nil || wait < 1 || wait > 60 {
		t.Errorf("%s: Retry-After %q, want what is left of the minute", what, r.Header.Get("Retry-After"))
	}
}

// exhaust uses up the attempts to log in with requests that next makes, and expects that the one
// after the last is refused.
func exhaust(t *testing.T, s *site, next func(i int) request) {
	t.Helper()
	for i := range loginAttempts {
		if r, _ := s.do(t, next(i)); r.StatusCode != http.StatusOK {
			t.Fatalf("attempt %d got %d, want 200", i+1, r.StatusCode)
		}
	}
	s.last()
	r, _ := s.do(t, next(loginAttempts))
	checkRefusal(t, r, "the attempt after the last")
	if s.last() != nil {
		t.Error("the refused attempt reached the backend")
	}
}

func TestUnderLoadEachClientHasExactlyItsOwnAllowance(t *testing.T) {
	direct := []visitor{
		{"IPv4 A", always("127.0.0.31"), false},
		{"IPv4 B", always("127.0.0.32"), false},
		{"IPv4 C", always("127.0.0.33"), false},
		{"IPv4 D", always("127.0.1.31"), false},
		// Neighbours: they differ in the last bits of the prefix only.
		{"IPv6 A", inNetwork("fd00:5a:1:1::/64"), false},
		{"IPv6 B", inNetwork("fd00:5a:1:2::/64"), false},
		{"IPv6 with one zero group", inNetwork("fd00:5a:1::/64"), false},
		{"IPv6 with two zero groups", inNetwork("fd00:5a::/64"), false},
		{"IPv6 with three zero groups", inNetwork("fd00::/64"), false},
		{"IPv6 with zero groups inside", inNetwork("fd00:0:0:1::/64"), false},
	}
	proxied := []visitor{
		{"IPv4 A", always("203.0.113.1"), true},
		{"IPv4 B", always("203.0.113.2"), true},
		{"IPv4 C", always("203.0.112.1"), true},
		{"IPv4 D", always("::ffff:203.0.113.4"), true},
		{"IPv6 A", inNetwork("2001:db8:1:1::/64"), true},
		{"IPv6 B", inNetwork("2001:db8:1:2::/64"), true},
		{"IPv6 C", inNetwork("2001:db8::/64"), true},
		{"one who goes round the proxy", always("127.0.0.31"), false},
	}
	for _, c := range []struct {
		golden   string
		visitors []visitor
		stranger visitor
	}{
		{"static-acme", direct, visitor{"a new client", inNetwork("fd00:5a:1:3::/64"), false}},
		{"ssr-proxied-file", proxied, visitor{"a new client", always("203.0.113.9"), true}},
	} {
		t.Run(c.golden, func(t *testing.T) {
			s := start(t, c.golden)
			checkAllowed(t, s, c.visitors, sendAtOnce(t, s, c.visitors))
			for _, zone := range zones {
				if r, _ := s.do(t, c.stranger.request(zone.paths[0])); r.StatusCode != http.StatusOK {
					t.Errorf("%s got %d from %s, want 200", c.stranger.name, r.StatusCode, zone.paths[0])
				}
			}
		})
	}
}

// surplus is how many requests each visitor sends to a zone beyond its allowance, free how many to each webhook.
const surplus, free = 8, 35

// job is the n-th request of a visitor to a zone; zone len(zones) is the webhooks.
type job struct{ visitor, zone, n int }

// sendAtOnce sends all requests of all visitors in a random order and counts those that are answered, by visitor and
// zone. Every other answer must be a refusal.
func sendAtOnce(t *testing.T, s *site, visitors []visitor) map[[2]int]int {
	t.Helper()
	var jobs []job
	for v := range visitors {
		for z, zone := range zones {
			for n := range zone.events + surplus {
				jobs = append(jobs, job{v, z, n})
			}
		}
		for n := range free * len(webhooks) {
			jobs = append(jobs, job{v, len(zones), n})
		}
	}
	rand.Shuffle(len(jobs), func(i, j int) { jobs[i], jobs[j] = jobs[j], jobs[i] })

	queue := make(chan job)
	var mu sync.Mutex
	allowed := map[[2]int]int{}
	var workers sync.WaitGroup
	begin := time.Now()
	for range 16 {
		workers.Go(func() {
			for j := range queue {
				paths := webhooks
				if j.zone < len(zones) {
					paths = zones[j.zone].paths
				}
				path := paths[j.n%len(paths)]
				r, _, err := s.send(visitors[j.visitor].request(path))
				switch {
				case err != nil:
					t.Errorf("%s to %s: %v", visitors[j.visitor].name, path, err)
				case r.StatusCode == http.StatusOK:
					mu.Lock()
					allowed[[2]int{j.visitor, j.zone}]++
					mu.Unlock()
				default:
					checkRefusal(t, r, visitors[j.visitor].name+" to "+path)
				}
			}
		})
	}
	for _, j := range jobs {
		queue <- j
	}
	close(queue)
	workers.Wait()
	if took := time.Since(begin); took > 50*time.Second {
		t.Fatalf("the load took %s: allowances were renewed meanwhile, so that nothing can be said", took)
	}
	return allowed
}

// checkAllowed compares what was answered, and what reached the backend, with each visitor's allowance.
func checkAllowed(t *testing.T, s *site, visitors []visitor, allowed map[[2]int]int) {
	t.Helper()
	for v, visitor := range visitors {
		for z, zone := range zones {
			if got := allowed[[2]int{v, z}]; got != zone.events {
				t.Errorf("%s was let through %d times to %s, want %d", visitor.name, got, zone.paths[0], zone.events)
			}
		}
		if got := allowed[[2]int{v, len(zones)}]; got != free*len(webhooks) {
			t.Errorf("%s was let through %d times to the webhooks, want all %d: payment providers are never limited",
				visitor.name, got, free*len(webhooks))
		}
	}
	arrived := map[string]int{}
	s.mu.Lock()
	for _, r := range s.seen {
		arrived[r.URL.Path]++
	}
	s.mu.Unlock()
	for _, zone := range zones {
		sum := 0
		for _, p := range zone.paths {
			sum += arrived[p]
		}
		if want := zone.events * len(visitors); sum != want {
			t.Errorf("%d requests to %s and its like reached the backend, want %d", sum, zone.paths[0], want)
		}
	}
}

func TestAnotherAddressOfTheSameNetworkIsTheSameClient(t *testing.T) {
	for _, c := range []struct {
		golden, same, next string
		proxied            bool
	}{
		{"static-acme", "fd00:5a:7:7::/64", "fd00:5a:7:8::/64", false},
		{"ssr-proxied-file", "fd00:5a:7:7::/64", "fd00:5a:7:8::/64", false},
		{"ssr-proxied-file", "2001:db8:7:7::/64", "2001:db8:7:8::/64", true},
	} {
		t.Run(c.golden+" "+c.same, func(t *testing.T) {
			s := start(t, c.golden)
			same := visitor{address: inNetwork(c.same), proxied: c.proxied}
			exhaust(t, s, func(int) request { return same.request(login) })
			next := visitor{address: inNetwork(c.next), proxied: c.proxied}
			if r, _ := s.do(t, next.request(login)); r.StatusCode != http.StatusOK {
				t.Errorf("the network next to it got %d, want 200", r.StatusCode)
			}
		})
	}
}

func TestMappedAddressIsTheIPv4ClientItStandsFor(t *testing.T) {
	s := start(t, "ssr-proxied-file")
	spellings := []string{"203.0.113.7", "::ffff:203.0.113.7", "::FFFF:cb00:7107", "0:0:0:0:0:ffff:203.0.113.7"}
	exhaust(t, s, func(i int) request {
		return visitor{address: always(spellings[i%len(spellings)]), proxied: true}.request(login)
	})
	for _, other := range []string{"203.0.113.8", "::ffff:203.0.113.9", "::ffff:cb00:710a"} {
		if r, _ := s.do(t, visitor{address: always(other), proxied: true}.request(login)); r.StatusCode != http.StatusOK {
			t.Errorf("%s got %d, want 200: mapped addresses are not one client", other, r.StatusCode)
		}
	}
}

// clientNetwork is the rendered map's answer for an address.
func clientNetwork(t *testing.T, golden string) func(address string) string {
	t.Helper()
	var rendered *maphandler.Handler
	var find func(v any)
	find = func(v any) {
		switch x := v.(type) {
		case map[string]any:
			if x["handler"] == "map" {
				text, err := json.Marshal(x)
				if err != nil {
					t.Fatal(err)
				}
				rendered = &maphandler.Handler{}
				if err := json.Unmarshal(text, rendered); err != nil {
					t.Fatal(err)
				}
			}
			for _, child := range x {
				find(child)
			}
		case []any:
			for _, child := range x {
				find(child)
			}
		}
	}
	var config any
	if err := json.Unmarshal(adapt(t, goldens(t)[golden]), &config); err != nil {
		t.Fatal(err)
	}
	find(config)
	if rendered == nil {
		t.Fatal("no map in the configuration")
	}
	if err := rendered.Provision(caddy.Context{}); err != nil {
		t.Fatal(err)
	}
	return func(address string) (network string) {
		r := httptest.NewRequest(http.MethodPost, login, nil)
		repl := caddy.NewReplacer()
		r = caddyhttp.PrepareRequest(r, repl, nil, nil)
		caddyhttp.SetVar(r.Context(), caddyhttp.ClientIPVarKey, address)
		err := rendered.ServeHTTP(nil, r, caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error {
			network = repl.ReplaceAll("{client_network}", "")
			return nil
		}))
		if err != nil {
			t.Fatal(err)
		}
		return network
	}
}

func TestKeyIsTheAddressOrTheFirstHalfOfIt(t *testing.T) {
	network := clientNetwork(t, "static-acme")
	for address, want := range map[string]string{
		"203.0.113.7": "203.0.113.7", "::ffff:203.0.113.7": "203.0.113.7",
		"2001:db8:1:2:3:4:5:6": "2001:db8:1:2", "2001:db8:1:2::": "2001:db8:1:2", "2001:db8:1:2::6": "2001:db8:1:2",
		"2001:db8:1::": "2001:db8:1:0", "2001:db8:1:0:3:4:5:6": "2001:db8:1:0", "2001:db8:1::4:5:6": "2001:db8:1:0",
		"2001:db8::": "2001:db8:0:0", "2001:db8::3:4:5:6": "2001:db8:0:0", "2001:db8:0:2::": "2001:db8:0:2",
		"2001::": "2001:0:0:0", "2001::4:5:6": "2001:0:0:0", "2001::3:4:5:6": "2001:0:0:0", "2001::2:3:4:5:6": "2001:0:0:2",
		"2001:0:0:2::": "2001:0:0:2", "2001:0:1::6": "2001:0:1:0",
		"::1": "::", "::": "::", "::5:6:7:8": "::", "": "",
	} {
		if got := network(address); got != want {
			t.Errorf("%q is counted as %q, want %q", address, got, want)
		}
	}

	// All others: two addresses are one client when their first four groups are the same, and only then.
	for range 50_000 {
		var a [16]byte
		for i := 0; i < 16; i += 2 {
			if i == 0 || rand.IntN(2) == 0 {
				binary.BigEndian.PutUint16(a[i:], uint16(1+rand.IntN(0xffff))) //nolint:gosec // at most 0xffff
			}
		}
		var groups []string
		for i := 0; i < 8; i += 2 {
			groups = append(groups, strconv.FormatUint(uint64(binary.BigEndian.Uint16(a[i:])), 16))
		}
		address := netip.AddrFrom16(a).String()
		if got, want := network(address), strings.Join(groups, ":"); got != want {
			t.Fatalf("%s is counted as %q, want %q", address, got, want)
		}
	}
}

func TestForgedAddressesOpenNoNewAllowance(t *testing.T) {
	forged := map[string]string{ // %d is another one for each attempt
		"X-Forwarded-For": "198.51.100.%d", "X-Real-IP": "198.51.100.%d", "Forwarded": "for=198.51.100.%d;proto=https",
		"True-Client-IP": "198.51.100.%d", "X-Client-IP": "198.51.100.%d", "X-Cluster-Client-IP": "198.51.100.%d",
		"Fastly-Client-IP": "198.51.100.%d", "CF-Connecting-IPv6": "2001:db8:%d::1", "CF-Pseudo-IPv4": "240.0.0.%d",
		"X-Originating-IP": "198.51.100.%d", "X-Momentstudio-Client-IP": "198.51.100.%d", "Via": "1.1 proxy%d",
		"Connection": "X-Forwarded-For, X-Real-IP, CF-Connecting-IP, x%d", "Cookie": "client=%d", "User-Agent": "browser/%d",
	}
	peer := 0
	check := func(s *site, name string, v visitor, header map[string]string) {
		t.Run(name, func(t *testing.T) {
			exhaust(t, s, func(i int) request {
				r := v.request(login)
				if r.header == nil {
					r.header = map[string]string{}
				}
				for name, value := range header {
					r.header[name] = strings.ReplaceAll(value, "%d", strconv.Itoa(i+1))
				}
				return r
			})
		})
	}
	for _, golden := range []string{"static-acme", "ssr-proxied-file"} {
		t.Run(golden, func(t *testing.T) {
			s := start(t, golden)
			direct := func() visitor { peer++; return visitor{address: always(fmt.Sprintf("127.0.2.%d", peer))} }
			for name, value := range forged {
				check(s, golden+": "+name, direct(), map[string]string{name: value})
			}
			// Of a client that is no proxy of Cloudflare's, in the proxied configuration too.
			for _, value := range []string{"198.51.100.%d", "2001:db8:%d::1", "173.245.48.%d, 198.51.100.%d"} {
				check(s, golden+": CF-Connecting-IP "+value, direct(), map[string]string{"CF-Connecting-IP": value})
			}
			check(s, golden+": all at once", direct(), forged)
			check(s, golden+": all at once over IPv6", visitor{address: inNetwork("fd00:5a:9:9::/64")}, forged)
			if golden != "ssr-proxied-file" {
				return
			}
			for _, address := range []func() string{always("203.0.113.20"), inNetwork("2001:db8:9:9::/64")} {
				check(s, golden+": behind Cloudflare "+address(), visitor{address: address, proxied: true}, forged)
			}
			// What a client itself claims stands left of what the proxy adds.
			check(s, golden+": a claim before the proxy's own", visitor{address: cloudflare},
				map[string]string{"CF-Connecting-IP": "198.51.100.%d, 203.0.113.21"})
			// Without a usable address the proxy is who is counted: nobody has more for it.
			check(s, golden+": a claim that is no address", visitor{address: always("173.245.48.251")},
				map[string]string{"CF-Connecting-IP": "nobody-%d"})
			check(s, golden+": a claim to be a proxy", visitor{address: always("173.245.48.252")},
				map[string]string{"CF-Connecting-IP": "173.245.49.%d"})
		})
	}
}

// raw sends a request line as it is written, which Go's client would tidy up.
func (s *site) raw(t *testing.T, from, method, target string, header ...string) *http.Response {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	conn, err := s.dial(ctx, from)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	lines := append([]string{
		method + " " + target + " HTTP/1.1", "Host: shop.example", "Content-Length: 0",
		"Connection: close",
	}, header...)
	fmt.Fprint(conn, strings.Join(lines, "\r\n")+"\r\n\r\n")
	r, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%s %q: %v", method, target, err)
	}
	defer r.Body.Close()
	if _, err := io.ReadAll(r.Body); err != nil {
		t.Fatalf("%s %q: %v", method, target, err)
	}
	return r
}

func TestOtherSpellingsOfAPathShareItsAllowance(t *testing.T) {
	s := start(t, "static-acme")
	for i, c := range []struct{ name, target string }{
		// These reach the application's route.
		{"a trailing slash", "/api/v1/auth/login/"},
		{"many trailing slashes", "/api/v1/auth/login///"},
		{"an encoded letter", "/api/v1/auth/%6cogin"},
		{"an encoded letter in capitals", "/api/v1/auth/%6Cogin"},
		{"encoded letters everywhere", "/%61%70%69/v1/%61uth/%6c%6f%67%69%6e"},
		{"an encoded slash", "/api/v1/auth%2Flogin"},
		{"an encoded trailing slash", "/api/v1/auth/login%2F"},
		{"a query", "/api/v1/auth/login?a=b"},
		{"an empty query", "/api/v1/auth/login?"},
		{"another path in the query", "/api/v1/auth/login?/api/v1/payments/webhook"},
		{"a newline at the end", "/api/v1/auth/login%0A"},
		{"a newline and a slash at the end", "/api/v1/auth/login%0a/"},
		{"an absolute address", "http://shop.example/api/v1/auth/login"},
		// The application answers 404 to these, because it compares paths as they are, capitals and
		// empty parts included. They are counted all the same: nobody writes them by accident.
		{"capitals", "/API/V1/AUTH/LOGIN"},
		{"one capital", "/api/v1/auth/Login"},
		{"a doubled slash", "/api/v1/auth//login"},
		{"doubled slashes everywhere", "//api//v1//auth//login"},
		{"a dot", "/api/v1/./auth/login"},
		{"a way round", "/api/v1/payments/webhook/../../auth/login"},
		{"an encoded way round", "/api/v1/payments/webhook/%2e%2e/%2E./auth/login"},
		{"a space at the end", "/api/v1/auth/login%20"},
	} {
		t.Run(c.name, func(t *testing.T) {
			from := fmt.Sprintf("127.0.3.%d", i+1)
			for n := range loginAttempts {
				// Every other attempt is the usual path: it is one allowance, not one each.
				target := c.target
				if n%2 == 1 {
					target = login
				}
				if r := s.raw(t, from, http.MethodPost, target); r.StatusCode != http.StatusOK {
					t.Fatalf("attempt %d got %d, want 200", n+1, r.StatusCode)
				}
			}
			s.last()
			checkRefusal(t, s.raw(t, from, http.MethodPost, c.target), c.target)
			checkRefusal(t, s.raw(t, from, http.MethodPost, login), "the usual path after "+c.target)
			if s.last() != nil {
				t.Error("a refused attempt reached the backend")
			}
		})
	}
}

// spellings are attempts at a request line that a limit does not know and the application does.
func spellings(path string) [][2]string {
	var all [][2]string
	post := func(targets ...string) {
		for _, target := range targets {
			all = append(all, [2]string{http.MethodPost, target})
		}
	}
	post(path)
	for i := range path {
		head, c, tail := path[:i], path[i], path[i+1:]
		post(fmt.Sprintf("%s%%%02x%s", head, c, tail), fmt.Sprintf("%s%%%02X%s", head, c, tail),
			fmt.Sprintf("%s%%25%02x%s", head, c, tail), head+strings.ToUpper(string(c))+tail)
		if c == '/' {
			for _, s := range []string{
				"//", "/./", "/%2e/", "/x/../", "/x/%2e%2e/", "%2F%2f", `\`, "%5C", "/;/", "/%00/",
				"/%0A", "%0A/",
			} {
				post(head + s + tail)
			}
		}
	}
	for _, s := range []string{
		"/", "//", "/.", "/./", "/x/..", "/%2e", "%2F", "%2f/", "%0A", "%0a", "%0A%0A", "%0A/", "/%0A", "/%0A/",
		"%0D", "%0D%0A", "%09", "%0B", "%0C", "%1C", "%85", "%C2%85", "%E2%80%A8", "%20", "%00", "%00/", "+", ".", "%2E",
		"..", "*", "~",
		";", ";a=b", "/;a=b", "?", "??", "?a=b", "%3F", "%3Fa=b", "#", "#a", "%23a", `\`, "%5C", ".json", "&", ":", "@",
		"%FF", "%EF%BB%BF",
	} {
		post(path+s, path+s+"?a=b")
	}
	post("http://shop.example"+path, "https://shop.example"+path+"/", "http://other.example"+path, "/"+path, "/.."+path,
		"/%2e%2e"+path)
	for _, method := range []string{"post", "Post", "POSt", "GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"} {
		all = append(all, [2]string{method, path}, [2]string{method, path + "/"})
	}
	return all
}

// routed tells whether the application's router takes the request for one to the path, or answers
// it with a redirect there. It compares the method and the decoded path with capitals counting,
// and lets a newline stand at the end: so does $ in Python's expressions.
func routed(r *http.Request, path string) bool {
	return r.Method == http.MethodPost && strings.TrimSuffix(strings.TrimRight(r.URL.Path, "/"), "\n") == path
}

func TestNoSpellingReachesALimitedRouteAfterTheAllowance(t *testing.T) {
	s := start(t, "static-acme")
	client := 0
	for _, zone := range zones {
		for _, path := range zone.paths {
			t.Run(path, func(t *testing.T) {
				client++
				from := fmt.Sprintf("127.0.4.%d", client)
				begin := time.Now()
				for range zone.events {
					if r := s.raw(t, from, http.MethodPost, path); r.StatusCode != http.StatusOK {
						t.Fatalf("got %d within the allowance, want 200", r.StatusCode)
					}
				}
				refused := 0
				for _, line := range spellings(path) {
					s.last()
					r := s.raw(t, from, line[0], line[1])
					saw := s.last()
					switch {
					case r.StatusCode == http.StatusTooManyRequests:
						refused++
						if saw != nil {
							t.Errorf("%s %q was refused and reached an upstream", line[0], line[1])
						}
					case saw == nil && r.StatusCode != http.StatusBadRequest && r.StatusCode != http.StatusNotFound &&
						line[1] != "http://other.example"+path:
						t.Errorf("%s %q got %d, which no rule of this site explains", line[0], line[1], r.StatusCode)
					case saw != nil && routed(saw, path):
						t.Errorf("%s %q reaches the route, as %s %q", line[0], line[1], saw.Method, saw.URL.Path)
					}
				}
				if took := time.Since(begin); took > 50*time.Second {
					t.Fatalf("it took %s: the allowance was renewed meanwhile", took)
				}
				if refused < 2*len(path) {
					t.Errorf("only %d spellings were refused: the allowance was not used up", refused)
				}
			})
		}
	}
}

func TestMethodOverridesChangeNothing(t *testing.T) {
	s := start(t, "static-acme")
	overrides := []string{"X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"}
	for i, name := range overrides {
		t.Run(name, func(t *testing.T) {
			from := fmt.Sprintf("127.0.5.%d", i+1)
			exhaust(t, s, func(int) request {
				return request{
					method: http.MethodPost, path: login + "?_method=GET", from: from,
					header: map[string]string{name: "GET"},
				}
			})
			// The other way round it stays a GET, which the application does not take for a login.
			r, _ := s.do(t, request{path: login + "?_method=POST", from: from, header: map[string]string{name: "POST"}})
			if saw := s.last(); r.StatusCode != http.StatusOK || saw == nil || saw.Method != http.MethodGet {
				t.Errorf("a GET got %d, want it to reach the backend as a GET", r.StatusCode)
			}
		})
	}
}

func TestConnectionsOfAClientShareItsAllowance(t *testing.T) {
	s := start(t, "static-acme")
	t.Run("one connection kept alive", func(t *testing.T) {
		const from = "127.0.6.1"
		transport := &http.Transport{MaxConnsPerHost: 1, DialContext: func(ctx context.Context, _, _ string) (net.Conn,
			error,
		) {
			return s.dial(ctx, from)
		}}
		defer transport.CloseIdleConnections()
		reused := 0
		trace := &httptrace.ClientTrace{GotConn: func(c httptrace.GotConnInfo) {
			if c.Reused {
				reused++
			}
		}}
		for i := 1; i <= loginAttempts+1; i++ {
			q, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), http.MethodPost,
				"http://"+s.address+login, nil)
			if err != nil {
				t.Fatal(err)
			}
			q.Host = "shop.example"
			r, err := transport.RoundTrip(q)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, r.Body)
			r.Body.Close()
			if i <= loginAttempts && r.StatusCode != http.StatusOK {
				t.Fatalf("attempt %d got %d, want 200", i, r.StatusCode)
			}
			if i > loginAttempts {
				checkRefusal(t, r, "the attempt after the last")
			}
		}
		if reused != loginAttempts {
			t.Errorf("the connection was used again %d times, want %d", reused, loginAttempts)
		}
		r, _ := s.do(t, request{method: http.MethodPost, path: login, from: from})
		checkRefusal(t, r, "a new connection of the same client")
	})
	t.Run("a new connection each", func(t *testing.T) {
		exhaust(t, s, func(int) request { return request{method: http.MethodPost, path: login, from: "127.0.6.2"} })
	})
	t.Run("all at once on one connection", func(t *testing.T) {
		conn, err := s.dial(t.Context(), "127.0.6.3")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprint(conn, strings.Repeat("POST "+login+" HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 0\r\n\r\n",
			loginAttempts+1))
		answers := bufio.NewReader(conn)
		for i := 1; i <= loginAttempts+1; i++ {
			r, err := http.ReadResponse(answers, nil)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, r.Body)
			r.Body.Close()
			if i <= loginAttempts && r.StatusCode != http.StatusOK {
				t.Fatalf("attempt %d got %d, want 200", i, r.StatusCode)
			}
			if i > loginAttempts {
				checkRefusal(t, r, "the attempt after the last")
			}
		}
	})
}

func TestEarlyDataIsOff(t *testing.T) {
	for name, path := range goldens(t) {
		var c struct {
			Apps struct {
				HTTP struct {
					Servers map[string]*caddyhttp.Server `json:"servers"`
				} `json:"http"`
			} `json:"apps"`
		}
		if err := json.Unmarshal(adapt(t, path), &c); err != nil {
			t.Fatal(err)
		}
		for _, server := range c.Apps.HTTP.Servers {
			if server.Allow0RTT == nil || *server.Allow0RTT {
				t.Errorf("%s: the server takes early data, whose sender is not verified: each forged address has an allowance",
					name)
			}
		}
		if len(c.Apps.HTTP.Servers) == 0 {
			t.Errorf("%s: no server", name)
		}
	}
}
