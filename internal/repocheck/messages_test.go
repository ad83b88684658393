package repocheck

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// matchesForeignTexts are the packages that may match texts of other programs, which have no code or structure for what
// must be told apart. Nobody else compares a message: parts of this repository exchange values.
var matchesForeignTexts = map[string]string{
	"internal/diagnosis":        "errors of Hetzner, Cloudflare and Docker as their providers print them; the CLI's lock",
	"internal/gate":             "a host that boots has no hostops yet: cloud-init, Docker and ssh answer for themselves",
	"internal/hostops/release":  "alembic's exit code is the same for an unknown revision and every other failure",
	"internal/hostops/restic":   "restic prints places of its source below some errors",
	"internal/hostops/postgres": "counts the tables of a dump inside of the container that made it",
}

// comparing are functions that look into a text.
var comparing = []string{
	"Contains", "HasPrefix", "HasSuffix", "Cut", "CutPrefix", "CutSuffix", "Index", "LastIndex", "EqualFold", "Count",
	"MatchString", "FindString", "FindStringSubmatch", "FindAllStringSubmatch", "FindAllString",
}

// shellText is a script that turns what Docker or systemd know into text for a parser.
var shellText = regexp.MustCompile(`docker [a-z ]+--format|systemctl (show|list|is-)|\| *grep `)

func TestNoPartReadsAnothersMessages(t *testing.T) {
	seen := 0
	for _, name := range files(t, "internal", "cmd", "stacks", "components") {
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") || strings.Contains(name, "testdata/") ||
			strings.HasPrefix(name, "internal/repocheck/") {
			continue
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, filepath.Join(root, name), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		pkg := filepath.ToSlash(filepath.Dir(name))
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr:
				selector, ok := n.Fun.(*ast.SelectorExpr)
				if !ok || !slices.Contains(comparing, selector.Sel.Name) {
					return true
				}
				seen++
				if slices.ContainsFunc(n.Args, readsMessage) && matchesForeignTexts[pkg] == "" {
					t.Errorf("%s compares the text of an error: use errors.Is, errors.As or a value", fset.Position(n.Pos()))
				}
			case *ast.BinaryExpr:
				if (n.Op == token.EQL || n.Op == token.NEQ) && (readsMessage(n.X) || readsMessage(n.Y)) {
					t.Errorf("%s compares the text of an error: use errors.Is, errors.As or a value", fset.Position(n.Pos()))
				}
			case *ast.BasicLit:
				text, err := strconv.Unquote(n.Value)
				if n.Kind == token.STRING && err == nil && shellText.MatchString(text) && matchesForeignTexts[pkg] == "" {
					t.Errorf("%s asks Docker or systemd by a shell script: `hostops inspect` reports it as JSON",
						fset.Position(n.Pos()))
				}
			}
			return true
		})
	}
	if seen < 100 {
		t.Errorf("only %d comparisons of texts were looked at", seen)
	}
}

// readsMessage reports whether an expression is the text of an error.
func readsMessage(e ast.Expr) bool {
	found := false
	ast.Inspect(e, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok && len(call.Args) == 0 {
			if s, ok := call.Fun.(*ast.SelectorExpr); ok && s.Sel.Name == "Error" {
				found = true
			}
		}
		return !found
	})
	return found
}
