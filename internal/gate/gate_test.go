package gate_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/prekzursil/momentstudio-infra/internal/gate"
	"github.com/prekzursil/momentstudio-infra/internal/sshkey"
)

var (
	deployKey = key("11", "deploy")
	hostKey   = key("22", "host")
	otherKey  = key("33", "other")
)

func key(digits, comment string) sshkey.Key {
	k, err := sshkey.FromSeed(strings.Repeat(digits, 32), comment)
	if err != nil {
		panic(err)
	}
	return k
}

const (
	done    = `{"status":"done","detail":"DataSourceHetzner","errors":[]}`
	running = `{"status":"running","detail":"","errors":[]}`
)

// machine plays a server: sshd with one host key, and the answers of its shell by command. Each
// list of answers is used up one by one, the last for ever.
type machine struct {
	mu        sync.Mutex
	cloudInit []string
	docker    []string
	log       string
	booted    bool // the bootstrap ended after cloud-init
	commands  []string
	logins    atomic.Int64
	silent    atomic.Bool // commands get no answer
}

func (m *machine) answer(command string) (out, errOut string, status uint32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.commands = append(m.commands, command)
	next := func(list *[]string) string {
		v := (*list)[0]
		if len(*list) > 1 {
			*list = (*list)[1:]
		}
		return v
	}
	switch {
	case strings.HasPrefix(command, "cloud-init status"):
		return next(&m.cloudInit), "", 0
	case strings.HasPrefix(command, "docker info"):
		v := next(&m.docker)
		if text, failed := strings.CutPrefix(v, "fail:"); failed {
			return "", text, 1
		}
		state, manager, _ := strings.Cut(v, "/")
		state, problem, _ := strings.Cut(state, ": ")
		return fmt.Sprintf("{\"LocalNodeState\":%q,\"ControlAvailable\":%s,\"Error\":%q}\n", state,
			cmp.Or(manager, "false"), problem), "", 0
	case strings.HasPrefix(command, "test "):
		if m.booted {
			return "", "", 0
		}
		return "", "", 1
	default:
		return m.log, "", 0
	}
}

// asked lists the commands that were run.
func (m *machine) asked() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.commands)
}

// serve runs sshd on l until the test ends.
func (m *machine) serve(t *testing.T, l net.Listener) {
	t.Helper()
	signer, err := ssh.ParsePrivateKey([]byte(hostKey.PrivatePEM))
	if err != nil {
		t.Fatal(err)
	}
	allowed, _, _, _, err := ssh.ParseAuthorizedKey([]byte(deployKey.Public))
	if err != nil {
		t.Fatal(err)
	}
	config := &ssh.ServerConfig{PublicKeyCallback: func(c ssh.ConnMetadata, k ssh.PublicKey) (*ssh.Permissions, error) {
		if c.User() != "root" || string(k.Marshal()) != string(allowed.Marshal()) {
			return nil, errors.New("not the deploy key")
		}
		m.logins.Add(1)
		return &ssh.Permissions{}, nil
	}}
	config.AddHostKey(signer)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go m.session(conn, config)
		}
	}()
}

func (m *machine) session(conn net.Conn, config *ssh.ServerConfig) {
	defer conn.Close()
	_, channels, requests, err := ssh.NewServerConn(conn, config)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	for c := range channels {
		channel, requests, err := c.Accept()
		if err != nil {
			return
		}
		go func() {
			for r := range requests {
				if r.Type != "exec" {
					_ = r.Reply(false, nil)
					continue
				}
				var p struct{ Command string }
				_ = ssh.Unmarshal(r.Payload, &p)
				_ = r.Reply(true, nil)
				if m.silent.Load() {
					continue
				}
				out, errOut, status := m.answer(p.Command)
				_, _ = io.WriteString(channel, out)
				_, _ = io.WriteString(channel.Stderr(), errOut)
				_, _ = channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{status}))
				channel.Close()
			}
		}()
	}
}

func listen(t *testing.T, address string) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// start brings up a machine and returns how the gate reaches it.
func start(t *testing.T, m *machine) gate.Target {
	t.Helper()
	l := listen(t, "127.0.0.1:0")
	m.serve(t, l)
	return target(l.Addr().String())
}

