package httpx

import (
	"context"
	"errors"
	"net/http"

	"golang.org/x/net/http/httpguts"

	"tributary/connectors"
)

// transport is the round tripper of both clients. It may be used concurrently.
type transport struct {
	guard         *guard
	secure, plain *http.Transport // https; http to loopback
	hosts         map[string]bool // may receive credentials, as "host:port"
	headers       []string        // carry credentials
	secrets       bool            // only t.hosts, no redirects
	tooLarge      connectors.Class
	limits        Limits
	clock         Clock
	userAgent     string
}

// CloseIdleConnections closes what is kept for later requests.
func (t *transport) CloseIdleConnections() {
	t.secure.CloseIdleConnections()
	t.plain.CloseIdleConnections()
}

// RoundTrip sends req once. The answer's body ends with an error when a limit is reached; closing it frees the request.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	to, err := t.admit(req)
	if err != nil {
		closeBody(req)
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(req.Context())
	out := t.outgoing(ctx, req, to)
	stopTotal := t.clock.AfterFunc(t.limits.Total, func() { cancel(errTotal) })
	stopHeader := t.clock.AfterFunc(t.limits.Header, func() { cancel(errHeaderTime) })
	end := func() { stopTotal(); cancel(nil) }

	wire := t.secure
	if to.scheme == "http" {
		wire = t.plain
	}
	resp, err := wire.RoundTrip(out)
	stopHeader()
	if err != nil {
		err = classify(ctx, to, err)
		end()
		return nil, err
	}
	if t.secrets && resp.StatusCode >= 300 && resp.StatusCode < 400 && resp.StatusCode != http.StatusNotModified {
		_ = resp.Body.Close()
		end()
		return nil, fail(to, connectors.Invalid, ErrRedirect)
	}
	resp.Request = req
	resp.Body = t.newBody(ctx, to, resp, cancel, end)
	return resp, nil
}

// admit refuses what must not be sent at all.
func (t *transport) admit(req *http.Request) (target, error) {
	to, err := t.guard.admit(req.URL)
	if err != nil {
		return to, fail(target{}, connectors.Invalid, err)
	}
	if t.secrets && !t.trusted(to) {
		return to, fail(target{}, connectors.Invalid, ErrRefused)
	}
	tr := trailOf(req, to)
	hasBody := req.Body != nil && req.Body != http.NoBody
	if tr.hops > maxRedirects || tr.crossed && hasBody || tr.hops > 0 && t.secrets {
		return to, fail(to, connectors.Invalid, ErrRedirect)
	}
	for name, values := range req.Header {
		for _, v := range values {
			if !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(v) {
				return to, fail(to, connectors.Invalid, ErrHeader)
			}
		}
	}
	return to, nil
}

// outgoing returns the copy of req that goes over the wire.
func (t *transport) outgoing(ctx context.Context, req *http.Request, to target) *http.Request {
	out := req.Clone(ctx)
	if out.Header == nil {
		out.Header = http.Header{}
	}
	out.Host = "" // the URL alone says whom we speak to
	t.strip(out, to, trailOf(req, to))
	if out.Header.Get("User-Agent") == "" {
		out.Header.Set("User-Agent", t.userAgent)
	}
	if t.secrets {
		out.GetBody = nil
	}
	return out
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close()
	}
}

// Do sends req through c and returns errors as [Redact] leaves them.
func Do(c *http.Client, req *http.Request) (*http.Response, error) {
	if req.URL == nil {
		return nil, fail(target{}, connectors.Bug, errors.New("the request has no address"))
	}
	resp, err := c.Do(req) //nolint:gosec // SECURITY: where it may go is the client's own decision
	if err != nil {
		return nil, Redact(err)
	}
	return resp, nil
}
