package update

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/cloudflare/cloudflare-go"

	"github.com/prekzursil/momentstudio-infra/internal/clouds"
	"github.com/prekzursil/momentstudio-infra/internal/config"
	"github.com/prekzursil/momentstudio-infra/internal/diagnosis"
	"github.com/prekzursil/momentstudio-infra/internal/engine"
	"github.com/prekzursil/momentstudio-infra/internal/fault"
	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
	"github.com/prekzursil/momentstudio-infra/internal/hostssh"
	"github.com/prekzursil/momentstudio-infra/internal/recovery"
	"github.com/prekzursil/momentstudio-infra/internal/resourcetype"
)

// RecoverOptions say what a recovery may do.
type RecoverOptions struct {
	Apply  bool     // otherwise it only tells what it would do
	Forget []string // names of irreplaceable resources that are gone, which the next update may make anew
}

// Recover finds what a killed run made and did not write down, and what the state knows and is gone. It tells all of it
// before it does anything.
func Recover(ctx context.Context, c engine.Stack, o RecoverOptions) error {
	address, release, err := hostssh.Reach(ctx, c, "a recovery of stack "+c.Name)
	if err != nil {
		return err
	}
	defer release()
	wanted, err := c.Config()
	if err != nil {
		return err
	}
	_, host, err := observe(ctx, c, address)
	if err != nil {
		return err
	}
	found, err := recoverLocked(ctx, c, wanted, address, host, o)
	if err == nil && !found {
		fmt.Fprintf(c.Out, "the state of stack %s knows everything that bears its name, and all that it knows is there\n",
			c.Name)
	}
	return err
}

// recover is Recover for a stack whose host's lock is taken. It returns whether there was anything to say.
func recoverLocked(ctx context.Context, c engine.Stack, wanted config.Config, address string,
	host *hostspec.HostReport, o RecoverOptions,
) (found bool, err error) {
	i, err := takeInventory(ctx, c, wanted, host)
	if err != nil {
		return false, err
	}
	state, err := readState(ctx, c)
	if err != nil {
		return false, err
	}
	twins := state.Twins(i.things)
	var unknown, jobs []recovery.Thing
	for _, t := range state.Unrecorded(i.things) {
		switch {
		case t.Type == resourcetype.DockerContainer:
			jobs = append(jobs, t)
		case !slices.Contains(twins, t):
			unknown = append(unknown, t)
		}
	}
	gone, err := confirmGone(ctx, c, wanted, state.Gone(i.asked, i.things))
	if err != nil {
		return false, err
	}
	interrupted := state.Interrupted()
	for _, what := range interrupted {
		fmt.Fprintln(c.Out, "a run was interrupted while", what)
	}
	if err := refuseLosses(c.Name, gone, o.Forget); err != nil && o.Apply {
		return true, err
	} else if err != nil {
		fmt.Fprintln(c.Out, err)
	}
	if found = len(unknown)+len(twins)+len(jobs)+len(gone)+len(interrupted)+len(state.Unread()) > 0; !found {
		return false, nil
	}
	if o.Apply {
		if err := ready(ctx, c, state, gone); err != nil {
			return true, err
		}
	}
	rest, err := adopt(ctx, c, unknown, o.Apply)
	if err != nil {
		return true, err
	}
	for _, t := range rest {
		fmt.Fprintf(c.Out, "left alone: %s bears the stack's name, and the program does not make it; delete it when "+
			"nothing needs it\n", t)
	}
	if err := removeJobs(ctx, c, address, jobs, o.Apply); err != nil {
		return true, err
	}
	if err := removeTwins(ctx, c, wanted, twins, o.Apply); err != nil {
		return true, err
	}
	return true, forget(ctx, c, gone, o.Apply)
}

// ready writes the state back as it is, before anything is touched: whoever is at work on the stack has its lock, and
// this is refused. It drops the operations that were interrupted and, when the server is gone, the records of what
// died with it; then it reads what is there and was not read.
func ready(ctx context.Context, c engine.Stack, state *recovery.State, gone []recovery.Recorded) error {
	text, err := state.JSON()
	if err != nil {
		return err
	}
	if slices.ContainsFunc(gone, func(r recovery.Recorded) bool { return r.Type == resourcetype.Server }) {
		if text, _, err = engine.WithoutDocker(text); err != nil {
			return err
		}
	}
	if err := c.ImportState(ctx, text); err != nil {
		return err
	}
	unread := []string{"refresh", "--yes", "--skip-preview"}
	for _, urn := range state.Unread() {
		if !slices.ContainsFunc(gone, func(r recovery.Recorded) bool { return r.URN == urn }) { // which is forgotten later
			unread = append(unread, "--target", urn)
		}
	}
	if len(unread) == 3 {
		return nil
	}
	return runRefresh(ctx, c, unread)
}

