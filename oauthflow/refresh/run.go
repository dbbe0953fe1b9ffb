package refresh

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"tributary/oauthflow"
)

// sweepBatch bounds the rows that one sweep looks at.
const sweepBatch = 200

// Run shows that this process lives, stores spooled pairs and sweeps, until ctx ends. What fails is logged and done
// again: at the next heartbeat, or earlier after a fault.
func (k *Keeper) Run(ctx context.Context) error {
	pruned := k.cfg.Clock() - pruneEvery
	for {
		next := k.t.Heartbeat
		if err := k.beat(ctx); err != nil {
			if ctx.Err() != nil {
				return nil //nolint:nilerr // the end that was asked for
			}
			k.cfg.Log.Warn("keeping tokens", "error", err)
			next = min(next, k.t.Spool, time.Second)
		}
		if now := k.cfg.Clock(); now-pruned >= pruneEvery {
			pruned = now
			if err := k.cfg.Store.Prune(ctx); err != nil && ctx.Err() == nil {
				k.cfg.Log.Warn("pruning records of refreshes", "error", err)
			}
		}
		if wait(ctx, next) != nil {
			return nil //nolint:nilerr // the end that was asked for
		}
	}
}

const pruneEvery = time.Hour

// beat is one round of Run.
func (k *Keeper) beat(ctx context.Context) error {
	beatCtx, cancel := context.WithTimeout(ctx, k.t.Store)
	err := k.cfg.Store.Heartbeat(beatCtx, k.holder, k.inHand())
	cancel()
	if err != nil {
		k.link.down()
		return fmt.Errorf("showing that this process lives: %w", err)
	}
	k.link.touch(k.cfg.Clock(), k.t.Silent)
	return errors.Join(k.importSpool(ctx), k.disown(ctx), k.Sweep(ctx), k.orphan(ctx))
}

// disown closes the records of attempts that this process finds under its own name and works on no more: two living
// processes would wait for each other.
func (k *Keeper) disown(ctx context.Context) error {
	open, err := k.cfg.Store.OwnOpen(ctx, k.holder)
	if err != nil {
		return fmt.Errorf("looking for forgotten attempts: %w", err)
	}
	for _, a := range open {
		if k.holds(a.ID) {
			continue
		}
		err := k.inRow(ctx, a.Grant, func(ctx context.Context, tx Tx) error {
			if k.holds(a.ID) {
				return errNotMine
			}
			return tx.Close(ctx, a.ID, OutcomeOrphaned, 0, "")
		})
		if err != nil && !isNotMine(err) {
			return fmt.Errorf("closing a forgotten attempt: %w", err)
		}
	}
	return nil
}

// orphan closes the records of attempts whose process has been silent for longer than Quiet: a process that has just
// started would wait for them until it has been connected for as long (othersOpen). It closes none before this process
// can know, which takes the same time. A pair that comes late is stored all the same, and a process that comes back
// opens what it has in hand again.
func (k *Keeper) orphan(ctx context.Context) error {
	if k.link.age(k.cfg.Clock()) < k.t.Quiet {
		return nil
	}
	silent, err := k.cfg.Store.Silent(ctx, k.t.Quiet, sweepBatch)
	if err != nil {
		return fmt.Errorf("looking for attempts of processes that are gone: %w", err)
	}
	var errs []error
	for _, a := range silent {
		if err := k.orphanOne(ctx, a); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (k *Keeper) orphanOne(ctx context.Context, seen Attempt) error {
	err := k.inRow(ctx, seen.Grant, func(ctx context.Context, tx Tx) error {
		a, err := tx.Attempt(ctx, seen.ID)
		if err != nil {
			return err
		}
		r := tx.Row()
		calm := r != nil && r.ServerAge >= k.t.Quiet && k.link.age(k.cfg.Clock()) >= k.t.Quiet
		if !calm || a == nil || a.Outcome != OutcomeOpen || a.Holder == k.holder || a.Silent != nil && *a.Silent <= k.t.Quiet {
			return errNotMine
		}
		if err := tx.Close(ctx, a.ID, OutcomeOrphaned, 0, "its process is silent"); err != nil {
			return err
		}
		k.cfg.Fail(InOrphan)
		return nil
	})
	if isNotMine(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("closing an attempt of a process that is gone: %w", err)
	}
	k.stats.orphaned.Add(1)
	return nil
}

// inHand lists the attempts that this process works on.
func (k *Keeper) inHand() []uuid.UUID {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.AppendSeq(make([]uuid.UUID, 0, len(k.hand)), maps.Keys(k.hand))
}

func (k *Keeper) holds(attempt uuid.UUID) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.hand[attempt]
}

// Sweep makes attempts uncertain that have outlived their lease, and promotes spares of grants that need consent.
func (k *Keeper) Sweep(ctx context.Context) error {
	ids, err := k.cfg.Store.Overdue(ctx, sweepBatch)
	if err != nil {
		return fmt.Errorf("looking for attempts without an end: %w", err)
	}
	var errs []error
	for _, id := range ids {
		if err := k.sweepRow(ctx, id); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// sweepRow sweeps one row. t_first keeps the time of the claim.
func (k *Keeper) sweepRow(ctx context.Context, grant uuid.UUID) error {
	err := k.inRow(ctx, grant, func(ctx context.Context, tx Tx) error {
		r := tx.Row()
		if r == nil {
			return errNotMine
		}
		k.cfg.Fail(InSweep)
		if r.Phase == oauthflow.PhaseInFlight && r.LeaseUntil != nil && !r.LeaseUntil.After(r.Now) {
			r.Phase, r.MaybeSent = oauthflow.PhaseUncertain, true
			k.stats.swept.Add(1)
			return tx.Save(ctx)
		}
		if r.State == oauthflow.GrantNeedsReauth && k.cfg.Vault != nil {
			_, err := k.promoteSpare(ctx, tx, r)
			return err
		}
		return errNotMine
	})
	if err != nil && !isNotMine(err) {
		return fmt.Errorf("sweeping grant %s: %w", grant, err)
	}
	return nil
}

// Due returns grants that are worth refreshing ahead of time: at 0.8 of their token's life, at half of their refresh
// token's idle expiry, and those whose refresh has no known outcome.
func (k *Keeper) Due(ctx context.Context, limit int) ([]uuid.UUID, error) {
	return k.cfg.Store.Due(ctx, k.t.Quiet, limit)
}

// Ahead refreshes a grant that Due returned, although its token is valid for a while yet. A grant that another process
// works on, or that is not due any more, is none of its business.
func (k *Keeper) Ahead(ctx context.Context, grant uuid.UUID) error {
	row, err := k.load(ctx, grant)
	if err != nil {
		return err
	}
	pair, err := k.open(row)
	if err != nil {
		return err
	}
	if !row.renewable(pair) {
		return nil
	}
	_, err = k.due(ctx, row, pair, true)
	return err
}
