package stacks

import (
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/prekzursil/momentstudio-infra/components/caddy"
	"github.com/prekzursil/momentstudio-infra/components/dns"
	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
	"github.com/prekzursil/momentstudio-infra/internal/naming"
	"github.com/prekzursil/momentstudio-infra/internal/render"
	"github.com/prekzursil/momentstudio-infra/internal/workload"
)

const tlsDir = hostspec.EtcDir + "/tls"

// edge serves the shop to visitors, once the release runs.
func (s *stack) edge(h *machine, release []pulumi.Resource) error {
	c := s.config
	args := caddy.Args{
		EdgeImage: c.Images.Edge, OpsImage: c.Images.Ops, Network: h.network, ACMERoot: c.TLS.ACMERootPEM,
		Applied: h.pulled.Done, Closed: !s.profile.wayOut,
		Config: render.Caddy{
			Domain: c.Domain, Mode: c.TLS.Mode, Proxied: c.DNS.Proxied, SSR: c.Frontend.Mode == "ssr",
			RateLimits: c.Edge.RateLimits, MaxBodyMB: c.Edge.MaxBodyMB, MaxUploadMB: c.Edge.MaxUploadMB,
		},
	}
	switch c.TLS.Mode {
	case "acme":
		args.Config.Email, args.Config.ACMEDirectory = c.TLS.Email, c.TLS.ACMEDirectory
	case "file":
		args.TLSDir = tlsDir
		args.TLSHash = pulumi.String(naming.ContentHash(c.TLSCertificate.Reveal())) // a certificate is public
	}
	_, err := caddy.New(s.ctx, "caddy", args,
		append([]pulumi.ResourceOption{pulumi.DependsOn(release)}, h.onHost...)...)
	return err
}

// certificatePart is the certificate in file mode; empty otherwise.
func (s *stack) certificatePart() workload.HostPart {
	if s.config.TLS.Mode != "file" {
		return workload.HostPart{}
	}
	return workload.HostPart{
		Directories: []hostspec.Directory{{Path: tlsDir, Mode: 0o700}},
		Secrets: map[string]workload.HostSecret{
			tlsDir + "/certificate.pem": {Content: secretInput(s.config.TLSCertificate)},
			tlsDir + "/key.pem":         {Content: secretInput(s.config.TLSKey)},
		},
	}
}

// names publishes the shop's names.
func (s *stack) names(h *machine) error {
	if !s.profile.public {
		return nil
	}
	_, err := dns.New(s.ctx, "dns", dns.Args{
		ZoneID: s.config.DNS.ZoneID, Domain: s.config.Domain, Address: h.Address, Proxied: s.config.DNS.Proxied,
		TTL: s.config.DNS.TTL,
	}, s.clouds)
	return err
}
