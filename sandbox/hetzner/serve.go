package hetzner

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// request is one call with what faults want done to it.
type request struct {
	*http.Request
	id     int64 // {id} of the path
	body   []byte
	faults effects
}

func (q *request) decode(into any) error {
	if len(q.body) == 0 {
		return nil
	}
	if err := json.Unmarshal(q.body, into); err != nil {
		return &apiError{http.StatusBadRequest, "json_error", "invalid JSON in request: " + err.Error(), nil}
	}
	return nil
}

// handler runs with the project locked. The body that it returns is encoded
// before the lock is given up.
type handler func(q *request) (status int, body any, err error)

// Request is one line of the log of requests.
type Request struct {
	Time     time.Time     `json:"time"`
	Method   string        `json:"method"`
	Path     string        `json:"path"`
	Query    string        `json:"query,omitempty"`
	Status   int           `json:"status"` // 0 when the connection was cut
	Took     time.Duration `json:"took"`
	Fault    string        `json:"fault,omitempty"`
	Expected bool          `json:"expected"`
}

const hourlyLimit = 3600

func (a *API) serve(h handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		q := &request{Request: r}
		logged := Request{Time: time.Now().UTC(), Method: r.Method, Path: r.URL.Path, Query: r.URL.RawQuery, Expected: true}
		status, body, err := a.answer(q, h)
		logged.Took = time.Since(logged.Time)
		logged.Fault = q.faults.String()
		if cut := errors.Is(err, errCut); cut {
			a.log(logged)
			panic(http.ErrAbortHandler)
		}
		var refused *apiError
		if errors.As(err, &refused) {
			status = refused.status
			body, _ = json.Marshal(refused.body())
			logged.Expected = status != http.StatusNotImplemented || q.faults.status != 0
		} else if err != nil {
			a.config.Logf("hetzner: %s %s: %v", r.Method, r.URL.Path, err)
			status = http.StatusInternalServerError
			body, _ = json.Marshal((&apiError{code: "server_error", message: err.Error()}).body())
		}
		logged.Status = status
		remaining := a.log(logged)
		header := w.Header()
		header.Set("RateLimit-Limit", strconv.Itoa(hourlyLimit))
		header.Set("RateLimit-Remaining", strconv.Itoa(remaining))
		header.Set("RateLimit-Reset",
			strconv.FormatInt(time.Now().Add(time.Duration(hourlyLimit-remaining)*time.Second).Unix(), 10))
		header.Set("X-Correlation-Id", fmt.Sprintf("sandbox-%d", logged.Time.UnixNano()))
		if q.faults.retryAfter > 0 {
			header.Set("Retry-After", strconv.Itoa(q.faults.retryAfter))
		}
		if status != http.StatusNoContent {
			header.Set("Content-Type", "application/json")
		}
		w.WriteHeader(status)
		if status != http.StatusNoContent {
			_, _ = w.Write(body)
		}
	}
}

var errCut = errors.New("connection cut by a fault")

func (a *API) answer(q *request, h handler) (int, []byte, error) {
	var err error
	if q.body, err = io.ReadAll(io.LimitReader(q.Body, 1<<20)); err != nil {
		return 0, nil, &apiError{http.StatusBadRequest, "json_error", "read request: " + err.Error(), nil}
	}
	q.faults = a.takeFaults(q.Method, q.URL.Path)
	if q.faults.delay > 0 {
		select {
		case <-time.After(q.faults.delay):
		case <-q.Context().Done():
		}
	}
	if q.faults.dropBefore {
		return 0, nil, errCut
	}
	if q.faults.status != 0 {
		return 0, nil, &apiError{q.faults.status, q.faults.code, q.faults.message, nil}
	}
	if err := a.authorize(q.Request); err != nil {
		return 0, nil, err
	}
	if text := q.PathValue("id"); text != "" {
		if q.id, err = strconv.ParseInt(text, 10, 64); err != nil {
			return 0, nil, notFound("resource", text)
		}
	}

	a.mu.Lock()
	defer a.mu.Unlock()
	status, body, err := h(q)
	if err != nil {
		return 0, nil, err
	}
	var encoded []byte
	if body != nil {
		if encoded, err = json.Marshal(body); err != nil {
			return 0, nil, fmt.Errorf("encode answer: %w", err)
		}
	}
	if q.Method != http.MethodGet {
		if err := a.save(); err != nil {
			return 0, nil, err
		}
	}
	if q.faults.dropAfter {
		return 0, nil, errCut
	}
	return status, encoded, nil
}

func (a *API) authorize(r *http.Request) error {
	token, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if bearer && (a.config.Token != "" && token == a.config.Token || a.config.Token == "" && len(token) == 64) {
		return nil
	}
	return &apiError{http.StatusUnauthorized, "unauthorized", "unable to authenticate", nil}
}

// log keeps the request and returns what remains of the hour's limit. The limit
// is only announced: a 429 is what a fault is for.
func (a *API) log(r Request) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.requests = append(a.requests, r)
	a.used++
	return max(hourlyLimit-a.used, 1)
}

func (a *API) routes() http.Handler {
	mux := http.NewServeMux()
	for pattern, h := range map[string]handler{
		"GET /v1/actions":      a.listActions,
		"GET /v1/actions/{id}": a.getAction,
	} {
		mux.Handle(pattern, a.serve(h))
	}
	for _, table := range []map[string]handler{
		a.catalogRoutes(), a.sshKeyRoutes(), a.networkRoutes(), a.primaryIPRoutes(),
		a.firewallRoutes(), a.serverRoutes(), a.volumeRoutes(),
	} {
		for pattern, h := range table {
			mux.Handle(pattern, a.serve(h))
		}
	}
	for _, kind := range []string{"servers", "volumes", "networks", "primary_ips", "firewalls"} {
		singular := strings.TrimSuffix(kind, "s")
		mux.Handle("GET /v1/"+kind+"/{first}/{second}", a.serve(a.resourceActions(singular)))
		mux.Handle("GET /v1/"+kind+"/{id}/actions/{action}", a.serve(a.resourceAction(singular)))
	}
	a.controlRoutes(mux)
	mux.Handle("/", a.serve(func(q *request) (int, any, error) {
		return 0, nil, unsupported(q.Method + " " + q.URL.Path)
	}))
	return mux
}
