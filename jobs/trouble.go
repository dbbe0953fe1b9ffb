package jobs

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"tributary/store"
)

// troubleEvery is how often a process looks for jobs that nobody will do.
const troubleEvery = time.Minute

// lookout remembers when this process looked last.
type lookout struct {
	mu sync.Mutex
	at time.Time
}

func (l *lookout) due() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if time.Since(l.at) < troubleEvery {
		return false
	}
	l.at = time.Now()
	return true
}

// reportTrouble raises and clears the notices about the job queue. Runs and
// schedules do not depend on it: whatever it loses is made anew.
func (r *Runner) reportTrouble(ctx context.Context) error {
	if !r.lookout.due() {
		return nil
	}
	t, err := r.store.JobTrouble(ctx, r.cfg.longestJob())
	if err != nil {
		return err
	}
	unknown := fmt.Sprintf("No process that is alive knows the jobs %s.", strings.Join(t.Unknown, ", "))
	var lost []string
	for _, kind := range slices.Sorted(maps.Keys(t.Discarded)) {
		lost = append(lost, fmt.Sprintf("%d of %s", t.Discarded[kind], kind))
	}
	discarded := fmt.Sprintf("Given up within the hour: %s. Claiming to run for too long: %d.", strings.Join(lost, ", "), t.Stalled)
	return errors.Join(
		r.notice(ctx, "unknown_job_kind", unknown, len(t.Unknown) > 0),
		r.notice(ctx, "jobs_discarded", discarded, len(lost) > 0 || t.Stalled > 0),
	)
}

// notice raises a notice about no connection, or clears it.
func (r *Runner) notice(ctx context.Context, code, detail string, holds bool) error {
	if holds {
		return r.store.RaiseNotice(ctx, nil, store.Notice{Code: code, Detail: detail})
	}
	return r.store.ClearNotice(ctx, nil, nil, code, "")
}
