package jobs

import (
	"context"
	"fmt"
	"time"

	"tributary/store"
)

// maxSkew is how far the clocks of this process and of PostgreSQL may differ.
const maxSkew = 30 * time.Second

// WatchHealth raises and clears notices until ctx ends: those of the tables,
// which any one process finds, and those of this process. Every process runs it,
// so that one without workers can say that none is there.
func (r *Runner) WatchHealth(ctx context.Context) error {
	tick := time.NewTicker(r.cfg.NoticesEvery)
	defer tick.Stop()
	for {
		if err := r.LookForNotices(ctx); err != nil && ctx.Err() == nil {
			r.cfg.Log.WarnContext(ctx, "looking for notices", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// LookForNotices raises and clears notices once.
func (r *Runner) LookForNotices(ctx context.Context) error {
	seen := map[string]string{}
	if err := r.store.ProbeWrite(ctx); store.IsTrouble(err) {
		r.cfg.Log.ErrorContext(ctx, "PostgreSQL takes no writes", "error", err)
		seen[store.NoticeStorage] = err.Error()
	}
	before := time.Now()
	now, err := r.store.Now(ctx)
	if err != nil {
		return err
	}
	if skew := now.Sub(before).Round(time.Second); skew.Abs() > maxSkew {
		seen[store.NoticeClockSkew] = fmt.Sprintf("PostgreSQL's clock is %s ahead of this process's", skew)
	}
	if r.cfg.KeyProblem != nil {
		if problem := r.cfg.KeyProblem(); problem != "" {
			seen[store.NoticeMasterKey] = problem
		}
	}
	if err := r.store.Observe(ctx, r.owner.host, seen); err != nil {
		return err
	}
	raised, cleared, err := r.store.EvaluateNotices(ctx)
	if raised+cleared > 0 {
		r.cfg.Log.InfoContext(ctx, "notices", "raised", raised, "cleared", cleared)
	}
	return err
}
