package hetzner

import (
	"context"
	"net/http"
	"regexp"
	"slices"
	"time"

	"github.com/hetznercloud/hcloud-go/v2/hcloud/schema"
)

var servers = kind[server]{
	"server", "servers",
	func(s *state) map[int64]*server { return s.Servers },
	func(s *server) fields { return fields{s.ID, &s.Name, &s.Labels} },
}

// shown drops what the API never shows from answers that hold servers.
func shown(h handler) handler {
	return func(q *request) (int, any, error) {
		status, body, err := h(q)
		if answer, ok := body.(map[string]any); ok {
			if srv, ok := answer["server"].(*server); ok {
				answer["server"] = srv.Server
			}
			if many, ok := answer["servers"].([]*server); ok {
				plain := []schema.Server{}
				for _, srv := range many {
					plain = append(plain, srv.Server)
				}
				answer["servers"] = plain
			}
		}
		return status, body, err
	}
}

func (a *API) serverRoutes() map[string]handler {
	routes := map[string]handler{
		"GET /v1/servers": shown(list(a, servers, func(q *request,
			s *server,
		) bool {
			return among(q, "status", s.Status)
		})),
		"GET /v1/servers/{id}":    shown(show(a, servers)),
		"POST /v1/servers":        a.createServer,
		"DELETE /v1/servers/{id}": a.deleteServer,
		"PUT /v1/servers/{id}": shown(update(a, servers, func(q *request, _ *server) error {
			var body schema.ServerUpdateRequest
			if err := q.decode(&body); err != nil {
				return err
			}
			if body.Name != "" && !hostname.MatchString(body.Name) {
				return invalid("name", "%q is not a hostname", body.Name)
			}
			return nil
		})),
	}
	for name, act := range a.serverActions() {
		routes["POST /v1/servers/{id}/actions/"+name] = a.onServer(act)
	}
	return routes
}

var hostname = regexp.MustCompile(
	`^[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?(\.[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*$`)

// maxUserData is the provider's limit.
const maxUserData = 32 << 10

func (a *API) createServer(q *request) (int, any, error) {
	var body schema.ServerCreateRequest
	if err := q.decode(&body); err != nil {
		return 0, nil, err
	}
	srv, err := a.describeServer(&body)
	if err != nil {
		return 0, nil, err
	}
	firewalls, err := a.firewallsOf(&body)
	if err != nil {
		return 0, nil, err
	}
	addresses, err := a.addressesOf(&body, srv.Location)
	if err != nil {
		return 0, nil, err
	}
	steps, err := a.attachmentsOf(&body, srv)
	if err != nil {
		return 0, nil, err
	}

	// Nothing is refused from here on: an error must leave no half of a server.
	srv.ID = a.state.nextID()
	created(a, servers, q, srv)
	for _, f := range firewalls {
		applyTo(f, srv)
	}
	for _, f := range a.state.Firewalls {
		selectFor(f, srv)
	}
	for _, version := range []string{"ipv4", "ipv6"} {
		p := addresses[version]
		if p == nil {
			continue
		}
		if p.ID == 0 {
			if p, err = a.newPrimaryIP("primary_ip-"+srv.Name+"-"+version, version, srv.Location,
				map[string]string{}); err != nil {
				return 0, nil, err
			}
			p.AutoDelete = true
			a.state.PrimaryIPs[p.ID] = p
		}
		a.link(p, srv)
	}

	first := &task{
		command: "create_server", resources: refs("server", srv.ID),
		run:  func(ctx context.Context) error { return a.machines.CreateServer(ctx, a.machineOf(srv.ID)) },
		done: func(error) { srv.Status = "off" },
	}
	last := first
	for _, step := range steps {
		last.then = step()
		last = last.then
	}
	if body.StartAfterCreate == nil || *body.StartAfterCreate {
		last.then = a.startTask("start_server", srv, q.faults.bootDelay)
	}
	action := a.begin(q, first)
	next := []schema.Action{}
	for t := first.then; t != nil; t = t.then {
		next = append(next, *t.action)
	}
	return http.StatusCreated, map[string]any{
		"server": srv.Server, "action": action, "next_actions": next, "root_password": nil,
	}, nil
}

// startTask turns a server on. With a delay the action succeeds at once and the
// machine boots later: to its caller a slow boot looks like that.
func (a *API) startTask(command string, srv *server, after time.Duration) *task {
	id := srv.ID
	return &task{
		command: command, resources: refs("server", id),
		run: func(ctx context.Context) error {
			if after == 0 {
				return a.machines.StartServer(ctx, id)
			}
			a.work.Go(func() {
				select {
				case <-time.After(after):
				case <-a.ctx.Done():
					return
				}
				if err := a.machines.StartServer(a.ctx, id); err != nil {
					a.config.Logf("hetzner: slow boot of server %d: %v", id, err)
				}
			})
			return nil
		},
		done: func(err error) {
			if err == nil {
				srv.Status = "running"
			}
		},
	}
}

