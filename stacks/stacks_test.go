package stacks_test

import (
	"encoding/base64"
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"

	"github.com/prekzursil/momentstudio-infra/internal/appsettings"
	"github.com/prekzursil/momentstudio-infra/internal/config"
	"github.com/prekzursil/momentstudio-infra/internal/graphtest"
	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
	"github.com/prekzursil/momentstudio-infra/internal/secret"
	"github.com/prekzursil/momentstudio-infra/stacks"
)

var update = flag.Bool("update", false, "rewrite the golden files")

var stackNames = []string{"prod", "staging", "sandbox", "drill"}

func load(t *testing.T, stack string) config.Config {
	t.Helper()
	source := graphtest.StackFile(t, "..", stack)
	if stack == "drill" {
		source.Values["momentstudio:drill"] = `{"expires": "2026-12-01T03:00:00Z"}` // as `studio drill` does
	}
	c, err := config.Load(source)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// each runs f on the graph of every committed stack.
func each(t *testing.T, f func(t *testing.T, c config.Config, g graphtest.Graph)) {
	for _, stack := range stackNames {
		t.Run(stack, func(t *testing.T) {
			c := load(t, stack)
			f(t, c, graphtest.Record(t, c, stacks.Deploy))
		})
	}
}

const (
	container = "docker:index/container:Container"
	service   = "docker:index/service:Service"
)

func isProvider(n graphtest.Node) bool { return strings.HasPrefix(n.Type, "pulumi:providers:") }

func TestEveryResourceNamesItsProviderAndItsOwner(t *testing.T) {
	each(t, func(t *testing.T, c config.Config, g graphtest.Graph) {
		providers, want := 0, 4
		if c.Kind == config.Drill {
			want = 3 // nothing of it is at Cloudflare
		}
		for _, n := range g {
			if isProvider(n) {
				providers++
				continue
			}
			if n.Custom && n.Provider == "" {
				t.Errorf("%s uses a default provider", n.URN)
			}
			// owned by the stack itself, used by several components
			shared := []string{"app-network", "app-env", "postgres-superuser", "guard"}
			if n.Custom && !strings.Contains(n.Parent, "momentstudio:") && !slices.Contains(shared, n.Name) {
				t.Errorf("%s has no component as its parent", n.URN)
			}
		}
		if providers != want {
			t.Errorf("got %d providers, want %d of hcloud, cloudflare, random and docker", providers, want)
		}
	})
}

func TestStatefulResourcesAreLockedWhereConfigAsksForIt(t *testing.T) {
	stateful := map[string]bool{
		"hcloud:index/server:Server": true, "hcloud:index/volume:Volume": true, "hcloud:index/primaryIp:PrimaryIp": true,
		"hcloud:index/network:Network": true, "cloudflare:index/turnstileWidget:TurnstileWidget": true,
	}
	each(t, func(t *testing.T, c config.Config, g graphtest.Graph) {
		seen := 0
		for _, n := range g {
			keeps := stateful[n.Type] || n.Name == "secrets-app-key" || n.Name == "secrets-backup-password"
			if !keeps {
				continue
			}
			seen++
			if n.Protect != c.Protect {
				t.Errorf("%s: the engine's lock is %v, want %v", n.Name, n.Protect, c.Protect)
			}
			if lock, ok := n.Inputs["deleteProtection"]; ok && lock.BoolValue() != c.Protect {
				t.Errorf("%s: the cloud's lock is %v, want %v", n.Name, lock.BoolValue(), c.Protect)
			}
			if strings.HasPrefix(n.Type, "hcloud:") {
				if _, ok := n.Inputs["deleteProtection"]; !ok {
					t.Errorf("%s has no lock in the cloud", n.Name)
				}
			}
			if n.Request.GetRetainOnDelete() {
				t.Errorf("%s would be left behind by a deliberate destruction", n.Name)
			}
		}
		want := len(stateful) + 2
		if c.Kind == config.Drill {
			want-- // it has no widget
		}
		if seen != want {
			t.Errorf("checked %d stateful resources, want %d", seen, want)
		}
	})
}

// Orders that no value carries: a login closed too early, or a migration before its database, would
// fail requests or updates now and then. The graph is of a preview, which must wait as an update does: a preview that
// replaced the server's private network failed now and then, because the engine deletes first what depends on it in the
// state, and the job was declared at the same time ("duplicate resource … host-apply-job").
func TestWhoWaitsForWhom(t *testing.T) {
	each(t, func(t *testing.T, c config.Config, g graphtest.Graph) {
		for name, wants := range map[string][]string{
			"postgres-retirement-job": {"app-backend", "app-worker", "app-frontend"},
			"host-apply-job":          {"host-server", "host-private", "host-data-attachment"},
			"app-prepare":             {"host-apply-job"},
			"app-migrate":             {"app-prepare", "postgres-service", "postgres-roles", "redis-service"},
			"app-backend":             {"app-prepare", "app-migrate", "redis-service"},
			"app-worker":              {"app-prepare", "app-migrate", "redis-service"},
			"app-schedulers":          {"app-prepare", "app-migrate", "redis-service"},
			"app-frontend":            {"app-backend"},
			"host-apply-images":       {"host-apply-job"},
			"postgres-service":        {"host-apply-images"},
			"redis-service":           {"host-apply-images"},
			"app-network":             {"host-apply-job"},
			"app-env":                 {"host-apply-job"},
		} {
			i := slices.IndexFunc(g, func(n graphtest.Node) bool { return n.Name == name })
			if none := name == "app-schedulers" && c.Kind == config.Drill; none || i < 0 {
				if none != (i < 0) { // a drill has no schedulers
					t.Errorf("%s is there: %v", name, i >= 0)
				}
				continue
			}
			for _, want := range wants {
				if !slices.ContainsFunc(g[i].Request.GetDependencies(), func(urn string) bool {
					return strings.HasSuffix(urn,
						"::"+want)
				}) {
					t.Errorf("%s does not wait for %s", name, want)
				}
			}
		}
	})
}

// A rotation replaces and deletes nothing that is locked, and what was encrypted with an older value
// can still be read.
func TestRotatingALockedSecretKeepsEveryGeneration(t *testing.T) {
	c := load(t, "prod")
	c.Secrets.AppKey, c.Secrets.BackupPassword = 3, 2
	g := graphtest.Record(t, c, stacks.Deploy)
	for _, name := range []string{
		"secrets-app-key", "secrets-app-key-2", "secrets-app-key-3", "secrets-backup-password",
		"secrets-backup-password-2",
	} {
		i := slices.IndexFunc(g, func(n graphtest.Node) bool { return n.Name == name })
		if i < 0 || !g[i].Protect {
			t.Errorf("%s is not there, or not locked", name)
			continue
		}
		if _, ok := g[i].Inputs["keepers"]; ok {
			t.Errorf("%s has keepers: a change of them would replace it", name)
		}
	}
}

// A destruction deletes dependents first, and the engine refuses a protected resource only when its
// turn comes: what the guard does not depend on would be gone by then.
func TestTheGuardIsTheFirstToBeDestroyed(t *testing.T) {
	each(t, func(t *testing.T, c config.Config, g graphtest.Graph) {
		var covered map[string]bool
		for _, n := range g {
			if n.Name == "guard" {
				if n.Protect != c.Protect {
					t.Errorf("the guard's lock is %v, want %v", n.Protect, c.Protect)
				}
				covered = map[string]bool{}
				for _, urn := range n.Request.GetDependencies() {
					covered[urn[strings.LastIndex(urn, "::")+2:]] = true
				}
			}
		}
		for _, n := range g {
			if n.Custom && !isProvider(n) && n.Name != "guard" && !covered[n.Name] {
				t.Errorf("%s would be destroyed before the guard refuses", n.Name)
			}
		}
	})
}

func TestServerIsMadeFromAFrozenCopy(t *testing.T) {
	each(t, func(t *testing.T, c config.Config, g graphtest.Graph) {
		boot := slices.DeleteFunc(g.OfType("random:index/randomUuid:RandomUuid"),
			func(n graphtest.Node) bool { return n.Name == "guard" })
		if len(boot) != 1 || boot[0].Name != fmt.Sprintf("host-boot-%d", c.Host.Generation) {
			t.Fatalf("got %d frozen copies", len(boot))
		}
		if !slices.Contains(boot[0].Request.GetIgnoreChanges(), "keepers") {
			t.Error("an edit of the user data would change the frozen copy, and with it replace the server")
		}
		server := g.OfType("hcloud:index/server:Server")[0]
		if !server.Request.GetDeleteBeforeReplace() {
			t.Error("the server's name and address are free only when the old one is gone")
		}
		if !server.Inputs["userData"].IsSecret() && !server.Inputs["userData"].ContainsSecrets() {
			t.Error("the user data, which holds the bootstrap key, is not a secret")
		}
	})
}

func TestJobsNeverRestartAndAreNeverRequiredToRun(t *testing.T) {
	each(t, func(t *testing.T, _ config.Config, g graphtest.Graph) {
		jobs := g.OfType(container)
		if len(jobs) < 5 {
			t.Fatalf("got %d jobs", len(jobs))
		}
		for _, n := range jobs {
			if must, ok := n.Inputs["mustRun"]; !ok || must.BoolValue() {
				t.Errorf("%s: mustRun is not false: a refresh would delete it", n.Name)
			}
			if !n.Inputs["attach"].BoolValue() || !n.Inputs["logs"].BoolValue() {
				t.Errorf("%s: its exit code or log would be lost", n.Name)
			}
			if _, named := n.Inputs["name"]; named {
				t.Errorf("%s has a fixed name", n.Name)
			}
			if n.Inputs["restart"].StringValue() != "no" {
				t.Errorf("%s would run again by itself", n.Name)
			}
		}
	})
}

var digest = regexp.MustCompile(`@sha256:[0-9a-f]{64}$`)

func TestEveryImageIsPinnedByDigest(t *testing.T) {
	each(t, func(t *testing.T, _ config.Config, g graphtest.Graph) {
		seen := 0
		for _, n := range g {
			var image string
			switch n.Type {
			case container:
				image = n.Inputs["image"].StringValue()
			case service:
				image = n.Inputs["taskSpec"].ObjectValue()["containerSpec"].ObjectValue()["image"].StringValue()
			default:
				continue
			}
			seen++
			if !digest.MatchString(image) {
				t.Errorf("%s runs %q, which has no digest", n.Name, image)
			}
		}
		if seen < 10 {
			t.Errorf("saw %d images only", seen)
		}
	})
}

func TestServicesHaveTheUpdateRulesOfTheirKind(t *testing.T) {
	startFirst := map[string]bool{"app-backend": true, "app-frontend": true}
	each(t, func(t *testing.T, _ config.Config, g graphtest.Graph) {
		for _, n := range g.OfType(service) {
			spec := n.Inputs["taskSpec"].ObjectValue()
			order := n.Inputs["updateConfig"].ObjectValue()["order"].StringValue()
			if want := map[bool]string{true: "start-first", false: "stop-first"}[startFirst[n.Name]]; order != want {
				t.Errorf("%s is updated %s, want %s", n.Name, order, want)
			}
			if order == "stop-first" {
				if r := n.Inputs["mode"].ObjectValue()["replicated"].ObjectValue()["replicas"].NumberValue(); r != 1 {
					t.Errorf("%s has %v replicas, want 1: it writes alone", n.Name, r)
				}
			}
			if _, ok := n.Inputs["convergeConfig"]; !ok {
				t.Errorf("%s: an update would be reported done before it is", n.Name)
			}
			if n.Inputs["endpointSpec"].ObjectValue()["mode"].StringValue() != "dnsrr" {
				t.Errorf("%s is not resolved by dnsrr", n.Name)
			}
			if spec["resources"].ObjectValue()["limits"].ObjectValue()["memoryBytes"].NumberValue() == 0 {
				t.Errorf("%s has no memory limit", n.Name)
			}
			for _, p := range n.Inputs["endpointSpec"].ObjectValue()["ports"].ArrayValue() {
				if n.Name != "caddy-service" || p.ObjectValue()["publishMode"].StringValue() != "host" {
					t.Errorf("%s publishes %v", n.Name, p)
				}
			}
		}
	})
}

// A service that is not in the order would be killed after Docker's ten seconds.
func TestEveryServiceEndsInOrderWhenDockerStops(t *testing.T) {
	each(t, func(t *testing.T, c config.Config, g graphtest.Graph) {
		grace := map[string]time.Duration{}
		for _, layer := range hostspec.StopOrder() {
			for _, name := range layer.Services {
				grace[name] = layer.Grace
			}
		}
		for _, n := range g.OfType(service) {
			name := n.Inputs["name"].StringValue()
			spec := n.Inputs["taskSpec"].ObjectValue()["containerSpec"].ObjectValue()
			want, err := time.ParseDuration(spec["stopGracePeriod"].StringValue())
			if err != nil || grace[name] < want {
				t.Errorf("%s gets %s when Docker stops, and its grace period is %s (%v)", name, grace[name], want, err)
			}
		}
	})
}

// Whoever may write the zone of staging could point production's names elsewhere.
func TestNoTwoStacksShareAZone(t *testing.T) {
	owner := map[string]string{}
	for _, stack := range []string{"prod", "staging"} {
		zone := load(t, stack).DNS.ZoneID
		if other, taken := owner[zone]; taken || zone == "" {
			t.Errorf("%s and %s have the zone %q", stack, other, zone)
		}
		owner[zone] = stack
	}
}

func TestOnlyWebAndAllowedSSHAreOpen(t *testing.T) {
	each(t, func(t *testing.T, c config.Config, g graphtest.Graph) {
		var open []string
		for _, r := range g.OfType("hcloud:index/firewall:Firewall")[0].Inputs["rules"].ArrayValue() {
			rule := r.ObjectValue()
			from := rule["sourceIps"].ArrayValue()
			port := ""
			if p, ok := rule["port"]; ok {
				port = p.StringValue()
			}
			if port == "22" {
				if len(from) != len(c.Host.SSHFrom) {
					t.Errorf("SSH is open to %v", from)
				}
				continue
			}
			open = append(open, rule["protocol"].StringValue()+port)
		}
		slices.Sort(open)
		if got, want := strings.Join(open, " "), "icmp tcp443 tcp80 udp443"; got != want {
			t.Errorf("the world reaches %s, want %s", got, want)
		}
	})
}

// A secret may be an input only where the property is marked secret, and never in an environment,
// a label or a command, secret or not.
func TestSecretsArriveOnlyWhereTheyMay(t *testing.T) {
	each(t, func(t *testing.T, _ config.Config, g graphtest.Graph) { secretsArriveOnlyWhereTheyMay(t, g) })
}

// The same with every secret that a stack can be given.
func TestEveryGivenSecretArrivesOnlyWhereItMay(t *testing.T) {
	for _, stack := range stackNames {
		t.Run(stack, func(t *testing.T) {
			c := load(t, stack)
			keys := appsettings.SecretKeys(&c.AppSecrets)
			for key, v := range keys {
				*v = secret.New(graphtest.Canary + "-" + key)
			}
			c.TLS.Mode, c.Registry.Address, c.Registry.Username = "file", "ghcr.io", "u"
			for key, v := range map[string]*secret.Value{
				"tlsCertificate": &c.TLSCertificate, "tlsKey": &c.TLSKey,
				"registryPassword": &c.RegistryPassword,
			} {
				*v = secret.New(graphtest.Canary + "-" + key)
			}
			g := graphtest.Record(t, c, stacks.Deploy)
			secretsArriveOnlyWhereTheyMay(t, g)
			env := ""
			for _, n := range g.OfType("docker:index/secret:Secret") {
				if n.Name == "app-env" {
					text, err := base64.StdEncoding.DecodeString(n.Inputs["data"].SecretValue().Element.StringValue())
					if err != nil {
						t.Fatal(err)
					}
					env = string(text)
				}
			}
			for key := range keys {
				if !strings.Contains(env, graphtest.Canary+"-"+key) {
					t.Errorf("%s does not reach the application's file", key)
				}
			}
		})
	}
}

func secretsArriveOnlyWhereTheyMay(t *testing.T, g graphtest.Graph) {
	t.Helper()
	secrets := 0
	for _, n := range g {
		for key, value := range n.Inputs {
			if value.ContainsSecrets() || value.IsSecret() {
				secrets++
				allowed := map[string][]string{
					container:                            {"uploads"},
					"docker:index/secret:Secret":         {"data"},
					"hcloud:index/server:Server":         {"userData"},
					"random:index/randomUuid:RandomUuid": {"keepers"},
					"pulumi:providers:docker":            {"registryAuth"},
				}
				if !slices.Contains(allowed[n.Type], string(key)) {
					t.Errorf("%s.%s holds a secret", n.Name, key)
				}
			}
			shown := fmt.Sprint(withoutSecrets(value))
			for _, forbidden := range []string{
				graphtest.Canary, secret.Placeholder("sentryDsn"), "PRIVATE KEY",
				"postgresql+asyncpg://",
			} {
				if strings.Contains(shown, forbidden) {
					t.Errorf("%s.%s holds %q in clear", n.Name, key, forbidden)
				}
			}
		}
	}
	if secrets < 4 {
		t.Errorf("saw %d secret inputs only; the test looks in the wrong place", secrets)
	}
}

// withoutSecrets replaces what is marked secret.
func withoutSecrets(v resource.PropertyValue) any {
	return v.MapRepl(nil, func(v resource.PropertyValue) (any, bool) {
		if v.IsSecret() {
			return "[secret]", true
		}
		return nil, false
	})
}

// random.RandomBytes keeps its value as the resource's ID, in clear.
func TestNoSecretIsAResourceID(t *testing.T) {
	each(t, func(t *testing.T, _ config.Config, g graphtest.Graph) {
		if got := g.OfType("random:index/randomBytes:RandomBytes"); len(got) > 0 {
			t.Errorf("%s shows its value in state", got[0].Name)
		}
		if got := len(g.OfType("random:index/randomPassword:RandomPassword")); got != 13 {
			t.Errorf("got %d generated secrets, want 13", got)
		}
	})
}

func TestNothingDeprecatedIsUsed(t *testing.T) {
	each(t, func(t *testing.T, _ config.Config, g graphtest.Graph) {
		for _, n := range g {
			if _, ok := n.Inputs["datacenter"]; ok {
				t.Errorf("%s names a datacenter, which the API no longer has", n.Name)
			}
			if _, ok := n.Inputs["value"]; ok && n.Type == "cloudflare:index/record:Record" {
				t.Errorf("%s sets value, whose updates do nothing", n.Name)
			}
		}
	})
}

func TestEverythingOnTheHostGoesWithTheServer(t *testing.T) {
	each(t, func(t *testing.T, _ config.Config, g graphtest.Graph) {
		seen := 0
		for _, n := range g {
			if !strings.HasPrefix(n.Type, "docker:") {
				continue
			}
			seen++
			if !strings.HasSuffix(n.Request.GetDeletedWith(), "::host-server") {
				t.Errorf("%s would be deleted on a host that is gone", n.Name)
			}
			deps := n.Request.GetPropertyDependencies()["labels"].GetUrns()
			if !slices.Contains(n.Request.GetReplaceOnChanges(), "labels") || len(deps) != 1 || !strings.HasSuffix(deps[0],
				"::host-server") {
				t.Errorf("%s would keep the record of a machine that is gone when the server is rebuilt", n.Name)
			}
		}
		if seen < 14 {
			t.Errorf("saw %d resources of Docker's", seen)
		}
	})
}

// The list of resources of each stack, so that a rename without an alias shows as a deleted line.
func TestGoldenURNs(t *testing.T) {
	each(t, func(t *testing.T, c config.Config, g graphtest.Graph) {
		var b strings.Builder
		for _, n := range g {
			lock := ""
			if n.Protect {
				lock = " [protected]"
			}
			fmt.Fprintf(&b, "%s %s%s\n", n.Type, n.Name, lock)
		}
		path := "testdata/" + c.Stack + ".golden"
		if *update {
			if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil { //nolint:gosec // a golden file is public
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if b.String() != string(want) {
			t.Errorf("%s is stale (`make snapshots` rewrites it); got\n%s", path, b.String())
		}
	})
}
