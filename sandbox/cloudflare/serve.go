package cloudflare

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// basePath is where the API lives below its host name.
const basePath = "/client/v4"

const maxBody = 1 << 20

// maxLog is how many requests are kept: enough for a long test, little in memory.
const maxLog = 10_000

var identifier = regexp.MustCompile(`^[0-9a-f]{32}$`)

// request is one call with what its path names.
type request struct {
	*http.Request
	body []byte
	zone zone
}

func (q *request) query(name string) string { return q.URL.Query().Get(name) }

func (q *request) decode(into any) error {
	if err := json.Unmarshal(q.body, into); err != nil {
		return refuse(http.StatusBadRequest, 9207, "Request body is invalid: "+err.Error())
	}
	return nil
}

// reply is what a handler answers with; a status of 204 has no body.
type reply struct {
	status int
	result any
	info   *resultInfo
}

type resultInfo struct {
	Page       int `json:"page"`
	PerPage    int `json:"per_page"`
	Count      int `json:"count"`
	TotalCount int `json:"total_count"`
	TotalPages int `json:"total_pages"`
}

type envelope struct {
	Result     any         `json:"result"`
	Success    bool        `json:"success"`
	Errors     []apiError  `json:"errors"`
	Messages   []any       `json:"messages"`
	ResultInfo *resultInfo `json:"result_info,omitempty"`
}

type apiError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
	status  int
}

func (e *apiError) Error() string { return fmt.Sprintf("%s (%d)", e.Message, e.Code) }

func refuse(status, code int, message string) error {
	return &apiError{Code: code, Message: message, status: status}
}

// handler runs with the account locked.
type handler func(q *request) (reply, error)

func (a *API) routes() http.Handler {
	mux := http.NewServeMux()
	route := func(pattern string, h handler) {
		method, path, _ := strings.Cut(pattern, " ")
		mux.Handle(method+" "+basePath+path, a.serve(h))
	}
	route("GET /user/tokens/verify", a.verifyToken)
	route("GET /ips", a.listAddresses)
	route("GET /zones", a.listZones)
	route("GET /zones/{zone}", a.getZone)
	route("GET /zones/{zone}/dns_records", a.listRecords)
	route("POST /zones/{zone}/dns_records", a.createRecord)
	route("GET /zones/{zone}/dns_records/{id}", a.getRecord)
	route("PUT /zones/{zone}/dns_records/{id}", a.replaceRecord)
	route("PATCH /zones/{zone}/dns_records/{id}", a.patchRecord)
	route("DELETE /zones/{zone}/dns_records/{id}", a.deleteRecord)
	route("GET /accounts/{account}/challenges/widgets", a.listWidgets)
	route("POST /accounts/{account}/challenges/widgets", a.createWidget)
	route("GET /accounts/{account}/challenges/widgets/{id}", a.getWidget)
	route("PUT /accounts/{account}/challenges/widgets/{id}", a.updateWidget)
	route("DELETE /accounts/{account}/challenges/widgets/{id}", a.deleteWidget)
	route("POST /accounts/{account}/challenges/widgets/{id}/rotate_secret", a.rotateSecret)
	for _, owner := range []string{"/zones/{zone}", "/accounts/{account}"} {
		route("GET "+owner+"/rulesets", a.listRulesets)
		route("POST "+owner+"/rulesets", a.createRuleset)
		route("GET "+owner+"/rulesets/{id}", a.getRuleset)
		route("PUT "+owner+"/rulesets/{id}", a.updateRuleset)
		route("DELETE "+owner+"/rulesets/{id}", a.deleteRuleset)
		route("DELETE "+owner+"/rulesets/{id}/rules/{rule}", a.deleteRule)
		route("GET "+owner+"/rulesets/phases/{phase}/entrypoint", a.getEntrypoint)
		route("PUT "+owner+"/rulesets/phases/{phase}/entrypoint", a.updateEntrypoint)
	}
	mux.Handle("/", a.serve(func(q *request) (reply, error) {
		return reply{}, refuse(http.StatusNotImplemented, 7000,
			fmt.Sprintf("No route for that URI in the sandbox: %s %s", q.Method, q.URL.Path))
	}))
	a.controlRoutes(mux)
	return mux
}

func (a *API) serve(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		logged := Request{Time: a.now(), Method: r.Method, Path: r.URL.Path, Query: r.URL.RawQuery, Expected: true}
		fault := a.takeFault(r.Method, r.URL.Path)
		logged.Fault = fault.kind()
		if fault.kind() == "delay" || fault.kind() == "status" {
			select {
			case <-time.After(time.Duration(fault.Seconds * float64(time.Second))):
			case <-r.Context().Done():
			}
		}
		if fault.kind() == "drop-before" {
			a.log(logged)
			panic(http.ErrAbortHandler)
		}

		answer, err := a.answer(r, h, fault)
		if fault.kind() == "drop-after" {
			a.log(logged)
			panic(http.ErrAbortHandler)
		}
		body := envelope{
			Success: err == nil, Result: answer.result, Errors: []apiError{}, Messages: []any{},
			ResultInfo: answer.info,
		}
		status := answer.status
		if status == 0 {
			status = http.StatusOK
		}
		if err != nil {
			refused := &apiError{Code: 10013, Message: err.Error(), status: http.StatusInternalServerError}
			_ = errors.As(err, &refused)
			status, body.Errors, body.Result = refused.status, []apiError{*refused}, nil
			logged.Expected = status != http.StatusNotImplemented
		}
		logged.Status = status
		a.log(logged)
		if fault.kind() == "status" && fault.RetryAfter > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(fault.RetryAfter))
		}
		w.Header().Set("CF-Ray", randomHex(8)+"-SBX")
		if status == http.StatusNoContent {
			w.WriteHeader(status)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(body) // the client is gone
	})
}

