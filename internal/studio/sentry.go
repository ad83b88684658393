package studio

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/prekzursil/momentstudio-infra/internal/engine"
	"github.com/prekzursil/momentstudio-infra/internal/fault"
)

// Sentry is the project that the shop's events go to. The application's repository makes its releases, with the
// source maps; a deploy is marked here.
type Sentry struct{ URL, Organization, Project, Token string }

// SentryFromEnv reads SENTRY_AUTH_TOKEN, SENTRY_ORG, SENTRY_PROJECT and SENTRY_URL (default https://sentry.io). Without
// any of the first three there is no Sentry, which is no error; with only some of them it is one.
func SentryFromEnv(get func(string) string) (s Sentry, there bool, err error) {
	s = Sentry{
		URL: strings.TrimSuffix(get("SENTRY_URL"), "/"), Organization: get("SENTRY_ORG"),
		Project: get("SENTRY_PROJECT"), Token: get("SENTRY_AUTH_TOKEN"),
	}
	if s.URL == "" {
		s.URL = "https://sentry.io"
	}
	var missing []string
	for _, v := range []struct{ name, value string }{
		{"SENTRY_AUTH_TOKEN", s.Token},
		{"SENTRY_ORG", s.Organization},
		{"SENTRY_PROJECT", s.Project},
	} {
		if v.value == "" {
			missing = append(missing, v.name)
		}
	}
	if len(missing) == 0 {
		return s, true, nil
	}
	if len(missing) == 3 {
		return s, false, nil
	}
	return s, false, fmt.Errorf("Sentry is only half set: %s is missing", strings.Join(missing, ", "))
}

// MarkDeploy checks that Sentry knows the stack's release and, unless checkOnly, marks that it was deployed.
func MarkDeploy(ctx context.Context, c engine.Stack, s Sentry, checkOnly bool) error {
	wanted, err := c.Config()
	if err != nil {
		return err
	}
	release := wanted.Release.Name
	path := "/api/0/organizations/" + url.PathEscape(s.Organization) + "/releases/" + url.PathEscape(release) + "/"
	var known struct {
		Projects []struct{ Slug string } `json:"projects"`
	}
	status, err := s.ask(ctx, http.MethodGet, path, nil, &known)
	switch {
	case err != nil:
		return err
	case status == http.StatusNotFound || !slices.ContainsFunc(known.Projects,
		func(p struct{ Slug string }) bool { return p.Slug == s.Project }):
		return fault.Hint(fmt.Errorf("Sentry has no release %s of project %s: its errors would show without source maps",
			release, s.Project),
			"the application's repository makes it, with workflow sentry-release; run that for this commit")
	}
	fmt.Fprintf(c.Out, "Sentry knows release %s of %s\n", release, s.Project)
	if checkOnly {
		return nil
	}
	deploy := map[string]any{
		"environment": string(wanted.Kind), "name": c.Name, "url": wanted.Domain.Origin(),
		"projects": []string{s.Project}, "dateFinished": time.Now().UTC().Format(time.RFC3339),
	}
	if _, err := s.ask(ctx, http.MethodPost, path+"deploys/", deploy, nil); err != nil {
		return err
	}
	fmt.Fprintf(c.Out, "marked as deployed to %s\n", wanted.Kind)
	return nil
}

// ask makes one request. A 404 is an answer; other refusals are errors, which never hold the token.
func (s Sentry) ask(ctx context.Context, method, path string, body, into any) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	var content io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return 0, err
		}
		content = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, method, s.URL+path, content)
	if err != nil {
		return 0, errors.New("SENTRY_URL is not an address")
	}
	request.Header.Set("Authorization", "Bearer "+s.Token)
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, fmt.Errorf("ask Sentry: %w", err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	switch {
	case err != nil:
		return 0, fmt.Errorf("ask Sentry: %w", err)
	case response.StatusCode == http.StatusNotFound && method == http.MethodGet:
		return response.StatusCode, nil
	case response.StatusCode/100 != 2:
		return 0, fmt.Errorf("Sentry refuses %s %s with status %d; the token needs project:releases and org:read", method,
			path, response.StatusCode)
	case into != nil && json.Unmarshal(text, into) != nil:
		return 0, fmt.Errorf("ask Sentry: %s answers no JSON", path)
	}
	return response.StatusCode, nil
}
