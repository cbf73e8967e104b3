package gateway

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestEveryProblemIsListed reads the code for the types of problems that it makes.
func TestEveryProblemIsListed(t *testing.T) {
	made := map[string]bool{}
	for _, r := range rules() {
		made[r.slug] = true
		if !slices.ContainsFunc(listedProblems(), func(p listedProblem) bool { return p.slug == r.slug && p.status == r.status }) {
			t.Errorf("%s is not listed with %d in problemlist.go", r.slug, r.status)
		}
	}
	statuses := map[string]bool{}
	files, err := fs.Glob(os.DirFS("."), "*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr:
				if name, ok := n.Fun.(*ast.Ident); ok && name.Name == "problemType" {
					if slug, ok := n.Args[0].(*ast.BasicLit); ok {
						text, _ := strconv.Unquote(slug.Value)
						made[text] = true
					}
				}
			case *ast.SelectorExpr:
				if pkg, ok := n.X.(*ast.Ident); ok && pkg.Name == "http" && strings.HasPrefix(n.Sel.Name, "Status") {
					statuses[n.Sel.Name] = true
				}
			}
			return true
		})
	}
	if len(made) < 20 {
		t.Fatalf("found %d only", len(made))
	}
	listed := map[string]bool{"": true}
	for _, p := range listedProblems() {
		listed[p.slug] = true
		if p.slug != "" && !made[p.slug] {
			t.Errorf("problemlist.go has %s, which nothing makes", p.slug)
		}
		if http.StatusText(p.status) == "" || !strings.HasSuffix(p.means, ".") {
			t.Errorf("%+v is not told well", p)
		}
		delete(statuses, "Status"+strings.ReplaceAll(http.StatusText(p.status), " ", ""))
	}
	for slug := range made {
		if !listed[slug] {
			t.Errorf("%s is a problem that is not listed: add it to problemlist.go, and run go test ./gateway -run TestProblemsAreDocumented -update", slug)
		}
	}
	for name := range statuses {
		if answersWell[name] {
			continue
		}
		t.Errorf("http.%s is in the code, and in no problem that problemlist.go has", name)
	}
}

// answersWell are the statuses in the code that no problem has.
var answersWell = map[string]bool{
	"StatusText": true, "StatusContinue": true, "StatusOK": true, "StatusCreated": true, "StatusAccepted": true,
	"StatusNoContent": true, "StatusMultiStatus": true, "StatusSeeOther": true, "StatusNotModified": true,
	"StatusBadGateway":     true, // Fiber's word for a connection that broke
	"StatusNotImplemented": true, // of what only huma's tests would call
}

// TestProblemsAreDocumented compares docs/api.md with the list; -update writes it.
func TestProblemsAreDocumented(t *testing.T) {
	const page = "../docs/api.md"
	data, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(data), "<!-- problems -->\n")
	was, after, ends := strings.Cut(rest, "<!-- end -->")
	if !found || !ends {
		t.Fatalf("%s has no place for the problems", page)
	}
	if was == problemTable() {
		return
	}
	if !*update {
		t.Fatalf("%s lists other problems than problemlist.go: run go test ./gateway -run TestProblemsAreDocumented -update", page)
	}
	if err := os.WriteFile(page, []byte(before+"<!-- problems -->\n"+problemTable()+"<!-- end -->"+after), 0o600); err != nil {
		t.Fatal(err)
	}
}
