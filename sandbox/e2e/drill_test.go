package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hetznercloud/hcloud-go/v2/hcloud"
	"go.yaml.in/yaml/v3"

	"github.com/prekzursil/momentstudio-infra/sandbox/runner"
)

// drillFile is the committed Pulumi.drill.yaml with what only this sandbox knows, as an operator fills it in.
func (w *env) drillFile() string {
	w.t.Helper()
	text, err := os.ReadFile(filepath.Join(w.s.Project, "Pulumi.drill.yaml"))
	if err != nil {
		w.t.Fatal(err)
	}
	var file map[string]any
	if err := yaml.Unmarshal(text, &file); err != nil {
		w.t.Fatal(err)
	}
	config := file["config"].(map[string]any)
	for _, group := range []string{"release", "images", "endpoints"} { // the drill has the shop's own release
		config["momentstudio:"+group] = w.configured(group)
	}
	config["momentstudio:domain"] = runner.Domain
	host := config["momentstudio:host"].(map[string]any)
	host["sshFrom"], host["volumeSizeGB"] = []string{"192.0.2.1/32"}, 10 // only ssh-allow lets this machine in
	second := w.s.PrivateNetwork.Addr().As4()[1] + 1                     // beside the shop's
	host["privateNetwork"], host["privateSubnet"], host["privateAddress"] = fmt.Sprintf("10.%d.0.0/16",
		second), fmt.Sprintf("10.%d.0.0/24", second), fmt.Sprintf("10.%d.0.2", second)
	config["momentstudio:postgres"] = map[string]any{"maxConnections": 100, "memoryMB": 512, "sharedBuffersMB": 64}
	config["momentstudio:backend"] = map[string]any{"memoryMB": 512}
	s3 := w.configured("backup")["s3"].(map[string]any)
	config["momentstudio:backup"] = map[string]any{"local": false, "s3": s3}
	path := filepath.Join(w.t.TempDir(), "drill.yaml")
	if text, err = yaml.Marshal(file); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		w.t.Fatal(err)
	}
	for key, value := range map[string]string{
		"backupS3AccessKey": runner.BackupReader.Access, "backupS3SecretKey": runner.BackupReader.Secret,
		"backupPassword": w.backupSpec().Password,
	} {
		cmd := exec.CommandContext(w.ctx, w.tools.CLI, "config", "set", "--secret", "--stack", w.s.Stack, "--config-file",
			path, "--non-interactive", "momentstudio:"+key)
		cmd.Dir, cmd.Env, cmd.Stdin = w.s.Project, w.s.Env(w.tools), strings.NewReader(value)
		if out, err := cmd.CombinedOutput(); err != nil {
			w.t.Fatalf("set %s: %v\n%s", key, err, out)
		}
	}
	return path
}

// drill runs `studio drill` as a terminal or a workflow does.
func (w *env) drillCommand(args ...string) (*exec.Cmd, *bytes.Buffer) {
	cmd := exec.CommandContext(w.ctx, w.s.Program("studio"), append([]string{"drill"}, args...)...)
	cmd.Dir, cmd.Env = w.s.Project, w.s.Env(w.tools)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	return cmd, &out
}

// hosts are the containers that are hosts of this sandbox.
func (w *env) hosts() []string {
	w.t.Helper()
	out, err := exec.CommandContext(w.ctx, "docker", "ps", "-q", "--filter",
		"label=momentstudio-sandbox=momentstudio-"+w.s.Name).Output()
	if err != nil {
		w.t.Fatal(err)
	}
	return strings.Fields(string(out))
}

