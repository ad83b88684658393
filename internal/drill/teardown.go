package drill

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hetznercloud/hcloud-go/v2/hcloud"

	"github.com/prekzursil/momentstudio-infra/internal/clouds"
	"github.com/prekzursil/momentstudio-infra/internal/engine"
	"github.com/prekzursil/momentstudio-infra/internal/hostssh"
	"github.com/prekzursil/momentstudio-infra/internal/naming"
	"github.com/prekzursil/momentstudio-infra/internal/resourcetype"
	"github.com/prekzursil/momentstudio-infra/internal/sshallow"
	"github.com/prekzursil/momentstudio-infra/internal/sshfiles"
)

// tearDown removes a drill's stack, what the engine did not write down of it or cannot delete, and its files.
func tearDown(ctx context.Context, c engine.Stack) error {
	if !drillName.MatchString(c.Name) {
		return fmt.Errorf("%q is not the stack of a drill: nothing of it is removed", c.Name)
	}
	ctx, cancel := context.WithTimeout(ctx, teardownTimeout)
	defer cancel()
	// A killed update leaves the state's lock behind; nobody else works on this stack.
	_, _ = c.Output(ctx, "cancel", "--yes")
	forget := []string{"stack", "rm", "--yes", "--preserve-config", "--remove-backups"}
	destroyed := c.Run(ctx, "destroy", "--yes", "--skip-preview")
	swept, err := removeUnrecorded(ctx, c)
	if err != nil {
		return errors.Join(destroyed, err)
	}
	if destroyed != nil {
		// The engine cannot delete what is gone, a server that somebody removed for example. What costs money or holds data
		// carries the stack's label; only when some of it was found is this its project, and is there nothing left to know.
		if swept == 0 {
			return fmt.Errorf("remove the drill's stack: %w; `studio drill reap` tries again once it has expired", destroyed)
		}
		fmt.Fprintln(c.Out, "the engine could not remove everything; by its label, all of it is gone now")
		forget = append(forget, "--force")
	}
	if _, err := c.Output(ctx, forget...); err != nil {
		return fmt.Errorf("forget the drill's stack: %w", err)
	}
	for _, path := range []string{c.ConfigFile, filepath.Join(c.Root, sshfiles.Dir(c.Name))} { // its report stays
		if err := os.RemoveAll(path); err != nil {
			return fmt.Errorf("remove the drill's files: %w", err)
		}
	}
	return nil
}

// removeUnrecorded deletes what carries the stack's label at Hetzner although the state does not know it: a run that
// was killed between a creation and its record leaves such. Only what expires is touched.
func removeUnrecorded(ctx context.Context, c engine.Stack) (found int, err error) {
	api, err := clouds.Hetzner(c)
	if err != nil {
		return 0, err
	}
	list := expiring(c)
	for _, kind := range []struct {
		name   string
		remove func() (int, error)
	}{
		{"server", func() (int, error) {
			all, err := api.Server.AllWithOpts(ctx, hcloud.ServerListOpts{ListOpts: list})
			return removeEach(ctx, all, err, func(s *hcloud.Server) error {
				result, _, err := api.Server.DeleteWithResult(ctx, s)
				if err != nil {
					return err
				}
				return api.Action.WaitFor(ctx, result.Action)
			})
		}},
		{"volume", func() (int, error) {
			all, err := api.Volume.AllWithOpts(ctx, hcloud.VolumeListOpts{ListOpts: list})
			return removeEach(ctx, all, err, func(v *hcloud.Volume) error { _, err := api.Volume.Delete(ctx, v); return err })
		}},
		{"address", func() (int, error) {
			all, err := api.PrimaryIP.AllWithOpts(ctx, hcloud.PrimaryIPListOpts{ListOpts: list})
			return removeEach(ctx, all, err, func(p *hcloud.PrimaryIP) error {
				_,
					err := api.PrimaryIP.Delete(ctx, p)
				return err
			})
		}},
		{"network", func() (int, error) {
			all, err := api.Network.AllWithOpts(ctx, hcloud.NetworkListOpts{ListOpts: list})
			return removeEach(ctx, all, err, func(n *hcloud.Network) error { _, err := api.Network.Delete(ctx, n); return err })
		}},
		{"firewall", func() (int, error) {
			all, err := api.Firewall.AllWithOpts(ctx, hcloud.FirewallListOpts{ListOpts: list})
			// Those of ssh-allow are among them, which are applied to something.
			return removeEach(ctx, all, err, func(f *hcloud.Firewall) error { return sshallow.RemoveFirewall(ctx, api, f.Name) })
		}},
		{"SSH key", func() (int, error) {
			all, err := api.SSHKey.AllWithOpts(ctx, hcloud.SSHKeyListOpts{ListOpts: list})
			return removeEach(ctx, all, err, func(k *hcloud.SSHKey) error { _, err := api.SSHKey.Delete(ctx, k); return err })
		}},
	} {
		n, err := kind.remove()
		found += n
		if n > 0 {
			fmt.Fprintf(c.Out, "removed %d of kind %s that the state did not know\n", n, kind.name)
		}
		if err != nil {
			return found, fmt.Errorf("remove what the state does not know (%s): %w", kind.name, err)
		}
	}
	return found, nil
}

