package e2e

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/hetznercloud/hcloud-go/v2/hcloud"
	"go.yaml.in/yaml/v3"
)

// script is what a workflow's step runs, and in which shell.
func script(t testing.TB, root, workflow, job, step string) (text, shell string) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, ".github", "workflows", workflow+".yml"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Jobs map[string]struct {
			Steps []struct{ Name, Run, Shell string } `yaml:"steps"`
		} `yaml:"jobs"`
	}
	if err := yaml.Unmarshal(content, &file); err != nil {
		t.Fatal(err)
	}
	for _, s := range file.Jobs[job].Steps {
		if s.Name == step || s.Name == "" && s.Run == step {
			return s.Run, s.Shell
		}
	}
	t.Fatalf("workflow %s, job %s has no step %q", workflow, job, step)
	return "", ""
}

// machine runs steps of workflows.
type machine struct {
	root string
	env  []string
}

// step runs one as GitHub does, and returns what it printed and its exit code.
func (m *machine) step(t testing.TB, workflow, job, step string) (string, int) {
	t.Helper()
	text, shell := script(t, m.root, workflow, job, step)
	args := []string{"-e", "-c", text}
	if shell == "bash" { // asked for by name it is another one than by default
		args = []string{"--noprofile", "--norc", "-eo", "pipefail", "-c", text}
	}
	cmd := exec.Command("bash", args...)
	cmd.Dir, cmd.Env = m.root, m.env
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

func (m *machine) must(t testing.TB, workflow, job, step string, wants ...string) {
	t.Helper()
	out, code := m.step(t, workflow, job, step)
	if code != 0 {
		t.Fatalf("%s, %s, %s: exit code %d\n%s", workflow, job, step, code, tail(out, 40))
	}
	for _, want := range wants {
		if !strings.Contains(out, want) {
			t.Errorf("%s, %s, %s: no %q in\n%s", workflow, job, step, want, tail(out, 40))
		}
	}
}

// hub is GitHub and Sentry, as far as the workflows ask them.
type hub struct {
	*httptest.Server
	mu       sync.Mutex
	comments []string
	deploys  int
}

func newHub(t testing.TB, release string) *hub {
	t.Helper()
	h := &hub{}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.mu.Lock()
		defer h.mu.Unlock()
		var body struct{ Body string }
		_ = json.NewDecoder(r.Body).Decode(&body)
		answer := func(v any) { _ = json.NewEncoder(w).Encode(v) }
		switch at := r.Method + " " + r.URL.Path; at {
		case "GET /repos/owner/infra/pulls/7":
			answer(map[string]any{"head": map[string]string{"sha": "head"}})
		case "GET /repos/owner/infra/issues/7/comments":
			list := []map[string]any{}
			for i, c := range h.comments {
				list = append(list, map[string]any{"id": i + 1, "body": c, "user": map[string]string{"type": "Bot"}})
			}
			answer(list)
		case "POST /repos/owner/infra/issues/7/comments":
			h.comments = append(h.comments, body.Body)
			answer(map[string]int{"id": len(h.comments)})
		case "PATCH /repos/owner/infra/issues/comments/1":
			h.comments[0] = body.Body
			answer(map[string]int{"id": 1})
		case "GET /api/0/organizations/shop/releases/" + release + "/":
			answer(map[string]any{"projects": []map[string]string{{"slug": "momentstudio"}}})
		case "POST /api/0/organizations/shop/releases/" + release + "/deploys/":
			h.deploys++
			answer(map[string]int{"id": 1})
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(h.Close)
	return h
}

// pipeline is the workflows' machine with the clone that they check out, and the hub that they talk to.
type pipeline struct {
	*machine
	blind   *machine // the same without a token of a cloud, as a preview has it
	hub     *hub
	trusted string // the roots that it trusts
	own     string // the stack's own file: the only one that the workflows know
}

// newPipeline puts a clone into the workflows' hands. The stack's file in it is restored at the end of the test.
func newPipeline(t *testing.T, w *env) *pipeline {
	t.Helper()
	// The site's certificate is of the sandbox's own authority, which a visitor of a real one needs not know.
	trusted := filepath.Join(t.TempDir(), "roots.pem")
	var roots []byte
	for _, name := range []string{w.variable("SSL_CERT_FILE"), w.s.CAFile()} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		roots = append(append(roots, text...), '\n')
	}
	if err := os.WriteFile(trusted, roots, 0o600); err != nil {
		t.Fatal(err)
	}
	github := newHub(t, w.configured("release")["name"].(string))
	m := &machine{root: w.s.Project, env: append(w.s.Env(w.tools),
		"STACK="+w.s.Stack, "STACKS="+w.s.Stack, "PULL=7", "HEAD=head", "FORK=false", "GITHUB_STEP_SUMMARY="+
			filepath.Join(t.TempDir(), "summary.md"),
		"GITHUB_TOKEN=canary-token", "GITHUB_REPOSITORY=owner/infra", "GITHUB_API_URL="+github.URL,
		"SENTRY_AUTH_TOKEN=canary-token", "SENTRY_ORG=shop", "SENTRY_PROJECT=momentstudio", "SENTRY_URL="+github.URL,
		"STUDIO_ADDRESS="+w.s.Gateway().String(), "SSL_CERT_FILE="+trusted,
	)}
	p := &pipeline{
		machine: m, hub: github, trusted: trusted,
		blind: &machine{root: m.root, env: append(slices.Clone(m.env), "HCLOUD_TOKEN=", "CLOUDFLARE_API_TOKEN=")},
		own:   filepath.Join(w.s.Project, "Pulumi."+w.s.Stack+".yaml"),
	}
	committed, err := os.ReadFile(p.own)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.WriteFile(p.own, committed, 0o600); err != nil {
			t.Error(err)
		}
	})
	return p
}

