package main

import (
	"context"
	"debug/buildinfo"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"golang.org/x/mod/modfile"
)

// module is one dependency of a program.
type module struct{ path, version string }

// sdkPath is how the SDKs of the published providers are named.
var sdkPath = regexp.MustCompile(`^github\.com/pulumi/pulumi-([a-z0-9-]+)/sdk(/v[0-9]+)?$`)

// GetRequiredPackages tells the engine which provider plugins the program will ask for, so
// that a missing one is reported before anything happens. They follow from the SDK modules
// among its dependencies.
func (h *host) GetRequiredPackages(_ context.Context, req *pulumirpc.GetRequiredPackagesRequest,
) (*pulumirpc.GetRequiredPackagesResponse, error) {
	modules, err := dependencies(req.GetInfo())
	if err != nil {
		return nil, err
	}
	response := &pulumirpc.GetRequiredPackagesResponse{}
	for _, m := range modules {
		if match := sdkPath.FindStringSubmatch(m.path); match != nil {
			response.Packages = append(response.Packages, &pulumirpc.PackageDependency{
				Name: match[1], Kind: "resource", Version: strings.TrimSuffix(m.version, "+incompatible"),
			})
		}
	}
	return response, nil
}

// GetProgramDependencies lists the program's modules, for `pulumi about`.
func (h *host) GetProgramDependencies(_ context.Context, req *pulumirpc.GetProgramDependenciesRequest,
) (*pulumirpc.GetProgramDependenciesResponse, error) {
	modules, err := dependencies(req.GetInfo())
	if err != nil {
		return nil, err
	}
	response := &pulumirpc.GetProgramDependenciesResponse{}
	for _, m := range modules {
		response.Dependencies = append(response.Dependencies,
			&pulumirpc.DependencyInfo{Name: m.path, Version: m.version})
	}
	return response, nil
}

// dependencies reads them from the prebuilt program when there is one, because that is what
// will run, and from go.mod otherwise.
func dependencies(info *pulumirpc.ProgramInfo) ([]module, error) {
	if name := option(info, "binary"); name != "" {
		path, err := find(info.GetRootDirectory(), info.GetProgramDirectory(), name)
		if err != nil {
			return nil, err
		}
		built, err := buildinfo.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("read what %s was built from: %w", path, err)
		}
		var modules []module
		for _, dep := range built.Deps {
			modules = append(modules, module{path: dep.Path, version: dep.Version})
		}
		return modules, nil
	}

	path, err := goMod(info.GetProgramDirectory())
	if err != nil {
		return nil, err
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the program's dependencies: %w", err)
	}
	file, err := modfile.ParseLax(path, content, nil)
	if err != nil {
		return nil, fmt.Errorf("read the program's dependencies: %w", err)
	}
	var modules []module
	for _, required := range file.Require {
		modules = append(modules, module{path: required.Mod.Path, version: required.Mod.Version})
	}
	return modules, nil
}

// goMod finds the go.mod that governs a directory.
func goMod(dir string) (string, error) {
	for at := dir; ; at = filepath.Dir(at) {
		path := filepath.Join(at, "go.mod")
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
		if at == filepath.Dir(at) {
			return "", fmt.Errorf("no go.mod in %s or above", dir)
		}
	}
}
