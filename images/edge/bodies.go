package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// bodyRate is the minimum transfer rate of a body in bytes per second, which a slow mobile connection reaches. Apache's
// mod_reqtimeout has the same kind of limit.
const bodyRate = 16 << 10

// bodyGrace is the time for which a body may be slower than bodyRate. Tests shorten it.
var bodyGrace = 20 * time.Second

func init() {
	caddy.RegisterModule(Bodies{})
	httpcaddyfile.RegisterHandlerDirective("limit_bodies", func(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler,
		error,
	) {
		b := new(Bodies)
		return b, b.UnmarshalCaddyfile(h.Dispenser)
	})
}

// Bodies refuses a client that sends too many request bodies at the same time with 429, and one that sends a body too
// slowly with 408. The application reads a body before it knows who sent it, and has a fixed number of places for
// requests: without this limit one client takes all of them and sends nothing.
//
//	limit_bodies <key> <number>
type Bodies struct {
	Key string `json:"key"` // identifies the client; may contain placeholders
	Max int    `json:"max"` // concurrent request bodies per client
}

// sending counts the bodies on their way, by client. It is one for all configurations of the process, because a body
// goes on when another configuration is loaded.
var sending = struct {
	sync.Mutex
	of map[string]int
}{of: map[string]int{}}

// CaddyModule names the module.
func (Bodies) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.limit_bodies", New: func() caddy.Module { return new(Bodies) }}
}

// UnmarshalCaddyfile reads the directive.
func (b *Bodies) UnmarshalCaddyfile(d *caddyfile.Dispenser) (err error) {
	var number string
	if !d.Next() || !d.Args(&b.Key, &number) || d.NextArg() {
		return d.ArgErr()
	}
	if b.Max, err = strconv.Atoi(number); err != nil {
		return d.Errf("the number of bodies is %q, want a whole number", number)
	}
	return nil
}

// Validate refuses a configuration that lets nothing through.
func (b *Bodies) Validate() error {
	if b.Key == "" || b.Max < 1 {
		return fmt.Errorf("limit_bodies needs a key and a number of 1 or more, got %q and %d", b.Key, b.Max)
	}
	return nil
}

// ServeHTTP passes a request on with its body counted and timed.
func (b *Bodies) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	if r.Body == nil || r.ContentLength == 0 {
		return next.ServeHTTP(w, r)
	}
	control := http.NewResponseController(w)
	if slices.Contains([]string{http.MethodGet, http.MethodHead, http.MethodOptions}, r.Method) {
		// Drop the body: it has no meaning (RFC 9110, 9.3.1). Over HTTP/3 a GET has an unknown body length until its
		// end is read, so counting it would refuse pages that load many files at a time.
		if r.ProtoMajor == 1 {
			_ = control.SetReadDeadline(time.Now().Add(bodyGrace / 4))
		}
		r.Body, r.ContentLength, r.TransferEncoding = http.NoBody, 0, nil
		return next.ServeHTTP(w, r)
	}
	key := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer).ReplaceAll(b.Key, "")
	if !enter(key, b.Max) {
		// The server reads a short body to its end before it answers. A slow client must not delay the answer.
		_ = control.SetReadDeadline(time.Now())
		w.Header().Set("Retry-After", "5")
		return caddyhttp.Error(http.StatusTooManyRequests, errors.New("too many bodies of one client at the same time"))
	}
	body := &timedBody{
		ReadCloser: r.Body, control: control, began: time.Now(), grace: bodyGrace,
		left: sync.OnceFunc(func() { leave(key) }),
	}
	defer body.left()
	r.Body = body
	err := next.ServeHTTP(lateWriter{&caddyhttp.ResponseWriterWrapper{ResponseWriter: w}, body}, r)
	if !body.ended {
		// The server reads the rest of the body, up to a limit, before it sends the answer.
		_ = control.SetReadDeadline(time.Now().Add(bodyGrace / 4))
	}
	if body.late {
		return caddyhttp.Error(http.StatusRequestTimeout, errors.New("the body arrives too slowly"))
	}
	return err
}

// lateWriter keeps the proxy from answering 499, as if the client had gone away, when the body was late.
type lateWriter struct {
	*caddyhttp.ResponseWriterWrapper
	body *timedBody
}

func (w lateWriter) WriteHeader(status int) {
	if !w.body.late {
		w.ResponseWriterWrapper.WriteHeader(status)
	}
}

func enter(key string, limit int) bool {
	sending.Lock()
	defer sending.Unlock()
	if sending.of[key] >= limit {
		return false
	}
	sending.of[key]++
	return true
}

func leave(key string) {
	sending.Lock()
	defer sending.Unlock()
	if sending.of[key]--; sending.of[key] == 0 {
		delete(sending.of, key)
	}
}

// timedBody is a body that must keep to a rate. It is counted until its end was read.
type timedBody struct {
	io.ReadCloser
	control *http.ResponseController
	began   time.Time
	grace   time.Duration
	read    int64
	late    bool
	ended   bool // its end was read
	left    func()
}

func (b *timedBody) Read(p []byte) (int, error) {
	limit := b.grace + time.Duration(b.read)*time.Second/bodyRate
	_ = b.control.SetReadDeadline(b.began.Add(limit)) // fails only when the connection has no deadlines
	n, err := b.ReadCloser.Read(p)
	b.read += int64(n)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		b.late = true
	}
	if err != nil {
		b.ended = true
		// Otherwise the deadline would cancel a request whose answer takes long.
		_ = b.control.SetReadDeadline(time.Time{})
		b.left()
	}
	return n, err
}
