package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"golang.org/x/sys/unix"
)

// The network "handover" is TCP on one socket for the life of the process: each configuration that
// listens on an address takes over from the one before. With Caddy's own TCP network every
// configuration opens a socket, and closes the one before at once, with whoever had just connected
// to it: those get no answer, because Go's server drops a first request that it reads in its shutdown.
//
// Here the configuration before gets no new TCP connections from the moment in which the next one serves,
// and Caddy shuts its server down after shutdown_delay. Caddy keeps that delay because it does not count
// the listeners of other networks than its own. HTTP/3 stays Caddy's own: both share one socket anyway.
func init() {
	caddy.RegisterNetwork("handover", listen)
	caddyhttp.RegisterNetworkHTTP3("handover", "udp")
	caddyconfig.RegisterAdapter("edge", adapter{})
}

// adapter reads a Caddyfile and makes its servers listen on the network "handover". The Caddyfile's own word for
// that, bind, would also be the host on which the ACME issuer listens for challenges, and it takes no network.
type adapter struct{}

func (adapter) Adapt(body []byte, options map[string]any) ([]byte, []caddyconfig.Warning, error) {
	text, warnings, err := caddyconfig.GetAdapter("caddyfile").Adapt(body, options)
	if err != nil {
		return nil, warnings, err
	}
	text, err = onHandover(text)
	return text, warnings, err
}

func onHandover(text []byte) ([]byte, error) {
	var config map[string]any
	numbers := json.NewDecoder(bytes.NewReader(text))
	numbers.UseNumber()
	if err := numbers.Decode(&config); err != nil {
		return nil, err
	}
	apps, _ := config["apps"].(map[string]any)
	app, _ := apps["http"].(map[string]any)
	servers, _ := app["servers"].(map[string]any)
	for _, s := range servers {
		server, _ := s.(map[string]any)
		addresses, _ := server["listen"].([]any)
		for i, a := range addresses {
			if address, _ := a.(string); !strings.Contains(address, "/") { // TCP, and no network of its own
				addresses[i] = "handover/" + address
			}
		}
	}
	return json.Marshal(config)
}

var (
	doorsMu sync.Mutex
	doors   = map[string]*door{} // by address
)

// door is a socket and the listeners that share it; doorsMu guards its fields.
type door struct {
	socket  net.Listener
	address string
	open    int           // listeners that are not closed
	serving []*listener   // those of them whose server accepts, newest last
	changed chan struct{} // closed when any of that changes
}

// listener is one configuration's share of a door.
type listener struct {
	door     *door
	arrivals chan arrival
	closed   chan struct{}
	begin    sync.Once
	end      sync.Once
	forget   func() bool // that its context may end
}

type arrival struct {
	conn net.Conn
	err  error
}

func listen(ctx context.Context, _, host, port string, offset uint, config net.ListenConfig) (any, error) {
	first, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, err
	}
	address := net.JoinHostPort(host, strconv.FormatUint(first+uint64(offset), 10))
	doorsMu.Lock()
	defer doorsMu.Unlock()
	d := doors[address]
	if d == nil {
		config.Control = reusePort
		socket, err := config.Listen(context.WithoutCancel(ctx), "tcp", address) // it outlives this configuration
		if err != nil {
			return nil, err
		}
		d = &door{socket: socket, address: address, changed: make(chan struct{})}
		doors[address] = d
		go d.admit()
	}
	d.open++
	l := &listener{door: d, arrivals: make(chan arrival), closed: make(chan struct{})}
	// Caddy ends a refused configuration's context before it stops its servers, which takes the delay as well.
	l.forget = context.AfterFunc(ctx, l.retire)
	return l, nil
}

// reusePort lets Caddy's own network take the address, in a configuration that does not hand over.
func reusePort(_, _ string, raw syscall.RawConn) error {
	var set error
	err := raw.Control(func(fd uintptr) { set = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) })
	return errors.Join(err, set)
}

// admit gives every connection to the newest listener that accepts. When that one goes, because its
// configuration was refused in the end, the one before has the rest.
func (d *door) admit() {
	for {
		conn, err := d.socket.Accept()
		for given := false; !given; {
			doorsMu.Lock()
			over, changed := d.open == 0, d.changed
			var arrivals chan arrival
			if n := len(d.serving); n > 0 {
				arrivals = d.serving[n-1].arrivals
			}
			doorsMu.Unlock()
			if over {
				if err == nil {
					_ = conn.Close()
				}
				return
			}
			select {
			case arrivals <- arrival{conn, err}:
				given = true
			case <-changed:
			}
		}
	}
}

// tell wakes admit up; with doorsMu held.
func (d *door) tell() {
	close(d.changed)
	d.changed = make(chan struct{})
}

func (l *listener) Accept() (net.Conn, error) {
	l.begin.Do(func() {
		doorsMu.Lock()
		defer doorsMu.Unlock()
		l.door.serving = append(l.door.serving, l)
		l.door.tell()
	})
	select {
	case a := <-l.arrivals:
		return a.conn, a.err
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// retire gives it no new connections any more; those that it has are its server's.
func (l *listener) retire() {
	l.begin.Do(func() {})
	doorsMu.Lock()
	defer doorsMu.Unlock()
	l.leave()
	l.door.tell()
}

// leave takes it from those that accept; with doorsMu held.
func (l *listener) leave() {
	l.door.serving = slices.DeleteFunc(l.door.serving, func(other *listener) bool { return other == l })
}

func (l *listener) Close() error {
	var err error
	l.forget()
	l.end.Do(func() {
		l.begin.Do(func() {}) // it does not accept any more
		doorsMu.Lock()
		defer doorsMu.Unlock()
		d := l.door
		close(l.closed)
		l.leave()
		if d.open--; d.open == 0 {
			delete(doors, d.address)
			err = d.socket.Close()
		}
		d.tell()
	})
	return err
}

func (l *listener) Addr() net.Addr { return l.door.socket.Addr() }
