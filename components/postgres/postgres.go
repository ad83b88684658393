// Package postgres provides the application's database: a container on the data volume with its
// roles, or only the URL of a database elsewhere.
package postgres

import (
	"fmt"
	"path"
	"strconv"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/prekzursil/momentstudio-infra/internal/fault"
	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
	"github.com/prekzursil/momentstudio-infra/internal/naming"
	"github.com/prekzursil/momentstudio-infra/internal/workload"
)

// TypeToken is part of every child's URN: changing it needs an alias.
const TypeToken = "momentstudio:postgres:Postgres"

// Args describes the database.
type Args struct {
	ExternalURL    pulumi.StringInput // secret; set: nothing is deployed, and the rest is ignored
	Image          string             // reference with digest, obeying the official image's contract; a change restarts
	OpsImage       string             // reference with digest
	Network        pulumi.StringInput // ID of the app network
	MaxConnections int                // a change restarts Postgres
	SharedBuffers  int                // MB; a change restarts Postgres
	MemoryMB       int                // limit
	ActiveLogin    string             // "a" or "b": the role in use; the other cannot log in
	LoginFiles     map[string]string  // "a", "b" -> host path of the login role's password
	LoginPasswords map[string]pulumi.StringInput
	// SuperuserPassword is the content of the superuser's file on the host.
	SuperuserPassword pulumi.StringInput
	Applied           pulumi.StringInput // resolves when directories and job secrets are in place
}

// Postgres is a database that is ready for its migrations.
type Postgres struct {
	pulumi.ResourceState
	URL   pulumi.StringOutput // secret; postgresql+asyncpg://…
	Ready pulumi.StringOutput // resolves when the active login role can log in
}

// New deploys the database.
func New(ctx *pulumi.Context, name string, args Args, opts ...pulumi.ResourceOption) (*Postgres, error) {
	p := &Postgres{URL: URL(args)}
	if err := ctx.RegisterComponentResource(TypeToken, name, p, opts...); err != nil {
		return nil, fmt.Errorf("register postgres %q: %w", name, err)
	}
	if args.ExternalURL != nil {
		p.Ready = pulumi.String("external").ToStringOutput()
		return p, ctx.RegisterResourceOutputs(p, pulumi.Map{})
	}
	if err := args.validate(name); err != nil {
		return nil, err
	}
	service, err := workload.NewService(ctx, name+"-service", "postgres", workload.Service{
		Image: pulumi.String(args.Image),
		Args:  serverArgs(args),
		Env: pulumi.StringMap{
			"POSTGRES_USER": pulumi.String(hostspec.SuperuserName),
			// Used at the first initialisation only, and kept by the entrypoint in the server's
			// environment: so it is one that the roles job replaces. From a directory of the host and not
			// a Swarm secret, whose change would restart Postgres.
			"POSTGRES_PASSWORD_FILE": pulumi.String("/run/momentstudio/" + path.Base(hostspec.SuperuserFirst)),
			// A directory below the mount: initdb wants it empty, and the guard is the mount itself.
			"PGDATA": pulumi.String("/var/lib/postgresql/data/pgdata"),
			// Applies to new clusters only. Checksums turn a damaged page into an error.
			// https://www.postgresql.org/docs/current/app-initdb.html#APP-INITDB-DATA-CHECKSUMS
			"POSTGRES_INITDB_ARGS": pulumi.String("--data-checksums"),
		},
		Mounts: []workload.Mount{
			{Source: hostspec.PostgresDir, Target: "/var/lib/postgresql/data"},
			{Source: hostspec.PostgresSecrets, Target: "/run/momentstudio", ReadOnly: true},
			// Parallel queries share memory there, and Docker's default of 64 MB lets them fail
			// (https://github.com/docker-library/docs/blob/master/postgres/README.md, Caveats).
			{Target: "/dev/shm", TmpfsMB: max(args.MemoryMB/4, 64)},
		},
		Network: args.Network, Alias: hostspec.PostgresHost,
		Health: &workload.Health{
			Command:  Alive(),
			Interval: 5 * time.Second, Timeout: 5 * time.Second, Retries: 12, StartPeriod: 2 * time.Minute,
		},
		Replicas: 1, MemoryMB: args.MemoryMB, StopGrace: hostspec.PostgresGrace,
		// CAP_KILL: the engine's init passes the stop signal on to the server, which is another user.
		Caps:     []string{"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_KILL", "CAP_SETGID", "CAP_SETUID"},
		Converge: 3 * time.Minute, After: []pulumi.StringInput{args.Applied},
	}, pulumi.Parent(p))
	if err != nil {
		return nil, err
	}
	roles, err := rolesJob(ctx, name+"-roles", "db-roles", args, pulumi.Parent(p),
		pulumi.DependsOn([]pulumi.Resource{service}))
	if err != nil {
		return nil, err
	}
	p.Ready = roles.Done
	return p, ctx.RegisterResourceOutputs(p, pulumi.Map{"ready": p.Ready})
}

