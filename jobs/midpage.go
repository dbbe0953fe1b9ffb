package jobs

import (
	"context"
	"errors"
	"time"

	"tributary/store"
)

// errTurnOver ends a slice in the middle of a page.
var errTurnOver = errors.New("the turn is over")

// part is what was committed of a page whose end is not.
type part struct {
	listed, unchanged, skipped, refused int64
	documents                           int
	// failed is true where an item failed, or rests because it did: reading the
	// page again would count that again.
	failed bool
}

// note takes what is about to be committed.
func (d *part) note(b *store.Batch) {
	d.listed += b.Counts.Listed
	d.unchanged += b.Counts.Unchanged
	d.skipped += b.Counts.Skipped
	d.refused += b.Counts.Refused
	d.documents += len(b.Documents)
	d.failed = d.failed || len(b.Quarantine) > 0 || b.Counts.Quarantined > 0
}

// leaves reports whether the slice hands over in the middle of a page. It does so
// in listings alone, whose order means nothing, when documents of the page are
// stored, which a later slice does not open again.
func (p *pump) leaves(ctx context.Context, b *buffer) bool {
	s := p.s
	if p.aside || s.run.Kind != store.RunSnapshot && s.run.Kind != store.RunReconcile {
		return false
	}
	if !s.r.isStopping() && time.Since(s.begun) < s.r.cfg.HandOver {
		return false
	}
	done := b.done
	done.note(b.b)
	return done.documents > 0 && !done.failed && s.over(ctx)
}

// begun reports whether somebody opens the item, or has.
func (it *item) begun() bool {
	select {
	case <-it.started:
		return true
	default:
		return false
	}
}

// leave commits what there is of a page; where an item of it failed meanwhile,
// the last of it is left out. The next slice reads the page again and counts its
// items then.
func (p *pump) leave(ctx context.Context, b *buffer) error {
	done, all := b.done, b.done
	if all.note(b.b); all.failed {
		b.reset()
	}
	b.b.Counts.Listed, b.b.Counts.Unchanged, b.b.Counts.Skipped, b.b.Counts.Refused = -done.listed, -done.unchanged, -done.skipped, -done.refused
	if err := b.flush(ctx, nil); err != nil {
		return err
	}
	return errTurnOver
}
