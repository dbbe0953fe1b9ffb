package store_test

import (
	"errors"
	"maps"
	"slices"
	"testing"

	"tributary/connectors"
	"tributary/internal/pgtest"
	"tributary/store"
)

// importedRows is what an import can touch.
const importedRows = `SELECT md5(concat((SELECT string_agg(x::text, '|' ORDER BY x::text) FROM reader x), (SELECT string_agg(x::text, '|' ORDER BY x::text) FROM reader_principal x),
	(SELECT string_agg(x::text, '|' ORDER BY x::text) FROM reader_identity x), (SELECT string_agg(x::text, '|' ORDER BY x::text) FROM reader_email x),
	(SELECT string_agg(x::text, '|' ORDER BY x::text) FROM principal x), (SELECT count(*) FROM audit_event)))`

func TestImportIsAllOrNothing(t *testing.T) {
	t.Parallel()
	f := newMail(t)
	if _, err := f.store.CreateConnection(t.Context(), store.NewConnection{Name: "young", Source: "test"}); err != nil {
		t.Fatal(err)
	}
	f.reader("robot")
	taken := f.reader("taken")
	if err := f.store.AddReaderIdentity(t.Context(), taken.ID, store.ReaderIdentity{Issuer: "https://i", Subject: "1"}); err != nil {
		t.Fatal(err)
	}
	good := store.ImportRow{Reader: "ada", Kind: store.Person, Email: "ada@example.com", Connection: "docs", PrincipalID: "7"}
	before := pgtest.Scalar[string](t, f.db, importedRows)
	for name, c := range map[string]struct {
		row   store.ImportRow
		field string
	}{
		"no name":                      {store.ImportRow{Email: "x@example.com"}, "reader"},
		"a name that is an id":         {store.ImportRow{Reader: "7f000001-0000-4000-8000-000000000000"}, "reader"},
		"an unknown kind":              {store.ImportRow{Reader: "x", Kind: "robot"}, "kind"},
		"another kind than it has":     {store.ImportRow{Reader: "robot", Kind: store.Application}, "kind"},
		"another kind than said above": {store.ImportRow{Reader: "ada", Kind: store.Application}, "kind"},
		"a subject without issuer":     {store.ImportRow{Reader: "x", Subject: "s"}, "issuer"},
		"an issuer without subject":    {store.ImportRow{Reader: "x", Issuer: "i"}, "subject"},
		"another reader's identity":    {store.ImportRow{Reader: "x", Issuer: "https://i", Subject: "1"}, "subject"},
		"an address of another script": {store.ImportRow{Reader: "x", Email: "аda@example.com"}, "email"},
		"no such connection":           {store.ImportRow{Reader: "x", Connection: "nowhere", PrincipalID: "1"}, "connection"},
		"a connection without realm":   {store.ImportRow{Reader: "x", Connection: "young", PrincipalID: "1"}, "connection"},
		"a principal without any":      {store.ImportRow{Reader: "x", PrincipalID: "1"}, "connection"},
		"a connection without who":     {store.ImportRow{Reader: "x", Connection: "docs"}, "principal_id"},
		"everybody":                    {store.ImportRow{Reader: "x", Connection: "docs", PrincipalKind: connectors.Public, PrincipalID: "1"}, "principal_kind"},
	} {
		_, err := f.store.ImportReaders(t.Context(), []store.ImportRow{good, c.row}, false, deleting())
		bad, ok := errors.AsType[*store.ImportError](err)
		if !ok || len(bad.Problems) != 1 || bad.Problems[0].Row != 2 || bad.Problems[0].Field != c.field {
			t.Errorf("%s: %v, want a problem of row 2, %s", name, err, c.field)
		}
		if now := pgtest.Scalar[string](t, f.db, importedRows); now != before {
			t.Errorf("%s: something stands", name)
			before = now
		}
	}
}

