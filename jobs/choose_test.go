package jobs

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"tributary/connectors"
	"tributary/connectors/connectortest"
	"tributary/connectors/reference"
	"tributary/store"
)

// shelves is a world of documents in containers that lie in each other.
func shelves() *reference.World {
	w := reference.New()
	w.AddPeople("alice")
	for _, id := range []string{"a/one", "a/deep/two", "a/deep/er/three", "b/four", "c/five"} {
		w.Put(id, "# "+id+"\n\nText.\n", reference.Readers(reference.User("alice")))
	}
	return w
}

// withoutPatterns is a connector that understands no patterns.
type withoutPatterns struct{ connectors.Connector }

func (c withoutPatterns) Open(ctx context.Context, env connectors.Env) (connectors.Session, error) {
	if len(env.Selection.Include) > 0 {
		return nil, &connectors.Error{Op: "opening", Class: connectors.Invalid, Err: errors.New("selection.include: no patterns here")}
	}
	return c.Connector.Open(ctx, env)
}

func idsOf(list []connectors.Choice) []string {
	var ids []string
	for _, c := range list {
		ids = append(ids, c.ID)
	}
	return ids
}

// TestChoices come a page at a time, with the connection's grant, whose use is recorded.
func TestChoices(t *testing.T) {
	t.Parallel()
	home := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(home.Close)
	world, grant := shelves(), uuid.New()
	e := newEngine(t, world, authorised(t, world, home, grant), func(c *Config) {
		c.Connectors[reference.Source] = withoutPatterns{c.Connectors[reference.Source]}
	})
	e.conn.Selection = connectors.Selection{Include: []string{"[broken"}} // which is mended by choosing another
	for _, c := range []struct {
		parent      string
		skip, limit int
		want        []string
		more        bool
	}{
		{"", 0, 10, []string{"a", "b", "c"}, false},
		{"", 0, 3, []string{"a", "b", "c"}, false},
		{"", 0, 2, []string{"a", "b"}, true},
		{"", 2, 2, []string{"c"}, false},
		{"", 9, 2, nil, false},
		{"a", 0, 10, []string{"a/deep"}, false},
		{"b", 0, 10, nil, false},
	} {
		got, more, err := e.runner.Choices(t.Context(), e.conn, c.parent, c.skip, c.limit)
		if err != nil || !slices.Equal(idsOf(got), c.want) || more != c.more {
			t.Errorf("%+v: %+v, %v", c, got, err)
		}
	}
	tree, more, err := e.runner.Tree(t.Context(), e.conn, "", 100)
	var got []string
	for _, c := range tree {
		got = append(got, fmt.Sprint(c.Depth, " ", c.Parent, " ", c.ID))
	}
	if want := []string{"0  a", "1 a a/deep", "2 a/deep a/deep/er", "0  b", "0  c"}; err != nil || more || !slices.Equal(got, want) {
		t.Errorf("%q, %t, %v", got, more, err)
	}
	for limit := range 5 {
		if tree, more, err = e.runner.Tree(t.Context(), e.conn, "", limit); err != nil || !more || len(tree) != limit {
			t.Errorf("a tree of at most %d has %d, more %t: %v", limit, len(tree), more, err)
		}
	}
	events, err := e.store.AuditEvents(t.Context(), store.AuditFilter{Action: "token.use"})
	if err != nil || len(events) != 13 || events[0].Detail["for"] != "choosing" || events[0].Target.ID != grant.String() {
		t.Errorf("events %+v, %v", events, err)
	}
	world.Fail(reference.FaultOn{On: connectortest.OnListing, Kind: connectortest.Forbidden})
	if _, _, err := e.runner.Choices(t.Context(), e.conn, "", 0, 10); connectors.ClassOf(err) != connectors.ScopeDenied {
		t.Errorf("a refusal is %v", err)
	}
}

// circular is a connector whose one container lies in itself.
type circular struct{ connectors.Connector }

func (c circular) Open(ctx context.Context, env connectors.Env) (connectors.Session, error) {
	s, err := c.Connector.Open(ctx, env)
	return circularSession{s}, err
}

type circularSession struct{ connectors.Session }

func (circularSession) Choices(context.Context, string) iter.Seq2[connectors.Choice, error] {
	return func(yield func(connectors.Choice, error) bool) {
		yield(connectors.Choice{ID: "round", Name: "Round", HasChildren: true}, nil)
	}
}

// TestATreeThatIsNone ends where it comes back to itself.
func TestATreeThatIsNone(t *testing.T) {
	t.Parallel()
	world := shelves()
	e := newEngine(t, world, func(c *Config) { c.Connectors[reference.Source] = circular{world.Connector()} })
	if tree, more, err := e.runner.Tree(t.Context(), e.conn, "", 50); err != nil || more || len(tree) != 2 {
		t.Errorf("%d containers, more %t: %v", len(tree), more, err)
	}
}

