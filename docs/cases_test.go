package docs

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// rows are the rules of the consent, the providers, the refresh and the pages that each have a test of their name.
func rows() []string {
	var out []string
	add := func(kind string, numbers ...int) {
		for _, n := range numbers {
			out = append(out, fmt.Sprintf("%s-%d", kind, n))
		}
	}
	for n := 1; n <= 18; n++ {
		add("OA", n)
	}
	add("OA", 20, 21, 24, 27, 28, 30, 31, 32, 33, 34, 35, 36)
	add("PQ", 1, 4, 5, 15)
	for n := 1; n <= 10; n++ {
		add("RF", n)
	}
	add("WB", 1, 2, 3, 4, 5, 9, 13, 14)
	return out
}

// TestEveryRowHasItsCase: a test function is named after each row, such as TestRF10 or TestOA14Refresh, or a subtest, such
// as "OA-5 a replayed state". What a test prints is no case.
func TestEveryRowHasItsCase(t *testing.T) {
	t.Parallel()
	cases := map[string][]string{}
	for _, name := range everyCase(t) {
		if row := rowOf(name); row != "" {
			cases[row] = append(cases[row], name)
		}
	}
	if len(cases) < 20 {
		t.Fatalf("only %d rows were found: %v", len(cases), cases)
	}
	for _, row := range rows() {
		if len(cases[row]) == 0 {
			t.Errorf("%s has no case: write a test function Test%s… or a subtest \"%s …\"", row, strings.Replace(row, "-", "", 1), row)
		}
	}
}

// everyCase returns the names of the cases of the whole repository.
func everyCase(t *testing.T) []string {
	t.Helper()
	var names []string
	files := token.NewFileSet()
	err := filepath.WalkDir(repository, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "node_modules" || d.Name() == "bin" || d.Name() == ".git"):
			return filepath.SkipDir
		case !strings.HasSuffix(path, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
		if err == nil {
			names = append(names, caseNames(file)...)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// caseNames returns the names of a file's test and fuzz functions, and the literals that name subtests: the first argument of Run,
// and what stands in tables.
func caseNames(file *ast.File) []string {
	var out []string
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			if n.Recv == nil && (strings.HasPrefix(n.Name.Name, "Test") || strings.HasPrefix(n.Name.Name, "Fuzz")) {
				out = append(out, n.Name.Name)
			}
		case *ast.CallExpr:
			if f, ok := n.Fun.(*ast.SelectorExpr); ok && f.Sel.Name == "Run" && len(n.Args) == 2 {
				out = append(out, literal(n.Args[0]))
			}
		case *ast.CompositeLit:
			for _, e := range n.Elts {
				if kv, ok := e.(*ast.KeyValueExpr); ok {
					out = append(out, literal(kv.Key), literal(kv.Value))
				} else {
					out = append(out, literal(e))
				}
			}
		}
		return true
	})
	return slices.DeleteFunc(out, func(name string) bool { return name == "" })
}

// literal returns the string that an expression is, or begins with.
func literal(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BinaryExpr:
		return literal(e.X)
	case *ast.BasicLit:
		if s, err := strconv.Unquote(e.Value); err == nil && e.Kind == token.STRING {
			return s
		}
	}
	return ""
}

// rowOf returns the row that a name begins with: "RF-10" of TestRF10, "OA-5" of "OA-5 a replayed state".
func rowOf(name string) string {
	m := regexp.MustCompile(`^(?:Test(OA|PQ|RF|WB)([0-9]+)(?:[A-Z_].*)?|(OA|PQ|RF|WB)-([0-9]+)(?:[ :,].*)?)$`).FindStringSubmatch(name)
	if m == nil {
		return ""
	}
	return m[1] + m[3] + "-" + m[2] + m[4]
}

// TestRowOf: names of other things are of no row.
func TestRowOf(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"TestRF10": "RF-10", "TestOA14Refresh": "OA-14", "OA-5 a replayed state": "OA-5", "RF-1": "RF-1",
		"TestRF1x": "", "TestOADisconnect": "", "see OA-5": "", "OA-5x": "", "OA- 5": "", "TestConsent": "",
	} {
		if got := rowOf(name); got != want {
			t.Errorf("%q is of row %q, want %q", name, got, want)
		}
	}
}
