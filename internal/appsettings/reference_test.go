package appsettings

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// docs/reference/settings.md is written from the catalogue itself, so that it can neither miss a
// setting nor name one that is gone.
func TestReferenceIsCurrent(t *testing.T) {
	path := filepath.Join("..", "..", "docs", "reference", "settings.md")
	text := reference(t)
	if *update {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil { //nolint:gosec // a document is public
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (go test ./internal/appsettings -update writes it)", err)
	}
	if string(have) != text {
		t.Errorf("%s is stale; `go test ./internal/appsettings -update` rewrites it", path)
	}
}

const intro = `<!-- Written by go test ./internal/appsettings -update; edit the tags and comments there. -->

# The application's settings

Every setting of the shop that a stack passes on. Plain ones are fields of the config group ` + "`momentstudio:app`" +
	`, secrets
are keys of their own and always encrypted:

` + "```sh" + `
pulumi config set --path 'momentstudio:app.smtp.host' mail.example.com --stack prod
pulumi config set --secret momentstudio:smtpPassword --stack prod    # asks for the value
` + "```" + `

- **Default** in code type is what a stack gets that leaves the key out; "app: …" is the application's own default,
  which holds because nothing is passed on. What has neither is not set.
- **Seen by**: *plain* stands in the environment of the processes that read it; *secret* only in ` + "`/app/.env`" +
	`, a file of mode
  0400 that API, worker and migration share; *public* is shown to every browser.
- **A change** starts new tasks of the processes that read the setting: the API's and the frontend's before the old
  ones end, so no request fails; the worker's after. A change of a secret renews API and worker.

`

func reference(t *testing.T) string {
	t.Helper()
	comments := parseComments(t, "groups.go", "secrets.go")
	var given, made, refused strings.Builder
	for _, s := range Catalogue() {
		if s.Key == "" {
			fmt.Fprintf(&made, "| `%s` | %s | %s | %s | %s |\n", s.Name, s.Readers, s.Class, change(s), s.From)
			continue
		}
		if comments[s.field] == "" && strings.HasPrefix(s.field, "Secrets.") {
			t.Errorf("%s has no comment", s.field)
		}
		def := ""
		switch {
		case s.Default != "":
			def = "`" + s.Default + "`"
		case s.App != "":
			def = "app: " + s.App
		}
		kind := s.Kind
		if s.Limits != "" {
			kind += ", " + s.Limits
		}
		if s.Limits != "" && s.Kind == "text" {
			kind = "one of " + s.Limits
		}
		key := "`" + s.Key + "`"
		if len(s.Legacy) > 0 {
			key += "<br>legacy: `" + strings.Join(s.Legacy, "`, `") + "`"
		}
		fmt.Fprintf(&given, "| `%s` | %s | %s | %s | %s | %s | %s | %s |\n", s.Name, key, kind, def, s.Readers, s.Class,
			change(s), comments[s.field])
	}
	for _, name := range slices.Sorted(maps.Keys(notOurs)) {
		fmt.Fprintf(&refused, "| `%s` | %s |\n", name, notOurs[name])
	}
	return intro + "## Given by the stack\n\n| Application's name | Config key | Type | Default | Read by | Seen by | A " +
		"change renews | Meaning |\n|---|---|---|---|---|---|---|---|\n" + given.String() +
		"\n`app.extra` takes further plain settings by the application's own names, for releases that know more than " +
		"this\ncatalogue; API and worker get them. It refuses every name of this page and everything that is a secret by " +
		"its name.\n" +
		"\n## Set by the program\n\n| Application's name | Read by | Seen by | A change renews | From " +
		"|\n|---|---|---|---|---|\n" + made.String() +
		"\n## Never set\n\n| Application's name | Why |\n|---|---|\n" + refused.String()
}

// change names the services that a changed setting renews.
func change(s Setting) string {
	if s.Class == Secret {
		return "API, worker"
	}
	var out []string
	for _, r := range []Reader{API, Worker, Frontend} {
		if s.Readers&r != 0 {
			out = append(out, r.String())
		}
	}
	return strings.Join(out, ", ")
}

// parseComments reads "Type.Field" -> comment on one line.
func parseComments(t *testing.T, files ...string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok {
				return true
			}
			if fields, ok := spec.Type.(*ast.StructType); ok {
				for _, f := range fields.Fields.List {
					for _, n := range f.Names {
						out[spec.Name.Name+"."+n.Name] = strings.Join(strings.Fields(f.Doc.Text()+" "+f.Comment.Text()), " ")
					}
				}
			}
			return false
		})
	}
	return out
}
