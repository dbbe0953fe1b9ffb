package web_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// goSource is what the source of this program says of its types.
type goSource struct {
	// docs are comments of types, by package and name, and of fields, with their names besides.
	docs map[string]string
	// values are the constants of a type, by package and name.
	values map[string][]any
	// codes are the codes of problems that constants name.
	codes map[string]bool
}

// describedPackages are those whose types the admin API takes and gives.
func describedPackages() []string {
	return []string{"web", "store", "jobs", "oauthflow", "connectors", "internal/audit"}
}

func readSource(t *testing.T) *goSource {
	t.Helper()
	s := &goSource{docs: map[string]string{}, values: map[string][]any{}, codes: map[string]bool{}}
	for _, dir := range describedPackages() {
		files, err := filepath.Glob(filepath.Join("..", dir, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no source in %s: %v", dir, err)
		}
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments|parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range file.Decls {
				if g, ok := d.(*ast.GenDecl); ok {
					s.declared("tributary/"+dir, g)
				}
			}
		}
	}
	return s
}

func (s *goSource) declared(pkg string, g *ast.GenDecl) {
	for _, spec := range g.Specs {
		switch spec := spec.(type) {
		case *ast.TypeSpec:
			name := pkg + "." + spec.Name.Name
			s.docs[name] = spec.Doc.Text()
			if spec.Doc == nil {
				s.docs[name] = g.Doc.Text()
			}
			if st, ok := spec.Type.(*ast.StructType); ok {
				for _, f := range st.Fields.List {
					for _, n := range f.Names {
						s.docs[name+"."+n.Name] = f.Doc.Text()
					}
				}
			}
		case *ast.ValueSpec:
			if g.Tok == token.CONST {
				s.constant(pkg, spec)
			}
		}
	}
}

func (s *goSource) constant(pkg string, spec *ast.ValueSpec) {
	for i, n := range spec.Names {
		if i >= len(spec.Values) {
			continue
		}
		lit, ok := spec.Values[i].(*ast.BasicLit)
		if !ok || lit.Kind != token.STRING {
			continue
		}
		value, err := strconv.Unquote(lit.Value)
		if err != nil {
			continue
		}
		if kind, ok := spec.Type.(*ast.Ident); ok && kind.Name != "string" {
			s.values[pkg+"."+kind.Name] = append(s.values[pkg+"."+kind.Name], value)
		}
		if pkg == "tributary/web" && strings.HasPrefix(n.Name, "code") {
			s.codes[value] = true
		}
	}
}
