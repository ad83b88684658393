package config

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/prekzursil/momentstudio-infra/internal/secret"
)

// Backup says when the shop is backed up, where to, and how long backups are kept.
type Backup struct {
	Enabled bool `json:"enabled"` // default true
	// time of day in UTC; default "01:30", well before host.rebootAt
	At string `json:"at"`
	// time of day in UTC at which a sample is read back on Sundays, and everything on the first of the month; default
	// "05:30"
	CheckAt string `json:"checkAt"`
	// age of the newest verified backup that is reported as a failure; default 30
	MaxAgeHours int `json:"maxAgeHours"`
	// address that is told of failures by the shop's own mail server; app.smtp must be on; default none
	NotifyMail string `json:"notifyMail"`
	// every backup is kept as long; default 30; beside them the newest of each of the last 8 weeks and 12 months
	KeepDays int `json:"keepDays"`
	// you know that fewer than 30 days break the shop's own baseline; default false
	KeepDaysAcknowledged bool `json:"keepDaysAcknowledged"`
	// also keeps a copy on the data volume; default true: quick to restore, and gone with the volume
	Local bool `json:"local"`
	// why production has no backup elsewhere, in three words or more; it is refused without such a reason
	LocalOnlyReason string `json:"localOnlyReason"`
	// why failed backups of production send no notice, in three words or more; that is refused without such a reason
	NoNoticeReason string     `json:"noNoticeReason"`
	Rest           BackupRest `json:"rest"`
	S3             BackupS3   `json:"s3"`
	SFTP           BackupSFTP `json:"sftp"`
}

// BackupRest is a restic rest-server.
type BackupRest struct {
	// https, with the repository's path and without credentials, e.g. "https://backup.example:8000/momentstudio"
	URL      string `json:"url"`
	Username string `json:"username"` // backupRestPassword belongs to it
	CAPEM    string `json:"caPem"`    // certificate that the server's own is checked with; default: public roots
	// whether the host removes old snapshots there; default false: an append-only server refuses, and prunes with
	// credentials of its own
	Prune bool `json:"prune"`
}

// BackupS3 is a bucket of an S3-compatible store.
type BackupS3 struct {
	Endpoint string `json:"endpoint"` // https URL of the store, e.g. "https://fsn1.your-objectstorage.com"
	Bucket   string `json:"bucket"`   // required with endpoint
	Prefix   string `json:"prefix"`   // folder in the bucket; default "restic"
	Region   string `json:"region"`   // default: the store's own answer
	CAPEM    string `json:"caPem"`    // certificate that the store's own is checked with; default: public roots
	Prune    bool   `json:"prune"`    // as with rest; default false
}

// BackupSFTP is a directory on a server that speaks SFTP, a Hetzner Storage Box for example. Such a server lets the
// host delete what it may write: one of the others keeps backups from whoever breaks into the host.
type BackupSFTP struct {
	Host string `json:"host"` // name or address, e.g. "u123456.your-storagebox.de"
	Port int    `json:"port"` // default 22
	User string `json:"user"` // required with host; backupSftpKey logs in as it
	Path string `json:"path"` // directory, from the root or from the user's own; default "momentstudio"
	// the server's public key, "ssh-ed25519 AAAA…", as ssh-keyscan prints it; the only one that is accepted; required
	// with host
	HostKey string `json:"hostKey"`
	Prune   bool   `json:"prune"` // as with rest; default false
}

