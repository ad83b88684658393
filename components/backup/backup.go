// Package backup decides when the shop is backed up, where to, with which secrets, and who is notified. It declares no
// resource of a provider: its part of the host's configuration is a value that components/hostapply applies.
package backup

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
	"github.com/prekzursil/momentstudio-infra/internal/render"
	"github.com/prekzursil/momentstudio-infra/internal/workload"
)

// TypeToken is part of the component's URN: changing it needs an alias.
const TypeToken = "momentstudio:backup:Backup"

// Args describes the backups. Every change is made in place: the job that configures the host runs again, and no
// service restarts.
type Args struct {
	Stack               string            // written into every backup; required
	Release             string            // written into every backup; required
	Images              map[string]string // references by part, written into every backup
	OpsImage            string            // reference with digest; runs the timers; required
	ClientImage         string            // image with pg_dump and pg_restore, reference with digest; required
	CompatibleRevisions []string          // schema revisions newer than the release's that it works with; default none

	At      string // time of day in UTC, "HH:MM"; a backup starts up to 15 minutes later; required unless ReadOnly
	CheckAt string // time of day in UTC, "HH:MM", of the weekly and the monthly check; required unless ReadOnly
	// KeepDays is for how many days every backup is kept; 1 or more. The newest of each of the last 8 weeks and 12
	// months are kept longer.
	KeepDays    int
	MaxAgeHours int // age of the newest verified backup, in hours, that is a failure; 1 or more

	Password pulumi.StringInput // secret; of the restic repositories; a new one replaces the key there; required
	// OldPasswords are secret, of earlier generations, newest first; default none. A repository that still has one of
	// them gets Password.
	OldPasswords []pulumi.StringInput
	Destinations Destinations // at least one
	Notify       Notify
	// ReadOnly: the destinations belong to another stack. Nothing is backed up, checked or removed, and no timer is
	// installed; a restore reads them. Default false.
	ReadOnly bool
}

// Destinations are the repositories that every backup goes to. A destination that is removed keeps its backups.
type Destinations struct {
	Local bool // on the data volume; default false
	Rest  *Rest
	S3    *S3
	SFTP  *SFTP
}

// Rest is a restic rest-server.
type Rest struct {
	URL      string             // https, with the repository's path and without credentials; required
	Username string             // required
	Password pulumi.StringInput // secret; required
	CAPEM    string             // certificate that the server's own is checked with; default: public roots
	Prune    bool               // whether the host removes old snapshots there; default false
}

// S3 is a bucket of an S3-compatible store.
type S3 struct {
	Endpoint  string             // https URL of the store; required
	Bucket    string             // required
	Prefix    string             // folder in the bucket; required
	Region    string             // default: the store's own answer
	AccessKey pulumi.StringInput // secret; required
	SecretKey pulumi.StringInput // secret; required
	CAPEM     string             // certificate that the store's own is checked with; default: public roots
	Prune     bool               // whether the host removes old snapshots there; default false
}

// SFTP is a directory on an SFTP server.
type SFTP struct {
	Host    string             // name or address; required
	Port    int                // 1 to 65535
	User    string             // required
	Path    string             // directory, from the root or from the user's own; required
	HostKey string             // the only one that is accepted, as in authorized_keys; required
	Key     pulumi.StringInput // secret; private key, PEM; required
	Prune   bool               // whether the host removes old snapshots there; default false
}

// Notify says who is notified when a backup or a check fails. Every way is optional.
type Notify struct {
	Webhook pulumi.StringInput // secret; https URL that takes JSON with a "text"
	CheckIn pulumi.StringInput // secret; https URL of a Sentry cron monitor, notified of every backup
	Mail    *Mail
}

// Mail is sent by the shop's own mail server.
type Mail struct {
	To       string // address; required
	From     string // address
	Host     string // of the server; required
	Port     int
	TLS      bool // STARTTLS
	Username string
	Password pulumi.StringInput // secret
}

// Backup is the backups' part of the host.
type Backup struct {
	pulumi.ResourceState
	Host workload.HostPart // the secret file, the timers, and the unit that notifies
}

// New describes the backups.
func New(ctx *pulumi.Context, name string, args Args, opts ...pulumi.ResourceOption) (*Backup, error) {
	if err := args.validate(name); err != nil {
		return nil, err
	}
	b := &Backup{}
	if err := ctx.RegisterComponentResource(TypeToken, name, b, opts...); err != nil {
		return nil, fmt.Errorf("register backup %q: %w", name, err)
	}
	b.Host.Secrets = map[string]workload.HostSecret{hostspec.BackupSecret: {Content: args.secretFile()}}
	b.Host.Facts = pulumi.StringArray{Fact(args.Destinations.names()...)}
	if !args.ReadOnly {
		notice, err := render.Notice(args.OpsImage, hostspec.AppNetwork, render.HostMounts(hostspec.SecretsDir))
		if err != nil {
			return nil, err
		}
		b.Host.Files, b.Host.Timers = []hostspec.File{notice}, args.timers()
	}
	return b, ctx.RegisterResourceOutputs(b, pulumi.Map{
		"destinations": pulumi.ToStringArray(args.Destinations.names()), "readOnly": pulumi.Bool(args.ReadOnly),
	})
}

// memoryMB is some five times of what restic took for a gigabyte of files (docs/reference/backups.md); what it keeps in
// memory grows with the number of files, a few hundred bytes for each.
const memoryMB = 1024

// timers back the shop up every day, compare the newest backup's age every hour, and read back what the destinations
// hold: a sample of it every Sunday, and all of it on the first of the month.
func (a Args) timers() []render.Timer {
	timer := func(name, description, calendar string, delay, limit time.Duration, command ...string) render.Timer {
		return render.Timer{
			Name: name, Description: description, Image: a.OpsImage, Calendar: calendar, RandomDelay: delay, Limit: limit,
			Command: append(command, "--contract", strconv.Itoa(hostspec.ContractVersion)), Network: hostspec.AppNetwork,
			Notify: true, MemoryMB: memoryMB,
			// Staged directories have the owners and modes of the live ones.
			Caps: []string{"CHOWN", "FOWNER"}, Mounts: render.HostMounts(hostspec.SecretsDir),
		}
	}
	at := a.CheckAt + ":00"
	return []render.Timer{
		timer("backup", "Back the shop up, and read the backup back", "*-*-* "+a.At+":00", 15*time.Minute,
			12*time.Hour, "backup"),
		timer("backup-age", "See that the newest backup is not too old", "*-*-* *:20:00", 5*time.Minute, 5*time.Minute,
			"backup-age"),
		timer("backup-sample", "Read a sample of the backups back", "Sun *-*-* "+at, 15*time.Minute, 12*time.Hour,
			"backup-check"),
		timer("backup-check", "Read all backups back, and restore the newest database", "*-*-01 "+at, 15*time.Minute,
			24*time.Hour, "backup-check", "--whole"),
	}
}

// secretFile is what hostops reads: a secret as a whole, because it holds credentials.
func (a Args) secretFile() pulumi.StringOutput {
	old := pulumi.StringArray{}
	for _, p := range a.OldPasswords {
		old = append(old, p)
	}
	return pulumi.ToSecret(pulumi.All(a.credentials(), old).ApplyT(func(v []any) (string, error) {
		//nolint:gosec // it becomes a secret file
		text, err := json.MarshalIndent(a.spec(v[0].(map[string]string), v[1].([]string)), "", "  ")
		return string(text), err
	})).(pulumi.StringOutput)
}
