package stacks

import (
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/prekzursil/momentstudio-infra/components/secrets"
	"github.com/prekzursil/momentstudio-infra/internal/config"
	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
	"github.com/prekzursil/momentstudio-infra/internal/render"
)

// prune removes images of old releases from the host, but never a container: the engine's state knows
// those of the jobs.
func prune(c config.Config) render.Timer {
	return render.Timer{
		Name: "prune", Description: "Remove images of old releases", Image: c.Images.Ops,
		Calendar: "*-*-* " + c.Host.PruneAt + ":00", RandomDelay: 10 * time.Minute, Limit: 20 * time.Minute,
		Command: []string{"prune", "--contract", strconv.Itoa(hostspec.ContractVersion), "--keep", c.Images.Postgres},
		Mounts: []string{
			"type=bind,source=/var/run/docker.sock,target=/var/run/docker.sock",
			"type=bind,source=/run/lock,target=/run/lock",
			"type=bind,source=" + hostspec.ReleasesDir + ",target=" + hostspec.ReleasesDir + ",readonly",
		},
	}
}

// registryCredentials are those of hostops, which pulls images through Docker's API.
func registryCredentials(c config.Config) pulumi.StringOutput {
	return secretInput(c.RegistryPassword).ApplyT(func(password string) (string, error) {
		//nolint:gosec // it becomes a secret file
		text, err := json.Marshal(hostspec.RegistryAuth{
			Username: c.Registry.Username, Password: password,
			ServerAddress: c.Registry.Address,
		})
		return string(text), err
	}).(pulumi.StringOutput)
}

// backupTimers back the shop up every day, look every hour whether that worked, and read back what the
// destinations hold: a sample of it every Sunday, and all of it on the first of the month.
func backupTimers(c config.Config) []render.Timer {
	timer := func(name, description, calendar string, delay, limit time.Duration, command ...string) render.Timer {
		return render.Timer{
			Name: name, Description: description, Image: c.Images.Ops, Calendar: calendar, RandomDelay: delay, Limit: limit,
			Command: append(command, "--contract", strconv.Itoa(hostspec.ContractVersion)), Network: hostspec.AppNetwork,
			Notify: true,
			// Staged directories have the owners and modes of the live ones.
			Caps: []string{"CHOWN", "FOWNER"}, Mounts: everything(hostspec.SecretsDir),
		}
	}
	at := c.Backup.CheckAt + ":00"
	return []render.Timer{
		timer("backup", "Back the shop up, and read the backup back", "*-*-* "+c.Backup.At+":00", 15*time.Minute,
			12*time.Hour, "backup"),
		timer("backup-age", "See that the newest backup is not too old", "*-*-* *:20:00", 5*time.Minute, 5*time.Minute,
			"backup-age"),
		timer("backup-sample", "Read a sample of the backups back", "Sun *-*-* "+at, 15*time.Minute, 12*time.Hour,
			"backup-check"),
		timer("backup-check", "Read all backups back, and restore the newest database", "*-*-01 "+at, 15*time.Minute,
			24*time.Hour, "backup-check", "--whole"),
	}
}

// everything is what hostops needs of the host for backups, and with all of EtcDir for restores.
func everything(etc string) []string {
	return []string{
		"type=bind,source=/var/run/docker.sock,target=/var/run/docker.sock",
		"type=bind,source=/run/lock,target=/run/lock",
		"type=bind,source=" + etc + ",target=" + etc + ",readonly",
		"type=bind,source=" + hostspec.DataDir + ",target=" + hostspec.DataDir,
		"type=bind,source=/etc/ssl/certs,target=/etc/ssl/certs,readonly",
	}
}

