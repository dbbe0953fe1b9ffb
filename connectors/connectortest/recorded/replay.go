package recorded

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tributary/connectors"
	"tributary/connectors/connectortest/contract"
	"tributary/connectors/connectortest/internal/route"
)

// Env is the variable that names the directory of the records.
const Env = "TEST_FIXTURES"

// Operation is one operation of the source that records answer.
type Operation struct {
	Method string
	// Path is a template: "/repos/{owner}/{repo}/contents/{path...}". A last
	// parameter with dots is any number of segments.
	Path string
	// Decode runs the connector's own code on r.Client() and returns every text
	// that it made of the answer: titles, bodies, names of choices.
	Decode func(t testing.TB, r Response) (texts []string, err error)
	// NotOurs says why the connector has nothing to do with the operation;
	// Decode is nil then.
	NotOurs string
	// Elsewhere lists strings of the answer that are none of its texts, by JSON
	// pointer with the reason: "/*/head/repo/name". "*" is any member or
	// element, "**" any number of them.
	Elsewhere map[string]string
	// Classes are the classes of errors by record, for those whose status does
	// not tell; a record of status 200 that stands here is an error.
	Classes map[string]connectors.Class
}

func (o Operation) name() string { return o.Method + " " + o.Path }

// Replay decodes every record of a folder and fails the test where a record
// answers no operation of the table, an error comes of a record that is none or
// has another class than the record says, a string under title, body, name or
// description is in no text, or a field that nobody knows changes anything. An
// operation that the contract's selection keeps may not be NotOurs. It is
// skipped where TEST_FIXTURES is not set.
func Replay(t *testing.T, folder string, table []Operation) {
	t.Helper()
	dir := os.Getenv(Env)
	if dir == "" {
		t.Skipf("%s is not set", Env)
	}
	records, err := load(filepath.Join(dir, folder))
	if err != nil {
		t.Fatal(err)
	}
	ours := map[string]bool{}
	if contracts := os.Getenv(contract.Env); contracts != "" {
		if ours, err = kept(contracts, folder); err != nil {
			t.Fatal(err)
		}
	}
	r, err := newReplay(table, ours)
	if err != nil {
		t.Fatal(err)
	}
	for i := range records {
		records[i].others = records
	}
	for _, record := range records {
		t.Run(record.Name, func(t *testing.T) {
			for _, p := range r.judge(t, record) {
				t.Error(p)
			}
		})
	}
	for _, p := range r.stale() {
		t.Error(p)
	}
	r.print(t, folder, len(records))
}

// replay is what is known of one source's records.
type replay struct {
	table   *route.Table[*counted]
	ops     []*counted
	decoded int
	errors  int
	others  int
}

type counted struct {
	Operation
	records   int
	elsewhere map[string]int
	problem   string
}

func newReplay(table []Operation, ours map[string]bool) (*replay, error) {
	r := &replay{table: &route.Table[*counted]{}}
	for _, o := range table {
		c := &counted{Operation: o, elsewhere: map[string]int{}}
		if (o.Decode == nil) == (o.NotOurs == "") {
			return nil, fmt.Errorf("%s: an operation is decoded, or it is not ours for a reason", o.name())
		}
		if o.NotOurs != "" && ours[anonymous(o.name())] {
			c.problem = o.name() + ": the contract keeps this operation: it cannot be of no concern"
		}
		if err := r.table.Add(o.Method, o.Path, c); err != nil {
			return nil, err
		}
		r.ops = append(r.ops, c)
	}
	return r, nil
}

// judge returns what is wrong with one record.
func (r *replay) judge(t testing.TB, record Response) []string {
	m, ok := r.table.Find(record.Method, record.Path)
	if !ok {
		return []string{fmt.Sprintf("no operation of the table answers %s %s", record.Method, record.Path)}
	}
	op := m.Op
	op.records++
	record.Params = m.Params
	if op.Decode == nil {
		r.others++
		return nil
	}
	texts, err := decode(t, op.Operation, record)
	want, refused := expected(op.Operation, record)
	switch {
	case refused:
		r.errors++
		return wrongClass(err, want)
	case record.quiet():
		r.decoded++
		return nil
	case err != nil:
		return []string{fmt.Sprintf("the record is no error, and decoding it is: %v", err)}
	}
	r.decoded++
	problems := op.missing(record.Body, texts)
	problems = append(problems, unknownFields(t, op.Operation, record, texts)...)
	return append(problems, nulls(t, op.Operation, record)...)
}

// quiet reports whether the record has no content of its own.
func (r Response) quiet() bool {
	return r.Status == 304 || r.Status == 204 || r.redirects()
}

// decode runs the operation's decoding; a panic is an error of class Bug.
func decode(t testing.TB, o Operation, r Response) (texts []string, err error) { //nolint:nonamedreturns // a panic sets them
	defer func() {
		if p := recover(); p != nil {
			texts, err = nil, &connectors.Error{Op: "decoding", Class: connectors.Bug, Err: fmt.Errorf("panic: %v", p)}
		}
	}()
	return o.Decode(t, r)
}

// stale returns what the table says of no record.
func (r *replay) stale() []string {
	var problems []string
	for _, o := range r.ops {
		if o.problem != "" {
			problems = append(problems, o.problem)
		}
		if o.NotOurs != "" && o.records == 0 {
			problems = append(problems, o.name()+": no record answers it: leave it out of the table")
		}
		for _, pattern := range slices.Sorted(maps.Keys(o.Elsewhere)) {
			if o.elsewhere[pattern] == 0 || o.Elsewhere[pattern] == "" {
				problems = append(problems, fmt.Sprintf("%s: elsewhere %q: excuses nothing, or has no reason", o.name(), pattern))
			}
		}
	}
	return problems
}

func (r *replay) print(t testing.TB, folder string, n int) {
	t.Helper()
	t.Logf("recorded: %s: %d records: %d decoded, %d errors of their class, %d of operations that are not ours", folder, n, r.decoded, r.errors, r.others)
	for _, o := range r.ops {
		note := o.NotOurs
		if note != "" {
			note = " (not ours: " + note + ")"
		}
		t.Logf("recorded: %4d %s%s", o.records, o.name(), note)
	}
}

// kept returns the operations that the contract's selection keeps, without the
// names of parameters.
func kept(contracts, folder string) (map[string]bool, error) {
	all := map[string]bool{}
	var lists []string
	for _, pattern := range []string{folder + ".txt", folder + "-*.txt"} {
		more, err := filepath.Glob(filepath.Join(contracts, "trim", "ops", pattern))
		if err != nil {
			return nil, fmt.Errorf("reading the contract's selection: %w", err)
		}
		lists = append(lists, more...)
	}
	for _, list := range lists {
		data, err := os.ReadFile(list)
		if err != nil {
			return nil, fmt.Errorf("reading the contract's selection: %w", err)
		}
		described, err := contract.Operations(filepath.Join(contracts, strings.TrimSuffix(filepath.Base(list), ".txt")+".discovery.json"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for line := range strings.Lines(string(data)) {
			words := strings.Fields(line)
			switch {
			case len(words) >= 2:
				all[anonymous(words[0]+" "+words[1])] = true
			case len(words) == 1 && described[words[0]] != "":
				all[anonymous(described[words[0]])] = true
			}
		}
	}
	return all, nil
}
