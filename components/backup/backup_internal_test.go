package backup

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/prekzursil/momentstudio-infra/internal/fault"
	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
)

func everywhere() Args {
	return Args{
		Stack: "prod", Release: "r1", OpsImage: "ops@sha256:1", ClientImage: "postgres@sha256:2",
		Images: map[string]string{"ops": "ops@sha256:1"}, CompatibleRevisions: []string{"0160"},
		At: "01:30", CheckAt: "05:30", KeepDays: 30, MaxAgeHours: 30, Password: pulumi.String("p2"),
		OldPasswords: []pulumi.StringInput{pulumi.String("p1")},
		Destinations: Destinations{
			Local: true,
			Rest:  &Rest{URL: "https://b.example:8000/m", Username: "u", Password: pulumi.String("it's/a@p"), CAPEM: "ca"},
			S3: &S3{
				Endpoint: "https://s3.example/", Bucket: "b", Prefix: "restic", Region: "fsn1",
				AccessKey: pulumi.String("ak"), SecretKey: pulumi.String("sk"),
			},
			SFTP: &SFTP{
				Host: "box.example", Port: 23, User: "u1", Path: "m", HostKey: "ssh-ed25519 AAAA",
				Key: pulumi.String("PEM"), Prune: true,
			},
		},
		Notify: Notify{
			Webhook: pulumi.String("https://hook"), CheckIn: pulumi.String("https://cron"),
			Mail: &Mail{To: "ops@x", From: "shop@x", Host: "mail.x", Port: 587, TLS: true, Password: pulumi.String("m")},
		},
	}
}

func TestTheSpecificationHoldsEveryDestinationWithItsCredentials(t *testing.T) {
	want := hostspec.Backup{
		Stack: "prod", Release: "r1", Images: map[string]string{"ops": "ops@sha256:1"}, ClientImage: "postgres@sha256:2",
		Network: hostspec.AppNetwork, Compatible: []string{"0160"}, KeepDays: 30, Password: "p2",
		OldPasswords: []string{"p1"}, MaxAgeHours: 30,
		Destinations: []hostspec.Destination{
			{Name: "local", Repository: hostspec.LocalRepo, Prune: true},
			{Name: "rest", Repository: "rest:https://u:it%27s%2Fa%40p@b.example:8000/m", CACert: "ca"},
			{Name: "s3", Repository: "s3:https://s3.example/b/restic", Env: map[string]string{
				"AWS_ACCESS_KEY_ID": "ak", "AWS_SECRET_ACCESS_KEY": "sk", "AWS_DEFAULT_REGION": "fsn1",
			}},
			{Name: "sftp", Repository: "sftp:u1@box.example:m", Prune: true, SSH: &hostspec.SSH{
				Address: "box.example:23", User: "u1", HostKey: "ssh-ed25519 AAAA", Key: "PEM",
			}},
		},
		Notify: hostspec.Notify{
			Webhook: "https://hook", CheckIn: "https://cron",
			Mail: hostspec.Mail{To: "ops@x", From: "shop@x", Host: "mail.x", Port: 587, TLS: true, Password: "m"},
		},
	}
	args, plain := everywhere(), map[string]string{}
	for name, value := range args.credentials() {
		plain[name] = string(value.(pulumi.String))
	}
	if got := args.spec(plain, []string{"p1"}); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if names := args.Destinations.names(); !slices.Equal(names, hostspec.DestinationNames) {
		t.Errorf("the destinations are called %v, want %v", names, hostspec.DestinationNames)
	}
}

func TestEveryMistakeIsReportedTogether(t *testing.T) {
	if err := everywhere().validate("backup"); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(*Args)
		fields []string
	}{
		"nothing at all": {
			func(a *Args) { *a = Args{} },
			[]string{
				"stack", "release", "opsImage", "clientImage", "at", "checkAt", "keepDays", "maxAgeHours", "password",
				"destinations",
			},
		},
		"times of no clock": {func(a *Args) { a.At, a.CheckAt = "24:00", "5:30" }, []string{"at", "checkAt"}},
		"empty destinations": {
			func(a *Args) { a.Destinations = Destinations{Rest: &Rest{}, S3: &S3{}, SFTP: &SFTP{}} },
			[]string{
				"destinations.rest.url", "destinations.rest.username", "destinations.rest.password",
				"destinations.s3.endpoint", "destinations.s3.bucket", "destinations.s3.prefix", "destinations.s3.accessKey",
				"destinations.s3.secretKey", "destinations.sftp.host", "destinations.sftp.port", "destinations.sftp.user",
				"destinations.sftp.path", "destinations.sftp.hostKey", "destinations.sftp.key",
			},
		},
		"mail to nobody":        {func(a *Args) { a.Notify.Mail = &Mail{} }, []string{"notify.mail.to", "notify.mail.host"}},
		"a lost old password":   {func(a *Args) { a.OldPasswords[0] = nil }, []string{"oldPasswords[0]"}},
		"a reader that removes": {func(a *Args) { a.ReadOnly = true }, []string{"readOnly"}},
		"a reader needs no times": {
			func(a *Args) {
				a.ReadOnly, a.At, a.CheckAt = true, "", ""
				a.Destinations.Local, a.Destinations.SFTP.Prune = false, false
			}, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			args := everywhere()
			c.change(&args)
			var fields []string
			for _, p := range fault.Problems(args.validate("backup")) {
				field, _, _ := strings.Cut(p.Error(), ":")
				fields = append(fields, field)
			}
			if !slices.Equal(fields, c.fields) {
				t.Errorf("got %q, want %q", fields, c.fields)
			}
		})
	}
}

