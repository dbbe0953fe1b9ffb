package reference_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"reflect"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"tributary/connectors"
	"tributary/connectors/connectortest"
	"tributary/connectors/reference"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func session(t *testing.T, w *reference.World) *reference.Session {
	t.Helper()
	s, err := w.Connector().Open(t.Context(), connectors.Env{Settings: w.Settings(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	rs, ok := s.(*reference.Session)
	if !ok {
		t.Fatalf("the session is a %T", s)
	}
	return rs
}

func three() *reference.World {
	w := reference.New()
	w.AddPeople("alice")
	w.SetPageSize(1)
	for _, id := range []string{"doc-1", "doc-2", "doc-3"} {
		w.Put(id, "text of "+id, reference.Readers(reference.User("alice")))
	}
	return w
}

// crawl reads a snapshot until it ends, fails, or has more pages than a sane
// one of three items could.
func crawl(ctx context.Context, s connectors.Session, from connectors.Cursor) ([]connectors.Page, error) {
	var pages []connectors.Page
	for page, err := range s.Snapshot(ctx, from) {
		if err != nil {
			return pages, err
		}
		if pages = append(pages, page); len(pages) > 9 {
			break
		}
	}
	return pages, nil
}

func TestCursorForm(t *testing.T) {
	t.Parallel()
	s := session(t, three())
	pages, err := crawl(t.Context(), s, nil)
	if err != nil || len(pages) != 3 {
		t.Fatalf("%d pages, error %v", len(pages), err)
	}
	start, err := s.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, got, want string }{
		{"listing", string(pages[0].Next), `{"v":1,"epoch":0,"after":"doc-1"}`},
		{"feed", string(start), `{"v":1,"epoch":0,"seen":3}`},
	} {
		if c.got != c.want {
			t.Errorf("%s cursor %s, want %s", c.name, c.got, c.want)
		}
	}
}

func TestFaultsStrikePagesAsOftenAsSaid(t *testing.T) {
	t.Parallel()
	w := three()
	s := session(t, w)
	w.Fail(reference.FaultOn{Kind: connectortest.RateLimited, Page: 2, Times: 2, RetryAfter: time.Minute})
	pages, err := crawl(t.Context(), s, nil)
	for try := range 2 {
		if len(pages) != 1-try || connectors.ClassOf(err) != connectors.RateLimited || connectors.RetryAfterOf(err) != time.Minute {
			t.Fatalf("try %d: %d pages, error %v", try, len(pages), err)
		}
		pages, err = crawl(t.Context(), s, connectors.Cursor(`{"v":1,"epoch":0,"after":"doc-1"}`))
	}
	if err != nil || len(pages) != 2 || !pages[1].Complete {
		t.Errorf("after the fault: %d pages, error %v", len(pages), err)
	}
}

func TestFaultsOfABrokenConnector(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault reference.FaultOn
		check func(pages []connectors.Page, err error) bool
	}{
		"killed": {reference.FaultOn{Kind: reference.Killed, Page: 2}, func(pages []connectors.Page, err error) bool {
			return len(pages) == 2 && errors.Is(err, reference.ErrKilled)
		}},
		"repeated cursor": {reference.FaultOn{Kind: reference.RepeatedCursor, Page: 2}, func(pages []connectors.Page, err error) bool {
			return err == nil && len(pages) > 3 && pages[1].Next.Equal(pages[0].Next) && pages[2].Next.Equal(pages[0].Next)
		}},
		"false complete": {reference.FaultOn{Kind: reference.FalseComplete, Page: 2}, func(pages []connectors.Page, err error) bool {
			return err == nil && len(pages) == 2 && pages[1].Complete
		}},
		"wider ACL": {reference.FaultOn{Kind: reference.WiderACL, Page: 3}, func(pages []connectors.Page, err error) bool {
			return err == nil && reflect.DeepEqual(pages[2].Changes[0].ACL, reference.Readers(reference.Everyone())) &&
				reflect.DeepEqual(pages[0].Changes[0].ACL, reference.Readers(reference.User("alice")))
		}},
		"an error of the test's own": {reference.FaultOn{Err: io.ErrNoProgress, Page: 3}, func(pages []connectors.Page, err error) bool {
			return len(pages) == 2 && errors.Is(err, io.ErrNoProgress)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := three()
			w.Fail(c.fault)
			if pages, err := crawl(t.Context(), session(t, w), nil); !c.check(pages, err) {
				t.Errorf("pages %+v, error %v", pages, err)
			}
		})
	}
}

func TestAtChangesTheWorldWhileItIsListed(t *testing.T) {
	t.Parallel()
	w := three()
	w.At(connectortest.OnListing, 2, func() { w.Delete("doc-3") })
	pages, err := crawl(t.Context(), session(t, w), nil)
	if err != nil || len(pages) != 2 || !pages[1].Complete {
		t.Errorf("%d pages, error %v: doc-3 was deleted before page 2", len(pages), err)
	}
}

func TestHeldRequests(t *testing.T) {
	t.Parallel()
	w := three()
	s := session(t, w)
	for _, release := range []string{"mend", "cancel"} {
		w.Fail(reference.FaultOn{Kind: connectortest.Slow, Page: 2})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			_, err := crawl(ctx, s, nil)
			done <- err
		}()
		if err := w.AwaitHeld(t.Context()); err != nil {
			t.Fatal(err)
		}
		if release == "cancel" {
			cancel()
			if err := <-done; !errors.Is(err, context.Canceled) {
				t.Errorf("cancelled: %v", err)
			}
		}
		w.Mend()
		if release == "mend" {
			if err := <-done; err != nil {
				t.Errorf("mended: %v", err)
			}
		}
		cancel()
	}
}