var (
	hostPattern     = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.:-]*[A-Za-z0-9])?$`)
	userPattern     = regexp.MustCompile(`^[A-Za-z0-9._-]+$`)
	sftpPathPattern = regexp.MustCompile(`^/?[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*$`)
	bucketPattern   = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)
	prefixPattern   = regexp.MustCompile(`^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*$`)
)

// leastDays is the shop's baseline for what it keeps (its docs/PRODUCTION.md).
const leastDays = 30

func (c *Config) validateBackup(p *problems) {
	b := c.Backup
	if !timePattern.MatchString(b.At) {
		p.set("backup.at", b.At, "a time of day in UTC", "02:30")
	}
	if !timePattern.MatchString(b.CheckAt) {
		p.set("backup.checkAt", b.CheckAt, "a time of day in UTC", "05:30")
	}
	between(p, "backup.maxAgeHours", b.MaxAgeHours, 2, 24*31)
	between(p, "backup.keepDays", b.KeepDays, 1, 3650)
	if b.KeepDays >= 1 && b.KeepDays < leastDays && !b.KeepDaysAcknowledged {
		p.set("backup.keepDays", b.KeepDays, "30 or more, or backup.keepDaysAcknowledged: originals in the trash are kept "+
			"for 30 days", "30")
	}
	c.validateRest(p)
	c.validateS3(p)
	c.validateSFTP(p)
	c.validateNotices(p)
	if !b.Enabled {
		if c.Kind == Production {
			p.set("backup.enabled", false, "true: nothing would back the shop up", "true")
		}
		return
	}
	switch {
	case b.offHost():
	case !b.Local:
		p.set("backup.local", false, "true, or a destination in backup.rest, backup.s3 or backup.sftp: without any there "+
			"is no backup", "true")
	case c.Kind != Production:
	case b.S3.Bucket != "" || b.Rest.Username != "" || b.SFTP.User != "": // what is missing there is told already
	case isReason(b.LocalOnlyReason):
		c.warn(p, "momentstudio:backup: the only backup lies on the disk that it is to save: "+b.LocalOnlyReason)
	default:
		p.set("backup.s3.endpoint", nil, "a destination in backup.s3, backup.rest or backup.sftp: the only backup would lie "+
			"on the disk that it is to save; or backup.localOnlyReason with your reason",
			"https://fsn1.your-objectstorage.com")
	}
	switch {
	case c.Kind != Production || b.NotifyMail != "" || c.BackupWebhook.Set() || c.BackupCheckIn.Set():
	case isReason(b.NoNoticeReason):
		c.warn(p, "momentstudio:backup: failed backups send no notice: "+b.NoNoticeReason)
	default:
		c.missingSecret(p, "backupWebhook", "an https URL that gets a notice of failed backups (or backup.notifyMail, or "+
			"backupCheckIn): nobody would know of them; or backup.noNoticeReason with your reason")
	}
}

// isReason reports whether a text is more than a word that gets a rule out of the way.
func isReason(text string) bool { return len(strings.Fields(text)) >= 3 }

func (c *Config) validateNotices(p *problems) {
	for key, value := range map[string]secret.Value{"backupWebhook": c.BackupWebhook, "backupCheckIn": c.BackupCheckIn} {
		if !value.Set() || value.IsPlaceholder() {
			continue
		}
		if u, err := url.Parse(value.Reveal()); err != nil || u.Scheme != "https" || u.Host == "" {
			p.addFix(key, "[secret]", "an https URL", "pulumi config set --secret "+Namespace+":"+key+" --stack "+c.Stack)
		}
	}
	if c.Backup.NotifyMail == "" {
		return
	}
	if !isMailAddress(c.Backup.NotifyMail) {
		p.set("backup.notifyMail", c.Backup.NotifyMail, "a mail address", "ops@"+c.Domain.Apex())
	}
	if !c.App.SMTP.Enabled {
		p.addFix("backup.notifyMail", fmt.Sprintf("%q", c.Backup.NotifyMail), "no address, or app.smtp.enabled: the mail "+
			"goes by the shop's own server",
			fmt.Sprintf("pulumi config set --path '%s:app.smtp.enabled' true --stack %s", Namespace, c.Stack))
	}
}

func (c *Config) validateRest(p *problems) {
	r := c.Backup.Rest
	if r.URL == "" {
		if r.Username != "" {
			p.set("backup.rest.url", nil, "the server's URL, because backup.rest.username is set",
				"https://backup.example:8000/momentstudio")
		}
		return
	}
	if u, err := url.Parse(r.URL); err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil ||
		u.RawQuery != "" || u.Fragment != "" {
		p.set("backup.rest.url", r.URL, "an https URL without credentials", "https://backup.example:8000/momentstudio")
	}
	required(p, "backup.rest.username", r.Username, "a user name, because backup.rest.url is set", "<user>")
	if !c.BackupRestPassword.Set() {
		c.missingSecret(p, "backupRestPassword", "the password of backup.rest.username")
	}
}

func (c *Config) validateS3(p *problems) {
	s := c.Backup.S3
	if s.Endpoint == "" {
		if s.Bucket != "" {
			p.set("backup.s3.endpoint", nil, "the store's URL, because backup.s3.bucket is set",
				"https://fsn1.your-objectstorage.com")
		}
		return
	}
	if u, err := url.Parse(s.Endpoint); err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil ||
		u.RawQuery != "" || u.Fragment != "" || (u.Path != "" && u.Path != "/") {
		p.set("backup.s3.endpoint", s.Endpoint, "an https URL without path and credentials",
			"https://fsn1.your-objectstorage.com")
	}
	if !bucketPattern.MatchString(s.Bucket) {
		p.set("backup.s3.bucket", s.Bucket, "a bucket's name: 3 to 63 lower-case letters, digits, dots and hyphens",
			"<bucket>")
	}
	if !prefixPattern.MatchString(s.Prefix) {
		p.set("backup.s3.prefix", s.Prefix, "a folder of letters, digits, - and _", "restic")
	}
	if !c.BackupS3AccessKey.Set() {
		c.missingSecret(p, "backupS3AccessKey", "the access key's ID for backup.s3")
	}
	if !c.BackupS3SecretKey.Set() {
		c.missingSecret(p, "backupS3SecretKey", "the secret of the access key for backup.s3")
	}
}

// offHost reports whether a destination lies elsewhere than on the data volume.
func (b Backup) offHost() bool { return b.Rest.URL != "" || b.S3.Endpoint != "" || b.SFTP.Host != "" }

func (c *Config) validateSFTP(p *problems) {
	s := c.Backup.SFTP
	if s.Host == "" {
		if s.User != "" || s.HostKey != "" {
			p.set("backup.sftp.host", nil, "the server's name, because other fields of backup.sftp are set",
				"u123456.your-storagebox.de")
		}
		return
	}
	if !hostPattern.MatchString(s.Host) {
		p.set("backup.sftp.host", s.Host, "a host name or an address, without user and port", "u123456.your-storagebox.de")
	}
	between(p, "backup.sftp.port", s.Port, 1, 65535)
	if !userPattern.MatchString(s.User) {
		p.set("backup.sftp.user", s.User, "the user's name there", "u123456")
	}
	if !sftpPathPattern.MatchString(s.Path) || strings.Contains("/"+s.Path+"/", "/../") {
		p.set("backup.sftp.path", s.Path, "a directory of letters, digits, dots, - and _", "momentstudio")
	}
	if _, _, _, rest, err := ssh.ParseAuthorizedKey([]byte(s.HostKey)); err != nil || len(rest) > 0 {
		p.set("backup.sftp.hostKey", s.HostKey, "the server's public key on one line, its type first; `ssh-keyscan -p "+
			"<port> <host>` prints it, compare it with what the provider publishes", "'ssh-ed25519 AAAA…'")
	}
	if k := c.BackupSFTPKey; !k.Set() {
		c.missingSecret(p, "backupSftpKey", "the private key (PEM) that logs in as backup.sftp.user (… < FILE reads it "+
			"from there)")
	} else if _, err := ssh.ParsePrivateKey([]byte(k.Reveal())); err != nil && !k.IsPlaceholder() {
		p.addFix("backupSftpKey", "[secret]", "a private key in PEM form, without a passphrase",
			fmt.Sprintf("pulumi config set --secret %s:backupSftpKey --stack %s < FILE", Namespace, c.Stack))
	}
}