func TestAnErrorShowsNoPasswordOfAURL(t *testing.T) {
	args := everywhere()
	args.Destinations.Rest.URL = "https://u:canary-77@b.example/m"
	if err := args.validate("backup"); err == nil || strings.Contains(err.Error(), "canary-77") {
		t.Errorf("got %v", err)
	}
}

// monitor lists the types of what is declared.
type monitor struct{ declared []string }

func (m *monitor) NewResource(args pulumi.MockResourceArgs) (string, resource.PropertyMap, error) {
	m.declared = append(m.declared, args.TypeToken)
	return args.Name, args.Inputs, nil
}

func (m *monitor) Call(pulumi.MockCallArgs) (resource.PropertyMap, error) { return nil, nil }

// declare makes the component and returns it with the types of what it declared.
func declare(t *testing.T, args Args) (b *Backup, declared []string) {
	t.Helper()
	m := &monitor{}
	err := pulumi.RunErr(func(ctx *pulumi.Context) (err error) {
		b, err = New(ctx, "backup", args)
		return err
	}, pulumi.WithMocks("momentstudio", "prod", m))
	if err != nil {
		t.Fatal(err)
	}
	return b, m.declared
}

func TestItDeclaresNothingButItselfAndItsPartOfTheHost(t *testing.T) {
	b, declared := declare(t, everywhere())
	if !slices.Equal(declared, []string{TypeToken}) {
		t.Errorf("it declares %v", declared)
	}
	var units []string
	for _, timer := range b.Host.Timers {
		units = append(units, timer.Unit()+" "+timer.Calendar)
		if !timer.Notify || timer.Image != "ops@sha256:1" {
			t.Errorf("%s notifies %v and runs %s", timer.Name, timer.Notify, timer.Image)
		}
	}
	if want := []string{
		"momentstudio-backup.timer *-*-* 01:30:00", "momentstudio-backup-age.timer *-*-* *:20:00",
		"momentstudio-backup-sample.timer Sun *-*-* 05:30:00", "momentstudio-backup-check.timer *-*-01 05:30:00",
	}; !slices.Equal(units, want) {
		t.Errorf("the timers are %q, want %q", units, want)
	}
	if len(b.Host.Files) != 1 || !strings.Contains(b.Host.Files[0].Path, "momentstudio-notify@") {
		t.Errorf("the files are %v", b.Host.Files)
	}
	if s, ok := b.Host.Secrets[hostspec.BackupSecret]; !ok || len(b.Host.Secrets) != 1 || s.UID != 0 ||
		!pulumi.IsSecret(s.Content.(pulumi.StringOutput)) {
		t.Errorf("the secrets are %v", b.Host.Secrets)
	}
	if want := (pulumi.StringArray{pulumi.String("BACKUP_DESTINATIONS=local,rest,s3,sftp")}); !reflect.DeepEqual(
		b.Host.Facts, want) {
		t.Errorf("the review is shown %v, want %v", b.Host.Facts, want)
	}
}

func TestAStackThatOnlyReadsHasNoTimer(t *testing.T) {
	args := everywhere()
	args.ReadOnly, args.Destinations = true, Destinations{Rest: args.Destinations.Rest}
	b, _ := declare(t, args)
	if len(b.Host.Timers) > 0 || len(b.Host.Files) > 0 {
		t.Errorf("it has timers %v and files %v", b.Host.Timers, b.Host.Files)
	}
	if len(b.Host.Secrets) != 1 || !args.spec(nil, nil).ReadOnly {
		t.Error("the host is not told that the backups are another stack's")
	}
}
