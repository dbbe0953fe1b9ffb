package store_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"tributary/internal/pgtest"
)

// statement is an SQL text of this package.
type statement struct {
	at, sql string
}

// statements returns the texts that are passed to Query, QueryRow, Exec and
// Queue. Names are replaced by their constants or by fill; what cannot be
// resolved is returned by its position's function.
func statements(t *testing.T, fill map[string]string) (list []statement, dynamic map[string]int) {
	t.Helper()
	set := token.NewFileSet()
	var files []*ast.File
	names, err := fs.Glob(os.DirFS("."), "*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(set, name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	x := &extractor{set: set, fill: fill, dynamic: map[string]int{}}
	x.constants(files)
	for _, f := range files {
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok {
				x.function(fn)
			}
		}
	}
	return x.list, x.dynamic
}

type extractor struct {
	set     *token.FileSet
	consts  map[string]string
	fill    map[string]string
	list    []statement
	dynamic map[string]int
}

func (x *extractor) constants(files []*ast.File) {
	x.consts = map[string]string{}
	for _, f := range files {
		for _, d := range f.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.CONST {
				continue
			}
			for _, s := range g.Specs {
				v := s.(*ast.ValueSpec)
				for i, name := range v.Names {
					if i < len(v.Values) {
						if text, ok := x.text(v.Values[i], nil); ok {
							x.consts[name.Name] = text
						}
					}
				}
			}
		}
	}
}

// function finds the calls of fn. Text lists that fn loops over are taken
// item by item.
func (x *extractor) function(fn *ast.FuncDecl) {
	loops := map[string][]ast.Expr{}
	ast.Inspect(fn, func(n ast.Node) bool {
		if r, ok := n.(*ast.RangeStmt); ok {
			if v, ok := r.Value.(*ast.Ident); ok {
				if c, ok := r.X.(*ast.CompositeLit); ok {
					loops[v.Name] = c.Elts
				}
			}
		}
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		if arg, ok := sqlArgument(call); ok && len(call.Args) > arg {
			x.take(fn, call.Args[arg], loops)
		}
		return true
	})
}

// sqlArgument returns which argument of a call is SQL.
func sqlArgument(call *ast.CallExpr) (int, bool) {
	name := ""
	switch f := call.Fun.(type) {
	case *ast.SelectorExpr:
		name = f.Sel.Name
	case *ast.Ident:
		name = f.Name
	}
	arg, ok := map[string]int{"Query": 1, "QueryRow": 1, "Exec": 1, "Queue": 0, "changeOne": 3, "changeEmails": 5, "oneOf": 6, "removeRows": 4, "readTargets": 2}[name]
	return arg, ok
}

func (x *extractor) take(fn *ast.FuncDecl, arg ast.Expr, loops map[string][]ast.Expr) {
	at := x.set.Position(arg.Pos())
	where := fmt.Sprintf("%s:%d", at.Filename, at.Line)
	if id, ok := arg.(*ast.Ident); ok && loops[id.Name] != nil {
		for _, e := range loops[id.Name] {
			x.take(fn, e, nil)
		}
		return
	}
	if text, ok := x.text(arg, x.fill); ok {
		x.list = append(x.list, statement{at: where, sql: text})
		return
	}
	x.dynamic[fn.Name.Name]++
}

// text resolves literals, constants, sums of them, and calls and names that
// fill knows.
func (x *extractor) text(e ast.Expr, fill map[string]string) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		s, err := strconv.Unquote(e.Value)
		return s, err == nil && e.Kind == token.STRING
	case *ast.Ident:
		if s, ok := x.consts[e.Name]; ok {
			return s, true
		}
		s, ok := fill[e.Name]
		return s, ok
	case *ast.CallExpr:
		if id, ok := e.Fun.(*ast.Ident); ok {
			s, ok := fill[id.Name+"()"]
			return s, ok
		}
	case *ast.BinaryExpr:
		a, ok1 := x.text(e.X, fill)
		b, ok2 := x.text(e.Y, fill)
		return a + b, ok1 && ok2 && e.Op == token.ADD
	case *ast.ParenExpr:
		return x.text(e.X, fill)
	}
	return "", false
}

