package oauthflow

import (
	"context"
	"net/http/httptrace"
	"sync/atomic"
)

// Trace tells how far one request came. The zero value is ready; it serves one request. A nil Trace records nothing.
type Trace struct {
	// Step, where it is set, is called as the request proceeds, on the goroutine that proceeds.
	Step func(TraceStep)
	sent atomic.Bool
}

// TraceStep is how far a request came.
type TraceStep string

// The steps of a request, in order.
const (
	StepConnected TraceStep = "connected" // the next thing to happen is a write
	StepWrote     TraceStep = "wrote"     // the whole request was written, or its writing failed
	StepHeaders   TraceStep = "headers"   // the status and the headers of the answer are there; its body is not read
)

// MaybeSent reports whether a byte of the request can have reached the server. False is certain: what it carried is
// not used up.
func (t *Trace) MaybeSent() bool { return t != nil && t.sent.Load() }

// MarkSent records that a byte may have reached the server. Senders that are not a TokenClient call it before they write.
func (t *Trace) MarkSent() {
	if t != nil {
		t.sent.Store(true)
	}
}

func (t *Trace) step(s TraceStep) {
	if t != nil && t.Step != nil {
		t.Step(s)
	}
}

// context has net/http report to t. The mark is set when a connection is handed over, and so before the first write.
func (t *Trace) context(ctx context.Context) context.Context {
	if t == nil {
		return ctx
	}
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) {
			t.step(StepConnected)
			t.sent.Store(true)
		},
		WroteRequest: func(httptrace.WroteRequestInfo) { t.step(StepWrote) },
	})
}
