package store_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"tributary/internal/oracle"
	"tributary/store"
)

// readsRig is a fixture whose store records reads in its own way.
func readsRig(t *testing.T, how store.ReadAudit) (*fixture, worldRows, *store.Store) {
	t.Helper()
	f := newFixture(t)
	w := filterWorld()
	w.Documents = append(w.Documents, oracle.Document{Connection: 0, Known: true, AllOf: [][]int{{0}}, Hidden: true})
	w.Readers = append(w.Readers, oracle.Reader{Links: []int{0}})
	rows := mustStore(t, f, w)
	s, err := store.Open(t.Context(), store.Config{URL: f.db.URL, ReadAudit: how})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return f, rows, s
}

func reads(t *testing.T, s *store.Store, filter store.ReadFilter) []store.Read {
	t.Helper()
	list, err := s.Reads(t.Context(), filter)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// contentReads are the ways to read content through the store, by tool.
func contentReads(s *store.Store, doc uuid.UUID) map[string]func(ctx context.Context, who store.Identity) error {
	chunk := store.ChunkID{Document: doc, Number: 1}
	return map[string]func(ctx context.Context, who store.Identity) error{
		"search": func(ctx context.Context, who store.Identity) error {
			_, err := s.Search(ctx, who, store.SearchRequest{Query: "common", Mode: store.Keyword, K: store.MaxK})
			return err
		},
		"document": func(ctx context.Context, who store.Identity) error { _, err := s.Document(ctx, who, doc); return err },
		"text": func(ctx context.Context, who store.Identity) error {
			_, err := s.DocumentText(ctx, who, doc)
			return err
		},
		"chunks": func(ctx context.Context, who store.Identity) error {
			_, err := s.DocumentChunks(ctx, who, doc)
			return err
		},
		"lineage": func(ctx context.Context, who store.Identity) error { _, err := s.Lineage(ctx, who, chunk); return err },
		"chunk":   func(ctx context.Context, who store.Identity) error { _, err := s.Chunk(ctx, who, chunk); return err },
		"neighbours": func(ctx context.Context, who store.Identity) error {
			_, err := s.ChunkNeighbours(ctx, who, chunk, 1, 1)
			return err
		},
		"list": func(ctx context.Context, who store.Identity) error {
			_, _, err := s.ListDocuments(ctx, who, store.Filters{}, uuid.Nil, 100)
			return err
		},
		"export": func(ctx context.Context, who store.Identity) error {
			_, _, err := s.ExportDocuments(ctx, who, store.Filters{}, uuid.Nil, 100)
			return err
		},
	}
}

// TestEveryReadIsRecorded: whatever hands a document out is in the record, with
// whom it went to and by which permissions; what is refused hands nothing out.
func TestEveryReadIsRecorded(t *testing.T) {
	t.Parallel()
	_, rows, s := readsRig(t, store.ReadAudit{Actor: "ada@host"})
	who, doc, hidden := rows.identity(oracle.Asker{Reader: 0, Key: -1}), rows.documents[0], rows.documents[4]
	for tool, read := range contentReads(s, doc) {
		if err := read(t.Context(), who); err != nil {
			t.Fatalf("%s: %v", tool, err)
		}
		list := reads(t, s, store.ReadFilter{Document: doc, Limit: 1})
		if len(list) == 0 || list[0].Tool != tool {
			t.Errorf("%s left no record, the last is %+v", tool, list)
			continue
		}
		r := list[0]
		if r.ReaderID == nil || *r.ReaderID != rows.readers[0] || r.Reader == "" || r.KeyID != nil || r.Actor != "ada@host" || r.Query != nil || r.Lost != 0 || r.At.IsZero() {
			t.Errorf("%s is recorded as %+v", tool, r)
		}
		if at := r.PermissionsAsOf["c0"]; at == nil || at.IsZero() {
			t.Errorf("%s names no permissions: %v", tool, r.PermissionsAsOf)
		}
		if slices.Contains(r.Documents, hidden) {
			t.Errorf("%s is recorded with what was not handed out", tool)
		}
	}
	before := len(reads(t, s, store.ReadFilter{Reader: rows.readers[0].String()}))
	for tool, read := range contentReads(s, hidden) {
		if err := read(t.Context(), rows.identity(oracle.Asker{Reader: -1, Key: -1})); err == nil != slices.Contains([]string{"search", "list", "export"}, tool) {
			t.Fatalf("%s as nobody: %v", tool, err)
		}
	}
	if list := reads(t, s, store.ReadFilter{Document: hidden}); len(list) > 0 {
		t.Errorf("what nobody may see was recorded as read: %+v", list)
	}
	list := reads(t, s, store.ReadFilter{})
	if len(list) != before+1 || list[0].Tool != "search" || len(list[0].Documents) > 0 {
		t.Errorf("%d records after %d: a question without an answer is one, and nothing else", len(list), before)
	}
	if list := reads(t, s, store.ReadFilter{Reader: uuid.NewString()}); len(list) > 0 {
		t.Errorf("a stranger read %+v", list)
	}
}

// TestQuestionsAreKeptOnlyWhereAsked for, and who is no reader is named.
func TestQuestionsAreKeptOnlyWhereAsked(t *testing.T) {
	t.Parallel()
	_, rows, s := readsRig(t, store.ReadAudit{Queries: true, Actor: "ada@host"})
	if err := contentReads(s, rows.documents[0])["search"](t.Context(), rows.identity(oracle.Asker{Reader: 0, Key: -1})); err != nil {
		t.Fatal(err)
	}
	if list := reads(t, s, store.ReadFilter{}); len(list) != 1 || list[0].Query == nil || *list[0].Query != "common" {
		t.Errorf("recorded %+v", list)
	}
}

// TestReadsAreWrittenInBatches: what waits is written in order, the rest at the
// end, and later reads at once.
func TestReadsAreWrittenInBatches(t *testing.T) {
	t.Parallel()
	_, rows, s := readsRig(t, store.ReadAudit{})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	done := make(chan error, 1)
	go func() { done <- s.KeepReads(ctx) }()
	who := rows.identity(oracle.Asker{Reader: 0, Key: -1})
	text := contentReads(s, rows.documents[0])["text"]
	const many = 30
	for range many {
		if err := text(t.Context(), who); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	list := reads(t, s, store.ReadFilter{})
	if len(list) != many || !slices.IsSortedFunc(list, func(a, b store.Read) int { return b.At.Compare(a.At) }) {
		t.Errorf("%d records of %d, or in another order", len(list), many)
	}
	if err := text(t.Context(), who); err != nil {
		t.Fatal(err)
	}
	if n := len(reads(t, s, store.ReadFilter{})); n != many+1 {
		t.Errorf("%d records after the end, want %d", n, many+1)
	}
}

// TestLossesAreCounted: while nothing can be recorded reads go on, or fail where
// that is asked for; the next record says how many are missing, and a notice.
func TestLossesAreCounted(t *testing.T) {
	t.Parallel()
	f, rows, s := readsRig(t, store.ReadAudit{})
	strict, err := store.Open(t.Context(), store.Config{URL: f.db.URL, ReadAudit: store.ReadAudit{Strict: true}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(strict.Close)
	who := rows.identity(oracle.Asker{Reader: 0, Key: -1})
	refuse := func(on string) {
		t.Helper()
		if _, err := f.db.Owner.Exec(t.Context(), `ALTER TABLE tributary.read_event DROP CONSTRAINT IF EXISTS full_disk`); err != nil {
			t.Fatal(err)
		}
		if on != "" {
			if _, err := f.db.Owner.Exec(t.Context(), `ALTER TABLE tributary.read_event ADD CONSTRAINT full_disk CHECK (false) NOT VALID`); err != nil {
				t.Fatal(err)
			}
		}
	}
	refuse("on")
	for range 3 {
		if err := contentReads(s, rows.documents[0])["text"](t.Context(), who); err != nil {
			t.Fatalf("a read that cannot be recorded: %v", err)
		}
	}
	for tool, read := range contentReads(strict, rows.documents[0]) {
		if err := read(t.Context(), who); err == nil || !strings.Contains(err.Error(), "recording the read") {
			t.Errorf("%s that cannot be recorded, strictly: %v", tool, err)
		}
	}
	refuse("")
	if s.LostReads() != 3 {
		t.Errorf("%d reads were lost, want 3", s.LostReads())
	}
	for want := range []int64{3, 0} {
		if err := contentReads(s, rows.documents[0])["text"](t.Context(), who); err != nil {
			t.Fatal(want, err)
		}
	}
	list := reads(t, s, store.ReadFilter{})
	if len(list) != 2 || list[1].Lost != 3 || list[0].Lost != 0 {
		t.Errorf("recorded %+v", list)
	}
	if _, _, err := s.EvaluateNotices(t.Context()); err != nil {
		t.Fatal(err)
	}
	notices, err := s.Notices(t.Context(), store.NoticeFilter{Code: "read_audit_losses"})
	if err != nil || len(notices) != 1 || !strings.HasPrefix(notices[0].Detail, "3 reads") {
		t.Errorf("notices %+v, %v", notices, err)
	}
}

// TestOldReadsAreForgotten, and no others.
func TestOldReadsAreForgotten(t *testing.T) {
	t.Parallel()
	f, rows, s := readsRig(t, store.ReadAudit{})
	for i := range 3 {
		f.db.MustExec(t, fmt.Sprintf(`INSERT INTO read_event (at, tool, documents) VALUES (clock() - interval '%d days', 'text', $1)`, 10*i), rows.documents[:1])
	}
	for _, want := range []int64{2, 0} {
		if n, err := s.ForgetReads(t.Context(), 9*24*time.Hour); err != nil || n != want {
			t.Errorf("forgot %d, want %d: %v", n, want, err)
		}
	}
	if n := len(reads(t, s, store.ReadFilter{})); n != 1 {
		t.Errorf("%d records are left", n)
	}
}
