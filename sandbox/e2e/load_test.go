package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// load is a crowd of visitors: pages, API reads and POSTs that each write one row, on connections
// that are kept and on new ones.
type load struct {
	cancel context.CancelFunc
	done   sync.WaitGroup

	mu       sync.Mutex
	requests int
	failures []string
	accepted int
	run      string // part of every row's reference
}

// startLoad begins with visitors at some 30 requests a second: more would take the two cores of a test
// machine from the builds that run beside them.
func startLoad(t *testing.T, w *world, run string) *load {
	t.Helper()
	ctx, cancel := context.WithCancel(w.ctx)
	l := &load{cancel: cancel, run: run}
	for visitor := range 8 {
		client := newSite(t, w).client
		transport := client.Transport.(*http.Transport)
		transport.DisableKeepAlives = visitor%4 == 3
		l.done.Add(1)
		go func() {
			defer l.done.Done()
			defer transport.CloseIdleConnections()
			for n := 0; ctx.Err() == nil; n++ {
				l.visit(client, visitor, n)
				select {
				case <-ctx.Done():
				case <-time.After(200 * time.Millisecond):
				}
			}
		}()
	}
	t.Cleanup(func() { cancel(); l.done.Wait() })
	return l
}

func (l *load) visit(client *http.Client, visitor, n int) {
	method, path, body, want := http.MethodGet, "", "", http.StatusOK
	switch n % 4 {
	case 0:
		path = "/api/v1/theme" // reads the database
	case 1:
		path = "/"
	case 2:
		path = "/assets/app-config.js"
	default:
		method, path, want = http.MethodPost, "/api/v1/support/contact", http.StatusCreated
		body = fmt.Sprintf(`{"name":"v","email":"v@example.com","message":"m","client_reference":"%s-%d-%d"}`, l.run, visitor, n)
	}
	// Not the crowd's context: the last request ends in its own time.
	request, err := http.NewRequestWithContext(context.Background(), method, "https://momentstudio.test"+path, strings.NewReader(body))
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
}

// stop ends the visits and fails the test for every request that failed and every row that is missing.
func (l *load) stop(t *testing.T, w *world, least int) {
	t.Helper()
	l.cancel()
	l.done.Wait()
	t.Logf("%d requests, %d failed, %d rows accepted", l.requests, len(l.failures), l.accepted)
	if len(l.failures) > 0 {
		t.Errorf("%d of %d requests failed:\n%s", len(l.failures), l.requests, strings.Join(l.failures[:min(20, len(l.failures))], "\n"))
	}
	if l.requests < least || l.accepted < least/8 {
		t.Errorf("%d requests with %d rows: the load was too small to prove anything", l.requests, l.accepted)
	}
	if got := w.sql("SELECT count(*) FROM support_messages WHERE client_reference LIKE '" + l.run + "-%'"); got != fmt.Sprint(l.accepted) {
		t.Errorf("%s rows are there, %d were accepted", got, l.accepted)
	}
}
