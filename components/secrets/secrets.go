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
	AppKey            pulumi.StringOutput // SECRET_KEY: signs sessions and encrypts TOTP secrets
	MaintenanceToken  pulumi.StringOutput // MAINTENANCE_BYPASS_TOKEN
	PreviewToken      pulumi.StringOutput // CONTENT_PREVIEW_TOKEN
	LoginA, LoginB    pulumi.StringOutput // passwords of the two login roles
	ActiveLogin       string              // "a" or "b": the role of the newest generation
	Superuser         pulumi.StringOutput // password of the database's superuser
	DeployKeySeed     pulumi.StringOutput // ed25519 seed of the key that reaches the host
	OldDeployKeySeed  pulumi.StringOutput // of the generation before, which reaches a host that has not heard of the new one
	BootstrapHostSeed pulumi.StringOutput // ed25519 seed of the host key that passes through user data
	HostKeySeed       pulumi.StringOutput // ed25519 seed of the host key that never does
	OldHostKeySeed    pulumi.StringOutput // of the generation before
	BackupPassword    pulumi.StringOutput // restic repositories; losing it loses the backups
}

// slots returns the generations of a secret that has two slots, so that the value before the newest
// is still known while the newest is rolled out: slot a holds the odd generations, slot b the even.
func slots(generation int) (a, b int) {
	if generation%2 == 1 {
		return generation, generation - 1
	}
	return generation - 1, generation
}

// New generates the secrets.
func New(ctx *pulumi.Context, name string, args Args, opts ...pulumi.ResourceOption) (*Secrets, error) {
	s := &Secrets{}
	if err := ctx.RegisterComponentResource(TypeToken, name, s, opts...); err != nil {
		return nil, fmt.Errorf("register secrets %q: %w", name, err)
	}
	g := args.Generations
	loginA, loginB := slots(g.DatabaseLogin)
	deployA, deployB := slots(g.DeployKey)
	hostA, hostB := slots(g.HostKey)
	var deploySeedB, hostSeedB pulumi.StringOutput
	for _, v := range []struct {
		part       string
		bytes      int
		generation int
		host       int // 0: independent of the server
		protect    bool
		out        *pulumi.StringOutput
	}{
		{"app-key", 32, g.AppKey, 0, args.Protect, &s.AppKey},
		{"maintenance-token", 32, g.Tokens, 0, false, &s.MaintenanceToken},
		{"preview-token", 32, g.Tokens, 0, false, &s.PreviewToken},
		{"login-a", 24, loginA, 0, false, &s.LoginA},
		{"login-b", 24, loginB, 0, false, &s.LoginB},
		{"superuser", 24, g.Superuser, 0, false, &s.Superuser},
		{"deploy-key", 32, deployA, 0, false, &s.DeployKeySeed},
		{"deploy-key-b", 32, deployB, 0, false, &deploySeedB},
		{"bootstrap-host-key", 32, 1, g.Host, false, &s.BootstrapHostSeed},
		{"host-key", 32, hostA, 0, false, &s.HostKeySeed},
		{"host-key-b", 32, hostB, 0, false, &hostSeedB},
		{"backup-password", 32, g.BackupPassword, 0, args.Protect, &s.BackupPassword},
	} {
		keepers := pulumi.StringMap{"generation": pulumi.String(strconv.Itoa(v.generation))}
		if v.host > 0 {
			keepers["host"] = pulumi.String(strconv.Itoa(v.host))
		}
		// Not RandomBytes: the provider makes its value the resource's ID, which state keeps in clear.
		r, err := random.NewRandomPassword(ctx, name+"-"+v.part, &random.RandomPasswordArgs{
			Length: pulumi.Int(2 * v.bytes), Keepers: keepers,
			Special: pulumi.Bool(true), OverrideSpecial: pulumi.String("0123456789abcdef"),
			Lower: pulumi.Bool(false), Upper: pulumi.Bool(false), Numeric: pulumi.Bool(false),
		}, pulumi.Parent(s), pulumi.Protect(v.protect), pulumi.AdditionalSecretOutputs([]string{"result", "bcryptHash"}))
		if err != nil {
			return nil, fmt.Errorf("generate secret %q: %w", v.part, err)
		}
		*v.out = pulumi.ToSecret(r.Result).(pulumi.StringOutput)
	}
	s.ActiveLogin = "a"
	if loginB > loginA {
		s.ActiveLogin = "b"
	}
	s.OldDeployKeySeed, s.OldHostKeySeed = deploySeedB, hostSeedB
	if deployB > deployA {
		s.DeployKeySeed, s.OldDeployKeySeed = deploySeedB, s.DeployKeySeed
	}
	if hostB > hostA {
		s.HostKeySeed, s.OldHostKeySeed = hostSeedB, s.HostKeySeed
	}
	return s, ctx.RegisterResourceOutputs(s, pulumi.Map{})
}
