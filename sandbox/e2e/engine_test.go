package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// operation is one change of a resource that the engine made, as its events tell.
type operation struct {
	op, urn string
	took    time.Duration
}

func (o operation) String() string { return o.op + " " + planStep{URN: o.urn}.name() }

// changing are the engine's operations inside of which something outside changes.
var changing = []string{"create", "update", "delete", "create-replacement", "delete-replaced"}

// run is an update whose engine can be watched.
type run struct {
	cmd    *exec.Cmd
	out    bytes.Buffer
	events string // file of the engine's events, one a line
	pid    string // file with the engine's process ID
	ended  chan error
	began  []operation // so far
	starts []time.Time // of them
	read   int64
}

// start begins an update: `studio up`, or the engine's own without it.
func (w *env) start(bare bool) *run {
	w.t.Helper()
	dir := w.t.TempDir()
	r := &run{events: filepath.Join(dir, "events"), pid: filepath.Join(dir, "pid"), ended: make(chan error, 1)}
	// The CLI in front of the real one keeps its process ID, and a second name of the event log that studio asks for.
	script := fmt.Sprintf(`#!/bin/sh
if [ "$1" = up ]; then
  echo $$ > %[1]s
  for a in "$@"; do [ "$before" != --event-log ] || log="$a"; before="$a"; done
  if [ -n "$log" ]; then : > "$log"; ln -f "$log" %[2]s; else set -- "$@" --event-log %[2]s; fi
fi
exec %[3]s "$@"
`, r.pid, r.events, w.tools.CLI)
	if err := os.WriteFile(filepath.Join(dir, "pulumi"), []byte(script), 0o700); err != nil {
		w.t.Fatal(err)
	}
	name, args := w.s.Program("studio"), []string{
		"up", "--stack", w.s.Stack, "--config-file",
		w.s.ConfigFile(), "--ca", w.s.CAFile(),
	}
	if bare {
		name, args = filepath.Join(dir, "pulumi"), []string{
			"up", "--stack", w.s.Stack, "--config-file", w.s.ConfigFile(),
			"--yes", "--skip-preview", "--non-interactive",
		}
	}
	r.cmd = exec.CommandContext(w.ctx, name, args...)
	r.cmd.Dir, r.cmd.Env = w.s.Project, append(w.s.Env(w.tools), "PULUMI_DEBUG_COMMANDS=true")
	for i, v := range r.cmd.Env {
		if path, ok := strings.CutPrefix(v, "PATH="); ok {
			r.cmd.Env[i] = "PATH=" + dir + ":" + path
		}
	}
	// A file: a pipe would be held open by what outlives a killed engine.
	out, err := os.Create(filepath.Join(dir, "out"))
	if err != nil {
		w.t.Fatal(err)
	}
	r.cmd.Stdout, r.cmd.Stderr = out, out
	if err := r.cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	go func() {
		err := r.cmd.Wait()
		_, _ = out.Seek(0, io.SeekStart)
		_, _ = r.out.ReadFrom(out)
		_ = out.Close()
		r.ended <- err
	}()
	return r
}

// look reads the events that came since the last time.
func (r *run) look() {
	file, err := os.Open(r.events)
	if err != nil {
		return // the engine has not begun
	}
	defer file.Close()
	if _, err := file.Seek(r.read, io.SeekStart); err != nil {
		return
	}
	lines := bufio.NewReader(file)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return // a line that is not whole is read the next time
		}
		r.read += int64(len(line))
		var event struct {
			Pre *struct {
				Metadata struct{ Op, URN string }
			} `json:"resourcePreEvent"`
			Post *struct {
				Metadata struct{ Op, URN string }
			} `json:"resOutputsEvent"`
		}
		if json.Unmarshal(line, &event) != nil {
			continue
		}
		switch {
		case event.Pre != nil && slices.Contains(changing, event.Pre.Metadata.Op) && strings.Contains(event.Pre.Metadata.URN,
			":index/"):
			r.began = append(r.began, operation{op: event.Pre.Metadata.Op, urn: event.Pre.Metadata.URN})
			r.starts = append(r.starts, time.Now())
		case event.Post != nil:
			for i, o := range r.began {
				if o.urn == event.Post.Metadata.URN && o.op == event.Post.Metadata.Op && o.took == 0 {
					r.began[i].took = time.Since(r.starts[i])
				}
			}
		}
	}
}

// wait lets the update end, and returns the operations that it made.
func (r *run) wait() ([]operation, error) {
	for {
		select {
		case err := <-r.ended:
			r.look()
			return r.began, err
		case <-time.After(20 * time.Millisecond):
			r.look()
		}
	}
}

// The ways in which a run ends before its end.
const (
	killEngine     = "SIGKILL to the engine"
	killAll        = "SIGKILL to the engine and all that it started"
	terminate      = "SIGTERM to the engine"
	killEverything = "SIGKILL to studio, the engine and all that it started"
)

// killInside ends the update inside its n-th operation, so far into it. It returns what it was in the middle of;
// nothing when the update ended before.
func (r *run) killInside(n int, into func(operation) time.Duration, how string) (inside *operation, err error) {
	for len(r.began) < n {
		select {
		case err := <-r.ended:
			return nil, err
		case <-time.After(5 * time.Millisecond):
			r.look()
		}
	}
	at := r.began[n-1]
	time.Sleep(into(at))
	text, err := os.ReadFile(r.pid)
	if err != nil {
		return nil, err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return nil, err
	}
	victims := []int{pid}
	signal := syscall.SIGKILL
	switch how {
	case killAll:
		victims = append(victims, descendants(pid)...)
	case killEverything:
		victims = append([]int{r.cmd.Process.Pid}, append(victims, descendants(pid)...)...)
	case terminate:
		signal = syscall.SIGTERM
	}
	for _, v := range victims {
		_ = syscall.Kill(v, signal)
	}
	return &at, <-r.ended
}

// descendants are the processes that a process started, and theirs.
func descendants(pid int) (all []int) {
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", pid))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, t := range tasks {
		text, _ := os.ReadFile(t)
		children = append(append(children, ' '), text...)
	}
	for _, f := range strings.Fields(string(children)) {
		child, err := strconv.Atoi(f)
		if err == nil && !slices.Contains(all, child) {
			all = append(append(all, child), descendants(child)...)
		}
	}
	return all
}
