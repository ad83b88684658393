package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/xml"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prekzursil/momentstudio-infra/sandbox/runner"
)

// stateKey is the state's object in the bucket.
func (w *env) stateKey() string { return ".pulumi/stacks/momentstudio/" + w.s.Stack + ".json" }

// store sends a request to the S3 store of the states with the operator's key, and returns the answer's body. curl
// signs it, except for the hash of what is sent.
func (w *env) store(method, target string, sent []byte) []byte {
	w.t.Helper()
	backend, err := url.Parse(w.s.StateURL())
	if err != nil {
		w.t.Fatal(err)
	}
	args := []string{
		"--silent", "--show-error", "--fail-with-body", "--cacert", w.s.CAFile(), "--aws-sigv4", "aws:amz:us-east-1:s3",
		"--user", runner.StateOperator.Access + ":" + runner.StateOperator.Secret, "--request", method,
		"--header", fmt.Sprintf("x-amz-content-sha256: %x", sha256.Sum256(sent)),
	}
	if sent != nil {
		args = append(args, "--header", "Content-Type: application/json", "--data-binary", "@-")
	}
	args = append(args, backend.Query().Get("endpoint")+"/"+runner.StateBucket+target)
	cmd := exec.CommandContext(w.ctx, "curl", args...)
	cmd.Stdin = bytes.NewReader(sent)
	out, err := cmd.CombinedOutput()
	if err != nil {
		w.t.Fatalf("the state's bucket, %s %s: %v\n%s", method, target, err, out)
	}
	return out
}

// stateObjects lists the bucket's keys that begin with a prefix.
func (w *env) stateObjects(prefix string) string {
	w.t.Helper()
	var keys []string
	for last := ""; ; {
		var listed struct {
			IsTruncated bool
			Contents    []struct{ Key string }
		}
		query := "?list-type=2&prefix=" + url.QueryEscape(prefix)
		if last != "" {
			query += "&start-after=" + url.QueryEscape(last)
		}
		if err := xml.Unmarshal(w.store(http.MethodGet, query, nil), &listed); err != nil {
			w.t.Fatal(err)
		}
		for _, c := range listed.Contents {
			last = c.Key
			keys = append(keys, c.Key)
		}
		if !listed.IsTruncated || len(listed.Contents) == 0 {
			return strings.Join(keys, "\n")
		}
	}
}

// stateVersion is the newest version of the state's object.
func (w *env) stateVersion() string {
	w.t.Helper()
	var listed struct {
		Version []struct {
			Key       string
			VersionID string `xml:"VersionId"`
			IsLatest  bool
		}
	}
	if err := xml.Unmarshal(w.store(http.MethodGet, "?prefix="+url.QueryEscape(w.stateKey())+"&versions=", nil),
		&listed); err != nil {
		w.t.Fatal(err)
	}
	for _, v := range listed.Version {
		if v.Key == w.stateKey() && v.IsLatest {
			return v.VersionID
		}
	}
	w.t.Fatalf("the bucket has no version of %s: %+v", w.stateKey(), listed.Version)
	return ""
}

// stateFaults are six faults of a state in a bucket, tried on the real CLI and an S3 server.
func stateFaults(t *testing.T, w *env) {
	w.giveUpload()
	for _, c := range []struct {
		name string
		run  func(*testing.T, *env)
	}{
		{"the lock of a running update names its holder, and a second run works after it", stateLock},
		{"the lock of a killed update is removed by the next one", stateLockOfTheDead},
		{"an unreachable store ends every command", stateUnreachable},
		{"a wrong key ends every command", stateWrongKey},
		{"an older version of the state is brought up to date", olderState},
	} {
		ok := t.Run(c.name, func(t *testing.T) {
			w.t = t
			c.run(t, w)
		})
		w.t = t
		if !ok {
			return
		}
	}
}

// signal sends a signal to the engine of a run that has begun.
func (r *run) signal(t testing.TB, s syscall.Signal) {
	t.Helper()
	text, err := os.ReadFile(r.pid)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err == nil {
		err = syscall.Kill(pid, s)
	}
	if err != nil {
		t.Fatalf("signal %s to the engine: %v", s, err)
	}
}

func stateLock(t *testing.T, w *env) {
	w.otherPruneTime()
	r := w.start(false)
	for len(r.began) == 0 {
		select {
		case err := <-r.ended:
			t.Fatalf("the update ended without an operation: %v\n%s", err, tail(r.out.String(), 40))
		case <-time.After(5 * time.Millisecond):
			r.look()
		}
	}
	r.signal(t, syscall.SIGSTOP) // for as long as the others try
	resume := sync.OnceFunc(func() { r.signal(t, syscall.SIGCONT) })
	defer resume()
	if out, err := w.pulumi("up", "--yes", "--skip-preview"); err == nil || !strings.Contains(out, "locked by") ||
		!strings.Contains(out, "created by ") {
		t.Errorf("a second pulumi up is not refused with the name of who holds the lock: %v\n%s", err, tail(out, 20))
	}
	out, err := w.update()
	if message := finalMessage("studio", out); err == nil || message == "" {
		t.Errorf("a second studio up is not refused: %v\n%s", err, tail(out, 20))
	} else {
		explains(t, "a second studio up", message, w.secretValues()...)
	}
	resume()
	if _, err := r.wait(); err != nil {
		t.Fatalf("the first update: %v\n%s", err, tail(r.out.String(), 60))
	}
	if left := w.stateObjects(".pulumi/locks/"); left != "" {
		t.Errorf("after the update these locks are left: %s", left)
	}
	if out := w.mustUpdate(); !strings.Contains(out, "verified: ") {
		t.Errorf("a second run after the first:\n%s", tail(out, 20))
	}
}

