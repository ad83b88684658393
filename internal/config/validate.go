package config

import (
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

var (
	domainPattern    = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}$`)
	releasePattern   = regexp.MustCompile(`^[0-9a-f]{40}$`)
	referencePattern = regexp.MustCompile(`^[a-z0-9][a-zA-Z0-9.:_/-]*@sha256:[0-9a-f]{64}$`)
	settingPattern   = regexp.MustCompile(`^[A-Z][A-Z0-9_]*$`)
)

// ownSettings are the application's settings that app.extra may not hold: secrets, which would stand
// in clear there, and those whose other value would migrate twice or skip the start-up checks.
var ownSettings = []string{
	"CONTENT_PREVIEW_TOKEN", "DATABASE_URL", "ENVIRONMENT", "MAINTENANCE_BYPASS_TOKEN", "RUN_DB_MIGRATIONS",
	"SECRET_KEY", "SENTRY_DSN", "SMTP_PASSWORD", "TURNSTILE_SECRET_KEY",
}

func defaults() Config {
	return Config{
		Host: Host{
			Location: "fsn1", NetworkZone: "eu-central", Image: "debian-12", Generation: 1,
			PrivateNetwork: "10.77.0.0/16", PrivateSubnet: "10.77.1.0/24", PrivateAddress: "10.77.1.2",
			ReadyTimeoutSeconds: 600,
		},
		DNS:       DNS{TTL: 300},
		Turnstile: Turnstile{Mode: "managed"},
		Postgres:  Postgres{Mode: "container", MaxConnections: 100, MemoryMB: 1024, SharedBuffers: 256, ActiveLogin: "a"},
		Redis:     Redis{MemoryMB: 256},
		Backend:   Backend{Replicas: 1, MemoryMB: 1024},
		Worker:    Worker{MemoryMB: 1024, LongestJobSeconds: 1800},
		Frontend:  Frontend{Mode: "static", Replicas: 1, MemoryMB: 256},
		TLS:       TLS{Mode: "acme", ACMEDirectory: "https://acme-v02.api.letsencrypt.org/directory"},
		Edge:      Edge{RateLimits: true, MaxBodyMB: 520},
		App:       App{Environment: "production", SMTP: SMTP{Port: 587}},
		Secrets: SecretGenerations{AppKey: 1, Tokens: 1, LoginA: 1, LoginB: 1, Superuser: 1,
			DeployKey: 1, HostKey: 1, BackupPassword: 1},
	}
}

// derive fills the defaults that follow from other values.
func (c *Config) derive() {
	if len(c.Turnstile.Hostnames) == 0 && domainPattern.MatchString(c.Domain) {
		c.Turnstile.Hostnames = []string{c.Domain, "www." + c.Domain}
	}
}

func (c *Config) validate(p *problems) {
	oneOf(p, "kind", string(c.Kind), string(Production), string(Staging), string(Sandbox))
	if !domainPattern.MatchString(c.Domain) {
		p.set("domain", c.Domain, "a lower-case domain without scheme or path", "momentstudio.ro")
	}
	c.validateImages(p)
	c.validateHost(p)
	c.validateCloudflare(p)
	c.validateServices(p)
	c.validateApp(p)
	c.validateTLS(p)
}

func (c *Config) validateImages(p *problems) {
	if !releasePattern.MatchString(c.Release.Name) {
		p.set("release.name", c.Release.Name, "the full 40-character commit of the release, in lower case", "<commit>")
	}
	refs := []struct{ path, value string }{
		{"release.backend", c.Release.Backend}, {"release.frontend", c.Release.Frontend},
		{"images.ops", c.Images.Ops}, {"images.edge", c.Images.Edge}, {"images.redis", c.Images.Redis},
	}
	if c.Postgres.Mode != "external" {
		refs = append(refs, struct{ path, value string }{"images.postgres", c.Images.Postgres})
	}
	for _, r := range refs {
		if !referencePattern.MatchString(r.value) {
			p.set(r.path, r.value, "an image reference pinned by digest, name@sha256:<64 hex digits>", "'<name>@sha256:<digest>'")
		}
	}
	if c.Registry.Username != "" && !c.RegistryPassword.Set() {
		p.addFix("registryPassword", "nothing", "a password, because registry.username is set",
			fmt.Sprintf("pulumi config set --secret %s:registryPassword --stack %s", Namespace, c.Stack))
	}
	switch address, user := c.Registry.Address, c.Registry.Username; {
	case user != "" && address == "":
		p.set("registry.address", nil, "the registry's address, because registry.username is set", "ghcr.io")
	case user == "" && address != "":
		p.set("registry.username", nil, "a user name, because registry.address is set", "<user>")
	}
}

func (c *Config) validateHost(p *problems) {
	h := c.Host
	oneOf(p, "host.location", h.Location, "fsn1", "nbg1", "hel1", "ash", "hil", "sin")
	required(p, "host.serverType", h.ServerType, "a Hetzner server type", "cx32")
	required(p, "host.image", h.Image, "a Hetzner image name", "debian-12")
	between(p, "host.volumeSizeGB", h.VolumeSizeGB, 10, 10240)
	between(p, "host.generation", h.Generation, 1, 10000)
	between(p, "host.bootstrapKeyDropped", h.BootstrapKeyDropped, 0, h.Generation)
	between(p, "host.readyTimeoutSeconds", h.ReadyTimeoutSeconds, 30, 7200)
	if len(h.SSHFrom) == 0 {
		p.set("host.sshFrom[0]", nil, "at least one CIDR that may reach port 22", "203.0.113.7/32")
	}
	for i, cidr := range h.SSHFrom {
		path := fmt.Sprintf("host.sshFrom[%d]", i)
		prefix, err := netip.ParsePrefix(cidr)
		switch {
		case err != nil || prefix != prefix.Masked():
			p.set(path, cidr, "a network in CIDR form", "203.0.113.7/32")
		case prefix.Bits() == 0 && c.Kind.Public():
			p.set(path, cidr, "a narrower network: port 22 is never open to the world", "203.0.113.7/32")
		}
	}
	network, errNetwork := netip.ParsePrefix(h.PrivateNetwork)
	subnet, errSubnet := netip.ParsePrefix(h.PrivateSubnet)
	address, errAddress := netip.ParseAddr(h.PrivateAddress)
	switch {
	case errNetwork != nil || network.Bits() < 8 || !netip.MustParsePrefix("10.0.0.0/8").Contains(network.Addr()):
		p.set("host.privateNetwork", h.PrivateNetwork, "a network inside 10.0.0.0/8 (Docker's own pools lie outside)", "10.77.0.0/16")
	case errSubnet != nil || !network.Contains(subnet.Addr()) || subnet.Bits() < network.Bits():
		p.set("host.privateSubnet", h.PrivateSubnet, "a network inside host.privateNetwork "+h.PrivateNetwork, "10.77.1.0/24")
	case errAddress != nil || !subnet.Contains(address) || address == subnet.Addr() || address == subnet.Addr().Next():
		p.set("host.privateAddress", h.PrivateAddress, "an address inside host.privateSubnet "+h.PrivateSubnet+", not its first two", "10.77.1.2")
	}
}

func (c *Config) validateCloudflare(p *problems) {
	required(p, "dns.zoneId", c.DNS.ZoneID, "the Cloudflare zone's ID", "<zone id>")
	if !c.DNS.Proxied {
		between(p, "dns.ttlSeconds", c.DNS.TTL, 60, 86400)
	}
	required(p, "turnstile.accountId", c.Turnstile.AccountID, "the Cloudflare account's ID", "<account id>")
	oneOf(p, "turnstile.mode", c.Turnstile.Mode, "managed", "non-interactive", "invisible")
	for i, h := range c.Turnstile.Hostnames {
		if !domainPattern.MatchString(h) {
			p.set(fmt.Sprintf("turnstile.hostnames[%d]", i), h, "a host name", c.Domain)
		}
	}
	if domainPattern.MatchString(c.Domain) && !slices.Contains(c.Turnstile.Hostnames, c.Domain) {
		p.set(fmt.Sprintf("turnstile.hostnames[%d]", len(c.Turnstile.Hostnames)), nil,
			"the domain "+c.Domain+", because without it in the list customers cannot log in", c.Domain)
	}
	e := c.Endpoints
	if e != (Endpoints{}) && c.Kind != Sandbox {
		p.add("endpoints", "a value", "nothing: only stacks of kind sandbox replace the cloud APIs")
	}
	if e.Hcloud != "" {
		if u, err := url.Parse(e.Hcloud); err != nil || u.Host == "" {
			p.set("endpoints.hcloud", e.Hcloud, "a URL", "http://127.0.0.1:8080/v1")
		}
	}
	if e.HcloudPollInterval != "" {
		if _, err := time.ParseDuration(e.HcloudPollInterval); err != nil {
			p.set("endpoints.hcloudPollInterval", e.HcloudPollInterval, "a duration", "100ms")
		}
	}
}

func (c *Config) validateServices(p *problems) {
	oneOf(p, "postgres.mode", c.Postgres.Mode, "container", "external")
	oneOf(p, "postgres.activeLogin", c.Postgres.ActiveLogin, "a", "b")
	between(p, "postgres.maxConnections", c.Postgres.MaxConnections, 20, 1000)
	between(p, "postgres.memoryMB", c.Postgres.MemoryMB, 256, 262144)
	between(p, "postgres.sharedBuffersMB", c.Postgres.SharedBuffers, 16, max(16, c.Postgres.MemoryMB/2))
	switch external := c.Postgres.Mode == "external"; {
	case external && !c.DatabaseURL.Set():
		p.addFix("databaseUrl", "nothing", "the URL of the database, because postgres.mode is external",
			fmt.Sprintf("pulumi config set --secret %s:databaseUrl --stack %s", Namespace, c.Stack))
	case external && !c.DatabaseURL.IsPlaceholder() && !strings.HasPrefix(c.DatabaseURL.Reveal(), "postgresql+asyncpg://"):
		p.add("databaseUrl", "[secret]", "a URL that begins with postgresql+asyncpg:// (the app has no other driver)")
	case external && strings.Contains(c.DatabaseURL.Reveal(), "%"):
		p.add("databaseUrl", "[secret]", "a URL without %, on which Alembic's configuration parser fails")
	case !external && c.DatabaseURL.Set():
		p.add("databaseUrl", "[secret]", "nothing, unless postgres.mode is external")
	}
	// One API process and the worker hold up to 31 connections (app-contract §8); start-first
	// doubles the API's share during a release.
	if need := 2*c.Backend.Replicas*16 + 15 + 10; c.Postgres.Mode == "container" && c.Postgres.MaxConnections < need {
		p.set("postgres.maxConnections", c.Postgres.MaxConnections,
			fmt.Sprintf("at least %d for backend.replicas %d", need, c.Backend.Replicas), fmt.Sprint(need))
	}
	between(p, "redis.memoryMB", c.Redis.MemoryMB, 64, 65536)
	between(p, "backend.replicas", c.Backend.Replicas, 1, 50)
	between(p, "backend.memoryMB", c.Backend.MemoryMB, 256, 262144)
	between(p, "worker.memoryMB", c.Worker.MemoryMB, 256, 262144)
	between(p, "worker.longestJobSeconds", c.Worker.LongestJobSeconds, 120, 86400)
	oneOf(p, "frontend.mode", c.Frontend.Mode, "static", "ssr")
	between(p, "frontend.replicas", c.Frontend.Replicas, 1, 50)
	between(p, "frontend.memoryMB", c.Frontend.MemoryMB, 64, 65536)
	between(p, "edge.maxBodyMB", c.Edge.MaxBodyMB, 1, 4096)
	g := c.Secrets
	for _, s := range []struct {
		name  string
		value int
	}{{"appKey", g.AppKey}, {"tokens", g.Tokens}, {"loginA", g.LoginA}, {"loginB", g.LoginB}, {"backupPassword", g.BackupPassword}} {
		between(p, "secrets."+s.name, s.value, 1, 10000)
	}
	// A new value of these reaches neither sshd, nor authorized_keys, nor the initialised database
	// by itself: an update would lock itself out.
	for _, s := range []struct {
		name  string
		value int
	}{{"superuser", g.Superuser}, {"deployKey", g.DeployKey}, {"hostKey", g.HostKey}} {
		if s.value != 1 {
			p.set("secrets."+s.name, s.value, "1: this secret cannot be rotated on a running host yet", "1")
		}
	}
}

func (c *Config) validateApp(p *problems) {
	if c.Kind.Public() && c.App.Environment != "production" {
		p.set("app.environment", c.App.Environment, "production: any other value skips the app's own start-up checks", "production")
	}
	if !c.SentryDSN.Set() {
		p.addFix("sentryDsn", "nothing", "a Sentry DSN: the app refuses to start in production without one",
			fmt.Sprintf("pulumi config set --secret %s:sentryDsn --stack %s", Namespace, c.Stack))
	}
	s := c.App.SMTP
	if s.Enabled {
		required(p, "app.smtp.host", s.Host, "the mail server, because app.smtp.enabled is on", "smtp.example.com")
		required(p, "app.smtp.from", s.From, "the sender, because app.smtp.enabled is on", "shop@"+c.Domain)
		if s.Port == 465 {
			p.set("app.smtp.port", s.Port, "587: the app speaks STARTTLS and has no implicit TLS", "587")
		}
		if s.Username != "" && !c.SMTPPassword.Set() {
			p.addFix("smtpPassword", "nothing", "a password, because app.smtp.username is set",
				fmt.Sprintf("pulumi config set --secret %s:smtpPassword --stack %s", Namespace, c.Stack))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.App.Extra)) {
		path := "app.extra." + name
		switch {
		case !settingPattern.MatchString(name):
			p.add(path, "a name", "a setting's name in capitals, as the application spells it")
		case slices.Contains(ownSettings, name):
			// The value is not shown: whoever writes a secret setting here has put a secret in clear.
			p.addFix(path, "a value", "nothing: this program sets it, and secrets have keys of their own",
				fmt.Sprintf("pulumi config rm --path '%s:%s' --stack %s", Namespace, path, c.Stack))
		case c.App.Extra[name] == "":
			p.addFix(path, `""`, "a value, or no such key: the app aborts on empty numbers, switches and lists",
				fmt.Sprintf("pulumi config rm --path '%s:%s' --stack %s", Namespace, path, c.Stack))
		}
	}
}

func (c *Config) validateTLS(p *problems) {
	oneOf(p, "tls.mode", c.TLS.Mode, "acme", "file", "internal")
	if c.TLS.Mode == "acme" {
		required(p, "tls.email", c.TLS.Email, "an address for the ACME account", "admin@"+c.Domain)
		if u, err := url.Parse(c.TLS.ACMEDirectory); err != nil || u.Scheme != "https" {
			p.set("tls.acmeDirectory", c.TLS.ACMEDirectory, "an https URL", "https://acme-v02.api.letsencrypt.org/directory")
		}
	}
	if c.TLS.Mode == "file" {
		for _, s := range []struct {
			key string
			val Secret
		}{{"tlsCertificate", c.TLSCertificate}, {"tlsKey", c.TLSKey}} {
			if !s.val.Set() {
				p.addFix(s.key, "nothing", "a PEM text, because tls.mode is file",
					fmt.Sprintf("pulumi config set --secret %s:%s --stack %s < FILE", Namespace, s.key, c.Stack))
			}
		}
	}
	if c.TLS.Mode == "internal" && c.Kind.Public() {
		p.set("tls.mode", c.TLS.Mode, "acme or file: browsers do not trust an internal certificate", "acme")
	}
}

func oneOf(p *problems, path, got string, allowed ...string) {
	if !slices.Contains(allowed, got) {
		p.set(path, got, "one of "+strings.Join(allowed, ", "), allowed[0])
	}
}

func required(p *problems, path, got, want, example string) {
	if strings.TrimSpace(got) == "" {
		p.set(path, got, want, example)
	}
}

func between(p *problems, path string, got, low, high int) {
	if got < low || got > high {
		p.set(path, got, fmt.Sprintf("a whole number from %d to %d", low, high), fmt.Sprint(low))
	}
}
