package store_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"

	"tributary/connectors"
	"tributary/store"
)

// modelDocument is what a document should be.
type modelDocument struct {
	title, hidden, acl string
	chunks             []string
	revision           int
}

// model is what a connection should hold, by external id.
type model struct {
	documents   map[string]modelDocument
	skipped     map[string]bool
	quarantined map[string]int
}

func newModel() *model {
	return &model{documents: map[string]modelDocument{}, skipped: map[string]bool{}, quarantined: map[string]int{}}
}

func (m *model) clone() *model {
	return &model{documents: maps.Clone(m.documents), skipped: maps.Clone(m.skipped), quarantined: maps.Clone(m.quarantined)}
}

// canonical writes an ACL in the one form that equal ACLs share; "" is unknown.
func canonical(acl connectors.ACL) string {
	if acl.Validate() != nil || !acl.Known() {
		return ""
	}
	join := func(ps []connectors.Principal) string {
		var out []string
		for _, p := range ps {
			out = append(out, string(p.Kind)+":"+p.ID)
		}
		slices.Sort(out)
		return strings.Join(slices.Compact(out), ",")
	}
	var clauses []string
	for _, c := range acl.AllOf {
		clauses = append(clauses, join(c))
	}
	slices.Sort(clauses)
	return strings.Join(slices.Compact(clauses), " & ") + " - " + join(acl.Deny)
}

func genACL() *rapid.Generator[connectors.ACL] {
	principal := rapid.Custom(func(t *rapid.T) connectors.Principal {
		kind := rapid.SampledFrom([]connectors.PrincipalKind{connectors.User, connectors.Group, connectors.Anyone, connectors.Public, "robot"}).Draw(t, "kind")
		if kind == "robot" && rapid.IntRange(0, 9).Draw(t, "keep") > 0 {
			kind = connectors.User
		}
		return connectors.Principal{Kind: kind, ID: rapid.SampledFrom([]string{"a", "b", "c", "ä", "a ", "A"}).Draw(t, "id"), Name: rapid.SampledFrom([]string{"", "Ann", "Bob\x00", "\xff"}).Draw(t, "name")}
	})
	return rapid.Custom(func(t *rapid.T) connectors.ACL {
		var acl connectors.ACL
		for range rapid.SampledFrom([]int{1, 1, 1, 2, 3, 0, 32, 40, 41}).Draw(t, "clauses") {
			acl.AllOf = append(acl.AllOf, rapid.SliceOfN(principal, rapid.SampledFrom([]int{1, 1, 1, 1, 1, 1, 0}).Draw(t, "least"), 3).Draw(t, "clause"))
		}
		acl.Deny = rapid.SliceOfN(principal, 0, 1).Draw(t, "deny")
		return acl
	})
}

func genChunks() *rapid.Generator[[]string] {
	texts := []string{"alpha", "beta", "gamma ß", "delta 𝒳", "e\u0301", "\u202eright", "# Heading\nbody", "'; DROP TABLE chunk; --", "\U0010ffff", strings.Repeat("word ", 300)}
	return rapid.SliceOfN(rapid.SampledFrom(texts), 0, 6)
}

