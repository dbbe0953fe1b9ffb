package oauthflow

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"tributary/internal/audit"
	"tributary/internal/seal"
)

// closeTries is how often a revocation is tried before the tokens are forgotten without it: about two hours.
const closeTries = 8

// Closed is what became of a grant at the provider.
type Closed struct {
	// Done means that no token is stored any more. Otherwise the provider could not be reached, and Tend tries again.
	Done bool
	// Revoked means that the provider confirmed it.
	Revoked bool
	Note    string // for people: what happened, and what is left to do
	// ManageURL is where the person can remove the access; "" where the provider names none.
	ManageURL string
}

// CloseGrant revokes the tokens of a grant that is closing, and forgets them. It may be called again after any failure.
// After a number of tries the tokens are forgotten whatever the provider says, and the note says so.
func (g *Grants) CloseGrant(ctx context.Context, id uuid.UUID) (*Closed, error) {
	grant, err := g.store.GrantByID(ctx, id)
	if err != nil {
		return nil, err
	}
	if grant == nil {
		return nil, errNoGrant
	}
	r, err := g.store.RegistrationByID(ctx, grant.RegistrationID)
	if err != nil || r == nil {
		return nil, missingRegistration(err)
	}
	// SECURITY: the tokens are read after where they go: a registration that is pointed elsewhere takes them away (OA-30).
	c, err := g.store.LoadClosing(ctx, id)
	if err != nil {
		return nil, err
	}
	if c == nil {
		return &Closed{Done: true, Note: "The grant is closed."}, nil
	}
	out := &Closed{ManageURL: r.Profile.Revocation.ManageURL}
	err = g.revokeAll(ctx, r, c)
	if errors.Is(err, errStore) {
		return nil, err
	}
	if errors.Is(err, errLocked) { // SECURITY: what the right key would open is never thrown away because it is missing
		out.Note = "The tokens cannot be decrypted, and so not revoked: put the master key file of this instance back. It is tried again."
		return out, g.store.ClosingFailed(ctx, id, out.Note, time.Hour)
	}
	if err != nil && worthRetry(err) && c.Failures+1 < closeTries {
		out.Note = "The provider did not confirm the revocation (" + causeOf(err) + "); it is tried again."
		wait := min(30*time.Second<<c.Failures, time.Hour)
		return out, g.store.ClosingFailed(ctx, id, out.Note, wait)
	}
	out.Done, out.Revoked = true, err == nil
	outcome := audit.OK
	switch {
	case err == nil:
		out.Note = "The provider revoked the grant."
	case errors.Is(err, errAccountShared):
		out.Note = "The tokens were forgotten here. They were not revoked, because that would end another grant of the same account."
	case errors.Is(err, ErrNoRevocation):
		out.Note = "The tokens were forgotten here. " + r.Profile.Title + " offers no way to revoke them: remove the access at the provider."
	default:
		outcome = audit.Failed
		out.Note = "The tokens were forgotten here. The provider did not confirm the revocation (" + causeOf(err) + "): remove the access at the provider."
	}
	return out, g.forget(ctx, id, out.Note, outcome)
}

// forget closes a grant that is closing, with every token of it.
func (g *Grants) forget(ctx context.Context, id uuid.UUID, note string, outcome audit.Outcome) error {
	e := grantEvent(audit.Actor{Kind: audit.System, Name: "oauth"}, "grant.close", id, map[string]string{"note": note})
	e.Outcome = outcome
	return g.store.FinishClosing(ctx, id, note, e)
}

// revokingLife is longer than all requests of one CloseGrant take together.
const revokingLife = 5 * time.Minute

// Errors of revokeAll.
var (
	errAccountShared = errors.New("another grant of the same account is in use")
	errStore         = errors.New("reading what to revoke")
	errLocked        = errors.New("the master key does not open it")
)

// revokeAll revokes every pair that is stored, the newest first. Where a revocation ends all that the account granted,
// nothing is sent while another grant of the account lives (OA-24).
func (g *Grants) revokeAll(ctx context.Context, r *Registration, c *Closing) error {
	if r.Profile.Revocation.Style == RevokeNone || c.Grant.Kind == GrantInstallation { // a token of an installation ends within the hour
		return ErrNoRevocation
	}
	if r.Profile.Revocation.Reach == ReachGrant { // SECURITY: grants of nobody known may all be of one account
		shared, err := g.store.BeginRevoking(ctx, c.Grant.ID, revokingLife)
		if err != nil {
			return errors.Join(errStore, err)
		}
		if shared {
			return errAccountShared
		}
	}
	if len(c.Pairs) == 0 {
		return nil
	}
	client, err := openClient(ctx, g.store, g.vault, r)
	if fe, ok := errors.AsType[*FlowError](err); ok && fe.Code == FlowVault {
		return errLocked
	}
	if err != nil {
		return errors.Join(errStore, err)
	}
	var first error
	ended := false // all that the account granted
	for _, p := range c.Pairs {
		pair, err := OpenPair(g.vault, PairPlace(c.Grant.ID, p.Epoch, p.Gen, p.Field), p.Sealed)
		if errors.Is(err, seal.ErrUnknownKey) {
			return errLocked
		}
		if err == nil {
			err = g.client.RevokePair(ctx, client, pair)
			ended = ended || err == nil && r.Profile.Revocation.Reach == ReachGrant
		}
		if err != nil && first == nil {
			first = err
		}
	}
	if ended && errors.Is(first, errNotEnded) {
		return nil
	}
	return first
}

// Tend does what is due: it ends grants and connections whose time is over, revokes what is left to revoke and what came
// late, and deletes consents that nobody finished. A job calls it every minute; any number of processes may.
func (g *Grants) Tend(ctx context.Context) error {
	_, err := g.store.ExpireDue(ctx)
	errs := []error{err}
	due, err := g.store.DueClosing(ctx, 100)
	errs = append(errs, err)
	for _, id := range due {
		_, err := g.CloseGrant(ctx, id)
		errs = append(errs, err)
	}
	errs = append(errs, g.tendLate(ctx))
	_, err = g.store.PurgeFlows(ctx)
	return errors.Join(append(errs, err)...)
}
