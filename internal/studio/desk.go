package studio

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/prekzursil/momentstudio-infra/internal/commandline"
	"github.com/prekzursil/momentstudio-infra/internal/engine"
	"github.com/prekzursil/momentstudio-infra/internal/fault"
	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
	"github.com/prekzursil/momentstudio-infra/internal/hostssh"
	"github.com/prekzursil/momentstudio-infra/internal/process"
	"github.com/prekzursil/momentstudio-infra/internal/sshfiles"
)

// Services are the names by which the commands of the desk call the stack's services.
func Services() []string {
	var names []string
	for _, layer := range hostspec.StopOrder() {
		for _, s := range layer.Services {
			names = append(names, strings.TrimPrefix(s, servicePrefix))
		}
	}
	slices.Sort(names)
	return names
}

const servicePrefix = "momentstudio-"

// serviceNamed finds a service by its short or its full name.
func serviceNamed(name string) (string, error) {
	if short := strings.TrimPrefix(name, servicePrefix); slices.Contains(Services(), short) {
		return servicePrefix + short, nil
	}
	return "", commandline.Usage(fmt.Errorf("there is no service %q; the services are %s", name,
		strings.Join(Services(), ", ")))
}

// LogOptions choose what Logs shows.
type LogOptions struct {
	Service string        // short name; empty: all services
	Since   time.Duration // default 0: from the beginning
	Lines   int           // newest lines of each task; default 100
	Grep    string        // only lines that match this regular expression, in Go's syntax
	Follow  bool          // go on until interrupted; needs a service
}

// Logs shows what services print. It is the host's own data: nothing is withheld.
func Logs(ctx context.Context, c engine.Stack, o LogOptions) error {
	script, err := logScript(o)
	if err != nil {
		return err
	}
	pattern, err := regexp.Compile(o.Grep)
	if err != nil {
		return commandline.Usage(fmt.Errorf("--grep: %w", err))
	}
	out, errOut := &lineFilter{to: c.Out, pattern: pattern}, &lineFilter{to: c.Err, pattern: pattern}
	c.Out, c.Err = out, errOut
	err = onHost(ctx, c, script, false)
	return errors.Join(err, out.flush(), errOut.flush())
}

// lineFilter passes on lines that match.
type lineFilter struct {
	to      io.Writer
	pattern *regexp.Regexp
	rest    []byte
}

func (f *lineFilter) Write(p []byte) (int, error) {
	f.rest = append(f.rest, p...)
	for {
		end := bytes.IndexByte(f.rest, '\n')
		if end < 0 {
			return len(p), nil
		}
		line := f.rest[:end+1]
		f.rest = f.rest[end+1:]
		if f.pattern.Match(line[:end]) {
			if _, err := f.to.Write(line); err != nil {
				return len(p), err
			}
		}
	}
}

// flush passes on what came after the last line's end.
func (f *lineFilter) flush() error {
	if len(f.rest) == 0 {
		return nil
	}
	_, err := f.Write([]byte("\n"))
	return err
}

func logScript(o LogOptions) (string, error) {
	if o.Follow && o.Service == "" {
		return "", commandline.Usage(errors.New("--follow needs a service; the services are " +
			strings.Join(Services(), ", ")))
	}
	if o.Lines < 1 || o.Since < 0 {
		return "", commandline.Usage(fmt.Errorf("--lines is %d and --since %s, want a positive number and a time",
			o.Lines, o.Since))
	}
	logs := fmt.Sprintf("docker service logs --timestamps --tail %d", o.Lines)
	if o.Since > 0 {
		logs += fmt.Sprintf(" --since %ds", int(o.Since.Seconds()))
	}
	if o.Follow {
		logs += " --follow"
	}
	if o.Service == "" { // a stack need not have all of them
		return "for s in " + strings.Join(Services(), " ") + "; do docker service inspect " + servicePrefix +
			"$s >/dev/null 2>&1 || continue; " + logs + " " + servicePrefix + "$s; done", nil
	}
	service, err := serviceNamed(o.Service)
	return logs + " " + service, err
}

