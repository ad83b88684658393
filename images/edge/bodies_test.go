package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// uploadPaths are the routes on which staff uploads files, written down once more so that one that gets lost is
// noticed.
var uploadPaths = []string{
	"/api/v1/content/admin/home.hero/images", "/api/v1/content/admin/media/assets/upload",
	"/api/v1/catalog/categories/rings/images/thumbnail", "/api/v1/catalog/categories/rings/images/banner",
	"/api/v1/catalog/products/silver-ring/images", "/api/v1/orders/admin/7/shipping-label",
	"/api/v1/returns/admin/7/label",
}

// post begins a POST on a connection of its own and returns it; the caller sends the body.
func (s *site) post(t *testing.T, path, from string, header string) net.Conn {
	t.Helper()
	conn, err := s.dial(t.Context(), from)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: shop.example\r\n%s\r\n\r\n", path, header)
	return conn
}

// outcome reads an answer.
func outcome(t *testing.T, conn net.Conn) (status int, header http.Header, body string) {
	t.Helper()
	r, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: http.MethodPost})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, r.Header, string(text)
}

// checkError looks at an error of the API: in JSON, as the application's own are, and without the server's name.
func checkError(t *testing.T, what string, conn net.Conn, want int) {
	t.Helper()
	status, header, body := outcome(t, conn)
	if status != want || header.Get("Content-Type") != "application/json" || header.Get("Server") != "" ||
		body != fmt.Sprintf(`{"detail":%q}`, http.StatusText(want)) {
		t.Errorf("%s: got %d with %v and %q, want %d in the application's form", what, status, header, body, want)
	}
}

func TestLargeBodiesAreTakenOnlyWhereStaffUploads(t *testing.T) {
	shortenGrace(t)
	s := start(t, "static-acme")
	const large = 11_000_000
	for _, path := range []string{
		"/api/v1/theme", "/api/v1/auth/login", "/", "/api/v1/content/admin/media/assets/upload/x", "/media/a.webp",
		"/api/v1/catalog/products/a/b/images",
	} {
		// Nothing of the body is sent: the answer must not wait for it.
		conn := s.post(t, path, "127.0.0.1", fmt.Sprintf("Content-Length: %d", large))
		if status, _, _ := outcome(t, conn); status != http.StatusRequestEntityTooLarge {
			t.Errorf("%d bytes to %s got %d, want 413", large, path, status)
		}
		if s.last() != nil {
			t.Errorf("%d bytes to %s reached the application", large, path)
		}
	}
	checkError(t, "a large body", s.post(t, "/api/v1/theme", "127.0.0.1", fmt.Sprintf("Content-Length: %d", large)),
		http.StatusRequestEntityTooLarge)
	for _, path := range uploadPaths {
		conn := s.post(t, path, "127.0.0.1", fmt.Sprintf("Content-Length: %d", large))
		if _, err := io.WriteString(conn, strings.Repeat("x", large)); err != nil {
			t.Fatal(err)
		}
		if status, _, _ := outcome(t, conn); status != http.StatusOK {
			t.Errorf("%d bytes to %s got %d, want 200", large, path, status)
		}
	}
	conn := s.post(t, uploadPaths[1], "127.0.0.1", "Content-Length: 541000000")
	if status, _, _ := outcome(t, conn); status != http.StatusRequestEntityTooLarge {
		t.Errorf("541 MB of an upload got %d, want 413", status)
	}
}

func TestALargeBodyOfUnknownLengthIsCutOff(t *testing.T) {
	s := start(t, "static-acme")
	conn := s.post(t, "/api/v1/theme", "127.0.0.1", "Transfer-Encoding: chunked")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	go func() {
		for chunk := "10000\r\n" + strings.Repeat("x", 0x10000) + "\r\n"; ctx.Err() == nil; {
			if _, err := io.WriteString(conn, chunk); err != nil {
				return
			}
		}
	}()
	if status, _, _ := outcome(t, conn); status != http.StatusRequestEntityTooLarge {
		t.Errorf("it got %d, want 413", status)
	}
}