func target(address string) gate.Target {
	return gate.Target{
		Address: address, PrivateKeys: []string{deployKey.PrivatePEM},
		HostKeys: []string{otherKey.Public, hostKey.Public},
	}
}

// log collects the progress lines of one wait.
type log struct {
	mu    sync.Mutex
	lines []string
}

func (l *log) add(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, line)
}

func (l *log) has(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.ContainsFunc(l.lines, func(line string) bool { return strings.Contains(line, text) })
}

func TestReadyHostPassesAllStages(t *testing.T) {
	m := &machine{cloudInit: []string{done}, docker: []string{"active/true"}}
	var l log
	if err := gate.Wait(context.Background(), start(t, m), 20*time.Second, l.add); err != nil {
		t.Fatal(err)
	}
	if len(l.lines) != 0 {
		t.Errorf("it waited for something: %q", l.lines)
	}
	asked := m.asked()
	if len(asked) != 2 || !strings.HasPrefix(asked[0], "cloud-init") || !strings.Contains(asked[1], "bootstrap-done") {
		t.Errorf("it asked %q, want cloud-init first, then Docker and the mark of the finished boot", asked)
	}
}

func TestEachStageIsWaitedFor(t *testing.T) {
	for _, c := range []struct {
		name    string
		machine *machine
		want    string // a progress line
	}{
		{"cloud-init that runs, then is done", &machine{
			cloudInit: []string{running, running, done},
			docker:    []string{"active/true"},
		}, "cloud-init: status running"},
		{"cloud-init whose status is half written", &machine{
			cloudInit: []string{`{"status":`, done},
			docker:    []string{"active/true"},
		}, "cloud-init: its status is not readable yet"},
		{"a Swarm that is not there yet", &machine{
			cloudInit: []string{done},
			docker:    []string{"inactive/false", "active/true"},
		}, `Docker and Swarm: the Swarm is "inactive", manager false`},
		{"a node that is no manager yet", &machine{
			cloudInit: []string{done},
			docker:    []string{"active/false", "active/true"},
		}, `the Swarm is "active", manager false`},
		{"Docker that does not answer yet", &machine{
			cloudInit: []string{done},
			docker: []string{
				"fail:Cannot connect to the Docker daemon\nmore",
				"active/true",
			},
		}, "Cannot connect to the Docker daemon"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var l log
			if err := gate.Wait(context.Background(), start(t, c.machine), 20*time.Second, l.add); err != nil {
				t.Fatal(err)
			}
			if !l.has(c.want) {
				t.Errorf("progress %q, want a line with %q", l.lines, c.want)
			}
			for i := 1; i < len(l.lines); i++ {
				if l.lines[i] == l.lines[i-1] {
					t.Errorf("the same line twice: %s", l.lines[i])
				}
			}
		})
	}
}

func TestPortThatOpensLater(t *testing.T) {
	l := listen(t, "127.0.0.1:0")
	address := l.Addr().String()
	l.Close()
	m := &machine{cloudInit: []string{done}, docker: []string{"active/true"}}
	var lines log
	var once sync.Once
	err := gate.Wait(context.Background(), target(address), 20*time.Second, func(line string) {
		lines.add(line)
		once.Do(func() { m.serve(t, listen(t, address)) })
	})
	if err != nil {
		t.Fatal(err)
	}
	if !lines.has("port 22: ") {
		t.Errorf("progress %q, want one about the port", lines.lines)
	}
}

