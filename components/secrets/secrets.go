// Package secrets generates every secret that the stack makes for itself. They live in state,
// encrypted by the stack's secrets provider, and reach nothing but secret outputs.
package secrets

import (
	"fmt"
	"strconv"

	"github.com/pulumi/pulumi-random/sdk/v4/go/random"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// TypeToken is part of every child's URN: changing it needs an alias.
const TypeToken = "momentstudio:secrets:Secrets"

// Generations rotate: raising one makes a new value of that secret alone. All are required, from 1.
type Generations struct {
	AppKey, Tokens, DatabaseLogin, Superuser, DeployKey, HostKey, BackupPassword int
	// Host is the server's generation: each new server gets a new bootstrap key.
	Host int
}

// Args describes the secrets.
type Args struct {
	Generations Generations
	Protect     bool // locks those whose loss loses data: the app's key and the backup password
}

// Secrets holds the generated values, all of them secret outputs in hexadecimal: no character
// needs escaping in a URL, a shell or a .env file, and Alembic's parser fails on a % (app-contract §8).
type Secrets struct {
	pulumi.ResourceState
	AppKey           pulumi.StringOutput // SECRET_KEY: signs sessions and encrypts TOTP secrets
	MaintenanceToken pulumi.StringOutput // MAINTENANCE_BYPASS_TOKEN
	PreviewToken     pulumi.StringOutput // CONTENT_PREVIEW_TOKEN
	LoginA, LoginB   pulumi.StringOutput // passwords of the two login roles
	ActiveLogin      string              // "a" or "b": role a has the odd generations, role b the even
	Superuser        pulumi.StringOutput // password of the database's superuser
	SuperuserFirst   pulumi.StringOutput // the one that it has until its first roles job
	DeployKeySeed    pulumi.StringOutput // ed25519 seed of the key that reaches the host
	// of the generation before, which reaches a host that has not heard of the new one
	OldDeployKeySeed  pulumi.StringOutput
	BootstrapHostSeed pulumi.StringOutput // ed25519 seed of the host key that passes through user data
	HostKeySeed       pulumi.StringOutput // ed25519 seed of the host key that never does
	OldHostKeySeed    pulumi.StringOutput // of the generation before
	BackupPassword    pulumi.StringOutput // restic repositories; losing it loses the backups
	// OldBackupPasswords are those of all generations before, newest first: a repository that was away
	// during a rotation still has one of them.
	OldBackupPasswords []pulumi.StringOutput
}

// New generates the secrets.
func New(ctx *pulumi.Context, name string, args Args, opts ...pulumi.ResourceOption) (*Secrets, error) {
	s := &Secrets{}
	if err := ctx.RegisterComponentResource(TypeToken, name, s, opts...); err != nil {
		return nil, fmt.Errorf("register secrets %q: %w", name, err)
	}
	g := args.Generations
	b := builder{ctx: ctx, name: name, parent: s}
	generation := func(n int) pulumi.StringMap { return pulumi.StringMap{"generation": pulumi.String(strconv.Itoa(n))} }
	s.AppKey, _ = b.kept("app-key", 32, g.AppKey, args.Protect)
	s.MaintenanceToken = b.secret("maintenance-token", 32, generation(g.Tokens), false)
	s.PreviewToken = b.secret("preview-token", 32, generation(g.Tokens), false)
	s.Superuser = b.secret("superuser", 24, generation(g.Superuser), false)
	s.SuperuserFirst = b.secret("superuser-first", 24, nil, false)
	s.BackupPassword, s.OldBackupPasswords = b.kept("backup-password", 32, g.BackupPassword, args.Protect)
	s.BootstrapHostSeed = b.secret("bootstrap-host-key", 32, pulumi.StringMap{"host": pulumi.String(strconv.Itoa(g.Host))},
		false)
	newLogin, oldLogin := b.pair("login", 24, g.DatabaseLogin)
	s.DeployKeySeed, s.OldDeployKeySeed = b.pair("deploy-key", 32, g.DeployKey)
	s.HostKeySeed, s.OldHostKeySeed = b.pair("host-key", 32, g.HostKey)
	if b.err != nil {
		return nil, b.err
	}
	s.ActiveLogin, s.LoginA, s.LoginB = "a", newLogin, oldLogin
	if g.DatabaseLogin%2 == 0 {
		s.ActiveLogin, s.LoginA, s.LoginB = "b", oldLogin, newLogin
	}
	return s, ctx.RegisterResourceOutputs(s, pulumi.Map{})
}

// builder generates values until one fails.
type builder struct {
	ctx    *pulumi.Context
	name   string
	parent pulumi.Resource
	err    error
}

// kept generates the value of a generation and keeps those of all before, because what was encrypted
// with them may be needed: a rotation makes a resource and neither replaces nor deletes one, which the
// engine's lock would refuse.
func (b *builder) kept(part string, bytes, generation int, protect bool) (newest pulumi.StringOutput,
	before []pulumi.StringOutput,
) {
	newest = b.secret(part, bytes, nil, protect)
	for n := 2; n <= generation; n++ {
		before = append([]pulumi.StringOutput{newest}, before...)
		newest = b.secret(fmt.Sprintf("%s-%d", part, n), bytes, nil, protect)
	}
	return newest, before
}

// pair generates the value of a generation and of the one before, each a resource of its own: the
// older value is needed until the newer is rolled out, and one that an update could not replace is
// still there for the next.
func (b *builder) pair(part string, bytes, generation int) (newest, before pulumi.StringOutput) {
	newest = b.secret(fmt.Sprintf("%s-%d", part, generation), bytes, nil, false)
	return newest, b.secret(fmt.Sprintf("%s-%d", part, generation-1), bytes, nil, false)
}

func (b *builder) secret(part string, bytes int, keepers pulumi.StringMap, protect bool) pulumi.StringOutput {
	if b.err != nil {
		return pulumi.StringOutput{}
	}
	args := &random.RandomPasswordArgs{
		Length:  pulumi.Int(2 * bytes),
		Special: pulumi.Bool(true), OverrideSpecial: pulumi.String("0123456789abcdef"),
		Lower: pulumi.Bool(false), Upper: pulumi.Bool(false), Numeric: pulumi.Bool(false),
	}
	if keepers != nil {
		args.Keepers = keepers
	}
	// Not RandomBytes: the provider makes its value the resource's ID, which state keeps in clear.
	r, err := random.NewRandomPassword(b.ctx, b.name+"-"+part, args,
		pulumi.Parent(b.parent), pulumi.Protect(protect), pulumi.AdditionalSecretOutputs([]string{"result", "bcryptHash"}))
	if err != nil {
		b.err = fmt.Errorf("generate secret %q: %w", part, err)
		return pulumi.StringOutput{}
	}
	return pulumi.ToSecret(r.Result).(pulumi.StringOutput)
}
