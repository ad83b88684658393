// Package resourcetype names the Pulumi types of the resources that the program creates.
package resourcetype

// Type tokens, as the state and the plan of an update have them.
const (
	SSHKey           = "hcloud:index/sshKey:SshKey"
	Network          = "hcloud:index/network:Network"
	Subnet           = "hcloud:index/networkSubnet:NetworkSubnet"
	Firewall         = "hcloud:index/firewall:Firewall"
	PrimaryIP        = "hcloud:index/primaryIp:PrimaryIp"
	Volume           = "hcloud:index/volume:Volume"
	Server           = "hcloud:index/server:Server"
	ServerNetwork    = "hcloud:index/serverNetwork:ServerNetwork"
	VolumeAttachment = "hcloud:index/volumeAttachment:VolumeAttachment"
	Record           = "cloudflare:index/record:Record"
	Widget           = "cloudflare:index/turnstileWidget:TurnstileWidget"
	DockerNetwork    = "docker:index/network:Network"
	DockerSecret     = "docker:index/secret:Secret" //nolint:gosec // a type
	DockerService    = "docker:index/service:Service"
	DockerContainer  = "docker:index/container:Container"
)
