package hostssh

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"strings"
	"sync"
	"time"

	"github.com/prekzursil/momentstudio-infra/internal/engine"
	"github.com/prekzursil/momentstudio-infra/internal/fault"
	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
	"github.com/prekzursil/momentstudio-infra/internal/process"
)

// lockedError means that somebody else changes the host's services right now.
type lockedError struct{ holder string }

func (e lockedError) Error() string {
	return "the host's services are being changed by " + e.holder +
		"; nothing was done. Run it again when that has ended, or wait for it with --wait 30m"
}

// takeLock takes the lock and keeps it as long as its standard input is open. The kernel lets it go when the
// connection ends, however it ends. $1 is who takes it, $2 how many seconds to wait.
const takeLock = `exec 9<>` + hostspec.ServicesLock + ` || exit 1
if ! flock --wait "$2" 9; then echo "held by $(cat ` + hostspec.ServicesLock + `)"; exit 0; fi
if [ -e ` + hostspec.RestoreUnfinished + ` ]; then echo "unfinished $(cat ` + hostspec.RestoreUnfinished +
	`)"; exit 0; fi
printf '%s\n' "$1" > ` + hostspec.ServicesLock + `
echo taken
cat > /dev/null`

// UnfinishedRestore is the error of whoever would change the shop in the middle of a restore's cutover.
func UnfinishedRestore(source string) error {
	return fault.Hint(fmt.Errorf("the restore of %s is in the middle of its cutover, and this would mix two states of "+
		"the "+
		"shop", source), "run `"+hostspec.HostopsCommand+" restore continue` on the host, or `restore undo`")
}

// LockServices takes the one lock on the host for everything that changes its services. It fails
// with a lockedError when somebody has it for longer than c.Wait. A host that does not answer has
// nobody at work either: the update is about to mend it, or to report it.
func LockServices(ctx context.Context, c engine.Stack, address, what string) (release func(), err error) {
	h, err := holdLock(ctx, c, address, "sh -c "+Quote(takeLock)+" sh "+Quote(whoAmI(what))+
		fmt.Sprintf(" %d", int(c.Wait.Seconds())))
	if err != nil {
		return nil, err
	}
	end := h.release
	stop := context.AfterFunc(ctx, end) // while waiting for the other; afterwards the run's end counts
	line, err := bufio.NewReader(h.answer).ReadString('\n')
	if !stop() { // the run ended meanwhile, and the lock with it
		end()
		return nil, ctx.Err()
	}
	switch line = strings.TrimSpace(line); {
	case line == "taken":
		return end, nil
	case strings.HasPrefix(line, "unfinished "):
		end()
		return nil, UnfinishedRestore(strings.TrimPrefix(line, "unfinished "))
	case strings.HasPrefix(line, "held by "):
		end()
		return nil, lockedError{strings.TrimPrefix(line, "held by ")}
	case errors.Is(err, io.EOF):
		end()
		var exit *exec.ExitError
		if h.ended != nil && !errors.As(h.ended, &exit) {
			return nil, fmt.Errorf("take the lock of the host's services: %w", h.ended)
		}
		if exit == nil || exit.ExitCode() != SSHFailed {
			return nil, fmt.Errorf("take the lock of the host's services: %s", lastLine(h.errOut.String()))
		}
		fmt.Fprintf(c.Err, "the host does not answer, so its lock is not taken: %s\n", lastLine(h.errOut.String()))
		return func() {}, nil
	default:
		end()
		return nil, fmt.Errorf("take the lock of the host's services: the host answers %q", line)
	}
}

// heldLock is the connection that holds the lock, or waits for it.
type heldLock struct {
	answer  io.ReadCloser // what the host says of the lock
	errOut  bytes.Buffer  // what ssh says; to be read once it has ended
	ended   error         // how ssh ended; to be read after release
	release func()        // ends the connection and waits for it
}

// holdLock starts ssh with the script. release ends it, ctx does not: the engine must end first.
func holdLock(ctx context.Context, c engine.Stack, address, script string) (*heldLock, error) {
	running, kill := context.WithCancel(context.WithoutCancel(ctx))
	cmd := Command(running, c, address, script)
	process.InterruptOnce(cmd) // a terminal's interrupt must not end it before the engine has ended
	cmd.Cancel = func() error { return cmd.Process.Kill() }
	cmd.WaitDelay = 5 * time.Second // a process that ssh started may hold its output
	in, hold, err := os.Pipe()      // a file, so that Run does not wait for a copy of it
	if err != nil {
		kill()
		return nil, fmt.Errorf("take the lock of the host's services: %w", err)
	}
	answer, out := io.Pipe()
	h := &heldLock{answer: answer}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, out, &h.errOut
	done := make(chan struct{})
	go func() {
		h.ended = c.Exec(cmd)
		_ = in.Close()
		_ = out.Close()
		close(done)
	}()
	var once sync.Once
	h.release = func() {
		once.Do(func() {
			_ = hold.Close()
			_ = answer.Close()
			// A host that was replaced meanwhile never answers the end of the connection.
			late := time.AfterFunc(5*time.Second, kill)
			<-done
			late.Stop()
			kill()
		})
	}
	return h, nil
}

// whoAmI is what others are told who find the lock taken.
func whoAmI(what string) string {
	name := os.Getenv("GITHUB_ACTOR")
	if u, err := user.Current(); name == "" && err == nil {
		name = u.Username
	}
	host, _ := os.Hostname()
	text := fmt.Sprintf("%s on %s (process %d): %s, since %s", name, host, os.Getpid(), what,
		time.Now().UTC().Format("2006-01-02 15:04:05 MST"))
	if run := os.Getenv("GITHUB_RUN_ID"); run != "" {
		text += ", " + os.Getenv("GITHUB_SERVER_URL") + "/" + os.Getenv("GITHUB_REPOSITORY") + "/actions/runs/" + run
	}
	return text
}
