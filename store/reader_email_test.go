package store_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/google/uuid"

	"tributary/connectors"
	"tributary/internal/audit"
	"tributary/internal/pgtest"
	"tributary/store"
)

func TestNormalEmail(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"ada@example.com":            "ada@example.com",
		"Ada.L@Example.COM":          "Ada.L@example.com",
		"a+b@sub.example.com":        "a+b@sub.example.com",
		"":                           "",
		"ada":                        "",
		"@example.com":               "",
		"ada@":                       "",
		"ada@@example.com":           "",
		"ada@b@example.com":          "",
		" ada@example.com":           "",
		"ada@example.com\n":          "",
		"ada@example..com":           "",
		"ada@.example.com":           "",
		"ada@example.com.":           "",
		".ada@example.com":           "",
		"a..da@example.com":          "",
		`"ada"@example.com`:          "",
		"Ada <ada@example.com>":      "",
		"ada@[127.0.0.1]":            "",
		"аda@example.com":            "", // Cyrillic a
		"ada@exаmple.com":            "",
		"ıda@example.com":            "", // dotless i
		"ada@example.com\u200b":      "",
		"ａda@example.com":            "", // full width
		"ada@ＥＸＡＭＰＬＥ.com":            "",
		"ada@\u212aelvin.example":    "", // Kelvin sign, whose lower case is k
		"ada@xn--exmple-cua.com":     "",
		"ada@XN--exmple-cua.com":     "",
		"ada@exa\u0301mple.com":      "",
		"ada\x00@example.com":        "",
		"ada@example.com,b@c.com":    "",
		"ada@" + string(rune(0x130)): "",
	} {
		got, ok := store.NormalEmail(address)
		if got != want || ok != (want != "") {
			t.Errorf("%q: %q %t, want %q", address, got, ok, want)
		}
	}
}

// mailFixture has a connection of realm org, whose people have addresses.
type mailFixture struct {
	*fixture
	t    *testing.T
	conn store.Connection
	run  store.Run
}

func newMail(t *testing.T) *mailFixture {
	t.Helper()
	f := &mailFixture{fixture: newFixture(t), t: t}
	f.conn, f.run = f.connect("docs", "org")
	return f
}

// connect makes a connection with a run under which people are read.
func (f *mailFixture) connect(name, realm string) (store.Connection, store.Run) {
	f.t.Helper()
	conn, err := f.store.CreateConnection(f.t.Context(), store.NewConnection{Name: name, Source: "test", Realm: realm})
	if err != nil {
		f.t.Fatal(err)
	}
	run := store.Run{ID: uuid.New(), ConnectionID: conn.ID, Fence: 1}
	f.db.MustExec(f.t, `INSERT INTO sync_run (id, connection_id, lane, kind, state, fence, selection_version) VALUES ($1, $2, 'permissions', 'permissions', 'running', 1, 1)`, run.ID, conn.ID)
	return conn, run
}

// deleting is the event of deleting a reader.
func deleting() audit.Event {
	return event("reader.delete", audit.Actor{Kind: audit.CLI, Name: "ada@host"}, audit.Target{Kind: "reader"})
}

func person(id, email string, verified bool) connectors.Person {
	return connectors.Person{Principal: connectors.Principal{Kind: connectors.User, ID: id}, Email: email, Verified: verified}
}

// says replaces what the source of a connection says of its people.
func (f *mailFixture) says(conn store.Connection, run store.Run, people ...connectors.Person) store.EmailsRead {
	f.t.Helper()
	out, err := f.store.ReplaceEmails(f.t.Context(), run, *conn.RealmID, people)
	if err != nil {
		f.t.Fatal(err)
	}
	return out
}

func (f *mailFixture) mapping(conn store.Connection, on bool) {
	f.t.Helper()
	if _, err := f.store.SetMapEmail(f.t.Context(), conn.ID, on); err != nil {
		f.t.Fatal(err)
	}
}

func (f *mailFixture) reader(name string, emails ...string) store.Reader {
	f.t.Helper()
	r, err := f.store.MakeReader(f.t.Context(), store.NewReader{Name: name, Kind: store.Person, Emails: emails})
	if err != nil {
		f.t.Fatal(err)
	}
	return r
}

