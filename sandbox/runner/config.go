package runner

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// stackFile is the part of a Pulumi stack file that the sandbox works on.
type stackFile struct {
	Salt   string         `yaml:"encryptionsalt,omitempty"`
	Config map[string]any `yaml:"config"`
}

func readStackFile(path string) (stackFile, error) {
	var f stackFile
	text, err := os.ReadFile(path)
	if err != nil {
		return f, err
	}
	if err := yaml.Unmarshal(text, &f); err != nil {
		return f, fmt.Errorf("%s: %w", path, err)
	}
	return f, nil
}

// writeConfig makes the stack and its file: the committed Pulumi.sandbox.yaml with the references of
// the images, the addresses of the emulators and the CA's certificate filled in. Values that an
// operator set in the file before stay, except those.
func (s Settings) writeConfig(ctx context.Context, env []string, images map[string]string, caPEM []byte) error {
	committed, err := readStackFile(filepath.Join(s.Project, "Pulumi.sandbox.yaml"))
	if err != nil {
		return fmt.Errorf("read the sandbox's stack file: %w", err)
	}
	file, err := readStackFile(s.ConfigFile())
	fresh := errors.Is(err, fs.ErrNotExist)
	switch {
	case fresh:
		if file, err = s.initStack(ctx, env); err != nil {
			return err
		}
		file.Config = mergeMissing(file.Config, committed.Config)
	case err != nil:
		return fmt.Errorf("read the sandbox's stack file: %w", err)
	}
	set := func(group, field string, value any) {
		key := "momentstudio:" + group
		m, ok := file.Config[key].(map[string]any)
		if !ok {
			m = map[string]any{}
			file.Config[key] = m
		}
		m[field] = value
	}
	frontend := "frontend"
	if fe, _ := file.Config["momentstudio:frontend"].(map[string]any); fe["mode"] == "ssr" {
		frontend = "frontend-ssr"
	}
	for _, i := range []struct{ group, field, image string }{
		{"images", "ops", "ops"},
		{"images", "edge", "edge"},
		{"images", "postgres", "postgres"},
		{"images", "redis", "redis"},
		{"release", "backend", "backend"},
		{"release", "frontend", frontend},
	} {
		m, _ := file.Config["momentstudio:"+i.group].(map[string]any)
		if now, _ := m[i.field].(string); builtHere(now, images) {
			set(i.group, i.field, images[i.image])
		}
	}
	set("host", "sshFrom", []string{s.Subnet.String()})
	set("host", "privateNetwork", s.PrivateNetwork.String())
	subnet := netip.PrefixFrom(s.PrivateNetwork.Addr(), 24)
	set("host", "privateSubnet", subnet.String())
	if _, ok := file.Config["momentstudio:host"].(map[string]any)["privateAddress"]; !ok {
		set("host", "privateAddress", subnet.Addr().Next().Next().String())
	}
	set("tls", "acmeDirectory", "https://"+s.address(acmePort)+"/dir")
	set("tls", "acmeRootPem", string(caPEM))
	set("backup", "rest", map[string]any{
		"url": "https://" + s.address(restPort) + "/" + backupUser + "/momentstudio", "username": backupUser,
		"caPem": string(caPEM),
	})
	set("backup", "s3", map[string]any{
		"endpoint": "https://" + s.address(s3Port), "bucket": backupBucket,
		"prefix": backupPrefix, "caPem": string(caPEM),
	})
	if fresh { // no backup of its own timer meets what somebody does in the first hours
		night := time.Now().UTC().Add(12 * time.Hour)
		set("backup", "at", night.Format("15:04"))
		set("backup", "checkAt", night.Add(4*time.Hour).Format("15:04"))
	}
	set("endpoints", "hcloud", "http://"+s.address(hetznerPort)+"/v1")
	set("endpoints", "cloudflareHost", s.address(cloudflarePort))
	out, err := yaml.Marshal(file)
	if err != nil {
		return fmt.Errorf("write the sandbox's stack file: %w", err)
	}
	if err := os.WriteFile(s.ConfigFile(), out, 0o600); err != nil {
		return fmt.Errorf("write the sandbox's stack file: %w", err)
	}
	return nil
}

// builtHere reports whether a reference is none yet, or that of an image which an earlier run has built. Any other is
// an operator's own and stays: the real application, from another registry or pushed to the sandbox's.
func builtHere(reference string, built map[string]string) bool {
	repository, _, _ := strings.Cut(reference, "@")
	if repository == "" || strings.HasPrefix(repository, "registry.invalid/") {
		return true
	}
	for _, b := range built {
		if own, _, _ := strings.Cut(b, "@"); own == repository {
			return true
		}
	}
	return false
}

// initStack makes the stack in the file backend and sets its secrets. It works in a directory of
// its own, because the CLI writes a new stack's salt beside Pulumi.yaml, and a clone stays clean.
func (s Settings) initStack(ctx context.Context, env []string) (stackFile, error) {
	dir := s.path("init")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return stackFile{}, fmt.Errorf("make the stack: %w", err)
	}
	defer os.RemoveAll(dir)
	if err := os.WriteFile(filepath.Join(dir, "Pulumi.yaml"), []byte("name: momentstudio\nruntime: go\n"),
		0o600); err != nil {
		return stackFile{}, fmt.Errorf("make the stack: %w", err)
	}
	commands := [][]string{{"stack", "select", "--create", s.Stack, "--secrets-provider", "passphrase"}}
	for _, v := range [][2]string{ // made-up values: nobody is on the other side
		{"sentryDsn", "https://key@sentry.invalid/1"},
		{"stripeSecretKeySandbox", "sk_test_sandbox"},
		{"stripeWebhookSecretSandbox", "whsec_sandbox"},
		{"backupRestPassword", backupPassword},
		{"backupS3AccessKey", backupWriter.Access},
		{"backupS3SecretKey", backupWriter.Secret},
	} {
		commands = append(commands, []string{"config", "set", "--stack", s.Stack, "--secret", "momentstudio:" + v[0], v[1]})
	}
	for _, args := range commands {
		cmd := exec.CommandContext(ctx, lookPath(env, "pulumi"), append(args, "--non-interactive")...)
		cmd.Dir, cmd.Env = dir, env
		if out, err := cmd.CombinedOutput(); err != nil {
			return stackFile{}, fmt.Errorf("make the stack: pulumi %s: %w: %s", args[0], err, out)
		}
	}
	return readStackFile(filepath.Join(dir, "Pulumi."+s.Stack+".yaml"))
}

func mergeMissing(into, from map[string]any) map[string]any {
	if into == nil {
		into = map[string]any{}
	}
	for k, v := range from {
		if _, ok := into[k]; !ok {
			into[k] = v
		}
	}
	return into
}
