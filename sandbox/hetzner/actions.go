package hetzner

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/hetznercloud/hcloud-go/v2/hcloud/schema"
)

func ref(kind string, id int64) schema.ActionResourceReference {
	return schema.ActionResourceReference{ID: id, Type: kind}
}

// task is what an action does.
type task struct {
	command   string
	resources []schema.ActionResourceReference
	// run does the slow part, without the project's lock. Nil when there is none.
	run func(ctx context.Context) error
	// done records the result, with the lock, also after an error.
	done func(err error)
	// then follows in the same order of events, whatever came of this one.
	then *task
	// action is set when the action is already registered.
	action *schema.Action
}

// register makes the action visible as running.
func (a *API) register(t *task) *schema.Action {
	if t.action == nil {
		t.action = &schema.Action{
			ID: a.state.nextID(), Status: "running", Command: t.command, Started: time.Now().UTC(), Resources: t.resources,
		}
		a.state.Actions[t.action.ID] = t.action
	}
	return t.action
}

// begin registers a task, locks the servers that it works on, and runs it in
// the background. Called with the lock held.
func (a *API) begin(q *request, t *task) schema.Action {
	for next := t; next != nil; next = next.then {
		a.register(next)
		a.lockServers(next, true)
	}
	fail := q.faults.actionError
	answer := *t.action
	a.work.Go(func() {
		for next := t; next != nil; next = next.then {
			a.perform(next, fail)
			fail = false
		}
	})
	return answer
}

func (a *API) perform(t *task, fail bool) {
	var err error
	select {
	case <-time.After(a.config.ActionDelay):
	case <-a.ctx.Done():
		err = a.ctx.Err()
	}
	switch {
	case err != nil:
	case fail:
		err = &apiError{code: "action_failed", message: "action failed (a fault of the sandbox)"}
	case t.run != nil:
		err = t.run(a.ctx)
	}

	a.mu.Lock()
	defer a.mu.Unlock()
	a.lockServers(t, false)
	now := time.Now().UTC()
	t.action.Finished = &now
	t.action.Progress = 100
	t.action.Status = "success"
	if err != nil {
		a.config.Logf("hetzner: action %s %v: %v", t.command, t.resources, err)
		t.action.Status = "error"
		t.action.Error = &schema.ActionError{Code: "action_failed", Message: err.Error()}
	}
	if t.done != nil {
		t.done(err)
	}
	if err := a.save(); err != nil {
		a.config.Logf("%v", err)
	}
}

// lockServers sets the lock of the servers of a task, or lifts it when no other
// action runs on them. Firewalls change without locking their servers.
func (a *API) lockServers(t *task, on bool) {
	if ofFirewall(t.command) {
		return
	}
	for _, resource := range t.resources {
		srv := a.state.Servers[resource.ID]
		if resource.Type != "server" || srv == nil {
			continue
		}
		srv.Locked = on
		if on {
			continue
		}
		for _, other := range a.state.Actions {
			if other != t.action && other.Status == "running" && !ofFirewall(other.Command) && slices.Contains(other.Resources,
				resource) {
				srv.Locked = true
			}
		}
	}
}

func ofFirewall(command string) bool {
	return command == "set_firewall_rules" || command == "apply_firewall" || command == "remove_firewall"
}

func (a *API) listActions(q *request) (int, any, error) {
	return a.actionPage(q, func(action *schema.Action) bool {
		ids := q.URL.Query()["id"]
		return len(ids) == 0 || slices.Contains(ids, strconv.FormatInt(action.ID, 10))
	})
}

func (a *API) getAction(q *request) (int, any, error) {
	action := a.state.Actions[q.id]
	if action == nil {
		return 0, nil, notFound("action", q.id)
	}
	return http.StatusOK, schema.ActionGetResponse{Action: *action}, nil
}

// resourceActions is GET of <kind>s/<id>/actions and of <kind>s/actions/<id>,
// which one pattern has to serve: the router finds two of them ambiguous.
func (a *API) resourceActions(kind string) handler {
	return func(q *request) (int, any, error) {
		first, second := q.PathValue("first"), q.PathValue("second")
		number := first
		if first == "actions" {
			number = second
		}
		var err error
		if q.id, err = strconv.ParseInt(number, 10, 64); err != nil {
			return 0, nil, notFound("resource", number)
		}
		switch {
		case first == "actions":
			return a.getAction(q)
		case second != "actions":
			return 0, nil, unsupported(q.Method + " " + q.URL.Path)
		}
		return a.actionPage(q, func(action *schema.Action) bool {
			return slices.Contains(action.Resources, ref(kind, q.id))
		})
	}
}

func (a *API) resourceAction(kind string) handler {
	return func(q *request) (int, any, error) {
		id, err := strconv.ParseInt(q.PathValue("action"), 10, 64)
		action := a.state.Actions[id]
		if err != nil || action == nil || !slices.Contains(action.Resources, ref(kind, q.id)) {
			return 0, nil, notFound("action", q.PathValue("action"))
		}
		return http.StatusOK, schema.ActionGetResponse{Action: *action}, nil
	}
}

func (a *API) actionPage(q *request, keep func(*schema.Action) bool) (int, any, error) {
	statuses := q.URL.Query()["status"]
	var found []schema.Action
	for _, id := range sortedIDs(a.state.Actions) {
		action := a.state.Actions[id]
		if keep(action) && (len(statuses) == 0 || slices.Contains(statuses, action.Status)) {
			found = append(found, *action)
		}
	}
	return page(q, "actions", found)
}
