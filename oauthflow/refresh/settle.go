package refresh

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/google/uuid"

	"tributary/connectors"
	"tributary/internal/audit"
	"tributary/oauthflow"
)

// settle writes the outcome of a request: T2, or what an answer without a pair means. again asks for another
// presentation inside the same lease.
func (k *Keeper) settle(ctx context.Context, a *attempt, token *oauthflow.Token, sendErr error, maybeSent bool) (got *oauthflow.Access, again bool, err error) { //nolint:nonamedreturns // the names say what the three are
	if sendErr == nil {
		k.exit(ctx, a, oauthflow.CallEnd{})
		got, err = k.settlePair(ctx, a, token)
		return got, false, err
	}
	refusal, answered := errors.AsType[*oauthflow.TokenError](sendErr)
	k.exit(ctx, a, endOf(refusal, sendErr))
	k.cfg.Fail(BeforeOutcome)
	defer k.cfg.Fail(AfterOutcome)
	switch {
	case answered && refusal.Definitive && refusal.Class == connectors.GrantLost:
		k.stats.refused.Add(1)
		return nil, false, k.settleInvalid(ctx, a, refusal)
	case answered && refusal.Definitive && refusal.Class == connectors.ClientRejected:
		k.stats.refused.Add(1)
		return nil, false, k.settleClient(ctx, a, refusal)
	case answered && refusal.Definitive:
		k.stats.refused.Add(1)
		end := ending{outcome: OutcomeRefused, status: refusal.Status, note: refusal.Error(), failed: true, class: oauthflow.FailUnknown, retry: refusal.RetryAfter}
		if down(refusal.Class) {
			end.class = oauthflow.FailUnavailable
		}
		k.settleRelease(ctx, a, end)
		return nil, false, later(engineClass(refusal.Class), refusal.RetryAfter, "refreshing: %w", refusal)
	case !answered && !maybeSent:
		k.stats.notSent.Add(1)
		note := oauthflow.CleanText(sendErr.Error(), a.pair.Refresh, a.pair.Access)
		k.settleRelease(ctx, a, ending{outcome: OutcomeNotSent, note: note, failed: true, class: oauthflow.FailUnavailable})
		return nil, false, later(connectors.Transient, 0, "reaching the token endpoint: %s", note)
	}
	k.stats.lost.Add(1)
	status := 0
	if answered {
		status = refusal.Status
	}
	return k.settleLost(ctx, a, status)
}

// down reports whether a class only says that the server does not answer at the moment.
func down(c connectors.Class) bool { return c == connectors.Transient || c == connectors.RateLimited }

// engineClass is the class that the engine sees of a refusal that is no end: nothing of a token endpoint but a lost
// grant or a refused client stops a connection.
func engineClass(c connectors.Class) connectors.Class {
	if c == connectors.RateLimited {
		return c
	}
	return connectors.Transient
}

// endOf is how a call ended, for the gate. A refused grant is no failure of the endpoint.
func endOf(refusal *oauthflow.TokenError, err error) oauthflow.CallEnd {
	if refusal == nil {
		return oauthflow.CallEnd{Failed: true, Reason: "no answer (" + connectors.ClassOf(err).String() + ")"}
	}
	return oauthflow.CallEnd{
		Failed:     refusal.Status >= http.StatusInternalServerError || refusal.Status == http.StatusTooManyRequests,
		Break:      refusal.Definitive && refusal.Class == connectors.ClientRejected,
		RetryAfter: refusal.RetryAfter, Reason: refusal.Error(),
	}
}

// obtained is a pair in this process's memory, with what T2 has to know.
type obtained struct {
	Attempt      uuid.UUID
	Grant        uuid.UUID
	Registration uuid.UUID
	Digest       string // of the endpoints that gave it
	Subject      string
	Epoch        int
	Gen          int64
	Pair         oauthflow.Pair
	At           time.Time     // of the claim, by the database
	Idle         time.Duration // how long the refresh token lives unused; 0 is unknown
	Scopes       []string      // nil where the answer stated none
}