// drills prove the newest backup on a host of its own, beside the shop, and leave nothing.
func drills(t *testing.T, w *env) {
	w.giveOwner()
	w.mustBackUp()
	rows, files := w.rows(), w.files()
	file, before, shop := w.drillFile(), w.remains(), w.hostID()
	reports := t.ArtifactDir()

	const kept = "drill-kept"
	cmd, out := w.drillCommand("--stack", kept, "--of", "", "--config-file", file, "--report", reports, "--keep", "--for",
		"1s", "--ssh-allow", "30m", "--address", w.s.Gateway().String())
	if err := cmd.Run(); err != nil {
		t.Fatalf("studio drill: %v\n%s", err, tail(out.String(), 80))
	}
	drillReport(t, reports)
	there := slices.DeleteFunc(w.hosts(), func(id string) bool { return id == shop })
	if len(there) != 1 {
		t.Fatalf("the hosts beside the shop's are %q, want the drill's", there)
	}
	silent(t, there[0])

	cmd, out = w.drillCommand("reap", "--config-file", file)
	if err := cmd.Run(); err != nil || !strings.Contains(out.String(), "removed "+kept) {
		t.Fatalf("studio drill reap: %v\n%s", err, tail(out.String(), 60))
	}
	nothingOfDrills(t, w, before)

	// One that is interrupted in its first minute removes what it has made, also when it was to be kept.
	cmd, out = w.drillCommand("--stack", "drill-interrupted", "--of", "", "--config-file", file, "--keep", "--ssh-allow",
		"30m", "--address", w.s.Gateway().String())
	w.drillToItsHost(cmd, out)
	_ = cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err == nil || !strings.Contains(out.String(), "The backup is NOT proven") {
		t.Errorf("an interrupted drill: %v\n%s", err, tail(out.String(), 60))
	}
	nothingOfDrills(t, w, before)

	// One that is killed, and whose server somebody removes: the state's lock, the opened port and all the rest are the
	// next reap's, from another clone.
	cmd, out = w.drillCommand("--stack", "drill-killed", "--of", "", "--config-file", file, "--for", "1s", "--ssh-allow",
		"30m", "--address", w.s.Gateway().String())
	w.drillToItsHost(cmd, out)
	for _, pid := range append([]int{cmd.Process.Pid}, descendants(cmd.Process.Pid)...) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	_ = cmd.Wait()
	w.deleteServer("drill-killed")
	project := w.s.Project
	w.s.Project = clone(t)
	cmd, out = w.drillCommand("reap", "--config-file", file)
	if err := cmd.Run(); err != nil || !strings.Contains(out.String(), "removed drill-killed") {
		t.Errorf("studio drill reap of a killed one: %v\n%s", err, tail(out.String(), 60))
	}
	w.s.Project = project
	for _, name := range []string{"drill.yaml", "ssh"} { // that clone has no say here
		_ = os.RemoveAll(filepath.Join(project, ".momentstudio", "drill-killed", name))
	}
	nothingOfDrills(t, w, before)
	w.holds("after the drills", rows, files)
	w.mustPulumi("preview", "--diff", "--expect-no-changes")
}

// drillToItsHost starts a drill and waits until its host is there.
func (w *env) drillToItsHost(cmd *exec.Cmd, out *bytes.Buffer) {
	w.t.Helper()
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	for deadline := time.Now().Add(3 * time.Minute); len(w.hosts()) < 2; time.Sleep(500 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Errorf("no host of a drill comes:\n%s", tail(out.String(), 30))
			return
		}
	}
}

// deleteServer deletes the server of a stack by the API, as somebody in the console would.
func (w *env) deleteServer(stack string) {
	w.t.Helper()
	api := w.hetzner()
	servers, err := api.Server.AllWithOpts(w.ctx, hcloud.ServerListOpts{ListOpts: hcloud.ListOpts{LabelSelector: "stack=" +
		stack}})
	if err != nil || len(servers) != 1 {
		w.t.Fatalf("%d servers of %s, %v", len(servers), stack, err)
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Second) { // an action of its creation may be under way
		result, _, err := api.Server.DeleteWithResult(w.ctx, servers[0])
		if err == nil {
			err = api.Action.WaitFor(w.ctx, result.Action)
		}
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatal(err)
		}
	}
}

// drillReport reads the report as a person and as a program would.
func drillReport(t *testing.T, dir string) {
	text, err := os.ReadFile(filepath.Join(dir, "report.md"))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s", text)
	if !strings.HasPrefix(string(text), "# The backup is good") {
		t.Error("the report's verdict is another one")
	}
	if text, err = os.ReadFile(filepath.Join(dir, "report.json")); err != nil {
		t.Fatal(err)
	}
	var report struct {
		Age   float64 `json:"ageSeconds"`
		Proof struct {
			Checks []struct{ Name, Result, Detail string } `json:"checks"`
		} `json:"proof"`
	}
	if err := json.Unmarshal(text, &report); err != nil {
		t.Fatal(err)
	}
	if n := len(report.Proof.Checks); n != 11 || report.Age <= 0 || report.Age > 3600 {
		t.Errorf("%d checks, and a backup that is %.0f s old", n, report.Age)
	}
	for _, c := range report.Proof.Checks {
		if c.Result != "passed" {
			t.Errorf("%s: %s: %s", c.Name, c.Result, c.Detail)
		}
	}
}

