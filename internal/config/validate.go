package config

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/mail"
	"net/netip"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/prekzursil/momentstudio-infra/internal/appsettings"
	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
	"github.com/prekzursil/momentstudio-infra/internal/secret"
)

var (
	domainPattern    = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}$`)
	revisionPattern  = regexp.MustCompile(`^[0-9A-Za-z_]{1,32}$`)
	timePattern      = regexp.MustCompile(`^([01][0-9]|2[0-3]):[0-5][0-9]$`)
	releasePattern   = regexp.MustCompile(`^[0-9a-f]{40}$`)
	referencePattern = regexp.MustCompile(`^[a-z0-9][a-zA-Z0-9.:_/-]*@sha256:[0-9a-f]{64}$`)
)

func defaults() Config {
	return Config{
		Host: Host{
			Location: "fsn1", NetworkZone: "eu-central", Image: "debian-12", Generation: 1,
			PrivateNetwork: "10.77.0.0/16", PrivateSubnet: "10.77.1.0/24", PrivateAddress: "10.77.1.2",
			ReadyTimeoutSeconds: 600, RebootAt: "03:30", PruneAt: "04:30",
		},
		DNS:       DNS{TTL: 300},
		Turnstile: Turnstile{Enabled: true, Mode: "managed"},
		Postgres: Postgres{
			Mode: "container", MaxConnections: 120, MemoryMB: 1024, SharedBuffers: 256, MigrationLockSeconds: 5,
		},
		Redis:      Redis{MemoryMB: 256},
		Backend:    Backend{Replicas: 1, MemoryMB: 1024},
		Worker:     Worker{MemoryMB: 1024, LongestJobSeconds: 1800},
		Schedulers: Schedulers{MemoryMB: 1024},
		Frontend:   Frontend{Mode: "static", Replicas: 1, MemoryMB: 256},
		TLS:        TLS{Mode: "acme", ACMEDirectory: "https://acme-v02.api.letsencrypt.org/directory"},
		Edge:       Edge{RateLimits: true, MaxBodyMB: 10, MaxUploadMB: 540},
		App:        appsettings.Defaults(),
		Backup: Backup{
			Enabled: true, At: "01:30", CheckAt: "05:30", MaxAgeHours: 30, KeepDays: leastDays, Local: true,
			S3: BackupS3{Prefix: "restic"}, SFTP: BackupSFTP{Port: 22, Path: "momentstudio"},
		},
		Secrets: SecretGenerations{
			AppKey: 1, Tokens: 1, DatabaseLogin: 1, Superuser: 1,
			DeployKey: 1, HostKey: 1, BackupPassword: 1,
		},
	}
}

// derive fills the defaults that follow from other values.
func (c *Config) derive() {
	if len(c.Frontend.AllowedHosts) == 0 {
		c.Frontend.AllowedHosts = []string{c.Domain.Apex(), "127.0.0.1", "localhost"}
	}
	if len(c.Turnstile.Hostnames) == 0 && domainPattern.MatchString(c.Domain.Apex()) {
		c.Turnstile.Hostnames = c.Domain.Names()
	}
	if c.Edge.RateLimits {
		c.App.Limits.RaiseShared()
	}
	c.deriveDrill()
}

func (c *Config) validate(p *problems) {
	oneOf(p, "kind", string(c.Kind), string(Production), string(Staging), string(Sandbox), string(Drill))
	switch {
	case !domainPattern.MatchString(c.Domain.Apex()):
		p.set("domain", c.Domain.Apex(), "a lower-case domain without scheme or path", "momentstudio.ro")
	case strings.Contains(c.Domain.Apex(), "localhost"):
		p.set("domain", c.Domain.Apex(), "a domain without the word localhost, at which the app refuses to start",
			"momentstudio.ro")
	}
	c.validateImages(p)
	c.validateHost(p)
	c.validateCloudflare(p)
	c.validateServices(p)
	c.validateApp(p)
	c.validateTLS(p)
	c.validateBackup(p)
	c.validateDrill(p)
}

func (c *Config) validateImages(p *problems) {
	if !releasePattern.MatchString(c.Release.Name) {
		p.set("release.name", c.Release.Name, "the full 40-character commit of the release, in lower case", "<commit>")
	}
	refs := []struct{ path, value string }{
		{"release.backend", c.Release.Backend},
		{"release.frontend", c.Release.Frontend},
		{"images.ops", c.Images.Ops},
		{"images.edge", c.Images.Edge},
		{"images.redis", c.Images.Redis},
		{"images.postgres", c.Images.Postgres},
	}
	for i, r := range c.Release.CompatibleRevisions {
		if !revisionPattern.MatchString(r) {
			p.set(fmt.Sprintf("release.compatibleRevisions[%d]", i), r, "a schema revision as Alembic writes it",
				"0159_add_theme_docs")
		}
	}
	for _, r := range refs {
		if !referencePattern.MatchString(r.value) {
			p.set(r.path, r.value, "an image reference pinned by digest, name@sha256:<64 hex digits>",
				"'<name>@sha256:<digest>'")
		}
	}
	if c.Registry.Username != "" && !c.RegistryPassword.Set() {
		c.missingSecret(p, "registryPassword", "a password, because registry.username is set")
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
	required(p, "host.serverType", h.ServerType, "a Hetzner server type", "cx33")
	oneOf(p, "host.image", h.Image, "debian-12") // what the bootstrap and the host's programs are tested with
	between(p, "host.volumeSizeGB", h.VolumeSizeGB, 10, 10240)
	between(p, "host.generation", h.Generation, 1, 10000)
	between(p, "host.bootstrapKeyDropped", h.BootstrapKeyDropped, 0, h.Generation)
	between(p, "host.readyTimeoutSeconds", h.ReadyTimeoutSeconds, 30, 7200)
	if h.RebootAt != "" && !timePattern.MatchString(h.RebootAt) {
		p.set("host.rebootAt", h.RebootAt, "a time of day in UTC, or nothing for no reboots", "03:30")
	}
	if !timePattern.MatchString(h.PruneAt) {
		p.set("host.pruneAt", h.PruneAt, "a time of day in UTC", "04:30")
	}
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
		p.set("host.privateNetwork", h.PrivateNetwork, "a network inside 10.0.0.0/8 (Docker's own pools lie outside)",
			"10.77.0.0/16")
	case errSubnet != nil || !network.Contains(subnet.Addr()) || subnet.Bits() < network.Bits():
		p.set("host.privateSubnet", h.PrivateSubnet, "a network inside host.privateNetwork "+h.PrivateNetwork, "10.77.1.0/24")
	case errAddress != nil || !subnet.Contains(address) || address == subnet.Addr() || address == subnet.Addr().Next():
		p.set("host.privateAddress", h.PrivateAddress, "an address inside host.privateSubnet "+h.PrivateSubnet+
			", not its first two", "10.77.1.2")
	}
}

func (c *Config) validateCloudflare(p *problems) {
	if c.Kind != Drill {
		required(p, "dns.zoneId", c.DNS.ZoneID, "the Cloudflare zone's ID", "<zone id>")
	}
	c.validateZone(p)
	if !c.DNS.Proxied {
		between(p, "dns.ttlSeconds", c.DNS.TTL, 60, 86400)
	}
	c.validateTurnstile(p)
	e := c.Endpoints
	if e != (Endpoints{}) && c.Kind != Sandbox && c.Kind != Drill {
		p.add("endpoints", "a value", "nothing: only stacks of kind sandbox or drill replace the cloud APIs")
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

// validateZone refuses a zone that another public stack of this project has: whoever may write one stack's names could
// point the other's elsewhere.
func (c *Config) validateZone(p *problems) {
	if !c.Kind.Public() || c.DNS.ZoneID == "" {
		return
	}
	files, _ := filepath.Glob(filepath.Join(cmp.Or(p.src.Dir, "."), "Pulumi.*.yaml"))
	for _, file := range files {
		base := filepath.Base(file)
		if base == p.src.file() {
			continue
		}
		other, err := FromFile(file, strings.TrimSuffix(strings.TrimPrefix(base, "Pulumi."), ".yaml"))
		if err != nil {
			c.warn(p, base+" cannot be read, so its zone is not compared: "+err.Error())
			continue
		}
		var dns DNS
		_ = json.Unmarshal([]byte(other.Values[Namespace+":dns"]), &dns) // its own check tells what is wrong with it
		if dns.ZoneID == c.DNS.ZoneID && Kind(other.Values[Namespace+":kind"]).Public() {
			p.set("dns.zoneId", c.DNS.ZoneID, "a zone of this stack's own: "+base+" has this one, and whoever may write it "+
				"there could point these names elsewhere", "<zone id>")
		}
	}
}

func (c *Config) validateTurnstile(p *problems) {
	if !c.Turnstile.Enabled {
		return
	}
	required(p, "turnstile.accountId", c.Turnstile.AccountID, "the Cloudflare account's ID", "<account id>")
	oneOf(p, "turnstile.mode", c.Turnstile.Mode, "managed", "non-interactive", "invisible")
	for i, h := range c.Turnstile.Hostnames {
		if !domainPattern.MatchString(h) {
			p.set(fmt.Sprintf("turnstile.hostnames[%d]", i), h, "a host name", c.Domain.Apex())
		}
	}
	if domainPattern.MatchString(c.Domain.Apex()) && !slices.Contains(c.Turnstile.Hostnames, c.Domain.Apex()) {
		p.set(fmt.Sprintf("turnstile.hostnames[%d]", len(c.Turnstile.Hostnames)), nil,
			"the domain "+c.Domain.Apex()+", because without it in the list customers cannot log in", c.Domain.Apex())
	}
}

func (c *Config) validateServices(p *problems) {
	oneOf(p, "postgres.mode", c.Postgres.Mode, "container", "external")
	between(p, "postgres.maxConnections", c.Postgres.MaxConnections, 20, 1000)
	between(p, "postgres.memoryMB", c.Postgres.MemoryMB, 256, 262144)
	between(p, "postgres.sharedBuffersMB", c.Postgres.SharedBuffers, 16, max(16, c.Postgres.MemoryMB/2))
	between(p, "postgres.migrationLockSeconds", c.Postgres.MigrationLockSeconds, 1, 300)
	switch external := c.Postgres.Mode == "external"; {
	case external && !c.DatabaseURL.Set():
		c.missingSecret(p, "databaseUrl", "the URL of the database, because postgres.mode is external")
	case external && c.DatabaseURL.IsPlaceholder():
	case external && !strings.HasPrefix(c.DatabaseURL.Reveal(), "postgresql+asyncpg://"):
		p.add("databaseUrl", "[secret]", "a URL that begins with postgresql+asyncpg:// (the app has no other driver)")
	case external && strings.Contains(c.DatabaseURL.Reveal(), "%"):
		p.add("databaseUrl", "[secret]", "a URL without %, on which Alembic's configuration parser fails: choose a "+
			"password of letters and digits")
	case external && !usableDatabase(c.DatabaseURL.Reveal()):
		p.add("databaseUrl", "[secret]", "a URL with user, password, host and database on one line")
	case !external && c.DatabaseURL.Set():
		p.add("databaseUrl", "[secret]", "nothing, unless postgres.mode is external")
	}
	// An API process holds its pool and one connection more, the worker its pool (app-contract §8);
	// start-first doubles the API's share during a release; ten are reserved.
	pool := 5 + 10
	if n := c.App.Database.PoolSize; n != nil {
		pool += *n - 5
	}
	if n := c.App.Database.MaxOverflow; n != nil {
		pool += *n - 10
	}
	schedulers := appsettings.Schedulers(c.App)
	need := 2*c.Backend.Replicas*(pool+1) + pool + schedulers*SchedulerConnections + 10
	if c.Postgres.Mode == "container" && c.Postgres.MaxConnections < need {
		p.set("postgres.maxConnections", c.Postgres.MaxConnections,
			fmt.Sprintf("at least %d for backend.replicas %d, pools of %d connections and %d schedulers", need,
				c.Backend.Replicas, pool, schedulers), fmt.Sprint(need))
	}
	between(p, "redis.memoryMB", c.Redis.MemoryMB, 64, 65536)
	between(p, "backend.replicas", c.Backend.Replicas, 1, 50)
	between(p, "backend.memoryMB", c.Backend.MemoryMB, 256, 262144)
	between(p, "worker.memoryMB", c.Worker.MemoryMB, 256, 262144)
	between(p, "schedulers.memoryMB", c.Schedulers.MemoryMB, 256, 262144)
	between(p, "worker.longestJobSeconds", c.Worker.LongestJobSeconds, 120, 86400)
	oneOf(p, "frontend.mode", c.Frontend.Mode, "static", "ssr")
	between(p, "frontend.replicas", c.Frontend.Replicas, 1, 50)
	between(p, "frontend.memoryMB", c.Frontend.MemoryMB, 64, 65536)
	between(p, "edge.maxBodyMB", c.Edge.MaxBodyMB, 1, 100)
	between(p, "edge.maxUploadMB", c.Edge.MaxUploadMB, 1, 4096)
	if c.Frontend.Mode == "ssr" {
		for _, host := range []string{c.Domain.Apex(), "127.0.0.1"} {
			if !slices.Contains(c.Frontend.AllowedHosts, host) && !slices.Contains(c.Frontend.AllowedHosts, "*") {
				p.set(fmt.Sprintf("frontend.allowedHosts[%d]", len(c.Frontend.AllowedHosts)), nil,
					host+" in the list: the server sends unrendered pages or errors to other hosts, and 127.0.0.1 is its health check",
					host)
			}
		}
	}
	c.validateGenerations(p)
}

func (c *Config) validateGenerations(p *problems) {
	g := c.Secrets
	for _, s := range []struct {
		name  string
		value int
	}{
		{"appKey", g.AppKey},
		{"tokens", g.Tokens},
		{"databaseLogin", g.DatabaseLogin},
		{"superuser", g.Superuser},
		{"deployKey", g.DeployKey},
		{"hostKey", g.HostKey},
		{"backupPassword", g.BackupPassword},
	} {
		between(p, "secrets."+s.name, s.value, 1, 10000)
	}
	between(p, "secrets.hostKeyDropped", g.HostKeyDropped, 0, max(0, g.HostKey-1))
	if g.AppKey > 1 && g.AppKeyAcknowledged != g.AppKey {
		p.set("secrets.appKeyAcknowledged", g.AppKeyAcknowledged, fmt.Sprintf("%d, when you know the cost of "+
			"secrets.appKey %[1]d: everyone is logged out, "+
			"and every TOTP enrolment is lost (docs/guides/rotate-secrets.md)", g.AppKey), fmt.Sprint(g.AppKey))
	}
	if c.AppSecrets.SecretKey.Set() && g.AppKey > 1 {
		p.addFix("secretKey", "[secret]", "nothing, because secrets.appKey is above 1: a given key is used instead of the "+
			"generated one",
			fmt.Sprintf("pulumi config rm %s:secretKey --stack %s", Namespace, c.Stack))
	}
}

// usableDatabase reports whether the application's driver and ours both read the URL.
func usableDatabase(text string) bool {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.User == nil || len(strings.Trim(u.Path,
		"/")) == 0 || strings.ContainsAny(text, " \t\r\n") {
		return false
	}
	password, set := u.User.Password()
	return set && password != "" && u.User.Username() != ""
}

// validateApp checks the application's settings by the rules of its catalogue.
func (c *Config) validateApp(p *problems) {
	// A kind that is none is judged as the strictest.
	sandbox, staging := c.Kind == Sandbox || c.Kind == Drill, c.Kind == Staging
	found, warnings := appsettings.Check(&c.App, &c.AppSecrets, appsettings.Context{
		Production: !sandbox && !staging, Public: !sandbox, Domain: c.Domain, Widget: c.Turnstile.Enabled,
		MaxUploadMB: c.Edge.MaxUploadMB, ProxyHeaders: hostspec.ClientAddressHeaders(),
		Dir: p.src.Dir,
	})
	for _, f := range found {
		switch {
		case f.Secret && f.Got == nil:
			c.missingSecret(p, f.Key, f.Want)
		case f.Secret:
			p.addFix(f.Key, fmt.Sprint(f.Got), f.Want, fmt.Sprintf("pulumi config set --secret %s:%s --stack %s", Namespace,
				f.Key, c.Stack))
		case f.Remove:
			p.addFix(f.Key, fmt.Sprint(f.Got), f.Want, fmt.Sprintf("pulumi config rm --path '%s:%s' --stack %s", Namespace,
				f.Key, c.Stack))
		case f.Example == "":
			p.add(f.Key, fmt.Sprint(f.Got), f.Want)
		default:
			p.set(f.Key, f.Got, f.Want, f.Example)
		}
	}
	for _, w := range warnings {
		c.warn(p, w)
	}
}

// missingSecret reports a secret that a rule asks for.
func (c *Config) missingSecret(p *problems, key, want string) {
	c.missing = append(c.missing, key)
	p.addFix(key, "nothing", want, fmt.Sprintf("pulumi config set --secret %s:%s --stack %s", Namespace, key, c.Stack))
}

// isMailAddress reports whether a text is one address without a name.
func isMailAddress(text string) bool {
	a, err := mail.ParseAddress(text)
	return err == nil && a.Address == text
}

func (c *Config) validateTLS(p *problems) {
	oneOf(p, "tls.mode", c.TLS.Mode, "acme", "file", "internal")
	if c.TLS.Mode == "acme" {
		required(p, "tls.email", c.TLS.Email, "an address for the ACME account", "admin@"+c.Domain.Apex())
		// It is a word of the Caddyfile: a second line in it would be a directive.
		if c.TLS.Email != "" && (!isMailAddress(c.TLS.Email) || strings.ContainsAny(c.TLS.Email, "\"{}` ")) {
			p.set("tls.email", c.TLS.Email, "one mail address without spaces, quotes and braces", "admin@"+c.Domain.Apex())
		}
		if u, err := url.Parse(c.TLS.ACMEDirectory); err != nil || u.Scheme != "https" {
			p.set("tls.acmeDirectory", c.TLS.ACMEDirectory, "an https URL", "https://acme-v02.api.letsencrypt.org/directory")
		}
	}
	if c.TLS.Mode == "file" {
		for _, s := range []struct {
			key string
			val secret.Value
		}{{"tlsCertificate", c.TLSCertificate}, {"tlsKey", c.TLSKey}} {
			if !s.val.Set() {
				c.missingSecret(p, s.key, "a PEM text, because tls.mode is file (… < FILE reads it from there)")
			}
		}
	}
	if c.TLS.Mode == "file" {
		c.validateCertificate(p, time.Now())
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
