package store_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tributary/connectors"
	"tributary/internal/audit"
	"tributary/internal/pgtest"
	"tributary/oauthflow"
	"tributary/oauthflow/refresh"
	"tributary/store"
)

// crossing is a store with a connection that has a grant, and a content run that a worker holds.
type crossing struct {
	*store.Store
	registration      oauthflow.Registration
	grant, connection uuid.UUID
	run               store.Run
}

// TestScheduleRunConnection: who moves a schedule and writes a run or a connection meets somebody who changes what the
// connection syncs, and neither is broken off: both take their locks in one order.
func TestScheduleRunConnection(t *testing.T) {
	t.Parallel()
	event := audit.Event{Actor: audit.Actor{Kind: audit.System, Name: "test"}, Action: "test.meet", Outcome: audit.OK}
	broken := `UPDATE connection SET state = 'needs_reauth', state_reason = 'broken'`
	for name, c := range map[string]struct {
		before string
		act    func(ctx context.Context, x crossing) error
	}{
		"a slice ends": {`UPDATE sync_run SET complete = true`, func(ctx context.Context, x crossing) error {
			err := x.ReleaseRun(ctx, x.run, store.Release{State: store.RunSucceeded}, func(ctx context.Context, tx pgx.Tx) error {
				return x.PostponeReconcileTx(ctx, tx, x.run)
			})
			if errors.Is(err, store.ErrFenced) { // the change came first
				return nil
			}
			return err
		}},
		"a refresh heals": {broken, func(ctx context.Context, x crossing) error {
			return x.Credentials().InRow(ctx, x.grant, func(tx refresh.Tx) error {
				return tx.Follow(ctx, refresh.Follow{State: oauthflow.GrantActive})
			})
		}},
		"a refresh brings fewer scopes": {`UPDATE connection SET needed_scopes = '{b}'`, func(ctx context.Context, x crossing) error {
			return x.Credentials().InRow(ctx, x.grant, func(tx refresh.Tx) error {
				if err := tx.SetScopes(ctx, []string{"a"}); err != nil {
					return err
				}
				return tx.Follow(ctx, refresh.Follow{State: oauthflow.GrantActive})
			})
		}},
		"a consent": {broken, func(ctx context.Context, x crossing) error {
			_, err := x.SaveConsent(ctx, oauthflow.Consent{
				Registration: x.registration.ID, Digest: x.registration.Digest, Kind: oauthflow.GrantCode, Renew: &x.grant, Scopes: []string{"b"}, Refreshable: true,
				By: oauthflow.By{Actor: event.Actor}, Seal: func(uuid.UUID, int, time.Time) ([]byte, error) { return []byte("y"), nil },
				Missing: func([]string) []string { return nil },
			})
			return err
		}},
		"the master key is found": {broken + `; UPDATE credential SET fail_class = 'master_key'`, func(ctx context.Context, x crossing) error {
			n, err := x.KeyFound(ctx)
			if err == nil && n != 1 {
				return errors.New("the connection was not found")
			}
			return err
		}},
		"an admin resumes": {`UPDATE connection SET state = 'paused'`, func(ctx context.Context, x crossing) error {
			return x.SetPaused(ctx, x.connection, false, event)
		}},
		"an admin disconnects": {"", func(ctx context.Context, x crossing) error {
			_, err := x.LeaveGrant(ctx, x.connection, event)
			return err
		}},
		"a timetable is set": {"", func(ctx context.Context, x crossing) error {
			return x.SetTimetable(ctx, x.connection, store.Timetable{TimeZone: "Europe/Berlin"}, event)
		}},
		"runs are asked for": {"", func(ctx context.Context, x crossing) error {
			_, err := x.RequestRuns(ctx, []store.RunRequest{
				{ConnectionID: x.connection, Lane: store.Permissions, Kind: store.RunPermissions, Cause: "test"},
				{ConnectionID: x.connection, Lane: store.Content, Kind: store.RunSnapshot, Cause: "test"},
			}, func(ctx context.Context, tx pgx.Tx, run store.Run) error {
				return x.PostponeTx(ctx, tx, run.ConnectionID, run.Lane)
			})
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cross(t, c.before, c.act)
		})
	}
}

// cross holds the schedule until a change of the connection and then act wait, and lets both go on.
func cross(t *testing.T, before string, act func(ctx context.Context, x crossing) error) {
	t.Helper()
	db, s, r, grant, connection := granted(t)
	x := crossing{Store: s, registration: r, grant: grant, connection: connection}
	run, _, err := s.RequestRun(t.Context(), store.RunRequest{ConnectionID: connection, Lane: store.Content, Kind: store.RunSnapshot, Cause: "test"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if x.run, err = s.ClaimRun(t.Context(), run.ID, "test", time.Minute); err != nil {
		t.Fatal(err)
	}
	if before != "" {
		db.MustExec(t, before)
	}
	changed, acted := make(chan error, 1), make(chan error, 1)
	err = pgx.BeginFunc(t.Context(), db.Pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(t.Context(), `SELECT FROM schedule ORDER BY lane FOR UPDATE`); err != nil {
			return err
		}
		go func() {
			_, _, err := s.ChangeConnection(t.Context(), connection, store.ConnectionChange{Selection: connectors.Selection{Exclude: []string{"x"}}}, nil)
			changed <- err
		}()
		waiting(t, db, 1)
		go func() { acted <- act(t.Context(), x) }()
		waiting(t, db, 2)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-changed; err != nil {
		t.Errorf("the change: %v", err)
	}
	if err := <-acted; err != nil {
		t.Errorf("the act: %v", err)
	}
	if n := pgtest.Scalar[int64](t, db, `SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()`); n != 0 {
		t.Errorf("%d deadlocks", n)
	}
}

// waiting returns when n sessions of the database wait for a lock.
func waiting(t *testing.T, db *pgtest.DB, n int) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		if pgtest.Scalar[int](t, db, `
			SELECT count(DISTINCT pid) FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE a.datname = current_database() AND NOT l.granted`) >= n {
			return
		}
	}
	t.Errorf("fewer than %d wait", n)
}