func TestOneClientSendsAFewBodiesAtATime(t *testing.T) {
	s := start(t, "static-acme")
	const places = 20
	var held []net.Conn
	for range places {
		conn := s.post(t, "/api/v1/theme", "127.0.0.7", "Content-Length: 2")
		if _, err := io.WriteString(conn, "x"); err != nil {
			t.Fatal(err)
		}
		held = append(held, conn)
	}
	waitFor(t, func() bool { sending.Lock(); defer sending.Unlock(); return sending.of["127.0.0.7"] == places })
	checkError(t, "one more", s.post(t, "/api/v1/theme", "127.0.0.7", "Content-Length: 2"), http.StatusTooManyRequests)
	if r, _ := s.do(t, request{path: "/api/v1/theme", from: "127.0.0.7"}); r.StatusCode != http.StatusOK {
		t.Errorf("a request without a body got %d: only bodies are counted", r.StatusCode)
	}
	other := s.post(t, "/api/v1/theme", "127.0.0.8", "Content-Length: 2\r\n\r\nxx")
	if status, _, _ := outcome(t, other); status != http.StatusOK {
		t.Errorf("another client got %d: everybody has places of their own", status)
	}

	// One ends properly, one goes away: both places are free again.
	if _, err := io.WriteString(held[0], "x"); err != nil {
		t.Fatal(err)
	}
	if status, _, _ := outcome(t, held[0]); status != http.StatusOK {
		t.Errorf("a body that took its time got %d", status)
	}
	held[1].Close()
	waitFor(t, func() bool { sending.Lock(); defer sending.Unlock(); return sending.of["127.0.0.7"] == places-2 })
	for _, conn := range held[2:] {
		conn.Close()
	}
	waitFor(t, func() bool { sending.Lock(); defer sending.Unlock(); return len(sending.of) == 0 })
}

// Over HTTP/3 nobody knows of a GET whether it has a body before its end: a page with many files must load.
func TestBodiesOfRequestsThatNeedNoneAreLeftOut(t *testing.T) {
	shortenGrace(t)
	s := start(t, "static-acme")
	var held []net.Conn
	for range 30 {
		conn, err := s.dial(t.Context(), "127.0.0.6")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
		fmt.Fprint(conn, "GET /api/v1/slow-answer HTTP/1.1\r\nHost: shop.example\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx")
		held = append(held, conn)
	}
	for _, conn := range held {
		if status, _, _ := outcome(t, conn); status != http.StatusOK {
			t.Errorf("one of thirty requests got %d", status)
		}
	}
	if r := s.last(); r == nil || r.ContentLength != 0 {
		t.Errorf("the application got a body: %+v", r)
	}
}

func TestASlowBodyIsEndedAndASlowAnswerIsNot(t *testing.T) {
	shortenGrace(t)
	s := start(t, "static-acme")
	began := time.Now()
	conn := s.post(t, "/api/v1/theme", "127.0.0.9", "Content-Length: 100")
	go func() {
		for range 100 { // a byte at a time
			if _, err := io.WriteString(conn, "x"); err != nil {
				return
			}
			time.Sleep(100 * time.Millisecond)
		}
	}()
	checkError(t, "a body of ten bytes a second", conn, http.StatusRequestTimeout)
	if took := time.Since(began); took > 8*time.Second {
		t.Errorf("it was ended after %s", took)
	}
	conn = s.post(t, "/api/v1/slow-answer", "127.0.0.9", "Content-Length: 2\r\n\r\nxx")
	if status, _, _ := outcome(t, conn); status != http.StatusOK {
		t.Errorf("an answer that takes longer than a body may got %d", status)
	}
}

func shortenGrace(t *testing.T) {
	t.Helper()
	before := bodyGrace
	bodyGrace = time.Second
	t.Cleanup(func() { bodyGrace = before })
}

func waitFor(t *testing.T, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("what the test waits for does not come")
		}
	}
}
