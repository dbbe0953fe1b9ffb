package refresh

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"tributary/connectors"
	"tributary/oauthflow"
)

// class is the rotation class as the algorithm sees it.
type class string

const (
	classN class = "N" // not rotated, or the old token stays valid
	classG class = "G" // the old token answers for a while
	classH class = "H" // as G, but too short for another process: only the holder presents again, inside its lease
	classS class = "S" // single use, and what nobody knows
	classF class = "F" // single use, and reuse revokes
)

// grace reports whether the server accepts the replaced token for a while.
func (c class) grace() bool { return c == classG || c == classH }

// class returns the rotation class of the row's provider. Tokens between servers are asked for anew, and use up
// nothing.
func (k *Keeper) class(r *Row) class {
	if r.Grant.Kind != oauthflow.GrantCode {
		return classN
	}
	rule := r.rule()
	switch rule.Rotation {
	case oauthflow.RotationNone:
		return classN
	case oauthflow.RotationGrace:
		if time.Duration(rule.Grace) < k.t.Lease+k.t.Silent+k.t.Send {
			return classH
		}
		return classG
	case oauthflow.RotationStrict:
		return classS
	case oauthflow.RotationFamily:
		return classF
	default:
		return classS
	}
}

// rule returns the profile's rule; the zero one is a server that nobody knows.
func (r *Row) rule() oauthflow.RefreshRule {
	if r.Registration.Profile == nil {
		return oauthflow.RefreshRule{}
	}
	return r.Registration.Profile.Refresh
}

// attempt is one claim of this process.
type attempt struct {
	id   uuid.UUID
	row  Row // as it was claimed
	pair oauthflow.Pair
	// start is the monotonic time before T1; nothing is sent after latest.
	start, latest time.Duration
	at            time.Time // of T1, by the database
}

// claim is T1: it claims the row of (epoch, gen) and commits that before anything is sent. Without an attempt, wait
// says how long the row cannot be claimed, where that is known; nil and 0 is another process at work.
func (k *Keeper) claim(ctx context.Context, seen *Row, pair oauthflow.Pair) (a *attempt, wait time.Duration, err error) { //nolint:nonamedreturns // the names say what the three are
	if k.spooled(ctx, seen.Grant.ID) {
		return nil, 0, later(connectors.Transient, k.t.Spool, "a token pair waits for the database")
	}
	a = &attempt{id: uuid.New(), pair: pair, start: k.cfg.Clock()}
	k.take(a.id)
	k.cfg.Fail(BeforeClaim)
	err = k.inRow(ctx, seen.Grant.ID, func(ctx context.Context, tx Tx) error {
		r := tx.Row()
		if r == nil || r.Epoch != seen.Epoch || r.Gen != seen.Gen || r.State != oauthflow.GrantActive || r.NextTry.After(r.Now) || r.Grant.ClosedAt != nil {
			return errNotMine
		}
		verdict, err := k.mayClaim(ctx, tx, r)
		switch {
		case err != nil:
			return err
		case verdict.reauth:
			return k.reauth(ctx, tx, r, oauthflow.FailLostResponse, "")
		case !verdict.due:
			wait = verdict.wait
			return errNotMine
		}
		k.claimed(a, r, verdict)
		if err := tx.Begin(ctx, Attempt{
			ID: a.id, Grant: r.Grant.ID, Epoch: r.Epoch, Gen: r.Gen, Holder: k.holder, Replay: r.MaybeSent, At: r.Now,
			Presentation: presentation(pair, r.Grant.ID, r.Epoch, r.Gen),
		}); err != nil {
			return err
		}
		if err := tx.Save(ctx); err != nil {
			return err
		}
		a.row, a.at = *r, r.Now
		k.cfg.Fail(InClaim)
		return nil
	})
	switch {
	case isNotMine(err):
		k.leave(a.id)
		return nil, wait, nil
	case err != nil:
		k.reread(ctx, seen.Grant.ID, a)
		return nil, 0, later(connectors.Transient, 0, "claiming grant: %w", err)
	case a.at.IsZero(): // consent is needed now
		k.leave(a.id)
		return nil, 0, nil
	}
	if a.row.MaybeSent {
		k.stats.replays.Add(1)
	}
	k.cfg.Fail(AfterClaim)
	return a, 0, nil
}

// verdict is whether a row may be claimed.
type verdict struct {
	due    bool
	replay bool
	// window bounds a replay inside a grace period, from the claim on; 0 is no bound.
	window time.Duration
	reauth bool
	wait   time.Duration
}

// mayClaim decides on a locked row, by its phase.
func (k *Keeper) mayClaim(ctx context.Context, tx Tx, r *Row) (verdict, error) {
	switch r.Phase {
	case oauthflow.PhaseIdle:
		if !k.class(r).grace() {
			return verdict{due: true}, nil
		}
		// Two open attempts would each get a pair.
		open, err := k.othersOpen(ctx, tx, r)
		return verdict{due: !open, wait: k.t.Poll}, err
	case oauthflow.PhaseUncertain:
		return k.replayDue(ctx, tx, r)
	case oauthflow.PhaseInFlight:
		return verdict{}, nil
	default:
		return verdict{}, nil
	}
}