// push puts what the sandbox and the tests configured into the stack's own file.
func (p *pipeline) push(t *testing.T, w *env) {
	t.Helper()
	text, err := os.ReadFile(w.s.ConfigFile())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p.own, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// review previews and comments on what is configured now. The review ends with this code, and its comment, the only
// one, holds these words.
func (p *pipeline) review(t *testing.T, w *env, wantCode int, wants ...string) {
	t.Helper()
	p.push(t, w)
	p.must(t, "preview", "preview", "Remember the pull request")
	out, code := p.blind.step(t, "preview", "preview", "Review")
	if code != wantCode {
		t.Fatalf("the review ends with %d, want %d:\n%s", code, wantCode, tail(out, 40))
	}
	// As `gh run download` lays the artifacts out.
	reviews := filepath.Join(p.root, "reviews", "review-"+w.s.Stack)
	if err := os.MkdirAll(filepath.Dir(reviews), 0o755); err != nil {
		t.Fatal(err)
	}
	_ = os.RemoveAll(reviews)
	if err := os.Rename(filepath.Join(p.root, "review"), reviews); err != nil {
		t.Fatal(err)
	}
	p.must(t, "comment", "comment", "Comment")
	if len(p.hub.comments) != 1 {
		t.Fatalf("%d comments stand on the pull request", len(p.hub.comments))
	}
	for _, want := range wants {
		if !strings.Contains(p.hub.comments[0], want) {
			t.Errorf("the comment has no %q:\n%s", want, p.hub.comments[0])
		}
	}
}

// pullRequest takes a risky change through the workflows' own scripts: preview, comment, approval, apply, verify.
func pullRequest(t *testing.T, w *env) {
	p := newPipeline(t, w)
	p.must(t, "preview", "preview", "make studio")
	mode := w.configured("turnstile")["mode"]
	w.configure("turnstile", "mode", "invisible")
	p.review(t, w, 21, "REFUSED until 1 change is approved", "turnstile-widget")
	if out, code := p.blind.step(t, "deploy", "review", "Review, for whoever approves"); code != 21 {
		t.Errorf("a deploy of what nobody approved ends with %d:\n%s", code, tail(out, 20))
	}

	approval := filepath.Join(p.root, "approvals", "2026-widget.yaml")
	urn := w.urn("turnstile-widget")
	if err := os.WriteFile(approval, fmt.Appendf(nil, "- urn: %s\n  op: update\n  reason: Robots learned the old "+
		"mode.\n  expires: %s\n", urn, time.Now().AddDate(0, 0, 7).Format("2006-01-02")), 0o600); err != nil {
		t.Fatal(err)
	}
	p.review(t, w, 0, "approved by file", "Robots learned the old mode.")

	p.blind.must(t, "deploy", "review", "Review, for whoever approves")
	w.configure("redis", "memoryMB", 300)
	p.push(t, w)
	if out, code := p.step(t, "deploy", "prod", "Review again"); code != 20 {
		t.Errorf("a plan that became riskier ends with %d, want 20:\n%s", code, tail(out, 20))
	}
	w.configure("redis", "memoryMB", 256)
	p.push(t, w)
	p.must(t, "deploy", "prod", "Review again")

	reopen := closeSSH(t, w)
	p.must(t, "deploy", "prod", "Ask Sentry for the release", "Sentry knows release")
	p.must(t, "deploy", "prod", "Update and verify", "verified: https://momentstudio.test",
		"the stack's history names no commit", "is closed to "+w.s.Gateway().String()+" again")
	p.must(t, "deploy", "prod", "Mark the deploy", "marked as deployed")
	if p.hub.deploys != 1 {
		t.Errorf("%d deploys are marked in Sentry", p.hub.deploys)
	}
	doors(t, w, p.machine)
	reopen()
	p.must(t, "drift", "drift", "Look", "no drift")

	fork(t, w, p.machine, p.hub)
	pins(t, w, p.machine, p.trusted)

	if err := os.Remove(approval); err != nil {
		t.Fatal(err)
	}
	w.configure("turnstile", "mode", mode) // with the next update
}

// fork is a pull request of somebody who has no secret, on a stack whose file holds some.
func fork(t *testing.T, w *env, m *machine, github *hub) {
	file := filepath.Join(m.root, "Pulumi.prod.yaml")
	committed, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.WriteFile(file, committed, 0o600); err != nil {
			t.Error(err)
		}
	})
	sealed := "encryptionsalt: v1:AAAAAAAAAAA=:v1:AAAAAAAAAAAAAAAA:AAAA\n" +
		strings.Replace(string(committed), "config:\n", "config:\n  momentstudio:sentryDsn:\n    secure: "+
			"v1:AAAAAAAAAAAAAAAA:AAAA\n", 1)
	if err := os.WriteFile(file, []byte(sealed), 0o600); err != nil {
		t.Fatal(err)
	}
	stranger := &machine{root: m.root, env: append(slices.Clone(m.env), "STACK=prod", "STACKS=prod", "FORK=true",
		"HCLOUD_TOKEN=", "CLOUDFLARE_API_TOKEN=", "PULUMI_BACKEND_URL=", "PULUMI_CONFIG_PASSPHRASE=")}
	stranger.must(t, "preview", "fork", "Remember the pull request")
	stranger.must(t, "preview", "fork", "Review with placeholders", "prod: ", "host-server")
	reviews := filepath.Join(m.root, "reviews")
	_ = os.RemoveAll(reviews)
	if err := os.MkdirAll(reviews, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(m.root, "review"), filepath.Join(reviews, "review-prod")); err != nil {
		t.Fatal(err)
	}
	stranger.must(t, "comment", "comment", "Comment")
	if n := len(github.comments); n != 2 || !strings.Contains(github.comments[1],
		"**From a fork:**") || !strings.Contains(github.comments[1], "placeholders instead of secrets") {
		t.Errorf("%d comments; the fork's is\n%s", n, github.comments[n-1])
	}
}

