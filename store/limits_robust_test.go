package store_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"tributary/connectors"
	"tributary/internal/pgtest"
	"tributary/store"
)

// TestUnstorableBatchesAreRefusedWhole with an error that names the item, and
// with nothing written.
func TestUnstorableBatchesAreRefusedWhole(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.connect(t, "c", "realm")
	run := s.start(t, store.Content)
	good := document("good", readable("u"), "text")
	change := func(fn func(d *store.DocumentWrite)) []store.DocumentWrite {
		d := document("bad", readable("u"), "one", "two")
		fn(&d)
		return []store.DocumentWrite{good, d}
	}
	for name, b := range map[string]*store.Batch{
		"one id twice":               {Documents: []store.DocumentWrite{good, good}},
		"written and deleted":        {Documents: []store.DocumentWrite{good}, Deleted: []string{"good"}},
		"two ACLs":                   {ACLs: []store.ACLWrite{{ExternalID: "a"}, {ExternalID: "a", ACL: readable("u")}}},
		"no id":                      {Documents: change(func(d *store.DocumentWrite) { d.ExternalID = "" })},
		"an id that is too long":     {Documents: change(func(d *store.DocumentWrite) { d.ExternalID = strings.Repeat("x", store.MaxID+1) })},
		"NUL in an id":               {Deleted: []string{"a\x00b"}},
		"invalid UTF-8 in an id":     {Skips: []connectors.Skip{{Ref: connectors.ItemRef{ID: "\xff"}}}},
		"NUL in the text":            {Documents: []store.DocumentWrite{good, document("bad", readable("u"), "a\x00b")}},
		"invalid UTF-8 in a title":   {Documents: change(func(d *store.DocumentWrite) { d.Title = "\xff" })},
		"NUL in metadata":            {Documents: change(func(d *store.DocumentWrite) { d.Metadata = map[string]string{"a\x00": "b"} })},
		"NUL in a container":         {Touched: change(func(d *store.DocumentWrite) { d.Container = "\x00" })},
		"two chunks of one id":       {Documents: change(func(d *store.DocumentWrite) { d.Chunks[1].Identity = d.Chunks[0].Identity })},
		"offsets of another text":    {Documents: change(func(d *store.DocumentWrite) { d.Chunks[1].Start-- })},
		"offsets beyond the text":    {Documents: change(func(d *store.DocumentWrite) { d.Chunks[1].End += 100 })},
		"an unnameable container":    {Page: &store.PageEnd{Blocked: []connectors.Container{{ID: "\xff"}}}},
		"a seen document without id": {Seen: []uuid.UUID{uuid.Nil}},
	} {
		b.Run = run
		var in *store.InputError
		if _, err := s.write(t.Context(), b); !errors.As(err, &in) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := pgtest.Scalar[int64](t, r.db, `SELECT (SELECT count(*) FROM document) + (SELECT count(*) FROM chunk) + (SELECT count(*) FROM outbox)`); n != 0 {
		t.Errorf("%d rows were written", n)
	}
	// What is left out of an ACL would widen or narrow it: it becomes unknown.
	s.mustWrite(t, &store.Batch{Run: run, Documents: []store.DocumentWrite{document("hostile", connectors.ACL{AllOf: [][]connectors.Principal{{user("u"), user("a\x00b")}}}, "text")}})
	if set := pgtest.Scalar[int64](t, r.db, `SELECT acl_set_id FROM document`); set != 0 {
		t.Error("an ACL with a principal that cannot be stored grants something")
	}
}

// TestLargeBatchesAreStored: 5 MB of text, the longest id, a thousand
// documents, a chunk that is not a word of any language.
func TestLargeBatchesAreStored(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.connect(t, "c", "realm")
	run := s.start(t, store.Content)
	var paragraphs []string
	for i := range 1300 {
		paragraphs = append(paragraphs, strings.Repeat(fmt.Sprintf("wörd%d 𝒳 ", i), 300))
	}
	huge := document(strings.Repeat("ü", store.MaxID/2), readable("u"), paragraphs...)
	if len(huge.Text) < 5<<20 {
		t.Fatalf("the text has only %d bytes", len(huge.Text))
	}
	s.mustWrite(t, &store.Batch{Run: run, Documents: []store.DocumentWrite{huge, document("word", readable("u"), strings.Repeat("x", 100_000))}})
	b := &store.Batch{Run: run}
	for i := range 1000 {
		b.Documents = append(b.Documents, document(fmt.Sprint(i), readable(fmt.Sprint("u", i)), fmt.Sprint("a", i), "same", "same"))
	}
	s.mustWrite(t, b)
	s.mustWrite(t, &store.Batch{Run: run, Documents: []store.DocumentWrite{huge}})
	if n := pgtest.Scalar[int](t, r.db, `SELECT count(*) FROM document`); n != 1002 {
		t.Errorf("%d documents", n)
	}
	if got := pgtest.Scalar[string](t, r.db, `SELECT text FROM revision WHERE text LIKE 'wörd0%'`); got != huge.Text {
		t.Error("the text of 5 MB was stored otherwise")
	}
	// Cutting a text of this size by the database takes a minute.
	s.mustWrite(t, &store.Batch{Run: run, Deleted: []string{huge.ExternalID}})
	r.db.MustExec(t, `ANALYZE`)
	r.wantWhole(t)
}

// TestRealmsAreNeverMixed: one id in two realms is two principals and two sets.
func TestRealmsAreNeverMixed(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, realm := range []string{"one", "two"} {
		s := r.connect(t, realm, realm)
		run := s.start(t, store.Content)
		s.mustWrite(t, &store.Batch{Run: run, Documents: []store.DocumentWrite{document("d", readable("u"), "text")}})
		if _, err := r.store.SetRealm(t.Context(), s.conn, "test", "other"); err == nil {
			t.Error("a connection moved to another realm")
		}
	}
	n := pgtest.Scalar[int](t, r.db, `SELECT count(DISTINCT (d.acl_set_id, p.realm_id)) FROM document d JOIN connection c ON c.id = d.connection_id
		JOIN acl_entry e ON e.set_id = d.acl_set_id JOIN principal p ON p.id = e.principal_id AND p.realm_id = c.realm_id`)
	if n != 2 {
		t.Errorf("%d sets of their own realm, want 2", n)
	}
}

// TestPrincipalNamesFollowTheSource without a write where nothing changed.
func TestPrincipalNamesFollowTheSource(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.connect(t, "c", "realm")
	run := s.start(t, store.Permissions)
	names := func() []string {
		return list(t, r.db, `SELECT external_id || '=' || name FROM principal ORDER BY external_id`)
	}
	for _, c := range []struct {
		name string
		want []string
	}{
		{"Ann", []string{"g=", "u=Ann"}}, {"", []string{"g=", "u=Ann"}}, {"A\x00n\xff", []string{"g=", "u=An\uFFFD"}}, {strings.Repeat("é", 900), []string{"g=", "u=" + strings.Repeat("é", 500)}},
	} {
		member := user("u")
		member.Name = c.name
		ms := []connectors.Membership{{Member: member, Group: connectors.Principal{Kind: connectors.Group, ID: "g"}}}
		for i := range 2 {
			changed, err := r.store.ReplaceMemberships(t.Context(), run, s.realm, ms)
			if err != nil {
				t.Fatal(err)
			}
			if i == 1 && changed != 0 {
				t.Errorf("%d memberships were written again", changed)
			}
		}
		if got := names(); !slices.Equal(got, c.want) {
			t.Errorf("names are %.80q, want %.80q", got, c.want)
		}
	}
	ids := list(t, r.db, `SELECT xmin::text FROM principal ORDER BY id`)
	ms := []connectors.Membership{{Member: user("u"), Group: connectors.Principal{Kind: connectors.Group, ID: "g"}}}
	if _, err := r.store.ReplaceMemberships(t.Context(), run, s.realm, ms); err != nil {
		t.Fatal(err)
	}
	if again := list(t, r.db, `SELECT xmin::text FROM principal ORDER BY id`); !slices.Equal(ids, again) {
		t.Error("principals were written although nothing changed")
	}
	bad := []connectors.Membership{{Member: user("a\x00"), Group: connectors.Principal{Kind: connectors.Group, ID: "g"}}}
	if _, err := r.store.ReplaceMemberships(t.Context(), run, s.realm, bad); err == nil {
		t.Error("a membership that cannot be stored was left out, which may widen what a denied group denies")
	}
	if n := pgtest.Scalar[int](t, r.db, `SELECT count(*) FROM membership`); n != 1 {
		t.Errorf("%d memberships stand after a failed listing, want 1", n)
	}
}

// TestTimeLimitsHoldPerPurpose: no session waits, or idles in a transaction,
// without end.
func TestTimeLimitsHoldPerPurpose(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	for purpose, statement := range map[store.Purpose]string{store.Web: "10s", store.Worker: "1min", store.CLI: "1min"} {
		s, err := store.Open(t.Context(), store.Config{URL: db.URL, Purpose: purpose})
		if err != nil {
			t.Fatal(err)
		}
		for setting, want := range map[string]string{"statement_timeout": statement, "lock_timeout": "3s", "idle_in_transaction_session_timeout": "15s"} {
			var got string
			if err := s.Pool().QueryRow(t.Context(), `SELECT current_setting($1)`, setting).Scan(&got); err != nil || got != want {
				t.Errorf("%s of %s is %q (%v), want %s", setting, purpose, got, err, want)
			}
		}
		s.Close()
	}
}

// TestFencedWriterWritesNothing after the run was taken over.
func TestFencedWriterWritesNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.db.SetClock(t, time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC))
	s := r.connect(t, "c", "realm")
	old := s.start(t, store.Content)
	if _, err := r.store.ClaimRun(t.Context(), old.ID, "other", time.Minute); !errors.Is(err, store.ErrConflict) {
		t.Fatalf("a living worker's run was taken: %v", err)
	}
	r.db.Advance(t, 2*time.Minute)
	if _, err := r.store.ClaimRun(t.Context(), old.ID, "other", time.Minute); err != nil {
		t.Fatal(err)
	}
	b := &store.Batch{Run: old, Documents: []store.DocumentWrite{document("d", readable("u"), "text")}}
	if _, err := s.write(t.Context(), b); !errors.Is(err, store.ErrFenced) {
		t.Errorf("writing after a takeover: %v", err)
	}
	for what, err := range map[string]error{
		"heartbeat": r.store.Heartbeat(t.Context(), old.ID, old.Fence),
		"release":   r.store.ReleaseRun(t.Context(), old, store.Release{State: store.RunFailed}, nil),
		"finish":    r.store.FinishPermissions(t.Context(), old),
		"content":   r.store.FinishContent(t.Context(), old, nil),
		"cursor":    r.store.ExpireCursor(t.Context(), old),
	} {
		if !errors.Is(err, store.ErrFenced) {
			t.Errorf("%s after a takeover: %v", what, err)
		}
	}
	if _, err := r.store.SweepListing(t.Context(), old, store.DefaultSweepRules()); !errors.Is(err, store.ErrFenced) {
		t.Errorf("sweeping after a takeover: %v", err)
	}
	if n := pgtest.Scalar[int](t, r.db, `SELECT count(*) FROM document`); n != 0 {
		t.Error("a fenced writer wrote a document")
	}
}