// silent looks at what the drill's host counted since its first start: no packet of the shop left its network.
func silent(t *testing.T, host string) {
	on := func(command string) string {
		t.Helper()
		out, err := exec.Command("docker", "exec", host, "sh", "-c", command).CombinedOutput()
		if err != nil {
			t.Fatalf("on the drill's host, %s: %v\n%s", command, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	// Docker lets containers out by rules of its own, one for each bridge. That of its default bridge is what hostops had.
	counted := 0
	for line := range strings.Lines(on("iptables -t nat -nvxL POSTROUTING")) {
		f := strings.Fields(line)
		if len(f) < 8 || f[2] != "MASQUERADE" || f[7] == "0.0.0.0/0" {
			continue // the last are for what the host itself sends to a container
		}
		counted++
		packets, err := strconv.Atoi(f[0])
		if err != nil {
			t.Fatalf("the counter of %q: %v", line, err)
		}
		if f[7] == "172.26.0.0/24" {
			if packets == 0 {
				t.Error("hostops went nowhere: the counters tell nothing")
			}
			continue
		}
		if packets != 0 {
			t.Errorf("%d connections left by %s", packets, strings.TrimSpace(line))
		}
	}
	if counted < 2 {
		t.Errorf("%d rules let containers out, want those of the two bridges", counted)
	}
	for _, id := range strings.Fields(on("docker ps -q --filter label=com.docker.swarm.service.name")) {
		if networks := on("docker inspect --format '{{range $n, $_ := .NetworkSettings.Networks}}{{$n}} {{end}}' " +
			id); networks != "momentstudio-app" {
			t.Errorf("a task is on the networks %q", networks)
		}
		if servers := on("docker inspect --format '{{.HostConfig.DNS}}' " + id); servers != "[192.0.2.1]" {
			t.Errorf("a task asks for names at %s", servers)
		}
	}
	if log := on("docker service logs --raw momentstudio-backend 2>&1"); strings.Contains(log,
		"leader_lock_acquired") || !strings.Contains(log, "GET /") {
		t.Errorf("a scheduler runs in the drill, or the log shows nothing:\n%s", tail(log, 20))
	}
	if out, err := exec.Command("docker", "exec", host, "sh", "-c",
		"/etc/momentstudio/hostops backup").CombinedOutput(); err == nil ||
		!strings.Contains(string(out), "a drill makes no backup") {
		t.Errorf("a backup in the drill: %v\n%s", err, out)
	}
	if timers := on("systemctl list-timers --all --no-pager"); strings.Contains(timers, "momentstudio-backup") {
		t.Errorf("the drill backs itself up:\n%s", timers)
	}
}

// nothingOfDrills looks for anything that is left of one.
func nothingOfDrills(t *testing.T, w *env, before map[string]int) {
	t.Helper()
	for name, left := range w.remains() {
		if left != before[name] {
			t.Errorf("the emulated %s API holds %d resources, held %d", name, left, before[name])
		}
	}
	if n := len(w.hosts()); n != 1 {
		t.Errorf("%d hosts, want the shop's", n)
	}
	cmd := exec.CommandContext(w.ctx, w.tools.CLI, "stack", "ls", "--json", "--non-interactive")
	cmd.Dir, cmd.Env = w.s.Project, w.s.Env(w.tools)
	if out, err := cmd.Output(); err != nil || strings.Contains(string(out), "drill-") {
		t.Errorf("stacks of drills are left: %s (%v)", out, err)
	}
	if objects := w.stateObjects(""); strings.Contains(objects, "/drill-") || !strings.Contains(objects, w.s.Stack) {
		t.Errorf("the state's bucket keeps something of drills, or was not listed:\n%s", objects)
	}
	left, _ := filepath.Glob(filepath.Join(w.s.Project, ".momentstudio", "drill-*", "ssh"))
	files, _ := filepath.Glob(filepath.Join(w.s.Project, ".momentstudio", "drill-*", "*.yaml"))
	if left = append(left, files...); len(left) > 0 {
		t.Errorf("files of drills are left: %q", left)
	}
}

// giveOwner gives the shop an owner, in whose name a drill looks at what only staff see.
func (w *env) giveOwner() {
	w.t.Helper()
	w.sql("INSERT INTO users (id, email, username, hashed_password, role) SELECT gen_random_uuid(), " +
		"'owner@example.com', 'owner', 'none', 'owner' WHERE NOT EXISTS (SELECT FROM users WHERE role = 'owner')")
}