// draw makes a batch of one operation for each of some items, and applies it to
// the model.
func (m *model) draw(t *rapid.T, run store.Run, ids map[string]uuid.UUID) *store.Batch {
	b := &store.Batch{Run: run}
	items := []string{"a", "b", "c", "d/e", "100%_\\", "é", strings.Repeat("long", 600)}
	for _, id := range rapid.SliceOfNDistinct(rapid.SampledFrom(items), 0, len(items), rapid.ID[string]).Draw(t, "items") {
		d, stored := m.documents[id]
		switch op := rapid.SampledFrom([]string{"upsert", "upsert", "upsert", "touch", "seen", "acl", "acl", "refuse", "skip", "delete", "quarantine"}).Draw(t, "op"); {
		case op == "upsert":
			acl := genACL().Draw(t, "acl")
			w := document(id, acl, genChunks().Draw(t, "chunks")...)
			b.Documents = append(b.Documents, w)
			var chunks []string
			for _, c := range w.Chunks {
				chunks = append(chunks, c.Text)
			}
			m.documents[id] = modelDocument{title: w.Title, acl: canonical(acl), chunks: chunks, revision: d.revision + 1}
			delete(m.quarantined, id)
			delete(m.skipped, id)
		case op == "skip":
			b.Skips = append(b.Skips, connectors.Skip{Ref: connectors.ItemRef{ID: id}, Path: id, Reason: "because"})
			m.skipped[id] = true
			m.hide(id, "refused")
			delete(m.quarantined, id)
		case op == "quarantine":
			b.Quarantine = append(b.Quarantine, store.QuarantineWrite{ExternalID: id, SourceRevision: "1", Reason: "broken"})
			m.quarantined[id] = 1 // however often in one run
		case op == "delete":
			b.Deleted = append(b.Deleted, id)
			delete(m.documents, id)
			delete(m.quarantined, id)
			delete(m.skipped, id)
		case !stored: // the rest is said of stored documents alone
		case op == "touch":
			w := document(id, connectors.ACL{})
			w.Title = rapid.SampledFrom([]string{"x", "y", "𝒳"}).Draw(t, "title")
			b.Touched, b.Seen = append(b.Touched, w), append(b.Seen, ids[id])
			d.title, d.hidden = w.Title, ""
			m.documents[id] = d
			delete(m.quarantined, id)
			delete(m.skipped, id)
		case op == "seen":
			b.Seen = append(b.Seen, ids[id])
			if d.hidden == "absent" {
				m.hide(id, "")
			}
		case op == "acl":
			acl := genACL().Draw(t, "acl")
			b.ACLs = append(b.ACLs, store.ACLWrite{ExternalID: id, ACL: acl})
			d.acl = canonical(acl)
			m.documents[id] = d
		case op == "refuse":
			b.Refused, b.Seen = append(b.Refused, id), append(b.Seen, ids[id])
			m.hide(id, "refused")
			delete(m.quarantined, id)
		}
	}
	return b
}

func (m *model) hide(id, reason string) {
	if d, ok := m.documents[id]; ok {
		d.hidden = reason
		m.documents[id] = d
	}
}

// read returns what is stored of a connection, and the documents' ids.
func (s *source) read(f failer) (*model, map[string]uuid.UUID) {
	f.Helper()
	m, ids := newModel(), map[string]uuid.UUID{}
	rows, err := s.db.Owner.Query(context.Background(), `
		SELECT d.id, d.external_id, d.title, coalesce(d.hidden_reason, ''), d.revision, coalesce(s.need_mask, -1),
			ARRAY(SELECT c.text FROM unnest(r.chunk_ids) WITH ORDINALITY u(i, n) JOIN chunk c ON c.document_id = d.id AND c.id = u.i ORDER BY n),
			ARRAY(SELECT e.clause || '=' || p.kind || ':' || p.external_id FROM acl_entry e JOIN principal p ON p.id = e.principal_id AND p.realm_id = $2 WHERE e.set_id = d.acl_set_id)
		FROM document d JOIN revision r ON r.document_id = d.id AND r.number = d.revision LEFT JOIN acl_set s ON s.id = d.acl_set_id
		WHERE d.connection_id = $1`, s.conn, s.realm)
	if err != nil {
		f.Fatalf("reading documents: %v", err)
	}
	var id uuid.UUID
	var external string
	var d modelDocument
	var mask int64
	var entries []string
	_, err = pgx.ForEachRow(rows, []any{&id, &external, &d.title, &d.hidden, &d.revision, &mask, &d.chunks, &entries}, func() error {
		got := d
		got.chunks, got.acl = slices.Clone(d.chunks), storedACL(mask, entries)
		m.documents[external], ids[external] = got, id
		return nil
	})
	if err != nil {
		f.Fatalf("reading documents: %v", err)
	}
	quarantine, err := s.store.Quarantined(context.Background(), s.conn)
	if err != nil {
		f.Fatalf("reading quarantine: %v", err)
	}
	for _, q := range quarantine {
		m.quarantined[q.ExternalID] = q.Attempts
	}
	skipped, err := s.store.Skipped(context.Background(), s.conn)
	if err != nil {
		f.Fatalf("reading skipped items: %v", err)
	}
	for _, x := range skipped {
		m.skipped[x.ExternalID] = true
	}
	return m, ids
}

