package refresh

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"tributary/connectors"
	"tributary/internal/secret"
	"tributary/oauthflow"
)

// Request is what is asked of a provider.
type Request struct {
	Grant        oauthflow.Grant
	Registration oauthflow.Registration
	// Pair holds the refresh token to present. Grants between servers have none: a new token is asked for.
	Pair oauthflow.Pair
}

// Sender asks a provider for a new token: one request, which follows no redirect and is repeated by nothing. The error
// is an *oauthflow.TokenError where the server answered; with any other one the trace tells whether the request can
// have reached it.
type Sender interface {
	Send(ctx context.Context, r Request, trace *oauthflow.Trace) (*oauthflow.Token, error)
}

// TokenSender is the Sender over HTTP.
type TokenSender struct {
	Tokens *oauthflow.TokenClient
	// Client returns the client of a registration with its credentials.
	Client func(ctx context.Context, registration uuid.UUID) (oauthflow.Client, error)
}

// Send implements Sender.
func (s *TokenSender) Send(ctx context.Context, r Request, trace *oauthflow.Trace) (*oauthflow.Token, error) {
	client, err := s.clientOf(ctx, r.Registration.ID, r.Registration.Digest)
	if err != nil {
		return nil, err
	}
	if r.Grant.Kind != oauthflow.GrantCode {
		return s.Tokens.Obtain(ctx, client, r.Grant, trace)
	}
	return s.Tokens.Refresh(ctx, client, r.Pair.Refresh, r.Grant.Scopes, r.Grant.Params, trace)
}

// Accepts implements Prober.
func (s *TokenSender) Accepts(ctx context.Context, r Request, access secret.Text) (accepted, known bool, err error) { //nolint:nonamedreturns // the names say what the three are
	client, err := s.clientOf(ctx, r.Registration.ID, r.Registration.Digest)
	if err != nil {
		return false, false, err
	}
	return s.Tokens.Accepts(ctx, client.Registration, &r.Grant, access)
}

// clientOf returns the client of a registration while it is at the endpoints of digest.
//
// SECURITY: one that an owner has pointed elsewhere gets no token that was claimed or given before (OA-30).
func (s *TokenSender) clientOf(ctx context.Context, registration uuid.UUID, digest string) (oauthflow.Client, error) {
	client, err := s.Client(ctx, registration)
	if err != nil {
		return oauthflow.Client{}, fmt.Errorf("reading client registration: %w", err)
	}
	if client.Registration.Profile.Digest() != digest {
		return oauthflow.Client{}, errMoved
	}
	return client, nil
}

var errMoved = errors.New("the registration is at another server since")

// call is one refresh in this process, which every caller of its grant waits for.
type call struct {
	done chan struct{}
	got  *oauthflow.Access
	err  error
}

// working reports whether this process refreshes the grant at this moment.
func (k *Keeper) working(grant uuid.UUID) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.calls[grant] != nil
}

// share joins the refresh of a grant that is under way in this process, or starts one. A caller with a usable token
// does not wait for another's.
func (k *Keeper) share(ctx context.Context, row *Row, pair oauthflow.Pair, usable bool) (*oauthflow.Access, error) {
	k.mu.Lock()
	c := k.calls[row.Grant.ID]
	switch {
	case c != nil && usable:
		k.mu.Unlock()
		return nil, nil //nolint:nilnil // the token at hand is used
	case c == nil && k.closed:
		k.mu.Unlock()
		return nil, later(connectors.Transient, time.Second, "this process is stopping")
	case c == nil:
		c = &call{done: make(chan struct{})}
		k.calls[row.Grant.ID] = c
		go k.lead(c, row, pair)
	}
	k.mu.Unlock()
	select {
	case <-c.done:
		return c.got, c.err
	case <-ctx.Done():
		return nil, later(connectors.Transient, time.Second, "waiting for a refresh: %w", ctx.Err())
	}
}

// lead refreshes, whatever becomes of the caller: a request that was sent is settled.
func (k *Keeper) lead(c *call, row *Row, pair oauthflow.Pair) {
	defer func() {
		k.mu.Lock()
		delete(k.calls, row.Grant.ID)
		k.mu.Unlock()
		close(c.done)
	}()
	c.got, c.err = k.refresh(k.base, row, pair)
}

// gateKey names the token endpoint of a registration.
func gateKey(r *Row) string { return "token:" + r.Registration.ID.String() }

