package hetzner

import (
	"context"
	"slices"

	"github.com/hetznercloud/hcloud-go/v2/hcloud/schema"
)

// onServer wraps an action on a server: one at a time, as in the real API.
func (a *API) onServer(act func(q *request, srv *server) (*task, error)) handler {
	return func(q *request) (int, any, error) {
		srv, err := find(a, servers, q)
		if err != nil {
			return 0, nil, err
		}
		if srv.Locked {
			return 0, nil, locked("server")
		}
		t, err := act(q, srv)
		if err != nil {
			return 0, nil, err
		}
		if t.resources == nil {
			t.resources = refs("server", srv.ID)
		}
		return a.started(q, t)
	}
}

func (a *API) serverActions() map[string]func(*request, *server) (*task, error) {
	return map[string]func(*request, *server) (*task, error){
		"poweron": func(q *request, srv *server) (*task, error) {
			return a.startTask("start_server", srv, q.faults.bootDelay), nil
		},
		"poweroff": func(_ *request, srv *server) (*task, error) { return a.stopTask("stop_server", srv, false), nil },
		"shutdown": func(_ *request, srv *server) (*task, error) { return a.stopTask("shutdown_server", srv, true), nil },
		"reboot":   func(_ *request, srv *server) (*task, error) { return a.restartTask("reboot_server", srv, true) },
		"reset":    func(_ *request, srv *server) (*task, error) { return a.restartTask("reset_server", srv, false) },

		"rebuild":             a.rebuild,
		"change_type":         a.changeType,
		"change_protection":   a.changeServerProtection,
		"change_dns_ptr":      a.changeServerDNSPtr,
		"attach_to_network":   a.attachToNetwork,
		"detach_from_network": a.detachFromNetwork,
		"change_alias_ips":    a.changeAliasIPs,
		"enable_backup": func(_ *request, srv *server) (*task, error) {
			window := "22-02"
			srv.BackupWindow = &window
			return &task{command: "enable_backup"}, nil
		},
		"disable_backup": func(_ *request, srv *server) (*task, error) {
			srv.BackupWindow = nil
			return &task{command: "disable_backup"}, nil
		},
	}
}

func (a *API) stopTask(command string, srv *server, graceful bool) *task {
	id := srv.ID
	return &task{
		command: command,
		run:     func(ctx context.Context) error { return a.machines.StopServer(ctx, id, graceful) },
		done: func(err error) {
			if err == nil {
				srv.Status = "off"
			}
		},
	}
}

func (a *API) restartTask(command string, srv *server, graceful bool) (*task, error) {
	if srv.Status != "running" {
		return nil, conflict("conflict", "server %d is not running", srv.ID)
	}
	id := srv.ID
	return &task{
		command: command,
		run:     func(ctx context.Context) error { return a.machines.RestartServer(ctx, id, graceful) },
	}, nil
}

// rebuild gives a server an empty disk; address, volumes and networks stay.
func (a *API) rebuild(q *request, srv *server) (*task, error) {
	var body schema.ServerActionRebuildRequest
	if err := q.decode(&body); err != nil {
		return nil, err
	}
	if srv.Protection.Rebuild {
		return nil, protected("server rebuild")
	}
	img, err := imageFor(body.Image, srv.ServerType)
	if err != nil {
		return nil, err
	}
	if body.UserData != nil {
		if len(*body.UserData) > maxUserData {
			return nil, invalid("user_data", "%d bytes, at most %d are allowed", len(*body.UserData), maxUserData)
		}
		srv.UserData = *body.UserData
	}
	srv.Image = &img
	srv.Status = "rebuilding"
	srv.Generation++
	volumes := slices.Clone(srv.Volumes)
	joined := a.joined(srv)
	return &task{
		command: "rebuild_server",
		run: func(ctx context.Context) error {
			if err := a.machines.DeleteServer(ctx, srv.ID); err != nil {
				return err
			}
			if err := a.machines.CreateServer(ctx, a.machineOf(srv.ID)); err != nil {
				return err
			}
			for _, id := range volumes {
				if err := a.machines.AttachVolume(ctx, id, srv.ID); err != nil {
					return err
				}
			}
			for _, j := range joined {
				if _, err := a.machines.AttachNetwork(ctx, srv.ID, j.network, j.ip); err != nil {
					return err
				}
			}
			return a.machines.StartServer(ctx, srv.ID)
		},
		done: func(err error) {
			srv.Status = "running"
			if err != nil {
				srv.Status = "off"
			}
		},
	}, nil
}

