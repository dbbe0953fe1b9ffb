package refresh

import (
	"context"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/google/uuid"

	"tributary/connectors"
	"tributary/internal/audit"
	"tributary/oauthflow"
)

// ending is how an attempt ended that gave no pair.
type ending struct {
	outcome Outcome
	status  int
	note    string // cleaned, for people
	// failed counts for the back-off, under class.
	failed bool
	class  oauthflow.FailClass
	retry  time.Duration // what somebody asked for; 0 leaves it to the back-off
}

// settleRelease is release for an attempt whose answer is known. What cannot be written is left to the sweeper.
func (k *Keeper) settleRelease(ctx context.Context, a *attempt, end ending) {
	if err := k.release(ctx, a.row.Grant.ID, a.id, end); err != nil && !isNotMine(err) {
		k.cfg.Log.Warn("an attempt that used up nothing is left to its lease", "grant", a.row.Grant.ID, "attempt", a.id, "error", err)
	}
}

// release ends an attempt that was definitely not sent or definitely refused: the row returns to idle, or to uncertain
// where it was that before.
func (k *Keeper) release(ctx context.Context, grant, attempt uuid.UUID, end ending) error {
	return k.inRow(ctx, grant, func(ctx context.Context, tx Tx) error {
		if err := tx.Close(ctx, attempt, end.outcome, end.status, end.note); err != nil {
			return err
		}
		r := tx.Row()
		if !r.mine(attempt) {
			return nil
		}
		r.settled()
		k.backOff(r, end)
		if err := tx.Save(ctx); err != nil {
			return err
		}
		if r.troubled() {
			if err := tx.Follow(ctx, Follow{State: oauthflow.GrantActive, Degraded: true, Reason: MarkTrouble + r.FailNote}); err != nil {
				return err
			}
		}
		if !end.failed {
			return nil
		}
		return k.record(ctx, tx, grant, audit.Failed, map[string]string{"outcome": string(end.outcome), "reason": end.note, "attempt": attempt.String(), "epoch": strconv.Itoa(r.Epoch), "gen": strconv.FormatInt(r.Gen, 10)})
	})
}

// settled takes the attempt out of the row.
func (r *Row) settled() {
	r.Phase = oauthflow.PhaseIdle
	if r.MaybeSent {
		r.Phase = oauthflow.PhaseUncertain
	}
	r.AttemptID, r.Holder = nil, ""
}

// What the same unknown refusal takes to be shown: it is tried again all the same.
const (
	troubleAfter    = 24 * time.Hour
	troubleFailures = 10
)

// troubled reports whether the same unknown refusal has come for long enough to be shown.
func (r *Row) troubled() bool {
	return r.FailClass == oauthflow.FailUnknown && r.Failures >= troubleFailures && r.FirstFailedAt != nil && r.Now.Sub(*r.FirstFailedAt) >= troubleAfter
}

// backOff sets the next try of a row, and counts a failure.
func (k *Keeper) backOff(r *Row, end ending) {
	if !end.failed {
		if end.retry > 0 {
			r.NextTry = r.Now.Add(jitter(end.retry))
		}
		return
	}
	if r.FailClass != end.class || end.class == oauthflow.FailUnknown && r.FailNote != end.note {
		r.Failures, r.FirstFailedAt = 0, nil
	}
	if r.FirstFailedAt == nil {
		now := r.Now
		r.FirstFailedAt = &now
	}
	most := k.t.RetryMost
	if end.class == oauthflow.FailUnavailable {
		most = k.t.RetryDown
	}
	d := jitter(min(k.t.Retry<<min(r.Failures, 12), most))
	if end.retry > d {
		d = min(end.retry, k.t.RetryMost)
	}
	r.Failures++
	r.FailClass, r.FailNote, r.NextTry = end.class, end.note, r.Now.Add(d)
}

func jitter(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (1 + rand.Float64()/5)) //nolint:gosec // spreads a herd
}

// settleLost makes the row uncertain. Where the old token answers for too short a time for another process, the holder
// records that and presents it again inside its own lease.
func (k *Keeper) settleLost(ctx context.Context, a *attempt, status int) (*oauthflow.Access, bool, error) {
	again := false
	err := k.inRow(ctx, a.row.Grant.ID, func(ctx context.Context, tx Tx) error {
		again = false
		if err := tx.Close(ctx, a.id, OutcomeLost, status, "no answer that can be read"); err != nil {
			return err
		}
		r := tx.Row()
		if !r.mine(a.id) {
			return nil
		}
		r.MaybeSent = true
		if err := k.record(ctx, tx, r.Grant.ID, audit.Failed, map[string]string{"outcome": "uncertain", "attempt": a.id.String(), "epoch": strconv.Itoa(r.Epoch), "gen": strconv.FormatInt(r.Gen, 10)}); err != nil {
			return err
		}
		if k.insideLease(a, r) {
			again = true
			return k.claimAgain(ctx, tx, r, a)
		}
		r.settled()
		k.backOff(r, ending{failed: true, class: oauthflow.FailUnavailable, note: "an answer was lost"})
		return tx.Save(ctx)
	})
	if err != nil {
		k.cfg.Log.Warn("a lost answer is left to the sweeper", "grant", a.row.Grant.ID, "attempt", a.id, "error", err)
		return nil, false, later(connectors.Transient, time.Second, "recording a lost answer: %w", err)
	}
	if again {
		return nil, true, nil
	}
	return nil, false, later(connectors.Transient, k.t.Retry, "refreshing: no answer came, or none that can be read")
}

