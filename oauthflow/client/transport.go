package client

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptrace"
	"time"

	"tributary/connectors"
	"tributary/oauthflow"
)

const (
	op = "calling the source"
	// drained is how much of a 401 is read to keep its connection usable.
	drained = 4 << 10
)

// errRefused is the cause of GrantLost where the source and the provider refuse a token that has just been given.
var errRefused = errors.New("the source and the provider answered HTTP 401 to a new access token: the account may have lost its access; grant again")

// errNotThis is the cause of ScopeDenied where the source refuses a token that the provider stands by.
var errNotThis = errors.New("the source answered HTTP 401 to an access token that the provider says is valid: the account may not read this")

// errRenewed is the cause of Transient where a request cannot be sent twice.
var errRenewed = errors.New("the access token was refused and renewed; the request is not one that may be sent twice")

// RoundTrip sends req with the grant's token where it may have it. req itself is not changed, and the answer names it as
// its request: the token is in neither.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if !t.authorised(req) {
		return t.inner.RoundTrip(req)
	}
	ctx := req.Context()
	token, err := t.c.Tokens.Access(ctx, t.c.Grant)
	if err != nil {
		closeBody(req)
		return nil, err
	}
	resp, err := t.send(req, req.Body, &token)
	if err != nil || resp.StatusCode != http.StatusUnauthorized {
		return resp, err
	}
	drop(resp)
	if t.stoodBy(token) {
		return nil, notThis()
	}
	if token, err = t.c.Tokens.Rejected(ctx, t.c.Grant, token); err != nil {
		return nil, err
	}
	if !t.c.Retry.Replayable(req) {
		return nil, &connectors.Error{Op: op, Class: connectors.Transient, Err: errRenewed}
	}
	body := req.Body
	if req.GetBody != nil {
		if body, err = req.GetBody(); err != nil {
			return nil, &connectors.Error{Op: op, Class: connectors.Bug, Err: errors.New("the request's body cannot be had again")}
		}
	}
	resp, err = t.send(req, body, &token)
	if err != nil || resp.StatusCode != http.StatusUnauthorized {
		return resp, err
	}
	drop(resp)
	return nil, t.judge(ctx, token)
}

// judge says what a second 401 in a row means: one resource's refusal does not end a grant that the provider stands by.
func (t *transport) judge(ctx context.Context, token oauthflow.Access) error {
	lives, err := t.c.Tokens.Lives(ctx, t.c.Grant, token)
	if err != nil {
		return err
	}
	if !lives {
		return &connectors.Error{Op: op, Class: connectors.GrantLost, Err: errRefused}
	}
	t.judged.Store(&judgement{epoch: token.Epoch, gen: token.Gen, at: time.Now()})
	return notThis()
}

func notThis() error {
	return &connectors.Error{Op: op, Class: connectors.ScopeDenied, Err: errNotThis}
}

// judgement is a token that the provider stood by after two 401 in a row.
type judgement struct {
	epoch int
	gen   int64
	at    time.Time
}

// stoodBy reports whether the provider has stood by the token within JudgedFor. A source that refuses many resources
// then costs no refresh for each.
func (t *transport) stoodBy(token oauthflow.Access) bool {
	j := t.judged.Load()
	return j != nil && j.epoch == token.Epoch && j.gen == token.Gen && time.Since(j.at) < t.c.JudgedFor
}

// send passes the gate and sends a copy of req with the token. Where it had to wait, the token may be over: token is then
// the one that is valid now.
func (t *transport) send(req *http.Request, body io.ReadCloser, token *oauthflow.Access) (*http.Response, error) {
	ctx := req.Context()
	waited, err := t.enter(ctx)
	if err == nil && waited {
		*token, err = t.c.Tokens.Access(ctx, t.c.Grant)
	}
	if err != nil {
		if body != nil {
			_ = body.Close()
		}
		return nil, err
	}
	out := req.Clone(untraced{ctx}) //nolint:contextcheck // it wraps the request's own
	if out.Header == nil {
		out.Header = http.Header{}
	}
	out.Body = body
	out.Header.Set("Authorization", "Bearer "+token.Token.Reveal()) // RFC 6750 §2.1
	t.uses.Add(1)
	resp, err := t.inner.RoundTrip(out)
	if resp != nil {
		resp.Request = req
	}
	t.leave(ctx, resp, err)
	return resp, err
}

// enter waits for the gate while that is short, and reports whether it did.
func (t *transport) enter(ctx context.Context) (waited bool, err error) {
	if t.c.Gate == nil {
		return false, nil
	}
	for total := time.Duration(0); ; {
		wait, why, err := t.c.Gate.Enter(ctx, t.c.GateKey)
		if err != nil {
			if ctx.Err() != nil {
				return false, ctx.Err()
			}
			return false, &connectors.Error{Op: op, Class: connectors.Transient, Err: err}
		}
		if wait <= 0 {
			return total > 0, nil
		}
		if wait > t.c.ShortWait || total+wait > t.c.LongWait {
			return false, &connectors.Error{Op: op, Class: connectors.RateLimited, RetryAfter: wait, Err: errors.New(why)}
		}
		// Those who wait for one token do not come back at one moment.
		wait += time.Duration(rand.Float64() * float64(wait) / 2) //nolint:gosec // it spreads load and guards nothing
		total += wait
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return false, ctx.Err()
		}
	}
}

// untraced hides the caller's httptrace: SECURITY: a trace is told every header that is written.
type untraced struct{ context.Context } //nolint:containedctx // it is a context

// Value returns the values of the caller's context, but no trace.
func (u untraced) Value(key any) any {
	v := u.Context.Value(key)
	if _, ok := v.(*httptrace.ClientTrace); ok {
		return nil
	}
	return v
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close()
	}
}

// drop closes an answer after reading the little that keeps its connection usable.
func drop(resp *http.Response) {
	_, _ = io.CopyN(io.Discard, resp.Body, drained) // an error closes the connection, which is all that is lost
	_ = resp.Body.Close()
}
