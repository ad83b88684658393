// Package dns answers for the zones of the emulated Cloudflare account, so that the test CA
// and the sandbox's hosts resolve what the program published. It serves UDP and TCP, answers
// from the records as they are at that moment, and refuses every other name: it is no
// resolver.
//
// Proxied records are answered with their own content, because there is no edge in front of
// the sandbox.
package dns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/miekg/dns"
)

// Record is one record of a zone.
type Record struct {
	Name     string // full name without the last dot
	Type     string // "A", "CNAME", "TXT", …
	Content  string
	TTL      uint32 // seconds; 1 stands for automatic
	Priority uint16 // MX only
}

// Zone is a zone with its records.
type Zone struct {
	Name        string
	NameServers []string
	Records     []Record
}

// Source says what the zones hold now. It is asked once for each query.
type Source interface{ DNSZones() []Zone }

// Server is a running name server.
type Server struct {
	addr    string
	servers []*dns.Server
}

// queryTimeout bounds how long a client may keep a TCP connection busy.
const queryTimeout = 5 * time.Second

// portTries is how often Serve looks for a free port that UDP and TCP can share.
const portTries = 20

// Serve answers on addr (host:port; port 0 picks one that is free for UDP and TCP) until ctx
// ends or Close is called. It returns when both sockets are open.
func Serve(ctx context.Context, addr string, source Source) (*Server, error) {
	packets, listener, err := listen(ctx, addr)
	if err != nil {
		return nil, fmt.Errorf("listen for DNS on %s: %w", addr, err)
	}
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, query *dns.Msg) {
		_ = w.WriteMsg(answer(source.DNSZones(), query, w.LocalAddr().Network() == "udp")) // the client is gone
	})
	s := &Server{addr: listener.Addr().String(), servers: []*dns.Server{
		{PacketConn: packets, Handler: handler},
		{Listener: listener, Handler: handler, ReadTimeout: queryTimeout, WriteTimeout: queryTimeout},
	}}
	started := make(chan error, 2*len(s.servers))
	for _, server := range s.servers {
		server.NotifyStartedFunc = func() { started <- nil }
		go func() {
			if err := server.ActivateAndServe(); err != nil {
				started <- err
			}
		}()
	}
	for range s.servers {
		if err := <-started; err != nil {
			return nil, errors.Join(fmt.Errorf("serve DNS on %s: %w", s.addr, err), s.Close())
		}
	}
	context.AfterFunc(ctx, func() { _ = s.Close() })
	return s, nil
}

func listen(ctx context.Context, addr string) (net.PacketConn, net.Listener, error) {
	var config net.ListenConfig
	var last error
	for range portTries {
		listener, err := config.Listen(ctx, "tcp", addr)
		if err != nil {
			return nil, nil, err
		}
		packets, err := config.ListenPacket(ctx, "udp", listener.Addr().String())
		if err == nil {
			return packets, listener, nil
		}
		_ = listener.Close()
		if _, port, _ := net.SplitHostPort(addr); port != "0" {
			return nil, nil, err
		}
		last = err
	}
	return nil, nil, last
}

// Addr returns the address that is served, host:port, the same for UDP and TCP.
func (s *Server) Addr() string { return s.addr }

// Close stops serving. Closing twice does no harm.
func (s *Server) Close() error {
	for _, server := range s.servers {
		_ = server.Shutdown() // fails only when it is not running
	}
	return nil
}
