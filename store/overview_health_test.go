package store_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"tributary/internal/audit"
	"tributary/internal/pgtest"
	"tributary/store"
)

// TestConnectionHealths: those that need somebody come first, then by name; pages continue each other, whatever the filter.
func TestConnectionHealths(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	conns := map[string]*source{}
	for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
		conns[name] = r.connect(t, name, "org")
	}
	conns["b"].list(t, store.DefaultSweepRules(), false, nil, "x", "y")
	run := conns["b"].start(t, store.Content)
	conns["b"].mustWrite(t, &store.Batch{Run: run, Quarantine: []store.QuarantineWrite{{ExternalID: "q", Path: "q", Reason: "broken"}}})
	r.db.MustExec(t, `UPDATE connection SET state = 'failed' WHERE name = 'e'`)
	r.db.MustExec(t, `UPDATE connection SET state = 'paused' WHERE name = 'a'`)
	r.db.MustExec(t, `INSERT INTO deletion_hold (connection_id, run_id, listing, reason, documents, total) VALUES ($1, gen_random_uuid(), 1, 'many', 7, 9)`, conns["c"].conn)
	r.db.MustExec(t, `INSERT INTO deletion_hold (connection_id, run_id, listing, reason, state, documents, total) VALUES ($1, gen_random_uuid(), 1, 'many', 'rejected', 7, 9)`, conns["f"].conn)
	for name, code := range map[string]string{"d": "run_failing", "f": "permissions_unknown"} {
		if err := r.store.RaiseNotice(t.Context(), nil, store.Notice{ConnectionID: &conns[name].conn, Code: code, Detail: "x"}); err != nil {
			t.Fatal(err)
		}
	}
	all := func(f store.ConnectionFilter) (names []string, list []store.ConnectionHealth) {
		t.Helper()
		for range 9 {
			p, err := r.store.ConnectionHealths(t.Context(), f)
			if err != nil || p.All != 6 || p.Needing != 3 {
				t.Fatalf("%+v: %v", p, err)
			}
			for _, k := range p.Items {
				names, list = append(names, k.Name), append(list, k)
			}
			if f.After = p.Next; p.Next == "" {
				return names, list
			}
		}
		t.Fatal("it has no end")
		return nil, nil
	}
	want := []string{"c", "d", "e", "a", "b", "f"}
	names, list := all(store.ConnectionFilter{})
	if !slices.Equal(names, want) {
		t.Errorf("in the order %v", names)
	}
	for limit := 1; limit < 6; limit++ {
		if names, _ := all(store.ConnectionFilter{Limit: limit}); !slices.Equal(names, want) {
			t.Errorf("by %d: %v", limit, names)
		}
	}
	if c, b := list[0], list[4]; !c.Needs || c.Held != 7 || c.RunID != nil || b.Needs || b.Quarantined != 1 || b.RunState != store.RunRunning || *b.RunID != run.ID || b.RunAt == nil || b.RunCounts.Quarantined != 1 {
		t.Errorf("c %+v, b %+v", c, b)
	}
	for name, tc := range map[string]struct {
		f    store.ConnectionFilter
		want []string
	}{
		"a part of the name":   {store.ConnectionFilter{Text: "B"}, []string{"b"}},
		"what needs somebody":  {store.ConnectionFilter{Needs: true, Limit: 2}, []string{"c", "d", "e"}},
		"a state":              {store.ConnectionFilter{State: store.StatePaused}, []string{"a"}},
		"the source":           {store.ConnectionFilter{Text: list[0].Source}, want},
		"a pattern is no text": {store.ConnectionFilter{Text: "%"}, nil},
	} {
		if got, _ := all(tc.f); !slices.Equal(got, tc.want) {
			t.Errorf("%s: %v", name, got)
		}
	}
	for _, after := range []string{"x", "2:a", "0:", "1:a\x00"} {
		var input *store.InputError
		if _, err := r.store.ConnectionHealths(t.Context(), store.ConnectionFilter{After: after}); !errors.As(err, &input) {
			t.Errorf("after %q: %v", after, err)
		}
	}
	totals, err := r.store.DocumentTotals(t.Context(), []uuid.UUID{conns["b"].conn, conns["c"].conn})
	if err != nil || totals[conns["b"].conn].Documents != 2 || len(totals) != 1 {
		t.Errorf("totals %v, %v", totals, err)
	}
	for name, want := range map[string]store.Attention{"b": {Quarantined: 1}, "c": {Held: 7}, "f": {}} {
		if got, err := r.store.Attention(t.Context(), conns[name].conn); err != nil || got != want {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

// TestProblemPages: a quarantine, its exclusions and held deletions are read page by page, each once.
func TestProblemPages(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	k, other := r.connect(t, "k", "org"), r.connect(t, "other", "org")
	for i, conn := range []uuid.UUID{k.conn, other.conn} {
		n := 7 - 5*i
		r.db.MustExec(t, `INSERT INTO quarantine (connection_id, external_id, path, source_revision, class, reason, attempts, run_id)
			SELECT $1, 'q' || n, '/q' || n, 'v1', 'item_skipped', 'broken', 3, gen_random_uuid() FROM generate_series(1, $2::int) n`, conn, n)
		r.db.MustExec(t, `INSERT INTO exclusion (connection_id, id_hash, external_id, path, why)
			SELECT $1, sha256(('x' || n)::bytea), 'x' || n, '/' || n % 2, 'excluded' FROM generate_series(1, $2::int) n`, conn, n)
		r.db.MustExec(t, `INSERT INTO deletion_hold (connection_id, run_id, listing, reason, state, documents, total, created_at)
			SELECT $1, gen_random_uuid(), 1, 'many', 'rejected', n, 9, clock() - make_interval(mins => n / 3) FROM generate_series(1, $2::int) n`, conn, n)
	}
	r.db.MustExec(t, `INSERT INTO exclusion (connection_id, id_hash, why) VALUES ($1, sha256('gone'), 'erased')`, k.conn)
	read := func(what string, page func(after string) ([]string, error)) {
		t.Helper()
		var got []string
		after := ""
		for range 9 {
			list, err := page(after)
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			if got = append(got, list...); len(list) == 0 {
				break
			}
			after = list[len(list)-1]
		}
		sorted := slices.Compact(slices.Sorted(slices.Values(got)))
		if len(got) != 7 || len(sorted) != 7 {
			t.Errorf("%s: %v", what, got)
		}
	}
	read("the quarantine", func(after string) ([]string, error) {
		list, err := r.store.QuarantinePage(t.Context(), k.conn, after, 3)
		var ids []string
		for _, i := range list {
			ids = append(ids, i.ExternalID)
		}
		return ids, err
	})
	last := store.ExcludedItem{}
	read("the exclusions", func(string) ([]string, error) {
		list, err := r.store.ExclusionsPage(t.Context(), k.conn, last, 2)
		var ids []string
		for _, i := range list {
			last, ids = i, append(ids, i.ExternalID)
		}
		return ids, err
	})
	read("held deletions", func(after string) ([]string, error) {
		f := store.HoldFilter{Connection: k.conn, Limit: 2}
		if after != "" {
			f.Before = uuid.MustParse(after)
		}
		list, err := r.store.Holds(t.Context(), f)
		var ids []string
		for _, h := range list {
			ids = append(ids, h.ID.String())
		}
		return ids, err
	})
	event := audit.Event{Actor: audit.Actor{Kind: audit.Account, Name: "ada"}, Action: "quarantine.retry", Target: audit.Target{Kind: "connection", ID: k.conn.String()}, Outcome: audit.OK, Detail: map[string]string{"name": "k"}}
	n, err := r.store.RetryAllQuarantined(t.Context(), k.conn, event)
	if waits := pgtest.Scalar[int](t, r.db, `SELECT count(*)::int FROM quarantine WHERE retry_at IS NOT NULL`); err != nil || n != 7 || waits != 7 || len(event.Detail) != 1 {
		t.Errorf("%d are tried again, %d wait for it, %v", n, waits, err)
	}
	if items := pgtest.Scalar[string](t, r.db, `SELECT detail->>'items' FROM audit_event WHERE action = 'quarantine.retry'`); items != "7" {
		t.Errorf("recorded: %q", items)
	}
}

// TestConnectionCreator: who made it is who filled in the form or consented, of a name that was used before too.
func TestConnectionCreator(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.db.SetClock(t, time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC))
	record := func(who, action, kind, target, name string) {
		r.db.MustExec(t, `INSERT INTO audit_event (actor_kind, actor, authenticated, ip, action, target_kind, target, outcome, detail)
			VALUES ('account', $1, true, '', $2, $3, $4, 'ok', jsonb_build_object('connection', $5::text))`, who, action, kind, target, name)
	}
	record("before", "oauth.consent", "grant", "g", "drive")
	r.db.Advance(t, time.Hour)
	made := map[string]*source{}
	for _, name := range []string{"docs", "drive", "silent"} {
		made[name] = r.connect(t, name, "org")
	}
	record("ada", "connection.create", "connection", made["docs"].conn.String(), "")
	record("eve", "connection.sync", "connection", made["silent"].conn.String(), "silent")
	record("bob", "oauth.consent", "grant", "g", "drive")
	for name, want := range map[string]string{"docs": "ada", "drive": "bob", "silent": ""} {
		if got, err := r.store.ConnectionCreator(t.Context(), made[name].conn); err != nil || got != want {
			t.Errorf("%s was made by %q, %v", name, got, err)
		}
	}
	if _, err := r.store.ErasureOf(t.Context(), made["docs"].conn); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the erasure of what was not erased: %v", err)
	}
	if err := r.store.DeleteConnection(t.Context(), made["docs"].conn); err != nil {
		t.Fatal(err)
	}
	e, err := r.store.ErasureOf(t.Context(), made["docs"].conn)
	if err != nil || e.State != store.EraseDone || e.Connection != "docs" || len(e.Receipt) == 0 {
		t.Errorf("the erasure: %+v, %v", e, err)
	}
}