// obtainedFrom makes it of an answer. The access token's life counts from the claim, which is before the answer.
func obtainedFrom(a *attempt, t *oauthflow.Token) obtained {
	o := obtained{
		Attempt: a.id, Grant: a.row.Grant.ID, Registration: a.row.Registration.ID, Digest: a.row.Registration.Digest, Subject: a.row.Grant.Subject, Epoch: a.row.Epoch, Gen: a.row.Gen,
		At: a.at, Pair: oauthflow.Pair{Access: t.Access, Refresh: t.Refresh, Type: t.Type}, Idle: time.Duration(a.row.rule().IdleExpiry),
	}
	if !t.Refresh.IsSet() && a.row.Grant.Kind == oauthflow.GrantCode {
		o.Pair.Refresh = a.pair.Refresh // an answer without one keeps it (RFC 6749 §6)
	}
	if t.ExpiresIn > 0 {
		at := a.at.Add(t.ExpiresIn)
		o.Pair.Expires = &at
	}
	if t.RefreshExpiresIn > 0 {
		o.Idle = t.RefreshExpiresIn
	}
	if t.ScopesStated {
		o.Scopes = t.Scopes
	}
	return o
}

// settlePair is T2 for a pair in memory. At the first failure the pair goes into the spool, and T2 is repeated.
func (k *Keeper) settlePair(ctx context.Context, a *attempt, token *oauthflow.Token) (*oauthflow.Access, error) {
	o := obtainedFrom(a, token)
	k.cfg.Fail(BeforeSettle)
	stored, err := k.t2(ctx, o)
	k.cfg.Fail(AfterSettle)
	if err != nil {
		k.park(o, err)
		return nil, later(connectors.Transient, time.Second, "storing a new token: the database does not answer; it is kept and stored later: %w", err)
	}
	return k.stored(o, stored), nil
}

// fate is what T2 did with a pair.
type fate struct {
	outcome Outcome
	gen     int64 // of the row that holds it
}

// stored ends T2. It returns the token where the row holds it.
func (k *Keeper) stored(o obtained, f fate) *oauthflow.Access {
	switch f.outcome {
	case OutcomeRotated:
		k.stats.rotated.Add(1)
		if f.gen == 0 { // settled before
			return nil
		}
		return &oauthflow.Access{Token: o.Pair.Access, Type: o.Pair.Type, Epoch: o.Epoch, Gen: f.gen, Expires: o.Pair.Expires}
	case OutcomeSpare:
		k.stats.spares.Add(1)
	case OutcomeDiscarded:
		k.stats.discarded.Add(1)
	case OutcomeOpen, OutcomeNotSent, OutcomeRefused, OutcomeLost, OutcomeOrphaned:
	}
	return nil
}

// t2 stores a pair by generation, without a lease or attempt test: a rotation that the provider performed is never
// thrown away. It is stored in the row, or in the place of the pair of an earlier attempt on the same generation, or as
// a spare; a pair of an older consent is discarded. One of a grant that is closing, or of another account than the
// grant's, is kept apart until it is revoked.
func (k *Keeper) t2(ctx context.Context, o obtained) (fate, error) {
	var f fate
	err := k.inRow(ctx, o.Grant, func(ctx context.Context, tx Tx) error {
		f = fate{}
		own, err := tx.Attempt(ctx, o.Attempt)
		if err != nil {
			return err
		}
		if own != nil && own.Outcome.Settled() {
			f.outcome = own.Outcome
			return nil
		}
		r := tx.Row()
		switch {
		case r == nil: // it went with its registration, and with the credentials that could revoke it
			f.outcome = OutcomeDiscarded
			return nil
		case r.State == oauthflow.GrantClosing || r.Grant.ClosedAt != nil || r.Epoch != o.Epoch:
			f.outcome = OutcomeDiscarded
			if err := k.keepLate(ctx, tx, r, o); err != nil {
				return err
			}
		default:
			if f, err = k.place(ctx, tx, r, o, own); err != nil {
				return err
			}
		}
		if err := tx.Close(ctx, o.Attempt, f.outcome, http.StatusOK, ""); err != nil {
			return err
		}
		k.cfg.Fail(InSettle)
		return k.record(ctx, tx, o.Grant, audit.OK, map[string]string{"outcome": string(f.outcome), "attempt": o.Attempt.String(), "epoch": strconv.Itoa(o.Epoch), "gen": strconv.FormatInt(o.Gen, 10)})
	})
	return f, err
}

