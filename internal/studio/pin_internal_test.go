package studio

import (
	"bytes"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/prekzursil/momentstudio-infra/internal/engine"
)

// pushed puts an image for a platform, or an index with one, into a registry and returns its digest.
func pushed(t *testing.T, reference, architecture string, index bool) string {
	t.Helper()
	img, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{OS: "linux", Architecture: architecture})
	if err != nil {
		t.Fatal(err)
	}
	ref, err := name.ParseReference(reference)
	if err != nil {
		t.Fatal(err)
	}
	if !index {
		digest, _ := img.Digest()
		if err := remote.Write(ref, img); err != nil {
			t.Fatal(err)
		}
		return digest.String()
	}
	list := mutate.AppendManifests(empty.Index, mutate.IndexAddendum{
		Add:        img,
		Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: architecture}},
	})
	digest, _ := list.Digest()
	if err := remote.WriteIndex(ref, list); err != nil {
		t.Fatal(err)
	}
	return digest.String()
}

const unpinned = `# of production
config:
  momentstudio:release: # raised by a workflow
    name: "0000000000000000000000000000000000000001"
    backend: old
    frontend: old
`

// pin pins in a copy of the unpinned file, and returns what the file then holds and what Pin printed.
func pin(t *testing.T, release string, images map[string]string) (text, out string, err error) {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "Pulumi.prod.yaml")
	if err := os.WriteFile(path, []byte(unpinned), 0o600); err != nil {
		t.Fatal(err)
	}
	var printed bytes.Buffer
	err = Pin(t.Context(), engine.Stack{Root: dir, Name: "prod", Out: &printed}, release, images)
	content, errRead := os.ReadFile(path)
	if errRead != nil {
		t.Fatal(errRead)
	}
	return string(content), printed.String(), err
}

func TestPinWritesDigestsOrNothing(t *testing.T) {
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	backend := pushed(t, host+"/shop/backend:v1", "amd64", false)
	frontend := pushed(t, host+"/shop/frontend:v1", "amd64", true)
	pushed(t, host+"/shop/arm:v1", "arm64", false)
	pushed(t, host+"/shop/arms:v1", "arm64", true)

	commit := strings.Repeat("a", 40)
	for _, c := range []struct {
		name, release string
		images        map[string]string
		want          []string // in the file
		says          string   // of the error; then the file stays
	}{
		{
			"a release", commit,
			map[string]string{"backend": host + "/shop/backend:v1", "frontend": host + "/shop/frontend:v1"},
			[]string{
				"backend: " + host + "/shop/backend@" + backend, "frontend: " + host + "/shop/frontend@" + frontend, "name: " +
					commit, "# raised by a workflow", "# of production",
			},
			"",
		},
		{
			"one image", "",
			map[string]string{"ops": host + "/shop/backend:v1"},
			[]string{"ops: " + host + "/shop/backend@" + backend, "backend: old"},
			"",
		},
		{
			"by digest", "",
			map[string]string{"backend": host + "/shop/backend@" + backend},
			[]string{"/shop/backend@" + backend},
			"",
		},
		{"a tag that is not there", commit, map[string]string{
			"backend":  host + "/shop/backend:v1",
			"frontend": host + "/shop/frontend:v2",
		}, nil, "frontend:v2"},
		{"another platform", "", map[string]string{"backend": host + "/shop/arm:v1"}, nil, "linux/arm64, the hosts are " +
			"linux/amd64"},
		{"an index without the platform", "", map[string]string{"backend": host + "/shop/arms:v1"}, nil, "arms:v1"},
		{"no tag", "", map[string]string{"backend": host + "/shop/backend"}, nil, "no image reference with a tag"},
		{"an unknown image", "", map[string]string{"nginx": host + "/shop/backend:v1"}, nil, "there are backend, edge, " +
			"frontend"},
		{"a short commit", "abc", nil, nil, "full commit"},
		{"nothing", "", nil, nil, "name at least one image"},
	} {
		t.Run(c.name, func(t *testing.T) {
			text, out, err := pin(t, c.release, c.images)
			if c.says != "" {
				if err == nil || !strings.Contains(err.Error(), c.says) || text != unpinned {
					t.Errorf("got %v, want %q in it; the file:\n%s", err, c.says, text)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range c.want {
				if !strings.Contains(text, want) {
					t.Errorf("the file has no %q:\n%s", want, text)
				}
			}
			if strings.Count(out, "@sha256:") != len(c.images) {
				t.Errorf("it says:\n%s", out)
			}
		})
	}
}