// insideLease reports whether the holder may present the token again in its own lease.
func (k *Keeper) insideLease(a *attempt, r *Row) bool {
	if k.class(r) != classH || r.FirstSent == nil {
		return false
	}
	left := r.FirstSent.Add(time.Duration(r.rule().Grace) - k.t.Send - k.t.Margin).Sub(r.Now)
	if left <= 0 || !k.check(a) {
		return false
	}
	a.latest = min(a.latest, k.cfg.Clock()+left)
	return true
}

// claimAgain records another presentation of the same claim.
func (k *Keeper) claimAgain(ctx context.Context, tx Tx, r *Row, a *attempt) error {
	old := a.id
	a.id, a.at = uuid.New(), r.Now
	k.take(a.id)
	k.leave(old)
	id := a.id
	r.AttemptID = &id
	k.stats.replays.Add(1)
	if err := tx.Begin(ctx, Attempt{ID: a.id, Grant: r.Grant.ID, Epoch: r.Epoch, Gen: r.Gen, Holder: k.holder, Replay: true, At: r.Now, Presentation: presentation(a.pair, r.Grant.ID, r.Epoch, r.Gen)}); err != nil {
		return err
	}
	return tx.Save(ctx)
}

// settleInvalid follows invalid_grant: read again, then the newest spare, then needs_reauth without a new generation,
// so that a late T2 still heals the row.
func (k *Keeper) settleInvalid(ctx context.Context, a *attempt, refusal *oauthflow.TokenError) error {
	err := k.inRow(ctx, a.row.Grant.ID, func(ctx context.Context, tx Tx) error {
		if err := tx.Close(ctx, a.id, OutcomeRefused, refusal.Status, refusal.Error()); err != nil {
			return err
		}
		r := tx.Row()
		if !r.mine(a.id) || r.Epoch != a.row.Epoch || r.Gen != a.row.Gen || r.State == oauthflow.GrantClosing {
			return nil
		}
		promoted, err := k.promoteSpare(ctx, tx, r)
		if err != nil || promoted {
			return err
		}
		class := oauthflow.FailRevoked
		if r.MaybeSent {
			class = oauthflow.FailLostResponse
		}
		return k.reauth(ctx, tx, r, class, refusal.Note())
	})
	if err != nil && !isNotMine(err) {
		k.cfg.Log.Warn("a refusal is left to the sweeper", "grant", a.row.Grant.ID, "attempt", a.id, "error", err)
		return later(connectors.Transient, time.Second, "recording a refusal: %w", err)
	}
	return nil // the row says what it means
}

// reauth sets needs_reauth. A valid access token stays usable.
func (k *Keeper) reauth(ctx context.Context, tx Tx, r *Row, class oauthflow.FailClass, note string) error {
	r.Phase, r.AttemptID, r.Holder = oauthflow.PhaseIdle, nil, ""
	r.State, r.FailClass, r.FailNote = oauthflow.GrantNeedsReauth, class, note
	if err := tx.Save(ctx); err != nil {
		return err
	}
	if err := tx.Follow(ctx, Follow{State: r.State, Reason: stateText(r.State, class, note)}); err != nil {
		return err
	}
	return k.record(ctx, tx, r.Grant.ID, audit.Failed, map[string]string{"outcome": string(r.State), "reason": string(class), "note": note, "epoch": strconv.Itoa(r.Epoch), "gen": strconv.FormatInt(r.Gen, 10)})
}

// settleClient follows invalid_client: the registration has to be saved again, which clears the state. One that was
// saved since the claim is asked with again.
func (k *Keeper) settleClient(ctx context.Context, a *attempt, refusal *oauthflow.TokenError) error {
	err := k.inRow(ctx, a.row.Grant.ID, func(ctx context.Context, tx Tx) error {
		if err := tx.Close(ctx, a.id, OutcomeRefused, refusal.Status, refusal.Error()); err != nil {
			return err
		}
		r := tx.Row()
		if !r.mine(a.id) || r.State != oauthflow.GrantActive {
			return nil
		}
		refused, err := tx.Reject(ctx, a.row.Registration.CredentialGen, refusal.Error())
		if err != nil {
			return err
		}
		r.settled()
		if !refused {
			return tx.Save(ctx)
		}
		r.State, r.FailClass, r.FailNote = oauthflow.GrantConfigError, oauthflow.FailClient, refusal.Code
		if err := tx.Save(ctx); err != nil {
			return err
		}
		if err := tx.Follow(ctx, Follow{State: r.State, Reason: stateText(r.State, r.FailClass, r.FailNote)}); err != nil {
			return err
		}
		return k.record(ctx, tx, r.Grant.ID, audit.Failed, map[string]string{"outcome": string(r.State), "note": refusal.Code, "attempt": a.id.String()})
	})
	if err != nil && !isNotMine(err) {
		k.cfg.Log.Warn("a refused client is left to the sweeper", "grant", a.row.Grant.ID, "attempt", a.id, "error", err)
		return later(connectors.Transient, time.Second, "recording a refused client: %w", err)
	}
	return nil
}
