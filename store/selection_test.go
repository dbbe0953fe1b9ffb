package store_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tributary/connectors"
	"tributary/store"
)

// TestChangeConnection: who was listing stops, the next listing is a snapshot of the new selection, and what was taken out hides.
func TestChangeConnection(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.connect(t, "c", "realm")
	ctx := t.Context()
	ids := []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"}
	s.list(t, store.DefaultSweepRules(), false, nil, ids...)
	old := s.start(t, store.Content)
	if err := r.store.SetFeedStart(ctx, old, connectors.Cursor(`{"at":1}`)); err != nil {
		t.Fatal(err)
	}
	r.db.MustExec(t, `UPDATE connection SET feed_cursor = '{"at":0}'`)
	permissions := s.start(t, store.Permissions)
	enqueued := 0
	shown := int64(11)
	change := store.ConnectionChange{
		Settings: map[string]string{"deep": "true"}, Selection: connectors.Selection{Containers: []string{"one"}}, Narrowed: true, Confirmed: &shown,
	}
	then := func(_ context.Context, _ pgx.Tx, run store.Run) error {
		enqueued++
		if run.Kind != store.RunSnapshot || run.ApproveDeletions || !run.Cursor.IsZero() || !run.FeedStart.IsZero() || run.Listing == old.Listing {
			t.Errorf("the next run is %+v", run)
		}
		return nil
	}
	c, changed, err := r.store.ChangeConnection(ctx, s.conn, change, then)
	if err != nil || !changed || enqueued != 1 {
		t.Fatalf("changed %t, %d runs: %v", changed, enqueued, err)
	}
	if !slices.Equal(c.Selection.Containers, []string{"one"}) || c.Settings["deep"] != "true" || !c.FeedCursor.IsZero() || c.SelectionVersion != 2 {
		t.Errorf("the connection is %+v", c)
	}
	if err := r.store.SetFeedStart(ctx, old, connectors.Cursor(`{"at":2}`)); !errors.Is(err, store.ErrFenced) {
		t.Errorf("the old run goes on: %v", err)
	}
	if err := r.store.Heartbeat(ctx, permissions.ID, permissions.Fence); err != nil {
		t.Errorf("the run of permissions ended: %v", err)
	}
	if ended, err := r.store.Run(ctx, old.ID); err != nil || ended.State != store.RunSuperseded || ended.FinishedAt == nil {
		t.Errorf("the old run is %+v, %v", ended, err)
	}

	// The run of the change is the live one; it hides eleven of twelve documents without a further question.
	if got := s.list(t, store.DefaultSweepRules(), false, nil, "a"); got.Hidden != 11 || got.Held != 0 {
		t.Errorf("swept %+v", got)
	}

	if _, changed, err = r.store.ChangeConnection(ctx, s.conn, change, then); err != nil || changed || enqueued != 1 {
		t.Errorf("the same again: changed %t, %d runs: %v", changed, enqueued, err)
	}
}

// TestChangeConnectionStates: a run is made where the connection works, and nothing ends a pause or a lost grant.
func TestChangeConnectionStates(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for state, want := range map[store.ConnectionState]struct {
		after store.ConnectionState
		runs  bool
	}{
		store.StateActive: {store.StateActive, true}, store.StateDegraded: {store.StateActive, true}, store.StateConfigError: {store.StateActive, true},
		store.StateFailed: {store.StateActive, true}, store.StateThrottled: {store.StateThrottled, true},
		store.StatePaused: {store.StatePaused, false}, store.StateNeedsReauth: {store.StateNeedsReauth, false},
	} {
		s := r.connect(t, "c-"+string(state[:5]), "realm-"+string(state))
		run := s.start(t, store.Content)
		if err := r.store.ReleaseRun(t.Context(), run, store.Release{State: store.RunQueued, Connection: state, RetryIn: time.Minute}, nil); err != nil {
			t.Fatal(err)
		}
		ran := false
		c, changed, err := r.store.ChangeConnection(t.Context(), s.conn, store.ConnectionChange{Selection: connectors.Selection{Include: []string{"**/*.md"}}},
			func(_ context.Context, _ pgx.Tx, next store.Run) error {
				ran = true
				if next.ID == run.ID || next.ApproveDeletions {
					t.Errorf("%s: the next run is %+v", state, next)
				}
				return nil
			})
		if err != nil || !changed || ran != want.runs || c.State != want.after {
			t.Errorf("%s: changed %t, ran %t, state %s: %v", state, changed, ran, c.State, err)
		}
		if old, err := r.store.Run(t.Context(), run.ID); err != nil || old.State != store.RunSuperseded {
			t.Errorf("%s: the queued run is %s: %v", state, old.State, err)
		}
	}
	s := r.connect(t, "stale", "realm-stale")
	stale := store.ConnectionChange{Selection: connectors.Selection{Include: []string{"late"}}, From: 1000}
	if _, changed, err := r.store.ChangeConnection(t.Context(), s.conn, stale, nil); !errors.Is(err, store.ErrConflict) || changed {
		t.Errorf("a change that was made from another version: %v, %v", changed, err)
	}
	if _, _, err := r.store.ChangeConnection(t.Context(), [16]byte{1}, store.ConnectionChange{}, nil); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("no connection: %v", err)
	}
}

// TestChangeConnectionNeedsScopes: what the grant does not allow is named until it is granted, or no longer needed.
func TestChangeConnectionNeedsScopes(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.connect(t, "c", "realm")
	registration, grant := uuid.New(), uuid.New()
	r.db.MustExec(t, `INSERT INTO client_registration (id, name, provider, profile, endpoints_digest, redirect_uri, state) VALUES ($1, 'r', 'test', $2, 'd', '', 'active')`,
		registration, `{"scopes": {"satisfied": {"files.read": ["files"]}}}`)
	r.db.MustExec(t, `INSERT INTO oauth_grant (id, registration_id, kind, scopes, scopes_stated) VALUES ($1, $2, 'authorization_code', '{files}', true)`, grant, registration)
	r.db.MustExec(t, `UPDATE connection SET grant_id = $2 WHERE id = $1`, s.conn, grant)
	for i, step := range []struct {
		needed []string
		state  store.ConnectionState
		says   string
	}{
		{[]string{"files.read"}, store.StateActive, ""},
		{[]string{"files.read", "groups.read", "mail.read"}, store.StateDegraded, "permissions are missing: groups.read, mail.read; grant again"},
		{[]string{"files.read", "groups.read"}, store.StateDegraded, "permissions are missing: groups.read; grant again"},
		{nil, store.StateActive, ""},
		{[]string{"mail.read"}, store.StateDegraded, "permissions are missing: mail.read; remove the access of the application at https://x/apps first, then grant again"},
	} {
		if i == 4 {
			r.db.MustExec(t, `UPDATE client_registration SET profile = $1`, `{"grant_per": "account", "revocation": {"style": "none", "manage_url": "https://x/apps"}}`)
		}
		c, changed, err := r.store.ChangeConnection(t.Context(), s.conn, store.ConnectionChange{NeededScopes: step.needed}, nil)
		if err != nil || !changed || c.State != step.state || c.StateReason != step.says || !slices.Equal(c.NeededScopes, step.needed) {
			t.Errorf("step %d: changed %t, %s %q: %v", i, changed, c.State, c.StateReason, err)
		}
	}
}
