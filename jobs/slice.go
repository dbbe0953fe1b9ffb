package jobs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tributary/connectors"
	"tributary/store"
)

// sliceEnd says how a slice ended.
type sliceEnd struct {
	// handOver is true when the listing goes on in a later slice.
	handOver bool
	// state is the run's end when err is nil.
	state store.RunState
	// note explains a partial end.
	note error
	err  error
	// progress is true when the slice committed a page.
	progress bool
	// wait is how long the run rests before its next slice.
	wait time.Duration
}

// slice claims a run and works on it until it ends, the slice's time is over,
// or the process stops. It returns an error only when the outcome could not be
// recorded; the run is then taken over when its heartbeat has aged.
func (r *Runner) slice(ctx context.Context, id uuid.UUID) error {
	before, err := r.store.Run(ctx, id)
	if err != nil {
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		return err
	}
	if off, err := r.putOff(ctx, before); err != nil || off {
		return err
	}
	takeover := r.cfg.Takeover
	if r.owner.died(before.Worker) {
		takeover = 0
	}
	run, err := r.store.ClaimRun(ctx, id, r.owner.name, takeover)
	if errors.Is(err, store.ErrFenced) || errors.Is(err, store.ErrConflict) {
		return nil
	}
	if err != nil {
		return err
	}
	log := r.cfg.Log.With("run", run.ID, "connection", run.Connection, "lane", run.Lane)
	log.Info("slice started", "kind", run.Kind, "slice", run.Slices)
	end := r.work(ctx, run)
	if errors.Is(end.err, store.ErrFenced) {
		return r.settleFenced(ctx, run)
	}
	rel := r.release(run, end)
	log.Info("slice ended", "state", rel.State, "class", rel.Class, "error", end.err)
	// The outcome is recorded even when the process is being stopped.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	err = r.store.ReleaseRun(ctx, run, rel, func(ctx context.Context, tx pgx.Tx) error {
		if err := r.notify(ctx, tx, run, rel); err != nil {
			return err
		}
		return r.follow(ctx, tx, run, rel)
	})
	if errors.Is(err, store.ErrFenced) {
		return nil
	}
	if err != nil {
		// What could not be recorded is told: it says why.
		return errors.Join(end.err, err)
	}
	return nil
}

// follow enqueues what comes after a slice, in the transaction that ends it.
func (r *Runner) follow(ctx context.Context, tx pgx.Tx, run store.Run, rel store.Release) error {
	switch {
	case rel.State == store.RunQueued:
		at := time.Time{}
		if rel.RetryIn > 0 {
			at = time.Now().Add(rel.RetryIn)
		}
		return r.enqueueSliceAt(ctx, tx, run, at)
	case outcomeOf(rel.Class).snapshot:
		kind := store.RunSnapshot
		if run.Lane == store.Permissions {
			kind = store.RunPermissions
		}
		next, made, err := r.store.RequestRunTx(ctx, tx, store.RunRequest{
			ConnectionID: run.ConnectionID, Lane: run.Lane, Kind: kind, Cause: causeExpired,
		})
		if err != nil || !made {
			return err
		}
		return r.enqueueSlice(ctx, tx, next)
	case run.Lane == store.Content && (rel.State == store.RunSucceeded || rel.State == store.RunPartial):
		return r.store.PostponeReconcileTx(ctx, tx, run)
	}
	return nil
}

// settleFenced ends a run whose cancellation was asked for; a run that was
// taken over is somebody else's.
func (r *Runner) settleFenced(ctx context.Context, run store.Run) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	latest, err := r.store.Run(ctx, run.ID)
	if err != nil || !latest.CancelRequested || latest.Fence != run.Fence || !latest.State.Live() {
		return nil
	}
	err = r.store.ReleaseRun(ctx, run, store.Release{State: store.RunCancelled}, nil)
	if errors.Is(err, store.ErrFenced) {
		return nil
	}
	return err
}

// work opens a session and advances the run, with a heartbeat beside it.
func (r *Runner) work(ctx context.Context, run store.Run) sliceEnd {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	beating := make(chan struct{})
	go func() {
		defer close(beating)
		r.beat(ctx, run, cancel)
	}()
	end := r.advance(ctx, run)
	if cause := context.Cause(ctx); end.err != nil && cause != nil && isCancel(ctx, end.err) {
		switch {
		case errors.Is(cause, store.ErrFenced):
			end.err = store.ErrFenced
		case errors.Is(cause, context.DeadlineExceeded) && !r.isStopping():
			end.err = &connectors.Error{Op: "syncing", Class: connectors.Transient, Err: fmt.Errorf("the slice did not end within %s: %w", r.cfg.longestJob(), end.err)}
		default:
			end.err = errStopping
		}
	}
	cancel(nil)
	<-beating
	return end
}