// storedACL reads a set's entries back into the form of canonical.
func storedACL(mask int64, entries []string) string {
	if mask == 0 && len(entries) == 0 {
		return ""
	}
	var acl connectors.ACL
	for _, e := range entries {
		var clause int
		n, rest, _ := strings.Cut(e, "=")
		_, _ = fmt.Sscan(n, &clause)
		kind, id, _ := strings.Cut(rest, ":")
		p := connectors.Principal{Kind: connectors.PrincipalKind(kind), ID: id}
		if clause == 0 {
			acl.Deny = append(acl.Deny, p)
			continue
		}
		for len(acl.AllOf) < clause {
			acl.AllOf = append(acl.AllOf, nil)
		}
		acl.AllOf[clause-1] = append(acl.AllOf[clause-1], p)
	}
	return canonical(acl)
}

func (m *model) diff(got *model) string {
	for _, id := range slices.Sorted(maps.Keys(m.documents)) {
		want, have := m.documents[id], got.documents[id]
		if want.title != have.title || want.hidden != have.hidden || want.acl != have.acl || want.revision != have.revision || !slices.Equal(want.chunks, have.chunks) {
			return fmt.Sprintf("document %.20q is\n%+v, want\n%+v", id, have, want)
		}
	}
	switch {
	case len(got.documents) != len(m.documents):
		return fmt.Sprintf("%d documents are stored, want %d", len(got.documents), len(m.documents))
	case !maps.Equal(got.skipped, m.skipped):
		return fmt.Sprintf("skipped are %v, want %v", got.skipped, m.skipped)
	case !maps.Equal(got.quarantined, m.quarantined):
		return fmt.Sprintf("quarantined are %v, want %v", got.quarantined, m.quarantined)
	}
	return ""
}

// wantFeed replays the outbox and compares what it tells with what is stored.
func (s *source) wantFeed(f failer) {
	f.Helper()
	type told struct {
		chunks map[int32]bool
		hidden bool
		number int
	}
	docs := map[uuid.UUID]*told{}
	rows, err := s.db.Owner.Query(context.Background(), `
		SELECT kind, document_id, coalesce(revision, 0), coalesce(added, '{}'), coalesce(removed, '{}') FROM outbox WHERE connection_id = $1 AND document_id IS NOT NULL ORDER BY id`, s.conn)
	if err != nil {
		f.Fatalf("reading outbox: %v", err)
	}
	var kind string
	var id uuid.UUID
	var number int
	var added, removed []int32
	_, err = pgx.ForEachRow(rows, []any{&kind, &id, &number, &added, &removed}, func() error {
		d := docs[id]
		if d == nil {
			if kind != "revision" {
				return fmt.Errorf("%s of a document that the feed does not know", kind)
			}
			d = &told{chunks: map[int32]bool{}}
			docs[id] = d
		}
		switch kind {
		case "purge":
			delete(docs, id)
		case "hide", "show":
			d.hidden = kind == "hide"
		case "revision":
			if number != d.number+1 {
				return fmt.Errorf("revision %d follows %d", number, d.number)
			}
			d.number = number
			for _, c := range removed {
				if !d.chunks[c] {
					return fmt.Errorf("chunk %d is removed and was never added", c)
				}
				delete(d.chunks, c)
			}
			for _, c := range added {
				d.chunks[c] = true
			}
		}
		return nil
	})
	if err != nil {
		f.Fatalf("replaying outbox: %v", err)
	}
	rows, err = s.db.Owner.Query(context.Background(), `
		SELECT d.id, d.hidden_reason IS NOT NULL, d.revision, ARRAY(SELECT c.id FROM chunk c WHERE c.document_id = d.id ORDER BY 1) FROM document d WHERE d.connection_id = $1`, s.conn)
	if err != nil {
		f.Fatalf("reading documents: %v", err)
	}
	n := 0
	var hidden bool
	var chunks []int32
	_, err = pgx.ForEachRow(rows, []any{&id, &hidden, &number, &chunks}, func() error {
		n++
		d := docs[id]
		if d == nil || d.hidden != hidden || d.number != number || !slices.Equal(slices.Sorted(maps.Keys(d.chunks)), chunks) {
			return fmt.Errorf("the feed tells %+v of a document with hidden %v, revision %d, chunks %v", d, hidden, number, chunks)
		}
		return nil
	})
	if err != nil || n != len(docs) {
		f.Fatalf("feed: %v; it knows %d documents of %d", err, len(docs), n)
	}
}

