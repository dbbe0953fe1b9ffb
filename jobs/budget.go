package jobs

import (
	"fmt"

	"tributary/connectors"
	"tributary/store"
)

// losses counts the items of a run that could not be downloaded: where they
// are too many, the source's downloads are down, and the run ends before it
// quarantines the whole source. The committer uses it alone.
type losses struct {
	limits store.RunLimits
	failed int64
	inRow  int64
	bytes  int64
	// last is true in a run's last try.
	last bool
	name string
}

func (s *syncer) newLosses() *losses {
	return &losses{
		limits: s.limits.WithDefaults(), failed: s.run.Guard.Failed, bytes: s.run.Guard.Bytes,
		last: s.run.Attempt+1 >= outcomeOf(connectors.Transient).attempts, name: s.conn.Name,
	}
}

// passing reports whether an item's failure says more of its source at the
// moment than of the item.
func passing(err error) bool {
	class := connectors.ClassOf(err)
	return class == connectors.Transient || class == connectors.Unknown
}

// take counts the outcome of an item; items is how many the run was given. Its
// error ends the slice.
func (l *losses) take(it *item, items int64) error {
	if !it.open {
		return nil
	}
	l.bytes += it.result.bytes
	if it.result.kind != resultQuarantined || !passing(it.result.err) {
		l.inRow = 0
		return nil
	}
	l.failed++
	l.inRow++
	if l.inRow >= l.limits.FailedInARow {
		return l.exceeded(l.last, fmt.Sprintf("%d items one after the other could not be downloaded", l.inRow), it.result.err)
	}
	if l.failed > l.limits.FailedItems && 100*l.failed > l.limits.FailedPercent*items {
		return l.exceeded(true, fmt.Sprintf("%d of %d items could not be downloaded", l.failed, items), it.result.err)
	}
	return nil
}

func (l *losses) exceeded(final bool, what string, cause error) error {
	return &connectors.Error{Op: "syncing", Class: connectors.Transient, RetryAfter: connectors.RetryAfterOf(cause), Err: &guardError{
		notice: store.NoticeErrorBudget, final: final,
		text: fmt.Sprintf("%s, the last one by: %.300s; nothing was inferred to be deleted, and the next run goes on from here; `tributary connections limits %s` says how many may fail", what, cause, l.name),
	}}
}

// count returns the guard of a page with what is counted here.
func (l *losses) count(g store.Guard) store.Guard {
	g.Failed, g.Bytes = l.failed, l.bytes
	return g
}

// spent reports, as an error, that the run has downloaded what it may. The page
// is committed.
func (l *losses) spent(page connectors.Page) error {
	if page.Complete || l.bytes>>20 < l.limits.MaxMegabytes {
		return nil
	}
	return limited(l.name, "max_megabytes", l.limits.MaxMegabytes)
}
