package jobs

import (
	"context"
	"iter"
	"strings"
	"testing"

	"tributary/connectors"
	"tributary/connectors/connectortest"
	"tributary/connectors/reference"
	"tributary/store"
)

// hostileTexts are what sources have put into names and broken databases with.
func hostileTexts() []string {
	return []string{
		"nul\x00inside", "\x00", "bad\xffutf8", "lone\xed\xa0\x80surrogate", "\xf4\x90\x80\x80", "control\x01\x1b[31m", "\u202eright to left", "e\u0301",
		strings.Repeat("long ", 4000), `quote"back\slash`, "100%_", "",
	}
}

type hostileSession struct {
	*reference.Session
	text string
}

// Snapshot has the text everywhere: of one item in a page, so that the other
// one has to be stored all the same.
func (s hostileSession) Snapshot(context.Context, connectors.Cursor) iter.Seq2[connectors.Page, error] {
	x := s.text
	odd := upsert("odd")
	odd.Ref.Revision = x
	odd.Document = &connectors.Document{
		Title: x, Path: x, URL: "https://x.example/" + x, Container: x, Kind: x, MediaType: x, Author: x, Metadata: map[string]string{x: x, "k": x, x + "2": "v"}, Open: opens("text " + x),
	}
	odd.ACL = connectors.ACL{AllOf: [][]connectors.Principal{{{Kind: connectors.User, ID: x, Name: x}, reference.User("alice")}}, Deny: []connectors.Principal{{Kind: connectors.Group, ID: "g" + x, Name: x}}}
	named := upsert("named" + x)
	return func(yield func(connectors.Page, error) bool) {
		yield(connectors.Page{
			Changes:    []connectors.Change{odd, upsert("plain"), named, {Op: connectors.Delete, Ref: connectors.ItemRef{ID: "gone" + x}}},
			Skipped:    []connectors.Skip{{Ref: connectors.ItemRef{ID: "skip" + x, Revision: x}, Path: x, Reason: x}},
			Blocked:    []connectors.Container{{ID: "blocked" + x, Prefix: "blocked/" + x, Reason: x}},
			Containers: []connectors.Place{{ID: x, Parent: x}, {ID: "in" + x}, {ID: "x", Parent: strings.Repeat("x", 5000)}},
			Next:       connectors.Cursor(`{"end":true}`),
			Complete:   true,
		}, nil)
	}
}

func (s hostileSession) Permissions(context.Context, connectors.Cursor) iter.Seq2[connectors.Page, error] {
	return func(yield func(connectors.Page, error) bool) {
		acl := connectors.ACL{AllOf: [][]connectors.Principal{{{Kind: connectors.User, ID: s.text, Name: s.text}}}}
		yield(connectors.Page{
			Changes: []connectors.Change{{Op: connectors.SetACL, Ref: connectors.ItemRef{ID: "odd"}, ACL: acl}, {Op: connectors.SetACL, Ref: connectors.ItemRef{ID: "odd" + s.text}, ACL: acl}},
			Blocked: []connectors.Container{{ID: s.text, Reason: s.text}}, Next: connectors.Cursor(`{"end":true}`), Complete: true,
		}, nil)
	}
}

func (s hostileSession) Groups(context.Context) iter.Seq2[connectors.Membership, error] {
	return func(yield func(connectors.Membership, error) bool) {
		_ = yield(connectors.Membership{Member: connectors.Principal{Kind: connectors.User, ID: s.text, Name: s.text}, Group: connectors.Principal{Kind: connectors.Group, ID: s.text, Name: s.text}}, nil) &&
			yield(connectors.Membership{Member: reference.User("alice"), Group: reference.Group("team")}, nil)
	}
}

type hostile struct {
	reference.Connector
	text *string
}

func (c hostile) Spec() connectors.Spec {
	s := c.Connector.Spec()
	s.Provides = []connectors.Capability{connectors.CanRealm, connectors.CanPermissions, connectors.CanGroups}
	return s
}

