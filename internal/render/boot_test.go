package render_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
	"github.com/prekzursil/momentstudio-infra/internal/needs"
	"github.com/prekzursil/momentstudio-infra/internal/render"
)

// bootFile is one of the files of the first boot.
func bootFile(t *testing.T, path string) hostspec.File {
	t.Helper()
	files, err := render.BootFiles()
	if err != nil {
		t.Fatal(err)
	}
	at := slices.IndexFunc(files, func(f hostspec.File) bool { return f.Path == path })
	if at < 0 {
		t.Fatalf("no file %s", path)
	}
	return files[at]
}

func TestShellcheckAcceptsTheScriptsOfTheFirstBoot(t *testing.T) {
	files, err := render.BootFiles()
	if err != nil {
		t.Fatal(err)
	}
	needs.Program(t, "shellcheck")
	read := 0
	for _, f := range files {
		if !strings.HasPrefix(f.Content, "#!") {
			continue
		}
		cmd := exec.CommandContext(t.Context(), "shellcheck", "-")
		cmd.Stdin = strings.NewReader(f.Content)
		if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%s: %v\n%s", f.Path, err, out)
		}
		read++
	}
	if read != 2 {
		t.Errorf("%d scripts were read, want 2", read)
	}
}

// runTasks runs the command that ends and starts the Swarm's tasks, with a docker that notes what it is asked. states
// are what the Swarm says of itself, one after the other.
func runTasks(t *testing.T, command, states string) (asked []string, err error) {
	t.Helper()
	dir := t.TempDir()
	put := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o700); err != nil { //nolint:gosec // a program of the test
			t.Fatal(err)
		}
		return path
	}
	put("states", states)
	put("sleep", "#!/bin/sh\n")
	put("docker", `#!/bin/sh
case "$*" in
*LocalNodeState*) head -n 1 `+dir+`/states; sed -i '1d' `+dir+`/states ;;
*NodeID*) [ -s `+dir+`/states ] && echo node1 ;;
"node update --availability "*" node1") echo "$4" >> `+dir+`/asked ;;
"node update"*) exit 1 ;;
"ps "*) echo "task-of-${*##*=}" ;;
"stop "*) echo "$*" >> `+dir+`/asked ;;
esac
`)
	script := put("tasks", bootFile(t, hostspec.TasksCommand).Content)
	cmd := exec.CommandContext(t.Context(), script, command) //nolint:gosec // the test's own file
	cmd.Env = []string{"PATH=" + dir + ":" + os.Getenv("PATH")}
	_, err = cmd.Output()
	text, errRead := os.ReadFile(filepath.Join(dir, "asked"))
	if errRead != nil && !os.IsNotExist(errRead) {
		t.Fatal(errRead)
	}
	return strings.FieldsFunc(string(text), func(r rune) bool { return r == '\n' }), err
}

func TestTasksEndFromTheEdgeInwards(t *testing.T) {
	needs.Program(t, "timeout")
	asked, err := runTasks(t, "stop", "active\nx\n")
	want := []string{
		"pause",
		"stop --time 60 task-of-momentstudio-caddy",
		"stop --time 45 task-of-momentstudio-frontend task-of-momentstudio-backend task-of-momentstudio-media-worker " +
			"task-of-momentstudio-schedulers",
		"stop --time 120 task-of-momentstudio-postgres task-of-momentstudio-redis",
	}
	if err != nil || !slices.Equal(asked, want) {
		t.Errorf("asked for %q (%v), want %q", asked, err, want)
	}
	if asked, err := runTasks(t, "stop", "inactive\n"); err != nil || len(asked) > 0 {
		t.Errorf("without a Swarm: %q, %v", asked, err)
	}
	if asked, err := runTasks(t, "stop", "active\n"); err != nil || !slices.Equal(asked, want[1:]) {
		t.Errorf("with a Swarm that takes no command: %q, %v", asked, err)
	}
}

func TestTasksStartWhenTheSwarmHasItsManager(t *testing.T) {
	needs.Program(t, "timeout")
	for states, want := range map[string]string{
		"active\nx\n": "active", "pending\npending\nactive\nx\n": "active", "inactive\n": "",
	} {
		asked, err := runTasks(t, "start", states)
		if err != nil || strings.Join(asked, " ") != want {
			t.Errorf("%q: asked for %q (%v), want %q", states, asked, err, want)
		}
	}
	if asked, err := runTasks(t, "start", "pending\nerror\nx\n"); err == nil || len(asked) > 0 {
		t.Errorf("with a broken Swarm: %q, %v", asked, err)
	}
}