// removeTwins removes the widgets whose making was answered to nobody.
func removeTwins(ctx context.Context, c engine.Stack, wanted config.Config, twins []recovery.Thing, apply bool) error {
	for _, t := range twins {
		if !apply {
			fmt.Fprintln(c.Out, "would remove the twin that was made when an answer was lost:", t)
			continue
		}
		fmt.Fprintln(c.Out, "removing the twin that was made when an answer was lost:", t)
		api, err := clouds.Cloudflare(wanted)
		if err == nil {
			err = api.DeleteTurnstileWidget(ctx, cloudflare.AccountIdentifier(wanted.Turnstile.AccountID), t.ID)
		}
		if err != nil {
			return clouds.Explain("cloudflare:", "remove "+t.String(), err)
		}
	}
	return nil
}

// removeNewDuplicates looks for a duplicate of a widget that an update has just created.
func removeNewDuplicates(ctx context.Context, c engine.Stack, wanted config.Config) error {
	var i inventory
	if err := inventoryCloudflare(ctx, wanted, &i); err != nil {
		return clouds.Explain("cloudflare:", "ask Cloudflare what there is of the stack", err)
	}
	state, err := readState(ctx, c)
	if err != nil {
		return err
	}
	return removeTwins(ctx, c, wanted, state.Twins(i.things), true)
}

// readState exports the state, its secrets encrypted.
func readState(ctx context.Context, c engine.Stack) (*recovery.State, error) {
	text, err := c.Output(ctx, "stack", "export")
	if err != nil {
		return nil, fmt.Errorf("read the state of stack %s: %w", c.Name, err)
	}
	return recovery.ReadState(text)
}

// refuseLosses is an error that names the resources which are gone and of which a new one is not the old one.
func refuseLosses(stack string, gone []recovery.Recorded, allowed []string) error {
	var bad []error
	flags := ""
	for _, r := range gone {
		if recovery.Irreplaceable(r.Type) && !r.Deleted && !slices.Contains(allowed, r.Name()) {
			bad = append(bad, fmt.Errorf("%s: the state knows it, and it is gone", r))
			flags += " --forget " + r.Name()
		}
	}
	if len(bad) == 0 {
		return nil
	}
	return fault.Hint(fmt.Errorf("what cannot be made again as it was is gone:\n%w", errors.Join(bad...)),
		"find out who deleted it, and whether it can be brought back. An update would make a new one: an empty volume, an "+
			"address that no record knows, a server without "+
			"what was only on it, a widget with other keys. When that is wanted: studio recover --stack "+stack+" --yes"+flags+
			"; for a volume or a server raise host.generation as well, because a server knows its volume from its first boot; "+
			"then `studio up`, then restore a backup (docs/guides/restore.md)")
}

// adoptRounds are enough: what one adoption makes known is needed by the next, from the network to what runs on the
// host.
const adoptRounds = 5

// adopt takes over what the next update would make and what exists already. It returns what is neither.
func adopt(ctx context.Context, c engine.Stack, unknown []recovery.Thing, apply bool) (rest []recovery.Thing,
	err error,
) {
	for range adoptRounds {
		if len(unknown) == 0 {
			return rest, nil
		}
		state, err := readState(ctx, c)
		if err != nil {
			return nil, err
		}
		creations, err := creations(ctx, c, state)
		if err != nil {
			return nil, err
		}
		m := recovery.Match(creations, unknown)
		blocked := m.Refused
		if len(m.Adopt) == 0 {
			blocked = append(blocked, m.Blocked...)
		}
		if len(blocked) > 0 {
			return nil, fault.Hint(fmt.Errorf("what is there stands in the way of stack %s:\n%w", c.Name,
				errors.Join(blocked...)), "nothing was changed; mend it as each line says and run it again")
		}
		if len(m.Adopt) == 0 {
			return m.Rest, nil
		}
		for _, a := range m.Adopt {
			if apply {
				fmt.Fprintln(c.Out, "adopting what was made and not written down:", a)
			} else {
				fmt.Fprintln(c.Out, "would adopt what was made and not written down:", a)
			}
		}
		if !apply {
			for _, b := range m.Blocked {
				fmt.Fprintln(c.Out, "after that, to be seen:", b)
			}
			return m.Rest, nil
		}
		if err := writeDown(ctx, c, state, m.Adopt); err != nil {
			return nil, err
		}
		unknown = slices.DeleteFunc(slices.Clone(unknown), func(t recovery.Thing) bool {
			return slices.ContainsFunc(m.Adopt, func(a recovery.Adoption) bool { return a.Type == t.Type && a.ID == t.ID })
		})
	}
	return unknown, nil
}

// creations plans the update. The plan's secrets are encrypted as the state's are.
func creations(ctx context.Context, c engine.Stack, state *recovery.State) ([]recovery.Creation, error) {
	dir, err := os.MkdirTemp("", "recovery-*")
	if err != nil {
		return nil, fmt.Errorf("make a place for the plan: %w", err)
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "plan.json")
	events, err := c.RunQuietly(ctx, "preview", "--save-plan", file)
	if err != nil {
		if failures := events.Failures(); len(failures) > 0 {
			return nil, fmt.Errorf("stack %s cannot be planned:\n%s", c.Name,
				diagnosis.Words(failures, "mend the cause and run this again"))
		}
		return nil, fmt.Errorf("plan the update: %w", err)
	}
	plan, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the plan of the update: %w", err)
	}
	return state.Creations(plan)
}