// Alive is the health check. A server that recovers from a crash is alive, although it takes no connection yet
// (pg_isready exits 1). If Swarm killed it, the recovery would start from the beginning. Over TCP, because the
// server listens on its socket only during the first initialisation.
func Alive() []string {
	return []string{"sh", "-c", "pg_isready -q -h 127.0.0.1 -U " + hostspec.SuperuserName + "; [ $? -le 1 ]"}
}

// serverArgs is the server's command line. It logs sessions that wait for a lock, and long autovacuum runs
// (https://www.postgresql.org/docs/current/runtime-config-logging.html). It does not log slow statements: their
// literals may be customers' data, and the application logs them.
func serverArgs(a Args) []string {
	all := []string{"postgres"}
	for _, setting := range []string{
		"max_connections=" + strconv.Itoa(a.MaxConnections),
		"shared_buffers=" + strconv.Itoa(a.SharedBuffers) + "MB",
		"log_lock_waits=on", "log_autovacuum_min_duration=60s",
	} {
		all = append(all, "-c", setting)
	}
	return all
}

// rolesJob runs a command that works on the roles as the superuser.
func rolesJob(ctx *pulumi.Context, name, command string, a Args, opts ...pulumi.ResourceOption) (*workload.Ran, error) {
	return workload.NewJob(ctx, name, workload.Job{
		Image: pulumi.String(a.OpsImage),
		Command: []string{
			command, "--contract", strconv.Itoa(hostspec.ContractVersion),
			"--superuser-password", hostspec.SuperuserSecret, "--first-password", hostspec.SuperuserFirst, "--login-a-password",
			a.LoginFiles["a"],
			"--login-b-password", a.LoginFiles["b"], "--active", a.ActiveLogin,
			"--connection-limit", strconv.Itoa(a.MaxConnections - reserved),
		},
		// A changed password changes only a file, which the engine does not see; its hash does.
		Env: pulumi.StringArray{
			pulumi.Sprintf("LOGIN_A=%s", hash(a.LoginPasswords["a"])), pulumi.Sprintf("LOGIN_B=%s", hash(a.LoginPasswords["b"])),
			pulumi.Sprintf("SUPERUSER=%s", hash(a.SuperuserPassword)),
		},
		Network: a.Network,
		Mounts: []workload.Mount{
			{Source: hostspec.SecretsDir, Target: hostspec.SecretsDir, ReadOnly: true},
			{Source: hostspec.PostgresSecrets, Target: hostspec.PostgresSecrets},
		}, // old passwords are removed there
		Caps:  []string{"CAP_DAC_OVERRIDE"},
		After: []pulumi.StringInput{a.Applied},
	}, opts...)
}

// URL is the address by which the application will reach the database of these arguments: it is
// part of the application's secrets, which are in place before the database starts.
func URL(args Args) pulumi.StringOutput {
	if args.ExternalURL != nil {
		return pulumi.ToSecret(args.ExternalURL).(pulumi.StringOutput)
	}
	login := map[string]string{"a": hostspec.LoginRoleA, "b": hostspec.LoginRoleB}[args.ActiveLogin]
	return pulumi.ToSecret(pulumi.Sprintf("postgresql+asyncpg://%s:%s@%s:%d/%s", login,
		args.LoginPasswords[args.ActiveLogin],
		hostspec.PostgresHost, hostspec.PostgresPort, hostspec.DatabaseName)).(pulumi.StringOutput)
}

// hash identifies a generated password of 192 random bits without revealing it.
func hash(secret pulumi.StringInput) pulumi.StringOutput {
	return pulumi.Unsecret(secret.ToStringOutput().ApplyT(naming.ContentHash)).(pulumi.StringOutput)
}

// reserved connections are kept for the operator, backups and monitoring.
const reserved = 10

func (a Args) validate(name string) error {
	var bad []error
	if a.MaxConnections < 2*reserved {
		bad = append(bad, fault.Field("maxConnections", a.MaxConnections, fmt.Sprintf("%d or more", 2*reserved)))
	}
	if a.ActiveLogin != "a" && a.ActiveLogin != "b" {
		bad = append(bad, fault.Field("activeLogin", a.ActiveLogin, `"a" or "b"`))
	}
	if a.SuperuserPassword == nil {
		bad = append(bad, fault.Field("superuserPassword", nil, "the superuser's password"))
	}
	return fault.List(fmt.Sprintf("postgres %q", name), bad...)
}
