package dns_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/prekzursil/momentstudio-infra/sandbox/dns"
)

type fixed []dns.Zone

func (f fixed) DNSZones() []dns.Zone { return f }

func serve(t *testing.T) *dns.Server {
	t.Helper()
	server, err := dns.Serve(context.Background(), "127.0.0.1:0", fixed{
		{Name: "a.test", NameServers: []string{"ns1.cloudflare.com"}, Records: []dns.Record{
			{Name: "a.test", Type: "A", Content: "192.0.2.1", TTL: 1},
			{Name: "a.test", Type: "MX", Content: "mail.a.test", Priority: 10, TTL: 60},
			{Name: "www.a.test", Type: "CNAME", Content: "edge.b.test", TTL: 60},
			{Name: "away.a.test", Type: "CNAME", Content: "example.org", TTL: 60},
			{Name: "deep.er.a.test", Type: "AAAA", Content: "2001:db8::1", TTL: 60},
			{Name: "*.shop.a.test", Type: "A", Content: "192.0.2.7", TTL: 60},
			{Name: "_acme-challenge.a.test", Type: "TXT", Content: `tok"en`, TTL: 60},
			{Name: "long.a.test", Type: "TXT", Content: strings.Repeat("x", 2000), TTL: 60},
		}},
		{Name: "b.test", Records: []dns.Record{{Name: "edge.b.test", Type: "A", Content: "192.0.2.2", TTL: 90}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	return server
}

func ask(t *testing.T, server *dns.Server, network, name, kind string) *mdns.Msg {
	t.Helper()
	query := new(mdns.Msg)
	query.SetQuestion(mdns.Fqdn(name), mdns.StringToType[kind])
	reply, _, err := (&mdns.Client{Net: network}).Exchange(query, server.Addr())
	if err != nil {
		t.Fatalf("%s %s over %s: %v", name, kind, network, err)
	}
	return reply
}

func TestAnswersComeFromTheZones(t *testing.T) {
	server := serve(t)
	cases := []struct {
		name, kind string
		rcode      int
		answers    []string // parts of the answers, in order
	}{
		{"a.test", "A", mdns.RcodeSuccess, []string{"300\tIN\tA\t192.0.2.1"}},
		{"A.Test", "MX", mdns.RcodeSuccess, []string{"MX\t10 mail.a.test."}},
		{"a.test", "NS", mdns.RcodeSuccess, []string{"NS\tns1.cloudflare.com."}},
		{"a.test", "SOA", mdns.RcodeSuccess, []string{"SOA\tns1.cloudflare.com."}},
		{"a.test", "CAA", mdns.RcodeSuccess, nil},
		{"www.a.test", "A", mdns.RcodeSuccess, []string{"CNAME\tedge.b.test.", "A\t192.0.2.2"}},
		{"www.a.test", "CAA", mdns.RcodeSuccess, []string{"CNAME\tedge.b.test."}},
		{"away.a.test", "A", mdns.RcodeSuccess, []string{"CNAME\texample.org."}},
		{"er.a.test", "A", mdns.RcodeSuccess, nil},
		{"deep.er.a.test", "AAAA", mdns.RcodeSuccess, []string{"AAAA\t2001:db8::1"}},
		{"x.shop.a.test", "A", mdns.RcodeSuccess, []string{"x.shop.a.test.\t60\tIN\tA\t192.0.2.7"}},
		{"x.www.a.test", "A", mdns.RcodeNameError, nil},
		{"_acme-challenge.a.test", "TXT", mdns.RcodeSuccess, []string{`TXT	"tok\"en"`}},
		{"missing.a.test", "A", mdns.RcodeNameError, nil},
		{"example.org", "A", mdns.RcodeRefused, nil},
		{"nota.test", "A", mdns.RcodeRefused, nil},
	}
	for _, c := range cases {
		for _, network := range []string{"udp", "tcp"} {
			t.Run(c.name+" "+c.kind+" "+network, func(t *testing.T) {
				reply := ask(t, server, network, c.name, c.kind)
				if reply.Rcode != c.rcode {
					t.Errorf("got %s, want %s", mdns.RcodeToString[reply.Rcode], mdns.RcodeToString[c.rcode])
				}
				if len(reply.Answer) != len(c.answers) {
					t.Fatalf("got answers %v, want %v", reply.Answer, c.answers)
				}
				for i, rr := range reply.Answer {
					if !strings.Contains(rr.String(), c.answers[i]) {
						t.Errorf("answer %d: got %q, want %q in it", i, rr, c.answers[i])
					}
				}
				negative := c.rcode != mdns.RcodeRefused && len(c.answers) == 0
				hasSOA := slices.ContainsFunc(reply.Ns, func(rr mdns.RR) bool { return rr.Header().Rrtype == mdns.TypeSOA })
				if negative != hasSOA {
					t.Errorf("SOA in authority: got %v, want %v", hasSOA, negative)
				}
			})
		}
	}
}

func TestLongAnswersAreCutOverUDPOnly(t *testing.T) {
	server := serve(t)
	if reply := ask(t, server, "udp", "long.a.test", "TXT"); !reply.Truncated {
		t.Error("2000 bytes over UDP were not cut")
	}
	reply := ask(t, server, "tcp", "long.a.test", "TXT")
	if len(reply.Answer) != 1 || len(strings.Join(reply.Answer[0].(*mdns.TXT).Txt, "")) != 2000 {
		t.Errorf("over TCP: %v", reply.Answer)
	}
}

func TestServerEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	first, err := dns.Serve(ctx, "127.0.0.1:0", fixed{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := dns.Serve(context.Background(), first.Addr(), fixed{}); err == nil {
		t.Error("the same address was served twice")
	}
	cancel()
	query := new(mdns.Msg)
	query.SetQuestion("a.test.", mdns.TypeA)
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		if _, _, err := (&mdns.Client{Net: "tcp"}).Exchange(query, first.Addr()); err != nil {
			return
		}
	}
	t.Error("still answering after the context ended")
}