// writeDown puts adopted resources into the state, and reads them as they are.
func writeDown(ctx context.Context, c engine.Stack, state *recovery.State, adopted []recovery.Adoption) error {
	refresh := []string{"refresh", "--yes", "--skip-preview"}
	for _, a := range adopted {
		if err := state.Adopt(a); err != nil {
			return err
		}
		refresh = append(refresh, "--target", a.URN)
	}
	text, err := state.JSON()
	if err != nil {
		return err
	}
	if err := c.ImportState(ctx, text); err != nil {
		return fmt.Errorf("write down what was adopted: %w", err)
	}
	return runRefresh(ctx, c, refresh)
}

// runRefresh reads resources as they are.
func runRefresh(ctx context.Context, c engine.Stack, args []string) error {
	events, err := c.RunLogged(ctx, args...)
	if failures := events.Failures(); err != nil && len(failures) > 0 {
		return fmt.Errorf("what stack %s has cannot be read:\n%s", c.Name,
			diagnosis.Words(failures, "mend the cause and run this again"))
	}
	return err
}

// jobLimit is how long a job may still run that a killed run began: a migration is not cut short.
const jobLimit = 30 * time.Minute

// removeJobs removes the containers of jobs that the state does not know, once they have ended.
func removeJobs(ctx context.Context, c engine.Stack, address string, jobs []recovery.Thing, apply bool) error {
	if len(jobs) == 0 {
		return nil
	}
	var names, ids, running []string
	for _, j := range jobs {
		names, ids = append(names, j.Key), append(ids, j.ID)
	}
	if !apply {
		fmt.Fprintln(c.Out, "would remove, once they have ended, the jobs that a killed run began:",
			strings.Join(names, ", "))
		return nil
	}
	fmt.Fprintln(c.Out, "removing the jobs that a killed run began, once they have ended:", strings.Join(names, ", "))
	// Asked again: one may have started since the inventory.
	_, host, err := observe(ctx, c, address)
	if err != nil {
		return err
	}
	if host == nil {
		return errors.New("remove the jobs that a killed run began: the host does not report which of them run")
	}
	for _, o := range host.Containers {
		if o.Running && slices.Contains(ids, o.ID) { // one that never started has no end to wait for
			running = append(running, o.ID)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, jobLimit)
	defer cancel()
	script := "docker rm --force " + strings.Join(ids, " ") + " > /dev/null"
	if len(running) > 0 {
		script = "docker wait " + strings.Join(running, " ") + " > /dev/null; " + script
	}
	if _, err := hostssh.Run(ctx, c, address, script); err != nil {
		return fault.Hint(fmt.Errorf("remove the jobs that a killed run began: %w", err), "look at them on the host: "+
			"docker ps --all, docker logs; then run this again")
	}
	return nil
}

// forget lets the engine read the resources that are gone, which drops their records.
func forget(ctx context.Context, c engine.Stack, gone []recovery.Recorded, apply bool) error {
	if len(gone) == 0 {
		return nil
	}
	refresh := []string{"refresh", "--yes", "--skip-preview"}
	withServer := slices.ContainsFunc(gone, func(r recovery.Recorded) bool { return r.Type == resourcetype.Server })
	for _, r := range gone {
		switch {
		case r.Deleted: // as it was to be
		case apply:
			fmt.Fprintf(c.Out, "the state knows it, and it is gone: %s; the update makes it anew\n", r)
		case !recovery.Irreplaceable(r.Type):
			fmt.Fprintf(c.Out, "the state knows it, and it is gone: %s; an update would make it anew\n", r)
		}
		if withServer && strings.HasPrefix(r.Type, "docker:") {
			continue // its record is dropped already
		}
		refresh = append(refresh, "--target", r.URN)
	}
	if !apply || len(refresh) == 3 {
		return nil
	}
	return runRefresh(ctx, c, refresh)
}

// confirmGone asks for each resource that no list had by its own ID: a label that somebody took away, or another
// name, makes nothing go away.
func confirmGone(ctx context.Context, c engine.Stack, wanted config.Config,
	listed []recovery.Recorded,
) (gone []recovery.Recorded, err error) {
	for _, r := range listed {
		exists := false
		if strings.HasPrefix(r.Type, "hcloud:") {
			if exists, err = existsAtHetzner(ctx, c, r); err != nil {
				return nil, clouds.Explain("hcloud:", "ask Hetzner for "+r.String(), err)
			}
		}
		if r.Type == resourcetype.Widget || r.Type == resourcetype.Record {
			if exists, err = existsAtCloudflare(ctx, wanted, r); err != nil {
				return nil, clouds.Explain("cloudflare:", "ask Cloudflare for "+r.String(), err)
			}
		}
		if !exists {
			gone = append(gone, r)
		}
	}
	return gone, nil
}
