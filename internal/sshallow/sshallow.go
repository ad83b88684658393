// Package sshallow opens a server's SSH port to one address for a while, in a firewall of its own beside the stack's.
// An opening that was not closed, because its process was killed, carries its end in a label: the next one removes it.
package sshallow

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hetznercloud/hcloud-go/v2/hcloud"

	"github.com/prekzursil/momentstudio-infra/internal/naming"
)

const (
	// Component is the label of an opening.
	Component    = "ssh-allow"
	expiresLabel = naming.Expires
	closeLimit   = 2 * time.Minute
)

// Door is the SSH port of a stack's host.
type Door struct {
	API   *hcloud.Client
	Stack string
	Out   io.Writer
	Now   func() time.Time // default time.Now
}

// Open opens the door to from until work ends or limit is over, when work's context ends, and closes it however work
// ended; it first removes expired openings of the same stack. The opening is of a host that is there and of one that
// work makes. One that cannot be closed is an error, also when work succeeded.
func (d Door) Open(ctx context.Context, from netip.Addr, limit time.Duration,
	work func(context.Context) error,
) (err error) {
	if d.Now == nil {
		d.Now = time.Now
	}
	if err := d.sweep(ctx); err != nil {
		return err
	}
	until := d.Now().Add(limit)
	labels := naming.Labels(d.Stack, Component)
	labels[expiresLabel] = strconv.FormatInt(until.Unix(), 10)
	name := fmt.Sprintf("%s-%d", naming.Physical(d.Stack, Component), d.Now().UnixNano())
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeLimit)
		defer cancel()
		if errClose := RemoveFirewall(ctx, d.API, name); errClose != nil {
			err = errors.Join(err, fmt.Errorf("the SSH port may still be open to %s: %w; delete firewall %s in the console",
				from, errClose, name))
			return
		}
		fmt.Fprintf(d.Out, "the SSH port is closed to %s again\n", from)
	}()
	made, _, err := d.API.Firewall.Create(ctx, hcloud.FirewallCreateOpts{
		Name: name, Labels: labels,
		Rules: []hcloud.FirewallRule{{
			Direction: hcloud.FirewallRuleDirectionIn, Protocol: hcloud.FirewallRuleProtocolTCP, Port: hcloud.Ptr("22"),
			SourceIPs: []net.IPNet{{IP: from.AsSlice(), Mask: net.CIDRMask(from.BitLen(), from.BitLen())}},
		}},
		ApplyTo: []hcloud.FirewallResource{{
			Type: hcloud.FirewallResourceTypeLabelSelector, LabelSelector: &hcloud.FirewallResourceLabelSelector{
				Selector: selector(d.Stack, "host"),
			},
		}},
	})
	if err == nil {
		err = d.API.Action.WaitFor(ctx, made.Actions...)
	}
	if err != nil {
		return fmt.Errorf("open the SSH port of stack %s: %w", d.Stack, err)
	}
	fmt.Fprintf(d.Out, "the SSH port is open to %s until %s\n", from, until.UTC().Format("15:04:05 MST"))
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return work(ctx)
}

// Openings are the firewalls of openings of a stack, also those that were left behind.
func Openings(ctx context.Context, api *hcloud.Client, stack string) ([]*hcloud.Firewall, error) {
	return api.Firewall.AllWithOpts(ctx, hcloud.FirewallListOpts{ListOpts: hcloud.ListOpts{LabelSelector: selector(stack,
		Component)}})
}

// Expired reports whether an opening's time is over, or not known.
func Expired(f *hcloud.Firewall, now time.Time) bool {
	end, err := strconv.ParseInt(f.Labels[expiresLabel], 10, 64)
	return err != nil || !now.Before(time.Unix(end, 0))
}

func selector(stack, part string) string {
	labels := naming.Labels(stack, part)
	terms := make([]string, 0, len(labels))
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		terms = append(terms, k+"="+labels[k])
	}
	return strings.Join(terms, ",")
}

// sweep removes this stack's openings whose time is over.
func (d Door) sweep(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, closeLimit)
	defer cancel()
	list, err := Openings(ctx, d.API, d.Stack)
	if err != nil {
		return fmt.Errorf("look for openings that were left behind: %w", err)
	}
	for _, f := range list {
		if !Expired(f, d.Now()) {
			continue // somebody else's, at work
		}
		if err := RemoveFirewall(ctx, d.API, f.Name); err != nil {
			return fmt.Errorf("remove the opening %s, which was left behind: %w", f.Name, err)
		}
		fmt.Fprintf(d.Out, "removed the opening %s, which was left behind\n", f.Name)
	}
	return nil
}

// RemoveFirewall takes a firewall from what it is applied to, and deletes it; the API refuses one in use. One whose
// creation got no answer may be there or not: it is looked for by its name. It tries until ctx ends.
func RemoveFirewall(ctx context.Context, api *hcloud.Client, name string) error {
	for {
		f, _, err := api.Firewall.GetByName(ctx, name)
		if err == nil && f == nil {
			return nil
		}
		if err == nil && len(f.AppliedTo) > 0 {
			var actions []*hcloud.Action
			if actions, _, err = api.Firewall.RemoveResources(ctx, f, f.AppliedTo); err == nil {
				err = api.Action.WaitFor(ctx, actions...)
			}
		}
		if err == nil {
			if _, err = api.Firewall.Delete(ctx, f); err == nil {
				return nil
			}
		}
		if hcloud.IsError(err, hcloud.ErrorCodeUnauthorized, hcloud.ErrorCodeForbidden, hcloud.ErrorCodeTokenReadonly) {
			return err // asking again changes nothing
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(time.Second): // an action of the firewall may still be under way
		}
	}
}

// OwnAddress asks a service what address this machine has for it: one "ip=<address>" line, as Cloudflare's trace gives.
func OwnAddress(ctx context.Context, url string) (netip.Addr, error) {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return netip.Addr{}, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("ask for this machine's address (--address names it instead): %w", err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, 16<<10))
	if err != nil {
		return netip.Addr{}, fmt.Errorf("ask for this machine's address (--address names it instead): %w", err)
	}
	for line := range strings.Lines(string(text)) {
		if value, found := strings.CutPrefix(strings.TrimSpace(line), "ip="); found {
			if a, err := netip.ParseAddr(value); err == nil {
				return a.Unmap(), nil
			}
		}
	}
	return netip.Addr{}, fmt.Errorf("ask for this machine's address (--address names it instead): %s answers %d without "+
		"one", url, response.StatusCode)
}