// pins are proposals of other images: of a release of the application, by its tag, and of our own, by their digests.
func pins(t *testing.T, w *env, m *machine, roots string) {
	release, registry := strings.Repeat("b", 40), ""
	now := w.configured("release")
	for _, image := range []string{"backend", "frontend"} {
		reference := now[image].(string)
		registry = strings.Split(reference, "/")[0]
		w.tag(reference, registry+"/"+image+":"+release, roots)
	}
	files := map[string]string{}
	for _, stack := range []string{"staging", "prod"} {
		file := filepath.Join(m.root, "Pulumi."+stack+".yaml")
		committed, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		files[file] = string(committed)
		t.Cleanup(func() {
			if err := os.WriteFile(file, committed, 0o600); err != nil {
				t.Error(err)
			}
		})
	}
	own := w.configured("images")
	images := &machine{root: m.root, env: append(slices.Clone(m.env), "OPS="+own["ops"].(string),
		"EDGE="+own["edge"].(string), "RELEASE="+release, "IMAGES="+registry)}
	images.must(t, "digests", "propose", "Pin", "release.backend: "+now["backend"].(string))
	images.must(t, "images", "propose", "Pin", "images.ops: "+own["ops"].(string))
	// What is published is what the sandbox built in another directory: the images are reproducible.
	publish := exec.CommandContext(w.ctx, "make", "--silent", "images", "PUSH="+registry+"/owner/infra")
	var published, said bytes.Buffer
	publish.Dir, publish.Env, publish.Stdout, publish.Stderr = m.root, m.env, &published, &said
	var refs map[string]string
	if err := publish.Run(); err != nil || json.Unmarshal(published.Bytes(), &refs) != nil {
		t.Fatalf("make images: %v\n%s%s", err, published.String(), said.String())
	}
	for _, image := range []string{"ops", "edge"} {
		_, want, _ := strings.Cut(own[image].(string), "@")
		if refs[image] != registry+"/owner/infra/"+image+"@"+want {
			t.Errorf("%s is published as %s, and the sandbox has %s", image, refs[image], own[image])
		}
	}
	for file, committed := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{
			release, now["backend"].(string), now["frontend"].(string), own["ops"].(string),
			own["edge"].(string),
		} {
			if !strings.Contains(string(text), want) || strings.Contains(committed, want) {
				t.Errorf("%s does not get %s", file, want)
			}
		}
	}
}