// backupSpec is what the backup is told: a secret as a whole, because it holds credentials.
func backupSpec(c config.Config, s *secrets.Secrets) pulumi.StringOutput {
	passwords := []any{s.BackupPassword}
	drill := c.Kind == config.Drill
	if drill {
		passwords[0] = secretInput(c.BackupPassword)
	}
	for _, p := range s.OldBackupPasswords {
		passwords = append(passwords, p)
	}
	return pulumi.ToSecret(pulumi.All(passwords...).ApplyT(func(v []any) (string, error) {
		spec := hostspec.Backup{
			Stack: c.Stack, Release: c.Release.Name, ClientImage: c.Images.Postgres, Network: hostspec.AppNetwork,
			KeepDays: c.Backup.KeepDays,
			Images: map[string]string{
				"backend": c.Release.Backend, "frontend": c.Release.Frontend, "ops": c.Images.Ops, "postgres": c.Images.Postgres,
			},
			MaxAgeHours: c.Backup.MaxAgeHours, Notify: notify(c), Compatible: c.Release.CompatibleRevisions,
			Password: v[0].(string), Destinations: destinations(c),
			ReadOnly: drill,
		}
		for _, old := range v[1:] {
			spec.OldPasswords = append(spec.OldPasswords, old.(string))
		}
		text, err := json.MarshalIndent(spec, "", "  ") //nolint:gosec // it becomes a secret file
		return string(text), err
	})).(pulumi.StringOutput)
}

// destinationNames are for the eyes of whoever reviews a change: the destinations themselves are secret.
func destinationNames(c config.Config) string {
	var names []string
	if c.Backup.Enabled {
		for _, d := range destinations(c) {
			names = append(names, d.Name)
		}
	}
	return strings.Join(names, ",")
}

// destinations words the stack's destinations as restic does.
func destinations(c config.Config) []hostspec.Destination {
	var out []hostspec.Destination
	b := c.Backup
	if b.Local {
		out = append(out, hostspec.Destination{Name: "local", Repository: hostspec.LocalRepo, Prune: true})
	}
	if u, err := url.Parse(b.Rest.URL); err == nil && b.Rest.URL != "" {
		u.User = url.UserPassword(b.Rest.Username, c.BackupRestPassword.Reveal())
		out = append(out, hostspec.Destination{
			Name: "rest", Repository: "rest:" + u.String(), CACert: b.Rest.CAPEM,
			Prune: b.Rest.Prune,
		})
	}
	if b.S3.Endpoint != "" {
		env := map[string]string{
			"AWS_ACCESS_KEY_ID":     c.BackupS3AccessKey.Reveal(),
			"AWS_SECRET_ACCESS_KEY": c.BackupS3SecretKey.Reveal(),
		}
		if b.S3.Region != "" {
			env["AWS_DEFAULT_REGION"] = b.S3.Region
		}
		out = append(out, hostspec.Destination{
			Name: "s3", Repository: fmt.Sprintf("s3:%s/%s/%s", strings.TrimSuffix(b.S3.Endpoint, "/"), b.S3.Bucket,
				b.S3.Prefix), Env: env, CACert: b.S3.CAPEM, Prune: b.S3.Prune,
		})
	}
	if s := b.SFTP; s.Host != "" {
		out = append(out, hostspec.Destination{
			Name: "sftp", Repository: fmt.Sprintf("sftp:%s@%s:%s", s.User, s.Host, s.Path), Prune: s.Prune,
			SSH: &hostspec.SSH{
				Address: net.JoinHostPort(s.Host, strconv.Itoa(s.Port)), User: s.User, HostKey: s.HostKey,
				Key: c.BackupSFTPKey.Reveal(),
			},
		})
	}
	return out
}

// notify says who is told of failures. Mail goes by the shop's own server.
func notify(c config.Config) hostspec.Notify {
	n := hostspec.Notify{Webhook: c.BackupWebhook.Reveal(), CheckIn: c.BackupCheckIn.Reveal()}
	if c.Backup.NotifyMail != "" {
		smtp := c.App.SMTP
		n.Mail = hostspec.Mail{
			To: c.Backup.NotifyMail, From: smtp.From, Host: smtp.Host, Port: smtp.Port, TLS: smtp.TLS,
			Username: smtp.Username, Password: c.AppSecrets.SMTPPassword.Reveal(),
		}
	}
	return n
}
