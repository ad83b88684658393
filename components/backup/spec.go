package backup

import (
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/prekzursil/momentstudio-infra/internal/fault"
	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
)

// The names of the secrets among the credentials.
const (
	password     = "password"
	restPassword = "restPassword"
	s3AccessKey  = "s3AccessKey"
	s3SecretKey  = "s3SecretKey"
	sftpKey      = "sftpKey"
	webhook      = "webhook"
	checkIn      = "checkIn"
	mailPassword = "mailPassword"
)

// credentials are the secrets that the arguments give, by name.
func (a Args) credentials() pulumi.StringMap {
	given := pulumi.StringMap{}
	set := func(name string, value pulumi.StringInput) {
		if value != nil {
			given[name] = value
		}
	}
	set(password, a.Password)
	if r := a.Destinations.Rest; r != nil {
		set(restPassword, r.Password)
	}
	if s := a.Destinations.S3; s != nil {
		set(s3AccessKey, s.AccessKey)
		set(s3SecretKey, s.SecretKey)
	}
	if s := a.Destinations.SFTP; s != nil {
		set(sftpKey, s.Key)
	}
	set(webhook, a.Notify.Webhook)
	set(checkIn, a.Notify.CheckIn)
	if m := a.Notify.Mail; m != nil {
		set(mailPassword, m.Password)
	}
	return given
}

// spec is what hostops is told.
func (a Args) spec(secrets map[string]string, oldPasswords []string) hostspec.Backup {
	b := hostspec.Backup{
		Stack: a.Stack, Release: a.Release, Images: a.Images, ClientImage: a.ClientImage, Network: hostspec.AppNetwork,
		Compatible: a.CompatibleRevisions, KeepDays: a.KeepDays, Password: secrets[password], OldPasswords: oldPasswords,
		Destinations: a.Destinations.spec(secrets), MaxAgeHours: a.MaxAgeHours,
		Notify:   hostspec.Notify{Webhook: secrets[webhook], CheckIn: secrets[checkIn]},
		ReadOnly: a.ReadOnly,
	}
	if m := a.Notify.Mail; m != nil {
		b.Notify.Mail = hostspec.Mail{
			To: m.To, From: m.From, Host: m.Host, Port: m.Port, TLS: m.TLS, Username: m.Username,
			Password: secrets[mailPassword],
		}
	}
	return b
}

// spec writes the destinations as restic does.
func (d Destinations) spec(secrets map[string]string) []hostspec.Destination {
	var out []hostspec.Destination
	if d.Local {
		out = append(out, hostspec.Destination{Name: "local", Repository: hostspec.LocalRepo, Prune: true})
	}
	if r := d.Rest; r != nil {
		u, _ := url.Parse(r.URL) // validate has parsed it
		u.User = url.UserPassword(r.Username, secrets[restPassword])
		out = append(out, hostspec.Destination{
			Name: "rest", Repository: "rest:" + u.String(), CACert: r.CAPEM, Prune: r.Prune,
		})
	}
	if s := d.S3; s != nil {
		env := map[string]string{
			"AWS_ACCESS_KEY_ID": secrets[s3AccessKey], "AWS_SECRET_ACCESS_KEY": secrets[s3SecretKey],
		}
		if s.Region != "" {
			env["AWS_DEFAULT_REGION"] = s.Region
		}
		out = append(out, hostspec.Destination{
			Name: "s3", Repository: fmt.Sprintf("s3:%s/%s/%s", strings.TrimSuffix(s.Endpoint, "/"), s.Bucket, s.Prefix),
			Env: env, CACert: s.CAPEM, Prune: s.Prune,
		})
	}
	if s := d.SFTP; s != nil {
		out = append(out, hostspec.Destination{
			Name: "sftp", Repository: fmt.Sprintf("sftp:%s@%s:%s", s.User, s.Host, s.Path), Prune: s.Prune,
			SSH: &hostspec.SSH{
				Address: net.JoinHostPort(s.Host, strconv.Itoa(s.Port)), User: s.User, HostKey: s.HostKey,
				Key: secrets[sftpKey],
			},
		})
	}
	return out
}

// names are those of the destinations, in the order of hostspec.DestinationNames.
func (d Destinations) names() []string {
	var names []string
	for i, used := range []bool{d.Local, d.Rest != nil, d.S3 != nil, d.SFTP != nil} {
		if used {
			names = append(names, hostspec.DestinationNames[i])
		}
	}
	return names
}

