// Package graphtest records the resources that a program declares, under the SDK's mocks and in a
// preview, for tests over the whole graph. It is imported by tests only.
package graphtest

import (
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"

	"github.com/prekzursil/momentstudio-infra/internal/config"
	"github.com/prekzursil/momentstudio-infra/internal/secret"
)

// Node is one declared resource.
type Node struct {
	URN, Type, Name string
	Custom          bool
	Parent          string // URN
	Provider        string // "urn::id" of the explicit provider; "" when none was named
	Protect         bool
	Inputs          resource.PropertyMap // secrets still marked
	Request         *pulumirpc.RegisterResourceRequest
}

// Graph is every resource, sorted by URN, and every output of a component.
type Graph []Node

// OfType returns the resources of one type.
func (g Graph) OfType(token string) []Node {
	return slices.DeleteFunc(slices.Clone(g), func(n Node) bool { return n.Type != token })
}

// StackFile reads the plain values of a committed stack file of the repository's root and adds a
// placeholder for the secrets that it needs.
func StackFile(tb testing.TB, root, stack string) config.Source {
	tb.Helper()
	source, err := config.FromFile(filepath.Join(root, "Pulumi."+stack+".yaml"), stack)
	if err != nil {
		tb.Fatal(err)
	}
	source.Dir = root
	missing, _ := config.Load(source) // the missing secrets are what this call is about
	for _, name := range missing.MissingSecrets() {
		key := config.Namespace + ":" + name
		source.Values[key] = secret.Placeholder(name)
		source.SecretKeys = append(source.SecretKeys, key)
	}
	return source
}

// Record runs deploy as a preview and returns what it declared. A duplicate URN fails the test,
// because the mocks do not notice it.
func Record(tb testing.TB, c config.Config, deploy func(*pulumi.Context, config.Config) error) Graph {
	tb.Helper()
	m := &monitor{nodes: map[string]Node{}}
	err := pulumi.RunErr(func(ctx *pulumi.Context) error { return deploy(ctx, c) },
		pulumi.WithMocks(config.Namespace, c.Stack, m), func(info *pulumi.RunInfo) { info.DryRun = true })
	if err != nil {
		tb.Fatalf("the program failed: %v", err)
	}
	if len(m.nodes) == 0 {
		tb.Fatal("the program declared nothing")
	}
	for _, urn := range m.duplicates {
		tb.Errorf("two resources have the URN %s", urn)
	}
	return slices.SortedFunc(maps.Values(m.nodes), func(a, b Node) int { return strings.Compare(a.URN, b.URN) })
}

type monitor struct {
	mu         sync.Mutex
	nodes      map[string]Node
	duplicates []string
}

func (m *monitor) Call(args pulumi.MockCallArgs) (resource.PropertyMap, error) {
	return nil, fmt.Errorf("the program calls %s: a preview must dial nobody", args.Token)
}

func (m *monitor) NewResource(args pulumi.MockResourceArgs) (string, resource.PropertyMap, error) {
	r := args.RegisterRPC
	urn := r.GetParent() + "$" + args.TypeToken + "::" + args.Name
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.nodes[urn]; ok {
		m.duplicates = append(m.duplicates, urn)
	}
	m.nodes[urn] = Node{
		URN: urn, Type: args.TypeToken, Name: args.Name, Custom: args.Custom, Parent: r.GetParent(),
		Provider: r.GetProvider(), Protect: r.GetProtect(), Inputs: args.Inputs, Request: r,
	}
	return identity(args), state(args), nil
}

// identity is numeric where the clouds' identifiers are, because the program converts them.
func identity(args pulumi.MockResourceArgs) string {
	h := fnv.New32a()
	fmt.Fprint(h, args.TypeToken, args.Name)
	if strings.HasPrefix(args.TypeToken, "hcloud:") {
		return fmt.Sprint(h.Sum32())
	}
	return args.Name + "-id"
}

// state adds the computed properties that the program reads.
func state(args pulumi.MockResourceArgs) resource.PropertyMap {
	s := args.Inputs.Copy()
	switch args.TypeToken {
	case "random:index/randomPassword:RandomPassword":
		length := int(s["length"].NumberValue())
		seed := fnv.New64a()
		fmt.Fprint(seed, args.Name)
		text := hex.EncodeToString(seed.Sum(nil))
		s["result"] = resource.MakeSecret(resource.NewProperty(strings.Repeat(text, length)[:length]))
	case "hcloud:index/primaryIp:PrimaryIp":
		s["ipAddress"] = resource.NewProperty("203.0.113.10")
	case "cloudflare:index/turnstileWidget:TurnstileWidget":
		s["secret"] = resource.MakeSecret(resource.NewProperty(Canary + "-turnstile"))
	}
	return s
}

// Canary begins every secret that the mocks make up; it must appear nowhere in clear.
const Canary = "canary-secret"
