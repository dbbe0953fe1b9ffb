package jobs

import (
	"context"
	"time"
)

// cutShort is how long a connection has been closing before another process
// takes its end for cut short and goes on with it.
const cutShort = time.Minute

// tend ends grants and connections whose time is over, and goes on deleting
// connections that a request began to delete and did not finish. Now and then it forgets old runs and reads. A
// failure is logged: the next job does it again.
func (r *Runner) tend(ctx context.Context) {
	if r.cfg.Tend != nil {
		if err := r.cfg.Tend(ctx); err != nil {
			r.cfg.Log.Warn("ending grants whose time is over", "error", err)
		}
	}
	ids, err := r.store.ClosingConnections(ctx, cutShort)
	if err != nil {
		r.cfg.Log.Warn("looking for connections that are closing", "error", err)
	}
	for _, id := range ids {
		if err := r.store.DeleteConnection(ctx, id); err != nil && ctx.Err() == nil {
			r.cfg.Log.Warn("deleting a connection that is closing", "connection", id, "error", err)
		}
	}
	if n, err := r.store.CountSQLReads(ctx); err != nil && ctx.Err() == nil {
		r.cfg.Log.Warn("counting reads by SQL logins", "error", err)
	} else if n > 0 {
		r.cfg.Log.Warn("SQL logins rolled back reads of documents, so that no record of them is left", "reads", n)
	}
	r.forget(ctx)
}

// forgetEvery is how often a process forgets old runs and reads.
const forgetEvery = time.Hour

func (r *Runner) forget(ctx context.Context) {
	last, now := r.forgot.Load(), time.Now()
	if now.Sub(time.Unix(last, 0)) < forgetEvery || !r.forgot.CompareAndSwap(last, now.Unix()) {
		return
	}
	for _, old := range []struct {
		what   string
		forget func() (int64, error)
	}{
		{"runs", func() (int64, error) { n, err := r.store.ForgetRuns(ctx, r.cfg.Runs); return int64(n), err }},
		{"reads", func() (int64, error) { return r.store.ForgetReads(ctx, r.cfg.Reads) }},
	} {
		for n := int64(1); n > 0; {
			var err error
			if n, err = old.forget(); err != nil {
				if ctx.Err() == nil {
					r.cfg.Log.Warn("forgetting what is old", "what", old.what, "error", err)
				}
				break
			}
		}
	}
}
