// Package render turns plain values into the texts that the host runs: cloud-init user data, the
// Caddyfile, the application's .env, SSH client configuration. Pure functions only; each text is
// compared with a golden file and passed through the program that will read it.
package render

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"strings"
	"text/template"

	"go.yaml.in/yaml/v3"

	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
)

//go:embed templates
var templates embed.FS

// fill executes templates/<name> with data.
func fill(name string, data any) (string, error) {
	t, err := template.New(name).Option("missingkey=error").ParseFS(templates, "templates/"+name)
	if err != nil {
		return "", fmt.Errorf("read template %s: %w", name, err)
	}
	var b bytes.Buffer
	if err := t.Execute(&b, data); err != nil {
		return "", fmt.Errorf("fill template %s: %w", name, err)
	}
	return b.String(), nil
}

// UserData is what the first boot of a server needs.
type UserData struct {
	// BootstrapKeyPEM is a private SSH host key, and the one secret in user data (docs/explanation/security.md).
	BootstrapKeyPEM    string
	BootstrapKeyPublic string
	VolumeID           string // numeric ID of the data volume
	PrivateAddress     string // address on which the Swarm advertises itself
}

// hostFacts is what the templates may use beside their own values.
type hostFacts struct {
	UserData
	DataDir, GuardFile, EtcDir, ReadyFile, Metadata, SwarmPool, DataMount string
	VolumeFile, FilesystemSize, DataVolumeCommand, TasksCommand           string
	GroupBytes                                                            int
	Layers                                                                []layer
}

// layer is a hostspec.StopLayer with its grace period in seconds.
type layer struct {
	Seconds  int
	Services []string
}

func factsOf(u UserData) hostFacts {
	facts := hostFacts{
		UserData: u, DataDir: hostspec.DataDir, GuardFile: hostspec.GuardFile, EtcDir: hostspec.EtcDir,
		ReadyFile: hostspec.ReadyFile, Metadata: hostspec.MetadataAddress, SwarmPool: hostspec.SwarmAddressPool,
		DataMount:  strings.ReplaceAll(strings.TrimPrefix(hostspec.DataDir, "/"), "/", "-") + ".mount", // systemd-escape(1)
		VolumeFile: hostspec.VolumeFile, FilesystemSize: hostspec.FilesystemSizeFile,
		DataVolumeCommand: hostspec.DataVolumeCommand, TasksCommand: hostspec.TasksCommand,
		GroupBytes: hostspec.BlockGroupBytes,
	}
	for _, l := range hostspec.StopOrder() {
		facts.Layers = append(facts.Layers, layer{int(l.Grace.Seconds()), l.Services})
	}
	return facts
}

type cloudConfig struct {
	SSHDeleteKeys  bool              `yaml:"ssh_deletekeys"`
	SSHGenKeyTypes []string          `yaml:"ssh_genkeytypes"`
	SSHKeys        map[string]string `yaml:"ssh_keys"`
	SSHPwauth      bool              `yaml:"ssh_pwauth"`
	DisableRoot    bool              `yaml:"disable_root"`
	Users          []cloudUser       `yaml:"users"`
	WriteFiles     []cloudFile       `yaml:"write_files"`
	RunCmd         [][]string        `yaml:"runcmd"`
}

type cloudUser struct {
	Name       string `yaml:"name"`
	LockPasswd bool   `yaml:"lock_passwd"`
}

type cloudFile struct {
	Path        string `yaml:"path"`
	Permissions string `yaml:"permissions"`
	Content     string `yaml:"content"`
}

// CloudInit renders the user data of a server: it only bootstraps (Docker, Swarm, sshd, the data
// volume, the closed metadata address); everything later is host-apply's. Hetzner's limit of
// 32 KiB is checked.
func CloudInit(u UserData) (string, error) {
	files, err := BootFiles()
	if err != nil {
		return "", err
	}
	bootstrap, err := fill("bootstrap.sh", factsOf(u))
	if err != nil {
		return "", err
	}
	cfg := cloudConfig{
		SSHDeleteKeys:  true,
		SSHGenKeyTypes: []string{"ed25519"},
		SSHKeys:        map[string]string{"ed25519_private": u.BootstrapKeyPEM, "ed25519_public": u.BootstrapKeyPublic},
		Users:          []cloudUser{{Name: "root"}}, // and so not the image's default user
		WriteFiles: []cloudFile{
			{Path: hostspec.VolumeFile, Permissions: "0400", Content: u.VolumeID},
			{Path: bootstrapCommand, Permissions: "0755", Content: bootstrap},
		},
		RunCmd: [][]string{{bootstrapCommand}},
	}
	for _, f := range files {
		cfg.WriteFiles = append(cfg.WriteFiles, cloudFile{f.Path, fmt.Sprintf("%04o", f.Mode), f.Content})
	}
	var b bytes.Buffer
	b.WriteString("#cloud-config\n")
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(cfg); err != nil {
		return "", fmt.Errorf("write user data: %w", err)
	}
	if b.Len() > 32<<10 {
		return "", fmt.Errorf("user data has %d bytes, more than Hetzner's limit of %d", b.Len(), 32<<10)
	}
	return b.String(), nil
}

// bootstrapCommand runs once, at the first boot.
const bootstrapCommand = "/usr/local/sbin/momentstudio-bootstrap"

// BootFiles are the files of the first boot that host-apply keeps from then on: what mounts the data volume, Docker's
// configuration, sshd's, and the rule that closes the metadata address. hostspec.VolumeFile belongs to them too.
func BootFiles() ([]hostspec.File, error) {
	daemon, err := DaemonJSON()
	if err != nil {
		return nil, err
	}
	files := []hostspec.File{{Path: "/etc/docker/daemon.json", Mode: 0o644, Content: daemon}}
	for _, f := range []struct {
		template, path string
		mode           uint32
	}{
		{"sshd.conf", "/etc/ssh/sshd_config.d/10-momentstudio.conf", 0o644},
		{"metadata.service", "/etc/systemd/system/" + hostspec.MetadataService, 0o644},
		{"data.service", "/etc/systemd/system/" + hostspec.DataService, 0o644},
		{"docker-dropin.conf", "/etc/systemd/system/docker.service.d/10-momentstudio.conf", 0o644},
		{"data-volume.sh", hostspec.DataVolumeCommand, 0o755},
		{"tasks.sh", hostspec.TasksCommand, 0o755},
	} {
		text, err := fill(f.template, factsOf(UserData{}))
		if err != nil {
			return nil, err
		}
		files = append(files, hostspec.File{Path: f.path, Mode: f.mode, Content: text})
	}
	return files, nil
}

// DaemonJSON renders Docker's configuration. Swarm services have no fields for an init process
// and no-new-privileges, so they are set for the whole engine.
func DaemonJSON() (string, error) {
	out, err := json.MarshalIndent(map[string]any{
		"bip":                   hostspec.DockerBridgeCIDR,
		"default-address-pools": []map[string]any{{"base": hostspec.DockerAddressPool, "size": 24}},
		"init":                  true,
		"log-driver":            "json-file",
		"log-opts":              map[string]string{"max-size": "10m", "max-file": "3"},
		"no-new-privileges":     true,
		"userland-proxy":        false, // a proxy process would hide the client's address
	}, "", "  ")
	if err != nil {
		return "", fmt.Errorf("write daemon.json: %w", err)
	}
	return string(out) + "\n", nil
}
