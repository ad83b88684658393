// Package gate waits until a freshly made server can carry the program's resources. "Created" in
// the cloud's API means neither that sshd listens, nor that it is the right machine, nor that
// cloud-init and Docker are done; the four stages tell which of them is missing.
package gate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/prekzursil/momentstudio-infra/internal/fault"
	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
)

// Stage is one thing that must hold, in this order.
type Stage string

// The stages.
const (
	Port      Stage = "port 22"
	HostKey   Stage = "host key"
	CloudInit Stage = "cloud-init"
	Docker    Stage = "Docker and Swarm"
)

// ErrWrongHostKey means that something answers on the address with a key that is not pinned.
var ErrWrongHostKey = errors.New("the host key is not a pinned one")

// Target is the server to wait for.
type Target struct {
	Address     string   // host:port
	PrivateKeys []string // PEMs of the deploy keys, tried in this order; secrets
	HostKeys    []string // accepted keys in authorized_keys form
}

// StageError says at which stage the wait ended and what was last seen there.
type StageError struct {
	Stage  Stage
	Target string
	Err    error
}

func (e *StageError) Error() string {
	return fmt.Sprintf("host %s is not ready: stage %q: %v", e.Target, e.Stage, e.Err)
}
func (e *StageError) Unwrap() error { return e.Err }

// Wait returns when all stages hold. It ends early when a stage can never hold (wrong host key,
// failed cloud-init) and otherwise after limit. progress is called when the stage or what it
// waits for changes; it may be nil.
func Wait(ctx context.Context, t Target, limit time.Duration, progress func(string)) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var signers []ssh.Signer
	for _, key := range t.PrivateKeys {
		signer, err := ssh.ParsePrivateKey([]byte(key))
		if err != nil {
			return errors.New("read the deploy key: it is not an SSH private key") // never quote it
		}
		signers = append(signers, signer)
	}
	pinned := map[string]bool{}
	for _, line := range t.HostKeys {
		key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
		if err != nil {
			return fmt.Errorf("read a pinned host key: %w", err)
		}
		pinned[string(key.Marshal())] = true
	}
	w := &waiter{target: t, signers: signers, pinned: pinned, progress: progress}

	delay := 250 * time.Millisecond
	var lastStage Stage
	var lastErr error
	for {
		stage, err := w.try(ctx)
		if err == nil {
			return nil
		}
		if !errors.As(err, new(*swarmError)) {
			w.swarmFailed = time.Time{}
		}
		if ctx.Err() != nil && lastErr != nil {
			stage, err = lastStage, lastErr // the limit cut this try short: the one before saw more
		}
		lastStage, lastErr = stage, err
		w.report(stage, err)
		var final *finalError
		if errors.As(err, &final) {
			return fault.Hint(&StageError{stage, t.Address, final.err}, final.next)
		}
		select {
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.Canceled) {
				return &StageError{stage, t.Address, fmt.Errorf("%w; last seen: %w", ctx.Err(), err)}
			}
			return fault.Hint(&StageError{stage, t.Address, fmt.Errorf("gave up after %s: %w", limit, err)},
				"look at the server's console, mend the cause and run the update again; host.readyTimeoutSeconds raises the limit")
		case <-time.After(delay):
		}
		delay = min(delay*3/2, 5*time.Second)
	}
}

// finalError cannot be waited away.
type finalError struct {
	err  error
	next string
}

func (e *finalError) Error() string { return e.err.Error() }

type waiter struct {
	target   Target
	signers  []ssh.Signer
	pinned   map[string]bool
	progress func(string)
	last     string

	swarmFailed time.Time // when the Swarm first reported its present error; zero if it reports none
}

func (w *waiter) report(stage Stage, err error) {
	if line := fmt.Sprintf("waiting for %s: %s: %v", w.target.Address, stage, err); line != w.last && w.progress != nil {
		w.last = line
		w.progress(line)
	}
}

// try goes through the stages once and returns the first that does not hold.
func (w *waiter) try(ctx context.Context) (Stage, error) {
	dialer := net.Dialer{Timeout: 5 * time.Second}
	conn, err := dialer.DialContext(ctx, "tcp", w.target.Address)
	if err != nil {
		return Port, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second)) // a connection that hangs is tried again

	var wrong string
	client, err := w.handshake(conn, &wrong)
	if wrong != "" {
		return HostKey, &finalError{
			fmt.Errorf("%w: it shows %s", ErrWrongHostKey, wrong),
			"nothing was sent to it. If the server was rebuilt outside this program, raise host.generation; if not, somebody " +
				"may stand between: do not continue",
		}
	}
	if err != nil {
		return HostKey, err
	}
	defer client.Close()

	if err := cloudInitDone(client); err != nil {
		return CloudInit, err
	}
	return Docker, w.swarmReady(client)
}