func (c hostile) Open(ctx context.Context, env connectors.Env) (connectors.Session, error) {
	s, err := c.Connector.Open(ctx, env)
	if err != nil {
		return nil, err
	}
	return hostileSession{s.(*reference.Session), *c.text}, nil
}

// TestHostileTextStopsNothing: whatever a source puts into any field, the run
// ends as it would without, and the other items are stored.
func TestHostileTextStopsNothing(t *testing.T) {
	t.Parallel()
	var text string
	e := newEngine(t, small(0), func(c *Config) {
		c.Connectors[reference.Source] = hostile{c.Connectors[reference.Source].(reference.Connector), &text}
	})
	for _, text = range hostileTexts() {
		run := e.lastTry(store.Content)
		if run.State != store.RunPartial || !run.Complete || len(run.Blocked) != 1 { // one container is blocked
			t.Errorf("%.40q: content %s (%s): %.300s", text, run.State, run.ErrorClass, run.Error)
		}
		if _, ok := e.documents()["plain"]; !ok {
			t.Errorf("%.40q: the plain document is missing", text)
		}
		if run := e.lastTry(store.Permissions); run.State != store.RunPartial {
			t.Errorf("%.40q: permissions %s (%s): %.300s", text, run.State, run.ErrorClass, run.Error)
		}
		if err := e.runner.LookForNotices(t.Context()); err != nil {
			t.Errorf("%.40q: notices: %v", text, err)
		}
	}
	e.wantWhole()
}

// TestCursorThatCannotBeStored is a bug of the connector, said at once: stored
// as another one it would start the listing over.
func TestCursorThatCannotBeStored(t *testing.T) {
	t.Parallel()
	for _, cursor := range []string{`{"n":`, "\"a\xff\"", ``, `null`} {
		w := small(3)
		e := newEngine(t, w, withPages(w, func(connectors.Cursor) iter.Seq2[connectors.Page, error] {
			return func(yield func(connectors.Page, error) bool) {
				yield(connectors.Page{Changes: []connectors.Change{upsert("a")}, Next: connectors.Cursor(cursor), Complete: true}, nil)
			}
		}))
		if run := e.lastTry(store.Content); run.State != store.RunFailed || run.ErrorClass != "bug" {
			t.Errorf("%q: the run is %s (%s): %s", cursor, run.State, run.ErrorClass, run.Error)
		}
	}
}

// TestOnePercentPoison: the rest is stored, the cursor gets to the end, and the
// run says so.
func TestOnePercentPoison(t *testing.T) {
	t.Parallel()
	w := small(1000)
	for i := range 10 {
		id := []string{"doc-007", "doc-123", "doc-124", "doc-299", "doc-300", "doc-555", "doc-700", "doc-801", "doc-900", "doc-999"}[i]
		w.Fail(reference.FaultOn{On: connectortest.OnBody, Name: id, Err: &connectors.Error{Op: "reading", Class: connectors.ItemSkipped, Err: errOtherItem}})
	}
	e := newEngine(t, w)
	run := e.must(store.Content, store.RunPartial)
	if !run.Complete || run.Counts.Added != 990 || run.Counts.Quarantined != 10 || run.Counts.Listed != 1000 {
		t.Errorf("complete %v: %+v", run.Complete, run.Counts)
	}
	list, err := e.store.Quarantined(t.Context(), e.conn.ID)
	if err != nil || len(list) != 10 || list[0].Class != "item_skipped" || list[0].Reason == "" || list[0].Attempts != 1 {
		t.Errorf("quarantine: %+v, %v", list, err)
	}
	if err := e.runner.LookForNotices(t.Context()); err != nil || e.notices() != "quarantine_not_empty" {
		t.Errorf("open notices: %q, %v", e.notices(), err)
	}
	if run = e.sync(store.Content); run.Kind != store.RunChanges {
		t.Errorf("the next run is %s: the cursor did not advance", run.Kind)
	}
}
