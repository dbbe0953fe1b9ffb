package store_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"tributary/connectors"
	"tributary/internal/pgtest"
	"tributary/store"
)

// feeder is a key that reads connections whole.
type feeder struct {
	*rig
	t   *testing.T
	who store.Identity
	key store.Key
}

func (r *rig) feeder(t *testing.T, name string, connections ...uuid.UUID) *feeder {
	t.Helper()
	key, secret, err := r.store.CreateKey(t.Context(), store.CreateKeyParams{Name: name, Rights: []string{store.RightExport}, Connections: connections})
	if err != nil {
		t.Fatal(err)
	}
	_, who, err := r.store.Authenticate(t.Context(), secret)
	if err != nil {
		t.Fatal(err)
	}
	return &feeder{r, t, who, key}
}

// read reads until there is no more, and returns the events with the cursor.
func (f *feeder) read(req store.FeedRequest) ([]store.FeedEvent, string) {
	f.t.Helper()
	if _, err := f.store.SequenceFeed(f.t.Context()); err != nil {
		f.t.Fatal(err)
	}
	var all []store.FeedEvent
	for {
		page, err := f.store.Feed(f.t.Context(), f.who, req)
		if err != nil {
			f.t.Fatalf("reading the feed: %v", err)
		}
		all = append(all, page.Events...)
		if req.Cursor = page.Cursor; !page.More {
			return all, page.Cursor
		}
	}
}

func kindsOf(events []store.FeedEvent) []string {
	var out []string
	for _, e := range events {
		out = append(out, e.Event)
	}
	return out
}

func (s *source) commit(f failer, docs ...store.DocumentWrite) {
	f.Helper()
	run := s.start(f, store.Content)
	s.mustWrite(f, &store.Batch{Run: run, Documents: docs})
	s.end(f, run)
}