// describeServer checks what stands in the request itself.
func (a *API) describeServer(body *schema.ServerCreateRequest) (*server, error) {
	labels, err := labelsOf(body.Labels)
	if err != nil {
		return nil, err
	}
	if !hostname.MatchString(body.Name) {
		return nil, invalid("name", "%q is not a hostname", body.Name)
	}
	if err := checkName(a, servers, body.Name); err != nil {
		return nil, notUnique("name", "server name is already used")
	}
	if body.Datacenter != "" {
		return nil, datacenterGone()
	}
	if body.PlacementGroup != 0 {
		return nil, unsupported("placement groups")
	}
	if body.Automount != nil && *body.Automount {
		return nil, unsupported("automount of volumes")
	}
	if len(body.UserData) > maxUserData {
		return nil, invalid("user_data", "%d bytes, at most %d are allowed", len(body.UserData), maxUserData)
	}
	typeIndex := slices.IndexFunc(serverTypes, func(t schema.ServerType) bool {
		return t.ID == body.ServerType.ID || body.ServerType.Name != "" && t.Name == body.ServerType.Name
	})
	if typeIndex < 0 {
		return nil, invalid("server_type", "server type %q does not exist", body.ServerType.Name)
	}
	img, err := imageFor(body.Image, serverTypes[typeIndex])
	if err != nil {
		return nil, err
	}
	if body.Location == "" {
		body.Location = locations[0].Name
	}
	location, ok := locationNamed(body.Location)
	if !ok {
		return nil, invalid("location", "%q is not a location", body.Location)
	}
	srv := &server{
		Server: schema.Server{
			Name: body.Name, Status: "initializing", Created: time.Now().UTC(), ServerType: serverTypes[typeIndex], Image: &img,
			Location: location, Labels: labels, Volumes: []int64{}, PrivateNet: []schema.ServerPrivateNet{},
			LoadBalancers:   []int64{},
			PrimaryDiskSize: serverTypes[typeIndex].Disk, IncludedTraffic: 20 << 40,
			PublicNet: schema.ServerPublicNet{
				FloatingIPs: []int64{}, Firewalls: []schema.ServerFirewall{},
				IPv6: schema.ServerPublicNetIPv6{DNSPtr: []schema.ServerPublicNetIPv6DNSPtr{}},
			},
		},
		UserData: body.UserData, Generation: 1,
	}
	for _, id := range body.SSHKeys {
		key := a.state.SSHKeys[id]
		if key == nil {
			return nil, invalid("ssh_keys", "SSH key %d does not exist", id)
		}
		srv.SSHKeys = append(srv.SSHKeys, key.PublicKey)
	}
	return srv, nil
}

func imageFor(wanted schema.IDOrName, t schema.ServerType) (schema.Image, error) {
	for _, img := range images {
		byName := wanted.Name != "" && *img.Name == wanted.Name && img.Architecture == t.Architecture
		if byName || img.ID == wanted.ID {
			if img.Architecture != t.Architecture {
				return img, invalid("image", "image %d is for %s, server type %s is %s", img.ID, img.Architecture, t.Name,
					t.Architecture)
			}
			return img, nil
		}
	}
	return schema.Image{}, invalid("image", "image %q does not exist for %s", wanted.Name, t.Architecture)
}

// machineOf describes a server as its record is now.
func (a *API) machineOf(id int64) Server {
	a.mu.Lock()
	defer a.mu.Unlock()
	srv := a.state.Servers[id]
	return Server{
		ID: id, Name: srv.Name, Location: srv.Location.Name, UserData: srv.UserData, SSHKeys: srv.SSHKeys,
		PublicIPv4: publicIPv4(srv), Firewall: a.firewallOf(srv), MemoryGB: srv.ServerType.Memory,
		Cores:      srv.ServerType.Cores,
		Generation: srv.Generation,
	}
}

func (a *API) deleteServer(q *request) (int, any, error) {
	srv, err := find(a, servers, q)
	if err != nil {
		return 0, nil, err
	}
	if srv.Protection.Delete {
		return 0, nil, protected("server")
	}
	if srv.Locked {
		return 0, nil, locked("server")
	}
	srv.Status = "deleting"
	volumes := slices.Clone(srv.Volumes)
	action := a.begin(q, &task{
		command: "delete_server", resources: refs("server", srv.ID),
		run: func(ctx context.Context) error {
			if err := a.machines.DeleteServer(ctx, srv.ID); err != nil {
				return err
			}
			for _, id := range volumes {
				if err := a.machines.DetachVolume(ctx, id, srv.ID); err != nil {
					return err
				}
			}
			return nil
		},
		done: func(err error) {
			if err == nil {
				a.forgetServer(srv)
			}
		},
	})
	return http.StatusOK, schema.ServerDeleteResponse{Action: action}, nil
}
