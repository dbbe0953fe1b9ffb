package jobs

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/riverqueue/river"

	"tributary/connectors"
	"tributary/store"
)

// Job arguments outlive upgrades: neighbouring versions read each other's.
func TestJobArgsForm(t *testing.T) {
	t.Parallel()
	id := uuid.MustParse("7f1e3c0a-5a0f-4f0e-9c55-0d3f6a1b2c3d")
	for _, c := range []struct {
		args       river.JobArgs
		kind, want string
	}{
		{TickArgs{}, "tick", `{}`},
		{SliceArgs{RunID: id}, "sync_slice", `{"run_id":"7f1e3c0a-5a0f-4f0e-9c55-0d3f6a1b2c3d"}`},
		{EmbedArgs{ProfileID: 3}, "embed", `{"profile_id":3}`},
		{RefreshArgs{}, "refresh_ahead", `{}`},
	} {
		got, err := json.Marshal(c.args)
		if err != nil || string(got) != c.want || c.args.Kind() != c.kind {
			t.Errorf("%T is %s %s (%v), want %s %s", c.args, c.args.Kind(), got, err, c.kind, c.want)
		}
	}
}

func TestClassToOutcome(t *testing.T) {
	t.Parallel()
	r := &Runner{}
	for _, c := range []struct {
		class connectors.Class
		run   store.RunState
		conn  store.ConnectionState
		count bool
	}{
		{connectors.Unknown, store.RunQueued, "", true},
		{connectors.Transient, store.RunQueued, "", true},
		{connectors.RateLimited, store.RunQueued, store.StateThrottled, false},
		{connectors.GrantLost, store.RunFailed, store.StateNeedsReauth, false},
		{connectors.ClientRejected, store.RunFailed, store.StateConfigError, false},
		{connectors.ScopeDenied, store.RunFailed, store.StateDegraded, false},
		{connectors.CursorExpired, store.RunSuperseded, "", false},
		{connectors.Invalid, store.RunFailed, store.StateConfigError, false},
		{connectors.Bug, store.RunFailed, store.StateFailed, false},
	} {
		err := &connectors.Error{Op: "listing", Class: c.class, Err: errors.New("no")}
		got := r.release(store.Run{}, sliceEnd{err: err})
		if got.State != c.run || got.Connection != c.conn || got.CountAttempt != c.count || (got.State == store.RunQueued) != (got.RetryIn > 0) {
			t.Errorf("%s: %+v", c.class, got)
		}
	}
	last := r.release(store.Run{Attempt: 7}, sliceEnd{err: &connectors.Error{Class: connectors.Transient, Err: errors.New("no")}})
	if last.State != store.RunFailed {
		t.Errorf("the eighth failure without progress: %s", last.State)
	}
	moved := r.release(store.Run{Attempt: 7}, sliceEnd{err: &connectors.Error{Class: connectors.Transient, Err: errors.New("no")}, progress: true})
	if moved.State != store.RunQueued || moved.CountAttempt {
		t.Errorf("a failure after progress: %+v", moved)
	}
}

func TestRetryAfterIsHonouredAndCapped(t *testing.T) {
	t.Parallel()
	err := &connectors.Error{Class: connectors.RateLimited, RetryAfter: 90 * time.Second}
	if got := waitFor(err, 0); got != 90*time.Second {
		t.Errorf("Retry-After of 90 s: %s", got)
	}
	err.RetryAfter = 40 * 24 * time.Hour
	if got := waitFor(err, 0); got != maxRetryAfter {
		t.Errorf("Retry-After of 40 days: %s", got)
	}
	for attempt := range 40 {
		if got := waitFor(errors.New("no"), attempt); got <= 0 || got > 2*longest {
			t.Errorf("attempt %d waits %s", attempt, got)
		}
	}
}
