// Command sandbox runs the whole program on one machine with no account. `make sandbox` calls it.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/prekzursil/momentstudio-infra/sandbox/runner"
)

const usage = `usage: sandbox COMMAND
  up        bring the sandbox up; again changes nothing
  prepare   everything up to the update
  env       print the environment in which pulumi works on the sandbox's stack
  pulumi    run the pulumi CLI on the sandbox's stack: sandbox pulumi preview --diff
  down      remove all of it (-purge: the build cache too)
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if len(os.Args) < 2 {
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	err := run(ctx, os.Args[1], os.Args[2:])
	var exit *exec.ExitError
	switch {
	case err == nil:
	case errors.As(err, &exit) && os.Args[1] == "pulumi":
		os.Exit(exit.ExitCode())
	default:
		fmt.Fprintln(os.Stderr, "sandbox:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, command string, args []string) error {
	if command == "serve" {
		return serve(ctx, args)
	}
	project, err := projectRoot()
	if err != nil {
		return err
	}
	s, err := runner.FromEnvironment(project)
	if err != nil {
		return err
	}
	switch command {
	case "up":
		start := time.Now()
		r, err := s.Up(ctx, os.Stdout)
		if err != nil {
			return err
		}
		return report(ctx, os.Stdout, s, r, time.Since(start))
	case "prepare":
		_, err := s.Prepare(ctx, os.Stdout)
		return err
	case "env":
		t, err := s.Tools(ctx, os.Stderr)
		if err != nil {
			return err
		}
		s.PrintEnv(os.Stdout, t)
		return nil
	case "pulumi":
		return s.Pulumi(ctx, os.Stdout, os.Stderr, args...)
	case "down":
		flags := flag.NewFlagSet("down", flag.ExitOnError)
		purge := flags.Bool("purge", os.Getenv("PURGE") == "1", "remove the build cache too")
		_ = flags.Parse(args)
		return s.Down(ctx, os.Stdout, *purge)
	default:
		return fmt.Errorf("unknown command %q\n%s", command, usage)
	}
}

func serve(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("serve", flag.ExitOnError)
	settings := flags.String("settings", "", "the sandbox's settings as JSON")
	image := flags.String("host-image", "", "image of the hosts")
	_ = flags.Parse(args)
	var s runner.Settings
	if err := json.Unmarshal([]byte(*settings), &s); err != nil {
		return fmt.Errorf("read the settings: %w", err)
	}
	return s.Serve(ctx, *image)
}

func projectRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for d := dir; ; d = filepath.Dir(d) {
		if _, err := os.Stat(filepath.Join(d, "Pulumi.yaml")); err == nil {
			return d, nil
		}
		if d == filepath.Dir(d) {
			return "", fmt.Errorf("no Pulumi.yaml in %s or above it: run this inside a clone", dir)
		}
	}
}

func report(ctx context.Context, w io.Writer, s runner.Settings, r runner.Result, total time.Duration) error {
	out, err := s.Outputs(ctx, r.Tools)
	if err != nil {
		return err
	}
	fmt.Fprintln(w)
	if r.Unchanged {
		fmt.Fprintln(w, "Nothing changed: the sandbox was up already.")
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, p := range r.Phases {
		fmt.Fprintf(t, "  %s\t%6.1f s\n", p.Name, p.Took.Seconds())
	}
	fmt.Fprintf(t, "  total\t%6.1f s\n", total.Seconds())
	_ = t.Flush()
	fmt.Fprintf(w, "\nhttps://%[1]s/ is up. Try:\n  curl --cacert %[2]s --resolve %[1]s:443:%[3]s "+
		"https://%[1]s/api/v1/health/ready\n\n%[4]s",
		runner.Domain, s.CAFile(), out.Address, out.Text)
	return nil
}
