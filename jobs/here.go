package jobs

import (
	"context"
	"time"

	"github.com/google/uuid"

	"tributary/connectors"
	"tributary/store"
)

// pollEvery is how often a waiting command looks at a run.
const pollEvery = 200 * time.Millisecond

// RunHere works on a run in the calling goroutine until it ends, for commands
// that find no worker running. A cancelled ctx hands the run over.
func (r *Runner) RunHere(ctx context.Context, id uuid.UUID, watch func(store.Run)) (store.Run, error) {
	return r.follows(ctx, id, watch, func() error { return r.slice(ctx, id) })
}

// RunOrAwait waits until a run ends while a process works on jobs, and works on
// it in the calling goroutine while none does. What a command works on has the
// command's own settings; a service's are those that are meant.
func (r *Runner) RunOrAwait(ctx context.Context, id uuid.UUID, watch func(store.Run)) (store.Run, error) {
	return r.follows(ctx, id, watch, func() error {
		if others, err := r.store.WorkersAlive(ctx); others || err != nil {
			return err
		}
		return r.slice(ctx, id)
	})
}

// Await waits until another process has ended a run.
func (r *Runner) Await(ctx context.Context, id uuid.UUID, watch func(store.Run)) (store.Run, error) {
	return r.follows(ctx, id, watch, func() error { return nil })
}

// follows calls step and shows the run to watch until the run has ended.
func (r *Runner) follows(ctx context.Context, id uuid.UUID, watch func(store.Run), step func() error) (store.Run, error) {
	watching, stop := context.WithCancel(ctx)
	defer stop()
	if watch != nil {
		done := make(chan struct{})
		defer func() { stop(); <-done }()
		go func() {
			defer close(done)
			r.watch(watching, id, watch)
		}()
	}
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		run, err := r.store.Run(ctx, id)
		if err != nil || !run.State.Live() {
			return run, err
		}
		if run.NextTryAt == nil || !time.Now().Before(*run.NextTryAt) {
			if err := step(); err != nil {
				return run, err
			}
			// The slice may have been the last one: that is known at once.
			if run, err = r.store.Run(ctx, id); err != nil || !run.State.Live() {
				return run, err
			}
		}
		select {
		case <-ctx.Done():
			return run, ctx.Err()
		case <-tick.C:
		}
	}
}

func (r *Runner) watch(ctx context.Context, id uuid.UUID, show func(store.Run)) {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if run, err := r.store.Run(ctx, id); err == nil {
				show(run)
			}
		}
	}
}

// DrainHere embeds what waits, in the calling goroutine, until nothing is due.
func (r *Runner) DrainHere(ctx context.Context) error {
	ids, err := r.store.WaitingProfiles(ctx)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if err := r.drain(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

// Verify opens a session with the settings of a connection that need not be
// stored yet and proves that it works: "save and test".
func (r *Runner) Verify(ctx context.Context, source string, settings map[string]string, selection connectors.Selection) (string, error) {
	c, err := r.Connector(source)
	if err != nil {
		return "", err
	}
	session, err := c.Open(ctx, connectors.Env{Settings: settings, Selection: selection, Log: r.cfg.Log, Clock: time.Now})
	if err != nil {
		return "", err
	}
	defer func() { _ = session.Close(context.WithoutCancel(ctx)) }()
	v, ok := session.(connectors.Verifier)
	if !ok {
		return "", nil
	}
	return v.Verify(ctx)
}

// NamePrincipal resolves how a person writes a principal of a connection's
// source, such as "unix:alice", to the principal and the row of its realm.
func (r *Runner) NamePrincipal(ctx context.Context, conn store.Connection, name string) (p connectors.Principal, realm int64, err error) {
	err = r.inSession(ctx, conn, "naming a principal", func(o opened) error {
		namer, ok := o.session.(connectors.PrincipalNamer)
		if !ok {
			return &store.InputError{Field: "principal", Problem: "source " + conn.Source + " has no names for principals"}
		}
		realm = o.realm
		p, err = namer.NamePrincipal(ctx, name)
		return err
	})
	if err != nil {
		return connectors.Principal{}, 0, err
	}
	return p, realm, nil
}
