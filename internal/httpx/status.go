package httpx

import (
	"net/http"
	"strconv"
	"time"

	"tributary/connectors"
)

// StatusError is an answer that is no success, as the cause of a [connectors.Error].
type StatusError struct{ Code int }

// Error names the status; nothing of the answer stands in it.
func (e *StatusError) Error() string {
	text := "the server answered HTTP " + strconv.Itoa(e.Code)
	if name := http.StatusText(e.Code); name != "" {
		text += " (" + name + ")"
	}
	return text
}

// CheckStatus returns nil below 400, and else a [connectors.Error] for op with the class that the status has on a request for
// the whole source: 401 GrantLost, 403 ScopeDenied (RateLimited where it says when to come back), 410 CursorExpired, 429
// RateLimited, 408, 425 and 5xx Transient, the rest Unknown. For one item a connector says ItemRefused itself. The body stays
// unread and open.
func CheckStatus(op string, resp *http.Response, r RetryHeaders) error {
	if resp.StatusCode < 400 {
		return nil
	}
	class, after := classOf(resp, r, time.Now())
	return &connectors.Error{Op: op, Class: class, RetryAfter: after, Err: &StatusError{Code: resp.StatusCode}}
}

// classOf returns the class of a status, and the wait that goes with RateLimited and Transient.
func classOf(resp *http.Response, r RetryHeaders, now time.Time) (connectors.Class, time.Duration) {
	after := r.RetryAfter(resp.Header, now)
	switch code := resp.StatusCode; {
	case code == http.StatusTooManyRequests, code == http.StatusForbidden && after > 0:
		return connectors.RateLimited, after
	case code == http.StatusRequestTimeout, code == http.StatusTooEarly, code >= 500:
		return connectors.Transient, after
	case code == http.StatusUnauthorized:
		return connectors.GrantLost, 0
	case code == http.StatusForbidden:
		return connectors.ScopeDenied, 0
	case code == http.StatusGone:
		return connectors.CursorExpired, 0
	}
	return connectors.Unknown, 0
}