// failures are ways in which a batch may fail after it began.
var errThen = errors.New("the callback failed")

// failing installs triggers that fail statements on the table that test_fail
// names.
func failing(tb testing.TB, r *rig) []string {
	tb.Helper()
	r.db.MustExec(tb, `CREATE TABLE test_fail (name text)`)
	r.db.MustExec(tb, `GRANT SELECT ON test_fail TO PUBLIC`)
	r.db.MustExec(tb, `CREATE FUNCTION test_fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		IF EXISTS (SELECT FROM tributary.test_fail WHERE name = TG_TABLE_NAME) THEN RAISE 'injected into %', TG_TABLE_NAME; END IF; RETURN NULL; END $$`)
	r.db.MustExec(tb, `GRANT EXECUTE ON FUNCTION test_fail() TO PUBLIC`)
	tables := []string{"document", "revision", "chunk", "embed_todo", "seen", "skip", "quarantine", "outbox", "sync_run", fmt.Sprintf("vec_%d", r.local), fmt.Sprintf("vec_%d", r.remote)}
	for _, t := range tables {
		r.db.MustExec(tb, `CREATE TRIGGER test_fail AFTER INSERT OR UPDATE OR DELETE ON `+t+` FOR EACH STATEMENT EXECUTE FUNCTION test_fail()`)
	}
	return tables
}

// TestBatchEqualsModel commits random batches and compares the store, by
// content, with a model; a batch that fails leaves the store as it was.
func TestBatchEqualsModel(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	tables := failing(t, r)
	n, failed := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		n++
		s := r.connect(t, fmt.Sprintf("c%d", n), fmt.Sprintf("realm%d", n%3))
		run := s.start(t, store.Content)
		want, ids := newModel(), map[string]uuid.UUID{}
		for range rapid.IntRange(1, 5).Draw(t, "batches") {
			next := want.clone()
			b := next.draw(t, run, ids)
			b.Page = &store.PageEnd{Next: connectors.Cursor(`{"n":1}`)}
			if how := rapid.SampledFrom([]string{"", "", "then", "cancel", "statement", "twice"}).Draw(t, "fail"); how == "" {
				s.mustWrite(t, b)
				want = next
			} else if s.fails(t, b, how, tables) {
				failed++
			} else {
				want = next
			}
			var got *model
			got, ids = s.read(t)
			if diff := want.diff(got); diff != "" {
				t.Fatalf("%s", diff)
			}
			s.wantFeed(t)
			if err := s.hideSome(want, ids); err != nil {
				t.Fatalf("hiding: %v", err)
			}
		}
		r.wantWhole(t)
		s.wantVectors(t)
		if err := r.store.DeleteConnection(context.Background(), s.conn); err != nil {
			t.Fatalf("deleting connection: %v", err)
		}
	})
	for _, table := range []string{"document", "chunk", "revision", "embed_todo", "seen", "skip", "quarantine", "sync_run", "schedule", "connection", fmt.Sprintf("vec_%d", r.local), fmt.Sprintf("vec_%d", r.remote)} {
		var left int
		if err := r.db.Owner.QueryRow(t.Context(), `SELECT count(*) FROM `+table).Scan(&left); err != nil || left != 0 {
			t.Errorf("%s holds %d rows of deleted connections (%v)", table, left, err)
		}
	}
	if failed == 0 {
		t.Error("no failure was injected")
	}
}

