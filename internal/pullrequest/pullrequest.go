// Package pullrequest keeps one comment of ours for each subject on a pull request of GitHub.
package pullrequest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/google/go-github/v80/github"

	"github.com/prekzursil/momentstudio-infra/internal/review"
)

// Comment is what is to stand on a pull request.
type Comment struct {
	Repository string // "owner/name"
	Number     int
	Head       string // commit that the comment speaks of; empty: not checked
	Marker     string // first line, by which a later comment on the same subject replaces this one
	Text       string // begins with Marker
}

// ErrOutdated means that the pull request has newer commits than the comment speaks of.
var ErrOutdated = errors.New("the pull request has newer commits by now")

// Client reaches GitHub, or the API at address (GITHUB_API_URL) when it is not empty.
func Client(token, address string) (*github.Client, error) {
	c := github.NewClient(nil).WithAuthToken(token)
	if address == "" {
		return c, nil
	}
	base, err := url.Parse(strings.TrimSuffix(address, "/") + "/")
	if err != nil || base.Host == "" {
		return nil, fmt.Errorf("%q is not the address of a GitHub API", address)
	}
	c.BaseURL = base
	return c, nil
}

// Post writes the comment, in place of the last one with its marker that a bot wrote. What a person wrote is left
// alone, marker or not.
func Post(ctx context.Context, api *github.Client, c Comment) error {
	owner, repo, found := strings.Cut(c.Repository, "/")
	switch {
	case !found || owner == "" || repo == "":
		return fmt.Errorf("%q is no repository: want owner/name", c.Repository)
	case c.Number <= 0:
		return fmt.Errorf("%d is no pull request", c.Number)
	case !strings.HasPrefix(c.Text, c.Marker+"\n"):
		return fmt.Errorf("the comment does not begin with its marker %s", c.Marker)
	case utf8.RuneCountInString(c.Text) > review.MaxComment:
		return fmt.Errorf("the comment has %d characters, GitHub takes %d", utf8.RuneCountInString(c.Text), review.MaxComment)
	}
	if c.Head != "" {
		pull, _, err := api.PullRequests.Get(ctx, owner, repo, c.Number)
		if err != nil {
			return fmt.Errorf("look at pull request %d: %w", c.Number, err)
		}
		if pull.GetHead().GetSHA() != c.Head {
			return fmt.Errorf("pull request %d: %w", c.Number, ErrOutdated)
		}
	}
	body := &github.IssueComment{Body: &c.Text}
	old, err := last(ctx, api, owner, repo, c)
	if err != nil {
		return err
	}
	if old == 0 {
		_, _, err = api.Issues.CreateComment(ctx, owner, repo, c.Number, body)
	} else {
		_, _, err = api.Issues.EditComment(ctx, owner, repo, old, body)
	}
	if err != nil {
		return fmt.Errorf("comment on pull request %d: %w", c.Number, err)
	}
	return nil
}

// last is the ID of the last comment that a bot wrote with the marker; 0 when there is none.
func last(ctx context.Context, api *github.Client, owner, repo string, c Comment) (id int64, err error) {
	options := &github.IssueListCommentsOptions{ListOptions: github.ListOptions{PerPage: 100}}
	for {
		page, response, err := api.Issues.ListComments(ctx, owner, repo, c.Number, options)
		if err != nil {
			return 0, fmt.Errorf("read the comments of pull request %d: %w", c.Number, err)
		}
		for _, comment := range page {
			if strings.HasPrefix(comment.GetBody(), c.Marker) && comment.GetUser().GetType() == "Bot" {
				id = comment.GetID()
			}
		}
		if response.NextPage == 0 {
			return id, nil
		}
		options.Page = response.NextPage
	}
}