// linked checks whom a reader is linked to: "realm/id how".
func (f *mailFixture) linked(when, reader string, want ...string) {
	f.t.Helper()
	r, err := f.store.Reader(f.t.Context(), reader)
	if err != nil {
		f.t.Fatal(err)
	}
	got := []string{}
	for _, l := range r.Links {
		got = append(got, l.Realm+"/"+l.ExternalID+" "+l.How)
	}
	if !slices.Equal(got, want) && len(got)+len(want) > 0 {
		f.t.Errorf("%s: %s is linked to %q, want %q", when, reader, got, want)
	}
}

func TestVerifiedAddressesMapReaders(t *testing.T) {
	t.Parallel()
	f := newMail(t)
	f.reader("ada", "ada@Example.com")
	f.says(f.conn, f.run, person("7", "ada@EXAMPLE.com", true), person("8", "bob@example.com", true))
	f.linked("before the switch", "ada")
	f.mapping(f.conn, true)
	f.linked("with the switch", "ada", "org/7 email")
	f.reader("bob", "bob@example.com")
	f.linked("a reader made later", "bob", "org/8 email")

	if out := f.says(f.conn, f.run, person("7", "ada@example.com", true), person("8", "bob@example.com", true)); out.Changed != 0 || out.Ended != 0 {
		t.Errorf("the same reading changed %+v", out)
	}
	if out := f.says(f.conn, f.run, person("7", "ada@example.com", true), person("9", "bob@example.com", true)); out.Made != 1 || out.Ended != 1 {
		t.Errorf("an address that went to another account: %+v", out)
	}
	f.linked("an address that went to another account", "bob", "org/9 email")
	f.says(f.conn, f.run, person("7", "ada@example.com", false))
	f.linked("no longer verified", "ada")
	f.linked("no longer listed", "bob")
	f.says(f.conn, f.run, person("7", "ada@example.com", true))
	r, err := f.store.Reader(t.Context(), "ada")
	if err != nil || !slices.Equal(r.Emails, []string{"ada@example.com"}) {
		t.Fatalf("%+v %v", r, err)
	}
	if _, err := f.store.RemoveReaderEmail(t.Context(), r.ID, "ada@EXAMPLE.com"); err != nil {
		t.Fatal(err)
	}
	f.linked("without the address", "ada")
	if _, err := f.store.AddReaderEmail(t.Context(), r.ID, "ada@example.com"); err != nil {
		t.Fatal(err)
	}
	f.linked("with it again", "ada", "org/7 email")
	f.mapping(f.conn, false)
	f.linked("switched off", "ada")
}

func TestLinksByEmailAndByHand(t *testing.T) {
	t.Parallel()
	f := newMail(t)
	ctx := context.Background()
	f.mapping(f.conn, true)
	r := f.reader("ada", "ada@example.com")
	f.says(f.conn, f.run, person("7", "ada@example.com", true))
	link := func() int64 { return pgtest.Scalar[int64](t, f.db, `SELECT principal_id FROM reader_principal`) }
	var in *store.InputError
	if err := f.store.UnlinkReader(ctx, r.ID, link()); !errors.As(err, &in) {
		t.Errorf("unlinking what an address links: %v", err)
	}
	by := store.PrincipalIn{Connection: f.conn.ID, Principal: connectors.Principal{Kind: connectors.User, ID: "7"}}
	if err := f.store.LinkReader(ctx, r.ID, by, store.LinkManual); err != nil {
		t.Fatal(err)
	}
	f.linked("linked by hand too", "ada", "org/7 manual")
	f.mapping(f.conn, false)
	f.linked("a link by hand outlives the switch", "ada", "org/7 manual")
	f.mapping(f.conn, true)
	if err := f.store.UnlinkReader(ctx, r.ID, link()); err != nil {
		t.Fatal(err)
	}
	f.linked("the address still links", "ada", "org/7 email")
	if err := f.store.DeleteReader(ctx, r.ID, deleting()); err != nil {
		t.Fatal(err)
	}
	if n := pgtest.Scalar[int](t, f.db, `SELECT count(*)::int FROM reader_principal`); n != 0 {
		t.Errorf("%d links of a reader who was deleted", n)
	}
}

