package config_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prekzursil/momentstudio-infra/internal/config"
	"github.com/prekzursil/momentstudio-infra/internal/fault"
	"github.com/prekzursil/momentstudio-infra/internal/graphtest"
)

const canary = "canary-4f1b7c"

// edit is one change of a committed stack file.
type edit func(t *testing.T, s *config.Source)

// set writes a value at a path such as "host.sshFrom[0]", the way `pulumi config set --path` does.
func set(path string, value any) edit {
	return func(t *testing.T, s *config.Source) {
		t.Helper()
		steps := strings.FieldsFunc(path, func(r rune) bool { return r == '.' || r == '[' || r == ']' })
		key := config.Namespace + ":" + steps[0]
		if len(steps) == 1 {
			s.Values[key] = graphtest.Value(t, value)
			return
		}
		var root any = map[string]any{}
		if old, ok := s.Values[key]; ok {
			if err := json.Unmarshal([]byte(old), &root); err != nil {
				t.Fatal(err)
			}
		}
		s.Values[key] = graphtest.Value(t, put(root, steps[1:], value))
	}
}

func put(node any, steps []string, value any) any {
	if len(steps) == 0 {
		return value
	}
	if index, err := strconv.Atoi(steps[0]); err == nil {
		list, _ := node.([]any)
		for len(list) <= index {
			list = append(list, nil)
		}
		list[index] = put(list[index], steps[1:], value)
		return list
	}
	object, ok := node.(map[string]any)
	if !ok {
		object = map[string]any{}
	}
	object[steps[0]] = put(object[steps[0]], steps[1:], value)
	return object
}

// remove takes a top-level key away.
func remove(key string) edit {
	return func(_ *testing.T, s *config.Source) {
		delete(s.Values, config.Namespace+":"+key)
		s.SecretKeys = slices.DeleteFunc(s.SecretKeys, func(k string) bool { return k == config.Namespace+":"+key })
	}
}

// secretKey sets an encrypted key.
func secretKey(key, value string) edit {
	return func(_ *testing.T, s *config.Source) {
		s.Values[config.Namespace+":"+key] = value
		if !slices.Contains(s.SecretKeys, config.Namespace+":"+key) {
			s.SecretKeys = append(s.SecretKeys, config.Namespace+":"+key)
		}
	}
}

func source(t *testing.T, stack string, edits ...edit) config.Source {
	t.Helper()
	s := graphtest.StackFile(t, "../..", stack)
	for _, e := range edits {
		e(t, &s)
	}
	return s
}

func TestCommittedStackFilesAreValid(t *testing.T) {
	for stack, want := range map[string]struct {
		kind    config.Kind
		protect bool
		domain  string
	}{
		"prod":    {config.Production, true, "momentstudio.ro"},
		"staging": {config.Staging, true, "staging.momentstudio.ro"},
		"sandbox": {config.Sandbox, false, "momentstudio.test"},
	} {
		t.Run(stack, func(t *testing.T) {
			c, err := config.Load(source(t, stack))
			if err != nil {
				t.Fatal(err)
			}
			if c.Stack != stack || c.Kind != want.kind || c.Protect != want.protect || c.Domain.Apex() != want.domain {
				t.Errorf("got stack %q, kind %q, protect %v, domain %q; want %+v", c.Stack, c.Kind, c.Protect, c.Domain, want)
			}
			if got := c.Turnstile.Hostnames; !slices.Equal(got, []string{want.domain, "www." + want.domain}) {
				t.Errorf("Turnstile answers for %q, want apex and www", got)
			}
		})
	}
}

// sftp is a good destination with one field changed.
func sftp(field string, value any) map[string]any {
	m := map[string]any{
		"host": "u1.box.example", "user": "u1",
		"hostKey": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMfkLZmAU5FVsBmLeA5mVn06J0mTQbS9Y8cIvJKrCGxB",
	}
	m[field] = value
	return m
}

// long is too long for a name.
var long = strings.Repeat("a", 64)

