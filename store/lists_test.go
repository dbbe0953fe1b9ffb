package store_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tributary/internal/oracle"
	"tributary/store"
)

// TestListsPageWithoutGapOrRepeat: list and export give every visible document
// once, in id order, whatever the size of a page, and by either way to a page.
func TestListsPageWithoutGapOrRepeat(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ctx := context.Background()
	w := filterWorld()
	for i := range 8 {
		w.Documents = append(w.Documents, oracle.Document{Connection: i % 2, Known: true, AllOf: [][]int{{i % 2}}, Hidden: i == 5})
	}
	w.Principals = append(w.Principals, oracle.Principal{Realm: 0})
	rows := mustStore(t, f, w)
	asker := oracle.Asker{Reader: 0, Key: -1}
	who := rows.identity(asker)
	var want []uuid.UUID
	for d, id := range rows.documents {
		if w.Visible(asker, d) {
			want = append(want, id)
		}
	}
	slices.SortFunc(want, func(a, b uuid.UUID) int { return strings.Compare(a.String(), b.String()) })
	if documents, chunks, err := f.store.VisibleCount(ctx, who, store.Filters{}); err != nil || documents != int64(len(want)) || chunks != 2*documents || len(want) < 6 || len(want) == len(rows.documents) {
		t.Fatalf("%d documents and %d chunks, want %d of %d: %v", documents, chunks, len(want), len(rows.documents), err)
	}
	for _, way := range []string{"20000", "2", "0"} {
		f.db.MustExec(t, `INSERT INTO setting VALUES ('search.list_cap', $1) ON CONFLICT (key) DO UPDATE SET value = $1`, way)
		for _, size := range []int{1, 2, 3, store.MaxListed} {
			if got := f.listed(t, who, size); !slices.Equal(got, want) {
				t.Errorf("cap %s, pages of %d: listed %v, want %v", way, size, got, want)
			}
			if got := f.exported(t, who, size); !slices.Equal(got, want) {
				t.Errorf("cap %s, pages of %d: exported %v, want %v", way, size, got, want)
			}
		}
	}
}

// listed walks every page of a list.
func (f *fixture) listed(t *testing.T, who store.Identity, size int) (ids []uuid.UUID) {
	t.Helper()
	for more, last := true, uuid.Nil; more; last = ids[len(ids)-1] {
		page, rest, err := f.store.ListDocuments(context.Background(), who, store.Filters{}, last, size)
		if err != nil || len(page) == 0 || len(page) > size {
			t.Fatalf("a page of %d has %d: %v", size, len(page), err)
		}
		for _, d := range page {
			ids = append(ids, d.ID)
		}
		more = rest
	}
	return ids
}

// exported walks every page of an export, whose chunks are those of the
// documents' own route.
func (f *fixture) exported(t *testing.T, who store.Identity, size int) (ids []uuid.UUID) {
	t.Helper()
	for more, last := true, uuid.Nil; more; last = ids[len(ids)-1] {
		page, rest, err := f.store.ExportDocuments(context.Background(), who, store.Filters{}, last, size)
		if err != nil || len(page) == 0 || len(page) > size {
			t.Fatalf("an exported page of %d has %d: %v", size, len(page), err)
		}
		for _, d := range page {
			var got []store.DocumentChunk
			if err := json.Unmarshal(d.Chunks, &got); err != nil {
				t.Fatal(err)
			}
			want, err := f.store.DocumentChunks(context.Background(), who, d.ID)
			if err != nil {
				t.Fatal(err)
			}
			for i := range want {
				want[i].Revision = 0 // the document has it
			}
			if fmt.Sprint(got) != fmt.Sprint(want) || len(got) != 2 {
				t.Errorf("exported\n%+v, want\n%+v", got, want)
			}
			ids = append(ids, d.ID)
		}
		more = rest
	}
	return ids
}

// TestSectionsStopAtTheirHeading: what stands around a chunk under its heading
// is given whole, or as much of it as fits, and nothing beyond it.
func TestSectionsStopAtTheirHeading(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ctx := context.Background()
	rows := mustStore(t, f, twoReaders())
	id := rows.documents[0]
	who := rows.identity(oracle.Asker{Reader: 0, Key: -1})
	// Chunks 11, 12, … of ten characters, two of them for each letter.
	paths := [][]string{{}, {}, {"A"}, {"A", "B"}, {"A", "B"}, {"A", "C"}, {"A"}, {"D"}, {"D"}, {"A", "B"}}
	var text strings.Builder
	var ids, starts, ends []int
	f.db.MustExec(t, `DELETE FROM chunk WHERE document_id = $1`, id)
	for i, path := range paths {
		starts = append(starts, text.Len())
		fmt.Fprintf(&text, "common%04d", i)
		ends, ids = append(ends, text.Len()), append(ids, 11+i)
		text.WriteString("\n\n")
		f.db.MustExec(t, `INSERT INTO chunk (document_id, id, identity, text, context, heading_path, tokens, lang) VALUES ($1, $2, '', $3, '', $4, 1, 'english')`,
			id, 11+i, fmt.Sprintf("common%04d", i), path)
	}
	f.db.MustExec(t, `UPDATE revision SET text = $2, chunk_ids = $3, starts = $4, ends = $5, starts_cp = $4, ends_cp = $5 WHERE document_id = $1`,
		id, text.String(), ids, starts, ends)
	for _, tc := range []struct {
		chunk, most, from, to int
		whole                 bool
	}{
		{11, 1000, 11, 12, true}, // in front of every heading
		{13, 1000, 13, 17, true}, // with the headings below it
		{14, 1000, 14, 15, true}, // its own only
		{20, 1000, 20, 20, true}, // the same words elsewhere are another section
		{15, 10, 15, 15, false},  // too long
		{16, 35, 16, 16, true},   // alone
		{17, 34, 15, 17, false},  // what is nearest
		{19, 22, 18, 19, true},   // exactly as long
		{19, 21, 19, 19, false},  // one more than that
	} {
		var got []any
		err := as(ctx, f.db.Pool, who, func(tx pgx.Tx) error {
			rows, err := tx.Query(ctx, `SELECT chunk_ids, text, start_, end_, start_cp, end_cp, whole, heading_path FROM tributary.section($1, $2, $3)`, id, tc.chunk, tc.most)
			if err != nil {
				return err
			}
			got, err = pgx.CollectExactlyOneRow(rows, func(row pgx.CollectableRow) ([]any, error) { return row.Values() })
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		start, end := starts[tc.from-11], ends[tc.to-11]
		var want []int
		for n := tc.from; n <= tc.to; n++ {
			want = append(want, n)
		}
		if expected := fmt.Sprint([]any{want, text.String()[start:end], start, end, start, end, tc.whole, paths[tc.chunk-11]}); fmt.Sprint(got) != expected {
			t.Errorf("section of %d in %d: got %v, want %s", tc.chunk, tc.most, got, expected)
		}
	}
	resp, err := f.store.Search(ctx, who, store.SearchRequest{Query: "common0003", Mode: store.Keyword, Include: []string{store.IncludeParent}})
	if err != nil || len(resp.Results) != 1 || resp.Results[0].Parent == nil || resp.Results[0].Parent.Text != text.String()[starts[3]:ends[4]] || !resp.Results[0].Parent.Whole {
		t.Errorf("parent: %+v %v", resp.Results, err)
	}
}