// answer runs the handler and saves the state after each change. A change that cannot be
// saved is answered with an error, as it would be gone after a restart.
func (a *API) answer(r *http.Request, h handler, fault *Fault) (reply, error) {
	q := &request{Request: r}
	var err error
	if q.body, err = io.ReadAll(io.LimitReader(r.Body, maxBody)); err != nil {
		return reply{}, refuse(http.StatusBadRequest, 9207, "Request body is invalid: "+err.Error())
	}
	if fault.kind() == "status" {
		return reply{}, refuse(fault.Status, faultCode(fault.Status), "a fault of the sandbox")
	}
	if err := a.authorize(q); err != nil {
		return reply{}, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	answer, err := h(q)
	if err != nil {
		return reply{}, err
	}
	// Results point into the state: encode them before the lock is given up.
	encoded, err := json.Marshal(answer.result)
	if err != nil {
		return reply{}, fmt.Errorf("encode answer: %w", err)
	}
	answer.result = json.RawMessage(encoded)
	if r.Method != http.MethodGet {
		err = saveState(a.config.StatePath, a.state)
	}
	return answer, err
}

// authorize checks the token, and that the path names this account or one of its zones.
func (a *API) authorize(q *request) error {
	header := q.Header.Get("Authorization")
	if strings.HasSuffix(q.URL.Path, "/ips") && header == "" {
		return nil // the real API serves the list to everyone
	}
	token, isBearer := strings.CutPrefix(header, "Bearer ")
	switch {
	case header == "":
		return refuse(http.StatusBadRequest, 9106, "Missing X-Auth-Key, X-Auth-Email or Authorization headers")
	case !isBearer || token == "" || strings.ContainsAny(token, " \t"):
		return refuse(http.StatusBadRequest, 6003, "Invalid request headers")
	case token != a.config.Token && strings.HasSuffix(q.URL.Path, "/tokens/verify"):
		return refuse(http.StatusUnauthorized, 1000, "Invalid API Token")
	case token != a.config.Token && strings.Contains(q.URL.Path, "/accounts/"):
		return refuse(http.StatusUnauthorized, 10000, "Authentication error")
	case token != a.config.Token:
		return refuse(http.StatusForbidden, 9109, "Invalid access token")
	}
	if id := q.PathValue("zone"); id != "" {
		known, ok := a.zone(id)
		if !identifier.MatchString(id) {
			return refuse(http.StatusNotFound, 7003, fmt.Sprintf(
				"Could not route to %s, perhaps your object identifier is invalid?", strings.TrimPrefix(q.URL.Path, basePath)))
		}
		if !ok {
			return refuse(http.StatusForbidden, 9109, "Unauthorized to access requested resource")
		}
		q.zone = known
	}
	if id := q.PathValue("account"); id != "" && id != a.config.AccountID {
		return refuse(http.StatusForbidden, 10000, "Authentication error")
	}
	return nil
}

func (a *API) verifyToken(*request) (reply, error) {
	return reply{result: map[string]string{"id": derivedID("token", a.config.Token), "status": "active"}}, nil
}

// listAddresses answers with documentation ranges: nothing in the sandbox comes from the real
// ones, and a program must not find its traffic trusted by accident.
func (a *API) listAddresses(*request) (reply, error) {
	return reply{result: map[string]any{
		"ipv4_cidrs": []string{"198.51.100.0/24"}, "ipv6_cidrs": []string{"2001:db8:cf::/48"}, "etag": derivedID("ips", "1"),
	}}, nil
}

// paged cuts a list into pages as the query asks.
func paged[T any](q *request, items []T, perPage int) (reply, error) {
	page := 1
	for name, into := range map[string]*int{"page": &page, "per_page": &perPage} {
		text := q.query(name)
		if text == "" {
			continue
		}
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return reply{}, refuse(http.StatusBadRequest, 1004, fmt.Sprintf("%s: got %q, want a positive number", name, text))
		}
		*into = n
	}
	total := len(items)
	start := min((page-1)*perPage, total)
	items = items[start:min(start+perPage, total)]
	return reply{result: items, info: &resultInfo{
		Page: page, PerPage: perPage, Count: len(items), TotalCount: total, TotalPages: (total + perPage - 1) / perPage,
	}}, nil
}