// rules are mistakes, each with what is said about it.
var rules = []struct {
	name  string
	stack string // default "prod"
	edits []edit
	path  string // of the value that is reported
	got   string // the value as shown; "" for none
	want  string // part of what is accepted
	mends bool   // whether the command in "fix", run as it stands, mends it
}{
	{
		"a kind that no stack has", "",
		[]edit{set("kind", "prod")},
		"kind", `"prod"`, "one of production, staging, sandbox",
		true,
	},
	{"no kind at all", "", []edit{remove("kind")}, "kind", `""`, "one of production, staging, sandbox", true},
	{
		"a domain with a scheme", "",
		[]edit{set("domain", "https://momentstudio.ro")},
		"domain",
		`"https://momentstudio.ro"`, "without scheme", true,
	},
	{
		"a domain in capitals", "",
		[]edit{set("domain", "Momentstudio.ro")},
		"domain", `"Momentstudio.ro"`, "lower-case",
		true,
	},
	{"a domain whose label is too long", "", []edit{set("domain", long+".ro")}, "domain", long, "domain", true},
	{
		"a short commit", "",
		[]edit{set("release.name", "95a6edf")},
		"release.name", `"95a6edf"`, "40-character commit",
		false,
	},
	{
		"a backend image by tag", "",
		[]edit{set("release.backend", "ghcr.io/x/backend:v1")},
		"release.backend",
		`"ghcr.io/x/backend:v1"`, "pinned by digest", false,
	},
	{
		"a frontend image with a short digest", "",
		[]edit{set("release.frontend", "x@sha256:00")},
		"release.frontend",
		`"x@sha256:00"`, "pinned by digest", false,
	},
	{
		"an ops image by tag", "",
		[]edit{set("images.ops", "ops:latest")},
		"images.ops", `"ops:latest"`, "pinned by digest",
		false,
	},
	{"an edge image by tag", "", []edit{set("images.edge", "edge")}, "images.edge", `"edge"`, "pinned by digest", false},
	{
		"a Redis image by tag", "",
		[]edit{set("images.redis", "redis:7")},
		"images.redis", `"redis:7"`, "pinned by digest",
		false,
	},
	{
		"an external database without the image that backs it up", "",
		[]edit{
			set("postgres.mode", "external"), set("images.postgres", ""),
			secretKey("databaseUrl", "postgresql+asyncpg://u:p@db:5432/shop"),
		},
		"images.postgres", `""`, "pinned by digest",
		false,
	},
	{
		"a revision that is a sentence", "",
		[]edit{set("release.compatibleRevisions",
			[]string{"0160_orders", "0161 orders"})},
		"release.compatibleRevisions[1]", `"0161 orders"`, "as Alembic writes it",
		true,
	},
	{
		"a reboot at no time of day", "",
		[]edit{set("host.rebootAt", "3:30")},
		"host.rebootAt", `"3:30"`,
		"time of day in UTC", true,
	},
	{
		"images pruned at no time of day", "",
		[]edit{set("host.pruneAt", "24:00")},
		"host.pruneAt", `"24:00"`,
		"time of day in UTC", true,
	},
	{
		"a backup at no time of day", "",
		[]edit{set("backup.at", "at night")},
		"backup.at", `"at night"`,
		"time of day in UTC", true,
	},
	{
		"backups checked at no time of day", "",
		[]edit{set("backup.checkAt", "5:30")},
		"backup.checkAt", `"5:30"`,
		"time of day in UTC", true,
	},
	{
		"backups that may be an hour old", "",
		[]edit{set("backup.maxAgeHours", 1)},
		"backup.maxAgeHours", "1",
		"from 2 to 744", false,
	},
	{
		"a webhook without TLS", "",
		[]edit{secretKey("backupWebhook", "http://"+canary+".example")},
		"backupWebhook",
		"[secret]", "https URL", false,
	},
	{
		"a monitor that is no URL", "",
		[]edit{secretKey("backupCheckIn", canary)},
		"backupCheckIn", "[secret]", "https URL",
		false,
	},
	{"news of backups to nobody", "", []edit{set("app.smtp", map[string]any{
		"enabled": true, "host": "mx",
		"from": "a@b.ro",
	}), set("backup.notifyMail", "ops")}, "backup.notifyMail", `"ops"`, "mail address", true},
	{
		"news of backups without a mail server", "",
		[]edit{set("backup.notifyMail", "ops@b.ro")},
		"backup.notifyMail",
		`"ops@b.ro"`, "app.smtp.enabled", false,
	},
	{
		"backups kept for a week", "",
		[]edit{set("backup.keepDays", 7)},
		"backup.keepDays", "7", "keepDaysAcknowledged",
		true,
	},
	{"backups kept for no time", "", []edit{set("backup.keepDays", 0)}, "backup.keepDays", "0", "from 1 to 3650", false},
	{
		"no destination at all", "",
		[]edit{
			set("backup.local", false), set("backup.s3", map[string]any{}), set("backup.localOnlyReason", "a test of rules"),
		},
		"backup.local", "false",
		"without any there is no backup", true,
	},
	{
		"production with its only backup beside the data", "",
		[]edit{set("backup.s3", map[string]any{})},
		"backup.s3.endpoint", "nothing",
		"on the disk that it is to save; or backup.localOnlyReason with your reason", false,
	},
	{
		"a reason of one word", "",
		[]edit{set("backup.s3", map[string]any{}), set("backup.localOnlyReason", "later")},
		"backup.s3.endpoint", "nothing", "or backup.localOnlyReason", false,
	},
	{
		"production that nothing backs up", "",
		[]edit{set("backup.enabled", false)},
		"backup.enabled", "false", "nothing would back the shop up", true,
	},
	{
		"production that tells nobody", "",
		[]edit{remove("backupWebhook")},
		"backupWebhook", "nothing", "or backup.noNoticeReason with your reason", false,
	},
	{
		"a rest-server without TLS", "",
		[]edit{set("backup.rest", map[string]any{
			"url":      "http://b.example/x",
			"username": "u",
		}), secretKey("backupRestPassword", canary)},
		"backup.rest.url", `"http://b.example/x"`,
		"https URL without credentials", true,
	},
	{
		"a rest-server's password in its URL", "",
		[]edit{set("backup.rest",
			map[string]any{"url": "https://u:p@b.example/x", "username": "u"}), secretKey("backupRestPassword", canary)},
		"backup.rest.url", `"https://u:p@b.example/x"`, "https URL without credentials", true,
	},
	{"a rest-server without a user", "", []edit{
		set("backup.rest", map[string]any{"url": "https://b.example/x"}),
		secretKey("backupRestPassword", canary),
	}, "backup.rest.username", `""`, "because backup.rest.url is set", false},
	{
		"a rest-server without a password", "",
		[]edit{set("backup.rest",
			map[string]any{"url": "https://b.example/x", "username": "u"})},
		"backupRestPassword", "nothing",
		"password of backup.rest.username", false,
	},
	{
		"a rest-server's user without the server", "",
		[]edit{set("backup.rest", map[string]any{"username": "u"})},
		"backup.rest.url", "nothing", "because backup.rest.username is set", false,
	},
	{
		"a store with a path", "",
		[]edit{set("backup.s3", map[string]any{
			"endpoint": "https://s3.example/bucket",
			"bucket":   "abc",
		}), secretKey("backupS3AccessKey", canary), secretKey("backupS3SecretKey", canary)},
		"backup.s3.endpoint", `"https://s3.example/bucket"`, "without path", true,
	},
	{
		"a bucket of two letters", "",
		[]edit{set("backup.s3", map[string]any{
			"endpoint": "https://s3.example",
			"bucket":   "ab",
		}), secretKey("backupS3AccessKey", canary), secretKey("backupS3SecretKey", canary)},
		"backup.s3.bucket", `"ab"`, "a bucket's name", false,
	},
	{
		"a bucket without its store", "",
		[]edit{set("backup.s3", map[string]any{"bucket": "abc"})},
		"backup.s3.endpoint",
		"nothing", "because backup.s3.bucket is set", false,
	},
	{
		"a folder that climbs", "",
		[]edit{set("backup.s3", map[string]any{
			"endpoint": "https://s3.example", "bucket": "abc",
			"prefix": "../x",
		}), secretKey("backupS3AccessKey", canary), secretKey("backupS3SecretKey", canary)},
		"backup.s3.prefix", `"../x"`, "a folder of", true,
	},
	{
		"an SFTP server with its user", "",
		[]edit{
			set("backup.sftp", sftp("host", "u1@box.example")),
			secretKey("backupSftpKey", "placeholder-backupSftpKey"),
		},
		"backup.sftp.host", `"u1@box.example"`,
		"without user and port", false,
	},
	{"an SFTP server without a user", "", []edit{
		set("backup.sftp", sftp("user", "")),
		secretKey("backupSftpKey", "placeholder-backupSftpKey"),
	}, "backup.sftp.user", `""`, "user's name there", false},
	{
		"a directory that climbs", "",
		[]edit{
			set("backup.sftp", sftp("path", "a/../../b")),
			secretKey("backupSftpKey", "placeholder-backupSftpKey"),
		},
		"backup.sftp.path", `"a/../../b"`, "a directory of",
		false,
	},
	{"an SFTP server whose key is not pinned", "", []edit{
		set("backup.sftp", sftp("hostKey", "")),
		secretKey("backupSftpKey", "placeholder-backupSftpKey"),
	}, "backup.sftp.hostKey", `""`, "ssh-keyscan", false},
	{"a port of SFTP that is none", "", []edit{
		set("backup.sftp", sftp("port", 0)),
		secretKey("backupSftpKey", "placeholder-backupSftpKey"),
	}, "backup.sftp.port", "0", "from 1 to 65535", false},
	{
		"an SFTP server without a login key", "",
		[]edit{set("backup.sftp", sftp("port", 23))},
		"backupSftpKey", "nothing",
		"logs in as backup.sftp.user", false,
	},
	{
		"a login key that is none", "",
		[]edit{set("backup.sftp", sftp("port", 23)), secretKey("backupSftpKey", canary)},
		"backupSftpKey", "[secret]", "PEM form", false,
	},
	{
		"an SFTP user without a server", "",
		[]edit{set("backup.sftp", map[string]any{"user": "u1"})},
		"backup.sftp.host",
		"nothing", "other fields of backup.sftp are set", false,
	},
	{
		"a store without its access key", "",
		[]edit{remove("backupS3AccessKey")},
		"backupS3AccessKey", "nothing", "access key's ID", false,
	},
	{
		"a store without its secret key", "",
		[]edit{remove("backupS3SecretKey")},
		"backupS3SecretKey", "nothing", "secret of the access key", false,
	},
	{
		"a Postgres image by tag", "",
		[]edit{set("images.postgres", "postgres:16")},
		"images.postgres", `"postgres:16"`,
		"pinned by digest", false,
	},
	{"a registry's user without a password", "", []edit{
		set("registry.username", "u"),
		set("registry.address", "ghcr.io"),
	}, "registryPassword", "nothing", "registry.username is set", false},
	{"a registry's user without an address", "", []edit{
		set("registry.username", "u"),
		secretKey("registryPassword", canary),
	}, "registry.address", "nothing", "registry.username is set", true},
	{
		"a registry's address without a user", "",
		[]edit{set("registry.address", "ghcr.io")},
		"registry.username",
		"nothing", "registry.address is set", false,
	},

	{
		"a location that does not exist", "",
		[]edit{set("host.location", "fsn9")},
		"host.location", `"fsn9"`, "one of fsn1",
		true,
	},
	{"no server type", "", []edit{set("host.serverType", " ")}, "host.serverType", `" "`, "server type", true},
	{
		"an image that is not tested", "",
		[]edit{set("host.image", "ubuntu-24.04")},
		"host.image", `"ubuntu-24.04"`,
		"one of debian-12", true,
	},
	{
		"a volume below the cloud's least", "",
		[]edit{set("host.volumeSizeGB", 9)},
		"host.volumeSizeGB", "9",
		"from 10 to 10240", true,
	},
	{
		"a volume above the cloud's most", "",
		[]edit{set("host.volumeSizeGB", 10241)},
		"host.volumeSizeGB", "10241",
		"from 10 to 10240", true,
	},
	{"generation zero", "", []edit{set("host.generation", 0)}, "host.generation", "0", "from 1", true},
	{
		"a dropped bootstrap key of a later generation", "",
		[]edit{set("host.bootstrapKeyDropped", 2)},
		"host.bootstrapKeyDropped", "2", "from 0 to 1", true,
	},
	{
		"a limit of the gate that no boot meets", "",
		[]edit{set("host.readyTimeoutSeconds", 29)},
		"host.readyTimeoutSeconds", "29", "from 30 to 7200", true,
	},
	{
		"nobody may reach port 22", "",
		[]edit{set("host.sshFrom", []string{})},
		"host.sshFrom[0]", "nothing",
		"at least one CIDR", true,
	},
	{
		"an address that is no network", "",
		[]edit{set("host.sshFrom[0]", "203.0.113.7")},
		"host.sshFrom[0]",
		`"203.0.113.7"`, "CIDR form", true,
	},
	{
		"a network with host bits", "",
		[]edit{set("host.sshFrom[1]", "203.0.113.7/24")},
		"host.sshFrom[1]",
		`"203.0.113.7/24"`, "CIDR form", true,
	},
	{
		"port 22 open to the world", "",
		[]edit{set("host.sshFrom[0]", "0.0.0.0/0")},
		"host.sshFrom[0]", `"0.0.0.0/0"`,
		"never open to the world", true,
	},
	{
		"port 22 open to the world over IPv6", "staging",
		[]edit{set("host.sshFrom[0]", "::/0")},
		"host.sshFrom[0]",
		`"::/0"`, "never open to the world", true,
	},
	{
		"a private network that is Docker's", "",
		[]edit{set("host.privateNetwork", "172.16.0.0/12")},
		"host.privateNetwork",
		`"172.16.0.0/12"`, "inside 10.0.0.0/8", true,
	},
	{
		"a private network larger than the range", "",
		[]edit{set("host.privateNetwork", "10.0.0.0/7")},
		"host.privateNetwork", `"10.0.0.0/7"`, "inside 10.0.0.0/8", true,
	},
	{
		"a private network that is none", "",
		[]edit{set("host.privateNetwork", "10.77")},
		"host.privateNetwork", `"10.77"`,
		"inside 10.0.0.0/8", true,
	},
	{
		"a subnet outside the network", "",
		[]edit{set("host.privateSubnet", "10.78.1.0/24")},
		"host.privateSubnet",
		`"10.78.1.0/24"`, "inside host.privateNetwork 10.77.0.0/16", true,
	},
	{
		"a subnet larger than the network", "",
		[]edit{set("host.privateSubnet", "10.77.0.0/15")},
		"host.privateSubnet",
		`"10.77.0.0/15"`, "inside host.privateNetwork", true,
	},
	{
		"an address outside the subnet", "",
		[]edit{set("host.privateAddress", "10.77.2.2")},
		"host.privateAddress",
		`"10.77.2.2"`, "inside host.privateSubnet 10.77.1.0/24", true,
	},
	{
		"the provider's own gateway address", "",
		[]edit{set("host.privateAddress", "10.77.1.1")},
		"host.privateAddress",
		`"10.77.1.1"`, "not its first two", true,
	},

	{"no zone", "", []edit{set("dns.zoneId", "")}, "dns.zoneId", `""`, "zone's ID", true},
	{
		"a time to live that Cloudflare refuses", "",
		[]edit{set("dns.ttlSeconds", 59)},
		"dns.ttlSeconds", "59",
		"from 60 to 86400", true,
	},
	{"no account", "", []edit{set("turnstile.accountId", "")}, "turnstile.accountId", `""`, "account's ID", true},
	{
		"a widget mode of another product", "",
		[]edit{set("turnstile.mode", "checkbox")},
		"turnstile.mode", `"checkbox"`,
		"one of managed", true,
	},
	{"a widget's host name with a scheme", "", []edit{set("turnstile.hostnames",
		[]string{"momentstudio.ro", "https://x"})}, "turnstile.hostnames[1]", `"https://x"`, "a host name", true},
	{"a widget that does not answer for the domain", "", []edit{set("turnstile.hostnames",
		[]string{"www.momentstudio.ro"})}, "turnstile.hostnames[1]", "nothing", "momentstudio.ro", true},
	{
		"production that talks to another cloud API", "",
		[]edit{set("endpoints.hcloud", "http://127.0.0.1:8080/v1")},
		"endpoints", "a value", "only stacks of kind sandbox", false,
	},
	{
		"staging that talks to another cloud API", "staging",
		[]edit{set("endpoints.cloudflareHost", "127.0.0.1:8443")},
		"endpoints", "a value", "only stacks of kind sandbox", false,
	},
	{
		"a sandbox endpoint that is no URL", "sandbox",
		[]edit{set("endpoints.hcloud", "emulator")},
		"endpoints.hcloud",
		`"emulator"`, "a URL", true,
	},
	{
		"a poll interval without a unit", "sandbox",
		[]edit{set("endpoints.hcloudPollInterval", "100")},
		"endpoints.hcloudPollInterval", `"100"`, "a duration", true,
	},

	{
		"a database mode that does not exist", "",
		[]edit{set("postgres.mode", "managed")},
		"postgres.mode", `"managed"`,
		"one of container, external", true,
	},
	{
		"fewer connections than the replicas take", "",
		[]edit{set("postgres.maxConnections", 88)},
		"postgres.maxConnections", "88", "at least 109 for backend.replicas 2", true,
	},
	{
		"a database without memory", "",
		[]edit{set("postgres.memoryMB", 128), set("postgres.sharedBuffersMB", 64)},
		"postgres.memoryMB", "128", "from 256", false,
	},
	{
		"buffers larger than half of the memory", "",
		[]edit{set("postgres.sharedBuffersMB", 2049)},
		"postgres.sharedBuffersMB", "2049", "from 16 to 2048", true,
	},
	{
		"an external database without its URL", "",
		[]edit{set("postgres.mode", "external")},
		"databaseUrl", "nothing",
		"postgres.mode is external", false,
	},
	{
		"a URL for a driver that the app lacks", "",
		[]edit{
			set("postgres.mode", "external"),
			secretKey("databaseUrl", "postgresql://u:"+canary+"@db/x"),
		},
		"databaseUrl", "[secret]", "postgresql+asyncpg://",
		false,
	},
	{
		"a URL on which Alembic fails", "",
		[]edit{
			set("postgres.mode", "external"),
			secretKey("databaseUrl", "postgresql+asyncpg://u:"+canary+"%40@db/x"),
		},
		"databaseUrl", "[secret]", "without %",
		false,
	},
	{
		"a URL that nothing would use", "",
		[]edit{secretKey("databaseUrl", "postgresql+asyncpg://u:"+canary+"@db/x")},
		"databaseUrl", "[secret]", "unless postgres.mode is external", false,
	},
	{"Redis without memory", "", []edit{set("redis.memoryMB", 63)}, "redis.memoryMB", "63", "from 64", true},
	{"no backend", "", []edit{set("backend.replicas", 0)}, "backend.replicas", "0", "from 1 to 50", true},
	{"a backend without memory", "", []edit{set("backend.memoryMB", 255)}, "backend.memoryMB", "255", "from 256", true},
	{"a worker without memory", "", []edit{set("worker.memoryMB", 1)}, "worker.memoryMB", "1", "from 256", true},
	{
		"a worker that counts as dead in the middle of a job", "",
		[]edit{set("worker.longestJobSeconds", 119)},
		"worker.longestJobSeconds", "119", "from 120", true,
	},
	{
		"a frontend mode that does not exist", "",
		[]edit{set("frontend.mode", "csr")},
		"frontend.mode", `"csr"`,
		"one of static, ssr", true,
	},
	{"no frontend", "", []edit{set("frontend.replicas", 0)}, "frontend.replicas", "0", "from 1 to 50", true},
	{"a frontend without memory", "", []edit{set("frontend.memoryMB", 63)}, "frontend.memoryMB", "63", "from 64", true},
	{"no request body at all", "", []edit{set("edge.maxBodyMB", 0)}, "edge.maxBodyMB", "0", "from 1 to 100", false},
	{
		"a secret's generation that goes back to nothing", "",
		[]edit{set("secrets.appKey", 0)},
		"secrets.appKey", "0",
		"from 1", true,
	},
	{"so for the deploy key", "", []edit{set("secrets.deployKey", 0)}, "secrets.deployKey", "0", "from 1", true},
	{
		"the newest host key dropped", "",
		[]edit{set("secrets.hostKey", 2), set("secrets.hostKeyDropped", 2)},
		"secrets.hostKeyDropped", "2", "from 0 to 1", true,
	},
	{"so for the superuser", "", []edit{set("secrets.superuser", 0)}, "secrets.superuser", "0", "from 1", true},
	{
		"so for the last of them", "",
		[]edit{set("secrets.backupPassword", -1)},
		"secrets.backupPassword", "-1", "from 1",
		true,
	},

	{
		"production that skips the app's own checks", "",
		[]edit{set("app.environment", "staging")},
		"app.environment",
		`"staging"`, "skips the app's own start-up checks", true,
	},
	{"no Sentry", "", []edit{remove("sentryDsn")}, "sentryDsn", "nothing", "refuses to start", false},
	{
		"mail without a server", "",
		[]edit{set("app.smtp", map[string]any{"enabled": true, "from": "a@b.ro"})},
		"app.smtp.host", "nothing", "mail server", true,
	},
	{
		"mail without a sender", "",
		[]edit{set("app.smtp", map[string]any{"enabled": true, "host": "mx"})},
		"app.smtp.from",
		"nothing", "sender", true,
	},
	{"mail over implicit TLS", "", []edit{set("app.smtp", map[string]any{
		"enabled": true, "host": "mx", "from": "a@b.ro",
		"port": 465,
	})}, "app.smtp.port", "465", "STARTTLS", true},
	{"a mail user without a password", "", []edit{set("app.smtp",
		map[string]any{
			"enabled": true, "host": "mx", "from": "a@b.ro",
			"username": "u",
		})}, "smtpPassword", "nothing", "app.smtp.username is set", false},
	{
		"a setting in small letters", "",
		[]edit{set("app.extra", map[string]string{"log_json": "1"})},
		"app.extra.log_json",
		"a name", "in capitals", false,
	},
	{
		"an empty setting", "",
		[]edit{set("app.extra", map[string]string{"NEW_NUMBER": ""})},
		"app.extra.NEW_NUMBER", `""`,
		"aborts on empty", false,
	},
	{
		"migrations by every container", "",
		[]edit{set("app.extra", map[string]string{"RUN_DB_MIGRATIONS": "1"})},
		"app.extra.RUN_DB_MIGRATIONS", "a value", "this program sets it", false,
	},
	{
		"a secret among the plain settings", "",
		[]edit{set("app.extra", map[string]string{"SECRET_KEY": canary})},
		"app.extra.SECRET_KEY", "a value", "a key of its own, secretKey", false,
	},

	{
		"a certificate source that does not exist", "",
		[]edit{set("tls.mode", "self")},
		"tls.mode", `"self"`,
		"one of acme, file, internal", true,
	},
	{
		"a directive in an address", "",
		[]edit{set("tls.email", "a@shop.example\n\tadmin :2019")},
		"tls.email", `"a@shop.example\n\tadmin :2019"`, "one mail address", true,
	},
	{
		"a block in an address", "",
		[]edit{set("tls.email", `a{env.HOME}@shop.example`)},
		"tls.email", `"a{env.HOME}@shop.example"`, "one mail address", true,
	},
	{"ACME without an account", "", []edit{set("tls.email", "")}, "tls.email", `""`, "ACME account", true},
	{
		"ACME in clear", "",
		[]edit{set("tls.acmeDirectory", "http://127.0.0.1/dir")},
		"tls.acmeDirectory",
		`"http://127.0.0.1/dir"`, "an https URL", true,
	},
	{
		"a certificate file without its key", "",
		[]edit{set("tls.mode", "file"), secretKey("tlsCertificate", canary)},
		"tlsKey", "nothing", "tls.mode is file", false,
	},
	{
		"a key without its certificate", "",
		[]edit{set("tls.mode", "file"), secretKey("tlsKey", canary)},
		"tlsCertificate",
		"nothing", "tls.mode is file", false,
	},
	{
		"a certificate that no browser trusts", "staging",
		[]edit{set("tls.mode", "internal")},
		"tls.mode", `"internal"`,
		"browsers do not trust", true,
	},

	{
		"a text where a number belongs", "",
		[]edit{set("host.volumeSizeGB", "big")},
		"host.volumeSizeGB", "a text",
		"a whole number", false,
	},
	{
		"a number with a fraction", "",
		[]edit{set("host.volumeSizeGB", 10.5)},
		"host.volumeSizeGB",
		"a number with a fraction", "a whole number", false,
	},
	{
		"a text where a switch belongs", "",
		[]edit{set("dns.proxied", "maybe")},
		"dns.proxied", "a text", "true or false",
		false,
	},
	{"a list where a text belongs", "", []edit{set("tls.email", []string{"a"})}, "tls.email", "a list", "a text", false},
	{
		"a protection that is neither on nor off", "",
		[]edit{set("protect", "maybe")},
		"protect", "something unreadable",
		"true or false", false,
	},
	{"a text where an object belongs", "", []edit{set("host", `"fsn1"`)}, "host", "a text", "an object", false},
	{
		"broken JSON", "",
		[]edit{set("host", `{"location":`)},
		"host", "something unreadable", "docs/reference/config.md",
		false,
	},
	{
		"two values in one", "",
		[]edit{set("redis", `{"memoryMB":256} {}`)},
		"redis", "something unreadable", "an object",
		false,
	},
	{
		"a misspelt key", "",
		[]edit{set("domian", "momentstudio.ro")},
		"domian", "an unknown key", "the nearest is domain",
		false,
	},
	{
		"a misspelt key inside a group", "",
		[]edit{set("host.locaton", "fsn1")},
		"host.locaton", "an unknown key",
		"the nearest is location", false,
	},
	{
		"a misspelt key two levels deep", "",
		[]edit{set("app.smtp.hots", "mx")},
		"app.smtp.hots", "an unknown key",
		"the nearest is host", false,
	},
	{
		"a group given as a secret", "",
		[]edit{secretKey("registry", `{"username":"`+canary+`"}`)},
		"registry", "[secret]",
		"groups hold no secrets", false,
	},
	{
		"a secret given in plain", "",
		[]edit{set("smtpPassword", canary)},
		"smtpPassword", "[plain text]",
		"treat the one in the file as leaked", false,
	},
}

