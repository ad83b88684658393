package hetzner

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"github.com/hetznercloud/hcloud-go/v2/hcloud/schema"
)

var volumes = kind[schema.Volume]{
	"volume", "volumes",
	func(s *state) map[int64]*schema.Volume { return s.Volumes },
	func(v *schema.Volume) fields { return fields{v.ID, &v.Name, &v.Labels} },
}

func (a *API) volumeRoutes() map[string]handler {
	return map[string]handler{
		"GET /v1/volumes": list(a, volumes,
			func(q *request, v *schema.Volume) bool { return among(q, "status", v.Status) }),
		"GET /v1/volumes/{id}":                            show(a, volumes),
		"PUT /v1/volumes/{id}":                            update(a, volumes, nil),
		"POST /v1/volumes":                                a.createVolume,
		"DELETE /v1/volumes/{id}":                         a.deleteVolume,
		"POST /v1/volumes/{id}/actions/attach":            a.attachVolume,
		"POST /v1/volumes/{id}/actions/detach":            a.detachVolume,
		"POST /v1/volumes/{id}/actions/resize":            a.resizeVolume,
		"POST /v1/volumes/{id}/actions/change_protection": a.changeVolumeProtection,
	}
}

func (a *API) createVolume(q *request) (int, any, error) {
	var body schema.VolumeCreateRequest
	if err := q.decode(&body); err != nil {
		return 0, nil, err
	}
	labels, err := labelsOf(body.Labels)
	if err != nil {
		return 0, nil, err
	}
	if err := checkName(a, volumes, body.Name); err != nil {
		return 0, nil, err
	}
	if body.Size < 10 || body.Size > 10240 {
		return 0, nil, invalid("size", "must be 10 to 10240")
	}
	format := ""
	if body.Format != nil {
		if format = *body.Format; format != "ext4" && format != "xfs" {
			return 0, nil, invalid("format", "must be ext4 or xfs")
		}
		if format == "xfs" {
			return 0, nil, unsupported("volumes with xfs")
		}
	}
	if body.Automount != nil && *body.Automount {
		return 0, nil, unsupported("automount of volumes")
	}
	v := &schema.Volume{
		Name: body.Name, Size: body.Size, Labels: labels, Status: "creating", Format: body.Format, Created: time.Now().UTC(),
	}
	var srv *server
	switch {
	case body.Server != nil:
		if srv = a.state.Servers[*body.Server]; srv == nil {
			return 0, nil, invalid("server", "server %d does not exist", *body.Server)
		}
		if srv.Locked {
			return 0, nil, locked("server")
		}
		v.Location = srv.Location
	case body.Location != nil:
		i := slices.IndexFunc(locations, func(l schema.Location) bool {
			return l.Name == body.Location.Name || l.ID == body.Location.ID
		})
		if i < 0 {
			return 0, nil, invalid("location", "%q is not a location", body.Location.Name)
		}
		v.Location = locations[i]
	default:
		return 0, nil, invalid("location", "either location or server is required")
	}
	v.ID = a.state.nextID()
	v.LinuxDevice = fmt.Sprintf("/dev/disk/by-id/scsi-0HC_Volume_%d", v.ID)
	created(a, volumes, q, v)
	t := &task{
		command: "create_volume", resources: refs("volume", v.ID),
		run: func(ctx context.Context) error { return a.machines.CreateVolume(ctx, v.ID, v.Size, format) },
		done: func(err error) {
			if err == nil {
				v.Status = "available"
			}
		},
	}
	next := []schema.Action{}
	if srv != nil {
		t.then = a.attachTask(v, srv)
	}
	action := a.begin(q, t)
	if t.then != nil {
		next = append(next, *t.then.action)
	}
	return http.StatusCreated, map[string]any{"volume": v, "action": action, "next_actions": next}, nil
}

func attachable(v *schema.Volume, srv *server) error {
	switch {
	case v.Server != nil:
		return conflict("volume_already_attached", "volume %d is already attached to server %d", v.ID, *v.Server)
	case v.Location.Name != srv.Location.Name:
		return invalid("server", "volume %d is in %s, the server in %s", v.ID, v.Location.Name, srv.Location.Name)
	case len(srv.Volumes) >= 16:
		return conflict("resource_limit_exceeded", "server %d already has 16 volumes", srv.ID)
	}
	return nil
}

func (a *API) attachTask(v *schema.Volume, srv *server) *task {
	id := srv.ID
	v.Server = &id
	srv.Volumes = append(srv.Volumes, v.ID)
	return &task{
		command: "attach_volume", resources: append(refs("volume", v.ID), ref("server", id)),
		run: func(ctx context.Context) error { return a.machines.AttachVolume(ctx, v.ID, id) },
		done: func(err error) {
			if err != nil {
				detached(v, srv)
			}
		},
	}
}