func stateLockOfTheDead(t *testing.T, w *env) {
	rows, files := w.rows(), w.files()
	w.otherPruneTime()
	r := w.start(false)
	if at, err := r.killInside(1, func(operation) time.Duration { return 0 }, killEverything); at == nil {
		t.Fatalf("the update ended before it was killed: %v\n%s", err, tail(r.out.String(), 40))
	}
	if left := w.stateObjects(".pulumi/locks/"); left == "" {
		t.Fatal("the killed update left no lock: the test would prove nothing")
	}
	if out, err := w.pulumi("up", "--yes", "--skip-preview"); err == nil || !strings.Contains(out, "locked by") {
		t.Errorf("pulumi up ignores the lock: %v\n%s", err, tail(out, 20))
	}
	if out := w.mustUpdate(); !strings.Contains(out, "removing the lock") {
		t.Errorf("studio up does not say that it removes the lock:\n%s", tail(out, 40))
	}
	if left := w.stateObjects(".pulumi/locks/"); left != "" {
		t.Errorf("after the update these locks are left: %s", left)
	}
	w.mustPulumi("preview", "--diff", "--expect-no-changes")
	w.holds("after a killed update", rows, files)
}

func stateUnreachable(t *testing.T, w *env) {
	w.refusedWithout(t, "connection refused", "PULUMI_BACKEND_URL=s3://"+runner.StateBucket+
		"?region=us-east-1&use_path_style=true&endpoint="+url.QueryEscape("https://127.0.0.1:9"))
}

func stateWrongKey(t *testing.T, w *env) {
	w.refusedWithout(t, "SignatureDoesNotMatch", "AWS_SECRET_ACCESS_KEY=wrong0operator0secret")
}

// refusedWithout runs commands that cannot read the state. Each ends in time with the reason, and changes nothing.
func (w *env) refusedWithout(t *testing.T, reason, variable string) {
	t.Helper()
	w.otherPruneTime()
	defer w.otherPruneTime()
	version, services := w.stateVersion(), w.host("docker service ls --format '{{.ID}} {{.Image}}' | sort")
	file := []string{"--stack", w.s.Stack, "--config-file", w.s.ConfigFile()}
	for _, command := range [][]string{
		append([]string{w.s.Program("studio"), "up", "--ca", w.s.CAFile()}, file...),
		append([]string{w.tools.CLI, "up", "--yes", "--skip-preview", "--non-interactive"}, file...),
		append([]string{w.tools.CLI, "preview", "--non-interactive"}, file...),
	} {
		const limit = 2 * time.Minute
		ctx, cancel := context.WithTimeout(w.ctx, limit)
		cmd := exec.CommandContext(ctx, command[0], command[1:]...)
		cmd.Dir, cmd.Env = w.s.Project, append(w.s.Env(w.tools), variable)
		cmd.WaitDelay = time.Second
		began := time.Now()
		out, err := cmd.CombinedOutput()
		late := ctx.Err() != nil
		cancel()
		name := filepath.Base(command[0]) + " " + command[1]
		t.Logf("%s ended after %.1f s", name, time.Since(began).Seconds())
		if err == nil || late || !strings.Contains(string(out), reason) {
			t.Errorf("%s: %v, too late: %v, want %q:\n%s", name, err, late, reason, tail(string(out), 30))
		}
		for _, secret := range []string{runner.StateOperator.Secret, "wrong0operator0secret"} {
			if strings.Contains(string(out), secret) {
				t.Errorf("%s shows a key of the store", name)
			}
		}
	}
	if now := w.stateVersion(); now != version {
		t.Errorf("the state was written: version %s, was %s", now, version)
	}
	if now := w.host("docker service ls --format '{{.ID}} {{.Image}}' | sort"); now != services {
		t.Errorf("the services are\n%s\nwere\n%s", now, services)
	}
}

// olderState puts an earlier version of the state back, out of the versions that the bucket keeps.
func olderState(t *testing.T, w *env) {
	older := w.stateVersion()
	w.setSecret("adminIpBypassToken", "another-token-of-some-length-3")
	w.configure("dns", "ttlSeconds", 900)
	w.configure("frontend", "replicas", 2)
	w.mustUpdate()
	wants, rows, files := w.fingerprint(), w.rows(), w.files()

	text := w.store(http.MethodGet, "/"+w.stateKey()+"?versionId="+url.QueryEscape(older), nil)
	w.store(http.MethodPut, "/"+w.stateKey(), text)
	before := w.mustPulumi("stack", "export")
	out, err := w.studio("recover", "--config-file", w.s.ConfigFile())
	if err != nil || !strings.Contains(out, "would adopt what was made and not written down: ") {
		t.Errorf("studio recover does not list what it would adopt: %v\n%s", err, tail(out, 20))
	}
	if w.mustPulumi("stack", "export") != before {
		t.Error("studio recover changed the state without being told to")
	}
	out = w.mustUpdate()
	got := w.fingerprint()
	for _, stack := range []map[string]string{wants, got} {
		delete(stack, "jobs on the host") // containers that have ended: those that only the newer state knew are removed
	}
	if different := differences(wants, got); len(different) > 0 {
		t.Errorf("the stack is not what it was before its state was put back:\n%s\nstudio up had said:\n%s",
			strings.Join(different, "\n"), tail(out, 80))
	}
	w.holds("with an older state", rows, files)
	w.knowsAll()
	w.configure("dns", "ttlSeconds", 300)
	w.configure("frontend", "replicas", 1) // with the next update
}
