package contract

import (
	"bytes"
	"fmt"
	"hash/maphash"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"tributary/connectors/connectortest/internal/route"
)

// Env is the variable that names the directory of the descriptions.
const Env = "TEST_CONTRACTS"

// maxUndescribed is how many calls of a source its description may not have.
const maxUndescribed = 5

// File is one description and where the fake site serves what it describes.
type File struct {
	// Name is the file's: "github.openapi.json",
	// "google-drive.discovery.json".
	Name string
	// Prefix is what precedes the described paths at the fake site: "/api/v1".
	// The paths of a discovery document include its servicePath.
	Prefix string
	// Host restricts the file to requests for a host; "" is any.
	Host string
}

// Checker validates what passes its handlers. It is safe for concurrent use.
type Checker struct {
	off        bool
	sources    []source
	exhaustive bool

	mu          sync.Mutex
	undescribed route.Table[*exception]
	excuses     []*exception
	violations  map[Violation]int
	operations  map[string]int
	exchanges   int
	judged      map[uint64][]Violation
	seed        maphash.Seed
}

// Violation is one thing that the description does not allow.
type Violation struct {
	// Operation is "GET /repos/{owner}/{repo}", or a discovery document's id of
	// the method: "drive.files.list".
	Operation string
	// Where is the JSON pointer of a value in the answer, "*" for the index of
	// an array: "/items/*/id", with "null " before it where the value is null;
	// or "query per_page", "header Accept", "request
	// body /name", "status 418", "media type text/html".
	Where string
	// Message says what was expected.
	Message string
}

// String returns "operation: where: message".
func (v Violation) String() string { return v.Operation + ": " + v.Where + ": " + v.Message }

type source struct {
	File
	ops *route.Table[operation]
}

// operation is one described operation.
type operation interface {
	name() string
	request(x *exchange) []Violation
	answer(x *exchange) []Violation
}

type exception struct {
	what, where, reason string
	used                int
}

// Load reads the descriptions. At the end of the test every violation fails it,
// and a summary is logged.
func Load(tb testing.TB, files ...File) *Checker {
	tb.Helper()
	dir := os.Getenv(Env)
	if dir == "" {
		tb.Logf("%s is not set: requests and answers are not held to the API's description", Env)
	}
	c, err := load(dir, files...)
	if err != nil {
		tb.Fatal(err)
	}
	if !c.off {
		tb.Cleanup(func() {
			tb.Helper()
			c.report(tb)
		})
	}
	return c
}

func load(dir string, files ...File) (*Checker, error) {
	c := &Checker{
		off: dir == "", violations: map[Violation]int{}, operations: map[string]int{},
		judged: map[uint64][]Violation{}, seed: maphash.MakeSeed(),
	}
	if c.off {
		return c, nil
	}
	for _, f := range files {
		ops, err := read(filepath.Join(dir, f.Name))
		if err != nil {
			return nil, err
		}
		c.sources = append(c.sources, source{File: f, ops: ops})
	}
	return c, nil
}

// Undescribed admits a call that no description has; path is a template, as the
// fake site sees it or without the prefix: "/wiki/{owner}/{repo}/raw/{page...}".
// A source has five at most.
func (c *Checker) Undescribed(method, path, reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := &exception{what: method + " " + path, reason: reason}
	if err := c.undescribed.Add(method, path, e); err != nil {
		c.violations[Violation{e.what, "undescribed", err.Error()}]++
	}
	c.excuses = append(c.excuses, e)
	n := 0
	for _, e := range c.excuses {
		if e.where == "" {
			n++
		}
	}
	if n > maxUndescribed || reason == "" {
		c.violations[Violation{e.what, "undescribed", fmt.Sprintf("a source has at most %d calls that are not described, each with a reason", maxUndescribed)}]++
	}
}

// Differs admits a violation where the real server differs from its
// description. Operation and where are as in [Violation]; the operation "*" is
// every one, "*" in a pointer any member or element, "**" any number of them:
// Differs("*", "null /**", "the server sends null for what is absent").
func (c *Checker) Differs(operation, where, reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if reason == "" {
		c.violations[Violation{operation, where, "a difference needs a reason"}]++
	}
	c.excuses = append(c.excuses, &exception{what: operation, where: where, reason: reason})
}

// Exhaustive says that this test does everything that the connector does: what
// [Checker.Undescribed] and [Checker.Differs] admit and nothing used fails it.
func (c *Checker) Exhaustive() { c.exhaustive = true }

