package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// trivialProgram declares RESOURCES random numbers, each of which needs nothing.
const trivialProgram = `package main

import (
	"fmt"
	"os"
	"strconv"

	"github.com/pulumi/pulumi-random/sdk/v4/go/random"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

func main() {
	pulumi.Run(func(ctx *pulumi.Context) error {
		number, err := strconv.Atoi(os.Getenv("RESOURCES"))
		if err != nil {
			return err
		}
		for n := range number {
			if _, err := random.NewRandomInteger(ctx, fmt.Sprint("number-", n), &random.RandomIntegerArgs{
				Min: pulumi.Int(0), Max: pulumi.Int(9),
			}); err != nil {
				return err
			}
		}
		return nil
	})
}
`

// nodesProgram declares NODES hosts by the component that the stack's own host is made with.
const nodesProgram = `package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/pulumi/pulumi-hcloud/sdk/go/hcloud"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/prekzursil/momentstudio-infra/components/host"
)

func main() {
	pulumi.Run(func(ctx *pulumi.Context) error {
		number, err := strconv.Atoi(os.Getenv("NODES"))
		if err != nil {
			return err
		}
		cloud, err := hcloud.NewProvider(ctx, "hetzner", &hcloud.ProviderArgs{})
		if err != nil {
			return err
		}
		for n := range number {
			seed := pulumi.ToSecret(pulumi.String(strings.Repeat(fmt.Sprintf("%02x", n), 32))).(pulumi.StringOutput)
			if _, err := host.New(ctx, fmt.Sprint("node-", n), host.Args{
				Stack: fmt.Sprint("nodes-", n), Location: "fsn1", NetworkZone: "eu-central", ServerType: "cx33",
				Image: "debian-12", Generation: 1, SSHFrom: []string{"192.0.2.1/32"}, PrivateNetwork: "10.9.0.0/16",
				PrivateSubnet: "10.9.1.0/24", PrivateAddress: "10.9.1.10", VolumeSizeGB: 10, DeployKeySeed: seed,
				OldDeployKeySeed: seed, DeployKeyNumber: 1, BootstrapHostSeed: seed, HostKeySeed: seed, OldHostKeySeed: seed,
			}, pulumi.Providers(cloud)); err != nil {
				return err
			}
		}
		return nil
	})
}
`

// project is a separate Pulumi project with a state of its own.
type project struct {
	w        *env
	dir      string
	program  string
	settings []string // environment
}

// newProject builds a program inside the clone, with its modules, and makes a stack for it.
func newProject(w *env, name, source string) project {
	w.t.Helper()
	dir := w.t.TempDir()
	p := project{
		w: w, dir: dir, program: filepath.Join(dir, "program"),
		settings: []string{"PULUMI_BACKEND_URL=file://" + filepath.Join(dir, "state")},
	}
	command := filepath.Join(w.s.Project, "cmd", name)
	for path, text := range map[string]string{
		filepath.Join(command, "main.go"): source,
		filepath.Join(dir, "Pulumi.yaml"): "name: " + name + "\nruntime:\n  name: go\n  options:\n    binary: " + p.program +
			"\n",
		filepath.Join(dir, "state", "dir"): "",
	} {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			w.t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			w.t.Fatal(err)
		}
	}
	w.t.Cleanup(func() { _ = os.RemoveAll(command) })
	build := exec.CommandContext(w.ctx, "go", "build", "-o", p.program, "./cmd/"+name)
	build.Dir, build.Env = w.s.Project, w.s.Env(w.tools)
	if out, err := build.CombinedOutput(); err != nil {
		w.t.Fatalf("build %s: %v\n%s", name, err, out)
	}
	p.run("stack", "init", name)
	return p
}

// run runs the CLI on the project and returns how long it took.
func (p project) run(args ...string) time.Duration {
	p.w.t.Helper()
	cmd := exec.CommandContext(p.w.ctx, p.w.tools.CLI, append(args, "--non-interactive")...)
	cmd.Dir, cmd.Env = p.dir, append(p.w.s.Env(p.w.tools), p.settings...)
	began := time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		p.w.t.Fatalf("pulumi %s: %v\n%s", strings.Join(args, " "), err, tail(string(out), 30))
	}
	return time.Since(began)
}

