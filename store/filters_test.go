package store_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"tributary/internal/oracle"
	"tributary/store"
)

// filterWorld has documents 0 and 2 in c0 and 1 and 3 in c1, all visible to
// reader 0. Paths are dirN/fileI.txt with N = I mod 2.
func filterWorld() oracle.World {
	w := oracle.World{
		Connections: []oracle.Connection{{Realm: 0}, {Realm: 0}},
		Principals:  []oracle.Principal{{Realm: 0}},
		Readers:     []oracle.Reader{{Links: []int{0}}},
	}
	for i := range 4 {
		w.Documents = append(w.Documents, oracle.Document{Connection: i % 2, Known: true, AllOf: [][]int{{0}}})
	}
	return w
}

func TestFilters(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	rows := mustStore(t, f, filterWorld())
	ctx := context.Background()
	exec := func(sql string, args ...any) {
		t.Helper()
		if _, err := f.db.Pool.Exec(ctx, sql, args...); err != nil {
			t.Fatal(err)
		}
	}
	exec(`UPDATE document SET media_type = 'text/html', kind = 'page' WHERE id = $1`, rows.documents[2])
	exec(`UPDATE document SET path = 'dir1/sub/a_b.txt', metadata = '{"team": "x", "n": "1"}', source_updated_at = '2020-01-01T00:00:00Z' WHERE id = $1`, rows.documents[3])
	exec(`UPDATE connection SET source = 'other' WHERE name = 'c1'`)
	who := rows.identity(oracle.Asker{Reader: 0, Key: -1})
	for _, tc := range []struct {
		name    string
		filters store.Filters
		want    string
	}{
		{"none", store.Filters{}, "0123"},
		{"connection by name", store.Filters{Connection: store.Strings{"c0"}}, "02"},
		{"connection by id", store.Filters{Connection: store.Strings{rows.connections[1].String()}}, "13"},
		{"several connections", store.Filters{Connection: store.Strings{"c0", "c1"}}, "0123"},
		{"a connection that does not exist", store.Filters{Connection: store.Strings{"nope"}}, ""},
		{"source", store.Filters{Source: store.Strings{"other"}}, "13"},
		{"media type", store.Filters{Type: store.Strings{"text/html"}}, "2"},
		{"kind", store.Filters{Type: store.Strings{"file"}}, "013"},
		{"path prefix", store.Filters{Path: store.Strings{"dir1/"}}, "13"},
		{"a prefix is not a pattern", store.Filters{Path: store.Strings{"dir."}}, ""},
		{"glob inside a segment", store.Filters{Path: store.Strings{"dir?/file*.txt"}}, "012"},
		{"star stays in its segment", store.Filters{Path: store.Strings{"dir1/*.txt"}}, "1"},
		{"two stars cross", store.Filters{Path: store.Strings{"**/*.txt"}}, "0123"},
		{"a set", store.Filters{Path: store.Strings{"dir0/file[12].txt"}}, "2"},
		{"a negated set", store.Filters{Path: store.Strings{"dir0/file[!2].txt"}}, "0"},
		{"a dot is a dot", store.Filters{Path: store.Strings{"dir0/file0?*"}}, "0"},
		{"updated after", store.Filters{UpdatedAfter: "2021-01-01T00:00:00Z"}, "012"},
		{"metadata", store.Filters{Metadata: map[string]any{"team": "x"}}, "3"},
		{"filters together", store.Filters{Connection: store.Strings{"c1"}, Path: store.Strings{"dir1/file*"}}, "1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			for _, over := range []map[string]int{nil, {"exact_cap": 0}} {
				resp, err := f.store.Search(ctx, who, store.SearchRequest{Query: "common", Mode: store.Hybrid, K: 50, Filters: tc.filters, Plan: over, Vector: []float32{1, 2, 3, 4, 5, 6, 7, 8}, Profile: f.profile})
				if err != nil {
					t.Fatal(err)
				}
				got := ""
				for i, id := range rows.documents {
					for _, r := range resp.Results {
						if r.DocumentID == id {
							got += string(rune('0' + i))
							break
						}
					}
				}
				if got != tc.want || int(resp.Pending) != len(tc.want) {
					t.Errorf("documents %q, want %q; pending %d", got, tc.want, resp.Pending)
				}
			}
		})
	}
}

func TestBadInputNamesTheField(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ctx := context.Background()
	for _, tc := range []struct{ field, sql string }{
		{"mode", `SELECT FROM tributary.search('x', NULL, NULL, 'fuzzy')`},
		{"k", `SELECT FROM tributary.search('x', NULL, NULL, 'keyword', 0)`},
		{"query", `SELECT FROM tributary.search(' ', NULL, NULL, 'keyword')`},
		{"qvec", `SELECT FROM tributary.search('x', NULL, NULL, 'vector')`},
		{"qvec", `SELECT FROM tributary.search('x', '[1,2]', 1::smallint, 'vector')`},
		{"profile", `SELECT FROM tributary.search('x', '[1,2]', 99::smallint, 'vector')`},
		{"filters", `SELECT FROM tributary.search('x', NULL, NULL, 'keyword', 1, '{"owner": "x"}')`},
		{"filters", `SELECT FROM tributary.search('x', NULL, NULL, 'keyword', 1, '[]')`},
		{"filters.type", `SELECT FROM tributary.search('x', NULL, NULL, 'keyword', 1, '{"type": 7}')`},
		{"filters.connection", `SELECT FROM tributary.search('x', NULL, NULL, 'keyword', 1, '{"connection": []}')`},
		{"filters.updated_after", `SELECT FROM tributary.search('x', NULL, NULL, 'keyword', 1, '{"updated_after": "soon"}')`},
		{"filters.updated_after", `SELECT FROM tributary.search('x', NULL, NULL, 'keyword', 1, '{"updated_after": "2026-13-45"}')`},
		{"filters.metadata", `SELECT FROM tributary.search('x', NULL, NULL, 'keyword', 1, '{"metadata": "x"}')`},
		{"options", `SELECT FROM tributary.search('x', NULL, NULL, 'keyword', 1, '{}', '{"speed": 1}')`},
		{"options.exact_cap", `SELECT FROM tributary.search('x', NULL, NULL, 'keyword', 1, '{}', '{"exact_cap": "many"}')`},
	} {
		_, err := f.db.Pool.Exec(ctx, tc.sql)
		if sqlState(err) != "22023" || !strings.Contains(err.Error(), "ERROR: "+tc.field+": ") {
			t.Errorf("%s: %v, want a complaint about %s", tc.sql, err, tc.field)
		}
	}
	var in *store.InputError
	_, err := f.store.Search(ctx, store.Identity{}, store.SearchRequest{Query: "x", Mode: store.Keyword, Filters: store.Filters{UpdatedAfter: "soon"}})
	if !errors.As(err, &in) || in.Field != "filters.updated_after" {
		t.Errorf("bad filter: %v", err)
	}
	for _, req := range []store.SearchRequest{{K: 101}, {K: -1}, {Neighbours: 11}, {Include: []string{"acl"}}, {Cursor: "zzz"}} {
		req.Query = "x"
		if _, err := f.store.Search(ctx, store.Identity{}, req); !errors.As(err, &in) {
			t.Errorf("%+v: %v", req, err)
		}
	}
}
