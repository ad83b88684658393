// Package drift finds what differs from the last update, in the clouds and on the host, and changes nothing.
package drift

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hetznercloud/hcloud-go/v2/hcloud"

	"github.com/prekzursil/momentstudio-infra/internal/clouds"
	"github.com/prekzursil/momentstudio-infra/internal/engine"
	"github.com/prekzursil/momentstudio-infra/internal/fault"
	"github.com/prekzursil/momentstudio-infra/internal/hostssh"
	"github.com/prekzursil/momentstudio-infra/internal/review"
	"github.com/prekzursil/momentstudio-infra/internal/sshallow"
)

// Finding is one thing that is not what the last update left. It names resources and properties, never a value.
type Finding struct {
	Where  string `json:"where"` // cloud, service, task, network, secret, file, directory, timer, volume
	Name   string `json:"name"`
	What   string `json:"what"`
	Revert string `json:"revert"` // how to make it what the stack says
	Adopt  string `json:"adopt"`  // how to make the stack say what it is
	job    string // URN of the job that writes it, when one does
}

// ExitCode is the exit code of a DriftError.
const ExitCode = 24

// Error says that something is not what the last update left.
type Error struct{ Findings []Finding }

func (e Error) Error() string {
	return fmt.Sprintf("%d of what the stack says is not so; nothing was changed", len(e.Findings))
}

// Options say how drift is looked for.
type Options struct {
	JSON  string        // file to write the findings to
	Allow hostssh.Allow // for the host's part, which alone needs it
}

// Run compares what the stack's state says with what is there, and changes nothing: the cloud by a refresh that is
// only previewed, the host by questions of our own (a refresh of one-shot jobs would drop their records). It fails
// with a DriftError when they differ, and with another error when something could not be asked.
func Run(ctx context.Context, c engine.Stack, o Options) error {
	state, err := c.Output(ctx, "stack", "export", "--show-secrets")
	if err != nil {
		return fmt.Errorf("read the state of stack %s: %w", c.Name, err)
	}
	cloud, errCloud := ofClouds(ctx, c, state)
	var host []Finding
	errHost := hostssh.WithAccess(ctx, c, o.Allow, func(ctx context.Context) (err error) {
		host, err = ofHost(ctx, c, state)
		return err
	})
	findings := append(cloud, host...)
	for _, f := range findings {
		fmt.Fprintf(c.Out, "%s %s: %s\n    to revert: %s\n    to adopt: %s\n", f.Where, f.Name, f.What, f.Revert, f.Adopt)
	}
	if o.JSON != "" {
		text, err := json.MarshalIndent(append([]Finding{}, findings...), "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(o.JSON, append(text, '\n'), 0o644); err != nil { //nolint:gosec // names only
			return fmt.Errorf("write the findings: %w", err)
		}
	}
	if err := errors.Join(errCloud, errHost); err != nil {
		return fmt.Errorf("not everything could be asked:\n%w", err)
	}
	if len(findings) > 0 {
		return Error{findings}
	}
	fmt.Fprintf(c.Out, "no drift: cloud, services, files, secrets and timers are what the last update of stack %s left\n",
		c.Name)
	return nil
}

// cloudDrift previews a refresh of everything that a cloud holds.
func ofClouds(ctx context.Context, c engine.Stack, state []byte) ([]Finding, error) {
	records, err := engine.Resources(state)
	if err != nil {
		return nil, err
	}
	args := []string{"refresh", "--preview-only", "--json"}
	for _, r := range records {
		if strings.HasPrefix(r.Type, "hcloud:") || strings.HasPrefix(r.Type, "cloudflare:") {
			args = append(args, "--target", r.URN)
		}
	}
	if len(args) == 3 {
		return nil, nil
	}
	cmd := c.Command(ctx, args...)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := c.Exec(cmd); err != nil {
		return nil, fault.Hint(fmt.Errorf("ask the clouds: %w\n%s", err,
			strings.Join(append(review.Errors(out.Bytes()), strings.TrimSpace(errOut.String())), "\n")),
			"HCLOUD_TOKEN and CLOUDFLARE_API_TOKEN of this stack must be set; tokens that only read are enough")
	}
	findings, err := parseRefresh(out.Bytes(), c.Name)
	if err != nil {
		return nil, err
	}
	firewalls, err := ofFirewalls(ctx, c, records)
	return append(findings, firewalls...), err
}