// TestChangingTheSelection: what is taken out hides with the next run, what is put in comes with it, whatever the feed says.
func TestChangingTheSelection(t *testing.T) {
	t.Parallel()
	e := newEngine(t, shelves())
	e.must(store.Permissions, store.RunSucceeded)
	e.must(store.Content, store.RunSucceeded)
	choose := func(ids ...string) (changed bool) {
		t.Helper()
		sel := connectors.Selection{Containers: ids}
		n, err := e.runner.Narrowing(t.Context(), e.conn, e.conn.Settings, sel)
		if err != nil {
			t.Fatal(err)
		}
		if n == nil {
			n = &Narrowing{}
		}
		conn, changed, err := e.runner.ChangeConfirmed(t.Context(), e.conn, e.conn.Settings, sel, n.Hides)
		if err != nil {
			t.Fatal(err)
		}
		e.conn = conn
		return changed
	}
	shown := func() []string { return slices.Sorted(maps.Keys(e.documents())) }
	for _, step := range []struct {
		chosen, want []string
	}{
		{[]string{"b"}, []string{"b/four"}},
		{[]string{"a/deep", "b"}, []string{"a/deep/er/three", "a/deep/two", "b/four"}},
		{[]string{"c"}, []string{"c/five"}},
		{nil, []string{"a/deep/er/three", "a/deep/two", "a/one", "b/four", "c/five"}},
	} {
		if !choose(step.chosen...) {
			t.Errorf("choosing %q changed nothing", step.chosen)
		}
		if run := e.must(store.Content, store.RunSucceeded); run.Cause != "selection changed" || run.Kind != store.RunSnapshot {
			t.Errorf("the run is a %s because of %q", run.Kind, run.Cause)
		}
		if got := shown(); !slices.Equal(got, step.want) {
			t.Errorf("%q shows %q", step.chosen, got)
		}
		if choose(slices.Concat(step.chosen, step.chosen)...) {
			t.Errorf("choosing %q again changed something", step.chosen)
		}
		if run := e.must(store.Content, store.RunSucceeded); run.Kind != store.RunChanges {
			t.Errorf("then comes a %s", run.Kind)
		}
	}
}

// TestAChangeThatIsRefused changes nothing; one that the source cannot judge at the moment is made.
func TestAChangeThatIsRefused(t *testing.T) {
	t.Parallel()
	world := shelves()
	e := newEngine(t, world)
	many := make([]string, maxContainers+1)
	for i := range many {
		many[i] = fmt.Sprint("id-", i)
	}
	for name, sel := range map[string]connectors.Selection{
		"no id": {Containers: []string{""}}, "a long id": {Containers: []string{strings.Repeat("x", maxContainerID+1)}}, "no text": {Containers: []string{"a\x00"}}, "too many": {Containers: many},
	} {
		_, changed, err := e.runner.Change(t.Context(), e.conn, e.conn.Settings, sel)
		if in, ok := errors.AsType[*store.InputError](err); !ok || changed || in.Field != "selection" {
			t.Errorf("%s: changed %t, %v", name, changed, err)
		}
	}
	if _, changed, err := e.runner.Change(t.Context(), e.conn, map[string]string{"world": "no such world"}, connectors.Selection{}); connectors.ClassOf(err) != connectors.Invalid || changed {
		t.Errorf("settings that no session opens with: changed %t, %v", changed, err)
	}
	down := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	far := newEngine(t, world, authorised(t, world, down, uuid.New()))
	down.Close()
	if _, changed, err := far.runner.Change(t.Context(), far.conn, far.conn.Settings, connectors.Selection{Containers: []string{"b"}}); err != nil || !changed {
		t.Errorf("with the source down: changed %t, %v", changed, err)
	}
}

func TestNarrows(t *testing.T) {
	t.Parallel()
	of := func(ids ...string) connectors.Selection { return connectors.Selection{Containers: ids} }
	for name, c := range map[string]struct {
		from, to connectors.Selection
		want     bool
	}{
		"everything still":  {of(), of(), false},
		"the same":          {of("a"), of("a"), false},
		"one of everything": {of(), of("a"), true},
		"one more":          {of("a"), of("a", "b"), false},
		"one less":          {of("a", "b"), of("a"), true},
		"another":           {of("a"), of("b"), true},
		"everything again":  {of("a"), of(), false},
		"a pattern":         {of(), connectors.Selection{Include: []string{"*.md"}}, true},
		"one pattern more":  {connectors.Selection{Include: []string{"a"}}, connectors.Selection{Include: []string{"a", "b"}}, false},
		"no pattern":        {connectors.Selection{Include: []string{"a"}}, of(), false},
		"left out":          {of(), connectors.Selection{Exclude: []string{"a"}}, true},
		"no longer left out": {
			connectors.Selection{Exclude: []string{"a", "b"}}, connectors.Selection{Exclude: []string{"a"}}, false,
		},
	} {
		if got := narrows(c.from, c.to); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

func TestSameSettings(t *testing.T) {
	t.Parallel()
	spec := connectors.Spec{Settings: []connectors.Setting{
		{Name: "on", Type: connectors.Bool, Default: "true"}, {Name: "off", Type: connectors.Bool}, {Name: "text", Type: connectors.String},
	}}
	for name, c := range map[string]struct {
		a, b map[string]string
		want bool
	}{
		"nothing":             {nil, nil, true},
		"the defaults":        {nil, map[string]string{"on": "true", "off": "false", "text": ""}, true},
		"turned off":          {nil, map[string]string{"on": "false"}, false},
		"turned on":           {map[string]string{"off": "false"}, map[string]string{"off": "true"}, false},
		"another text":        {map[string]string{"text": "a"}, map[string]string{"text": "b"}, false},
		"a text that is gone": {map[string]string{"text": "a"}, nil, false},
	} {
		if got := sameSettings(spec, c.a, c.b); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}
