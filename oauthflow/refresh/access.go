package refresh

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"

	"tributary/connectors"
	"tributary/internal/secret"
	"tributary/oauthflow"
)

// Access returns a token that is valid for a while, refreshing it where that is due. It is part of oauthflow.Tokens.
func (k *Keeper) Access(ctx context.Context, grant uuid.UUID) (oauthflow.Access, error) {
	return k.obtain(ctx, grant, nil)
}

// Rejected returns another token than used, which a resource server answered with 401. Where another process has
// refreshed since, nothing is asked for. A token that nothing can replace is returned again where the provider itself
// takes it: one resource's 401 does not end the grant. It is part of oauthflow.Tokens.
func (k *Keeper) Rejected(ctx context.Context, grant uuid.UUID, used oauthflow.Access) (oauthflow.Access, error) {
	if stands, err := k.standsBy(ctx, grant, used); err != nil || stands {
		return used, err
	}
	err := k.inRow(ctx, grant, func(ctx context.Context, tx Tx) error {
		r := tx.Row()
		if r == nil || r.Epoch != used.Epoch || r.Gen != used.Gen || r.rejected() {
			return nil
		}
		gen := r.Gen
		r.RejectedGen = &gen
		return tx.Save(ctx)
	})
	if err != nil {
		return oauthflow.Access{}, later(connectors.Transient, 0, "recording a refused token: %w", err)
	}
	return k.obtain(ctx, grant, nil)
}

// standsBy reports whether a token is the row's, cannot be replaced, and is taken by the provider.
func (k *Keeper) standsBy(ctx context.Context, grant uuid.UUID, used oauthflow.Access) (bool, error) {
	row, err := k.load(ctx, grant)
	if err != nil {
		return false, err
	}
	if row.Epoch != used.Epoch || row.Gen != used.Gen || !row.valid() || row.State != oauthflow.GrantActive || row.ended() {
		return false, nil
	}
	pair, err := k.open(row)
	if err != nil || row.renewable(pair) {
		return false, err
	}
	accepted, known, err := k.accepts(ctx, row, used)
	return accepted && known, err
}

// Lives reports whether the provider stands by the grant although a resource server refused a token that Rejected had
// just returned: it takes that token itself, or, where it has no account endpoint to ask, its token endpoint gave it.
// It is part of oauthflow.Tokens.
func (k *Keeper) Lives(ctx context.Context, grant uuid.UUID, used oauthflow.Access) (bool, error) {
	row, err := k.load(ctx, grant)
	if err != nil {
		return false, err
	}
	if err := row.dead(); err != nil {
		return false, err
	}
	accepted, known, err := k.accepts(ctx, row, used)
	if err != nil || accepted || !known {
		return err == nil, err
	}
	// A token that came to its end or was replaced meanwhile is refused for that reason, which says nothing of the grant.
	if row, err = k.load(ctx, grant); err != nil {
		return false, err
	}
	if row.Epoch != used.Epoch || row.Gen != used.Gen || used.Expires != nil && !used.Expires.After(row.Now) {
		return false, later(connectors.Transient, 0, "the access token ended while it was in use")
	}
	return false, nil
}

// Prober is a Sender that can ask whether the provider itself takes an access token; known is false where nobody can tell.
type Prober interface {
	Accepts(ctx context.Context, r Request, access secret.Text) (accepted, known bool, err error)
}

func (k *Keeper) accepts(ctx context.Context, row *Row, used oauthflow.Access) (accepted, known bool, err error) { //nolint:nonamedreturns // the names say what the three are
	p, ok := k.cfg.Sender.(Prober)
	if !ok {
		return false, false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, k.t.Send)
	defer cancel()
	accepted, known, err = p.Accepts(ctx, Request{Grant: row.Grant, Registration: row.Registration}, used.Token)
	if err != nil {
		return false, false, later(engineClass(connectors.ClassOf(err)), connectors.RetryAfterOf(err), "asking whether the grant lives: %s", oauthflow.CleanText(err.Error(), used.Token))
	}
	return accepted, known, nil
}

