package config

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/prekzursil/momentstudio-infra/internal/appsettings"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// docs/reference/config.md is written from the types themselves, so that it can neither miss a key
// nor name one that is gone.
func TestReferenceIsCurrent(t *testing.T) {
	path := filepath.Join("..", "..", "docs", "reference", "config.md")
	text := reference(t)
	if *update {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil { //nolint:gosec // a document is public
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (go test ./internal/config -update writes it)", err)
	}
	if string(have) != text {
		t.Errorf("%s is stale; `go test ./internal/config -update` rewrites it", path)
	}
}

const referenceIntro = `<!-- Written by go test ./internal/config -update; edit the comments there. -->

# Config keys

All keys carry the prefix ` + "`momentstudio:`" + ` and stand in ` + "`Pulumi.<stack>.yaml`" +
	`. Groups are objects; one field of a
group is set by its path, a secret only encrypted:

` + "```sh" + `
pulumi config set --path 'momentstudio:host.generation' 2 --stack prod
pulumi config set --secret momentstudio:sentryDsn --stack prod    # asks for the value
` + "```" + `

Everything is checked before any resource is touched, and all problems are reported at once. A key that is
not listed here is an error. An empty default means: none.

`

// reference renders the document.
func reference(t *testing.T) string {
	t.Helper()
	comments := parseComments(t)
	c := defaults()
	var top, groups, secrets strings.Builder
	for _, g := range c.groups() {
		v := reflect.ValueOf(g.dest).Elem()
		if g.key == "app" {
			groups.WriteString("## app\n\nThe application's own settings, and its secret keys: [settings.md](settings.md).\n\n")
			continue
		}
		if v.Kind() != reflect.Struct {
			top.WriteString(row(g.key, v, comments["Config."+fieldOf(&c, g.dest)]))
			continue
		}
		fmt.Fprintf(&groups, "## %s\n\n%s\n\n%s", g.key, comments[v.Type().Name()], header)
		rows(&groups, g.key, v, comments)
		groups.WriteString("\n")
	}
	own := regexp.MustCompile(`^top-level "\w+"[;,:] `)
	app := appsettings.SecretKeys(&c.AppSecrets)
	for _, s := range c.secretKeys() {
		if app[s.key] != nil {
			continue
		}
		fmt.Fprintf(&secrets, "| `%s` | %s |\n", s.key, own.ReplaceAllString(comments["Config."+fieldOf(&c, s.dest)], ""))
	}
	return referenceIntro + "## Top level\n\n" + header + top.String() + "\n" + groups.String() +
		"## Secret keys\n\nEach is a key of its own, because the engine can tell secret from plain only there. Those of " +
		"the\napplication stand in [settings.md](settings.md).\n\n" +
		"| Key | Meaning |\n|---|---|\n" + secrets.String()
}

const header = "| Key | Type | Default | Meaning |\n|---|---|---|---|\n"

func rows(b *strings.Builder, prefix string, v reflect.Value, comments map[string]string) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		key := prefix + "." + f.Tag.Get("json")
		if f.Type.Kind() == reflect.Struct {
			rows(b, key, v.Field(i), comments)
			continue
		}
		b.WriteString(row(key, v.Field(i), comments[v.Type().Name()+"."+f.Name]))
	}
}

func row(key string, v reflect.Value, comment string) string {
	def := ""
	if !v.IsZero() || v.Kind() == reflect.Bool && key != "protect" { // whose default follows from the kind
		def = fmt.Sprintf("`%v`", v.Interface())
	}
	// The column says it already.
	value := regexp.QuoteMeta(fmt.Sprint(v.Interface()))
	stated := regexp.MustCompile(`(; )?default ("` + value + `"|` + value + `)(; |: |$)`)
	comment = strings.TrimPrefix(stated.ReplaceAllString(comment, "; "), "; ")
	comment = strings.TrimSuffix(comment, "; ")
	return fmt.Sprintf("| `%s` | %s | %s | %s |\n", key, typeName(v.Type()), def, strings.ReplaceAll(comment, "|", `\|`))
}

func typeName(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Bool:
		return "boolean"
	case reflect.Int:
		return "integer"
	case reflect.Slice:
		return "list of " + typeName(t.Elem()) + "s"
	case reflect.Map:
		return "object of " + typeName(t.Elem()) + "s"
	default:
		return "string"
	}
}

// fieldOf returns the name of the field of c that dest points to.
func fieldOf(c *Config, dest any) string {
	v := reflect.ValueOf(c).Elem()
	for i := range v.NumField() {
		if v.Type().Field(i).IsExported() && v.Field(i).Addr().Interface() == dest {
			return v.Type().Field(i).Name
		}
	}
	return ""
}

// parseComments reads the files that declare the groups: "Type" and "Type.Field" -> comment on one line.
func parseComments(t *testing.T) map[string]string {
	t.Helper()
	var decls []ast.Decl
	for _, name := range []string{"config.go", "backup.go", "drill.go"} {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		decls = append(decls, file.Decls...)
	}
	out := map[string]string{}
	for _, d := range decls {
		decl, ok := d.(*ast.GenDecl)
		if !ok {
			continue
		}
		for _, s := range decl.Specs {
			spec, ok := s.(*ast.TypeSpec)
			if !ok {
				continue
			}
			out[spec.Name.Name] = oneLine(decl.Doc)
			fields, ok := spec.Type.(*ast.StructType)
			if !ok {
				continue
			}
			for _, f := range fields.Fields.List {
				for _, n := range f.Names {
					out[spec.Name.Name+"."+n.Name] = strings.TrimSpace(oneLine(f.Doc) + " " + oneLine(f.Comment))
				}
			}
		}
	}
	return out
}

func oneLine(c *ast.CommentGroup) string { return strings.Join(strings.Fields(c.Text()), " ") }