// peakOf looks at the processes of a program for as long as work runs, and returns the most memory that one had, in
// bytes.
func peakOf(program string, work func()) (peak int64) {
	ended, result := make(chan struct{}), make(chan int64)
	go func() {
		peak := int64(0)
		for {
			links, _ := filepath.Glob("/proc/[0-9]*/exe")
			for _, l := range links {
				if target, err := os.Readlink(l); err != nil || target != program {
					continue
				}
				text, _ := os.ReadFile(filepath.Join(filepath.Dir(l), "status"))
				if _, after, ok := strings.Cut(string(text), "VmHWM:"); ok {
					var kB int64
					if _, err := fmt.Sscan(after, &kB); err == nil {
						peak = max(peak, kB<<10)
					}
				}
			}
			select {
			case <-ended:
				result <- peak
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	}()
	work()
	close(ended)
	return <-result
}

func median(of []time.Duration) time.Duration {
	slices.Sort(of)
	return of[len(of)/2]
}

// resources is the number of resources in the stack's state, components and providers aside.
func (w *env) resources() (n int) {
	w.t.Helper()
	var state struct {
		Deployment struct {
			Resources []struct {
				Type   string `json:"type"`
				Custom bool   `json:"custom"`
			} `json:"resources"`
		} `json:"deployment"`
	}
	if err := json.Unmarshal([]byte(w.mustPulumi("stack", "export")), &state); err != nil {
		w.t.Fatal(err)
	}
	for _, r := range state.Deployment.Resources {
		if r.Custom && !strings.HasPrefix(r.Type, "pulumi:") {
			n++
		}
	}
	return n
}

// BenchmarkDesk compares what an operator waits for with what cannot be avoided: a preview and an update of the stack,
// which is up and unchanged, with those of a program of as many trivial resources; and `studio up` with a preview. The
// programs are compiled beforehand, and they take turns. It also reports what declared hosts add to a preview.
func BenchmarkDesk(b *testing.B) {
	w := newEnv(b, chosen.sandbox)
	w.up()
	number := w.resources()
	trivial := newProject(w, "trivial", trivialProgram)
	trivial.settings = append(trivial.settings, fmt.Sprint("RESOURCES=", number))
	trivial.run("up", "--yes", "--skip-preview", "--stack", "trivial")
	stack := project{w: w, dir: w.s.Project, program: w.s.Program("momentstudio-infra")}
	file := []string{"--stack", w.s.Stack, "--config-file", w.s.ConfigFile()}
	for range b.N {
		var ours, least, oursUp, leastUp, studio []time.Duration
		var memory, leastMemory int64
		for range 7 {
			leastMemory = max(leastMemory, peakOf(trivial.program, func() {
				least = append(least, trivial.run("preview", "--stack", "trivial"))
			}))
			memory = max(memory, peakOf(stack.program, func() {
				ours = append(ours, stack.run(append([]string{"preview"}, file...)...))
			}))
			began := time.Now()
			w.mustUpdate()
			studio = append(studio, time.Since(began))
		}
		for range 5 {
			leastUp = append(leastUp, trivial.run("up", "--yes", "--skip-preview", "--stack", "trivial"))
			oursUp = append(oursUp, stack.run(append([]string{"up", "--yes", "--skip-preview"}, file...)...))
		}
		if memory == 0 || leastMemory == 0 {
			b.Fatal("the programs were not seen")
		}
		table := "\n| | this | against | ratio |\n|---|---:|---:|---:|\n"
		row := func(name, metric string, this, against time.Duration) {
			ratio := this.Seconds() / against.Seconds()
			b.ReportMetric(ratio, metric)
			table += fmt.Sprintf("| %s | %.2f s | %.2f s | %.1f |\n", name, this.Seconds(), against.Seconds(), ratio)
		}
		row(fmt.Sprintf("preview, against %d trivial resources", number), "preview/trivial", median(ours), median(least))
		row("`pulumi up` that changes nothing, against the same", "up/trivial", median(oursUp), median(leastUp))
		row("`studio up` that changes nothing, against a preview", "studio-up/preview", median(studio), median(ours))
		table += fmt.Sprintf("| memory of the program | %d MB | %d MB | %.1f |\n", memory>>20, leastMemory>>20,
			float64(memory)/float64(leastMemory))
		b.Log(table + previewsOfHosts(b, w, median(least)))
	}
}

// previewsOfHosts measures previews of a program that declares 1, 5, 20 and 50 hosts, not created yet.
func previewsOfHosts(b *testing.B, w *env, least time.Duration) string {
	b.Helper()
	nodes := newProject(w, "nodes", nodesProgram)
	nodes.settings = append(nodes.settings, "HCLOUD_ENDPOINT="+fmt.Sprint(w.configured("endpoints")["hcloud"]))
	table := "\n| hosts declared | preview | against trivial resources | memory of the program |\n|---:|---:|---:|---:|\n"
	for _, number := range []int{1, 5, 20, 50} {
		several := nodes
		several.settings = append(slices.Clone(nodes.settings), fmt.Sprint("NODES=", number))
		var took []time.Duration
		var memory int64
		for range 3 {
			memory = max(memory, peakOf(nodes.program, func() {
				took = append(took, several.run("preview", "--stack", "nodes"))
			}))
		}
		ratio := median(took).Seconds() / least.Seconds()
		b.ReportMetric(ratio, fmt.Sprint("preview-of-", number, "-hosts/trivial"))
		table += fmt.Sprintf("| %d | %.2f s | %.1f | %d MB |\n", number, median(took).Seconds(), ratio, memory>>20)
	}
	return table
}