// Refresh obtains a new pair although the present one is valid, and now rather than after a back-off.
func (k *Keeper) Refresh(ctx context.Context, grant uuid.UUID) (oauthflow.Access, error) {
	var old mark
	err := k.inRow(ctx, grant, func(ctx context.Context, tx Tx) error {
		r := tx.Row()
		if r == nil {
			return nil
		}
		old = mark{r.Epoch, r.Gen}
		if r.State != oauthflow.GrantActive || !r.NextTry.After(r.Now) {
			return nil
		}
		r.NextTry = r.Now
		return tx.Save(ctx)
	})
	if err != nil {
		return oauthflow.Access{}, later(connectors.Transient, 0, "reading grant: %w", err)
	}
	return k.obtain(ctx, grant, &old)
}

// mark names a pair.
type mark struct {
	epoch int
	gen   int64
}

// rejected reports whether a resource server refused the row's token.
func (r *Row) rejected() bool { return r.RejectedGen != nil && *r.RejectedGen == r.Gen }

// left returns how long the access token is valid; known is false where nobody knows.
func (r *Row) left() (d time.Duration, known bool) {
	if r.Expires == nil {
		return 0, false
	}
	return r.Expires.Sub(r.Now), true
}

// valid reports whether the access token works, as far as we know.
func (r *Row) valid() bool {
	left, known := r.left()
	return len(r.Sealed) > 0 && !r.rejected() && (!known || left > 0)
}

// fresh reports whether the access token works for longer than the skew: min(max(60 s, 10 % of its life), life/2).
func (r *Row) fresh() bool {
	left, known := r.left()
	if !known {
		return r.valid()
	}
	life := r.Expires.Sub(r.Obtained)
	skew := min(max(time.Minute, life/10), life/2)
	return r.valid() && left > skew
}

// obtain returns a token that is not the pair beyond.
func (k *Keeper) obtain(ctx context.Context, grant uuid.UUID, beyond *mark) (oauthflow.Access, error) {
	for look := 0; ; look++ {
		row, err := k.load(ctx, grant)
		if err != nil {
			return oauthflow.Access{}, err
		}
		pair, err := k.open(row)
		if err != nil {
			return oauthflow.Access{}, err
		}
		usable := beyond == nil || *beyond != mark{row.Epoch, row.Gen}
		if usable && row.fresh() && row.dead() == nil {
			return access(row, pair), nil
		}
		usable = usable && row.valid()
		got, err := k.due(ctx, row, pair, usable)
		switch {
		case got != nil:
			return *got, nil
		case usable && !row.ended():
			return access(row, pair), nil
		case err != nil:
			return oauthflow.Access{}, err
		}
		if err := k.pause(ctx, look); err != nil {
			return oauthflow.Access{}, later(connectors.Transient, time.Second, "waiting for another process's refresh: %w", err)
		}
	}
}

// due refreshes a row that is not fresh. It returns a new token, or an error that ends the wait for one, or neither:
// another process acts, and the row is worth another look.
func (k *Keeper) due(ctx context.Context, row *Row, pair oauthflow.Pair, usable bool) (*oauthflow.Access, error) {
	if err := row.dead(); err != nil {
		return nil, err
	}
	if !row.renewable(pair) {
		if usable {
			return nil, nil //nolint:nilnil // the token at hand is used to its end
		}
		return nil, k.expire(ctx, row)
	}
	if wait := row.NextTry.Sub(row.Now); wait > 0 {
		return nil, later(classOf(row.FailClass), wait, "the token endpoint is asked again in %s: %s", wait.Round(time.Second), row.FailNote)
	}
	if row.Phase == oauthflow.PhaseInFlight {
		if row.LeaseUntil != nil && !row.LeaseUntil.After(row.Now) {
			return nil, k.sweepRow(ctx, row.Grant.ID)
		}
		if !k.working(row.Grant.ID) {
			return nil, nil //nolint:nilnil // look again
		}
	}
	return k.share(ctx, row, pair, usable)
}

