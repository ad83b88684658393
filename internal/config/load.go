package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/prekzursil/momentstudio-infra/internal/appsettings"
	"github.com/prekzursil/momentstudio-infra/internal/fault"
	"github.com/prekzursil/momentstudio-infra/internal/secret"
)

// Source is what the engine hands to the program.
type Source struct {
	Project    string
	Stack      string
	Dir        string            // the project's root, where key files lie; default: the working directory
	Values     map[string]string // "momentstudio:domain" -> value; objects as JSON
	SecretKeys []string          // keys that are encrypted in the stack file
	Encrypted  []string          // keys whose values FromFile could not read, for want of the passphrase
	DryRun     bool              // a preview; placeholders are accepted
}

// FromEnvironment reads the Source that the engine put into this process's environment. The SDK
// has no call that lists every key, and without the list a misspelt key would go unnoticed.
func FromEnvironment(project, stack string, dryRun bool) (Source, error) {
	src := Source{Project: project, Stack: stack, DryRun: dryRun, Values: map[string]string{}}
	if v := os.Getenv("PULUMI_CONFIG"); v != "" {
		if err := json.Unmarshal([]byte(v), &src.Values); err != nil {
			return src, errors.New("read stack config: the engine's PULUMI_CONFIG is not a JSON object of strings")
		}
	}
	if v := os.Getenv("PULUMI_CONFIG_SECRET_KEYS"); v != "" {
		if err := json.Unmarshal([]byte(v), &src.SecretKeys); err != nil {
			return src, errors.New("read stack config: the engine's PULUMI_CONFIG_SECRET_KEYS is not a JSON list")
		}
	}
	return src, nil
}

// file is the name under which users know this stack's values.
func (s Source) file() string { return "Pulumi." + s.Stack + ".yaml" }

// group is one key that decodes into a struct or a plain value.
type group struct {
	key  string
	dest any
}

func (c *Config) groups() []group {
	return []group{
		{"kind", &c.Kind},
		{"protect", &c.Protect},
		{"domain", &c.Domain},
		{"release", &c.Release},
		{"images", &c.Images},
		{"host", &c.Host},
		{"dns", &c.DNS},
		{"turnstile", &c.Turnstile},
		{"postgres", &c.Postgres},
		{"redis", &c.Redis},
		{"backend", &c.Backend},
		{"worker", &c.Worker},
		{"schedulers", &c.Schedulers},
		{"frontend", &c.Frontend},
		{"tls", &c.TLS},
		{"edge", &c.Edge},
		{"app", &c.App},
		{"backup", &c.Backup},
		{"secrets", &c.Secrets},
		{"registry", &c.Registry},
		{"endpoints", &c.Endpoints},
		{"drill", &c.Drill},
	}
}

type secretKey struct {
	key  string
	dest *secret.Value
}

// secretKeys lists every secret key, those of the stack first.
func (c *Config) secretKeys() []secretKey {
	keys := []secretKey{
		{"databaseUrl", &c.DatabaseURL},
		{"tlsCertificate", &c.TLSCertificate},
		{"tlsKey", &c.TLSKey},
		{"registryPassword", &c.RegistryPassword},
		{"backupRestPassword", &c.BackupRestPassword},
		{"backupS3AccessKey", &c.BackupS3AccessKey},
		{"backupS3SecretKey", &c.BackupS3SecretKey},
		{"backupSftpKey", &c.BackupSFTPKey},
		{"backupPassword", &c.BackupPassword},
		{"backupWebhook", &c.BackupWebhook},
		{"backupCheckIn", &c.BackupCheckIn},
	}
	app := appsettings.SecretKeys(&c.AppSecrets)
	for _, key := range slices.Sorted(maps.Keys(app)) {
		keys = append(keys, secretKey{key, app[key]})
	}
	return keys
}