func (r *Runner) beat(ctx context.Context, run store.Run, stop context.CancelCauseFunc) {
	tick := time.NewTicker(r.cfg.Heartbeat)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := r.store.Heartbeat(ctx, run.ID, run.Fence); errors.Is(err, store.ErrFenced) {
				stop(store.ErrFenced)
				return
			}
		}
	}
}

// advance runs the lane of the run with a session of its connection.
func (r *Runner) advance(ctx context.Context, run store.Run) (end sliceEnd) {
	defer func() {
		if v := recover(); v != nil {
			end = sliceEnd{err: &connectors.Error{Op: "syncing", Class: connectors.Bug, Err: fmt.Errorf("panic: %v", v)}}
			r.cfg.Log.Error("connector panicked", "run", run.ID, "panic", v)
		}
	}()
	conn, err := r.store.Connection(ctx, run.ConnectionID.String())
	if err != nil {
		return sliceEnd{err: err}
	}
	grant, err := r.authorise(ctx, conn)
	if err != nil {
		return sliceEnd{err: err}
	}
	defer func() {
		if err := r.endUse(ctx, grant.HTTP, useOf(run)); err != nil && end.err == nil {
			end.err = err
		}
	}()
	open, err := r.open(ctx, conn, grant)
	if err != nil {
		return sliceEnd{err: err}
	}
	defer func() {
		if err := open.session.Close(context.WithoutCancel(ctx)); err != nil && end.err == nil {
			r.cfg.Log.Warn("closing session", "run", run.ID, "error", err)
		}
	}()
	s := &syncer{r: r, run: run, conn: conn, session: open.session, spec: open.spec, realm: open.realm}
	if err := s.setTurn(ctx); err != nil {
		return sliceEnd{err: err}
	}
	if s.limits, err = r.store.RunLimits(ctx, conn.ID); err != nil {
		return sliceEnd{err: err}
	}
	if run.Lane == store.Permissions {
		end = s.permissions(ctx)
	} else {
		end = s.content(ctx)
	}
	if end.handOver && end.err == nil {
		end.wait = s.pause(ctx)
	}
	if counter, ok := open.session.(connectors.Counter); ok && end.err == nil {
		_, end.err = r.store.AddCounts(ctx, run, store.Counts{Extra: counter.Counts()})
	}
	return end
}

// opened is a session with what the engine knows of it.
type opened struct {
	session connectors.Session
	spec    connectors.Spec
	realm   int64
}

// open starts a session and makes sure that the connection's realm is known.
func (r *Runner) open(ctx context.Context, conn store.Connection, grant Authorised) (opened, error) {
	o, realm, err := r.connect(ctx, conn, grant)
	if err != nil {
		return opened{}, err
	}
	if o.realm, err = r.setRealm(ctx, conn, realm); err != nil {
		return opened{}, errors.Join(err, o.session.Close(context.WithoutCancel(ctx)))
	}
	return o, nil
}

// connect starts a session and returns the name of its realm. It writes nothing.
func (r *Runner) connect(ctx context.Context, conn store.Connection, grant Authorised) (opened, string, error) {
	c, err := r.Connector(conn.Source)
	if err != nil {
		return opened{}, "", err
	}
	spec := c.Spec()
	session, err := c.Open(ctx, connectors.Env{
		Settings: conn.Settings, Selection: conn.Selection, HTTP: grant.HTTP, Base: grant.Base, Grant: grant.Grant, Clock: time.Now,
		Answers: r.answers.of(conn, grant.Grant),
		Log:     r.cfg.Log.With("connection", conn.Name, "source", conn.Source),
	})
	if err != nil {
		return opened{}, "", err
	}
	realm := conn.ID.String()
	if namer, ok := session.(connectors.Realmer); ok && spec.Has(connectors.CanRealm) {
		if realm, err = namer.Realm(ctx); err != nil {
			return opened{}, "", errors.Join(err, session.Close(context.WithoutCancel(ctx)))
		}
	}
	return opened{session: session, spec: spec}, realm, nil
}

func (r *Runner) setRealm(ctx context.Context, conn store.Connection, realm string) (int64, error) {
	id, err := r.store.SetRealm(ctx, conn.ID, conn.Source, realm)
	if in := (*store.InputError)(nil); errors.As(err, &in) {
		err = &connectors.Error{Op: "opening connection", Class: connectors.Invalid, Err: err}
	}
	return id, err
}