// Fact names the destinations for the review of a change: the destinations themselves are secret.
func Fact(destinations ...string) pulumi.StringInput {
	return pulumi.String(hostspec.BackupFact + "=" + strings.Join(destinations, ","))
}

var timeOfDay = regexp.MustCompile(`^([01][0-9]|2[0-3]):[0-5][0-9]$`)

func (a Args) validate(name string) error {
	var bad []error
	need := func(ok bool, field string, got any, want string) {
		if !ok {
			bad = append(bad, fault.Field(field, got, want))
		}
	}
	need(a.Stack != "", "stack", a.Stack, "the stack's name")
	need(a.Release != "", "release", a.Release, "the release's name")
	need(a.OpsImage != "", "opsImage", nil, "an image reference with digest")
	need(a.ClientImage != "", "clientImage", nil, "an image reference with digest")
	need(a.ReadOnly || timeOfDay.MatchString(a.At), "at", a.At, `a time of day in UTC, "HH:MM"`)
	need(a.ReadOnly || timeOfDay.MatchString(a.CheckAt), "checkAt", a.CheckAt, `a time of day in UTC, "HH:MM"`)
	need(a.KeepDays >= 1, "keepDays", a.KeepDays, "1 or more")
	need(a.MaxAgeHours >= 1, "maxAgeHours", a.MaxAgeHours, "1 or more")
	need(a.Password != nil, "password", nil, "the password of the repositories")
	for i, p := range a.OldPasswords {
		need(p != nil, fmt.Sprintf("oldPasswords[%d]", i), nil, "an earlier password of the repositories")
	}
	if m := a.Notify.Mail; m != nil {
		need(m.To != "", "notify.mail.to", m.To, "a mail address")
		need(m.Host != "", "notify.mail.host", m.Host, "the mail server's name")
	}
	a.Destinations.validate(need)
	need(!a.ReadOnly || !a.Destinations.removes(), "readOnly", true,
		"false, or destinations off the host that are not pruned: a read-only stack removes nothing")
	return fault.List(fmt.Sprintf("backup %q", name), bad...)
}

func (d Destinations) validate(need func(ok bool, field string, got any, want string)) {
	need(len(d.names()) > 0, "destinations", nil, "at least one: without any there is no backup")
	if r := d.Rest; r != nil {
		u, err := url.Parse(r.URL)
		plain := err == nil && u.Scheme == "https" && u.Host != "" && u.User == nil
		need(plain, "destinations.rest.url", nil, "an https URL without credentials") // not shown: it may hold some
		need(r.Username != "", "destinations.rest.username", r.Username, "a user name")
		need(r.Password != nil, "destinations.rest.password", nil, "the user's password")
	}
	if s := d.S3; s != nil {
		need(s.Endpoint != "", "destinations.s3.endpoint", s.Endpoint, "the store's URL")
		need(s.Bucket != "", "destinations.s3.bucket", s.Bucket, "a bucket's name")
		need(s.Prefix != "", "destinations.s3.prefix", s.Prefix, "a folder in the bucket")
		need(s.AccessKey != nil, "destinations.s3.accessKey", nil, "the access key's ID")
		need(s.SecretKey != nil, "destinations.s3.secretKey", nil, "the access key's secret")
	}
	if s := d.SFTP; s != nil {
		need(s.Host != "", "destinations.sftp.host", s.Host, "the server's name")
		need(s.Port >= 1 && s.Port <= 65535, "destinations.sftp.port", s.Port, "a port from 1 to 65535")
		need(s.User != "", "destinations.sftp.user", s.User, "the user's name there")
		need(s.Path != "", "destinations.sftp.path", s.Path, "a directory")
		need(s.HostKey != "", "destinations.sftp.hostKey", s.HostKey, "the server's public key")
		need(s.Key != nil, "destinations.sftp.key", nil, "the private key that logs in")
	}
}

// removes reports whether old backups are removed from a destination by this host.
func (d Destinations) removes() bool {
	return d.Local || d.Rest != nil && d.Rest.Prune || d.S3 != nil && d.S3.Prune || d.SFTP != nil && d.SFTP.Prune
}