func TestAmbiguousAddressesMapNobody(t *testing.T) {
	t.Parallel()
	f := newMail(t)
	f.mapping(f.conn, true)
	f.reader("ada", "ada@example.com")
	f.says(f.conn, f.run, person("7", "ada@example.com", true), person("8", "ada@example.com", true))
	f.linked("two accounts of the realm", "ada")
	f.says(f.conn, f.run, person("7", "ada@example.com", true), person("8", "ada@example.com", false))
	f.linked("one of them only claims it", "ada", "org/7 email")
	twin := f.reader("twin", "ada@example.com")
	f.linked("two readers", "ada")
	f.linked("two readers", "twin")
	if err := f.store.DeleteReader(t.Context(), twin.ID, deleting()); err != nil {
		t.Fatal(err)
	}
	f.linked("one again", "ada", "org/7 email")

	f.reader("bob", "bob@example.com")
	f.says(f.conn, f.run, person("7", "ada@example.com", true), person("7", "bob@example.com", true))
	f.linked("an account with the addresses of two", "ada")
	f.linked("an account with the addresses of two", "bob")

	f.says(f.conn, f.run, person("7", "ada@example.com", true))
	other, run := f.connect("other", "org")
	f.says(other, run, person("8", "ada@example.com", true))
	f.linked("another connection of the realm, that maps nobody, knows another account", "ada")
	far, farRun := f.connect("far", "elsewhere")
	f.says(other, run)
	f.says(far, farRun, person("8", "ada@example.com", true))
	f.linked("another realm", "ada", "org/7 email")
	f.mapping(far, true)
	f.linked("both realms", "ada", "elsewhere/8 email", "org/7 email")
}

func TestIdentitiesNameOneReader(t *testing.T) {
	t.Parallel()
	f := newMail(t)
	ctx := context.Background()
	ada, bob := f.reader("ada"), f.reader("bob")
	id := store.ReaderIdentity{Issuer: "https://login.example.com", Subject: "00u1"}
	for range 2 {
		if err := f.store.AddReaderIdentity(ctx, ada.ID, id); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.store.AddReaderIdentity(ctx, bob.ID, id); !errors.Is(err, store.ErrConflict) {
		t.Errorf("another reader's identity: %v", err)
	}
	if got, err := f.store.ReaderByIdentity(ctx, id.Issuer, id.Subject); err != nil || got != ada.ID {
		t.Errorf("%v %v", got, err)
	}
	for _, other := range []store.ReaderIdentity{
		{id.Issuer + "/", id.Subject}, {"https://LOGIN.example.com", id.Subject}, {id.Issuer, "00U1"}, {id.Issuer, ""}, {"", id.Subject}, {id.Issuer, id.Subject + "\x00"},
	} {
		if _, err := f.store.ReaderByIdentity(ctx, other.Issuer, other.Subject); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%+v: %v", other, err)
		}
	}
	if r, err := f.store.Reader(ctx, "ada"); err != nil || !slices.Equal(r.Identities, []store.ReaderIdentity{id}) {
		t.Errorf("%+v %v", r, err)
	}
	if err := f.store.RemoveReaderIdentity(ctx, bob.ID, id); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("removing another's: %v", err)
	}
	if err := f.store.RemoveReaderIdentity(ctx, ada.ID, id); err != nil {
		t.Fatal(err)
	}
	if _, err := f.store.ReaderByIdentity(ctx, id.Issuer, id.Subject); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("removed: %v", err)
	}
}

// TestDeletingAReaderRevokesItsKeys: at once, with an event for each.
func TestDeletingAReaderRevokesItsKeys(t *testing.T) {
	t.Parallel()
	f := newMail(t)
	r := f.reader("ada")
	_, secret, err := f.store.CreateKey(t.Context(), store.CreateKeyParams{Name: "app", ReaderID: &r.ID, AllConnections: true, Rights: []string{store.RightSearch}})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.store.DeleteReader(t.Context(), r.ID, deleting()); err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.store.Authenticate(t.Context(), secret); !errors.Is(err, store.ErrUnauthenticated) {
		t.Errorf("the key of a reader who was deleted: %v", err)
	}
	if n := pgtest.Scalar[int](t, f.db, `SELECT count(*)::int FROM audit_event WHERE action IN ('reader.delete', 'api_key.revoke')`); n != 2 {
		t.Errorf("%d events, want 2", n)
	}
	if err := f.store.DeleteReader(t.Context(), r.ID, deleting()); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("deleting nobody: %v", err)
	}
}
