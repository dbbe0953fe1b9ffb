package store_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/pgvector/pgvector-go"

	"tributary/internal/oracle"
	"tributary/store"
)

// shelf is two readers and texts of one chunk each that one of them sees.
type shelf struct {
	*fixture
	rows worldRows
	name map[uuid.UUID]string
}

// paper is one text of a shelf.
type paper struct {
	name, lang, text string
	hidden           bool // only the other reader sees it
	vector           []float32
}

func newShelf(tb testing.TB, papers ...paper) *shelf {
	tb.Helper()
	s := &shelf{fixture: newFixture(tb), name: map[uuid.UUID]string{}}
	w := twoReaders()
	w.Documents = w.Documents[:0]
	s.rows = mustStore(tb, s.fixture, w)
	b := &pgx.Batch{}
	for set := range 2 {
		b.Queue(`INSERT INTO acl_set (id, hash, need_mask) VALUES ($1, $2, 2)`, set+1, []byte{byte(set)})
		b.Queue(`INSERT INTO acl_entry VALUES ($1, $2, 1)`, set+1, s.rows.principals[set])
	}
	if err := s.db.Pool.SendBatch(tb.Context(), b).Close(); err != nil {
		tb.Fatal(err)
	}
	s.add(tb, papers...)
	return s
}

func (s *shelf) add(tb testing.TB, papers ...paper) {
	tb.Helper()
	b := &pgx.Batch{}
	for _, p := range papers {
		// Ids are the order of the names, so that ties are the same in every run.
		id := uuid.NewSHA1(uuid.Nil, []byte(p.name))
		s.name[id] = p.name
		set := 1
		if p.hidden {
			set = 2
		}
		b.Queue(`INSERT INTO document (id, connection_id, external_id, source_revision, content_hash, revision, title, url, path, container, kind,
				media_type, lang, author, metadata, acl_set_id, acl_version, chunk_count, next_chunk_id, created_at, updated_at)
			VALUES ($1, $2, $3, '1', '', 1, '', '', $3, '', 'file', 'text/plain', $4, '', '{}', $5, 1, 1, 2, now(), now())`,
			id, s.rows.connections[0], p.name, p.lang, set)
		b.Queue(`INSERT INTO revision VALUES ($1, 1, '1', '', $1, 'x', 'x', now(), $2, '{1}', '{0}', ARRAY[octet_length($2)], '{0}', ARRAY[length($2)])`, id, p.text)
		b.Queue(`INSERT INTO chunk (document_id, id, identity, text, context, heading_path, tokens, lang) VALUES ($1, 1, '', $2, '', '{}', 5, $3)`, id, p.text, p.lang)
		if p.vector != nil {
			b.Queue(fmt.Sprintf(`INSERT INTO vec_%d VALUES ($1, 1, '', $2)`, s.profile), id, pgvector.NewHalfVector(p.vector))
		}
	}
	if err := s.db.Pool.SendBatch(tb.Context(), b).Close(); err != nil {
		tb.Fatal(err)
	}
}

// ask returns the answer of reader 0.
func (s *shelf) ask(tb testing.TB, req store.SearchRequest) store.SearchResponse {
	tb.Helper()
	resp, err := s.store.Search(tb.Context(), s.rows.identity(oracle.Asker{Reader: 0, Key: -1}), req)
	if err != nil {
		tb.Fatalf("%q: %v", req.Query, err)
	}
	return resp
}

// names returns what a keyword search finds, best first.
func (s *shelf) names(tb testing.TB, query string) string {
	tb.Helper()
	return s.found(s.ask(tb, store.SearchRequest{Query: query, Mode: store.Keyword}))
}

func (s *shelf) found(resp store.SearchResponse) string {
	var out []string
	for _, r := range resp.Results {
		out = append(out, s.name[r.DocumentID])
	}
	return strings.Join(out, " ")
}