func detached(v *schema.Volume, srv *server) {
	v.Server = nil
	if srv != nil {
		srv.Volumes = slices.DeleteFunc(srv.Volumes, func(id int64) bool { return id == v.ID })
	}
}

func (a *API) attachVolume(q *request) (int, any, error) {
	v, err := find(a, volumes, q)
	if err != nil {
		return 0, nil, err
	}
	var body schema.VolumeActionAttachVolumeRequest
	if err := q.decode(&body); err != nil {
		return 0, nil, err
	}
	srv := a.state.Servers[body.Server]
	if srv == nil {
		return 0, nil, invalid("server", "server %d does not exist", body.Server)
	}
	if srv.Locked || a.busy(v.ID) {
		return 0, nil, locked("volume")
	}
	if body.Automount != nil && *body.Automount {
		return 0, nil, unsupported("automount of volumes")
	}
	if err := attachable(v, srv); err != nil {
		return 0, nil, err
	}
	return a.started(q, a.attachTask(v, srv))
}

func (a *API) detachVolume(q *request) (int, any, error) {
	v, err := find(a, volumes, q)
	if err != nil {
		return 0, nil, err
	}
	if v.Server == nil {
		return 0, nil, unprocessable("volume_not_attached", "volume %d is not attached", v.ID)
	}
	srv := a.state.Servers[*v.Server]
	if srv.Locked || a.busy(v.ID) {
		return 0, nil, locked("volume")
	}
	return a.started(q, &task{
		command: "detach_volume", resources: append(refs("volume", v.ID), ref("server", srv.ID)),
		run: func(ctx context.Context) error { return a.machines.DetachVolume(ctx, v.ID, srv.ID) },
		done: func(err error) {
			if err == nil {
				detached(v, srv)
			}
		},
	})
}

func (a *API) resizeVolume(q *request) (int, any, error) {
	v, err := find(a, volumes, q)
	if err != nil {
		return 0, nil, err
	}
	var body schema.VolumeActionResizeVolumeRequest
	if err := q.decode(&body); err != nil {
		return 0, nil, err
	}
	if body.Size <= v.Size || body.Size > 10240 {
		return 0, nil, invalid("size", "must be larger than %d and at most 10240", v.Size)
	}
	if a.busy(v.ID) {
		return 0, nil, locked("volume")
	}
	return a.started(q, &task{
		command: "resize_volume", resources: refs("volume", v.ID),
		run: func(ctx context.Context) error { return a.machines.ResizeVolume(ctx, v.ID, body.Size) },
		done: func(err error) {
			if err == nil {
				v.Size = body.Size
			}
		},
	})
}

func (a *API) changeVolumeProtection(q *request) (int, any, error) {
	v, err := find(a, volumes, q)
	if err != nil {
		return 0, nil, err
	}
	var body schema.VolumeActionChangeProtectionRequest
	if err := q.decode(&body); err != nil {
		return 0, nil, err
	}
	if body.Delete != nil {
		v.Protection.Delete = *body.Delete
	}
	return a.started(q, &task{command: "change_protection", resources: refs("volume", v.ID)})
}

func (a *API) deleteVolume(q *request) (int, any, error) {
	v, err := find(a, volumes, q)
	if err != nil {
		return 0, nil, err
	}
	switch {
	case v.Protection.Delete:
		return 0, nil, protected("volume")
	case v.Server != nil:
		return 0, nil, conflict("resource_in_use", "volume %d is attached to server %d", v.ID, *v.Server)
	case a.busy(v.ID):
		return 0, nil, locked("volume")
	}
	delete(a.state.Volumes, v.ID)
	a.begin(q, &task{
		command: "delete_volume", resources: refs("volume", v.ID),
		run: func(ctx context.Context) error { return a.machines.DeleteVolume(ctx, v.ID) },
	})
	return http.StatusNoContent, nil, nil
}

// joinedNetwork is a network with the address that a server has in it.
type joinedNetwork struct {
	network Network
	ip      netip.Addr
}

func (a *API) joined(srv *server) []joinedNetwork {
	var found []joinedNetwork
	for _, private := range srv.PrivateNet {
		n := a.state.Networks[private.Network]
		found = append(found, joinedNetwork{Network{n.ID, netip.MustParsePrefix(n.IPRange)}, netip.MustParseAddr(private.IP)})
	}
	return found
}
