package store_test

import (
	"context"
	"slices"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tributary/connectors"
	"tributary/internal/audit"
	"tributary/internal/pgtest"
	"tributary/store"
)

// changedRows is what the changes of TestWBChangesWithTheirEvents touch.
const changedRows = `SELECT md5(concat(
	(SELECT string_agg(x::text, '|' ORDER BY x::text) FROM connection x), (SELECT string_agg(x::text, '|' ORDER BY x::text) FROM schedule x),
	(SELECT string_agg(x::text, '|' ORDER BY x::text) FROM reader x), (SELECT string_agg(x::text, '|' ORDER BY x::text) FROM reader_principal x),
	(SELECT string_agg(x::text, '|' ORDER BY x::text) FROM reader_identity x), (SELECT string_agg(x::text, '|' ORDER BY x::text) FROM reader_email x),
	(SELECT string_agg(x::text, '|' ORDER BY x::text) FROM api_key x), (SELECT string_agg(x::text, '|' ORDER BY x::text) FROM embedding_profile x)))`

// TestWBChangesWithTheirEvents: what the command line changes stands in the database with its event, or not at all.
func TestWBChangesWithTheirEvents(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	s := openStore(t, db)
	conn, err := s.CreateConnection(t.Context(), store.NewConnection{Name: "docs", Source: "test", Realm: "r"})
	if err != nil {
		t.Fatal(err)
	}
	reader, err := s.CreateReader(t.Context(), "ada", store.Person)
	if err != nil {
		t.Fatal(err)
	}
	principal := store.PrincipalIn{Connection: conn.ID, Principal: connectors.Principal{Kind: connectors.User, ID: "7"}}
	link := func() int64 {
		return pgtest.Scalar[int64](t, db, `SELECT coalesce(max(principal_id), 0) FROM reader_principal`)
	}
	db.MustExec(t, `CREATE FUNCTION cut() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.action = 'cut.here' THEN RAISE 'cut'; END IF; RETURN NEW; END $$`)
	db.MustExec(t, `GRANT EXECUTE ON FUNCTION cut() TO PUBLIC`)
	db.MustExec(t, `CREATE TRIGGER cut BEFORE INSERT ON audit_event FOR EACH ROW EXECUTE FUNCTION cut()`)
	for _, c := range []struct {
		name   string
		change func(ctx context.Context, e audit.Event) error
	}{
		{"connection.create", func(ctx context.Context, e audit.Event) error {
			_, err := s.CreateConnection(ctx, store.NewConnection{Name: "other", Source: "test"}, e)
			return err
		}},
		{"connection.pause", func(ctx context.Context, e audit.Event) error { return s.SetPaused(ctx, conn.ID, true, e) }},
		{"connection.resume", func(ctx context.Context, e audit.Event) error { return s.SetPaused(ctx, conn.ID, false, e) }},
		{"reader.create", func(ctx context.Context, e audit.Event) error {
			_, err := s.CreateReader(ctx, "bob", store.Person, e)
			return err
		}},
		{"reader.link", func(ctx context.Context, e audit.Event) error {
			return s.LinkReader(ctx, reader.ID, principal, store.LinkManual, e)
		}},
		{"reader.disable", func(ctx context.Context, e audit.Event) error { return s.DisableReader(ctx, reader.ID, e) }},
		{"reader.enable", func(ctx context.Context, e audit.Event) error { return s.EnableReader(ctx, reader.ID, e) }},
		{"reader.unlink", func(ctx context.Context, e audit.Event) error { return s.UnlinkReader(ctx, reader.ID, link(), e) }},
		{"reader.identity_add", func(ctx context.Context, e audit.Event) error {
			return s.AddReaderIdentity(ctx, reader.ID, store.ReaderIdentity{Issuer: "i", Subject: "s"}, e)
		}},
		{"reader.identity_remove", func(ctx context.Context, e audit.Event) error {
			return s.RemoveReaderIdentity(ctx, reader.ID, store.ReaderIdentity{Issuer: "i", Subject: "s"}, e)
		}},
		{"reader.email_add", func(ctx context.Context, e audit.Event) error {
			_, err := s.AddReaderEmail(ctx, reader.ID, "ada@example.com", e)
			return err
		}},
		{"reader.email_remove", func(ctx context.Context, e audit.Event) error {
			_, err := s.RemoveReaderEmail(ctx, reader.ID, "ada@example.com", e)
			return err
		}},
		{"connection.map_email", func(ctx context.Context, e audit.Event) error {
			_, err := s.SetMapEmail(ctx, conn.ID, true, e)
			return err
		}},
		{"reader.delete", func(ctx context.Context, e audit.Event) error { return s.DeleteReader(ctx, reader.ID, e) }},
		{"api_key.create", func(ctx context.Context, e audit.Event) error {
			_, _, err := s.CreateKey(ctx, store.CreateKeyParams{Name: "k", AllConnections: true, Rights: []string{store.RightSearch}}, e)
			return err
		}},
		{"api_key.revoke", func(ctx context.Context, e audit.Event) error { return s.RevokeKey(ctx, "k", e) }},
		{"profile.create", func(ctx context.Context, e audit.Event) error {
			_, err := s.CreateProfile(ctx, store.Profile{Name: "p", Kind: store.ProfileHashing, Model: "m", Dimensions: 8}, e)
			return err
		}},
		{"profile.activate", func(ctx context.Context, e audit.Event) error {
			if err := s.ActivateProfile(ctx, "p", true, e); err != nil {
				return err
			}
			_, err := db.Owner.Exec(ctx, `UPDATE embedding_profile SET error = 'activated'`) // it was active: the fingerprint shall move
			return err
		}},
		{"connection.change", func(ctx context.Context, e audit.Event) error {
			sel := connectors.Selection{Exclude: []string{"drafts/**"}}
			_, _, err := s.ChangeConnection(ctx, conn.ID, store.ConnectionChange{Selection: sel}, func(context.Context, pgx.Tx, store.Run) error { return nil }, e)
			return err
		}},
		{"connection.delete", func(ctx context.Context, e audit.Event) error { return s.DeleteConnection(ctx, conn.ID, e) }},
	} {
		e := audit.Event{Actor: audit.Actor{Kind: audit.CLI, Name: "ada@host"}, Action: "cut.here", Target: audit.Target{Kind: "x"}, Outcome: audit.OK}
		if slices.Contains([]string{"api_key.revoke", "reader.identity_remove", "reader.disable", "reader.enable"}, c.name) { // they make no id
			e.Target.ID = uuid.NewString()
		}
		before := pgtest.Scalar[string](t, db, changedRows)
		if err := c.change(t.Context(), e); err == nil {
			t.Errorf("%s: done without its event", c.name)
		}
		if pgtest.Scalar[string](t, db, changedRows) != before {
			t.Errorf("%s: it stands there without its event", c.name)
		}
		e.Action = c.name
		if err := c.change(t.Context(), e); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if pgtest.Scalar[string](t, db, changedRows) == before {
			t.Errorf("%s: nothing was changed", c.name)
		}
		if n := pgtest.Scalar[int](t, db, `SELECT count(*)::int FROM audit_event WHERE action = $1 AND target <> ''`, c.name); n != 1 {
			t.Errorf("%s: %d events that name what was changed", c.name, n)
		}
	}
}