func TestRules(t *testing.T) {
	for _, c := range rules {
		t.Run(c.name, func(t *testing.T) {
			if c.stack == "" {
				c.stack = "prod"
			}
			_, err := config.Load(source(t, c.stack, c.edits...))
			if err == nil {
				t.Fatalf("it was accepted, want an error at %s", c.path)
			}
			if strings.Contains(err.Error(), canary) {
				t.Errorf("the error shows a secret: %v", err)
			}
			file := "Pulumi." + c.stack + ".yaml"
			if !strings.HasPrefix(err.Error(), file+" is not valid:\n") {
				t.Errorf("the error does not begin with the file: %v", err)
			}
			reported := field(err, file+": momentstudio:"+c.path)
			if reported == nil {
				t.Fatalf("nothing is reported at %s; got: %v", c.path, err)
			}
			if c.got != reported.Got && (c.got != long || !strings.Contains(reported.Got, long)) {
				t.Errorf("shows %s, want %s", reported.Got, c.got)
			}
			if !strings.Contains(reported.Want, c.want) {
				t.Errorf("asks for %q, want %q in it", reported.Want, c.want)
			}
			if n := len(fault.Problems(err)); n != 1 {
				t.Errorf("one mistake is reported as %d: %v", n, err)
			}
			if c.mends {
				mend(t, c.stack, c.edits, reported)
			}
			if text := err.Error(); !strings.Contains(text, "want ") && !strings.Contains(text, "fix: ") {
				t.Errorf("it does not say what to do: %s", text)
			}
			if strings.Contains(err.Error(), canary) {
				t.Errorf("it shows a secret: %v", err)
			}
		})
	}
}