// Keys lists every top-level key without its namespace, sorted; secret tells which are secrets.
func Keys() (keys []string, secret map[string]bool) {
	var c Config
	secret = map[string]bool{}
	for _, g := range c.groups() {
		keys = append(keys, g.key)
	}
	for _, s := range c.secretKeys() {
		keys = append(keys, s.key)
		secret[s.key] = true
	}
	slices.Sort(keys)
	return keys, secret
}

// Load decodes and validates src. The error lists every problem found.
func Load(src Source) (Config, error) {
	c := defaults()
	c.Stack = src.Stack
	p := &problems{src: src}

	known := map[string]bool{}
	_, protectGiven := src.Values[Namespace+":protect"]
	for _, g := range c.groups() {
		known[Namespace+":"+g.key] = true
		raw, given := src.Values[Namespace+":"+g.key]
		if !given {
			continue
		}
		if slices.Contains(src.SecretKeys, Namespace+":"+g.key) {
			p.add(g.key, "[secret]", "a plain value: groups hold no secrets, each secret has a key of its own")
			continue
		}
		p.decode(g.key, raw, g.dest)
	}
	legacy := map[string]secret.Value{}
	secrets := c.secretKeys()
	for _, name := range appsettings.LegacyKeys() {
		secrets = append(secrets, secretKey{name, new(secret.Value)})
	}
	for _, s := range secrets {
		key := Namespace + ":" + s.key
		known[key] = true
		value, given := src.Values[key]
		if !given {
			continue
		}
		if !slices.Contains(src.SecretKeys, key) {
			p.addFix(s.key, "[plain text]", "an encrypted value; treat the one in the file as leaked and change it",
				fmt.Sprintf("pulumi config set --secret %s --stack %s", key, src.Stack))
			continue
		}
		*s.dest = secret.New(value)
		if slices.Contains(appsettings.LegacyKeys(), s.key) {
			legacy[s.key] = *s.dest
		}
		if s.dest.IsPlaceholder() && !src.DryRun {
			p.addFix(s.key, "[placeholder]", "the real value: placeholders serve previews only",
				fmt.Sprintf("pulumi config set --secret %s --stack %s", key, src.Stack))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(src.Values)) {
		if strings.HasPrefix(key, Namespace+":") && !known[key] {
			name := strings.TrimPrefix(key, Namespace+":")
			p.addFix(name, "an unknown key", "one of the documented keys; the nearest is "+nearest(name),
				fmt.Sprintf("pulumi config rm %s --stack %s", key, src.Stack))
		}
	}
	if !protectGiven {
		c.Protect = c.Kind.Public()
	}
	for _, w := range appsettings.ApplyLegacy(&c.App, &c.AppSecrets, legacy) {
		c.warn(p, w)
	}
	c.derive()
	c.validate(p)
	return c, fault.List(src.file(), p.found...)
}

type problems struct {
	src        Source
	found      []error
	unreadable []string // paths whose value could not be decoded; the rules about them would only repeat that
}

func (p *problems) add(path, got, want string) { p.addFix(path, got, want, "") }

func (p *problems) addFix(path, got, want, fix string) {
	for _, u := range p.unreadable {
		if rest, ok := strings.CutPrefix(path, u); ok && (rest == "" || rest[0] == '.' || rest[0] == '[') {
			return
		}
	}
	p.found = append(p.found, &fault.FieldError{
		Path: p.src.file() + ": " + Namespace + ":" + path, Got: got, Want: want, Fix: fix,
	})
}

// set reports a bad value that one `pulumi config set` mends.
func (p *problems) set(path string, got any, want, example string) {
	var e *fault.FieldError
	if errors.As(fault.Field("", got, want), &e) {
		p.addFix(path, e.Got, want, fmt.Sprintf("pulumi config set --path '%s:%s' %s --stack %s", Namespace, path, example,
			p.src.Stack))
	}
}

// warn keeps a warning with the file that it is about.
func (c *Config) warn(p *problems, text string) {
	c.Warnings = append(c.Warnings, p.src.file()+": "+text)
}
