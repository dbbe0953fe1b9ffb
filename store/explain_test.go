package store_test

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"testing"

	"github.com/google/uuid"

	"tributary/internal/audit"
	"tributary/internal/oracle"
	"tributary/store"
)

// TestExplainAgreesWithTheOracle: for every reader, key and document of random
// worlds, what is said to be visible is, and a reason stands exactly where it
// is not; and the readers of a document are those who see it.
func TestExplainAgreesWithTheOracle(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ctx := t.Context()
	pairs, visible := 0, 0
	codes := map[store.WhyNot]int{}
	for seed := range worldsPerRun / 2 {
		w := genWorld().Example(seed)
		switch seed % 4 { // what worlds seldom have
		case 1:
			w.Readers[0].Disabled = true
		case 2:
			w.Connections[len(w.Connections)-1].Realm = -1
		case 3:
			w.Connections[0].Closing = true
		}
		rows, err := storeWorld(ctx, f.db.Pool, f.profile, w)
		if err != nil {
			t.Fatal(err)
		}
		for d, id := range rows.documents {
			var readers []uuid.UUID
			for _, a := range explainable(w) {
				req := store.ExplainRequest{Document: id.String()}
				if a.Reader >= 0 {
					req.Reader = rows.readers[a.Reader].String()
				}
				if a.Key >= 0 {
					req.Key = rows.keys[a.Key].String()
				}
				got, err := f.store.Explain(ctx, req)
				if err != nil {
					t.Fatal(err)
				}
				want := w.Visible(a, d)
				if got.Visible != want || want != (len(got.Reasons) == 0) {
					t.Fatalf("world %d document %d %+v: visible %v, oracle says %v, reasons %+v", seed, d, a, got.Visible, want, got.Reasons)
				}
				checkPaths(t, w, d, got)
				pairs++
				if want {
					visible++
				}
				for _, r := range got.Reasons {
					codes[r.Code]++
				}
				if want && a.Key < 0 {
					readers = append(readers, rows.readers[a.Reader])
				}
			}
			if got := whoReads(t, f.store, id); !slices.Equal(got, inOrder(readers)) {
				t.Fatalf("world %d document %d: readers %v, want %v", seed, d, got, readers)
			}
		}
	}
	t.Logf("%d pairs, %d visible, reasons %v", pairs, visible, codes)
	if visible < pairs/20 || pairs-visible < pairs/20 {
		t.Errorf("%d of %d pairs are visible: too one-sided to mean anything", visible, pairs)
	}
	for _, c := range []store.WhyNot{
		store.WhyReaderDisabled, store.WhyReaderUnlinked, store.WhyKeyEnded, store.WhyKeyReader, store.WhyKeyConnection, store.WhyConnectionClosing,
		store.WhyConnectionNew, store.WhyPermissionsOld, store.WhyHidden, store.WhyUnknown, store.WhyDenied, store.WhyClause,
	} {
		if codes[c] == 0 {
			t.Errorf("no world gives the reason %s", c)
		}
	}
}

// explainable are the askers who are readers or keys.
func explainable(w oracle.World) []oracle.Asker {
	var list []oracle.Asker
	for _, a := range askers(w) {
		if !a.Bare && (a.Reader >= 0 || a.Key >= 0) {
			list = append(list, a)
		}
	}
	return list
}

// checkPaths follows every path step by step in the world.
func checkPaths(t *testing.T, w oracle.World, d int, got store.Explanation) {
	t.Helper()
	doc := w.Documents[d]
	number := func(p store.ExplainedPrincipal) int {
		for i := range w.Principals {
			if p.ID == strconv.Itoa(i) {
				return i
			}
		}
		return -1
	}
	check := func(names []int, p *store.ExplainedPath) {
		if len(p.Steps) == 0 || !slices.Contains(names, number(p.Steps[0])) || p.How == "" {
			t.Fatalf("document %d: the path %+v begins outside the ACL %v", d, p, names)
		}
		for i := range len(p.Steps) - 1 {
			m := oracle.Membership{Connection: doc.Connection, Group: number(p.Steps[i]), Member: number(p.Steps[i+1])}
			if !slices.Contains(w.Memberships, m) {
				t.Fatalf("document %d: the path %+v takes a membership that is not there", d, p)
			}
		}
	}
	for i := range got.Denials {
		check(doc.Deny, &got.Denials[i])
	}
	for _, c := range got.Clauses {
		if c.Met {
			check(doc.AllOf[c.Number-1], c.Path)
		}
	}
}

func inOrder(ids []uuid.UUID) []uuid.UUID {
	slices.SortFunc(ids, func(a, b uuid.UUID) int { return slices.Compare(a[:], b[:]) })
	return ids
}

// whoReads gathers the readers of a document, two a page.
func whoReads(t *testing.T, s *store.Store, id uuid.UUID) (list []uuid.UUID) {
	t.Helper()
	after := uuid.Nil
	for {
		page, err := s.WhoCanRead(t.Context(), id.String(), after, 2)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page.Readers {
			list = append(list, r.ID)
		}
		if page.Next == nil {
			return list
		}
		after = *page.Next
	}
}

// TestExplainIsRecordedOrRefused: an explanation that cannot be recorded is not
// given, and what does not exist is named.
func TestExplainIsRecordedOrRefused(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ctx := context.Background()
	w := genWorld().Example(1)
	rows, err := storeWorld(ctx, f.db.Pool, f.profile, w)
	if err != nil {
		t.Fatal(err)
	}
	e := audit.Event{Actor: audit.Actor{Kind: audit.CLI, Name: "ada@here"}, Action: "document.explain", Target: audit.Target{Kind: "document"}, Outcome: audit.OK}
	if _, err := f.store.Explain(ctx, store.ExplainRequest{Reader: "r0", Document: "c0:" + strconv.Itoa(0)}, e); err != nil && w.Documents[0].Connection == 0 {
		t.Fatal(err)
	}
	if _, err := f.store.WhoCanRead(ctx, rows.documents[0].String(), uuid.Nil, 10, e); err != nil {
		t.Fatal(err)
	}
	var n int
	if err := f.db.Pool.QueryRow(ctx, `SELECT count(*) FROM audit_event WHERE action = 'document.explain' AND target = $1`, rows.documents[0].String()).Scan(&n); err != nil || n == 0 {
		t.Errorf("%d events: %v", n, err)
	}
	bad := e
	bad.Outcome = "no such outcome"
	if got, err := f.store.Explain(ctx, store.ExplainRequest{Reader: "r0", Document: rows.documents[0].String()}, bad); err == nil {
		t.Errorf("explained %+v without a record", got)
	}
	for field, req := range map[string]store.ExplainRequest{
		"reader":   {Reader: "nobody", Document: rows.documents[0].String()},
		"key":      {Reader: "r0", Key: "none", Document: rows.documents[0].String()},
		"document": {Reader: "r0", Document: uuid.NewString()},
	} {
		_, err := f.store.Explain(ctx, req)
		if bad, ok := errors.AsType[*store.InputError](err); !ok || bad.Field != field {
			t.Errorf("%+v: %v, want a complaint about %s", req, err, field)
		}
	}
}
