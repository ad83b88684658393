package update

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/prekzursil/momentstudio-infra/internal/diagnosis"
	"github.com/prekzursil/momentstudio-infra/internal/drift"
	"github.com/prekzursil/momentstudio-infra/internal/engine"
	"github.com/prekzursil/momentstudio-infra/internal/fault"
	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
	"github.com/prekzursil/momentstudio-infra/internal/hostssh"
	"github.com/prekzursil/momentstudio-infra/internal/resourcetype"
	"github.com/prekzursil/momentstudio-infra/internal/swarm"
	"github.com/prekzursil/momentstudio-infra/internal/verify"
)

// explainFailure is the error of an update that failed: what the engine printed is above it, and written for
// programmers.
func explainFailure(ctx context.Context, c engine.Stack, failures []diagnosis.Failure, err error) error {
	const again = "nothing is lost, it continues where this run ended"
	if ctx.Err() != nil {
		return fault.Hint(fmt.Errorf("the update of stack %s was interrupted", c.Name), "run `studio up` again; "+again)
	}
	var busy engine.InUseError
	if errors.As(err, &busy) {
		return err
	}
	if len(failures) == 0 {
		return fault.Hint(err, "the messages above say why; mend the cause and run `studio up` again, it continues where "+
			"this run ended")
	}
	return fmt.Errorf("stack %s was not updated:\n%s", c.Name, diagnosis.Words(failures, "mend the cause and run "+
		"`studio up` again; "+again))
}

// Report is what an update did.
type Report struct {
	Changes  map[string]int `json:"changes"`  // completed steps by operation; empty when nothing changed
	Verified bool           `json:"verified"` // whether every check passed afterwards
}

// Options say how an update is run.
type Options struct {
	Roots *x509.CertPool // with which the site's certificate is checked; default: none, as of a drill without visitors
	// ForwardOnly refuses a commit that does not contain the one of the last update.
	ForwardOnly bool
}

// Run brings the stack to what its config says: it takes the host's lock, writes the SSH files when the stack has a
// host, takes over what a killed run made without writing it down, readies the state when the server is to be
// rebuilt, runs jobs again that are recorded as failed or whose files were changed on the host, updates, and checks
// that the site answers. It reports success only when all of that holds.
func Run(ctx context.Context, c engine.Stack, o Options) (report Report, err error) {
	args := []string{"up", "--yes", "--skip-preview", "--parallel", fmt.Sprint(max(c.Parallel, 1))}
	what := "an update of stack " + c.Name
	wanted, err := c.Config()
	if err != nil {
		return report, err
	}
	address, unlock, err := hostssh.Reach(ctx, c, what)
	if err != nil {
		return report, err
	}
	defer unlock()
	state, host, err := observe(ctx, c, address)
	if err != nil {
		return report, err
	}
	recovered, err := recoverLocked(ctx, c, wanted, address, host, RecoverOptions{Apply: true})
	if err != nil {
		return report, err
	}
	if recovered {
		if state, host, err = observe(ctx, c, address); err != nil {
			return report, err
		}
	}
	if o.ForwardOnly {
		err = refuseOlder(ctx, c)
	}
	if err := errors.Join(err, refuseLeaps(wanted, state)); err != nil {
		return report, err
	}
	rebuilt, err := prepareRebuild(ctx, c, wanted, state)
	if err != nil {
		return report, err
	}
	var replaced []string
	if !rebuilt { // otherwise all jobs are made again, and the state has no record of them any more
		if replaced, err = jobsToRepeat(ctx, c, state, host); err != nil {
			return report, err
		}
	}
	for _, urn := range replaced {
		args = append(args, "--replace", urn)
	}
	events, err := c.RunLogged(ctx, args...)
	report.Changes = events.Changes()
	created := events.Created(resourcetype.Widget)
	if err != nil && recovered && diagnosis.NameTaken(events.Failures()) {
		// What a killed run had asked for may come about only after it was looked for, and a host that it made may be known
		// only now.
		if address == "" {
			if address, unlock, err = hostssh.Reach(ctx, c, what); err != nil {
				return report, err
			}
			defer unlock()
		}
		if _, host, err = observe(ctx, c, address); err != nil {
			return report, err
		}
		if _, err := recoverLocked(ctx, c, wanted, address, host, RecoverOptions{Apply: true}); err != nil {
			return report, err
		}
		events, err = c.RunLogged(ctx, args...)
		for op, n := range events.Changes() {
			report.Changes[op] += n
		}
		created = created || events.Created(resourcetype.Widget)
	}
	if err != nil {
		tellServices(context.WithoutCancel(ctx), c)
		return report, explainFailure(ctx, c, events.Failures(), err)
	}
	if created {
		if err := removeNewDuplicates(ctx, c, wanted); err != nil {
			return report, err
		}
	}
	err = verify.Run(ctx, c, o.Roots, 3*time.Minute)
	report.Verified = err == nil
	return report, err
}