// tag names an image of the sandbox's registry.
func (w *env) tag(reference, as, roots string) {
	w.t.Helper()
	text, err := os.ReadFile(roots)
	if err != nil {
		w.t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(text)
	transport := remote.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	digest, err := name.NewDigest(reference)
	if err != nil {
		w.t.Fatal(err)
	}
	tag, err := name.NewTag(as)
	if err != nil {
		w.t.Fatal(err)
	}
	image, err := remote.Image(digest, remote.WithTransport(transport), remote.WithContext(w.ctx))
	if err != nil {
		w.t.Fatal(err)
	}
	if err := remote.Tag(tag, image, remote.WithTransport(transport), remote.WithContext(w.ctx)); err != nil {
		w.t.Fatal(err)
	}
}

// urn finds a resource's by its name, in the state.
func (w *env) urn(name string) string {
	w.t.Helper()
	var state struct {
		Deployment struct {
			Resources []struct {
				URN string `json:"urn"`
			} `json:"resources"`
		} `json:"deployment"`
	}
	if err := json.Unmarshal([]byte(w.mustPulumi("stack", "export")), &state); err != nil {
		w.t.Fatal(err)
	}
	for _, r := range state.Deployment.Resources {
		if strings.HasSuffix(r.URN, "::"+name) {
			return r.URN
		}
	}
	w.t.Fatalf("the state has no %s", name)
	return ""
}

// closeSSH takes the rules of port 22 away, as host.sshFrom without this machine would, and returns what brings
// them back.
func closeSSH(t *testing.T, w *env) (reopen func()) {
	t.Helper()
	api := w.hetzner()
	list, err := api.Firewall.All(w.ctx)
	if err != nil || len(list) != 1 {
		t.Fatalf("%d firewalls, %v", len(list), err)
	}
	var closed []hcloud.FirewallRule
	for _, r := range list[0].Rules {
		if r.Port == nil || *r.Port != "22" {
			closed = append(closed, r)
		}
	}
	if len(closed) == len(list[0].Rules) {
		t.Fatal("there is no rule for SSH")
	}
	set := func(rules []hcloud.FirewallRule) {
		t.Helper()
		actions, _, err := api.Firewall.SetRules(w.ctx, list[0], hcloud.FirewallSetRulesOpts{Rules: rules})
		if err == nil {
			err = api.Action.WaitFor(w.ctx, actions...)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	set(closed)
	if w.reachesSSH() {
		t.Fatal("the SSH port is open without a rule")
	}
	return func() { set(list[0].Rules) }
}

func (w *env) hetzner() *hcloud.Client {
	return hcloud.NewClient(hcloud.WithToken(w.variable("HCLOUD_TOKEN")),
		hcloud.WithEndpoint("http://"+w.s.Gateway().String()+":8080/v1"),
		hcloud.WithPollOpts(hcloud.PollOpts{BackoffFunc: hcloud.ConstantBackoff(100 * time.Millisecond)}))
}

// reachesSSH reports whether a connection to the host's port 22 comes about.
func (w *env) reachesSSH() bool {
	return exec.CommandContext(w.ctx, "timeout", "3", "bash", "-c", "</dev/tcp/"+w.address()+"/22").Run() == nil
}

// doors are closed however the command ended that they were opened for.
func doors(t *testing.T, w *env, m *machine) {
	firewalls := func() int {
		t.Helper()
		list, err := w.hetzner().Firewall.All(w.ctx)
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	studio := func(args ...string) *exec.Cmd {
		cmd := exec.Command(filepath.Join(m.root, "bin", "studio"), append([]string{"ssh-allow", "--stack", w.s.Stack},
			args...)...)
		cmd.Dir, cmd.Env = m.root, m.env
		return cmd
	}
	for _, c := range []struct {
		name string
		args []string
		code int
	}{
		{"a command that ends well", []string{"--", "bash", "-c", "timeout 3 bash -c '</dev/tcp/" + w.address() + "/22'"}, 0},
		{"one that fails", []string{"--", "sh", "-c", "exit 7"}, 7},
		{"one that takes too long", []string{"--for", "2s", "--", "sleep", "60"}, 1},
		{"a script that waits for its own", []string{"--for", "2s", "--", "sh", "-c", "sleep 60; true"}, 1},
	} {
		began := time.Now()
		out, err := studio(c.args...).CombinedOutput()
		code := 0
		if exit := new(exec.ExitError); errors.As(err, &exit) {
			code = exit.ExitCode()
		} else if err != nil {
			t.Fatal(err)
		}
		if code != c.code || !strings.Contains(string(out), "is closed to") || time.Since(began) > 50*time.Second {
			t.Errorf("%s: exit code %d, want %d:\n%s", c.name, code, c.code, out)
		}
		if n := firewalls(); n != 1 || w.reachesSSH() {
			t.Errorf("%s: %d firewalls are there, and the port is open: %v", c.name, n, w.reachesSSH())
		}
	}

	killed := studio("--for", "3s", "--", "sleep", "20")
	if err := killed.Start(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); firewalls() != 2; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the port is not opened")
		}
	}
	_ = killed.Process.Kill()
	_ = killed.Wait()
	if firewalls() != 2 {
		t.Fatal("a killed process has cleaned up")
	}
	time.Sleep(4 * time.Second)
	out, err := studio("--", "true").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "was left behind") || firewalls() != 1 {
		t.Errorf("after one that was killed: %v, %d firewalls\n%s", err, firewalls(), out)
	}
}
