package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/constant"
	"github.com/pulumi/pulumi/sdk/v3/go/common/version"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/protobuf/types/known/emptypb"
)

// killDelay is how long a cancelled program may take to end by itself.
const killDelay = 10 * time.Second

// host serves the part of the language runtime's protocol that running a program needs. For every other
// method the embedded server returns gRPC's status Unimplemented, and the engine then uses its own fallback.
type host struct {
	pulumirpc.UnimplementedLanguageRuntimeServer
	engine string          // address of the engine
	stop   context.Context //nolint:containedctx // ends with the process, not with one call
}

// Run executes the program once and reports how it ended. A program that told the engine about
// its error itself is not reported twice.
func (h *host) Run(ctx context.Context, req *pulumirpc.RunRequest) (*pulumirpc.RunResponse, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(h.stop, cancel)() //nolint:contextcheck // the process's end ends the call, too

	env, err := environment(req, h.engine)
	if err != nil {
		return nil, fmt.Errorf("prepare the program's environment: %w", err)
	}
	program, remove, err := prepare(ctx, req.GetInfo())
	if err != nil {
		return &pulumirpc.RunResponse{Error: err.Error()}, nil
	}
	defer remove()

	cmd := exec.CommandContext(ctx, program, req.GetArgs()...)
	cmd.Dir = req.GetPwd()
	cmd.Env = env
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = killDelay
	err = cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return &pulumirpc.RunResponse{}, nil
	case errors.As(err, &exit) && exit.ExitCode() == constant.ExitStatusLoggedError:
		return &pulumirpc.RunResponse{Bail: true}, nil
	case errors.As(err, &exit):
		return &pulumirpc.RunResponse{Error: fmt.Sprintf("program ended with %s", exit)}, nil
	}
	return &pulumirpc.RunResponse{Error: fmt.Sprintf("run %s: %v", program, err)}, nil
}

// prepare returns the executable of a program: the one that the option binary names, or a
// fresh build. The caller calls remove when the program has ended.
func prepare(ctx context.Context, info *pulumirpc.ProgramInfo) (path string, remove func(), err error) {
	keep := func() {}
	binary, target := option(info, "binary"), option(info, "buildTarget")
	switch {
	case binary != "" && target != "":
		return "", nil, errors.New("in Pulumi.yaml, runtime.options: binary and buildTarget cannot both be set")
	case binary != "":
		path, err := find(info.GetRootDirectory(), info.GetProgramDirectory(), binary)
		return path, keep, err
	case target != "":
		if !filepath.IsAbs(target) {
			target = filepath.Join(info.GetRootDirectory(), target)
		}
		return target, keep, compile(ctx, info, target)
	}
	dir, err := os.MkdirTemp("", "pulumi-go-")
	if err != nil {
		return "", nil, fmt.Errorf("create build directory: %w", err)
	}
	remove = func() { _ = os.RemoveAll(dir) }
	path = filepath.Join(dir, "program")
	if err := compile(ctx, info, path); err != nil {
		remove()
		return "", nil, err
	}
	return path, remove, nil
}

// find looks for a prebuilt program beside Pulumi.yaml, in the program's directory, and on
// PATH, in this order.
func find(root, program, name string) (string, error) {
	candidates := []string{name}
	if !filepath.IsAbs(name) {
		candidates = []string{filepath.Join(root, name), filepath.Join(program, name)}
	}
	for _, path := range candidates {
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return path, nil
		}
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("in Pulumi.yaml, runtime.options.binary: no executable %q in %s or on PATH; build it first",
			name, root)
	}
	return path, nil
}

func compile(ctx context.Context, info *pulumirpc.ProgramInfo, output string) error {
	pkg := info.GetEntryPoint()
	if pkg == "" {
		pkg = "."
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-o", output, pkg)
	cmd.Dir = info.GetProgramDirectory()
	if messages, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("compile the program: %w\n%s", err, messages)
	}
	return nil
}

func option(info *pulumirpc.ProgramInfo, name string) string {
	return info.GetOptions().GetFields()[name].GetStringValue()
}

// environment is how a program learns what to deploy where. Programs inherit the rest.
func environment(req *pulumirpc.RunRequest, engine string) ([]string, error) {
	config, err := json.Marshal(req.GetConfig())
	if err != nil {
		return nil, fmt.Errorf("encode config: %w", err)
	}
	secrets := req.GetConfigSecretKeys()
	if secrets == nil {
		secrets = []string{}
	}
	secretKeys, err := json.Marshal(secrets)
	if err != nil {
		return nil, fmt.Errorf("encode names of secrets: %w", err)
	}
	env := os.Environ()
	for _, setting := range [][2]string{
		{pulumi.EnvOrganization, req.GetOrganization()},
		{pulumi.EnvProject, req.GetProject()},
		{pulumi.EnvStack, req.GetStack()},
		{pulumi.EnvConfig, string(config)},
		{pulumi.EnvConfigSecretKeys, string(secretKeys)},
		{pulumi.EnvDryRun, strconv.FormatBool(req.GetDryRun())},
		{pulumi.EnvParallel, strconv.Itoa(int(req.GetParallel()))},
		{pulumi.EnvMonitor, req.GetMonitorAddress()},
		{pulumi.EnvEngine, engine},
	} {
		if setting[1] != "" {
			env = append(env, setting[0]+"="+setting[1])
		}
	}
	return env, nil
}

// GetPluginInfo names the release of the SDK whose protocol the host speaks.
func (h *host) GetPluginInfo(context.Context, *emptypb.Empty) (*pulumirpc.PluginInfo, error) {
	return &pulumirpc.PluginInfo{Version: version.Version}, nil
}

// About describes the host for `pulumi about`.
func (h *host) About(context.Context, *pulumirpc.AboutRequest) (*pulumirpc.AboutResponse, error) {
	compiler, err := exec.LookPath("go")
	if err != nil {
		compiler = "" // A prebuilt program needs no compiler.
	}
	return &pulumirpc.AboutResponse{Executable: compiler, Version: runtime.Version()}, nil
}

// InstallDependencies fetches the program's modules, for `pulumi install`.
func (h *host) InstallDependencies(req *pulumirpc.InstallDependenciesRequest,
	stream pulumirpc.LanguageRuntime_InstallDependenciesServer,
) error {
	cmd := exec.CommandContext(stream.Context(), "go", "mod", "download")
	cmd.Dir = req.GetInfo().GetProgramDirectory()
	messages, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("go mod download: %w\n%s", err, messages)
	}
	if len(messages) == 0 {
		return nil
	}
	return stream.Send(&pulumirpc.InstallDependenciesResponse{Stdout: messages})
}
