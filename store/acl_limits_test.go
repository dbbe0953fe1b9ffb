package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"tributary/internal/oracle"
	"tributary/store"
)

// TestGarbledACLsAreNobody: a set that is unknown, missing, empty, negative or
// that asks for a clause without entries shows its document by no route.
func TestGarbledACLsAreNobody(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	w := oracle.World{
		Connections: []oracle.Connection{{}},
		Principals:  []oracle.Principal{{}, {}},
		Documents:   []oracle.Document{{AllOf: [][]int{{0}}, Deny: []int{1}, Known: true}},
		Readers:     []oracle.Reader{{Links: []int{0}}, {Links: []int{1}}},
	}
	rows, err := storeWorld(t.Context(), f.db.Pool, f.profile, w)
	if err != nil {
		t.Fatal(err)
	}
	compare := func(name string, seen bool) {
		for r, id := range rows.readers {
			who := store.IdentityOf(id, uuid.Nil, false, nil)
			visible := seen && r == 0
			want := map[uuid.UUID]bool{rows.documents[0]: visible}
			n := 0
			if visible {
				n = 1
			}
			if diff := f.compareRoutes(t.Context(), who, rows, want); diff != "" {
				t.Errorf("%s, reader %d: %s", name, r, diff)
			}
			for _, req := range searches {
				if diff := f.compareSearch(t.Context(), who, req, want, n); diff != "" {
					t.Errorf("%s, reader %d: search %s: %s", name, r, req.Mode, diff)
				}
			}
			x, err := f.store.Explain(t.Context(), store.ExplainRequest{Reader: id.String(), Document: rows.documents[0].String()})
			if err != nil || x.Visible != visible || visible != (len(x.Reasons) == 0) {
				t.Errorf("%s, reader %d: explained as %v for %+v (%v)", name, r, x.Visible, x.Reasons, err)
			}
		}
	}
	compare("a clause of one", true)
	// -1 is what a denial gives, -2 all clauses and the sign, 6 a second clause.
	for _, mask := range []int64{0, -1, -2, 6, -1 << 63} {
		f.db.MustExec(t, fmt.Sprintf(`UPDATE acl_set SET need_mask = %d WHERE id = 1`, mask))
		compare(fmt.Sprint("mask ", mask), false)
	}
	f.db.MustExec(t, `UPDATE acl_set SET need_mask = 2 WHERE id = 1`)
	compare("mended", true)
	for _, set := range []int64{0, 99, -1} {
		f.db.MustExec(t, fmt.Sprintf(`UPDATE document SET acl_set_id = %d`, set))
		compare(fmt.Sprint("set ", set), false)
	}
}

// TestDeepAndLargeGroups: a reader among 100,000 members, 25 groups below the
// one that the document names, which hold each other in a circle.
func TestDeepAndLargeGroups(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	w := oracle.World{
		Connections: []oracle.Connection{{}}, Principals: []oracle.Principal{{}, {}},
		Documents: []oracle.Document{{AllOf: [][]int{{0}}, Known: true}}, Readers: []oracle.Reader{{Links: []int{1}}, {}},
	}
	rows, err := storeWorld(t.Context(), f.db.Pool, f.profile, w)
	if err != nil {
		t.Fatal(err)
	}
	const deep, members = 25, 100_000
	top, who, c := rows.principals[0], rows.principals[1], rows.connections[0]
	f.db.MustExec(t, fmt.Sprintf(`INSERT INTO principal (id, realm_id, kind, external_id) OVERRIDING SYSTEM VALUE
		SELECT 10000 + n, %d, CASE WHEN n <= %d THEN 'group' ELSE 'user' END, 'p' || n FROM generate_series(1, %d) n`, firstRealm, deep, deep+members))
	f.db.MustExec(t, fmt.Sprintf(`INSERT INTO membership
		SELECT '%[1]s'::uuid, 10000 + n, CASE n WHEN 1 THEN %[2]d ELSE 9999 + n END FROM generate_series(1, %[3]d) n
		UNION ALL SELECT '%[1]s'::uuid, 10000 + n, 10000 + %[3]d FROM generate_series(%[3]d + 1, %[3]d + %[4]d) n
		UNION ALL SELECT '%[1]s'::uuid, %[2]d, 10000 + %[3]d UNION ALL SELECT '%[1]s'::uuid, %[5]d, 10000 + %[3]d`, c, top, deep, members, who))
	f.db.MustExec(t, `ANALYZE membership`)
	doc := rows.documents[0].String()
	visible := func(reader int) bool {
		start := time.Now()
		_, err := f.store.Document(t.Context(), store.IdentityOf(rows.readers[reader], uuid.Nil, false, nil), rows.documents[0])
		t.Logf("reader %d asks in %s", reader, time.Since(start))
		return err == nil
	}
	if !visible(0) || visible(1) {
		t.Fatal("the member has to see it, and who is none has not")
	}
	x, err := f.store.Explain(t.Context(), store.ExplainRequest{Reader: "r0", Document: doc})
	if err != nil || !x.Visible || len(x.Clauses[0].Path.Steps) != deep+2 {
		t.Fatalf("explained by %d steps, want %d: %v", len(x.Clauses[0].Path.Steps), deep+2, err)
	}
	start := time.Now()
	page, err := f.store.WhoCanRead(t.Context(), doc, uuid.Nil, 10)
	if err != nil || len(page.Readers) != 1 || page.Readers[0].Name != "r0" || *page.Clauses[0].Names[0].People != 10_000 {
		t.Errorf("could read it: %+v (%v)", page, err)
	}
	t.Logf("who can read it, in %s", time.Since(start))
	f.db.MustExec(t, `DELETE FROM membership WHERE member_id = 10012 AND group_id = 10011`)
	if visible(0) {
		t.Error("a membership that ended in the middle of the chain still counts")
	}
}
