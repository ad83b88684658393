package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// load is a crowd of visitors: pages, API reads and POSTs that each write one row, and always one POST that
// takes ten seconds to arrive. Half of them speak HTTP/2, a quarter HTTP/1.1 on a connection that they keep, and
// a quarter need a new connection for each request.
type load struct {
	cancel context.CancelFunc
	done   sync.WaitGroup
	began  time.Time

	mu       sync.Mutex
	requests int
	failures []string
	accepted int
	lost     int     // rows that were accepted and are not there, known at the end
	slow     int     // slow requests that were answered
	run      string  // part of every row's reference
	rate     float64 // requests a second, known at the end
	least    float64 // rate below which the test fails
}

const (
	slowRequest  = 10 * time.Second
	slowVisitors = 1000 // number of the first of them
)

// startLoad begins with visitors at some 20 requests a second: more would take the two cores of a test machine
// from what is tested.
func startLoad(t testing.TB, w *env, run string) *load {
	t.Helper()
	return visitors(t, w, run, 8, 400*time.Millisecond)
}

// startCrowd begins with at least 100 requests a second; many visitors, because some are slow while new tasks start.
func startCrowd(t testing.TB, w *env, run string) *load {
	t.Helper()
	l := visitors(t, w, run, 90, 480*time.Millisecond)
	l.least = 100
	return l
}

func visitors(t testing.TB, w *env, run string, number int, pause time.Duration) *load {
	t.Helper()
	ctx, cancel := context.WithCancel(w.ctx)
	l := &load{cancel: cancel, run: run, began: time.Now()}
	visit := func(visitor int, every time.Duration, visit func(*http.Client, int, int)) {
		client := newSite(t, w).client
		transport := client.Transport.(*http.Transport)
		transport.DisableKeepAlives = visitor%4 == 3
		transport.ForceAttemptHTTP2 = visitor%4 == 2 || visitor%4 == 1 && visitor < slowVisitors
		if client.Timeout > 0 {
			client.Timeout += slowRequest
		}
		l.done.Add(1)
		go func() {
			defer l.done.Done()
			defer transport.CloseIdleConnections()
			tick := time.NewTicker(every)
			defer tick.Stop()
			for n := 0; ctx.Err() == nil; n++ {
				visit(client, visitor, n)
				select {
				case <-ctx.Done():
				case <-tick.C:
				}
			}
		}()
	}
	for visitor := range number {
		visit(visitor, pause, l.visit)
	}
	// Two that overlap: while one begins anew, the other is in the middle of its body.
	for visitor := range 2 {
		visit(slowVisitors+visitor, time.Millisecond, l.dawdle)
		time.Sleep(slowRequest / 2 * time.Duration(1-visitor))
	}
	t.Cleanup(func() { cancel(); l.done.Wait() })
	return l
}

func (l *load) visit(client *http.Client, visitor, n int) {
	switch n % 6 {
	case 0:
		// Reads a table that no release of the tests changes.
		l.request(client, http.MethodGet, "/api/v1/shipping/lockers/cities?provider=sameday", nil, http.StatusOK)
	case 1, 4:
		l.request(client, http.MethodGet, "/", nil, http.StatusOK)
	case 2:
		l.request(client, http.MethodGet, "/assets/app-config.js", nil, http.StatusOK)
	case 3:
		l.request(client, http.MethodGet, "/assets/home/banner_image.jpeg", nil, http.StatusOK)
	default:
		l.request(client, http.MethodPost, "/api/v1/support/contact", strings.NewReader(l.message(visitor, n)),
			http.StatusCreated)
	}
}