// keepLate keeps a pair that nobody may use until Grants.Tend has revoked it. A pair of the grant's own account that a
// new consent has replaced is not revoked: that could end the new one.
//
// SECURITY: what a server gave that the registration is at no more is forgotten (OA-30).
func (k *Keeper) keepLate(ctx context.Context, tx Tx, r *Row, o obtained) error {
	ended := r.State == oauthflow.GrantClosing || r.Grant.ClosedAt != nil
	another := o.Subject != "" && r.Grant.Subject != "" && o.Subject != r.Grant.Subject
	if !ended && !another || o.Digest != r.Registration.Digest {
		return nil
	}
	ct, err := oauthflow.SealLate(k.cfg.Vault, o.Grant, o.Epoch, o.Gen, oauthflow.LatePair{Pair: o.Pair, Digest: o.Digest, Subject: o.Subject})
	if err != nil {
		return err
	}
	due := r.Now
	return tx.Keep(ctx, Spare{
		Attempt: o.Attempt, Epoch: oauthflow.LateEpoch(o.Epoch), Base: o.Gen, Sealed: ct, Presentation: presentation(o.Pair, o.Grant, o.Epoch, o.Gen+1), Expires: &due,
	})
}

// place puts a pair of the row's consent into the row or among the spares.
func (k *Keeper) place(ctx context.Context, tx Tx, r *Row, o obtained, own *Attempt) (fate, error) {
	if o.Gen == r.Gen {
		return k.adopt(ctx, tx, r, o)
	}
	before, err := k.earlierSibling(ctx, tx, r, o, own)
	if err != nil {
		return fate{}, err
	}
	if before != nil { // the earlier attempt's pair is kept
		pair, err := k.open(r)
		if err != nil {
			return fate{}, err
		}
		if err := k.keep(ctx, tx, obtained{Attempt: before.ID, Grant: o.Grant, Epoch: r.Epoch, Gen: before.Gen, Pair: pair}); err != nil {
			return fate{}, err
		}
		return k.adopt(ctx, tx, r, o)
	}
	if err := k.keep(ctx, tx, o); err != nil {
		return fate{}, err
	}
	if r.State == oauthflow.GrantNeedsReauth {
		if _, err := k.promoteSpare(ctx, tx, r); err != nil {
			return fate{}, err
		}
	}
	return fate{outcome: OutcomeSpare}, nil
}

// earlierSibling returns the attempt whose pair the row holds, where the server gives each presentation of a replaced
// token a pair of its own, it was on the same generation, and it was claimed before o's.
func (k *Keeper) earlierSibling(ctx context.Context, tx Tx, r *Row, o obtained, own *Attempt) (*Attempt, error) {
	if !k.class(r).grace() || o.Gen > r.Gen || r.PairAttempt == nil || own == nil {
		return nil, nil //nolint:nilnil // none
	}
	holds, err := tx.Attempt(ctx, *r.PairAttempt)
	if err != nil || holds == nil || holds.Epoch != o.Epoch || holds.Gen != o.Gen || holds.Seq > own.Seq {
		return nil, err
	}
	return holds, nil
}

// keep writes a pair as a spare.
func (k *Keeper) keep(ctx context.Context, tx Tx, o obtained) error {
	ct, err := oauthflow.SealPair(k.cfg.Vault, oauthflow.PairPlace(o.Grant, o.Epoch, o.Gen, oauthflow.FieldSpare), o.Pair)
	if err != nil {
		return err
	}
	return tx.Keep(ctx, Spare{
		Attempt: o.Attempt, Epoch: o.Epoch, Base: o.Gen, Sealed: ct, Expires: o.Pair.Expires,
		Presentation: presentation(o.Pair, o.Grant, o.Epoch, o.Gen+1),
	})
}