// TestPositionsFollowCommits: positions are gap-free and given in the order in
// which rows become visible, whatever order their transactions began in and
// however many processes give them.
func TestPositionsFollowCommits(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	conn := r.connect(t, "wiki", "acme").conn
	if _, err := r.store.SequenceFeed(t.Context()); err != nil {
		t.Fatal(err)
	}
	const writers, each = 6, 30
	start := pgtest.Scalar[int64](t, r.db, `SELECT position FROM feed_head`)
	writing, stop := context.WithCancel(t.Context())
	var write, sequence sync.WaitGroup
	for w := range writers {
		write.Go(func() {
			for i := range each {
				tx, err := r.db.Pool.Begin(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := tx.Exec(t.Context(), `INSERT INTO outbox (kind, connection_id) VALUES ('stale', $1)`, conn); err != nil {
					t.Error(err)
				}
				// Some stay open while others come and go, and some come to nothing.
				if _, err := tx.Exec(t.Context(), `SELECT pg_sleep($1)`, float64((w*7+i*13)%5)/1000); err != nil {
					t.Error(err)
				}
				end := tx.Commit
				if i%10 == 9 {
					end = tx.Rollback
				}
				if err := end(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 2 {
		sequence.Go(func() {
			for writing.Err() == nil {
				if _, err := r.store.SequenceFeed(context.WithoutCancel(writing)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	// What was seen up to the head is all that there ever is up to it.
	seen := map[int64]int64{}
	last := start
	look := func() {
		rows := list(t, r.db, `SELECT o.position || ' ' || o.id FROM outbox o WHERE o.position > $1 AND o.position <= (SELECT position FROM feed_head) ORDER BY o.position`, last)
		for _, row := range rows {
			var position, id int64
			if _, err := fmt.Sscan(row, &position, &id); err != nil {
				t.Fatal(err)
			}
			if position != last+1 {
				t.Fatalf("position %d follows %d", position, last)
			}
			last, seen[id] = position, position
		}
	}
	done := make(chan struct{})
	go func() { write.Wait(); close(done) }()
	for ended := false; !ended; {
		select {
		case <-done:
			ended = true
		default:
		}
		look()
	}
	stop()
	sequence.Wait()
	if _, err := r.store.SequenceFeed(t.Context()); err != nil {
		t.Fatal(err)
	}
	look()
	if want := writers * each * 9 / 10; len(seen) != want || last != start+int64(want) {
		t.Errorf("%d rows up to %d, want %d", len(seen), last, want)
	}
	if again := pgtest.Scalar[int64](t, r.db, `SELECT count(*) FROM outbox WHERE position IS NULL`); again != 0 {
		t.Errorf("%d rows have no position", again)
	}
	ids := slices.Sorted(maps.Keys(seen))
	if slices.IsSortedFunc(ids, func(a, b int64) int { return int(seen[a] - seen[b]) }) {
		t.Log("no transaction was overtaken: the order was not put to the test")
	}
}

// TestFeedIsForItsKeysOnly: everything but a living key of its own with right
// export and listed connections is denied, by the function itself.
func TestFeedIsForItsKeysOnly(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	wiki, other := r.connect(t, "wiki", "acme"), r.connect(t, "other", "acme")
	wiki.commit(t, document("a", readable("u"), "of the wiki"))
	other.commit(t, document("b", readable("u"), "of another"))
	reader, err := r.store.CreateReader(t.Context(), "ada", store.Person)
	if err != nil {
		t.Fatal(err)
	}
	f := r.feeder(t, "good", wiki.conn)
	events, _ := f.read(store.FeedRequest{})
	if want := []string{"snapshot.begin", "stale", "acl.upsert", "document.upsert", "chunk.upsert", "snapshot.end"}; !slices.Equal(kindsOf(events), want) {
		t.Errorf("the snapshot is %v, want %v", kindsOf(events), want)
	}
	for _, e := range events {
		if e.ConnectionID != nil && *e.ConnectionID != wiki.conn {
			t.Errorf("%s of a connection that is not listed", e.Event)
		}
	}
	_, _, err = r.store.CreateKey(t.Context(), store.CreateKeyParams{Name: "all", Rights: []string{store.RightExport}, AllConnections: true})
	if input, ok := errors.AsType[*store.InputError](err); !ok || input.Field != "connections" {
		t.Errorf("a key that would read everything whole: %v", err)
	}
	bad := map[string]store.Identity{
		"nobody": {}, "a reader": store.IdentityOf(reader.ID, uuid.Nil, false, nil), "a reader beside the key": store.IdentityOf(reader.ID, f.key.ID, false, nil),
		"principals beside the key": store.IdentityOf(uuid.Nil, f.key.ID, true, []int64{1}), "an unknown key": store.IdentityOf(uuid.Nil, uuid.New(), false, nil),
	}
	for name, change := range map[string]string{
		"a key without the right": `rights = '{search,documents,push}'`, "a key of every connection": `all_connections = true`, "a revoked key": `revoked_at = clock()`,
		"an expired key": `expires_at = clock() - interval '1 second'`, "a trusted key": `mode = 'trusted', expires_at = clock() + interval '1 day'`,
		"an asserting key": `mode = 'assertion'`, "a bound key": `mode = 'bound', reader_id = (SELECT id FROM reader)`,
	} {
		g := r.feeder(t, name, wiki.conn)
		r.db.MustExec(t, `UPDATE api_key SET `+change+` WHERE name = $1`, name)
		bad[name] = g.who
	}
	for name, who := range bad {
		if page, err := r.store.Feed(t.Context(), who, store.FeedRequest{}); !errors.Is(err, store.ErrFeedDenied) || len(page.Events) > 0 {
			t.Errorf("%s: %v with %d events", name, err, len(page.Events))
		}
		if list, err := r.store.ReaderPrincipals(t.Context(), who, reader.ID, ""); !errors.Is(err, store.ErrFeedDenied) || len(list) > 0 {
			t.Errorf("%s: %v with %v", name, err, list)
		}
	}
}

// TestErasedTextIsNeverDelivered: what is erased before it is delivered leaves
// its deletion alone.
func TestErasedTextIsNeverDelivered(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	wiki := r.connect(t, "wiki", "acme")
	f := r.feeder(t, "mirror", wiki.conn)
	_, cursor := f.read(store.FeedRequest{})
	wiki.commit(t, document("a", readable("u"), "first canary"))
	wiki.commit(t, document("a", readable("v"), "second canary"), document("b", readable("u"), "stays"))
	e, err := r.store.RequestErasure(t.Context(), store.EraseRequest{Connection: wiki.conn, Scope: store.EraseDocument, Documents: []string{"a"}}, "test")
	if err != nil {
		t.Fatal(err)
	}
	hidden, _ := f.read(store.FeedRequest{Cursor: cursor})
	if _, err := r.store.Erase(t.Context(), e.ID, store.EraseOptions{}); err != nil {
		t.Fatal(err)
	}
	gone, cursor := f.read(store.FeedRequest{Cursor: cursor})
	for name, events := range map[string][]store.FeedEvent{"hidden": hidden, "erased": gone} {
		deletes := 0
		for _, e := range events {
			if e.Text != nil && strings.Contains(*e.Text, "canary") {
				t.Errorf("%s: its text is delivered", name)
			}
			if e.Event == store.FeedDocumentDelete {
				deletes++
			}
		}
		if deletes != 1 || !slices.Contains(kindsOf(events), store.FeedChunkUpsert) {
			t.Errorf("%s: %v", name, kindsOf(events))
		}
	}
	if more, _ := f.read(store.FeedRequest{Cursor: cursor}); len(more) > 0 {
		t.Errorf("more: %v", kindsOf(more))
	}
}

// TestOldChangesAreDropped: a cursor before what is kept has expired, and one at
// its beginning has not.
func TestOldChangesAreDropped(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.db.SetClock(t, time.Now())
	wiki := r.connect(t, "wiki", "acme")
	f := r.feeder(t, "mirror", wiki.conn)
	wiki.commit(t, document("a", readable("u"), "one"))
	_, old := f.read(store.FeedRequest{})
	wiki.commit(t, document("a", readable("u"), "two"))
	_, middle := f.read(store.FeedRequest{Cursor: old})
	r.db.Advance(t, 8*24*time.Hour)
	wiki.commit(t, document("a", readable("u"), "three"))
	if _, err := r.store.SequenceFeed(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n, err := r.store.DropFeed(t.Context(), 7*24*time.Hour); err != nil || n == 0 {
		t.Fatalf("dropped %d, %v", n, err)
	}
	if n, err := r.store.DropFeed(t.Context(), 7*24*time.Hour); err != nil || n != 0 {
		t.Errorf("dropped again %d, %v", n, err)
	}
	if _, err := r.store.Feed(t.Context(), f.who, store.FeedRequest{Cursor: old}); !errors.Is(err, store.ErrFeedExpired) {
		t.Errorf("an old cursor: %v", err)
	}
	if events, _ := f.read(store.FeedRequest{Cursor: middle}); !slices.Contains(kindsOf(events), store.FeedChunkUpsert) {
		t.Errorf("after the middle: %v", kindsOf(events))
	}
	// Nothing is left, and positions go on.
	r.db.Advance(t, 8*24*time.Hour)
	if _, err := r.store.DropFeed(t.Context(), 7*24*time.Hour); err != nil {
		t.Fatal(err)
	}
	h, err := r.store.FeedHealth(t.Context())
	if err != nil || h.Position == 0 || h.Age != 0 {
		t.Errorf("health %+v, %v", h, err)
	}
	wiki.commit(t, document("a", readable("u"), "four"))
	if n, err := r.store.SequenceFeed(t.Context()); err != nil || n != 1 || pgtest.Scalar[int64](t, r.db, `SELECT max(position) FROM outbox`) != h.Position+1 {
		t.Errorf("sequenced %d, %v", n, err)
	}
	for _, bad := range []string{"x", "e30", strings.Repeat("A", 100)} {
		_, err := r.store.Feed(t.Context(), f.who, store.FeedRequest{Cursor: bad})
		if _, ok := errors.AsType[*store.InputError](err); !ok && !errors.Is(err, store.ErrFeedExpired) {
			t.Errorf("cursor %q: %v", bad, err)
		}
	}
}

// TestFeedTellsVectors: with include=embedding chunks come with their vectors,
// and again when these come later; a change of the profile ends the cursor.
func TestFeedTellsVectors(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	wiki := r.connect(t, "wiki", "acme")
	f := r.feeder(t, "mirror", wiki.conn)
	activate := func(id int16) {
		r.db.MustExec(t, `UPDATE embedding_profile SET state = 'building'`)
		r.db.MustExec(t, `UPDATE embedding_profile SET state = 'active' WHERE id = $1`, id)
	}
	activate(r.remote)
	wiki.commit(t, document("a", readable("u"), "one", "two"))
	vectors := func(events []store.FeedEvent) (with, without int) {
		for _, e := range events {
			switch {
			case e.Event != store.FeedChunkUpsert:
			case len(e.Embedding) == rigDimensions:
				with++
			default:
				without++
			}
		}
		return with, without
	}
	events, cursor := f.read(store.FeedRequest{Embedding: true})
	if with, without := vectors(events); with != 0 || without != 2 {
		t.Errorf("before: %d with, %d without", with, without)
	}
	_, plain := f.read(store.FeedRequest{})
	todo, err := r.store.ClaimTodo(t.Context(), r.remote, uuid.New(), 10, 1000, time.Minute)
	if err != nil || len(todo) != 2 {
		t.Fatalf("%d to embed, %v", len(todo), err)
	}
	var done []store.Embedded
	for _, x := range todo {
		done = append(done, store.Embedded{InputHash: x.InputHash, Vector: []float32{1, 2, 3, 4}})
	}
	if n, err := r.store.SettleTodo(t.Context(), r.remote, done); err != nil || n != 2 {
		t.Fatalf("settled %d, %v", n, err)
	}
	events, cursor = f.read(store.FeedRequest{Embedding: true, Cursor: cursor})
	if with, without := vectors(events); with != 2 || without != 0 {
		t.Errorf("after: %d with, %d without", with, without)
	}
	if events, _ = f.read(store.FeedRequest{Cursor: plain}); len(events) != 0 {
		t.Errorf("who does not want vectors is told %v", kindsOf(events))
	}
	activate(r.local)
	if _, err := r.store.Feed(t.Context(), f.who, store.FeedRequest{Embedding: true, Cursor: cursor}); !errors.Is(err, store.ErrFeedExpired) {
		t.Errorf("with another profile: %v", err)
	}
}

// TestACursorOutlivesItsKey: another key with no more connections goes on where
// the first one was.
func TestACursorOutlivesItsKey(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	wiki, drive := r.connect(t, "wiki", "acme"), r.connect(t, "drive", "acme")
	both, one := r.feeder(t, "both", wiki.conn, drive.conn), r.feeder(t, "one", wiki.conn)
	wiki.commit(t, document("a", readable("u"), "one"))
	_, cursor := both.read(store.FeedRequest{})
	if err := r.store.RevokeKey(t.Context(), "both"); err != nil {
		t.Fatal(err)
	}
	wiki.commit(t, document("a", readable("u"), "two"))
	events, narrow := one.read(store.FeedRequest{Cursor: cursor})
	if want := []string{"acl.upsert", "document.upsert", "chunk.upsert", "chunk.delete"}; !slices.Equal(kindsOf(events), want) {
		t.Errorf("the next key is told %v, want %v", kindsOf(events), want)
	}
	more := r.feeder(t, "more", wiki.conn, drive.conn)
	_, err := r.store.Feed(t.Context(), more.who, store.FeedRequest{Cursor: narrow})
	if input, ok := errors.AsType[*store.InputError](err); !ok || input.Field != "cursor" {
		t.Errorf("a key with more connections: %v", err)
	}
}

// TestFeedTellsTheAgeOfPermissions: stale when they become too old, fresh when
// they are read again.
func TestFeedTellsTheAgeOfPermissions(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.db.SetClock(t, time.Now())
	wiki := r.connect(t, "wiki", "acme")
	f := r.feeder(t, "mirror", wiki.conn)
	_, cursor := f.read(store.FeedRequest{})
	next := func(want ...string) {
		t.Helper()
		if _, err := r.store.TellStale(t.Context()); err != nil {
			t.Fatal(err)
		}
		var events []store.FeedEvent
		if events, cursor = f.read(store.FeedRequest{Cursor: cursor}); !slices.Equal(kindsOf(events), want) {
			t.Errorf("told %v, want %v", kindsOf(events), want)
		}
	}
	permissions := func() {
		t.Helper()
		run := wiki.start(t, store.Permissions)
		ms := []connectors.Membership{{Member: user("u"), Group: connectors.Principal{Kind: connectors.Group, ID: "g"}}}
		if _, err := r.store.ReplaceMemberships(t.Context(), run, wiki.realm, ms); err != nil {
			t.Fatal(err)
		}
		if err := r.store.FinishPermissions(t.Context(), run); err != nil {
			t.Fatal(err)
		}
		wiki.end(t, run)
	}
	next()
	permissions()
	next("membership", "fresh")
	permissions()
	next()
	r.db.Advance(t, 25*time.Hour)
	next("stale")
	next()
	permissions()
	next("fresh")
}
