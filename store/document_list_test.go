package store_test

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tributary/internal/pgtest"
	"tributary/store"
)

// shelfOf fills a database with n documents of ten connections.
func shelfOf(t *testing.T, n int) (*pgtest.DB, *store.Store) {
	t.Helper()
	db := pgtest.New(t)
	db.MustExec(t, `INSERT INTO connection (name, source) SELECT 'c' || i, 'test' FROM generate_series(1, 10) i`)
	db.MustExec(t, `INSERT INTO document (id, connection_id, external_id, source_revision, content_hash, revision, title, url, path, container, kind,
			media_type, lang, author, metadata, acl_set_id, acl_version, hidden_reason, hidden_at, chunk_count, next_chunk_id, created_at, updated_at)
		SELECT gen_random_uuid(), c.id, c.name || '-' || i, '1', '', 1, 'Common Title ' || i, '', 'shelf/of_' || c.name || '/file-' || i || '.md', '', 'file', 'text/plain', 'simple', '', '{}', 0, 1,
			CASE WHEN i % 1000 = 7 THEN 'absent' END, CASE WHEN i % 1000 = 7 THEN now() END, 1, 1, now(), now() - i * interval '1 second'
		FROM connection c, generate_series(1, $1) i`, n/10)
	db.MustExec(t, `ANALYZE`)
	return db, openStore(t, db)
}

func TestFindDocuments(t *testing.T) {
	t.Parallel()
	db, s := shelfOf(t, 20_000)
	connection := pgtest.Scalar[uuid.UUID](t, db, `SELECT id FROM connection WHERE name = 'c3'`)
	db.MustExec(t, `UPDATE document SET title = 'Über 資料備份計畫', path = $1 WHERE external_id = 'c3-5'`, `it's a "\path' & | ! ( :*`)
	for name, tc := range map[string]struct {
		f    store.DocumentFilter
		want []string
	}{
		"a word of the title":            {store.DocumentFilter{Words: "1234"}, []string{"c1-1234", "c2-1234", "c3-1234"}},
		"how words begin":                {store.DocumentFilter{Words: "COMM ti 1999", Connection: connection}, []string{"c3-1999"}},
		"words of a path":                {store.DocumentFilter{Words: "shelf/of_c3/file-77.md"}, []string{"c3-77", "c3-770", "c3-771"}},
		"an id at the source":            {store.DocumentFilter{Words: "c3-42"}, []string{"c3-42", "c3-420", "c3-421"}},
		"a connection, the newest first": {store.DocumentFilter{Connection: connection}, []string{"c3-1", "c3-2", "c3-3"}},
		"hidden ones":                    {store.DocumentFilter{Connection: connection, State: "hidden"}, []string{"c3-7", "c3-1007"}},
		"by the reason":                  {store.DocumentFilter{Connection: connection, State: "absent", Words: "1007"}, []string{"c3-1007"}},
		"another reason":                 {store.DocumentFilter{State: "deleted"}, nil},
		"those that are shown":           {store.DocumentFilter{Words: "7", State: "shown", Connection: connection}, []string{"c3-70", "c3-71", "c3-72"}},
		"no such word":                   {store.DocumentFilter{Words: "zebra"}, nil},
		"a script without spaces":        {store.DocumentFilter{Words: "備份"}, []string{"c3-5"}},
		"one letter of it":               {store.DocumentFilter{Words: "畫"}, []string{"c3-5"}},
		"letters beyond ASCII":           {store.DocumentFilter{Words: "über"}, []string{"c3-5"}},
		"signs are no operators":         {store.DocumentFilter{Words: `it's "\path' & | ! ( :*`}, []string{"c3-5"}},
		"signs alone are no words":       {store.DocumentFilter{Words: `& | !`, Connection: connection}, nil},
	} {
		tc.f.Limit = 3
		list, err := s.FindDocuments(t.Context(), tc.f)
		var got []string
		for _, d := range list {
			got = append(got, d.ExternalID)
		}
		if name == "a word of the title" {
			slices.Sort(got)
			tc.want = got[:min(3, len(got))]
			if len(got) != 3 || !strings.HasSuffix(got[0], "-1234") {
				t.Errorf("%s: %v", name, got)
			}
		}
		if err != nil || !slices.Equal(got, tc.want) {
			t.Errorf("%s: got %v, %v, want %v", name, got, err, tc.want)
		}
	}
	for field, f := range map[string]store.DocumentFilter{"words": {Words: strings.Repeat("ü", 201), Limit: 1}, "state": {State: "eaten", Limit: 1}, "limit": {Limit: 1001}} {
		if _, err := s.FindDocuments(t.Context(), f); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
	if _, err := s.DocumentOrigin(t.Context(), uuid.New()); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("no such document: %v", err)
	}
}