func TestWrongHostKeyEndsTheWaitAtOnce(t *testing.T) {
	m := &machine{cloudInit: []string{done}, docker: []string{"active/true"}}
	to := start(t, m)
	to.HostKeys = []string{otherKey.Public}
	begin := time.Now()
	err := gate.Wait(context.Background(), to, time.Minute, nil)
	if !errors.Is(err, gate.ErrWrongHostKey) {
		t.Fatalf("got %v, want ErrWrongHostKey", err)
	}
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("it took %s: a wrong key cannot be waited away", took)
	}
	stage(t, err, gate.HostKey)
	public, _, _, _, errParse := ssh.ParseAuthorizedKey([]byte(hostKey.Public))
	if errParse != nil {
		t.Fatal(errParse)
	}
	for _, want := range []string{to.Address, ssh.FingerprintSHA256(public), "raise host.generation", "do not continue"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nwant %q in it", err, want)
		}
	}
	if m.logins.Load() != 0 || len(m.asked()) != 0 {
		t.Error("it logged in to a machine with the wrong key")
	}
	advises(t, err)
}

// advises fails when an error does not say what to do, or shows the deploy key.
func advises(t *testing.T, err error) {
	t.Helper()
	if !regexp.MustCompile(`(?i)what to do: |fix: `).MatchString(err.Error()) {
		t.Errorf("it does not say what to do: %v", err)
	}
	if strings.Contains(err.Error(), deployKey.PrivatePEM) {
		t.Errorf("it shows the deploy key: %v", err)
	}
}

func stage(t *testing.T, err error, want gate.Stage) {
	t.Helper()
	var s *gate.StageError
	if !errors.As(err, &s) {
		t.Fatalf("got %v, want an error that names a stage", err)
	}
	if s.Stage != want {
		t.Errorf("stage %q, want %q (%v)", s.Stage, want, err)
	}
}

func TestFailedCloudInitEndsTheWaitWithItsLog(t *testing.T) {
	m := &machine{
		cloudInit: []string{running, `{"status":"error","errors":["('scripts_user', RuntimeError())"]}`},
		docker:    []string{"active/true"}, log: "momentstudio-bootstrap: no such volume 4711\n",
	}
	begin := time.Now()
	err := gate.Wait(context.Background(), start(t, m), time.Minute, nil)
	if err == nil {
		t.Fatal("a failed boot was accepted")
	}
	stage(t, err, gate.CloudInit)
	for _, want := range []string{"scripts_user", "no such volume 4711", "/var/log/cloud-init-output.log"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nwant %q in it", err, want)
		}
	}
	if took := time.Since(begin); took > 20*time.Second {
		t.Errorf("it took %s: this cannot be waited away", took)
	}
	advises(t, err)
}

func TestCloudInitsErrorIsOverWhenTheBootstrapWasRunAgain(t *testing.T) {
	m := &machine{
		cloudInit: []string{`{"status":"error","errors":["('scripts_user', RuntimeError())"]}`},
		docker:    []string{"active/true"}, booted: true,
	}
	if err := gate.Wait(t.Context(), start(t, m), 20*time.Second, nil); err != nil {
		t.Errorf("a host whose bootstrap was run again is refused: %v", err)
	}
}

func TestABrokenSwarmEndsTheWaitWithItsError(t *testing.T) {
	t.Parallel()
	m := &machine{cloudInit: []string{done}, docker: []string{
		"error: listen tcp 10.0.1.2:2377: bind: cannot assign requested address",
	}}
	err := gate.Wait(t.Context(), start(t, m), 2*time.Minute, nil)
	if err == nil {
		t.Fatal("a broken Swarm was accepted")
	}
	stage(t, err, gate.Docker)
	for _, want := range []string{"cannot assign requested address", "systemctl restart docker", "host.generation"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nwant %q in it", err, want)
		}
	}
	if strings.Contains(err.Error(), "gave up") {
		t.Errorf("the whole limit was waited for: %v", err)
	}
}

func TestASwarmThatStartsLateIsWaitedFor(t *testing.T) {
	m := &machine{cloudInit: []string{done}, docker: []string{"error: no such address", "pending", "active/true"}}
	if err := gate.Wait(t.Context(), start(t, m), 20*time.Second, nil); err != nil {
		t.Error(err)
	}
}

