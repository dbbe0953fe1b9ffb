package jobs

import (
	"context"
	"time"
)

// cutShort is how long a connection has been closing before another process
// takes its end for cut short and goes on with it.
const cutShort = time.Minute

// tend ends grants and connections whose time is over, and goes on deleting
// connections that a request began to delete and did not finish. A failure is
// logged: the next job does it again.
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
}
