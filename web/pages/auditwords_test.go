package pages

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// written is what the code can write into the audit log, read from its source.
type written struct {
	t       *testing.T
	files   map[string][]*ast.File // by directory
	fset    *token.FileSet
	actions map[string]string // with where
	// takes are the functions that are handed an action: the index of the argument, by directory and name.
	takes map[[2]string]int
}

// readCode parses the program without its tests.
func readCode(t *testing.T) *written {
	t.Helper()
	w := &written{t: t, files: map[string][]*ast.File{}, fset: token.NewFileSet(), actions: map[string]string{}, takes: map[[2]string]int{}}
	for _, root := range []string{"cmd", "connectors", "internal", "jobs", "oauthflow", "store", "web"} {
		err := filepath.WalkDir(filepath.Join("..", "..", root), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			f, err := parser.ParseFile(w.fset, path, nil, parser.SkipObjectResolution)
			if err == nil {
				w.files[filepath.Dir(path)] = append(w.files[filepath.Dir(path)], f)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for dir, files := range w.files {
		for _, f := range files {
			w.findTakers(dir, f)
		}
	}
	for dir, files := range w.files {
		for _, f := range files {
			ast.Inspect(f, func(n ast.Node) bool { w.look(dir, f, n); return true })
		}
	}
	return w
}

func importsAudit(f *ast.File) bool {
	return slices.ContainsFunc(f.Imports, func(i *ast.ImportSpec) bool { return i.Path.Value == `"tributary/internal/audit"` })
}

// findTakers notes the functions with a parameter that is called action.
func (w *written) findTakers(dir string, f *ast.File) {
	if !importsAudit(f) {
		return
	}
	for _, d := range f.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok {
			continue
		}
		at := 0
		for _, p := range fn.Type.Params.List {
			for _, name := range p.Names {
				if name.Name == "action" {
					w.takes[[2]string{dir, fn.Name.Name}] = at
				}
				at++
			}
		}
	}
}

// look finds an action wherever one can stand.
func (w *written) look(dir string, f *ast.File, n ast.Node) {
	switch n := n.(type) {
	case *ast.CallExpr:
		name := ""
		switch fn := n.Fun.(type) {
		case *ast.Ident:
			name = fn.Name
		case *ast.SelectorExpr:
			name = fn.Sel.Name
		}
		if at, ok := w.takes[[2]string{dir, name}]; ok && at < len(n.Args) {
			w.take(n.Args[at])
		}
	case *ast.CompositeLit:
		if of, ok := n.Type.(*ast.SelectorExpr); n.Type != nil && (!ok || of.Sel.Name != "Event") || !importsAudit(f) {
			return
		}
		for _, e := range n.Elts {
			if kv, ok := e.(*ast.KeyValueExpr); ok && isNamed(kv.Key, "Action") {
				w.take(kv.Value)
			}
		}
	case *ast.AssignStmt:
		for i, to := range n.Lhs {
			sel, isField := to.(*ast.SelectorExpr)
			if importsAudit(f) && len(n.Rhs) == len(n.Lhs) && (isNamed(to, "action") || isField && sel.Sel.Name == "Action") {
				w.take(n.Rhs[i])
			}
		}
	}
}

func isNamed(e ast.Expr, name string) bool {
	id, ok := e.(*ast.Ident)
	return ok && id.Name == name
}

// take notes an action. What is called action is one that was noted where it came from.
func (w *written) take(e ast.Expr) {
	w.t.Helper()
	at := w.fset.Position(e.Pos()).String()
	switch e := e.(type) {
	case *ast.BasicLit:
		text, err := strconv.Unquote(e.Value)
		if err != nil {
			w.t.Fatal(err)
		}
		w.actions[text] = at
	case *ast.Ident:
		if e.Name != "action" {
			w.t.Errorf("%s: an action that is neither a text nor called action: %s", at, e.Name)
		}
	default:
		w.t.Errorf("%s: an action that is not written out", at)
	}
}

// TestEveryActionHasWords: whatever can stand in the audit log is said in words, and no words are left over.
func TestEveryActionHasWords(t *testing.T) {
	t.Parallel()
	w := readCode(t)
	if len(w.actions) < 45 || w.actions["database.history_changed"] == "" || w.actions["connection.pause"] == "" {
		t.Fatalf("only %d actions were found: %v", len(w.actions), slices.Sorted(maps.Keys(w.actions)))
	}
	said := map[string]string{}
	for action, at := range w.actions {
		words := ActionWords(action)
		if words == "" {
			t.Errorf("%s: %s has no words", at, action)
		}
		if other, twice := said[words]; twice && words != "" {
			t.Errorf("%s and %s are both %q", action, other, words)
		}
		said[words] = action
	}
	for action := range actionWords() {
		if w.actions[action] == "" {
			t.Errorf("%s has words, and nothing writes it", action)
		}
	}
}

// TestEveryOutcomeHasWords: the same for how a refresh ended.
func TestEveryOutcomeHasWords(t *testing.T) {
	t.Parallel()
	w := readCode(t)
	found := map[string]bool{}
	add := func(e ast.Expr) {
		if lit, ok := e.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			text, err := strconv.Unquote(lit.Value)
			if err != nil {
				t.Fatal(err)
			}
			if text != "" { // a refresh under way is not recorded
				found[text] = true
			}
		}
	}
	for dir, files := range w.files {
		refresh := strings.HasSuffix(dir, filepath.Join("oauthflow", "refresh"))
		if !refresh && filepath.Base(dir) != "oauthflow" {
			continue
		}
		for _, f := range files {
			ast.Inspect(f, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.KeyValueExpr:
					if key, ok := n.Key.(*ast.BasicLit); ok && key.Value == `"outcome"` {
						add(n.Value)
					}
				case *ast.ValueSpec:
					if refresh && n.Type != nil && isNamed(n.Type, "Outcome") || n.Type != nil && isNamed(n.Type, "GrantState") {
						for _, v := range n.Values {
							add(v)
						}
					}
				}
				return true
			})
		}
	}
	if len(found) < 12 || !found["spool_damaged"] || !found["rotated"] || !found["needs_reauth"] {
		t.Fatalf("only these outcomes were found: %v", slices.Sorted(maps.Keys(found)))
	}
	for outcome := range found {
		if outcomeWords(outcome) == "" {
			t.Errorf("the outcome %s has no words", outcome)
		}
	}
}