// swarmPatience is how long the Swarm may report an error: it starts again by itself when, for example, its address
// comes up late.
const swarmPatience = 15 * time.Second

// swarmReady returns nil when the host is the Swarm's manager and its first boot has finished.
func (w *waiter) swarmReady(client *ssh.Client) error {
	answer, err := run(client, "docker info --format '{{json .Swarm}}' && test -e "+hostspec.ReadyFile)
	if err != nil {
		return err
	}
	var swarm struct {
		LocalNodeState   string
		ControlAvailable bool
		Error            string
	}
	if err := json.Unmarshal([]byte(answer), &swarm); err != nil {
		return errors.New("docker info printed no JSON about the Swarm")
	}
	state := fmt.Errorf("the Swarm is %q, manager %t, want \"active\" and a manager", swarm.LocalNodeState,
		swarm.ControlAvailable)
	switch {
	case swarm.LocalNodeState == "error" || swarm.LocalNodeState == "locked":
		failed := &swarmError{swarm.LocalNodeState, swarm.Error}
		if w.swarmFailed.IsZero() {
			w.swarmFailed = time.Now()
		}
		if time.Since(w.swarmFailed) < swarmPatience {
			return failed
		}
		return &finalError{
			failed,
			"remove the cause on the host, then restart Docker there: systemctl restart docker. If the error remains, raise " +
				"host.generation; this replaces the server and keeps the data volume",
		}
	case swarm.LocalNodeState == "active" && swarm.ControlAvailable:
		return nil
	case swarm.Error != "":
		return fmt.Errorf("%w: %s", state, swarm.Error)
	}
	return state
}

// swarmError is a Swarm that does not start.
type swarmError struct{ state, message string }

func (e *swarmError) Error() string {
	return fmt.Sprintf("the Swarm does not start: %s: %s", e.state, e.message)
}

func (w *waiter) handshake(conn net.Conn, wrong *string) (*ssh.Client, error) {
	c, channels, requests, err := ssh.NewClientConn(conn, w.target.Address, &ssh.ClientConfig{
		User:              "root",
		Auth:              []ssh.AuthMethod{ssh.PublicKeys(w.signers...)},
		HostKeyAlgorithms: []string{ssh.KeyAlgoED25519},
		HostKeyCallback: func(_ string, _ net.Addr, key ssh.PublicKey) error {
			if w.pinned[string(key.Marshal())] {
				return nil
			}
			*wrong = ssh.FingerprintSHA256(key)
			return ErrWrongHostKey
		},
	})
	if err != nil {
		return nil, err
	}
	return ssh.NewClient(c, channels, requests), nil
}

// cloudInitResult is written when cloud-init ends.
const cloudInitResult = "/run/cloud-init/result.json"

func cloudInitDone(client *ssh.Client) error {
	// The exit status repeats what the JSON says, and differs between versions.
	out, err := run(client, "cloud-init status --format json || true")
	if err != nil {
		return err
	}
	var status struct {
		Status string   `json:"status"`
		Detail string   `json:"detail"`
		Errors []string `json:"errors"`
	}
	if err := json.Unmarshal([]byte(out), &status); err != nil {
		return errors.New("its status is not readable yet")
	}
	switch status.Status {
	case "done", "disabled":
		return nil
	case "error":
		// Its status stays until the next boot, also when the bootstrap was run again with success.
		again := fmt.Sprintf("test -e %[1]s && test %[2]s -nt %[1]s", cloudInitResult, hostspec.ReadyFile)
		if _, err := run(client, again); err == nil {
			return nil
		}
		log, _ := run(client, "grep -h 'momentstudio-bootstrap:' /var/log/cloud-init-output.log | tail -n 3; journalctl -q "+
			"--no-pager -n 5 -u momentstudio-data.service -u docker.service -p warning")
		return &finalError{
			fmt.Errorf("it ended in error: %s\n%s", strings.Join(status.Errors, "; "), strings.TrimSpace(log)),
			"read /var/log/cloud-init-output.log on the host, mend the cause there and run " +
				"/usr/local/sbin/momentstudio-bootstrap again, or raise host.generation",
		}
	default:
		return fmt.Errorf("status %s", status.Status)
	}
}

// run executes one command and returns what it printed.
func run(client *ssh.Client, command string) (string, error) {
	session, err := client.NewSession()
	if err != nil {
		return "", err
	}
	defer session.Close()
	var out, errOut bytes.Buffer
	session.Stdout, session.Stderr = &out, &errOut
	if err := session.Run(command); err != nil {
		first, _, _ := strings.Cut(strings.TrimSpace(errOut.String()), "\n")
		return "", fmt.Errorf("%w: %s", err, first)
	}
	return out.String(), nil
}
