package store_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"tributary/internal/audit"
	"tributary/internal/pgtest"
	"tributary/store"
)

func event(action string, actor audit.Actor, target audit.Target) audit.Event {
	return audit.Event{Actor: actor, Action: action, Target: target, Outcome: audit.OK, Detail: map[string]string{"n": "1"}}
}

func TestAuditEventsAreFiltered(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	db.SetClock(t, clockStart)
	st := openStore(t, db)
	ada := audit.Actor{Kind: audit.CLI, Name: "ada@host"}
	bob := audit.Actor{Kind: audit.Account, Name: "bob", Authenticated: true, IP: "192.0.2.1"}
	for _, e := range []audit.Event{
		event("oauth.consent", bob, audit.Target{Kind: "grant", ID: "g1"}),
		event("oauth.refresh", bob, audit.Target{Kind: "grant", ID: "g2"}),
		event("oauthx.other", ada, audit.Target{Kind: "reader", ID: "g1"}),
		event("key.rotate", ada, audit.Target{Kind: "key", ID: "0011"}),
	} {
		if err := st.Record(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		db.Advance(t, time.Minute)
	}
	for name, c := range map[string]struct {
		filter store.AuditFilter
		want   string
	}{
		"all, newest first":       {store.AuditFilter{}, "[key.rotate oauthx.other oauth.refresh oauth.consent]"},
		"area":                    {store.AuditFilter{Action: "oauth"}, "[oauth.refresh oauth.consent]"},
		"area with a dot":         {store.AuditFilter{Action: "oauth."}, "[oauth.refresh oauth.consent]"},
		"action":                  {store.AuditFilter{Action: "oauth.consent"}, "[oauth.consent]"},
		"not a pattern":           {store.AuditFilter{Action: "oaut%"}, "[]"},
		"actor":                   {store.AuditFilter{Actor: "ada@host"}, "[key.rotate oauthx.other]"},
		"target":                  {store.AuditFilter{Target: "g1"}, "[oauthx.other oauth.consent]"},
		"target with kind":        {store.AuditFilter{Target: "grant:g1"}, "[oauth.consent]"},
		"since":                   {store.AuditFilter{Since: clockStart.Add(2 * time.Minute)}, "[key.rotate oauthx.other]"},
		"until is exclusive":      {store.AuditFilter{Until: clockStart.Add(time.Minute)}, "[oauth.consent]"},
		"limit":                   {store.AuditFilter{Limit: 1}, "[key.rotate]"},
		"page":                    {store.AuditFilter{Limit: 2, Before: 3}, "[oauth.refresh oauth.consent]"},
		"everything together":     {store.AuditFilter{Action: "oauth", Actor: "bob", Target: "grant:g2", Since: clockStart}, "[oauth.refresh]"},
		"nothing that is not one": {store.AuditFilter{Actor: "' OR true --"}, "[]"},
	} {
		list, err := st.AuditEvents(t.Context(), c.filter)
		if err != nil {
			t.Fatal(err)
		}
		got := []string{}
		for _, e := range list {
			got = append(got, e.Action)
		}
		if fmt.Sprint(got) != c.want {
			t.Errorf("%s: got %v, want %s", name, got, c.want)
		}
	}
	if list, err := st.AuditEvents(t.Context(), store.AuditFilter{Action: "oauth.consent"}); err != nil || len(list) != 1 ||
		list[0].Actor != bob || list[0].Target.ID != "g1" || list[0].Detail["n"] != "1" || !list[0].At.Equal(clockStart) {
		t.Errorf("got %+v %v", list, err)
	}
	if _, err := st.AuditEvents(t.Context(), store.AuditFilter{Limit: 1001}); err == nil {
		t.Error("an unbounded list was given")
	}
}

// TestWB: WB-13, the privilege snapshot.
func TestWB(t *testing.T) {
	t.Parallel()
	t.Run("WB-13 the audit log is append-only for the service", func(t *testing.T) {
		t.Parallel()
		db := pgtest.New(t)
		st := openStore(t, db)
		if err := st.Record(t.Context(), event("key.rotate", audit.Actor{Kind: audit.CLI, Name: "x"}, audit.Target{})); err != nil {
			t.Fatal(err)
		}
		for _, sql := range []string{
			`UPDATE audit_event SET actor = 'y'`, `DELETE FROM audit_event`, `TRUNCATE audit_event`,
			`ALTER TABLE audit_event DISABLE TRIGGER ALL`, `DROP TRIGGER audit_event_is_final ON audit_event`,
			`INSERT INTO audit_event (id, actor_kind, actor, authenticated, action, outcome) OVERRIDING SYSTEM VALUE VALUES (1, 'cli', 'x', true, 'a.b', 'ok') ON CONFLICT (id) DO UPDATE SET actor = 'y'`,
		} {
			if _, err := db.Pool.Exec(context.Background(), sql); sqlState(err) != "42501" {
				t.Errorf("%s: %v, want insufficient_privilege", sql, err)
			}
		}
		// Nor does it choose the number or the time of an event, or use numbers up.
		const values = ` (actor_kind, actor, authenticated, action, outcome`
		for _, sql := range []string{
			`INSERT INTO audit_event` + values + `, id) OVERRIDING SYSTEM VALUE VALUES ('cli', 'x', true, 'a.b', 'ok', 7)`,
			`INSERT INTO audit_event` + values + `, id) VALUES ('cli', 'x', true, 'a.b', 'ok', DEFAULT)`,
			`INSERT INTO audit_event` + values + `, at) VALUES ('cli', 'x', true, 'a.b', 'ok', '2001-01-01')`,
			`COPY audit_event (id, at, actor_kind, actor, authenticated, action, outcome) FROM STDIN`,
			`SELECT setval('audit_event_id_seq', 1000)`, `SELECT nextval('audit_event_id_seq')`,
		} {
			if _, err := db.Pool.Exec(context.Background(), sql); sqlState(err) != "42501" {
				t.Errorf("%s: %v, want insufficient_privilege", sql, err)
			}
		}
		// The owner of the tables is held by the trigger, so that a mistake of a migration changes nothing.
		for _, sql := range []string{`UPDATE audit_event SET actor = 'y'`, `DELETE FROM audit_event`, `TRUNCATE audit_event`} {
			if _, err := db.Owner.Exec(context.Background(), sql); sqlState(err) != "42501" {
				t.Errorf("as owner: %s: %v, want it refused by the trigger", sql, err)
			}
		}
	})
	t.Run("WB-13 the time of an event is the database's", func(t *testing.T) {
		t.Parallel()
		db := pgtest.New(t)
		for _, sql := range []string{ // as the owner too, whom no privilege holds
			`INSERT INTO audit_event (actor_kind, actor, authenticated, action, outcome, at) VALUES ('cli', 'x', true, 'a.b', 'ok', '2001-01-01')`,
			`CREATE FUNCTION pg_temp.clock() RETURNS timestamptz LANGUAGE sql AS $$ SELECT timestamptz '2001-01-01' $$; SET search_path = pg_temp, tributary;
			 INSERT INTO tributary.audit_event (actor_kind, actor, authenticated, action, outcome) VALUES ('cli', 'y', true, 'a.b', 'ok')`,
		} {
			if _, err := db.Owner.Exec(context.Background(), sql); err != nil {
				t.Fatal(err)
			}
		}
		if n := pgtest.Scalar[int](t, db, `SELECT count(*)::int FROM tributary.audit_event WHERE at > '2020-01-01'`); n != 2 {
			t.Errorf("%d of 2 events are of their time", n)
		}
	})
	t.Run("WB-13 readers have no rights on credential tables", func(t *testing.T) {
		t.Parallel()
		db := pgtest.New(t)
		for _, role := range []string{"_reader", "_search_definer"} {
			held := list(t, db, `
				SELECT c.relname::text FROM pg_class c
				WHERE c.relnamespace = 'tributary'::regnamespace
				  AND c.relname IN ('account', 'web_session', 'setup_token', 'seal_check', 'client_registration', 'oauth_grant', 'credential',
				    'credential_spare', 'refresh_attempt', 'oauth_flow', 'connect_ticket', 'account_revoking', 'outbound_limit', 'audit_event')
				  AND (has_table_privilege($1, c.oid, 'SELECT, INSERT, UPDATE, DELETE') OR has_any_column_privilege($1, c.oid, 'SELECT, INSERT, UPDATE'))`,
				pgtest.RolePrefix()+role)
			if len(held) > 0 {
				t.Errorf("%s has rights on %v", role, held)
			}
		}
	})
}
