package stacks

import (
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/prekzursil/momentstudio-infra/components/backup"
	"github.com/prekzursil/momentstudio-infra/internal/workload"
)

// backupPart describes the backups, and returns what the host needs for them.
func (s *stack) backupPart() (workload.HostPart, error) {
	c := s.config
	if !c.Backup.Enabled {
		return workload.HostPart{Facts: pulumi.StringArray{backup.Fact()}}, nil // no destination, for the review
	}
	args := backup.Args{
		Stack: c.Stack, Release: c.Release.Name, OpsImage: c.Images.Ops, ClientImage: c.Images.Postgres,
		Images: map[string]string{
			"backend": c.Release.Backend, "frontend": c.Release.Frontend, "ops": c.Images.Ops, "postgres": c.Images.Postgres,
		},
		CompatibleRevisions: c.Release.CompatibleRevisions, At: c.Backup.At, CheckAt: c.Backup.CheckAt,
		KeepDays: c.Backup.KeepDays, MaxAgeHours: c.Backup.MaxAgeHours,
		Password: s.secrets.BackupPassword, Destinations: s.destinations(), Notify: s.notify(),
		ReadOnly: !s.profile.backsUp,
	}
	if args.ReadOnly {
		args.Password = secretInput(c.BackupPassword) // of the stack that made the backups
	}
	for _, p := range s.secrets.OldBackupPasswords {
		args.OldPasswords = append(args.OldPasswords, p)
	}
	b, err := backup.New(s.ctx, "backup", args)
	if err != nil {
		return workload.HostPart{}, err
	}
	return b.Host, nil
}

func (s *stack) destinations() backup.Destinations {
	c, b := s.config, s.config.Backup
	d := backup.Destinations{Local: b.Local}
	if r := b.Rest; r.URL != "" {
		d.Rest = &backup.Rest{
			URL: r.URL, Username: r.Username, Password: secretInput(c.BackupRestPassword), CAPEM: r.CAPEM, Prune: r.Prune,
		}
	}
	if o := b.S3; o.Endpoint != "" {
		d.S3 = &backup.S3{
			Endpoint: o.Endpoint, Bucket: o.Bucket, Prefix: o.Prefix, Region: o.Region, CAPEM: o.CAPEM, Prune: o.Prune,
			AccessKey: secretInput(c.BackupS3AccessKey), SecretKey: secretInput(c.BackupS3SecretKey),
		}
	}
	if f := b.SFTP; f.Host != "" {
		d.SFTP = &backup.SFTP{
			Host: f.Host, Port: f.Port, User: f.User, Path: f.Path, HostKey: f.HostKey, Prune: f.Prune,
			Key: secretInput(c.BackupSFTPKey),
		}
	}
	return d
}

// notify says who is notified of failures. Mail goes by the shop's own server.
func (s *stack) notify() backup.Notify {
	c := s.config
	n := backup.Notify{Webhook: secretInput(c.BackupWebhook), CheckIn: secretInput(c.BackupCheckIn)}
	if c.Backup.NotifyMail != "" {
		smtp := c.App.SMTP
		n.Mail = &backup.Mail{
			To: c.Backup.NotifyMail, From: smtp.From, Host: smtp.Host, Port: smtp.Port, TLS: smtp.TLS,
			Username: smtp.Username, Password: secretInput(c.AppSecrets.SMTPPassword),
		}
	}
	return n
}
