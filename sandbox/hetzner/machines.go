package hetzner

import (
	"context"
	"net/netip"
)

// Machines is what stands behind the records of servers, volumes and networks.
// Every method can be called again after an error or for something that is
// already so.
type Machines interface {
	// CreateServer prepares a machine that is off.
	CreateServer(ctx context.Context, s Server) error
	StartServer(ctx context.Context, id int64) error
	// StopServer turns a machine off, with a clean shutdown when graceful.
	StopServer(ctx context.Context, id int64, graceful bool) error
	RestartServer(ctx context.Context, id int64, graceful bool) error
	// DeleteServer removes the machine and its disk, not its volumes.
	DeleteServer(ctx context.Context, id int64) error
	// SetPublicIPv4 gives a machine that is off another address; the zero
	// address takes it away.
	SetPublicIPv4(ctx context.Context, id int64, ip netip.Addr) error
	// SetFirewall replaces the inbound rules; nil means that no firewall is
	// applied and everything may pass.
	SetFirewall(ctx context.Context, id int64, firewall *Firewall) error

	// AttachNetwork returns the hardware address of the new interface.
	AttachNetwork(ctx context.Context, serverID int64, n Network, ip netip.Addr) (mac string, err error)
	DetachNetwork(ctx context.Context, serverID, networkID int64) error
	DeleteNetwork(ctx context.Context, id int64) error

	// CreateVolume makes an empty disk, with a file system when format is set.
	CreateVolume(ctx context.Context, id int64, sizeGB int, format string) error
	ResizeVolume(ctx context.Context, id int64, sizeGB int) error
	AttachVolume(ctx context.Context, id, serverID int64) error
	DetachVolume(ctx context.Context, id, serverID int64) error
	DeleteVolume(ctx context.Context, id int64) error
}

// Server describes a machine to be made.
type Server struct {
	ID         int64
	Name       string
	Location   string
	UserData   string
	SSHKeys    []string // authorized_keys lines of root
	PublicIPv4 netip.Addr
	Firewall   *Firewall
	// MemoryGB and Cores are those of the server type.
	MemoryGB float32
	Cores    int
	// Generation tells one machine of an id from the next, after a rebuild.
	Generation int64
}

// Firewall holds the inbound rules of all firewalls that apply to a server.
type Firewall struct {
	Rules []Rule
}

// Rule allows inbound traffic; whatever no rule allows is dropped.
type Rule struct {
	Protocol string // tcp, udp, icmp, esp or gre
	FromPort int    // 0 for protocols without ports
	ToPort   int
	Sources  []netip.Prefix
}

// Network is a private network; Range is the whole of it, not one subnet.
type Network struct {
	ID    int64
	Range netip.Prefix
}

// Records is the implementation without machines, for tests of the API alone.
type Records struct{}

var _ Machines = Records{}

func (Records) CreateServer(context.Context, Server) error             { return nil }
func (Records) StartServer(context.Context, int64) error               { return nil }
func (Records) StopServer(context.Context, int64, bool) error          { return nil }
func (Records) RestartServer(context.Context, int64, bool) error       { return nil }
func (Records) DeleteServer(context.Context, int64) error              { return nil }
func (Records) SetPublicIPv4(context.Context, int64, netip.Addr) error { return nil }
func (Records) SetFirewall(context.Context, int64, *Firewall) error    { return nil }
func (Records) DetachNetwork(context.Context, int64, int64) error      { return nil }
func (Records) DeleteNetwork(context.Context, int64) error             { return nil }
func (Records) CreateVolume(context.Context, int64, int, string) error { return nil }
func (Records) ResizeVolume(context.Context, int64, int) error         { return nil }
func (Records) AttachVolume(context.Context, int64, int64) error       { return nil }
func (Records) DetachVolume(context.Context, int64, int64) error       { return nil }
func (Records) DeleteVolume(context.Context, int64) error              { return nil }
func (Records) AttachNetwork(context.Context, int64, Network, netip.Addr) (string, error) {
	return "86:00:00:00:00:01", nil
}