// adopt moves the row to the next generation with a pair.
func (k *Keeper) adopt(ctx context.Context, tx Tx, r *Row, o obtained) (fate, error) {
	ct, err := oauthflow.SealPair(k.cfg.Vault, oauthflow.PairPlace(o.Grant, r.Epoch, r.Gen+1, oauthflow.FieldTokens), o.Pair)
	if err != nil {
		return fate{}, err
	}
	healed := r.State != oauthflow.GrantActive || r.FailClass != oauthflow.FailNone
	attempt := o.Attempt
	r.Gen, r.Sealed, r.Expires, r.Obtained, r.PairAttempt = r.Gen+1, ct, o.Pair.Expires, o.At, &attempt
	if o.At.IsZero() {
		r.Obtained, r.PairAttempt = r.Now, nil
	}
	if o.Idle > 0 {
		at := r.Obtained.Add(o.Idle)
		r.IdleExpires = &at
	}
	r.Phase, r.MaybeSent, r.FirstSent, r.AttemptID, r.Holder, r.LeaseUntil = oauthflow.PhaseIdle, false, nil, nil, "", nil
	r.Failures, r.FirstFailedAt, r.NextTry = 0, nil, r.Now
	r.State, r.FailClass, r.FailNote = oauthflow.GrantActive, oauthflow.FailNone, ""
	r.Refreshable = r.renewable(o.Pair)
	if err := tx.Save(ctx); err != nil {
		return fate{}, err
	}
	if o.Scopes != nil {
		if err := tx.SetScopes(ctx, o.Scopes); err != nil {
			return fate{}, err
		}
	}
	if healed {
		if err := tx.Follow(ctx, Follow{State: oauthflow.GrantActive}); err != nil {
			return fate{}, err
		}
	}
	return fate{outcome: OutcomeRotated, gen: r.Gen}, nil
}

// promoteSpare puts the newest spare of this consent into the row whose token no attempt has presented. It reports
// whether there was one. Spares that are of no use any more are dropped.
func (k *Keeper) promoteSpare(ctx context.Context, tx Tx, r *Row) (bool, error) {
	if r.State == oauthflow.GrantClosing || r.Grant.ClosedAt != nil {
		return false, nil
	}
	spares, err := tx.Spares(ctx)
	if err != nil {
		return false, err
	}
	for _, s := range spares {
		if s.Epoch != r.Epoch {
			continue
		}
		if err := tx.Drop(ctx, s.Attempt); err != nil {
			return false, err
		}
		used, err := tx.Presented(ctx, s.Presentation)
		if err != nil {
			return false, err
		}
		if used && k.class(r) != classN {
			continue
		}
		pair, err := oauthflow.OpenPair(k.cfg.Vault, oauthflow.PairPlace(r.Grant.ID, s.Epoch, s.Base, oauthflow.FieldSpare), s.Sealed)
		if err != nil {
			return false, fmt.Errorf("opening a spare pair: %w", err)
		}
		if _, err := k.adopt(ctx, tx, r, obtained{Attempt: s.Attempt, Grant: r.Grant.ID, Epoch: r.Epoch, Gen: r.Gen, Pair: pair}); err != nil {
			return false, err
		}
		k.stats.promoted.Add(1)
		k.cfg.Fail(InPromote)
		return true, k.record(ctx, tx, r.Grant.ID, audit.OK, map[string]string{"outcome": "promoted", "attempt": s.Attempt.String(), "epoch": strconv.Itoa(r.Epoch), "gen": strconv.FormatInt(r.Gen, 10)})
	}
	return false, nil
}

// mine reports whether the row is in flight by this attempt.
func (r *Row) mine(attempt uuid.UUID) bool {
	return r != nil && r.Phase == oauthflow.PhaseInFlight && r.AttemptID != nil && *r.AttemptID == attempt
}

// record writes the audit event of a refresh, in its transaction.
func (k *Keeper) record(ctx context.Context, tx Tx, grant uuid.UUID, outcome audit.Outcome, detail map[string]string) error {
	return tx.Record(ctx, audit.Event{
		Actor: audit.Actor{Kind: audit.System, Name: "refresh", Authenticated: true}, Action: "grant.refresh",
		Target: audit.Target{Kind: "grant", ID: grant.String()}, Outcome: outcome, Detail: detail,
	})
}