func field(err error, path string) *fault.FieldError {
	for _, p := range fault.Problems(err) {
		var f *fault.FieldError
		if errors.As(p, &f) && f.Path == path {
			return f
		}
	}
	return nil
}

var setCommand = regexp.MustCompile(`^pulumi config set --path 'momentstudio:([^']+)' (\S+|<[^>]+>) --stack (\S+)$`)

// mend does what the error's fix says and loads again.
func mend(t *testing.T, stack string, edits []edit, f *fault.FieldError) {
	t.Helper()
	m := setCommand.FindStringSubmatch(f.Fix)
	if m == nil || m[3] != stack {
		t.Fatalf("the fix %q is not a command for stack %s", f.Fix, stack)
	}
	var value any = m[2]
	if b, err := strconv.ParseBool(m[2]); err == nil && len(m[2]) > 1 {
		value = b // the CLI stores true and false as such
	} else if n, err := strconv.Atoi(m[2]); err == nil {
		value = n
	}
	if _, err := config.Load(source(t, stack, append(slices.Clone(edits), set(m[1], value))...)); err != nil {
		t.Errorf("after the fix %q: %v", f.Fix, err)
	}
}

func TestTenFaultsAreReportedAsTen(t *testing.T) {
	_, err := config.Load(source(t, "prod", set("domain", "x"), set("host.volumeSizeGB", 5), set("host.locaton", "x"),
		set("app.smtp.prot", 25), set("app.smtp.tls", "yes"), set("app.sentry.tracesSampleRate", 2), set("tls.mode",
			"internal"),
		set("nonsense", "1"), remove("sentryDsn"), set("smtpPassword", canary)))
	if err == nil {
		t.Fatal("ten mistakes were accepted")
	}
	paths := []string{
		"domain", "host.volumeSizeGB", "host.locaton", "app.smtp.prot", "app.smtp.tls", "app.sentry.tracesSampleRate",
		"tls.mode", "nonsense", "sentryDsn", "smtpPassword",
	}
	for _, path := range paths {
		if field(err, "Pulumi.prod.yaml: momentstudio:"+path) == nil {
			t.Errorf("%s is not reported", path)
		}
	}
	if n := len(fault.Problems(err)); n != len(paths) {
		t.Errorf("%d problems are reported, want %d: %v", n, len(paths), err)
	}
	if strings.Contains(err.Error(), canary) {
		t.Errorf("the error shows a secret: %v", err)
	}
}