// dynamicStatements are functions whose SQL is made at run time, and why.
func dynamicStatements() map[string]string {
	return map[string]string{
		"removeRows":      "its callers' texts are prepared",
		"readTargets":     "its callers' texts are prepared",
		"erasureWhere":    "the condition is a constant of its callers, which the tests of erasures run",
		"forgetNamed":     "for every table of the catalog, run by the tests of erasures",
		"forgetDocuments": "for every table of the catalog, run by the tests of erasures",
		"sweepTable":      "for every table of the catalog, run by the tests of erasures",
		"verifyTable":     "for every table of the catalog, run by the tests of erasures",
		"Clean":           "utility statements, run by the tests of erasures",
		"vacuum":          "utility statements with quoted names, run by the tests of erasures",
		"asOwner":         "a utility statement with a quoted name",
		"locking":         "utility statements, run by the tests of erasures",
		"changeOne":       "its callers' texts are prepared",
		"changeEmails":    "its callers' texts are prepared",
		"oneOf":           "its callers' texts are prepared",
		"readAdminTokens": "the condition is a constant of its callers, which the tests of admin tokens run",
		"readKeys":        "the condition is a constant of its callers, which the tests of keys run",
		"readers":         "the condition is a constant of its callers, which the tests of readers run",
		"profileWhere":    "the condition is one of three constants of its callers, which the tests of profiles run",
		"createRoles":     "utility statements with quoted names: PREPARE takes none, every migration runs them",
		"grantRole":       "a utility statement with quoted names",
		"prepare":         "utility statements with quoted names",
		"applyRoutines":   "the text of migrations/routines",
		"repairIndexes":   "a utility statement with a quoted name, run by TestInvalidIndexIsRepaired",
	}
}

// TestEveryStatementPrepares prepares every SQL text of the package, as the
// role that executes it, against a migrated database.
func TestEveryStatementPrepares(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	newProfile(t, db)
	list, dynamic := statements(t, map[string]string{"vectorTable()": "vec_1", "table": "vec_1"})
	if len(list) < 100 {
		t.Fatalf("only %d statements were found", len(list))
	}
	reasons := dynamicStatements()
	for name := range reasons {
		if dynamic[name] == 0 {
			t.Errorf("%s is listed as dynamic and has no such SQL", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(dynamic)) {
		if reasons[name] == "" {
			t.Errorf("the SQL of %s cannot be read from the source: write it as a constant, or list it here with the reason", name)
		}
	}
	conn, err := db.Pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	for i, s := range list {
		switch first := strings.ToUpper(strings.Fields(s.sql)[0]); first {
		case "SELECT", "WITH", "INSERT", "UPDATE", "DELETE":
			if _, err := conn.Conn().Prepare(t.Context(), fmt.Sprint("s", i), s.sql); err != nil {
				t.Errorf("%s: %v\n%s", s.at, err, s.sql)
			}
		case "LOCK", "CREATE", "SET", "RESET", "ALTER", "GRANT", "REVOKE", "VACUUM", "LISTEN": // nothing to prepare
		default:
			t.Errorf("%s: a statement that begins with %s", s.at, first)
		}
	}
}

// TestRowsAreLockedInOneOrder: two transactions that wait for rows, or for keys
// that the other is inserting, take them in the order of their keys.
func TestRowsAreLockedInOneOrder(t *testing.T) {
	t.Parallel()
	list, _ := statements(t, map[string]string{"vectorTable()": "vec_1", "table": "vec_1"})
	locks := regexp.MustCompile(`FROM (document|embed_todo)\b[^;]*FOR (UPDATE|KEY SHARE|SHARE|NO KEY UPDATE)( OF \w+)?( SKIP LOCKED)?`)
	order := map[string]*regexp.Regexp{
		"document":   regexp.MustCompile(`ORDER BY (d\.)?id (LIMIT \$\d+ )?FOR `),
		"embed_todo": regexp.MustCompile(`ORDER BY (t\.)?document_id, (t\.)?chunk_id(, (t\.)?profile_id)? FOR `),
	}
	inserts := map[string]string{"INSERT INTO acl_set (": "ORDER BY h", "INSERT INTO principal (": `ORDER BY k COLLATE "C", e COLLATE "C"`}
	found := 0
	for _, s := range list {
		if m := locks.FindStringSubmatch(s.sql); m != nil && m[4] == "" && m[3] != " OF p" { // a profile is one row
			found++
			if !order[m[1]].MatchString(s.sql) {
				t.Errorf("%s locks rows of %s in no order:\n%s", s.at, m[1], s.sql)
			}
		}
		for insert, by := range inserts {
			if strings.Contains(s.sql, insert) {
				found++
				if !strings.Contains(s.sql, by) {
					t.Errorf("%s inserts shared rows in no order:\n%s", s.at, s.sql)
				}
			}
		}
	}
	if found < 9 {
		t.Errorf("only %d locking statements were found", found)
	}
}
