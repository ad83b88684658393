package inspect

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/swarm"
	"golang.org/x/sys/unix"

	"github.com/prekzursil/momentstudio-infra/internal/hostops/filetest"
	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
)

func TestPathsAreReportedWithModeOwnerAndHash(t *testing.T) {
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "etc/dir"), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "etc/file"), []byte("abc"), 0o400); err != nil {
		t.Fatal(err)
	}
	got, err := paths(root, []string{"/etc/dir", "/etc/file", "/etc/missing", "/etc/file/below-a-file"})
	if err != nil {
		t.Fatal(err)
	}
	const sum = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
	file, dir := got["/etc/file"], got["/etc/dir"]
	if len(got) != 2 || !dir.Directory || dir.SHA256 != "" || file.Directory || file.Mode != "400" || file.SHA256 != sum ||
		file.UID != os.Getuid() {
		t.Errorf("got %+v", got)
	}
}

func TestTheRecordOfVerifiedReleasesIsRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "verified")
	if got, err := ReadVerified(path); err != nil || got != nil {
		t.Errorf("without a record: %v, %v", got, err)
	}
	if err := os.WriteFile(path, []byte("b@1 f@1 one\nnonsense\n\nb@2 f@2 two\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := ReadVerified(path)
	if err != nil || len(got) != 2 || got[1] != (hostspec.VerifiedRelease{Name: "two", Backend: "b@2", Frontend: "f@2"}) {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestAServiceIsReportedWithItsTasks(t *testing.T) {
	two, now := uint64(2), time.Unix(2_000_000_000, 0)
	s := swarm.Service{ID: "s1", Spec: swarm.ServiceSpec{
		Annotations: swarm.Annotations{Name: "backend"},
		Mode:        swarm.ServiceMode{Replicated: &swarm.ReplicatedService{Replicas: &two}},
		TaskTemplate: swarm.TaskSpec{
			ContainerSpec: &swarm.ContainerSpec{
				Image: "r/b@sha256:aa", Env: []string{"A=1", "B=x=y"}, Args: []string{"run"},
				Healthcheck: &container.HealthConfig{Test: []string{"CMD", "true"}},
				Mounts:      []mount.Mount{{Source: "/a", Target: "/b", ReadOnly: true}},
				Secrets:     []*swarm.SecretReference{{SecretName: "env-1", File: &swarm.SecretReferenceFileTarget{Name: ".env"}}},
			},
			Networks:  []swarm.NetworkAttachmentConfig{{Target: "n1"}},
			Resources: &swarm.ResourceRequirements{Limits: &swarm.Limit{MemoryBytes: 512}},
		},
	}, UpdateStatus: &swarm.UpdateStatus{State: swarm.UpdateStateCompleted}}
	task := func(service string, desired, state swarm.TaskState) swarm.Task {
		return swarm.Task{
			ServiceID: service, DesiredState: desired,
			Status: swarm.TaskStatus{State: state, Timestamp: now, Err: "why"},
		}
	}
	got := serviceOf(s, []swarm.Task{
		task("s1", swarm.TaskStateRunning, swarm.TaskStateRunning), task("s1", swarm.TaskStateRunning,
			swarm.TaskStateStarting),
		task("s1", swarm.TaskStateShutdown, swarm.TaskStateFailed), task("s2", swarm.TaskStateRunning,
			swarm.TaskStateRunning),
	})
	if got.Replicas != 2 || got.Running != 1 || got.Update != "completed" || got.Env["B"] != "x=y" || got.Memory != 512 ||
		len(got.Ended) != 1 || got.Ended[0].State != "failed" || got.Ended[0].Error != "why" ||
		got.Secrets[0] != (hostspec.SecretMount{Name: "env-1", File: ".env"}) || got.Networks[0] != "n1" ||
		got.Mounts[0] != (hostspec.Mount{Source: "/a", Target: "/b", ReadOnly: true}) || got.Health[1] != "true" {
		t.Errorf("got %+v", got)
	}
}

func TestTheSchemaIsReadFromAlembic(t *testing.T) {
	for output, want := range map[string]hostspec.Schema{
		"0159_add (head)\n":                        {Revision: "0159_add", Head: true},
		"INFO  [alembic] context\n0159_add (head)": {Revision: "0159_add", Head: true},
		"ab12 (head) (mergepoint)\n":               {Revision: "ab12", Head: true},
		"0158_old\n":                               {Revision: "0158_old"},
		"":                                         {},
	} {
		if got := current(output); got != want {
			t.Errorf("%q: got %+v, want %+v", output, got, want)
		}
	}
}

func TestTheVolumeIsComparedWithItsFileSystem(t *testing.T) {
	root, sys := t.TempDir(), t.TempDir()
	if err := os.MkdirAll(root+hostspec.DataDir, 0o750); err != nil {
		t.Fatal(err)
	}
	if v, err := volume(root, sys); err != nil || v != nil {
		t.Errorf("on a host of an older program: %v, %v", v, err)
	}
	filetest.Put(t, root+hostspec.FilesystemSizeFile, "10737418240\n")
	if _, err := volume(root, sys); err == nil {
		t.Error("a device whose size is not known is no error")
	}
	var on unix.Stat_t
	if err := unix.Stat(root+hostspec.DataDir, &on); err != nil {
		t.Fatal(err)
	}
	filetest.Put(t, fmt.Sprintf("%s/dev/block/%d:%d/size", sys, unix.Major(on.Dev), unix.Minor(on.Dev)), "25165824\n")
	v, err := volume(root, sys)
	if err != nil || *v != (hostspec.Volume{Bytes: 12 << 30, Filesystem: 10 << 30}) || !v.Grows() {
		t.Errorf("got %+v, %v", v, err)
	}
}
