package runner

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/prekzursil/momentstudio-infra/sandbox/toolchain"
)

// tools returns the Pulumi engine of the sandbox. A CLI of the machine that is not good enough is named with the
// reason, and one is built on first use.
func (s Settings) tools(ctx context.Context, log io.Writer) (toolchain.Toolchain, error) {
	if s.CLI != BuiltPulumi {
		t, err := toolchain.FromMachine(ctx, filepath.Join(s.Cache, "pulumi-home"), log)
		if err == nil {
			fmt.Fprintln(log, "using", t.CLI)
			return t, nil
		}
		if s.CLI == HostPulumi {
			return t, err
		}
		if !errors.Is(err, toolchain.ErrNoPulumi) {
			fmt.Fprintf(log, "building a Pulumi CLI, because %v\n", err)
		}
	}
	return toolchain.Ensure(ctx, toolchain.Options{
		EngineDir:  filepath.Join(s.Project, "sandbox", "engine"),
		InstallDir: filepath.Join(s.Cache, "toolchain"),
		Log:        log,
	})
}

// Env is the environment in which `pulumi` works on the sandbox's stack.
func (s Settings) Env(t toolchain.Toolchain) []string {
	env := append(t.Env(os.Environ()),
		"PULUMI_CONFIG_PASSPHRASE="+passphrase,
		"HCLOUD_TOKEN="+hetznerToken,
		"CLOUDFLARE_API_TOKEN="+cloudflareToken,
		"SSL_CERT_FILE="+s.path("ca", "bundle.pem"),
	)
	if s.FileState {
		// Without metadata no file lies beside the state, which a kill could leave empty.
		return append(env, "PULUMI_BACKEND_URL=file://"+s.path("state")+"?metadata=skip")
	}
	return append(env,
		"PULUMI_BACKEND_URL="+s.StateURL(),
		"AWS_ACCESS_KEY_ID="+StateOperator.Access, "AWS_SECRET_ACCESS_KEY="+StateOperator.Secret,
		"AWS_CA_BUNDLE="+s.path("ca", "bundle.pem"), // which the client prefers to SSL_CERT_FILE
		// Nothing of the caller's own account.
		"AWS_SESSION_TOKEN=", "AWS_PROFILE=", "AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null",
		"AWS_EC2_METADATA_DISABLED=true",
	)
}

// StateURL is the bucket of the states in the sandbox's S3 store, as the CLI takes it.
func (s Settings) StateURL() string {
	return "s3://" + StateBucket + "?region=us-east-1&use_path_style=true&endpoint=" +
		url.QueryEscape("https://"+s.address(s3Port))
}

// PrintEnv writes the environment as shell commands, for an operator who wants to use the CLI.
func (s Settings) PrintEnv(w io.Writer, t toolchain.Toolchain) {
	base := map[string]bool{}
	for _, v := range os.Environ() {
		base[v] = true
	}
	for _, v := range s.Env(t) {
		if name, value, ok := strings.Cut(v, "="); ok && !base[v] {
			fmt.Fprintf(w, "export %s='%s'\n", name, strings.ReplaceAll(value, "'", `'\''`))
		}
	}
}

// bundle writes the machine's own roots with the sandbox's CA: plugins reach the emulated Cloudflare
// with it, and the language host still reaches the module proxy.
func (s Settings) bundle(caPEM []byte) error {
	system, err := os.ReadFile("/etc/ssl/certs/ca-certificates.crt")
	if err != nil {
		return fmt.Errorf("read this machine's certificate authorities: %w", err)
	}
	text := append(append(system, '\n'), caPEM...)
	if err := os.WriteFile(s.path("ca", "bundle.pem"), text, 0o644); err != nil { //nolint:gosec // certificates are public
		return fmt.Errorf("write the certificate bundle: %w", err)
	}
	return nil
}

// run runs a command in the clone with its output copied to out; the error repeats its last lines.
func (s Settings) run(ctx context.Context, env []string, out io.Writer, name string, args ...string) error {
	var tail bytes.Buffer
	cmd := exec.CommandContext(ctx, lookPath(env, name), args...)
	cmd.Dir, cmd.Env = s.Project, env
	cmd.Stdout, cmd.Stderr = io.MultiWriter(out, &tail), io.MultiWriter(out, &tail)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	if err := cmd.Run(); err != nil {
		lines := strings.Split(strings.TrimSpace(tail.String()), "\n")
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err,
			strings.Join(lines[max(0, len(lines)-15):], "\n"))
	}
	return nil
}

// lookPath finds a program on the PATH of env, which is not this process's own.
func lookPath(env []string, name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	path := ""
	for _, v := range env {
		if p, ok := strings.CutPrefix(v, "PATH="); ok {
			path = p
		}
	}
	for _, dir := range filepath.SplitList(path) {
		if info, err := os.Stat(filepath.Join(dir, name)); err == nil && !info.IsDir() && info.Mode()&0o111 != 0 {
			return filepath.Join(dir, name)
		}
	}
	return name
}
