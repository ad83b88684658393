package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
)

// Visitors send orders all the time while configurations are loaded, over HTTP/2, over HTTP/1.1 and on a
// new connection each: every one is answered. No client sends a POST again by itself.
func TestNoRequestIsLostWhileConfigurationsAreLoaded(t *testing.T) {
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(w, r.Body)
	}))
	defer upstream.Close()
	const loads, delay = 6, time.Second
	config := rewrite(t, adapt(t, goldens(t)["static-acme"]), "handover/:"+port,
		strings.TrimPrefix(upstream.URL, "http://"), t.TempDir())
	for from, to := range map[string]string{
		`"protocols":["h1"]`: `"protocols":["h1","h2c"]`,
		`"http":{`:           fmt.Sprintf(`"http":{"shutdown_delay":%d,`, delay),
	} {
		if n := strings.Count(string(config), from); n != 1 {
			t.Fatalf("%d of %s in %s", n, from, config)
		}
		config = []byte(strings.Replace(string(config), from, to, 1))
	}
	if err := caddy.Load(config, true); err != nil {
		t.Fatalf("Caddy does not start: %v", err)
	}
	defer func() {
		if err := caddy.Stop(); err != nil {
			t.Errorf("stop Caddy: %v", err)
		}
	}()

	ctx, cancel := context.WithCancel(t.Context())
	var crowd sync.WaitGroup
	defer func() { cancel(); crowd.Wait() }()
	var sent, connections [3]atomic.Int64 // by kind of visitor
	for visitor := range 9 {
		kind := visitor % 3
		var protocols http.Protocols
		protocols.SetUnencryptedHTTP2(kind == 0)
		protocols.SetHTTP1(kind != 0)
		transport := &http.Transport{
			Protocols: &protocols, DisableKeepAlives: kind == 2,
			DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				connections[kind].Add(1)
				return (&net.Dialer{}).DialContext(ctx, network, "127.0.0.1:"+port)
			},
		}
		client := &http.Client{Transport: transport, Timeout: 20 * time.Second}
		crowd.Go(func() {
			defer transport.CloseIdleConnections()
			for n := 0; ctx.Err() == nil; n++ {
				sendOrder(t, client, fmt.Sprintf("order %d of visitor %d", n, visitor))
				sent[kind].Add(1)
				time.Sleep(time.Millisecond)
			}
		})
	}
	for range loads {
		if err := caddy.Load(config, true); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	crowd.Wait()
	for kind, name := range []string{"HTTP/2", "HTTP/1.1", "new connections"} {
		requests, dialed := sent[kind].Load(), connections[kind].Load()
		t.Logf("%s: %d requests on %d connections, in %d loads", name, requests, dialed, loads)
		if requests < 100*loads {
			t.Errorf("%s: %d requests prove nothing", name, requests)
		}
		if kind == 0 && dialed > 3*2*(loads+1) {
			t.Errorf("%s: %d connections of three visitors: they are not kept", name, dialed)
		}
	}
}

// sendOrder posts an order, which comes back as the answer.
func sendOrder(t *testing.T, client *http.Client, order string) {
	t.Helper()
	response, err := client.Post("http://shop.example/api/v1/cart", "text/plain", strings.NewReader(order))
	if err != nil {
		t.Errorf("%s: %v", order, err)
		time.Sleep(100 * time.Millisecond)
		return
	}
	defer response.Body.Close()
	if answer, err := io.ReadAll(response.Body); err != nil || string(answer) != order {
		t.Errorf("%s: status %d, %q, %v", order, response.StatusCode, answer, err)
	}
}

// A configuration of which one server listens and the other cannot is refused; meanwhile, which takes the delay as
// well, the one before answers everybody.
func TestTheConfigurationBeforeServesOnWhenTheNextIsRefused(t *testing.T) {
	server := func(listen, answer string) string {
		return fmt.Sprintf(`{
			"listen": [%q],
			"automatic_https": {"disable": true},
			"routes": [{"handle": [{"handler": "static_response", "body": %q}]}]
		}`, listen, answer)
	}
	config := func(servers ...string) []byte {
		named := make([]string, 0, len(servers))
		for i, s := range servers {
			named = append(named, fmt.Sprintf(`"s%d": %s`, i, s))
		}
		return fmt.Appendf(nil, `{
			"admin": {"disabled": true, "config": {"persist": false}},
			"apps": {"http": {"shutdown_delay": "1s", "servers": {%s}}}
		}`, strings.Join(named, ","))
	}
	taken, err := net.Listen("tcp", "127.0.0.1:8082")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	if err := caddy.Load(config(server("handover/127.0.0.1:8081", "first")), true); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var crowd sync.WaitGroup
	asked := 0
	crowd.Go(func() {
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
		for ; ctx.Err() == nil; asked++ {
			response, err := client.Get("http://127.0.0.1:8081/")
			if err != nil {
				t.Errorf("request %d: %v", asked, err)
				time.Sleep(100 * time.Millisecond)
				continue
			}
			text, err := io.ReadAll(response.Body)
			_ = response.Body.Close()
			// The second one has begun when it is refused, and may have been asked once or twice.
			if err != nil || string(text) != "first" && string(text) != "second" {
				t.Errorf("request %d: %q, %v", asked, text, err)
			}
		}
	})
	for range 3 {
		// Servers start in the order of chance; the address that is taken is one of Linux, where ports are not shared by all.
		if err := caddy.Load(config(server("handover/127.0.0.1:8081", "second"), server("handover/127.0.0.1:8082", "never")),
			true); err == nil {
			t.Error("a configuration that cannot listen is loaded")
		}
	}
	cancel()
	crowd.Wait()
	if asked < 100 {
		t.Errorf("%d requests prove nothing", asked)
	}
	// The address is free again for Caddy's own network, while it serves, and for others after its end.
	if err := caddy.Load(config(server("127.0.0.1:8081", "third")), true); err != nil {
		t.Errorf("a configuration that does not hand over is refused: %v", err)
	}
	if err := caddy.Stop(); err != nil {
		t.Error(err)
	}
	if free, err := net.Listen("tcp", "127.0.0.1:8081"); err != nil {
		t.Errorf("a socket stays open: %v", err)
	} else {
		_ = free.Close()
	}
}

// Every server of every rendered file listens on the network that hands over, and the ACME issuer on none.
func TestEveryRenderedFileHandsOver(t *testing.T) {
	for name, path := range goldens(t) {
		var c struct {
			Apps struct {
				HTTP struct {
					Delay   time.Duration `json:"shutdown_delay"`
					Servers map[string]struct {
						Listen []string `json:"listen"`
					} `json:"servers"`
				} `json:"http"`
			} `json:"apps"`
		}
		adapted := adapt(t, path)
		if err := json.Unmarshal(adapted, &c); err != nil {
			t.Fatal(err)
		}
		if c.Apps.HTTP.Delay < time.Second || len(c.Apps.HTTP.Servers) == 0 || strings.Contains(string(adapted),
			"bind_host") {
			t.Errorf("%s: a delay of %s, %d servers: %s", name, c.Apps.HTTP.Delay, len(c.Apps.HTTP.Servers), adapted)
		}
		for _, s := range c.Apps.HTTP.Servers {
			for _, l := range s.Listen {
				if !strings.HasPrefix(l, "handover/:") {
					t.Errorf("%s listens on %s", name, l)
				}
			}
		}
	}
}
