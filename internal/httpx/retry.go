package httpx

import (
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"time"

	"tributary/connectors"
)

// Retry repeats requests that may be repeated. The zero value is ready; it may be shared.
type Retry struct {
	// Attempts in all; 0 means 4.
	Attempts int
	// Base is the wait after the first attempt, doubled after each; 0 means half a second.
	Base time.Duration
	// MaxWait is the longest wait; 0 means 10 s. A server that asks for more gets its answer handed to the caller, whose job
	// comes back later instead of holding a worker.
	MaxWait time.Duration
	// Harmless says that sending this request twice changes nothing whatever its method: a GraphQL query, a search by POST.
	Harmless bool
	// Headers say when to come back.
	Headers RetryHeaders
	// Clock is the machine's when nil.
	Clock Clock
}

// Replayable reports whether req may be sent twice: it changes nothing at the server (RFC 9110 §9.2.1), and its body can be had
// again.
func (r Retry) Replayable(req *http.Request) bool {
	switch req.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, "PROPFIND", "REPORT", "SEARCH":
	default:
		if !r.Harmless {
			return false
		}
	}
	return req.Body == nil || req.Body == http.NoBody || req.GetBody != nil
}

// Do sends req through c, again after Transient and RateLimited outcomes while that is allowed. It returns the last answer,
// whatever its status, or the last error without secrets. Waits are as long as the server asks, or else Base, doubled each time
// and spread by half in both directions.
func (r Retry) Do(c *http.Client, req *http.Request) (*http.Response, error) {
	r = r.withDefaults()
	again := r.Replayable(req)
	for attempt := 1; ; attempt++ {
		resp, err := Do(c, req)
		if !again || attempt >= r.Attempts {
			return resp, err
		}
		class, after := r.outcome(resp, err)
		if class != connectors.Transient && class != connectors.RateLimited || after > r.MaxWait {
			return resp, err
		}
		if resp != nil {
			drop(resp.Body)
		}
		if err := wait(req.Context(), r.Clock, r.pause(attempt, after)); err != nil {
			return nil, err
		}
		if req, err = rewind(req); err != nil {
			return nil, err
		}
	}
}

func (r Retry) withDefaults() Retry {
	if r.Attempts <= 0 {
		r.Attempts = 4
	}
	if r.Base <= 0 {
		r.Base = 500 * time.Millisecond
	}
	if r.MaxWait <= 0 {
		r.MaxWait = 10 * time.Second
	}
	if r.Clock == nil {
		r.Clock = systemClock{}
	}
	return r
}

// outcome returns what an attempt came to. The caller's own deadline is no reason to try again.
func (r Retry) outcome(resp *http.Response, err error) (connectors.Class, time.Duration) {
	if err == nil {
		return classOf(resp, r.Headers, r.Clock.Now())
	}
	e, ok := errors.AsType[*connectors.Error](err)
	if !ok {
		return connectors.Unknown, 0
	}
	return e.Class, e.RetryAfter
}

// pause is never shorter than the server asked, so that the spread goes only up from there.
func (r Retry) pause(attempt int, after time.Duration) time.Duration {
	spread := rand.Float64() //nolint:gosec // it spreads load and guards nothing
	if after > 0 {
		return after + time.Duration(spread*float64(r.Base))
	}
	d := min(r.Base<<min(attempt-1, 20), r.MaxWait)
	return time.Duration(float64(d) * (0.5 + spread))
}

// rewind returns req with its body at the start.
func rewind(req *http.Request) (*http.Request, error) {
	if req.GetBody == nil {
		return req, nil
	}
	again := req.Clone(req.Context())
	var err error
	again.Body, err = req.GetBody()
	return again, err
}

// drop closes a body after reading the little that keeps its connection usable.
func drop(b io.ReadCloser) {
	const most = 4 << 10
	_, _ = io.CopyN(io.Discard, b, most) // an error closes the connection, which is all that is lost
	_ = b.Close()
}