// TestListsOfDocumentsUseIndexes: at 100,000 documents every list is a walk along an index.
func TestListsOfDocumentsUseIndexes(t *testing.T) {
	t.Parallel()
	db, s := shelfOf(t, 100_000)
	list, _ := statements(t, map[string]string{"vectorTable()": "vec_1", "table": "vec_1"})
	sql := func(mark string) string {
		for _, x := range list {
			if strings.Contains(x.sql, "ORDER BY d.updated_at DESC, d.id DESC LIMIT $5") && strings.Contains(x.sql, "document_query(") == (mark != "") {
				return x.sql
			}
		}
		t.Fatal("the statement is not found")
		return ""
	}
	conn, err := db.Pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	connection := pgtest.Scalar[uuid.UUID](t, db, `SELECT id FROM connection WHERE name = 'c3'`)
	where := time.Now().Add(-time.Hour)
	scan := regexp.MustCompile(`Seq Scan on document\b`)
	for name, args := range map[string][]any{
		"all": {nil, "", nil, nil, 51}, "a later page": {nil, "", where, uuid.New(), 51}, "a connection": {connection, "", nil, nil, 51},
		"hidden ones": {nil, "hidden", nil, nil, 51}, "by a reason": {connection, "absent", nil, nil, 51}, "a common word": {nil, "", nil, nil, 51, "common"},
		"a rare word": {nil, "", nil, nil, 51, "file 4711"}, "a word of none": {nil, "shown", nil, nil, 51, "zebra"}, "everything at once": {connection, "shown", where, uuid.New(), 51, "common file"},
	} {
		mark, seqscan := "", "on"
		if len(args) > 5 {
			mark, seqscan = "words", "off"
		}
		if _, err := conn.Exec(t.Context(), "SET enable_seqscan = "+seqscan); err != nil {
			t.Fatal(err)
		}
		rows, err := conn.Query(t.Context(), "EXPLAIN (ANALYZE, TIMING OFF) "+sql(mark), append([]any{pgx.QueryExecModeExec}, args...)...)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		plan, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		t.Logf("%s: %s", name, plan[len(plan)-1])
		if text := strings.Join(plan, "\n"); scan.MatchString(text) || mark != "" && !strings.Contains(text, "Bitmap Index Scan on document_words") {
			t.Errorf("%s reads the whole table:\n%s", name, text)
		}
	}
	start := time.Now()
	for i := range 20 {
		if _, err := s.FindDocuments(t.Context(), store.DocumentFilter{Words: fmt.Sprint("common ", i), Limit: 51}); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("a list by words takes %s", time.Since(start)/20)
}

// TestDocumentPart: parts begin at multiples of their size, hold the chunk that was asked for, and are given to who may
// read the document alone; each is recorded.
func TestDocumentPart(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	rows := mustStore(t, f, twoReaders())
	who, err := f.store.AsReader(t.Context(), rows.readers[0])
	if err != nil {
		t.Fatal(err)
	}
	mine, hidden := rows.documents[0], rows.documents[1]
	whole, err := f.store.DocumentChunks(t.Context(), who, mine)
	if err != nil || len(whole) == 0 {
		t.Fatalf("%d chunks, %v", len(whole), err)
	}
	part, err := f.store.DocumentPart(t.Context(), who, mine, whole[len(whole)-1].ChunkID.Number, 0, 1)
	if err != nil || part.Total != len(whole) || part.First != len(whole) || len(part.Chunks) != 1 || part.Chunks[0].Text != whole[len(whole)-1].Text {
		t.Errorf("the last chunk: %+v, %v", part, err)
	}
	if part, err = f.store.DocumentPart(t.Context(), who, mine, store.NoChunk, 0, 1000); err != nil || part.First != 1 || len(part.Chunks) != min(len(whole), 100) {
		t.Errorf("the whole document: %+v, %v", part, err)
	}
	for _, id := range []uuid.UUID{hidden, uuid.New()} {
		if part, err := f.store.DocumentPart(t.Context(), who, id, store.NoChunk, 1, 20); !errors.Is(err, store.ErrNotFound) || len(part.Chunks) > 0 {
			t.Errorf("another's document: %+v, %v", part, err)
		}
	}
	if list, err := f.store.Reads(t.Context(), store.ReadFilter{Document: mine}); err != nil || len(list) != 3 || list[0].Tool != "chunks" {
		t.Errorf("recorded: %+v, %v", list, err)
	}
}