// firewallDrift compares the firewalls that the server has with the stack's own. The engine ignores them: while the
// SSH port is open to somebody, there is one more.
func ofFirewalls(ctx context.Context, c engine.Stack, records []engine.Resource) ([]Finding, error) {
	var server engine.Resource
	own := map[string]string{} // ID -> name
	for _, r := range records {
		switch r.Type {
		case "hcloud:index/server:Server":
			server = r
		case "hcloud:index/firewall:Firewall":
			own[r.ID] = r.Name()
		}
	}
	id, err := strconv.ParseInt(server.ID, 10, 64)
	if err != nil {
		return nil, nil //nolint:nilerr // there is no server
	}
	api, err := clouds.Hetzner(c)
	if err != nil {
		return nil, err
	}
	found, _, err := api.Server.GetByID(ctx, id)
	if err != nil || found == nil {
		return nil, err // a server that is gone is found already
	}
	openings, err := sshallow.Openings(ctx, api, c.Name)
	if err != nil {
		return nil, fmt.Errorf("ask for the openings of the SSH port: %w", err)
	}
	return judgeFirewalls(server, own, found.PublicNet.Firewalls, openings, time.Now()), nil
}

// judgeFirewalls compares the firewalls that a server has with the program's own, by ID, and with the openings.
func judgeFirewalls(server engine.Resource, own map[string]string, applied []*hcloud.ServerFirewallStatus,
	openings []*hcloud.Firewall, now time.Time,
) (out []Finding) {
	opening := map[string]*hcloud.Firewall{}
	for _, f := range openings {
		opening[strconv.FormatInt(f.ID, 10)] = f
	}
	has := map[string]bool{}
	for _, f := range applied {
		has[strconv.FormatInt(f.Firewall.ID, 10)] = true
	}
	for _, id := range slices.Sorted(maps.Keys(own)) {
		if !has[id] {
			out = append(out, Finding{
				Where: "cloud", Name: server.Name(), What: "firewall " + own[id] + " is not applied to it",
				Revert: "apply firewall " + id + " to server " + server.ID +
					" in Hetzner's console", Adopt: "take the firewall out of the program",
			})
		}
	}
	for _, id := range slices.Sorted(maps.Keys(has)) {
		f := Finding{
			Where: "cloud", Name: server.Name(), Revert: "remove it from server " + server.ID + " in Hetzner's console",
			Adopt: "declare it in the program",
		}
		switch open := opening[id]; {
		case own[id] != "", open != nil && !sshallow.Expired(open, now):
			continue
		case open != nil:
			f.What = "firewall " + open.Name + " still opens the SSH port, although its time is over"
		default:
			f.What = "firewall " + id + ", which nobody asked for, is applied to it"
		}
		out = append(out, f)
	}
	return out
}

// computed are properties that their cloud changes by itself.
var computed = []string{"status", "modifiedOn", "createdOn"}

// parseRefresh reads a previewed refresh's JSON: what changed is an update with the paths, what is gone a deletion.
func parseRefresh(text []byte, stack string) ([]Finding, error) {
	var doc struct {
		Steps []struct {
			Op           string                     `json:"op"`
			URN          string                     `json:"urn"`
			DetailedDiff map[string]json.RawMessage `json:"detailedDiff"`
		} `json:"steps"`
	}
	if err := json.Unmarshal(review.Document(text), &doc); err != nil {
		return nil, errors.New("ask the clouds: the engine's answer is not the JSON that this program knows")
	}
	var out []Finding
	for _, s := range doc.Steps {
		f := Finding{
			Where: "cloud", Name: engine.Resource{URN: s.URN}.Name(),
			Revert: fmt.Sprintf("pulumi up --stack %s --refresh --target '%s'", stack, s.URN),
		}
		switch s.Op {
		case "delete":
			f.What = "it is gone"
			f.Adopt = "take it out of the stack's file or the program first, then `pulumi refresh --stack " + stack +
				" --target '" + s.URN + "'`"
			f.Revert += "; what it held does not come back with it (docs/guides/restore.md)"
		case "update":
			paths := slices.DeleteFunc(slices.Sorted(maps.Keys(s.DetailedDiff)), func(p string) bool {
				return slices.Contains(computed, p) || strings.HasPrefix(p, "firewallIds") // firewallDrift has those
			})
			if len(paths) == 0 {
				continue
			}
			f.What = "changed: " + strings.Join(paths, ", ")
			f.Adopt = "write it into the stack's file, then `pulumi refresh --stack " + stack + " --target '" + s.URN + "'`"
		default:
			continue
		}
		out = append(out, f)
	}
	return out, nil
}