func TestWhatIsValidToo(t *testing.T) {
	chain, key := certificate(t, time.Hour, "momentstudio.ro", "www.momentstudio.ro")
	for name, c := range map[string]struct {
		stack string
		edits []edit
	}{
		"an external database": {"prod", []edit{
			set("postgres.mode", "external"),
			secretKey("databaseUrl", "postgresql+asyncpg://u:p@db:5432/shop"),
		}},
		"certificates from files need no ACME account": {"prod", []edit{
			set("tls.mode", "file"), set("tls.email", ""),
			secretKey("tlsCertificate", chain), secretKey("tlsKey", key),
		}},
		"a sandbox may have its own certificates": {"sandbox", []edit{set("tls.mode", "internal")}},
		"backups kept for a week, knowingly": {"prod", []edit{
			set("backup.keepDays", 7),
			set("backup.keepDaysAcknowledged", true),
		}},
		"no backups":                          {"sandbox", []edit{set("backup.enabled", false)}},
		"a host that never reboots by itself": {"prod", []edit{set("host.rebootAt", "")}},
		"a release that works with newer schemas": {"prod", []edit{set("release.compatibleRevisions",
			[]string{"0160_orders", "a1b2c3d4e5f6"})}},
		"a sandbox may open port 22":                 {"sandbox", []edit{set("host.sshFrom[0]", "0.0.0.0/0")}},
		"a proxied record has no time to live":       {"prod", []edit{set("dns.proxied", true), set("dns.ttlSeconds", 1)}},
		"mail settings do not count while it is off": {"prod", []edit{set("app.smtp.port", 465)}},
		"a private registry with all three parts": {"prod", []edit{
			set("registry.address", "ghcr.io"),
			set("registry.username", "u"), secretKey("registryPassword", "p"),
		}},
		"a further plain setting": {"prod", []edit{set("app.extra", map[string]string{"NEW_SWITCH": "1"})}},
		"other namespaces are not ours to judge": {"prod", []edit{func(_ *testing.T,
			s *config.Source,
		) {
			s.Values["hcloud:anything"] = "1"
		}}},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := config.Load(source(t, c.stack, c.edits...)); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestPlaceholdersServePreviewsOnly(t *testing.T) {
	s := source(t, "prod")
	if _, err := config.Load(s); err != nil {
		t.Fatalf("a preview refuses a placeholder: %v", err)
	}
	s.DryRun = false
	_, err := config.Load(s)
	if err == nil {
		t.Fatal("an update accepts a placeholder")
	}
	f := field(err, "Pulumi.prod.yaml: momentstudio:sentryDsn")
	if f == nil || f.Got != "[placeholder]" || f.Fix != "pulumi config set --secret momentstudio:sentryDsn --stack prod" {
		t.Errorf("got %v, want the key, that it is a placeholder, and the command", err)
	}
	for key, value := range map[string]string{
		"sentryDsn":           "https://k@sentry.example/1",
		"stripeSecretKeyLive": "sk_live_x", "stripeWebhookSecretLive": "whsec_x",
		"backupS3AccessKey": "id", "backupS3SecretKey": "key", "backupWebhook": "https://told.example/x",
	} {
		secretKey(key, value)(t, &s)
	}
	if _, err := config.Load(s); err != nil {
		t.Errorf("an update refuses a real value: %v", err)
	}
}

func TestProtectionFollowsTheKindUnlessTheFileSaysOtherwise(t *testing.T) {
	for _, c := range []struct {
		name, kind string
		given      any
		want       bool
	}{
		{"production is locked", "production", nil, true},
		{"staging is locked", "staging", nil, true},
		{"the sandbox is not", "sandbox", nil, false},
		{"an explicit false wins", "production", false, false},
		{"so does an explicit true", "sandbox", true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			edits := []edit{set("kind", c.kind), remove("protect"), set("backup.noNoticeReason", "a test of rules")}
			if c.given != nil {
				edits = append(edits, set("protect", c.given))
			}
			got, err := config.Load(source(t, "staging", edits...))
			if err != nil {
				t.Fatal(err)
			}
			if got.Protect != c.want {
				t.Errorf("protect is %v, want %v", got.Protect, c.want)
			}
		})
	}
}

func TestDefaultsOfWhatTheFileLeavesOut(t *testing.T) {
	c, err := config.Load(source(t, "prod", remove("backend"), remove("frontend"), set("postgres", map[string]any{})))
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprintln(c.Backend.Replicas, c.Frontend.Mode, c.Postgres.Mode, c.Secrets.DatabaseLogin,
		c.Worker.LongestJobSeconds,
		c.Edge.RateLimits, c.Edge.MaxBodyMB, c.Edge.MaxUploadMB, c.Host.Image, c.Host.ReadyTimeout(), c.App.Environment,
		c.Secrets.HostKey)
	if want := "1 static container 1 1800 true 10 540 debian-12 10m0s production 1\n"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if off, err := config.Load(source(t, "prod", set("edge.rateLimits", false))); err != nil || off.Edge.RateLimits {
		t.Errorf("an explicit false does not win over the default (%v)", err)
	}
}

func TestSecretsAreNeverPrinted(t *testing.T) {
	// Every secret key holds the canary, and enough is wrong that each rule about secrets speaks.
	keys, isSecret := config.Keys()
	planted := 0
	for _, dryRun := range []bool{true, false} {
		for _, plain := range []bool{true, false} {
			s := source(t, "prod", set("postgres.mode", "external"), set("tls.mode", "file"), set("domain", "x"))
			s.DryRun = dryRun
			for _, k := range keys {
				if !isSecret[k] {
					continue
				}
				planted++
				if plain {
					set(k, canary+"%")(t, &s)
					s.SecretKeys = nil
				} else {
					secretKey(k, canary+"%")(t, &s)
				}
			}
			c, err := config.Load(s)
			if err == nil {
				t.Fatal("a broken configuration was accepted")
			}
			for _, text := range []string{err.Error(), fmt.Sprintf("%v %+v %#v %s", c, c, c, c.AppSecrets.SentryDSN)} {
				if strings.Contains(text, canary) {
					t.Errorf("a secret is shown: %s", text)
				}
			}
			if !plain && c.AppSecrets.SentryDSN.Reveal() != canary+"%" {
				t.Error("the canary was not planted")
			}
		}
	}
	if planted < 4*22 {
		t.Errorf("planted %d secrets, want all twenty-two, four times", planted)
	}
}

func TestEngineEnvironmentIsReadAndItsDamageNotEchoed(t *testing.T) {
	t.Setenv("PULUMI_CONFIG", `{"momentstudio:domain":"momentstudio.ro"}`)
	t.Setenv("PULUMI_CONFIG_SECRET_KEYS", `["momentstudio:sentryDsn"]`)
	s, err := config.FromEnvironment("momentstudio", "prod", true)
	if err != nil || s.Values["momentstudio:domain"] != "momentstudio.ro" || !slices.Equal(s.SecretKeys,
		[]string{"momentstudio:sentryDsn"}) {
		t.Errorf("got %+v, %v", s, err)
	}
	for _, name := range []string{"PULUMI_CONFIG", "PULUMI_CONFIG_SECRET_KEYS"} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(name, `"`+canary)
			_, err := config.FromEnvironment("momentstudio", "prod", true)
			if err == nil || !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), canary) {
				t.Errorf("got %v, want an error that names %s and shows nothing of it", err, name)
			}
		})
	}
}