func (a *API) changeType(q *request, srv *server) (*task, error) {
	var body schema.ServerActionChangeTypeRequest
	if err := q.decode(&body); err != nil {
		return nil, err
	}
	i := slices.IndexFunc(serverTypes, func(t schema.ServerType) bool {
		return t.ID == body.ServerType.ID || body.ServerType.Name != "" && t.Name == body.ServerType.Name
	})
	switch {
	case i < 0:
		return nil, invalid("server_type", "server type %q does not exist", body.ServerType.Name)
	case srv.Status != "off":
		return nil, unprocessable("server_not_stopped", "server %d must be off", srv.ID)
	case serverTypes[i].Architecture != srv.ServerType.Architecture || serverTypes[i].Disk < srv.PrimaryDiskSize:
		return nil, unprocessable("invalid_server_type", "server type %s does not fit server %d", serverTypes[i].Name, srv.ID)
	}
	srv.ServerType = serverTypes[i]
	if body.UpgradeDisk {
		srv.PrimaryDiskSize = serverTypes[i].Disk
	}
	return &task{command: "change_server_type"}, nil
}

func (a *API) changeServerProtection(q *request, srv *server) (*task, error) {
	var body schema.ServerActionChangeProtectionRequest
	if err := q.decode(&body); err != nil {
		return nil, err
	}
	wanted := srv.Protection
	if body.Delete != nil {
		wanted.Delete = *body.Delete
	}
	if body.Rebuild != nil {
		wanted.Rebuild = *body.Rebuild
	}
	if wanted.Delete != wanted.Rebuild {
		return nil, invalid("delete", "delete and rebuild must have the same value")
	}
	srv.Protection = wanted
	return &task{command: "change_protection"}, nil
}

func (a *API) changeServerDNSPtr(q *request, srv *server) (*task, error) {
	p := a.state.PrimaryIPs[srv.PublicNet.IPv4.ID]
	if p == nil {
		return nil, invalid("ip", "server %d has no IPv4 address", srv.ID)
	}
	if err := a.setPtr(q, p); err != nil {
		return nil, err
	}
	return &task{command: "change_dns_ptr"}, nil
}

func (a *API) attachToNetwork(q *request, srv *server) (*task, error) {
	var body schema.ServerActionAttachToNetworkRequest
	if err := q.decode(&body); err != nil {
		return nil, err
	}
	n := a.state.Networks[body.Network]
	if n == nil {
		return nil, notFound("network", body.Network)
	}
	if body.IPRange != nil {
		return nil, unsupported("attaching to a network by ip_range")
	}
	if privateNet(srv, n.ID) != nil {
		return nil, conflict("server_already_attached", "server %d is already attached to network %d", srv.ID, n.ID)
	}
	wanted := ""
	if body.IP != nil {
		wanted = *body.IP
	}
	ip, err := a.freeAddress(n, wanted)
	if err != nil {
		return nil, err
	}
	if len(body.AliasIPs) > 0 {
		return nil, unsupported("alias addresses of a new attachment")
	}
	return a.networkTask(n, srv, ip, nil), nil
}

func (a *API) detachFromNetwork(q *request, srv *server) (*task, error) {
	var body schema.ServerActionDetachFromNetworkRequest
	if err := q.decode(&body); err != nil {
		return nil, err
	}
	n := a.state.Networks[body.Network]
	if n == nil || privateNet(srv, n.ID) == nil {
		return nil, notFound("network", body.Network)
	}
	a.leaveNetwork(n, srv)
	return &task{
		command: "detach_from_network", resources: append(refs("server", srv.ID), ref("network", n.ID)),
		run: func(ctx context.Context) error { return a.machines.DetachNetwork(ctx, srv.ID, n.ID) },
	}, nil
}

// changeAliasIPs accepts the empty list only, which the provider sends for
// every attachment without aliases.
func (a *API) changeAliasIPs(q *request, srv *server) (*task, error) {
	var body schema.ServerActionChangeAliasIPsRequest
	if err := q.decode(&body); err != nil {
		return nil, err
	}
	n := a.state.Networks[body.Network]
	if n == nil || privateNet(srv, n.ID) == nil {
		return nil, notFound("network", body.Network)
	}
	if len(body.AliasIPs) > 0 {
		return nil, unsupported("alias addresses")
	}
	return &task{command: "change_alias_ips", resources: append(refs("server", srv.ID), ref("network", n.ID))}, nil
}
