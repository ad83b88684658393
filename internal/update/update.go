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

// Run brings the stack to what its config says: it takes the host's lock, writes the SSH files when the stack has a
// host, takes over what a killed run made without writing it down, readies the state when the server is to be
// rebuilt, runs jobs again that are recorded as failed or whose files were changed on the host, updates, and checks
// that the site answers. It reports success only when all of that holds.
func Run(ctx context.Context, c engine.Stack, roots *x509.CertPool) (report Report, err error) {
	args := []string{"up", "--yes", "--skip-preview", "--parallel", fmt.Sprint(max(c.Parallel, 1))}
	what := "an update of stack " + c.Name
	address, unlock, err := hostssh.Reach(ctx, c, what)
	if err != nil {
		return report, err
	}
	defer unlock()
	wanted, err := c.Config()
	if err != nil {
		return report, err
	}
	recovered, err := recoverLocked(ctx, c, wanted, address, RecoverOptions{Apply: true})
	if err != nil {
		return report, err
	}
	state, err := c.Output(ctx, "stack", "export")
	if err != nil {
		return report, fmt.Errorf("read the state of stack %s: %w", c.Name, err)
	}
	if err := refuseLeaps(wanted, state); err != nil {
		return report, err
	}
	if err := prepareRebuild(ctx, c, wanted, state); err != nil {
		return report, err
	}
	if address != "" {
		if err := readDrifted(ctx, c, address, state); err != nil {
			return report, err
		}
	}
	now, err := c.Output(ctx, "stack", "export", "--show-secrets") // never written anywhere, unlike the one above
	if err != nil {
		return report, fmt.Errorf("read the state of stack %s: %w", c.Name, err)
	}
	failed, err := engine.FailedJobs(now)
	if err != nil {
		return report, err
	}
	drifted, err := drift.JobsOf(ctx, c, address, now)
	if err != nil {
		return report, err
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
		if _, err := recoverLocked(ctx, c, wanted, address, RecoverOptions{Apply: true}); err != nil {
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
	err = verify.Run(ctx, c, roots, 3*time.Minute)
	report.Verified = err == nil
	return report, err
}

// tellServices shows after a failed update which services are not what the state says, and why; the
// engine's own message has neither a task's error nor its log. Without a host there is nothing to tell.
func tellServices(ctx context.Context, c engine.Stack) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	o, err := c.Outputs(ctx)
	if err != nil {
		return
	}
	if err := swarm.CheckServices(ctx, c, o.Address); err != nil {
		fmt.Fprintln(c.Err, err)
		return
	}
	// What runs is what the state says, because the engine did not record what Swarm rolled back.
	have, err := swarm.Running(ctx, c, o.Address)
	if err != nil {
		return
	}
	for _, s := range swarm.RolledBack(have) {
		fmt.Fprintln(c.Err, swarm.Explain(ctx, c, o.Address, s))
	}
}

// readDrifted makes the state tell the truth about services that are not what it says, for example
// because Swarm rolled a release back: without it the engine would see nothing to do. Only services are
// read, and only those that differ.
func readDrifted(ctx context.Context, c engine.Stack, address string, state []byte) error {
	want, err := swarm.Wanted(state)
	if err != nil || len(want) == 0 {
		return err
	}
	have, err := swarm.Running(ctx, c, address)
	if err != nil {
		return nil //nolint:nilerr // a host that does not answer is what the update is about to mend, or to report
	}
	args := []string{"refresh", "--yes", "--skip-preview"}
	for _, d := range swarm.Compare(want, have) {
		fmt.Fprintf(c.Out, "%s is not what the state says (%s): reading it\n", d.Service, strings.Join(d.Why, "; "))
		args = append(args, "--target", d.Urn)
	}
	if len(args) == 3 {
		return nil
	}
	return c.Run(ctx, args...)
}