// replayDue says whether this process may present the token of an uncertain row again.
func (k *Keeper) replayDue(ctx context.Context, tx Tx, r *Row) (verdict, error) {
	c := k.class(r)
	if c == classN {
		return verdict{due: true, replay: true}, nil
	}
	open, err := k.othersOpen(ctx, tx, r)
	if err != nil {
		return verdict{}, err
	}
	if open {
		return verdict{wait: k.t.Heartbeat}, nil
	}
	if c == classG && r.FirstSent != nil {
		if left := r.FirstSent.Add(time.Duration(r.rule().Grace) - k.t.Send - k.t.Margin).Sub(r.Now); left > 0 {
			return verdict{due: true, replay: true, window: left}, nil
		}
	}
	left, known := r.left()
	if known && left > 0 && !r.rejected() {
		return verdict{wait: left}, nil
	}
	if wait := k.unquiet(r); wait > 0 {
		return verdict{wait: wait}, nil
	}
	if k.cfg.OnUncertainReauth {
		return verdict{reauth: true}, nil
	}
	return verdict{due: true, replay: true}, nil
}

// unquiet returns how long Q has not passed: since the lease ended, since the server started, and since this process
// reconnected.
func (k *Keeper) unquiet(r *Row) time.Duration {
	wait := max(k.t.Quiet-r.ServerAge, k.t.Quiet-k.link.age(k.cfg.Clock()))
	if r.LeaseUntil != nil {
		wait = max(wait, r.LeaseUntil.Add(k.t.Quiet).Sub(r.Now))
	}
	return wait
}

// othersOpen reports whether another process has an attempt without an outcome and may be alive: its heartbeat is
// younger than Silent, or this process has not been connected for long enough to know.
func (k *Keeper) othersOpen(ctx context.Context, tx Tx, r *Row) (bool, error) {
	open, err := tx.Open(ctx)
	if err != nil {
		return false, err
	}
	calm := k.link.age(k.cfg.Clock()) >= k.t.Quiet && r.ServerAge >= k.t.Quiet
	for _, a := range open {
		if a.Holder == k.holder || !k.class(r).grace() && a.Gen != r.Gen {
			continue
		}
		if !calm || a.Silent != nil && *a.Silent < k.t.Silent {
			return true, nil
		}
	}
	return false, nil
}

// claimed is the effect of a claim on the row.
func (k *Keeper) claimed(a *attempt, r *Row, v verdict) {
	now := r.Now
	if r.Phase == oauthflow.PhaseIdle {
		r.MaybeSent, r.FirstSent = false, &now
	}
	until := now.Add(k.t.Lease)
	r.Phase, r.AttemptID, r.Holder, r.LeaseUntil = oauthflow.PhaseInFlight, &a.id, k.holder, &until
	a.latest = a.start + k.t.Lease - k.t.Send
	if v.window > 0 {
		a.latest = min(a.latest, a.start+v.window)
	}
}

// check is the monotonic test before the request. A claim that is too old sends nothing.
func (k *Keeper) check(a *attempt) bool { return k.cfg.Clock() <= a.latest }

// reread follows a claim whose fate is unknown: it never sends. A claim that is found is released; one that is not seen
// is left to the sweeper.
func (k *Keeper) reread(ctx context.Context, grant uuid.UUID, a *attempt) {
	defer k.leave(a.id)
	if err := k.release(ctx, grant, a.id, ending{outcome: OutcomeNotSent}); err != nil && !isNotMine(err) {
		k.cfg.Log.Warn("a claim of unknown fate is left to its lease", "grant", grant, "attempt", a.id, "error", err)
	}
}

// take and leave keep the set of attempts that this process works on.
func (k *Keeper) take(id uuid.UUID) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.hand[id] = true
}

func (k *Keeper) leave(id uuid.UUID) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.hand, id)
}

func isNotMine(err error) bool { return errors.Is(err, errNotMine) }

// presentation is what tells whether two attempts present the same token, without telling it: a hash of the grant's id
// and the refresh token, or of the consent and generation where there is none.
//
// SECURITY: refresh tokens are too long to be guessed (RFC 6749 §10.10), so the hash needs no key.
func presentation(p oauthflow.Pair, grant uuid.UUID, epoch int, gen int64) []byte {
	h := sha256.New()
	h.Write(grant[:])
	if p.Refresh.IsSet() {
		h.Write([]byte("token\x00" + p.Refresh.Reveal()))
	} else {
		fmt.Fprintf(h, "none\x00%d/%d", epoch, gen)
	}
	return h.Sum(nil)
}
