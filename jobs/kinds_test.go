package jobs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"tributary/store"
)

// Every type of this package that is a job's arguments is registered, so that no
// process gives up another one's jobs.
func TestEveryJobKindIsRegistered(t *testing.T) {
	t.Parallel()
	names, err := fs.Glob(os.DirFS("."), "*.go")
	if err != nil {
		t.Fatal(err)
	}
	declared := map[string]string{} // kind: type
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Name.Name != "Kind" || fn.Recv == nil || len(fn.Body.List) != 1 {
				continue
			}
			ret, ok := fn.Body.List[0].(*ast.ReturnStmt)
			lit, isLit := ret.Results[0].(*ast.BasicLit)
			if !ok || !isLit {
				t.Fatalf("%s: Kind has to return its name as it stands in the queue", name)
			}
			declared[strings.Trim(lit.Value, `"`)] = name
		}
	}
	e := newEngine(t, small(1))
	if len(declared) < 4 {
		t.Fatalf("found only %d kinds in the source", len(declared))
	}
	for kind, file := range declared {
		if !slices.Contains(e.runner.kinds, kind) {
			t.Errorf("%s declares the job %q: add its worker to jobKinds", file, kind)
		}
	}
	if len(e.runner.kinds) != len(declared) {
		t.Errorf("%d kinds are registered, %d are declared", len(e.runner.kinds), len(declared))
	}
}

func TestWorkersComeAndGo(t *testing.T) {
	t.Parallel()
	e := newEngine(t, small(1), func(c *Config) { c.Version = "v9"; c.Workers = 3; c.Heartbeat = 50 * time.Millisecond })
	ctx := t.Context()
	if err := e.store.ShowWorker(ctx, store.WorkerProcess{Name: "host:1:dead", Kinds: []string{"tick"}, Slots: 4}); err != nil {
		t.Fatal(err)
	}
	e.db.MustExec(t, `UPDATE worker SET seen_at = clock() - interval '2 minutes'`)
	if err := e.runner.Start(ctx); err != nil {
		t.Fatal(err)
	}
	var list []store.WorkerProcess
	eventually(t, "this process is on the list", func() bool {
		var err error
		list, err = e.store.Workers(ctx)
		return err == nil && len(list) == 2 && list[1].Alive
	})
	if w := list[1]; w.Name != e.runner.owner.name || w.Version != "v9" || w.Slots != 3 || !slices.Equal(w.Kinds, e.runner.kinds) {
		t.Errorf("the process shows itself as %+v", w)
	}
	if list[0].Alive {
		t.Error("a process without a sign for two minutes counts as alive")
	}
	if q, err := e.store.Queue(ctx, store.Content); err != nil || q.Slots != 3 {
		t.Errorf("%d slots, %v; want those of the living", q.Slots, err)
	}
	e.db.MustExec(t, `UPDATE worker SET seen_at = clock() - interval '1 hour' WHERE name = 'host:1:dead'`)
	eventually(t, "the dead one is forgotten", func() bool {
		list, err := e.store.Workers(ctx)
		return err == nil && len(list) == 1
	})
	if err := e.runner.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	if list, err := e.store.Workers(ctx); err != nil || len(list) != 0 {
		t.Errorf("after Stop the list has %d, %v", len(list), err)
	}
}
