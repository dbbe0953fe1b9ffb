package jobs

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tributary/connectors"
	"tributary/connectors/reference"
	"tributary/internal/pgtest"
	"tributary/store"
)

// newPush returns an engine whose connection is pushed to.
func newPush(t *testing.T) *engine {
	t.Helper()
	e := newEngine(t, reference.New())
	var err error
	e.conn, err = e.store.CreateConnection(t.Context(), store.NewConnection{Name: "wiki", Source: store.PushSource, Realm: "acme", MaxPermissionAge: 24 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// items reads the items of a batch.
func items(t *testing.T, raw string) []PushItem {
	t.Helper()
	var list []json.RawMessage
	if err := json.Unmarshal([]byte(raw), &list); err != nil {
		t.Fatal(err)
	}
	out := make([]PushItem, len(list))
	for i := range list {
		out[i] = DecodePushItem(list[i])
	}
	return out
}

// push pushes a batch and returns "id status" of each item, with the code of
// its error or its warnings.
func (e *engine) push(raw string) []string {
	e.t.Helper()
	results, err := e.runner.Push(e.t.Context(), e.conn, items(e.t, raw))
	if err != nil {
		e.t.Fatal(err)
	}
	out := make([]string, len(results))
	for i, r := range results {
		out[i] = r.ID + " " + string(r.Status)
		if r.Err != nil {
			var p *PushError
			if !errors.As(r.Err, &p) {
				e.t.Fatalf("item %s: %v", r.ID, r.Err)
			}
			out[i] += " " + p.Code + " " + p.Pointer
		}
		for _, w := range r.Warnings {
			out[i] += " (" + w + ")"
		}
	}
	return out
}

func (e *engine) wantPush(raw string, want ...string) {
	e.t.Helper()
	if got := e.push(raw); strings.Join(got, "\n") != strings.Join(want, "\n") {
		e.t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

const alices = `"acl": {"all_of": [[{"kind": "user", "id": "alice"}]]}`

func TestPushIsIdempotentByIDAndRevision(t *testing.T) {
	t.Parallel()
	e := newPush(t)
	one := `[{"id": "a", "content": "# A\n\nThe first text.", "content_type": "text/markdown", "revision": "1", ` + alices + `}]`
	e.wantPush(one, "a created")
	e.wantPush(one, "a unchanged")
	e.wantPush(strings.Replace(one, `"revision": "1"`, `"revision": "2"`, 1), "a updated")
	if n := pgtest.Scalar[int](t, e.db, `SELECT revision FROM document WHERE external_id = 'a'`); n != 1 {
		t.Errorf("the same text made revision %d", n)
	}
	e.wantPush(strings.Replace(strings.Replace(one, "first", "second", 1), `"revision": "1"`, `"revision": "3"`, 1), "a updated")
	if got := e.documents()["a"]; !strings.Contains(got, "second") {
		t.Errorf("the text is %q", got)
	}
	e.wantPush(strings.Replace(one, `"revision": "1"`, `"revision": "3"`, 1),
		"a unchanged (content: it differs from what this revision was stored with and was not read: a changed text needs another revision)")
	if got := e.documents()["a"]; !strings.Contains(got, "second") {
		t.Errorf("the text is %q", got)
	}
	e.wantPush(`[{"op": "delete", "id": "a"}, {"op": "delete", "id": "never"}]`, "a deleted", "never unchanged")
	e.wantPush(`[{"op": "delete", "id": "a"}]`, "a unchanged")
	if docs := e.documents(); len(docs) != 0 {
		t.Errorf("stored are %v", docs)
	}
	e.wantWhole()
}

func TestPushWithoutRevisionGoesByTheContent(t *testing.T) {
	t.Parallel()
	e := newPush(t)
	one := `[{"id": "a", "content": "A text.", ` + alices + `}]`
	e.wantPush(one, "a created")
	e.wantPush(one, "a unchanged")
	e.wantPush(strings.Replace(one, "A text", "Another text", 1), "a updated")
}

func TestPushAppliesFieldsAndACLToAnUnchangedRevision(t *testing.T) {
	t.Parallel()
	e := newPush(t)
	e.wantPush(`[{"id": "a", "content": "# Found title\n\nText.", "content_type": "text/markdown", "revision": "1", "metadata": {"n": 1}, `+alices+`}]`, "a created")
	e.wantPush(`[{"id": "a", "content": "# Found title\n\nText.", "revision": "1", "metadata": {"n": 2, "b": true}, "url": "https://x.example/a",
		"acl": {"all_of": [[{"kind": "user", "id": "bob"}]]}}]`, "a unchanged")
	got := pgtest.Scalar[string](t, e.db, `
		SELECT d.title || ' ' || d.url || ' ' || d.metadata::text || ' ' || p.external_id || ' ' || d.revision
		FROM document d JOIN acl_entry a ON a.set_id = d.acl_set_id JOIN principal p ON p.id = a.principal_id`)
	if want := `Found title https://x.example/a {"b": "true", "n": "2"} bob 1`; got != want {
		t.Errorf("stored is %q, want %q", got, want)
	}
	// Without an acl the stored one stays, also with a new text.
	e.wantPush(`[{"id": "a", "content": "Other text.", "revision": "2"}]`, "a updated")
	if got := pgtest.Scalar[string](t, e.db, `SELECT p.external_id FROM document d JOIN acl_entry a ON a.set_id = d.acl_set_id JOIN principal p ON p.id = a.principal_id`); got != "bob" {
		t.Errorf("the reader is %q", got)
	}
	e.wantPush(`[{"id": "a", "content": "Other text.", "revision": "2", "acl": {"all_of": []}}]`, "a unchanged (acl: nobody may read this document)")
	if set := pgtest.Scalar[int64](t, e.db, `SELECT acl_set_id FROM document`); set != 0 {
		t.Errorf("the set is %d", set)
	}
}

func TestPushStoresTheRestOfABatch(t *testing.T) {
	t.Parallel()
	e := newPush(t)
	e.wantPush(`[
		{"id": "good", "content": "Text.", `+alices+`},
		{"id": "noacl", "content": "Text."},
		{"id": "kind", "content": "Text.", "acl": {"all_of": [[{"kind": "team", "id": "x"}]]}},
		{"id": "field", "content": "Text.", "colour": "red", `+alices+`},
		{"id": "binary", "content_base64": "UEsDBBQAAAAIAAAAAAAAAA==", `+alices+`},
		{"id": "type", "content": "x", "content_type": "image/png", `+alices+`},
		{"id": 7, "content": "x"},
		"nothing",
		{"id": "nul", "content": "a\u0000b c", "title": "T\u0000t", "metadata": {"k\u0000": "v\u0000"}, `+alices+`},
		{"id": "good", "content": "Text again.", "revision": "2", `+alices+`}]`,
		"good created", "noacl failed invalid_item /acl", "kind failed invalid_item /acl/all_of/0/0/kind", " failed unknown_field /colour",
		"binary failed unreadable_content /content", "type failed unsupported_content_type /content_type", " failed invalid_item /id", " failed invalid_item ",
		"nul created", "good updated")
	docs := e.documents()
	if len(docs) != 2 || docs["nul"] != "ab c" || docs["good"] != "Text again." {
		t.Errorf("stored are %q", docs)
	}
	e.wantWhole()
	if _, err := e.store.ClosePushRuns(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	run := e.lastRun()
	if run.State != store.RunPartial || run.Counts.Added != 2 || run.Counts.Updated != 1 || run.Counts.Quarantined != 1 || run.Counts.Extra["rejected"] != 6 {
		t.Errorf("run %s, %+v", run.State, run.Counts)
	}
	events, err := e.store.RunEvents(t.Context(), run.ID, 0, 10)
	if err != nil || len(events) != 2 || events[0].Code != store.EventSliceStarted || events[1].Code != store.EventEnded || events[1].Level != store.LevelWarning ||
		!strings.HasPrefix(events[1].Message, "partial: 4 listed, +2 ~1 -0 !1: 7 items") {
		t.Errorf("the log of the run is %+v, %v", events, err)
	}
	refused, err := e.store.RunItems(t.Context(), run.ID, store.ItemRefused, 0, 10)
	var said []string
	for _, i := range refused {
		said = append(said, i.ExternalID+" "+i.Reason[:min(len(i.Reason), 6)])
	}
	if want := []string{"noacl /acl: ", "kind /acl/a", " /colou", "type /conte", " /id: m", " must b"}; err != nil || !slices.Equal(said, want) {
		t.Errorf("refused are %q, want %q, %v", said, want, err)
	}
	if broken, err := e.store.RunItems(t.Context(), run.ID, store.ItemQuarantined, 0, 10); err != nil || len(broken) != 1 || broken[0].ExternalID != "binary" {
		t.Errorf("quarantined are %+v, %v", broken, err)
	}
}

// What an admin excluded is refused, and the log of the run does not name it again.
func TestPushedAgainAfterItsExclusion(t *testing.T) {
	t.Parallel()
	e := newPush(t)
	e.wantPush(`[{"id": "canary", "content": "Text.", `+alices+`}]`, "canary created")
	if n, err := e.store.ExcludeItems(t.Context(), e.conn.ID, []string{"canary"}, "", "test"); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	e.wantPush(`[{"id": "canary", "content": "Text.", `+alices+`}, {"id": "canary", "content": "Text."}]`, "canary failed excluded /id", "canary failed excluded /id")
	run := e.lastRun()
	if items, err := e.store.RunItems(t.Context(), run.ID, store.ItemRefused, 0, 10); err != nil || len(items) != 0 || run.Counts.Extra["rejected"] != 2 {
		t.Errorf("refused are %+v of %+v, %v", items, run.Counts, err)
	}
	if _, err := e.store.IncludeItems(t.Context(), e.conn.ID, []string{"canary"}); err != nil {
		t.Fatal(err)
	}
	e.wantPush(`[{"id": "canary", "content": "Text.", `+alices+`}]`, "canary created")
	// A run that an admin ends has its end in its log, and the next one its start.
	if err := e.store.CancelRun(t.Context(), run.ID); err != nil {
		t.Fatal(err)
	}
	e.wantPush(`[{"id": "next", "content": "Text.", `+alices+`}]`, "next created")
	if events, err := e.store.RunEvents(t.Context(), run.ID, 0, 10); err != nil || len(events) == 0 || !strings.HasPrefix(events[len(events)-1].Message, "cancelled: ") {
		t.Errorf("the log of the cancelled run is %+v, %v", events, err)
	}
	if again := e.lastRun(); again.ID == run.ID {
		t.Error("it went on")
	}
}

func (e *engine) lastRun() store.Run {
	e.t.Helper()
	runs, err := e.store.Runs(e.t.Context(), store.RunFilter{Connection: e.conn.ID})
	if err != nil || len(runs) == 0 {
		e.t.Fatalf("%d runs, %v", len(runs), err)
	}
	return runs[0]
}

// TestPushersOfOneConnectionEndAsOneOfThem: whatever the order, a document is
// one of those that were pushed, text, title and ACL together.
func TestPushersOfOneConnectionEndAsOneOfThem(t *testing.T) {
	t.Parallel()
	e := newPush(t)
	twin, err := New(Config{Store: e.store, Extractor: e.runner.cfg.Extractor})
	if err != nil {
		t.Fatal(err)
	}
	const pushers, rounds = 6, 12
	var wg sync.WaitGroup
	for n := range pushers {
		wg.Go(func() {
			runner := e.runner
			if n%2 == 1 {
				runner = twin // another process has another turn
			}
			for i := range rounds {
				v := (n + i) % 3
				raw := fmt.Sprintf(`{"id": "shared", "title": "title %d", "content": "Text number %d.", "revision": "%d", "acl": {"all_of": [[{"kind": "user", "id": "u%d"}]]}}`, v, v, v, v)
				own := fmt.Sprintf(`{"id": "own-%d-%d", "content": "Text of %d.", `+alices+`}`, n, i, n)
				results, err := runner.Push(t.Context(), e.conn, []PushItem{DecodePushItem([]byte(raw)), DecodePushItem([]byte(own))})
				if err != nil {
					t.Errorf("pushing: %v", err)
					return
				}
				for _, r := range results {
					if r.Err != nil {
						t.Errorf("pushing %s: %v", r.ID, r.Err)
					}
				}
				got, err := e.store.Pool().Query(t.Context(), `
					SELECT d.title || d.source_revision || r.text || p.external_id FROM document d JOIN revision r ON r.document_id = d.id AND r.number = d.revision
					JOIN acl_entry a ON a.set_id = d.acl_set_id JOIN principal p ON p.id = a.principal_id WHERE d.external_id = 'shared'`)
				if err != nil {
					t.Error(err)
					return
				}
				for got.Next() {
					var s string
					if err := got.Scan(&s); err != nil {
						t.Error(err)
					}
					if c := s[len("title ") : len("title ")+1]; s != "title "+c+c+"Text number "+c+"."+"u"+c {
						t.Errorf("the document is a mixture: %q", s)
					}
				}
				got.Close()
			}
		})
	}
	wg.Wait()
	if n := len(e.documents()); n != pushers*rounds+1 {
		t.Errorf("%d documents, want %d", n, pushers*rounds+1)
	}
	if n := pgtest.Scalar[int](t, e.db, `SELECT count(*)::int FROM sync_run WHERE kind = 'push'`); n != 1 {
		t.Errorf("%d runs, want the one that all share", n)
	}
	e.wantWhole()
}

func TestPushRunEndsByItselfAndBelongsToNobody(t *testing.T) {
	t.Parallel()
	e := newPush(t)
	e.db.SetClock(t, time.Now())
	one := `[{"id": "a", "content": "A text.", ` + alices + `}]`
	e.push(one)
	e.db.Advance(t, 59*time.Second)
	if err := e.runner.tick(t.Context()); err != nil {
		t.Fatal(err)
	}
	if run := e.lastRun(); run.State != store.RunRunning || run.Kind != store.RunPush {
		t.Errorf("after 59 s the run is %s", run.State)
	}
	e.db.Advance(t, 2*time.Second)
	orphans, err := e.store.Orphans(t.Context(), time.Second, "push")
	if err != nil || slices.ContainsFunc(orphans, func(r store.Orphan) bool { return r.ConnectionID == e.conn.ID }) {
		t.Errorf("orphans %v, %v", orphans, err)
	}
	if _, err := e.store.ClaimRun(t.Context(), e.lastRun().ID, "w", 0); !errors.Is(err, store.ErrConflict) {
		t.Errorf("claiming a push run: %v", err)
	}
	if err := e.runner.tick(t.Context()); err != nil {
		t.Fatal(err)
	}
	first := e.lastRun()
	if first.State != store.RunSucceeded || first.Counts.Added != 1 {
		t.Errorf("after 61 s the run is %s: %+v", first.State, first.Counts)
	}
	e.wantPush(one, "a unchanged")
	if e.lastRun().ID == first.ID {
		t.Error("a run that has ended was written under")
	}
	if conn, err := e.store.Connection(t.Context(), "wiki"); err != nil || conn.State != store.StateActive || conn.PermissionsAsOf == nil {
		t.Errorf("the connection is %+v, %v", conn, err)
	}
	if _, _, err := e.runner.Request(t.Context(), e.conn, store.Content, "test", false); err == nil {
		t.Error("a sync of a push connection was asked for")
	}
	if n := pgtest.Scalar[int](t, e.db, `SELECT count(*)::int FROM schedule WHERE connection_id = '`+e.conn.ID.String()+`'`); n != 0 {
		t.Errorf("%d schedules", n)
	}
}

func TestPushIsRefusedWhilePausedAndWhenClosed(t *testing.T) {
	t.Parallel()
	e := newPush(t)
	one := items(t, `[{"id": "a", "content": "A text.", `+alices+`}]`)
	if _, err := e.runner.Push(t.Context(), e.conn, one); err != nil {
		t.Fatal(err)
	}
	if err := e.store.SetPaused(t.Context(), e.conn.ID, true); err != nil {
		t.Fatal(err)
	}
	if _, err := e.runner.Push(t.Context(), e.conn, one); !errors.Is(err, store.ErrPaused) {
		t.Errorf("pushing to a paused connection: %v", err)
	}
	if err := e.store.SetPaused(t.Context(), e.conn.ID, false); err != nil {
		t.Fatal(err)
	}
	if got := e.push(`[{"id": "b", "content": "B text.", ` + alices + `}]`); got[0] != "b created" {
		t.Errorf("after the pause: %v", got)
	}
	e.db.MustExec(t, `UPDATE connection SET state = 'closing' WHERE name = 'wiki'`)
	if _, err := e.runner.Push(t.Context(), e.conn, one); !errors.Is(err, store.ErrClosing) {
		t.Errorf("pushing to a closing connection: %v", err)
	}
	if err := e.store.DeleteConnection(t.Context(), e.conn.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := e.runner.Push(t.Context(), e.conn, one); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("pushing to a deleted connection: %v", err)
	}
	if _, err := e.runner.PushGroup(t.Context(), e.conn, connectors.Principal{Kind: connectors.Group, ID: "g"}, nil); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("pushing a group to a deleted connection: %v", err)
	}
}