// removeEach removes all of a list. What an action still works on is tried again for a while.
func removeEach[T any](ctx context.Context, all []T, err error, remove func(T) error) (int, error) {
	if err != nil {
		return 0, err
	}
	for i, one := range all {
		for try := 0; ; try++ {
			err := remove(one)
			if err == nil || hcloud.IsError(err, hcloud.ErrorCodeNotFound) {
				break
			}
			if try == 20 || !hcloud.IsError(err, hcloud.ErrorCodeLocked, hcloud.ErrorCodeConflict,
				hcloud.ErrorCodeResourceInUse) {
				return i, err
			}
			select {
			case <-ctx.Done():
				return i, errors.Join(err, ctx.Err())
			case <-time.After(3 * time.Second):
			}
		}
	}
	return len(all), nil
}

// unnamedLife is how long a drill may live whose state does not say when it expires: its first update was killed.
const unnamedLife = 6 * time.Hour

// Reap removes the drills whose time is over, and tells of the others.
func Reap(ctx context.Context, c engine.Stack, now time.Time) error {
	list := exec.CommandContext(ctx, "pulumi", "stack", "ls", "--json", "--non-interactive")
	list.Dir = c.Root
	var out, errOut bytes.Buffer
	list.Stdout, list.Stderr = &out, &errOut
	if err := c.Exec(list); err != nil {
		return fmt.Errorf("list the stacks: %w: %s", err, bytes.TrimSpace(errOut.Bytes()))
	}
	var stacks []struct {
		Name    string `json:"name"`
		Updated string `json:"lastUpdate"` // absent before its first update
	}
	if err := json.Unmarshal(out.Bytes(), &stacks); err != nil {
		return errors.New("the list of stacks is not the JSON that this program knows")
	}
	var bad []error
	found := 0
	for _, s := range stacks {
		name := s.Name[strings.LastIndex(s.Name, "/")+1:]
		if !drillName.MatchString(name) {
			continue
		}
		found++
		one := c
		one.Name = name
		until, err := expiry(ctx, one, s.Updated)
		switch {
		case err != nil:
			bad = append(bad, fmt.Errorf("stack %s: %w", name, err))
		case now.Before(until):
			fmt.Fprintf(c.Out, "%s is kept until %s\n", name, until.UTC().Format(time.RFC3339))
		default:
			if err := reap(ctx, one, until); err != nil {
				bad = append(bad, fmt.Errorf("stack %s: %w", name, err))
			}
		}
	}
	if found == 0 {
		fmt.Fprintln(c.Out, "there is no drill")
	}
	return errors.Join(bad...)
}

// reap removes a drill from another clone, or from one that has been cleaned.
func reap(ctx context.Context, c engine.Stack, until time.Time) error {
	dir := c.Dir()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	template := c.File()
	c.ConfigFile = filepath.Join(dir, "drill.yaml")
	if err := copyForDrill(template, "", c.ConfigFile, until); err != nil {
		return err
	}
	if err := hostssh.WriteConfig(ctx, c); err != nil && !errors.Is(err, engine.ErrNoHost) {
		return err
	}
	if err := tearDown(context.WithoutCancel(ctx), c); err != nil {
		return err
	}
	fmt.Fprintf(c.Out, "removed %s, which expired at %s\n", c.Name, until.UTC().Format(time.RFC3339))
	return nil
}

