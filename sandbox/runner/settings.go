// Package runner brings the sandbox up and takes it down: the emulated clouds, a registry, an ACME
// test CA, and the real Pulumi engine with the program, on one machine and with no account.
package runner

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
)

// Settings say where a sandbox lives. Two sandboxes on one machine differ in all of them.
type Settings struct {
	Name           string       // part of the names of everything that is made; default "sandbox"
	Home           string       // state, keys and logs; removed by Down
	Cache          string       // engine, host image and shop images, shared by all sandboxes; kept by Down
	Subnet         netip.Prefix // the sandbox's internet; its first address is this machine
	PrivateNetwork netip.Prefix // the stack's private network; the engine refuses overlapping ones
	Project        string       // the clone: where Pulumi.yaml lies
	// Programs holds this repository's programs, built for the sandbox. They belong to the clone that made it: sandboxes
	// of two clones, of other commits perhaps, must not replace each other's. Another clone of the same sandbox uses them.
	Programs  string
	Stack     string       // name of the Pulumi stack
	CLI       PulumiChoice // which CLI; default: the machine's own if it is new enough, otherwise a built one
	FileState bool         // keep the state in Home instead of the sandbox's S3 store
}

// PulumiChoice says which Pulumi CLI, language host and plugins the sandbox uses.
type PulumiChoice string

// The values of SANDBOX_PULUMI.
const (
	AnyPulumi   PulumiChoice = ""
	BuiltPulumi PulumiChoice = "built" // built from the pinned modules in sandbox/engine
	HostPulumi  PulumiChoice = "host"  // the machine's own, from PATH
)

// FromEnvironment reads SANDBOX_NAME, SANDBOX_HOME, SANDBOX_CACHE, SANDBOX_SUBNET, SANDBOX_PRIVATE_NETWORK,
// SANDBOX_PULUMI (built or host) and SANDBOX_STATE (s3 or file), and reports everything that is wrong with them.
// project is the clone's root.
func FromEnvironment(project string) (Settings, error) {
	name := cmp.Or(os.Getenv("SANDBOX_NAME"), "sandbox")
	s := Settings{
		Name:    name,
		Home:    cmp.Or(os.Getenv("SANDBOX_HOME"), "/var/lib/momentstudio-"+name),
		Cache:   cmp.Or(os.Getenv("SANDBOX_CACHE"), "/var/cache/momentstudio-sandbox"),
		Project: project, Programs: filepath.Join(project, ".momentstudio", "sandbox"),
		Stack: "sandbox",
		CLI:   PulumiChoice(os.Getenv("SANDBOX_PULUMI")),
	}
	var errSubnet, errPrivate, errPulumi, errState error
	s.Subnet, errSubnet = network("SANDBOX_SUBNET", "10.201.64.0/24", 26)
	s.PrivateNetwork, errPrivate = network("SANDBOX_PRIVATE_NETWORK", "10.77.0.0/16", 24)
	if errSubnet == nil && errPrivate == nil && s.Subnet.Overlaps(s.PrivateNetwork) {
		errPrivate = fmt.Errorf("SANDBOX_SUBNET %s and SANDBOX_PRIVATE_NETWORK %s overlap", s.Subnet, s.PrivateNetwork)
	}
	if s.CLI != AnyPulumi && s.CLI != BuiltPulumi && s.CLI != HostPulumi {
		errPulumi = fmt.Errorf("SANDBOX_PULUMI: got %q, want built, host or nothing", string(s.CLI))
	}
	switch state := cmp.Or(os.Getenv("SANDBOX_STATE"), "s3"); state {
	case "s3":
	case "file":
		s.FileState = true
	default:
		errState = fmt.Errorf("SANDBOX_STATE: got %q, want s3 or file", state)
	}
	return s, errors.Join(errSubnet, errPrivate, errPulumi, errState)
}

// network reads an IPv4 network from a variable. bits is the longest prefix that has room for what lies in it.
func network(variable, standard string, bits int) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(cmp.Or(os.Getenv(variable), standard))
	if err != nil {
		return p, fmt.Errorf("%s: %w", variable, err)
	}
	if p.Bits() > bits || !p.Addr().Is4() {
		return p, fmt.Errorf("%s: got %s, want an IPv4 network of /%d or larger", variable, p, bits)
	}
	return p.Masked(), nil
}

// Gateway is this machine's address in the sandbox's internet; everything that the sandbox serves
// listens there and nowhere else.
func (s Settings) Gateway() netip.Addr { return s.Subnet.Addr().Next() }

func (s Settings) path(parts ...string) string {
	return filepath.Join(append([]string{s.Home}, parts...)...)
}

// Program is the path of one of the sandbox's programs.
func (s Settings) Program(name string) string { return filepath.Join(s.Programs, name) }

// ConfigFile is the copy of Pulumi.sandbox.yaml with what only this run knows.
func (s Settings) ConfigFile() string { return s.path("Pulumi.sandbox.yaml") }

// CAFile holds the roots of the sandbox's own TLS and of the ACME test CA.
func (s Settings) CAFile() string { return s.path("ca", "roots.pem") }

// Ports of what the sandbox serves on its gateway.
const (
	hetznerPort    = 8080
	cloudflarePort = 8443
	registryPort   = 5443
	acmePort       = 14000
	dnsPort        = 5353
	restPort       = 8444
	s3Port         = 9443
)

func (s Settings) address(port int) string {
	return netip.AddrPortFrom(s.Gateway(), uint16(port)).String() //nolint:gosec // the constants above
}

// Fixed identities of the emulated accounts. They protect nothing: the APIs listen on this machine only.
const (
	Domain          = "momentstudio.test"
	zoneID          = "00000000000000000000000000000001"
	accountID       = "00000000000000000000000000000002"
	hetznerToken    = "sandbox0sandbox0sandbox0sandbox0sandbox0sandbox0sandbox0sandbox0"
	cloudflareToken = "sandbox0sandbox0sandbox0sandbox0sandbox0"
	passphrase      = "sandbox"
	backupUser      = "sandbox" // of rest-server
	backupPassword  = "sandbox0rest0password"
	backupBucket    = "momentstudio-backups"
	backupPrefix    = "restic"
	StateBucket     = "momentstudio-state"
)

// S3Key opens the sandbox's S3 store.
type S3Key struct {
	Access string `json:"access"`
	Secret string `json:"secret"`
}

// The keys of the S3 store: the host's, which adds; the drills', which reads; and its owner's, which prunes.
var (
	backupWriter = S3Key{"SANDBOX0WRITER0KEY", "sandbox0writer0secret"}
	BackupReader = S3Key{"SANDBOX0READER0KEY", "sandbox0reader0secret"}
	BackupOwner  = S3Key{"SANDBOX0OWNER0KEY", "sandbox0owner0secret"}
	// StateOperator reads and writes the states of stacks.
	StateOperator = S3Key{"SANDBOX0OPERATOR", "sandbox0operator0secret"}
)
