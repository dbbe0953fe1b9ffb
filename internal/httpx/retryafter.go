package httpx

import (
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"tributary/connectors"
)

// maxRetryAfter caps what a server asks for: later than that, asking again costs nothing.
const maxRetryAfter = time.Hour

// RetryHeaders names headers of a source that say when to come back, besides Retry-After.
type RetryHeaders struct {
	Milliseconds []string // a number of milliseconds: "Retry-After-Ms"
	EpochSeconds []string // a Unix time: "X-RateLimit-Reset"
	// Remaining names counters; EpochSeconds count only where one of these is zero. GitHub sends its reset time with every answer.
	Remaining []string // "X-RateLimit-Remaining"
}

// HeadersOf returns the headers that a connector's Spec names.
func HeadersOf(p connectors.Pace) RetryHeaders {
	return RetryHeaders{Milliseconds: p.Milliseconds, EpochSeconds: p.EpochSeconds, Remaining: p.Remaining}
}

// RetryAfter returns how long the server asks to wait: milliseconds first, then Retry-After (RFC 9110 §10.2.3: seconds or a
// date), then a reset time. It is 0 where the server does not say, says nonsense or names the past, and an hour at most. Times are
// compared with the answer's Date where it has one, so that neither clock needs to be right; now stands in for it.
func (r RetryHeaders) RetryAfter(h http.Header, now time.Time) time.Duration {
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		now = date
	}
	for _, name := range r.Milliseconds {
		if d, ok := span(h.Get(name), time.Millisecond); ok {
			return d
		}
	}
	after := strings.TrimSpace(h.Get("Retry-After"))
	if d, ok := span(after, time.Second); ok {
		return d
	}
	if at, err := http.ParseTime(after); err == nil {
		return capped(at.Sub(now))
	}
	return r.reset(h, now, len(r.Remaining) == 0)
}

// UsedUp returns how long it is until a counter that is zero starts again, whatever the answer's status: the next call would be
// one too many. It is 0 where no counter is named or none is zero.
func (r RetryHeaders) UsedUp(h http.Header, now time.Time) time.Duration {
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		now = date
	}
	return r.reset(h, now, false)
}

// reset returns how long it is until the reset time, where a counter is zero or always.
func (r RetryHeaders) reset(h http.Header, now time.Time, always bool) time.Duration {
	zero := slices.ContainsFunc(r.Remaining, func(name string) bool {
		n, ok := number(h.Get(name))
		return ok && n == 0
	})
	if !zero && !always {
		return 0
	}
	for _, name := range r.EpochSeconds {
		if n, ok := number(h.Get(name)); ok && n < math.MaxInt32*2 {
			return capped(time.Unix(int64(n), 0).Sub(now))
		}
	}
	return 0
}

// span reads a number of units, fractions included.
func span(s string, unit time.Duration) (time.Duration, bool) {
	n, ok := number(s)
	if !ok {
		return 0, false
	}
	if n >= float64(maxRetryAfter/unit) {
		return maxRetryAfter, true
	}
	return time.Duration(n * float64(unit)), true
}

// number reads digits with at most one point: no sign, exponent, hexadecimal or "inf".
func number(s string) (float64, bool) {
	s = strings.TrimSpace(s)
	if s == "" || strings.Trim(s, "0123456789.") != "" {
		return 0, false
	}
	n, err := strconv.ParseFloat(s, 64)
	if err != nil && !math.IsInf(n, 1) {
		return 0, false
	}
	return n, true
}

func capped(d time.Duration) time.Duration { return min(max(d, 0), maxRetryAfter) }
