package studio

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/prekzursil/momentstudio-infra/internal/config"
	"github.com/prekzursil/momentstudio-infra/internal/sshfiles"
)

// Up brings the stack to what its config says: it takes the host's lock, writes the SSH files when the stack has a host,
// takes over what a killed run made without writing it down, readies the state when the server is to be rebuilt, runs jobs
// again that are recorded as failed or whose files were changed on the host, updates, and checks that the site answers. It
// reports success only when all of that holds.
func (c CLI) Up(ctx context.Context, roots *x509.CertPool) error {
	args := []string{"up", "--yes", "--skip-preview", "--parallel", fmt.Sprint(max(c.Parallel, 1))}
	what := "an update of stack " + c.Stack
	address, release, err := c.reachHost(ctx, what)
	if err != nil {
		return err
	}
	defer release()
	wanted, err := c.wanted()
	if err != nil {
		return err
	}
	recovered, err := c.recover(ctx, wanted, address, RecoverOptions{Apply: true})
	if err != nil {
		return err
	}
	state, err := c.output(ctx, "stack", "export")
	if err != nil {
		return fmt.Errorf("read the state of stack %s: %w", c.Stack, err)
	}
	if err := refuseLeaps(wanted, state); err != nil {
		return err
	}
	if err := c.prepareRebuild(ctx, wanted, state); err != nil {
		return err
	}
	if address != "" {
		if err := c.readDrifted(ctx, address, state); err != nil {
			return err
		}
	}
	now, err := c.output(ctx, "stack", "export", "--show-secrets") // never written anywhere, unlike the one above
	if err != nil {
		return fmt.Errorf("read the state of stack %s: %w", c.Stack, err)
	}
	failed, err := failedJobs(now)
	if err != nil {
		return err
	}
	drifted, err := c.driftedJobs(ctx, address, now)
	if err != nil {
		return err
	}
	for _, urn := range failed {
		fmt.Fprintln(c.Out, "running again, because it failed before:", urn[strings.LastIndex(urn, "::")+2:])
		args = append(args, "--replace", urn)
	}
	for _, urn := range drifted {
		if !slices.Contains(failed, urn) {
			args = append(args, "--replace", urn)
		}
	}
	shown, err := c.run(ctx, args...)
	made := shown
	if err != nil && recovered && taken.MatchString(shown) {
		// What a killed run had asked for may come about only after it was looked for, and a host that it made may be known only now.
		if address == "" {
			if address, release, err = c.reachHost(ctx, what); err != nil {
				return err
			}
			defer release()
		}
		if _, err := c.recover(ctx, wanted, address, RecoverOptions{Apply: true}); err != nil {
			return err
		}
		shown, err = c.run(ctx, args...)
		made += shown
	}
	if err != nil {
		c.tellServices(context.WithoutCancel(ctx))
		return c.notUpdated(ctx, shown, err)
	}
	if err := c.removeNewTwins(ctx, wanted, made); err != nil {
		return err
	}
	return c.Verify(ctx, roots, 3*time.Minute)
}

// taken is what Docker and Hetzner say of a name that something has already.
var taken = regexp.MustCompile(`AlreadyExists|uniqueness_error`)

// reachHost writes the SSH files and takes the host's lock, when the stack has a host: a first update has none, and nobody is
// at work there.
func (c CLI) reachHost(ctx context.Context, what string) (address string, release func(), err error) {
	switch err := c.SSHConfig(ctx); {
	case errors.Is(err, ErrNoHost):
		return "", func() {}, nil
	case err != nil:
		return "", nil, err
	}
	o, err := c.hostOutputs(ctx)
	if err != nil {
		return "", nil, err
	}
	release, err = c.lockServices(ctx, o.Address, what)
	return o.Address, release, err
}

// tellServices shows after a failed update which services are not what the state says, and why; the
// engine's own message has neither a task's error nor its log. Without a host there is nothing to tell.
func (c CLI) tellServices(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	o, err := c.Outputs(ctx)
	if err != nil {
		return
	}
	if err := c.checkServices(ctx, o.Address); err != nil {
		fmt.Fprintln(c.Err, err)
		return
	}
	// What runs is what the state says, because the engine did not record what Swarm rolled back.
	have, err := c.runningServices(ctx, o.Address)
	if err != nil {
		return
	}
	for _, s := range rolledBack(have) {
		fmt.Fprintln(c.Err, c.explain(ctx, o.Address, s))
	}
}

// readDrifted makes the state tell the truth about services that are not what it says, for example
// because Swarm rolled a release back: without it the engine would see nothing to do. Only services are
// read, and only those that differ.
func (c CLI) readDrifted(ctx context.Context, address string, state []byte) error {
	want, err := wantedServices(state)
	if err != nil || len(want) == 0 {
		return err
	}
	have, err := c.runningServices(ctx, address)
	if err != nil {
		return nil //nolint:nilerr // a host that does not answer is what the update is about to mend, or to report
	}
	args := []string{"refresh", "--yes", "--skip-preview"}
	for _, d := range compare(want, have) {
		fmt.Fprintf(c.Out, "%s is not what the state says (%s): reading it\n", d.service, strings.Join(d.why, "; "))
		args = append(args, "--target", d.urn)
	}
	if len(args) == 3 {
		return nil
	}
	return c.Run(ctx, args...)
}

// wanted reads what the stack's file asks for; what is wrong with it, the update tells.
func (c CLI) wanted() (config.Config, error) {
	plain, err := config.FromFile(c.stackFile(), c.Stack)
	if err != nil {
		return config.Config{}, err
	}
	plain.Dir = c.Root
	values, _ := config.Load(plain)
	return values, nil
}

// SSHConfig writes the files by which the Docker provider reaches the host, from state. They make
// `pulumi refresh` and `pulumi destroy` work in a fresh clone.
func (c CLI) SSHConfig(ctx context.Context) error {
	o, err := c.hostOutputs(ctx)
	if err != nil {
		return err
	}
	return sshfiles.Write(c.Root, c.Stack, sshfiles.Files{Address: o.Address, PrivateKeys: o.SSHKeys, KnownHosts: o.KnownHosts})
}

// Roots returns the public roots, with the certificates in file added when one is given.
func Roots(file string) (*x509.CertPool, error) {
	pool, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("read this machine's certificate authorities: %w", err)
	}
	if file == "" {
		return pool, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read certificate authorities: %w", err)
	}
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s holds no PEM certificate", file)
	}
	return pool, nil
}
