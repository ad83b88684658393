package studio

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/prekzursil/momentstudio-infra/internal/config"
	"github.com/prekzursil/momentstudio-infra/internal/engine"
	"github.com/prekzursil/momentstudio-infra/internal/fault"
	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
	"github.com/prekzursil/momentstudio-infra/internal/hostssh"
	"github.com/prekzursil/momentstudio-infra/internal/update"
)

// Release is what a rollback changes: the stack's release and nothing else of its config.
type Release struct {
	Name     string
	Backend  string
	Frontend string
	Applied  time.Time // when the update that brought it ended
}

func (r Release) same(other Release) bool {
	return r.Name == other.Name && r.Backend == other.Backend && r.Frontend == other.Frontend
}

// Rollback writes the newest good release before the present one into the stack's file, previews it
// and, when confirm agrees, applies it. Good is a release whose update succeeded, by the stack's
// history, and which was then verified, by the host's record. to names another one of these by its
// release name; empty: the newest. A rollback that does not succeed leaves the stack's file as it was.
func Rollback(ctx context.Context, c engine.Stack, roots *x509.CertPool, to string, confirm func() bool) error {
	wanted, err := c.Config()
	if err != nil {
		return err
	}
	present := Release{Name: wanted.Release.Name, Backend: wanted.Release.Backend, Frontend: wanted.Release.Frontend}
	target, err := earlierRelease(ctx, c, present, to)
	if err != nil {
		return err
	}
	before, err := os.ReadFile(c.File())
	if err != nil {
		return fmt.Errorf("read the stack's file: %w", err)
	}
	restore := func() error {
		if err := os.WriteFile(c.File(), before, 0o600); err != nil {
			return fmt.Errorf("put the stack's file back: %w", err)
		}
		fmt.Fprintf(c.Out, "%s is as it was\n", c.File())
		return nil
	}
	if err := engine.SetPlain(c.File(), map[string]any{
		"release.name": target.Name, "release.backend": target.Backend, "release.frontend": target.Frontend,
	}); err != nil {
		return err
	}
	fmt.Fprintf(c.Out, "from release %s\n  to release %s of %s\n", present.Name, target.Name,
		target.Applied.Format(time.RFC3339))
	if err := hostssh.WriteConfig(ctx, c); err != nil {
		return errors.Join(err, restore())
	}
	if err := c.Run(ctx, "preview", "--diff"); err != nil {
		return errors.Join(err, restore())
	}
	if !confirm() {
		return restore()
	}
	if _, err := update.Run(ctx, c, update.Options{Roots: roots}); err != nil {
		return fault.Hint(errors.Join(err, restore()),
			"if the failure came after services had changed, `studio up` goes forward again to the release that the file "+
				"names; docs/guides/roll-back.md has the ways out")
	}
	fmt.Fprintf(c.Out, "%s names release %s now: commit it, or the next update from another clone goes forward again\n",
		c.File(), target.Name)
	return nil
}

// earlierRelease finds the release to go back to.
func earlierRelease(ctx context.Context, c engine.Stack, present Release, to string) (Release, error) {
	history, err := c.History(ctx)
	if err != nil {
		return Release{}, err
	}
	o, err := c.Outputs(ctx)
	if err != nil {
		return Release{}, err
	}
	state, err := c.Output(ctx, "stack", "export")
	if err != nil {
		return Release{}, fmt.Errorf("read the state of stack %s: %w", c.Name, err)
	}
	host, err := hostssh.Inspect(ctx, c, o.Address, state, hostspec.Inspection{})
	if err != nil {
		return Release{}, fmt.Errorf("ask the host which releases were verified: %w", err)
	}
	var verified []Release
	for _, r := range host.Verified {
		verified = append(verified, Release{Name: r.Name, Backend: r.Backend, Frontend: r.Frontend})
	}
	return chooseRelease(releasesOf(history), verified, present, to)
}

// chooseRelease picks from the history, newest first. Without a name it only goes back: a second rollback
// goes to the release before, never forward to the one that the first has left.
func chooseRelease(history, verified []Release, present Release, to string) (Release, error) {
	var known []string
	// Below the first appearance of the present release: what came after it was left before.
	for i := len(history) - 1; i >= 0; i-- {
		if history[i].same(present) {
			if to == "" {
				history = history[i+1:]
			}
			break
		}
	}
	for _, r := range history {
		good := false
		for _, v := range verified {
			good = good || v.same(r)
		}
		switch {
		case r.same(present):
		case to == r.Name:
			return r, nil // asked for by name: also one that nobody verified
		case good && to == "":
			return r, nil
		case good:
			known = append(known, r.Name)
		}
	}
	if to != "" {
		return Release{}, fault.Hint(fmt.Errorf("the stack's history has no successful update to release %s", to),
			"it has "+orNone(known))
	}
	return Release{}, fault.Hint(errors.New("there is no earlier release to go back to: none of the stack's history was "+
		"applied with success and then verified"),
		"`pulumi stack history` shows all updates; --to <release> goes to any of them that succeeded")
}

func orNone(names []string) string {
	if len(names) == 0 {
		return "no verified one"
	}
	return strings.Join(names, ", ")
}

// releasesOf are the releases of the successful updates of a stack's history, the newest first, each release once.
func releasesOf(history []engine.Entry) (out []Release) {
	for _, e := range history {
		var group config.Release
		if e.Kind != "update" || e.Result != "succeeded" || !e.Group(config.Namespace+":release", &group) ||
			group.Name == "" { // an update of another program, or a file that named no release
			continue
		}
		r := Release{Name: group.Name, Backend: group.Backend, Frontend: group.Frontend, Applied: e.Ended}
		if len(out) == 0 || !out[len(out)-1].same(r) {
			out = append(out, r)
		}
	}
	return out
}
