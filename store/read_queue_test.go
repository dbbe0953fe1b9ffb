package store_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"tributary/internal/audit"
	"tributary/internal/oracle"
	"tributary/internal/pgtest"
	"tributary/store"
)

// TestErasedQuestionsAreNotWrittenLater: a question that waits when a document
// which answered it, or the reader who asked it, is erased is never written; that
// it was read is. Questions that others answered or asked stay.
func TestErasedQuestionsAreNotWrittenLater(t *testing.T) {
	t.Parallel()
	f, rows, s := readsRig(t, store.ReadAudit{Queries: true})
	asks := func(reader int) {
		t.Helper()
		if _, err := s.Search(t.Context(), rows.identity(oracle.Asker{Reader: reader, Key: -1}), store.SearchRequest{Query: "common", Mode: store.Keyword, K: store.MaxK}); err != nil {
			t.Fatal(err)
		}
	}
	questions := func(reader int) (kept, gone int) {
		t.Helper()
		for _, r := range reads(t, s, store.ReadFilter{Reader: rows.readers[reader].String()}) {
			if r.Query != nil {
				kept++
			} else {
				gone++
			}
		}
		return kept, gone
	}
	erase := func(doc uuid.UUID) {
		t.Helper()
		var conn uuid.UUID
		var external string
		if err := f.db.Pool.QueryRow(t.Context(), `SELECT connection_id, external_id FROM document WHERE id = $1`, doc).Scan(&conn, &external); err != nil {
			t.Fatal(err)
		}
		e, err := s.RequestErasure(t.Context(), store.EraseRequest{Connection: conn, Scope: store.EraseDocument, Documents: []string{external}}, "ada")
		if err != nil {
			t.Fatal(err)
		}
		if e, err = s.Erase(t.Context(), e.ID, store.EraseOptions{}); err != nil || e.State != store.EraseDone {
			t.Fatalf("%s %s, %v", e.State, e.Error, err)
		}
	}
	asks(0) // written at once, and answered by what is erased
	store.HoldReads(s)
	asks(0)
	asks(1)
	erase(rows.documents[0])
	asks(0)
	asks(1)
	if err := store.FlushReads(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if n := pgtest.Scalar[int](t, f.db, `SELECT count(*) FROM read_event WHERE documents @> ARRAY[$1::uuid]`, rows.documents[0]); n != 3 {
		t.Errorf("%d reads of what was erased are recorded, want 3", n)
	}
	if kept, gone := questions(0); kept != 1 || gone != 2 {
		t.Errorf("%d questions are kept and %d erased, want 1 and 2", kept, gone)
	}
	asks(1)
	if err := s.DeleteReader(t.Context(), rows.readers[1], audit.Event{Action: "reader.delete", Outcome: audit.OK, Actor: audit.Actor{Kind: audit.CLI, Name: "ada"}}); err != nil {
		t.Fatal(err)
	}
	if err := store.FlushReads(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if kept, gone := questions(1); kept != 0 || gone != 3 {
		t.Errorf("of a deleted reader %d questions are kept and %d erased, want none and 3", kept, gone)
	}
	if kept, _ := questions(0); kept != 1 {
		t.Errorf("%d questions of the other reader are kept, want 1", kept)
	}
}

// TestErasureWaitsForQuestions that are being written, and erases them.
func TestErasureWaitsForQuestions(t *testing.T) {
	t.Parallel()
	f, rows, s := readsRig(t, store.ReadAudit{Queries: true})
	tx, err := f.db.Pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{
		`SELECT pg_advisory_xact_lock_shared(questions_lock())`,
		`INSERT INTO read_event (reader_id, tool, documents, query) SELECT id, 'search', '{}', 'late' FROM reader LIMIT 2`,
	} {
		if _, err := tx.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	done := make(chan error, 1)
	go func() {
		done <- s.DeleteReader(t.Context(), rows.readers[0], audit.Event{Action: "reader.delete", Outcome: audit.OK, Actor: audit.Actor{Kind: audit.CLI, Name: "ada"}})
	}()
	waitFor(t, f.db, `SELECT EXISTS (SELECT FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE NOT l.granted AND l.locktype = 'advisory' AND a.datname = current_database())`)
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if left := list(t, f.db, `SELECT reader_id::text FROM read_event WHERE query IS NOT NULL`); len(left) != 1 || left[0] == rows.readers[0].String() {
		t.Errorf("questions are left of %v", left)
	}
}

// TestReadsBeyondTheQueueAreCounted: what waits is bounded in reads and in
// documents, and a read never waits for room.
func TestReadsBeyondTheQueueAreCounted(t *testing.T) {
	t.Parallel()
	f, rows, s := readsRig(t, store.ReadAudit{})
	store.HoldReads(s)
	who := rows.identity(oracle.Asker{Reader: 0, Key: -1})
	store.QueueReads(s, who, store.MaxReads+6, 1)
	lock, err := f.db.Owner.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lock.Exec(t.Context(), `LOCK TABLE read_event`); err != nil {
		t.Fatal(err)
	}
	if err := contentReads(s, rows.documents[0])["text"](t.Context(), who); err != nil {
		t.Errorf("a read beside a full queue: %v", err)
	}
	if err := lock.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s.LostReads() != 7 {
		t.Errorf("%d reads are lost, want 7", s.LostReads())
	}
	if err := store.FlushReads(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if got := list(t, f.db, `SELECT count(*) || ' ' || sum(lost) FROM read_event`); got[0] != "10000 7" {
		t.Errorf("reads and losses written: %s", got[0])
	}
	store.QueueReads(s, who, 3, 300_000)
	if s.LostReads() != 9 {
		t.Errorf("%d reads are lost, want 9: two more had no room for their documents", s.LostReads())
	}
}

// TestReadsWaitForTheirRecordNoLongerThanABound, where no queue takes it.
func TestReadsWaitForTheirRecordNoLongerThanABound(t *testing.T) {
	t.Parallel()
	f, rows, s := readsRig(t, store.ReadAudit{})
	strict, err := store.Open(t.Context(), store.Config{URL: f.db.URL, ReadAudit: store.ReadAudit{Strict: true}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(strict.Close)
	lock, err := f.db.Owner.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lock.Rollback(t.Context()) }()
	if _, err := lock.Exec(t.Context(), `LOCK TABLE read_event`); err != nil {
		t.Fatal(err)
	}
	who, began := rows.identity(oracle.Asker{Reader: 0, Key: -1}), time.Now()
	if err := contentReads(s, rows.documents[0])["text"](t.Context(), who); err != nil || s.LostReads() != 1 {
		t.Errorf("%v, and %d reads are lost", err, s.LostReads())
	}
	if err := contentReads(strict, rows.documents[0])["text"](t.Context(), who); err == nil || !strings.Contains(err.Error(), "recording the read") {
		t.Errorf("strictly: %v", err)
	}
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("two reads waited %s", took)
	}
}