// jobsToRepeat are the jobs that are recorded as failed, and those whose files were changed on the host. Services that
// differ from the state are read first, so that the engine sees what to do.
func jobsToRepeat(ctx context.Context, c engine.Stack, state []byte, host *hostspec.HostReport) ([]string, error) {
	urns, err := engine.FailedJobs(state)
	if err != nil {
		return nil, err
	}
	for _, urn := range urns {
		fmt.Fprintln(c.Out, "running again, because it failed before:", urn[strings.LastIndex(urn, "::")+2:])
	}
	if host == nil {
		return urns, nil
	}
	if err := readDrifted(ctx, c, state, *host); err != nil {
		return nil, err
	}
	changed, err := drift.ChangedFiles(c, state, *host)
	if err != nil {
		return nil, err
	}
	for _, urn := range changed {
		if !slices.Contains(urns, urn) {
			urns = append(urns, urn)
		}
	}
	return urns, nil
}

// observe exports the state with its secrets, which is never written anywhere, and asks the host for a report; nil when
// there is no host, or one that does not answer: the update is about to fix that, or to report it.
func observe(ctx context.Context, c engine.Stack, address string) ([]byte, *hostspec.HostReport, error) {
	state, err := c.Output(ctx, "stack", "export", "--show-secrets")
	if err != nil {
		return nil, nil, fmt.Errorf("read the state of stack %s: %w", c.Name, err)
	}
	if address == "" {
		return state, nil, nil
	}
	q, err := drift.Inspection(state)
	if err != nil {
		return nil, nil, err
	}
	host, err := hostssh.Inspect(ctx, c, address, state, q)
	if err != nil {
		fmt.Fprintln(c.Err, "the host does not report what it runs, so only the clouds are looked at before the update:", err)
		return state, nil, nil
	}
	if host.Restore.HalfSwitched() {
		return nil, nil, hostssh.UnfinishedRestore(host.Restore.Source)
	}
	return state, &host, nil
}

// tellLimit is how long the reasons of a failed update may take: the logs of several services.
const tellLimit = 3 * time.Minute

// tellServices shows after a failed update which services are not what the state says, and why; the
// engine's own message has neither a task's error nor its log. Without a host there is nothing to tell.
func tellServices(ctx context.Context, c engine.Stack) {
	ctx, cancel := context.WithTimeout(ctx, tellLimit)
	defer cancel()
	o, err := c.Outputs(ctx)
	if errors.Is(err, engine.ErrNoHost) { // a first update that failed has a host, and no outputs
		if o, err = c.HostOutputs(ctx); err == nil {
			err = hostssh.WriteConfig(ctx, c)
			fmt.Fprintf(c.Err, "the host is at %s; `studio status --stack %s` shows what runs there\n", o.Address, c.Name)
		}
	}
	if err != nil {
		return
	}
	state, err := c.Output(ctx, "stack", "export")
	if err != nil {
		return
	}
	want, err := swarm.Wanted(state)
	if err != nil {
		return
	}
	host, err := hostssh.Inspect(ctx, c, o.Address, state, hostspec.Inspection{})
	if err != nil {
		return
	}
	have := swarm.Found(host.Services)
	differences := swarm.Compare(want, have)
	if len(differences) == 0 {
		// What runs is what the state says, because the engine did not record what Swarm rolled back.
		differences = swarm.RolledBack(have)
	}
	if len(differences) == 0 {
		return
	}
	logs, err := hostssh.Inspect(ctx, c, o.Address, state, hostspec.Inspection{Logs: swarm.Names(differences)})
	if err != nil {
		logs.Logs = nil // what differs is told all the same
	}
	fmt.Fprintf(c.Err, "the host does not run what was asked for:\n%s\n", swarm.Describe(differences, logs.Logs))
}

// readDrifted makes the state tell the truth about services that are not what it says, for example
// because Swarm rolled a release back: without it the engine would see nothing to do. Only services are
// read, and only those that differ.
func readDrifted(ctx context.Context, c engine.Stack, state []byte, host hostspec.HostReport) error {
	want, err := swarm.Wanted(state)
	if err != nil || len(want) == 0 {
		return err
	}
	args := []string{"refresh", "--yes", "--skip-preview"}
	for _, d := range swarm.Compare(want, swarm.Found(host.Services)) {
		fmt.Fprintf(c.Out, "%s is not what the state says (%s): reading it\n", d.Service, strings.Join(d.Why, "; "))
		args = append(args, "--target", d.URN)
	}
	if len(args) == 3 {
		return nil
	}
	return c.Run(ctx, args...)
}
