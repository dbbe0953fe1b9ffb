package jobs

import (
	"context"
	"time"
)

// cutShort is how long a connection has been closing before another process
// takes its end for cut short and goes on with it.
const cutShort = time.Minute

// tend ends grants and connections whose time is over, and goes on deleting
// connections that a request began to delete and did not finish. Now and then it forgets old runs. A
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
	r.forgetRuns(ctx)
}

// forgetEvery is how often a process forgets old runs.
const forgetEvery = time.Hour

func (r *Runner) forgetRuns(ctx context.Context) {
	last, now := r.forgot.Load(), time.Now()
	if now.Sub(time.Unix(last, 0)) < forgetEvery || !r.forgot.CompareAndSwap(last, now.Unix()) {
		return
	}
	for n := 1; n > 0; {
		var err error
		if n, err = r.store.ForgetRuns(ctx, r.cfg.Runs); err != nil {
			if ctx.Err() == nil {
				r.cfg.Log.Warn("forgetting old runs", "error", err)
			}
			return
		}
	}
}