// dead returns why the row can give no new token, as an error; nil where it can.
func (r *Row) dead() error {
	switch {
	case r.State == oauthflow.GrantClosing, r.Grant.ClosedAt != nil:
		return lost(stateText(oauthflow.GrantClosing, "", ""))
	case r.Grant.ExpiresAt != nil && !r.Grant.ExpiresAt.After(r.Now):
		return lost("the grant has reached the end that was set for it")
	case r.State == oauthflow.GrantNeedsReauth:
		return lost(stateText(r.State, r.FailClass, r.FailNote))
	case r.State == oauthflow.GrantConfigError:
		return rejected(stateText(r.State, r.FailClass, r.FailNote))
	}
	return nil
}

// ended reports whether even a valid token must not be used.
func (r *Row) ended() bool {
	return r.State == oauthflow.GrantClosing || r.Grant.ClosedAt != nil || r.Grant.ExpiresAt != nil && !r.Grant.ExpiresAt.After(r.Now)
}

// renewable reports whether there is something to ask with.
func (r *Row) renewable(pair oauthflow.Pair) bool {
	return r.Grant.Kind != oauthflow.GrantCode || pair.Refresh.IsSet()
}

// expire records that a grant without a refresh token has come to its end.
func (k *Keeper) expire(ctx context.Context, seen *Row) error {
	class := oauthflow.FailExpired
	if seen.rejected() {
		class = oauthflow.FailRevoked
	}
	err := k.inRow(ctx, seen.Grant.ID, func(ctx context.Context, tx Tx) error {
		r := tx.Row()
		if r == nil || r.Epoch != seen.Epoch || r.Gen != seen.Gen || r.State != oauthflow.GrantActive || r.valid() {
			return errNotMine
		}
		return k.reauth(ctx, tx, r, class, "the provider gave no refresh token")
	})
	if err != nil && !isNotMine(err) {
		return later(connectors.Transient, 0, "recording an expired grant: %w", err)
	}
	return lost(stateText(oauthflow.GrantNeedsReauth, class, "the provider gave no refresh token"))
}

// load reads the row of a grant.
func (k *Keeper) load(ctx context.Context, grant uuid.UUID) (*Row, error) {
	bounded, cancel := context.WithTimeout(ctx, k.t.Store)
	defer cancel()
	row, err := k.cfg.Store.Load(bounded, grant)
	if err != nil {
		if ctx.Err() == nil {
			k.link.down()
		}
		return nil, later(connectors.Transient, 0, "reading grant: %w", err)
	}
	k.link.touch(k.cfg.Clock(), k.t.Silent)
	if row == nil {
		return nil, lost("the grant no longer exists; connect again")
	}
	return row, nil
}

// open decrypts the pair of a row, and writes nothing where it cannot.
func (k *Keeper) open(r *Row) (oauthflow.Pair, error) {
	if k.cfg.Vault == nil {
		return oauthflow.Pair{}, &connectors.Error{Op: op, Class: connectors.Transient, Err: fmt.Errorf("%w: %w", ErrMasterKey, k.cfg.VaultErr)}
	}
	if len(r.Sealed) == 0 {
		if r.Grant.Kind == oauthflow.GrantCode {
			return oauthflow.Pair{}, lost("the grant holds no tokens; grant access again")
		}
		return oauthflow.Pair{}, nil // one between servers, before its first token
	}
	pair, err := oauthflow.OpenPair(k.cfg.Vault, oauthflow.PairPlace(r.Grant.ID, r.Epoch, r.Gen, oauthflow.FieldTokens), r.Sealed)
	if err != nil {
		return oauthflow.Pair{}, &connectors.Error{Op: op, Class: connectors.Transient, Err: fmt.Errorf("%w: %w", ErrMasterKey, err)}
	}
	return pair, nil
}

func access(r *Row, p oauthflow.Pair) oauthflow.Access {
	return oauthflow.Access{Token: p.Access, Type: p.Type, Epoch: r.Epoch, Gen: r.Gen, Expires: r.Expires}
}

// pause waits before another look at a row, longer each time, with jitter.
func (k *Keeper) pause(ctx context.Context, look int) error {
	d := k.t.Poll << min(look, 4)
	return wait(ctx, d+rand.N(d)) //nolint:gosec // jitter
}

// wait returns after d, or with ctx.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func classOf(f oauthflow.FailClass) connectors.Class {
	if f == oauthflow.FailClient {
		return connectors.ClientRejected
	}
	return connectors.Transient
}
