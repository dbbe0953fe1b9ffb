package store_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"tributary/connectors"
	"tributary/internal/pgtest"
	"tributary/store"
)

// TestDecisionsBesideErasures: admins approve, reject and purge what a listing
// held, while listings go on, documents are erased, and the connection is. They
// wait for each other in no circle, and nothing is left.
func TestDecisionsBesideErasures(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for round := range 8 {
		s := r.connect(t, fmt.Sprintf("c%d", round), "realm")
		var ids []string
		for i := range 120 {
			ids = append(ids, fmt.Sprintf("doc-%03d", i))
		}
		rules := store.DefaultSweepRules()
		s.list(t, rules, false, nil, ids...)
		one := int64(1)
		change := store.ConnectionChange{Selection: connectors.Selection{Exclude: []string{"x"}}, Narrowed: true}
		if round%2 == 1 {
			change.Confirmed = &one
		}
		if _, _, err := r.store.ChangeConnection(t.Context(), s.conn, change, nil); err != nil {
			t.Fatal(err)
		}
		s.list(t, rules, false, nil, ids[60:]...)
		hold := s.open(t)
		err := together(6, func(i int) error { return decideBeside(t, s, hold.ID, ids, i) })
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		for _, table := range []string{"document", "deletion_hold", "connection"} {
			column := map[string]string{"connection": "id"}[table]
			if column == "" {
				column = "connection_id"
			}
			if n := pgtest.Scalar[int](t, r.db, `SELECT count(*) FROM `+table+` WHERE `+column+` = $1`, s.conn); n != 0 {
				t.Errorf("round %d: %d rows of %s are left", round, n, table)
			}
		}
	}
	if n := pgtest.Scalar[int64](t, r.db, `SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()`); n != 0 {
		t.Errorf("%d deadlocks", n)
	}
	if n := pgtest.Scalar[int64](t, r.db, `SELECT count(*) FROM held_document`); n != 0 {
		t.Errorf("%d held documents are left", n)
	}
	r.wantWhole(t)
}

// decideBeside is one of those who act on a hold and its connection.
func decideBeside(t *testing.T, s *source, hold uuid.UUID, ids []string, actor int) error {
	ctx := t.Context()
	var err error
	switch actor {
	case 0:
		err = s.store.DeleteConnection(ctx, s.conn)
	case 1, 2:
		if _, err = s.store.ApproveHold(ctx, hold, "ann"); err == nil || errors.Is(err, store.ErrConflict) {
			_, err = s.store.PurgeApproved(ctx, hold)
		}
	case 3:
		_, err = s.store.RejectHold(ctx, hold, "bob")
	case 4:
		var e store.Erasure
		if e, err = s.store.RequestErasure(ctx, store.EraseRequest{Connection: s.conn, Scope: store.EraseDocument, Documents: ids[40:80]}, "ann"); err == nil {
			_, err = s.store.Erase(ctx, e.ID, store.EraseOptions{})
		}
	default:
		for n := range 4 {
			if err = s.sweepOnce(ctx, ids[50+n:]); err != nil {
				break
			}
		}
	}
	if err != nil && !gone(err) {
		return fmt.Errorf("actor %d: %w", actor, err)
	}
	return nil
}

// sweepOnce lists ids and sweeps what is absent, until it is interrupted.
func (s *source) sweepOnce(ctx context.Context, ids []string) error {
	run, _, err := s.store.RequestRun(ctx, store.RunRequest{ConnectionID: s.conn, Lane: store.Content, Kind: store.RunSnapshot, Cause: "test"}, nil)
	if err != nil {
		return err
	}
	if run, err = s.store.ClaimRun(ctx, run.ID, "test", time.Minute); err != nil {
		return err
	}
	known, err := s.store.KnownDocuments(ctx, s.conn, ids)
	if err != nil {
		return err
	}
	b := &store.Batch{Run: run, Page: &store.PageEnd{Next: connectors.Cursor(`{"n":1}`), Complete: true}}
	for _, k := range known {
		b.Seen = append(b.Seen, k.ID)
	}
	if _, err = s.write(ctx, b); err != nil {
		return errors.Join(err, s.store.ReleaseRun(ctx, run, store.Release{State: store.RunFailed, Err: err}, nil))
	}
	if _, err = s.store.SweepListing(ctx, run, store.DefaultSweepRules()); err != nil {
		return err
	}
	return s.store.ReleaseRun(ctx, run, store.Release{State: store.RunSucceeded}, nil)
}
