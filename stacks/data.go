package stacks

import (
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/prekzursil/momentstudio-infra/components/postgres"
	"github.com/prekzursil/momentstudio-infra/components/redis"
	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
	"github.com/prekzursil/momentstudio-infra/internal/workload"
)

const (
	loginAFile = hostspec.SecretsDir + "/postgres-login-a"
	loginBFile = hostspec.SecretsDir + "/postgres-login-b"
)

// stores are the database and the queue.
type stores struct {
	database *postgres.Postgres
	args     postgres.Args
	declared []pulumi.Resource
}

// data deploys the database and the queue, on the data volume or outside.
func (s *stack) data(h *machine) (d stores, err error) {
	before := s.declared.count()
	d.args = s.database()
	d.args.Network, d.args.Applied = h.network, h.pulled.Done
	if d.database, err = postgres.New(s.ctx, "postgres", d.args, h.afterPull()...); err != nil {
		return d, err
	}
	_, err = redis.New(s.ctx, "redis", redis.Args{
		Image: s.config.Images.Redis, Network: h.network, MemoryMB: s.config.Redis.MemoryMB, Applied: h.pulled.Done,
	}, h.afterPull()...)
	d.declared = s.declared.since(before)
	return d, err
}

// ownDatabase reports whether the database runs on this host.
func (s *stack) ownDatabase() bool { return s.config.Postgres.Mode == "container" }

// database describes the database, all but where and when it is deployed.
func (s *stack) database() postgres.Args {
	c := s.config
	args := postgres.Args{
		Image: c.Images.Postgres, OpsImage: c.Images.Ops, MaxConnections: c.Postgres.MaxConnections,
		SharedBuffers: c.Postgres.SharedBuffers, MemoryMB: c.Postgres.MemoryMB, ActiveLogin: s.secrets.ActiveLogin,
		LoginFiles:        map[string]string{"a": loginAFile, "b": loginBFile},
		LoginPasswords:    map[string]pulumi.StringInput{"a": s.secrets.LoginA, "b": s.secrets.LoginB},
		SuperuserPassword: s.secrets.Superuser,
	}
	if !s.ownDatabase() {
		args.ExternalURL = secretInput(c.DatabaseURL)
	}
	return args
}

// databasePart is the database's URL, and the passwords that the roles jobs set.
func (s *stack) databasePart() workload.HostPart {
	part := workload.HostPart{Secrets: map[string]workload.HostSecret{
		hostspec.DatabaseURLSecret: {Content: postgres.URL(s.database())},
	}}
	if s.ownDatabase() {
		part.Secrets[loginAFile] = workload.HostSecret{Content: s.secrets.LoginA}
		part.Secrets[loginBFile] = workload.HostSecret{Content: s.secrets.LoginB}
		part.Secrets[hostspec.SuperuserSecret] = workload.HostSecret{
			Content: s.secrets.Superuser, UID: hostspec.PostgresUID, KeepOld: true,
		}
		part.Secrets[hostspec.SuperuserFirst] = workload.HostSecret{
			Content: s.secrets.SuperuserFirst, UID: hostspec.PostgresUID,
		}
	}
	return part
}