// expirable are the kinds of resources that carry the label of when they expire when they are a drill's.
var expirable = []string{
	resourcetype.Server, resourcetype.Volume, resourcetype.PrimaryIP, resourcetype.Network, resourcetype.Firewall,
	resourcetype.SSHKey,
}

// refuseKept refuses a stack that holds what does not expire: it has the name of a drill and is none.
func refuseKept(state []byte) error {
	all, err := engine.Resources(state)
	if err != nil {
		return err
	}
	for _, r := range all {
		var inputs struct {
			Labels map[string]any `json:"labels"`
		}
		_ = json.Unmarshal(r.Inputs, &inputs) // what has other inputs has no such label
		_, expires := inputs.Labels[naming.Expires]
		if strings.HasPrefix(r.Type, "cloudflare:") || slices.Contains(expirable, r.Type) && !expires {
			return fmt.Errorf("it holds %s, which does not expire: it has a drill's name and is none; nothing of it is removed",
				r.Name())
		}
	}
	return nil
}

// expiry is when a drill may be removed: as its state or the labels of what it has say, or some hours after the time
// in its name, or after its last update.
func expiry(ctx context.Context, c engine.Stack, updated string) (time.Time, error) {
	state, err := c.Output(ctx, "stack", "export")
	if err != nil {
		return time.Time{}, err
	}
	if err := refuseKept(state); err != nil {
		return time.Time{}, err
	}
	text, err := c.Output(ctx, "stack", "output", "--json")
	if err != nil {
		return time.Time{}, err
	}
	labels, err := labels(ctx, c)
	if err != nil {
		return time.Time{}, err
	}
	return expiryOf(c.Name, updated, text, labels)
}

// labels are those of the stack's first resources: an update that was killed has written no outputs.
func labels(ctx context.Context, c engine.Stack) ([]map[string]string, error) {
	api, err := clouds.Hetzner(c)
	if err != nil {
		return nil, err
	}
	var all []map[string]string
	list := expiring(c)
	addresses, err := api.PrimaryIP.AllWithOpts(ctx, hcloud.PrimaryIPListOpts{ListOpts: list})
	if err != nil {
		return nil, fmt.Errorf("look for what the stack has at Hetzner: %w", err)
	}
	for _, a := range addresses {
		all = append(all, a.Labels)
	}
	servers, err := api.Server.AllWithOpts(ctx, hcloud.ServerListOpts{ListOpts: list})
	if err != nil {
		return nil, fmt.Errorf("look for what the stack has at Hetzner: %w", err)
	}
	for _, s := range servers {
		all = append(all, s.Labels)
	}
	return all, nil
}

// expiring selects what carries this stack's label, and one that says when it expires.
func expiring(c engine.Stack) hcloud.ListOpts {
	return hcloud.ListOpts{LabelSelector: "managed-by=" + naming.Labels("", "")["managed-by"] + ",stack=" + c.Name + "," +
		naming.Expires}
}

func expiryOf(stack, updated string, outputs []byte, labels []map[string]string) (time.Time, error) {
	var o struct {
		Expires string `json:"expires"`
	}
	if err := json.Unmarshal(outputs, &o); err != nil {
		return time.Time{}, errors.New("its outputs are not the JSON that this program knows")
	}
	if until, err := time.Parse(time.RFC3339, o.Expires); err == nil {
		return until, nil
	}
	for _, l := range labels {
		if at, err := strconv.ParseInt(l[naming.Expires], 10, 64); err == nil {
			return time.Unix(at, 0), nil
		}
	}
	began, err := time.Parse(drillTime, strings.TrimPrefix(stack, drillPrefix))
	if err != nil {
		began, err = time.Parse(time.RFC3339, updated)
	}
	if err != nil {
		return time.Time{}, errors.New("neither its state nor its name says when it expires, and it was never updated; " +
			"remove it by hand: pulumi stack rm")
	}
	return began.Add(unnamedLife), nil
}