func TestLimitNamesTheStageAndWhatWasSeen(t *testing.T) {
	silent := &machine{cloudInit: []string{done}, docker: []string{"active/true"}}
	silent.silent.Store(true)
	mute := listen(t, "127.0.0.1:0") // accepts by the kernel's backlog and never says a word
	t.Cleanup(func() { mute.Close() })
	closed := listen(t, "127.0.0.1:0")
	closed.Close()
	for _, c := range []struct {
		name  string
		to    gate.Target
		stage gate.Stage
		want  string
	}{
		{"a port that stays closed", target(closed.Addr().String()), gate.Port, "connection refused"},
		{"a server that accepts and says nothing", target(mute.Addr().String()), gate.HostKey, "gave up after 2s"},
		{"a shell that never answers", start(t, silent), gate.CloudInit, "gave up after 2s"},
		{
			"a boot that does not end", start(t, &machine{cloudInit: []string{running}, docker: []string{""}}), gate.CloudInit,
			"status running",
		},
		{
			"a Swarm that never comes", start(t, &machine{cloudInit: []string{done}, docker: []string{"inactive/false"}}),
			gate.Docker, `"inactive"`,
		},
		{"a Docker that never answers", start(t, &machine{
			cloudInit: []string{done},
			docker:    []string{"fail:Cannot connect"},
		}), gate.Docker, "Cannot connect"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			begin := time.Now()
			err := gate.Wait(context.Background(), c.to, 2*time.Second, nil)
			took := time.Since(begin)
			if err == nil {
				t.Fatal("the host was taken for ready")
			}
			stage(t, err, c.stage)
			for _, want := range []string{c.want, "gave up after 2s", "host.readyTimeoutSeconds"} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%v\nwant %q in it", err, want)
				}
			}
			if took < 2*time.Second || took > 8*time.Second {
				t.Errorf("it took %s, want the limit of 2 s", took)
			}
			advises(t, err)
		})
	}
}

// A try that the limit cuts short knows less than the one before it.
func TestLimitInTheMiddleOfATryKeepsWhatWasSeenBefore(t *testing.T) {
	m := &machine{cloudInit: []string{running}, docker: []string{""}}
	err := gate.Wait(context.Background(), start(t, m), 2*time.Second, func(string) { m.silent.Store(true) })
	if err == nil {
		t.Fatal("the host was taken for ready")
	}
	stage(t, err, gate.CloudInit)
	if !strings.Contains(err.Error(), "status running") {
		t.Errorf("%v\nwant the last status that was seen", err)
	}
}

func TestCancelledWaitIsNotATimeout(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	begin := time.Now()
	err := gate.Wait(ctx, start(t, &machine{cloudInit: []string{running}, docker: []string{""}}), time.Minute,
		func(string) { cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want context.Canceled", err)
	}
	if strings.Contains(err.Error(), "gave up after") || !strings.Contains(err.Error(), "status running") {
		t.Errorf("%v: want what was seen, and no word of a limit", err)
	}
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("it took %s to stop", took)
	}
}

func TestUnusableKeysAreRefusedWithoutBeingShown(t *testing.T) {
	for _, c := range []struct {
		name string
		to   gate.Target
		want string
	}{
		{"a deploy key that is none", gate.Target{Address: "127.0.0.1:1", PrivateKeys: []string{"canary-key"}}, "deploy key"},
		{"a pinned key that is none", gate.Target{
			Address: "127.0.0.1:1", PrivateKeys: []string{deployKey.PrivatePEM},
			HostKeys: []string{"nonsense"},
		}, "pinned host key"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := gate.Wait(context.Background(), c.to, time.Minute, nil)
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(fmt.Sprint(err), "canary") {
				t.Errorf("got %v, want an error about the %s that quotes nothing", err, c.want)
			}
		})
	}
}

func TestAnotherDeployKeyDoesNotGetIn(t *testing.T) {
	m := &machine{cloudInit: []string{done}, docker: []string{"active/true"}}
	to := start(t, m)
	to.PrivateKeys = []string{otherKey.PrivatePEM}
	err := gate.Wait(context.Background(), to, time.Second, nil)
	if err == nil || !strings.Contains(err.Error(), "unable to authenticate") {
		t.Errorf("got %v, want a failed login", err)
	}
	if m.logins.Load() != 0 {
		t.Error("the machine let it in")
	}
}