// fails tries to commit b with a failure injected and reports whether it
// failed.
func (s *source) fails(t *rapid.T, b *store.Batch, how string, tables []string) bool {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	then := func(context.Context, pgx.Tx, store.BatchResult) error { return nil }
	switch how {
	case "then":
		then = func(context.Context, pgx.Tx, store.BatchResult) error { return errThen }
	case "cancel":
		then = func(context.Context, pgx.Tx, store.BatchResult) error { cancel(); return nil }
	case "twice":
		b.Deleted = append(b.Deleted, "twice", "twice")
	case "statement":
		table := rapid.SampledFrom(tables).Draw(t, "table")
		if _, err := s.db.Owner.Exec(ctx, `INSERT INTO test_fail VALUES ($1)`, table); err != nil {
			t.Fatalf("injecting: %v", err)
		}
		defer func() {
			if _, err := s.db.Owner.Exec(context.Background(), `DELETE FROM test_fail`); err != nil {
				t.Fatalf("ending injection: %v", err)
			}
		}()
	}
	b.Realm = s.realm
	b.Profiles = []store.ProfileVectors{{ID: s.local, Vectors: func(doc, chunk int) []float32 { return vectorOf(b.Documents[doc].Chunks[chunk].InputHash) }}}
	_, err := s.store.WriteBatch(ctx, b, then)
	if err == nil && how != "statement" { // a batch need not write to every table
		t.Fatalf("a batch with %s injected was committed", how)
	}
	return err != nil
}

// hideSome does what a sweep does to every third document.
func (s *source) hideSome(m *model, ids map[string]uuid.UUID) error {
	for i, id := range slices.Sorted(maps.Keys(m.documents)) {
		if i%3 != 0 || m.documents[id].hidden != "" {
			continue
		}
		m.hide(id, "absent")
		_, err := s.db.Owner.Exec(context.Background(), `
			WITH d AS (UPDATE document SET hidden_reason = 'absent', hidden_at = clock() WHERE id = $1 RETURNING connection_id)
			INSERT INTO outbox (kind, connection_id, document_id) SELECT 'hide', connection_id, $1 FROM d`, ids[id])
		if err != nil {
			return err
		}
	}
	return nil
}

// wantVectors checks that each vector is the one of its chunk's text.
func (s *source) wantVectors(f failer) {
	f.Helper()
	rows, err := s.db.Owner.Query(context.Background(), fmt.Sprintf(`
		SELECT c.text, v.input_hash, v.v::text FROM vec_%d v JOIN chunk c ON c.document_id = v.document_id AND c.id = v.chunk_id`, s.local))
	if err != nil {
		f.Fatalf("reading vectors: %v", err)
	}
	var text, vector string
	var hash []byte
	_, err = pgx.ForEachRow(rows, []any{&text, &hash, &vector}, func() error {
		h := sha256.Sum256([]byte(text))
		if want := fmt.Sprintf("[%d,%d,%d,1]", h[0], h[1], h[2]); string(hash) != string(h[:]) || vector != want {
			return fmt.Errorf("the vector of %.20q is %s, want %s", text, vector, want)
		}
		return nil
	})
	if err != nil {
		f.Fatalf("vectors: %v", err)
	}
}
