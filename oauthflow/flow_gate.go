package oauthflow

import (
	"context"
	"errors"
	"net/http"
	"time"

	"tributary/connectors"
)

// gateWait is how long a consent waits for its turn at the token endpoint: a person waits for it.
const gateWait = 5 * time.Second

// obtain sends one token request for a person through the gate that refreshes go through too. where says what is sent,
// for the page of its failure. The error is a *FlowError.
func (f *Flows) obtain(ctx context.Context, r *Registration, what string, send func(*Trace) (*Token, error)) (*Token, error) {
	key := "token:" + r.ID.String()
	if err := f.enter(ctx, key); err != nil {
		return nil, err
	}
	var trace Trace
	token, err := send(&trace)
	if f.gate != nil { // a call that is not reported ends as a probe that nobody answered
		_ = f.gate.Leave(context.WithoutCancel(ctx), key, endOf(err, &trace))
	}
	if err != nil {
		return nil, tokenRefused(r, what, err, &trace)
	}
	return token, nil
}

// enter waits for leave to call. A wait that is too long for a person is said, and nothing is sent.
func (f *Flows) enter(ctx context.Context, key string) error {
	if f.gate == nil {
		return nil
	}
	patience := time.NewTimer(gateWait)
	defer patience.Stop()
	for {
		wait, why, err := f.gate.Enter(ctx, key)
		switch {
		case err != nil:
			return notSaved(err)
		case wait <= 0:
			return nil
		case wait > gateWait:
			return heldBack(wait, why)
		}
		turn := time.NewTimer(wait)
		select {
		case <-turn.C:
		case <-patience.C:
			turn.Stop()
			return heldBack(wait, why)
		case <-ctx.Done():
			turn.Stop()
			return heldBack(wait, why)
		}
	}
}

func heldBack(wait time.Duration, why string) *FlowError {
	e := flowError(FlowHeldBack)
	after := max(wait, time.Second).Round(time.Second).String()
	e.Sent = "nothing: requests to the token endpoint are held back"
	e.Came = CleanText(why)
	e.Remedy = "Start the connection again in " + after + "."
	return e
}

// endOf is what a call says about the endpoint's health.
func endOf(err error, trace *Trace) CallEnd {
	te, answered := errors.AsType[*TokenError](err)
	switch {
	case err == nil:
		return CallEnd{}
	case answered:
		return CallEnd{
			Failed: te.Status >= http.StatusInternalServerError || te.Status == http.StatusTooManyRequests,
			Break:  te.Definitive && te.Class == connectors.ClientRejected, RetryAfter: te.RetryAfter, Reason: te.Error(),
		}
	case connectors.ClassOf(err) == connectors.ClientRejected || connectors.ClassOf(err) == connectors.Invalid:
		return CallEnd{} // nothing went out, for a reason of ours
	case trace.MaybeSent():
		return CallEnd{Failed: true, Reason: "no answer"}
	default:
		return CallEnd{Failed: true, Reason: "no connection"}
	}
}
