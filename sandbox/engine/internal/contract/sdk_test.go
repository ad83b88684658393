// Package contract compares the sandbox's plugins with the published Go SDKs that the program
// imports: resource types, field names, required fields and secrets. The SDKs are read as
// source, not imported, because compiling them takes minutes and would bind the plugins to
// their dependencies.
package contract

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/prekzursil/momentstudio-infra/sandbox/engine/internal/plugin"
)

// sdk is what the source of an SDK says.
type sdk struct {
	structs   map[string]map[string]string // struct -> pulumi name -> Go type
	comments  map[string]map[string]string // struct -> pulumi name -> comment
	resources map[string]sdkResource       // type token -> resource
}

type sdkResource struct {
	name     string // Go type
	required []string
	secrets  []string
}

// modules are the SDKs, with the directory of their package.
var modules = map[string]struct{ path, dir string }{
	"cloudflare": {"github.com/pulumi/pulumi-cloudflare/sdk/v5", "go/cloudflare"},
	"docker":     {"github.com/pulumi/pulumi-docker/sdk/v4", "go/docker"},
	"hcloud":     {"github.com/pulumi/pulumi-hcloud/sdk", "go/hcloud"},
	"random":     {"github.com/pulumi/pulumi-random/sdk/v4", "go/random"},
}

// programVersion reads the version of an SDK from the program's go.mod.
func programVersion(t *testing.T, module string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("..", "..", "..", "..", "go.mod"))
	if err != nil {
		t.Fatalf("read the program's go.mod: %v", err)
	}
	match := regexp.MustCompile(`(?m)^\s*(?:require )?` + regexp.QuoteMeta(module) + ` (v\S+)`).FindSubmatch(content)
	if match == nil {
		t.Fatalf("the program's go.mod does not require %s", module)
	}
	return string(match[1])
}

func loadSDK(t *testing.T, release plugin.Release) sdk {
	t.Helper()
	module := modules[release.Name]
	version := programVersion(t, module.path)
	if strings.TrimSuffix(version, "+incompatible") != "v"+release.Version {
		t.Fatalf("the program imports %s %s, the plugin stands for %s", module.path, version, release.Version)
	}
	command := exec.Command("go", "mod", "download", "-json", module.path+"@"+version)
	command.Dir = filepath.Join("..", "..", "..", "..") // verified by the program's go.sum
	output, err := command.Output()
	if err != nil {
		t.Fatalf("go mod download %s@%s: %v\n%s", module.path, version, err, output)
	}
	var downloaded struct{ Dir string }
	if err := json.Unmarshal(output, &downloaded); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(downloaded.Dir, filepath.FromSlash(module.dir), "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no sources of %s in %s: %v", module.path, downloaded.Dir, err)
	}
	s := sdk{
		structs: map[string]map[string]string{}, comments: map[string]map[string]string{},
		resources: map[string]sdkResource{},
	}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, declaration := range file.Decls {
			switch d := declaration.(type) {
			case *ast.GenDecl:
				s.readStructs(d)
			case *ast.FuncDecl:
				s.readConstructor(d)
			}
		}
	}
	if len(s.resources) == 0 {
		t.Fatalf("found no resources in %s", module.path)
	}
	return s
}

func (s sdk) readStructs(d *ast.GenDecl) {
	for _, spec := range d.Specs {
		named, ok := spec.(*ast.TypeSpec)
		if !ok {
			continue
		}
		body, ok := named.Type.(*ast.StructType)
		if !ok {
			continue
		}
		fields, comments := map[string]string{}, map[string]string{}
		for _, field := range body.Fields.List {
			if field.Tag == nil {
				continue
			}
			tag, _ := strconv.Unquote(field.Tag.Value)
			name, _, _ := strings.Cut(reflect.StructTag(tag).Get("pulumi"), ",")
			if name != "" {
				fields[name] = typeName(field.Type)
				comments[name] = field.Doc.Text()
			}
		}
		s.structs[named.Name.Name], s.comments[named.Name.Name] = fields, comments
	}
}

// readConstructor takes type token, required arguments and secret outputs from a New function.
func (s sdk) readConstructor(d *ast.FuncDecl) {
	if d.Recv != nil || !strings.HasPrefix(d.Name.Name, "New") || d.Body == nil {
		return
	}
	resource := sdkResource{name: strings.TrimPrefix(d.Name.Name, "New")}
	var typeToken string
	ast.Inspect(d.Body, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		function, ok := call.Fun.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		switch function.Sel.Name {
		case "RegisterResource":
			typeToken = literal(call.Args[0])
		case "New":
			if match := regexp.MustCompile(`required argument '(\w+)'`).FindStringSubmatch(literal(call.Args[0])); match != nil {
				resource.required = append(resource.required, strings.ToLower(match[1][:1])+match[1][1:])
			}
		case "AdditionalSecretOutputs":
			for _, element := range call.Args[0].(*ast.CompositeLit).Elts {
				resource.secrets = append(resource.secrets, literal(element))
			}
		}
		return true
	})
	if typeToken != "" {
		s.resources[typeToken] = resource
	}
}

func literal(e ast.Expr) string {
	if basic, ok := e.(*ast.BasicLit); ok {
		text, _ := strconv.Unquote(basic.Value)
		return text
	}
	return ""
}

// typeName writes a type without pointers: "[]RecordData", "map[string]string", "int".
func typeName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return typeName(e.X)
	case *ast.ArrayType:
		return "[]" + typeName(e.Elt)
	case *ast.MapType:
		return "map[" + typeName(e.Key) + "]" + typeName(e.Value)
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	}
	return "?"
}

func argsOf(resource string) string { return strings.ToLower(resource[:1]) + resource[1:] + "Args" }
