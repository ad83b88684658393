package pullrequest_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prekzursil/momentstudio-infra/internal/pullrequest"
	"github.com/prekzursil/momentstudio-infra/internal/review"
)

const marker = "<!-- ours: prod -->"

// hub is GitHub as far as comments go: two to a page.
type hub struct {
	comments []comment
	edited   []int
}

type comment struct {
	ID   int               `json:"id"`
	Body string            `json:"body"`
	User map[string]string `json:"user"`
}

func (h *hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "Bearer token" {
		http.Error(w, `{"message":"Bad credentials"}`, http.StatusUnauthorized)
		return
	}
	var body struct{ Body string }
	_ = json.NewDecoder(r.Body).Decode(&body)
	answer := func(v any) { _ = json.NewEncoder(w).Encode(v) }
	switch at := r.Method + " " + r.URL.Path; {
	case at == "GET /repos/o/r/pulls/7":
		answer(map[string]any{"head": map[string]string{"sha": "newest"}})
	case at == "GET /repos/o/r/issues/7/comments":
		if r.URL.Query().Get("page") == "2" {
			answer(h.comments[min(2, len(h.comments)):])
			return
		}
		w.Header().Set("Link", fmt.Sprintf(`<http://%s/repos/o/r/issues/7/comments?page=2>; rel="next"`, r.Host))
		answer(h.comments[:min(2, len(h.comments))])
	case at == "POST /repos/o/r/issues/7/comments":
		h.comments = append(h.comments, comment{len(h.comments) + 1, body.Body, map[string]string{"type": "Bot"}})
		answer(h.comments[len(h.comments)-1])
	case strings.HasPrefix(at, "PATCH /repos/o/r/issues/comments/"):
		var id int
		_, _ = fmt.Sscan(strings.TrimPrefix(at, "PATCH /repos/o/r/issues/comments/"), &id)
		h.comments[id-1].Body = body.Body
		h.edited = append(h.edited, id)
		answer(h.comments[id-1])
	default:
		http.NotFound(w, r)
	}
}

func TestOneCommentForASubject(t *testing.T) {
	person, bot := map[string]string{"type": "User"}, map[string]string{"type": "Bot"}
	for _, c := range []struct {
		name   string
		before []comment
		edits  int // 0: a new comment
	}{
		{"the first", nil, 0},
		{"one beside others", []comment{{1, "hello", person}, {2, "<!-- ours: staging -->\nx", bot}}, 0},
		{"the next replaces it", []comment{{1, "hello", person}, {2, marker + "\nold", bot}}, 2},
		{"also on a later page", []comment{{1, "a", person}, {2, "b", person}, {3, marker + "\nold", bot}}, 3},
		{"a person's is left alone", []comment{{1, marker + "\nmine", person}}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := &hub{comments: c.before}
			server := httptest.NewServer(h)
			defer server.Close()
			api, err := pullrequest.Client("token", server.URL)
			if err != nil {
				t.Fatal(err)
			}
			count := len(c.before)
			text := marker + "\nnew"
			if err := pullrequest.Post(t.Context(), api, pullrequest.Comment{
				Repository: "o/r", Number: 7, Head: "newest",
				Marker: marker, Text: text,
			}); err != nil {
				t.Fatal(err)
			}
			if c.edits == 0 {
				if len(h.comments) != count+1 || h.comments[count].Body != text || len(h.edited) > 0 {
					t.Errorf("got %+v, edited %v; want a new one", h.comments, h.edited)
				}
				return
			}
			if len(h.comments) != count || len(h.edited) != 1 || h.edited[0] != c.edits || h.comments[c.edits-1].Body != text {
				t.Errorf("got %+v, edited %v; want %d edited", h.comments, h.edited, c.edits)
			}
		})
	}
}

func TestWhatIsNotPosted(t *testing.T) {
	h := &hub{}
	server := httptest.NewServer(h)
	defer server.Close()
	good := pullrequest.Comment{Repository: "o/r", Number: 7, Marker: marker, Text: marker + "\nx"}
	for _, c := range []struct {
		name   string
		token  string
		change func(*pullrequest.Comment)
		says   string
	}{
		{"of an older commit", "token", func(c *pullrequest.Comment) { c.Head = "older" }, "newer commits"},
		{"without its marker", "token", func(c *pullrequest.Comment) { c.Text = "x" }, "marker"},
		{
			"too long", "token", func(c *pullrequest.Comment) { c.Text += strings.Repeat("ă", review.MaxComment) },
			"GitHub takes",
		},
		{"on no repository", "token", func(c *pullrequest.Comment) { c.Repository = "r" }, "owner/name"},
		{"on no pull request", "token", func(c *pullrequest.Comment) { c.Number = 0 }, "no pull request"},
		{"on one that does not exist", "token", func(c *pullrequest.Comment) { c.Number = 8 }, "404"},
		{"with a wrong token", "other", func(*pullrequest.Comment) {}, "401"},
	} {
		t.Run(c.name, func(t *testing.T) {
			api, err := pullrequest.Client(c.token, server.URL)
			if err != nil {
				t.Fatal(err)
			}
			bad := good
			c.change(&bad)
			err = pullrequest.Post(t.Context(), api, bad)
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want %q in it", err, c.says)
			}
			if errors.Is(err, pullrequest.ErrOutdated) != (c.name == "of an older commit") {
				t.Errorf("%v: outdated or not?", err)
			}
		})
	}
	if len(h.comments) > 0 {
		t.Errorf("posted %+v", h.comments)
	}
	if _, err := pullrequest.Client("token", "nonsense"); err == nil {
		t.Error("an address without a host is taken")
	}
}
