package oauthflow

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"tributary/internal/audit"
	"tributary/internal/seal"
)

// SealedLate is a LatePair as it is stored.
type SealedLate struct {
	Attempt      uuid.UUID
	Grant        uuid.UUID
	Registration uuid.UUID
	Epoch        int // a LateEpoch
	Gen          int64
	Sealed       []byte
	Age          time.Duration
}

// LateStore keeps pairs that came late until they are revoked.
type LateStore interface {
	// TakeLate returns late pairs that are due. Each is due again later, after a time as long as its age: at least a
	// minute, at most six hours.
	TakeLate(ctx context.Context, limit int) ([]SealedLate, error)
	// ForgetLate deletes a late pair, and reports that with e where it was there.
	ForgetLate(ctx context.Context, attempt uuid.UUID, e audit.Event) error
	// SharesAccount reports whether a live grant of the registration belongs to the account.
	SharesAccount(ctx context.Context, registration uuid.UUID, subject string) (bool, error)
	// EndRevoking ends what BeginRevoking began.
	EndRevoking(ctx context.Context, grant uuid.UUID) error
}

// lateLife is how long a late pair is tried to be revoked. Then it is forgotten, and the audit log says so.
const lateLife = 30 * 24 * time.Hour

// errElsewhere means that a registration is at another server than the one that gave a pair.
var errElsewhere = errors.New("the registration is at another server since")

// tendLate revokes the pairs that came late and are due.
func (g *Grants) tendLate(ctx context.Context) error {
	due, err := g.store.TakeLate(ctx, 100)
	errs := []error{err}
	for _, late := range due {
		errs = append(errs, g.closeLate(ctx, late))
	}
	return errors.Join(errs...)
}

// closeLate revokes a late pair, and forgets it where the provider says that it is gone, or where nobody can end it.
// Otherwise it stays, and is due again.
func (g *Grants) closeLate(ctx context.Context, s SealedLate) error {
	err := g.revokeLate(ctx, s)
	note, outcome := "The provider revoked tokens that came after their grant had ended.", audit.OK
	switch {
	case err == nil:
	case errors.Is(err, errStore):
		return err
	case errors.Is(err, errLocked): // SECURITY: what the right key would open is never thrown away because it is missing
		return nil
	case errors.Is(err, errAccountShared):
		note = "Tokens that came after their grant had ended were forgotten. They were not revoked, because that would end another grant of the same account."
	case errors.Is(err, ErrNoRevocation):
		note = "Tokens that came after their grant had ended were forgotten. The provider offers no way to revoke them: remove the access at the provider."
	case errors.Is(err, errElsewhere), errors.Is(err, errNotEnded), errors.Is(err, seal.ErrRefused), errors.Is(err, seal.ErrMalformed), s.Age > lateLife:
		note, outcome = "Tokens that came after their grant had ended were forgotten and not revoked ("+lateCause(err)+"): remove the access at the provider.", audit.Failed
	default:
		return nil
	}
	e := grantEvent(audit.Actor{Kind: audit.System, Name: "oauth"}, "grant.close_late", s.Grant, map[string]string{"note": note, "attempt": s.Attempt.String()})
	e.Outcome = outcome
	return g.store.ForgetLate(ctx, s.Attempt, e)
}

func lateCause(err error) string {
	if errors.Is(err, errElsewhere) {
		return errElsewhere.Error()
	}
	return causeOf(err)
}

// revokeLate sends one pair to the revocation endpoint.
func (g *Grants) revokeLate(ctx context.Context, s SealedLate) error {
	r, err := g.store.RegistrationByID(ctx, s.Registration)
	if err != nil || r == nil {
		return errors.Join(errStore, missingRegistration(err))
	}
	late, err := OpenLate(g.vault, s.Grant, s.Epoch, s.Gen, s.Sealed)
	switch {
	case errors.Is(err, seal.ErrRefused), errors.Is(err, seal.ErrMalformed):
		return err
	case err != nil:
		return errLocked
	case late.Digest != r.Digest: // SECURITY: a server that an owner chose later gets nothing of the first (OA-30)
		return errElsewhere
	case r.Profile.Revocation.Style == RevokeNone:
		return ErrNoRevocation
	}
	client, err := openClient(ctx, g.store, g.vault, r)
	if fe, ok := errors.AsType[*FlowError](err); ok && fe.Code == FlowVault {
		return errLocked
	}
	if err != nil {
		return errors.Join(errStore, err)
	}
	if r.Profile.Revocation.Reach == ReachGrant {
		shared, err := g.lateShares(ctx, s, late.Subject)
		if err != nil {
			return errors.Join(errStore, err)
		}
		if shared {
			return errAccountShared
		}
		defer func() { _ = g.store.EndRevoking(ctx, s.Grant) }() // it ends by itself, too
	}
	return g.client.RevokePair(ctx, client, late.Pair)
}

// lateShares reports whether a revocation of all that an account granted would end a live grant. Where it would not,
// consents of the account wait until EndRevoking.
//
// SECURITY: tokens of nobody known may be of any account.
func (g *Grants) lateShares(ctx context.Context, s SealedLate, subject string) (bool, error) {
	grant, err := g.store.GrantByID(ctx, s.Grant)
	if err != nil || grant == nil || subject == "" {
		return true, err
	}
	if subject == grant.Subject {
		return g.store.BeginRevoking(ctx, s.Grant, revokingLife)
	}
	return g.store.SharesAccount(ctx, s.Registration, subject)
}