// Exec runs a command in a task of a service, with this terminal.
func Exec(ctx context.Context, c engine.Stack, service string, command []string) error {
	name, err := serviceNamed(service)
	if err != nil {
		return err
	}
	return onHost(ctx, c, execScript(name, "", command, terminal()), terminal())
}

// execScript runs a command in the newest task of a service.
func execScript(service, options string, command []string, tty bool) string {
	quoted := make([]string, len(command))
	for i, w := range command {
		quoted[i] = hostssh.Quote(w)
	}
	interactive := "--interactive"
	if tty {
		interactive += " --tty"
	}
	return "id=$(docker ps --quiet --filter label=com.docker.swarm.service.name=" + service + " | head -n 1); " +
		`[ -n "$id" ] || { echo "no task of ` + service + ` runs on the host" >&2; exit 1; }; ` +
		"exec docker exec " + interactive + options + ` "$id" ` + strings.Join(quoted, " ")
}

// PsqlOptions say what Psql may do.
type PsqlOptions struct {
	Write bool     // transactions may write; default: they only read
	Args  []string // further arguments of psql, such as -c and a query
	// Confirm is asked before writing; its error ends the command.
	Confirm func() error
}

// Psql opens the shop's database. By default its transactions only read, which keeps mistakes from the data; a SET in
// the session lifts that.
func Psql(ctx context.Context, c engine.Stack, o PsqlOptions) error {
	wanted, err := c.Config()
	if err != nil {
		return err
	}
	if wanted.Postgres.Mode == "external" {
		return commandline.Usage(errors.New("the database is an external one (postgres.mode): use its provider's way in"))
	}
	if o.Write {
		if err := o.Confirm(); err != nil {
			return err
		}
	}
	return onHost(ctx, c, psqlScript(o, terminal()), terminal())
}

func psqlScript(o PsqlOptions, tty bool) string {
	options := ""
	if !o.Write {
		options = " --env " + hostssh.Quote("PGOPTIONS=-c default_transaction_read_only=on")
	}
	command := append([]string{"psql", "-U", "postgres", "-d", hostspec.DatabaseName}, o.Args...)
	return execScript(hostspec.PostgresService, options, command, tty)
}

// Shell opens a shell on the host, or runs a command there.
func Shell(ctx context.Context, c engine.Stack, command []string) error {
	quoted := make([]string, len(command))
	for i, w := range command {
		quoted[i] = hostssh.Quote(w)
	}
	return onHost(ctx, c, strings.Join(quoted, " "), terminal())
}

// terminal reports whether somebody sits at this command's input.
func terminal() bool { return term.IsTerminal(int(os.Stdin.Fd())) }

// onHost runs a script on the host with this process's streams. Its error carries the script's exit code.
func onHost(ctx context.Context, c engine.Stack, script string, tty bool) error {
	if err := hostssh.WriteConfig(ctx, c); err != nil {
		return err
	}
	o, err := c.HostOutputs(ctx)
	if err != nil {
		return err
	}
	args := sshfiles.Options(c.Name)
	if tty {
		args = append(args, "-t")
	}
	if args = append(args, o.Address); script != "" {
		args = append(args, script)
	}
	if err := os.Chdir(c.Root); err != nil { // the paths in the SSH files begin there
		return err
	}
	err = process.Command(ctx, os.Stdin, c.Out, c.Err, "ssh", args...)
	var ended process.CommandError
	if errors.As(err, &ended) && ended.Code == hostssh.SSHFailed {
		return fault.Hint(fmt.Errorf("the host %s cannot be reached: %w", o.Address, err),
			"when this machine's address is not in host.sshFrom, `studio ssh-allow --stack "+c.Name+" -- COMMAND` opens the "+
				"port meanwhile")
	}
	return err
}