// Handler validates every request to next and every answer of it.
func (c *Checker) Handler(next http.Handler) http.Handler {
	if c.off {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, "reading the request", http.StatusBadRequest)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		x := &exchange{method: r.Method, path: r.URL.EscapedPath(), host: r.Host, query: r.URL.Query(), asked: r.Header.Clone(), sent: body}
		rec := &recorder{ResponseWriter: w}
		whole := false
		defer func() {
			x.status, x.header, x.body = rec.result()
			x.cut = !whole || r.Context().Err() != nil
			c.check(x)
		}()
		next.ServeHTTP(rec, r)
		whole = true
	})
}

// check judges one exchange.
func (c *Checker) check(x *exchange) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.exchanges++
	op, ok := c.find(x)
	if !ok {
		return
	}
	c.operations[op.name()]++
	key := x.hash(c.seed, op.name())
	found, known := c.judged[key]
	if !known {
		found = op.request(x)
		if !x.cut {
			found = append(found, op.answer(x)...)
		}
		c.judged[key] = found
	}
	for _, v := range found {
		if !c.excused(v) {
			c.violations[v]++
		}
	}
}

// find returns the operation that x is for and prepares x for it.
func (c *Checker) find(x *exchange) (operation, bool) {
	full := x.path
	for _, s := range c.sources {
		path, below := strings.CutPrefix(full, s.Prefix)
		if !below || s.Host != "" && s.Host != x.host {
			continue
		}
		if m, ok := s.ops.Find(x.method, path); ok {
			x.params = m.Params
			return m.Op, true
		}
		if m, ok := c.undescribed.Find(x.method, path); ok {
			m.Op.used++
			return nil, false
		}
	}
	if m, ok := c.undescribed.Find(x.method, full); ok {
		m.Op.used++
		return nil, false
	}
	c.violations[Violation{x.method + " " + full, "path", "the description has no such operation"}]++
	return nil, false
}

func (c *Checker) excused(v Violation) bool {
	for _, e := range c.excuses {
		if e.where != "" && (e.what == "*" || e.what == v.Operation) && fits(e.where, v.Where) {
			e.used++
			return true
		}
	}
	return false
}

// fits reports whether a pattern covers where.
func fits(pattern, where string) bool {
	kind, steps, ok := strings.Cut(pattern, "/")
	at, elements, is := strings.Cut(where, "/")
	if !ok || !is || strings.Contains(kind, "media type") {
		return pattern == where
	}
	return kind == at && covers(strings.Split(steps, "/"), strings.Split(elements, "/"))
}

func covers(pattern, at []string) bool {
	switch {
	case len(pattern) == 0:
		return len(at) == 0
	case pattern[0] == "**":
		return covers(pattern[1:], at) || len(at) > 0 && covers(pattern, at[1:])
	default:
		return len(at) > 0 && (pattern[0] == "*" || pattern[0] == at[0]) && covers(pattern[1:], at[1:])
	}
}

// found returns the violations so far, and those of stale exceptions.
func (c *Checker) found() map[Violation]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := maps.Clone(c.violations)
	if !c.exhaustive {
		return all
	}
	for _, e := range c.excuses {
		if e.used == 0 {
			all[Violation{e.what, e.where, "nothing needs this exception (" + e.reason + ")"}]++
		}
	}
	return all
}

// report fails the test for every violation and logs what was seen.
func (c *Checker) report(tb testing.TB) {
	tb.Helper()
	found := c.found()
	const enough = 40
	for i, v := range slices.SortedFunc(maps.Keys(found), func(a, b Violation) int { return strings.Compare(a.String(), b.String()) }) {
		if i == enough {
			tb.Errorf("contract: and %d more", len(found)-enough)
			break
		}
		tb.Errorf("contract: %s (%d times)", v, found[v])
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	tb.Logf("contract: %d requests and answers of %d operations, %d violations", c.exchanges, len(c.operations), len(found))
	for _, op := range slices.Sorted(maps.Keys(c.operations)) {
		tb.Logf("contract: %6d %s", c.operations[op], op)
	}
	for _, e := range c.excuses {
		kind := "not described"
		if e.where != "" {
			kind = "differs at " + e.where
		}
		tb.Logf("contract: %6d %s: %s: %s", e.used, e.what, kind, e.reason)
	}
}