func TestImportMakesReaders(t *testing.T) {
	t.Parallel()
	f := newMail(t)
	f.mapping(f.conn, true)
	f.says(f.conn, f.run, person("8", "bob@example.com", true))
	rows := []store.ImportRow{
		{Reader: "ada", Issuer: "https://i", Subject: "1", Email: "ada@Example.com", Connection: "docs", PrincipalID: "7"},
		{Reader: "ada", Connection: "docs", PrincipalKind: connectors.Group, PrincipalID: "staff"},
		{Reader: "bob", Email: "bob@example.com"},
		{Reader: "bot", Kind: store.Application},
	}
	before := pgtest.Scalar[string](t, f.db, importedRows)
	want := store.ImportReport{Rows: 4, Readers: 3, Identities: 1, Emails: 2, Links: 2, Mapped: store.Mapped{Made: 1}}
	if got, err := f.store.ImportReaders(t.Context(), slices.Clone(rows), true, deleting()); err != nil || got != want {
		t.Errorf("dry run: %+v %v, want %+v", got, err, want)
	}
	if pgtest.Scalar[string](t, f.db, importedRows) != before {
		t.Error("a dry run changed something")
	}
	if got, err := f.store.ImportReaders(t.Context(), slices.Clone(rows), false, deleting()); err != nil || got != want {
		t.Errorf("import: %+v %v, want %+v", got, err, want)
	}
	f.linked("imported", "ada", "org/staff import", "org/7 import")
	f.linked("imported", "bob", "org/8 email")
	if n := pgtest.Scalar[int](t, f.db, `SELECT count(*)::int FROM audit_event`); n != 1 {
		t.Errorf("%d events, want that of the import", n)
	}
	after := pgtest.Scalar[string](t, f.db, importedRows)
	if got, err := f.store.ImportReaders(t.Context(), rows, false); err != nil || got != (store.ImportReport{Rows: 4}) {
		t.Errorf("the same again: %+v %v", got, err)
	}
	if pgtest.Scalar[string](t, f.db, importedRows) != after {
		t.Error("the same again changed something")
	}
}

func TestUnmatchedPeopleAreListedWithTheReason(t *testing.T) {
	t.Parallel()
	f := newMail(t)
	f.mapping(f.conn, true)
	off, offRun := f.connect("off", "elsewhere")
	f.reader("ada", "ada@example.com")
	f.reader("bob", "bob@example.com", "off@example.com")
	f.reader("twin", "bob@example.com")
	f.says(f.conn, f.run,
		person("1", "ada@example.com", true), // is matched
		person("2", "bob@example.com", true),
		person("3", "nobody@example.com", true),
		person("4", "claimed@example.com", false))
	f.says(off, offRun, person("5", "off@example.com", true))
	f.db.MustExec(t, `INSERT INTO principal (realm_id, kind, external_id) VALUES ($1, 'user', '6'), ($1, 'group', '7')`, *f.conn.RealmID)
	// One person by two ids, each a member of the other: 1 is matched.
	f.db.MustExec(t, `INSERT INTO principal (realm_id, kind, external_id) VALUES ($1, 'user', 'other-1')`, *f.conn.RealmID)
	f.db.MustExec(t, `INSERT INTO membership SELECT $1, a.id, b.id FROM principal a, principal b WHERE a.external_id = '1' AND b.external_id = 'other-1'`, f.conn.ID)
	list := func(filter store.UnmatchedFilter) map[string]string {
		t.Helper()
		filter.Limit = 2
		out := map[string]string{}
		for {
			page, err := f.store.UnmatchedPeople(t.Context(), filter)
			if err != nil {
				t.Fatal(err)
			}
			for _, u := range page {
				out[u.ID] = u.Reason
				filter.After = u.PrincipalID
			}
			if len(page) < filter.Limit {
				return out
			}
		}
	}
	all := list(store.UnmatchedFilter{})
	want := map[string]string{
		"2": "several readers have the address", "3": "no reader has the address", "4": "the source does not say that the address is verified",
		"5": "mapping by e-mail is off", "6": "the source tells no usable address",
	}
	if len(all) != len(want) {
		t.Errorf("%v", all)
	}
	for id, reason := range want {
		if all[id] != reason {
			t.Errorf("%s: %q, want %q", id, all[id], reason)
		}
	}
	if got := list(store.UnmatchedFilter{Connection: off.ID}); len(got) != 1 || got["5"] == "" {
		t.Errorf("of one connection: %v", got)
	}
	if got := list(store.UnmatchedFilter{Ambiguous: true}); len(got) != 1 || got["2"] == "" {
		t.Errorf("ambiguous: %v", got)
	}
	unlinked := store.UnmatchedFilter{Unlinked: true}
	if got := list(unlinked); !maps.Equal(got, all) {
		t.Errorf("unlinked: %v, all: %v", got, all)
	}
	f.db.MustExec(t, `INSERT INTO reader_principal (reader_id, principal_id, how) SELECT r.id, p.id, 'manual' FROM reader r, principal p WHERE r.name = 'bob' AND p.external_id = '2'`)
	if got := list(store.UnmatchedFilter{}); !maps.Equal(got, all) {
		t.Errorf("whom addresses would make several, and who is linked by hand: %v", got)
	}
	delete(all, "2")
	if got := list(unlinked); !maps.Equal(got, all) {
		t.Errorf("unlinked: %v, all but the linked: %v", got, all)
	}
	unlinked.Connection = off.ID
	if got := list(unlinked); len(got) != 1 || got["5"] != all["5"] {
		t.Errorf("unlinked of one connection: %v", got)
	}
}