// dawdle sends a message whose second half comes ten seconds after its first.
func (l *load) dawdle(client *http.Client, visitor, n int) {
	message := l.message(visitor, n)
	reader, writer := io.Pipe()
	go func() {
		_, err := io.WriteString(writer, message[:20])
		if err == nil {
			time.Sleep(slowRequest)
			_, err = io.WriteString(writer, message[20:])
		}
		_ = writer.CloseWithError(err)
	}()
	if !l.request(client, http.MethodPost, "/api/v1/support/contact", reader, http.StatusCreated) {
		time.Sleep(300 * time.Millisecond) // not as fast as a machine refuses
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.slow++
}

func (l *load) message(visitor, n int) string {
	return fmt.Sprintf(`{"name":"v","email":"v@example.com","message":"m","client_reference":"%s-%d-%d"}`, l.run, visitor,
		n)
}

func (l *load) request(client *http.Client, method, path string, body io.Reader, want int) bool {
	// Not the crowd's context: the last request ends in its own time.
	request, err := http.NewRequestWithContext(context.Background(), method, "https://momentstudio.test"+path, body)
	if err == nil {
		request.Header.Set("Content-Type", "application/json")
		var response *http.Response
		if response, err = client.Do(request); err == nil {
			_, err = io.Copy(io.Discard, response.Body)
			_ = response.Body.Close()
			if err == nil && response.StatusCode != want {
				err = fmt.Errorf("status %d", response.StatusCode)
			}
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.requests++
	switch {
	case err != nil:
		l.failures = append(l.failures, fmt.Sprintf("%s %s %s: %v", time.Now().Format("15:04:05.000"), method, path, err))
	case method == http.MethodPost:
		l.accepted++
	}
	return err == nil
}

// stop ends the visits and fails the test for every request that failed and every row that is missing.
func (l *load) stop(t testing.TB, w *env, least int) {
	t.Helper()
	l.end()
	t.Logf("%d requests (%.0f a second), %d of them slow, %d failed, %d rows accepted", l.requests, l.rate, l.slow,
		len(l.failures), l.accepted)
	if len(l.failures) > 0 {
		t.Errorf("%d of %d requests failed:\n%s", len(l.failures), l.requests,
			strings.Join(l.failures[:min(20, len(l.failures))], "\n"))
	}
	if l.requests < least || l.accepted < least/12 || l.slow < 2 {
		t.Errorf("%d requests with %d rows, %d slow: the load was too small to prove anything", l.requests, l.accepted,
			l.slow)
	}
	if l.rate < l.least {
		t.Errorf("%.0f requests a second, want %.0f", l.rate, l.least)
	}
	rows, err := strconv.Atoi(w.sql("SELECT count(*) FROM support_messages WHERE client_reference LIKE '" + l.run + "-%'"))
	if l.lost = l.accepted - rows; err != nil || l.lost != 0 {
		t.Errorf("%d rows are there, %d were accepted (%v)", rows, l.accepted, err)
	}
}

// answered ends the visits and fails the test for every request that was taken and not answered, and for every row that
// is missing. Refused connections and the edge's own answers (502, 503, 504) are not counted as lost.
func (l *load) answered(t testing.TB, w *env) {
	t.Helper()
	l.end()
	var lost []string
	for _, f := range l.failures {
		if !slices.ContainsFunc([]string{
			"connect: connection refused", "connect: no route to host", "status 502", "status 503", "status 504",
			"TLS handshake timeout", // the connection was in the queue of a listener that was closed
			"tls: internal error",   // Caddy has not read its certificate yet
		}, func(s string) bool { return strings.Contains(f, s) }) {
			lost = append(lost, f)
		}
	}
	t.Logf("%d requests, %d without a server, %d lost, %d rows accepted", l.requests, len(l.failures)-len(lost), len(lost),
		l.accepted)
	if len(lost) > 0 {
		t.Errorf("%d requests were taken and not answered:\n%s", len(lost), strings.Join(lost[:min(20, len(lost))], "\n"))
	}
	rows, err := strconv.Atoi(w.sql("SELECT count(*) FROM support_messages WHERE client_reference LIKE '" + l.run + "-%'"))
	if err != nil || rows < l.accepted || l.accepted == 0 {
		t.Errorf("%d rows are there, %d were accepted (%v)", rows, l.accepted, err)
	}
}

// end ends the visits; the slow ones that are under way are waited for, and not counted in the rate.
func (l *load) end() {
	l.mu.Lock()
	l.rate = float64(l.requests) / time.Since(l.began).Seconds()
	l.mu.Unlock()
	l.cancel()
	l.done.Wait()
}