func TestCountsAndRevisions(t *testing.T) {
	t.Parallel()
	w := three()
	s := session(t, w)
	before, err := crawl(t.Context(), s, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := w.Counts(); got.Listings != 3 || got.Bodies != 0 {
		t.Errorf("after a listing: %+v", got)
	}
	w.SetACL("doc-1", reference.Readers(reference.Everyone()))
	w.Edit("doc-2", "another text")
	after, err := crawl(t.Context(), s, nil)
	if err != nil {
		t.Fatal(err)
	}
	if before[0].Changes[0].Ref != after[0].Changes[0].Ref {
		t.Error("an ACL change gives another revision")
	}
	if before[1].Changes[0].Ref == after[1].Changes[0].Ref {
		t.Error("an edit keeps the revision")
	}
	rc, err := after[1].Changes[0].Document.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(rc)
	if err != nil || string(text) != "another text" || w.Counts().Bodies != 1 {
		t.Errorf("text %q, error %v, counts %+v", text, err, w.Counts())
	}
}

func TestLostItemsLeaveNoTombstone(t *testing.T) {
	t.Parallel()
	w := three()
	s := session(t, w)
	start, err := s.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w.Lose("doc-2")
	for page, err := range s.Changes(t.Context(), start) {
		t.Errorf("page %+v, error %v", page, err)
	}
	if len(w.Truth()) != 2 {
		t.Error("doc-2 is still there")
	}
}

// TestRandomWorlds: the same seed is the same world, and what a crawl and the
// feed say of it is what it holds.
func TestRandomWorlds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		seed := rapid.Uint64().Draw(rt, "seed")
		n := rapid.IntRange(1, 40).Draw(rt, "n")
		k := rapid.IntRange(0, 60).Draw(rt, "k")
		w, twin := reference.Random(seed, n), reference.Random(seed, n)
		w.SetPageSize(rapid.IntRange(1, 10).Draw(rt, "page"))
		s := session(t, w)
		start, err := s.Start(t.Context())
		if err != nil {
			rt.Fatal(err)
		}
		held := map[string]connectors.ACL{}
		follow(rt, held, s.Snapshot(t.Context(), nil))
		w.Churn(seed, k)
		twin.Churn(seed, k)
		if !reflect.DeepEqual(w.Truth(), twin.Truth()) || !reflect.DeepEqual(w.Memberships(), twin.Memberships()) {
			rt.Fatal("the same seed made two worlds")
		}
		follow(rt, held, s.Changes(t.Context(), start))
		truth := w.Truth()
		if len(held) != len(truth) {
			rt.Errorf("%d documents, the world has %d", len(held), len(truth))
		}
		for _, it := range truth {
			if acl, ok := held[it.ID]; !ok || !reflect.DeepEqual(acl, it.ACL) {
				rt.Errorf("%s: ACL %+v, the world's is %+v", it.ID, acl, it.ACL)
			}
		}
	})
}

func follow(rt *rapid.T, held map[string]connectors.ACL, seq func(func(connectors.Page, error) bool)) {
	for page, err := range seq {
		if err != nil {
			rt.Fatal(err)
		}
		for _, c := range page.Changes {
			_, known := held[c.Ref.ID]
			switch {
			case c.Op == connectors.Delete:
				delete(held, c.Ref.ID)
			case c.Op == connectors.Upsert || known:
				held[c.Ref.ID] = c.ACL
			}
		}
	}
}

// TestRandomWorldsHaveWhatTheyPromise: over some seeds there are denials,
// unknown permissions, several clauses, nested groups and a cycle.
func TestRandomWorldsHaveWhatTheyPromise(t *testing.T) {
	t.Parallel()
	var deny, unknown, clauses, nested, readable, hidden int
	for seed := range uint64(10) {
		w := reference.Random(seed, 50)
		for _, m := range w.Memberships() {
			if m.Member.Kind == connectors.Group {
				nested++
			}
		}
		for _, it := range w.Truth() {
			deny += len(it.ACL.Deny)
			clauses += max(0, len(it.ACL.AllOf)-1)
			if !it.ACL.Known() {
				unknown++
			}
			for _, p := range w.People() {
				if w.CanRead(p, it.ID) {
					readable++
				} else {
					hidden++
				}
			}
		}
	}
	for name, n := range map[string]int{"denials": deny, "unknown ACLs": unknown, "further clauses": clauses, "nested groups": nested, "readable": readable, "hidden": hidden} {
		if n < 20 {
			t.Errorf("%s: %d in ten worlds", name, n)
		}
	}
}
