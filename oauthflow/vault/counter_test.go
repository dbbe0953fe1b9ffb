package vault_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"tributary/internal/audit"
	"tributary/internal/seal"
	"tributary/oauthflow/vault"
)

// echo is a vault without keys.
type echo struct{}

func (echo) Seal(_ seal.Context, b []byte) ([]byte, error) { return b, nil }

func (echo) Unseal(_ seal.Context, b []byte) ([]byte, error) {
	if len(b) == 0 {
		return nil, seal.ErrRefused
	}
	return b, nil
}

// recorder keeps events; it fails as often as told.
type recorder struct {
	events chan audit.Event
	fail   int
}

func (r *recorder) Record(_ context.Context, e audit.Event) error {
	if r.fail > 0 {
		r.fail--
		return errors.New("the database is away")
	}
	r.events <- e
	return nil
}

func next(t *testing.T, r *recorder) audit.Event {
	t.Helper()
	select {
	case e := <-r.events:
		return e
	case <-time.After(10 * time.Second):
		t.Fatal("nothing was recorded")
	}
	return audit.Event{}
}

// TestOpeningsAreRecorded: the first at once, the rest as one count, and none is lost to a failing database.
func TestOpeningsAreRecorded(t *testing.T) {
	t.Parallel()
	c := vault.NewCounter(echo{})
	rec := &recorder{events: make(chan audit.Event, 10)}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); c.Run(ctx, rec, slog.New(slog.DiscardHandler)) }()
	open := func(purpose string, b []byte) { _, _ = c.Unseal(seal.Context{Purpose: purpose}, b) }
	open("credential", []byte("x"))
	if e := next(t, rec); e.Action != "secret.open" || e.Target.ID != "credential" || e.Detail["opened"] != "1" || e.Outcome != audit.OK {
		t.Errorf("first: %+v", e)
	}
	for range 1000 {
		open("credential", []byte("x"))
	}
	open("credential", nil)
	cancel()
	<-done
	if e := next(t, rec); e.Detail["opened"] != "1000" || e.Detail["refused"] != "1" || e.Outcome != audit.Failed {
		t.Errorf("at the end: %+v", e)
	}
	if len(rec.events) > 0 {
		t.Errorf("%d events more", len(rec.events))
	}

	c = vault.NewCounter(echo{})
	_, _ = c.Unseal(seal.Context{Purpose: "flow"}, []byte("x"))
	ctx, cancel = context.WithCancel(t.Context())
	cancel()
	rec.fail = 1
	c.Run(ctx, rec, slog.New(slog.DiscardHandler))
	rec.fail = 0
	c.Run(ctx, rec, slog.New(slog.DiscardHandler))
	if e := next(t, rec); e.Detail["opened"] != "1" {
		t.Errorf("after a failure: %+v", e)
	}
}