// refresh claims, sends and settles. Neither a token nor an error means that another process acts.
func (k *Keeper) refresh(ctx context.Context, row *Row, pair oauthflow.Pair) (*oauthflow.Access, error) {
	if wait := k.deniedFor(gateKey(row)); wait > 0 {
		return nil, later(connectors.Transient, wait, "the token endpoint is asked again in %s", wait.Round(time.Second))
	}
	a, wait, err := k.claim(ctx, row, pair)
	if err != nil {
		return nil, err
	}
	if a == nil {
		if wait > 2*time.Second {
			return nil, later(connectors.Transient, wait, "a refresh has no outcome that is known; it is repeated when that cannot harm, in %s", wait.Round(time.Second))
		}
		return nil, nil //nolint:nilnil // look again
	}
	defer func() { k.leave(a.id) }() // by its last name
	for {
		got, again, err := k.present(ctx, a)
		if !again {
			return got, err
		}
	}
}

// present sends the request of a claimed attempt and settles its outcome. again asks for another presentation inside
// the same lease.
func (k *Keeper) present(ctx context.Context, a *attempt) (got *oauthflow.Access, again bool, err error) { //nolint:nonamedreturns // the names say what the three are
	if wait, err := k.enter(ctx, a); err != nil || wait > 0 {
		k.stats.notSent.Add(1)
		k.settleRelease(ctx, a, ending{outcome: OutcomeNotSent, retry: wait})
		if err != nil {
			return nil, false, later(connectors.Transient, 0, "asking for leave to send: %w", err)
		}
		return nil, false, later(connectors.Transient, wait, "the token endpoint is asked again in %s", wait.Round(time.Second))
	}
	if !k.check(a) {
		k.stats.notSent.Add(1)
		k.exit(ctx, a, oauthflow.CallEnd{Failed: true, Reason: "nothing was sent in time"})
		k.settleRelease(ctx, a, ending{outcome: OutcomeNotSent})
		return nil, false, later(connectors.Transient, time.Second, "the claim became too old before the request could be sent")
	}
	trace := &oauthflow.Trace{}
	token, sendErr := k.send(ctx, a, trace)
	return k.settle(ctx, a, token, sendErr, trace.MaybeSent())
}

// send makes the one request, within D.
func (k *Keeper) send(ctx context.Context, a *attempt, trace *oauthflow.Trace) (*oauthflow.Token, error) {
	ctx, cancel := context.WithTimeout(ctx, k.t.Send)
	defer cancel()
	trace.Step = func(s oauthflow.TraceStep) {
		switch s {
		case oauthflow.StepConnected:
			k.cfg.Fail(BeforeWrite)
			if k.cfg.Clock() > a.start+k.t.Lease { // the process was paused while it connected
				cancel()
			}
		case oauthflow.StepWrote:
			k.stats.sent.Add(1)
			k.cfg.Fail(AfterWrite)
		case oauthflow.StepHeaders:
			k.cfg.Fail(AfterHeaders)
		}
	}
	token, err := k.cfg.Sender.Send(ctx, Request{Grant: a.row.Grant, Registration: a.row.Registration, Pair: a.pair}, trace)
	k.cfg.Fail(AfterBody)
	if err == nil && !token.Access.IsSet() {
		return nil, errors.New("the sender returned no token")
	}
	return token, err
}

// shortWait is how long a claimed attempt waits for its turn. For longer ones it is released.
const shortWait = 2 * time.Second

// enter asks the gate, and waits for a turn that comes soon. A longer wait is remembered, so that this process claims
// nothing for it before.
func (k *Keeper) enter(ctx context.Context, a *attempt) (time.Duration, error) {
	if k.cfg.Gate == nil {
		return 0, nil
	}
	for {
		enterCtx, cancel := context.WithTimeout(ctx, k.t.Store)
		wait, _, err := k.cfg.Gate.Enter(enterCtx, gateKey(&a.row))
		cancel()
		if err != nil || wait == 0 {
			return 0, err
		}
		if wait > shortWait {
			k.mu.Lock()
			k.denied[gateKey(&a.row)] = k.cfg.Clock() + wait
			k.mu.Unlock()
		}
		if wait > shortWait || k.cfg.Clock()+wait > a.latest || k.cfg.Wait(ctx, wait) != nil {
			return wait, nil //nolint:nilerr // there is no turn in time
		}
	}
}

// exit reports to the gate how a call ended.
func (k *Keeper) exit(ctx context.Context, a *attempt, end oauthflow.CallEnd) {
	if k.cfg.Gate == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, k.t.Store)
	defer cancel()
	if err := k.cfg.Gate.Leave(ctx, gateKey(&a.row), end); err != nil {
		k.cfg.Log.Warn("reporting a call's end", "registration", a.row.Registration.ID, "error", err)
	}
}

// deniedFor returns how long the gate has closed an endpoint to this process.
func (k *Keeper) deniedFor(key string) time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	wait := k.denied[key] - k.cfg.Clock()
	if wait <= 0 {
		delete(k.denied, key)
	}
	return max(wait, 0)
}
