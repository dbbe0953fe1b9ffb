package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"

	"tributary/connectors"
	"tributary/internal/httpx"
)

// maxAnswer is the largest JSON answer that is read.
const maxAnswer = 16 << 20

var (
	errNoJSON  = errors.New("the answer is no complete JSON of the kind that was asked for")
	errRepeats = errors.New("the server repeats its page token")
)

// api sends the requests of a session.
type api struct {
	http *http.Client
	base string
	log  *slog.Logger
}

// request is one GET below /api/v1/. Scope is the scope that it needs.
type request struct {
	op    string
	scope string
	path  string
	query url.Values
	kept  httpx.Validators
}

// do sends r and returns the answer, whatever its status; the caller closes its
// body.
func (a *api) do(ctx context.Context, r request) (*http.Response, error) {
	address := a.base + "api/v1/" + r.path
	if len(r.query) > 0 {
		address += "?" + r.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, &connectors.Error{Op: r.op, Class: connectors.Invalid, Err: httpx.Redact(err)}
	}
	r.kept.Apply(req)
	resp, err := a.http.Do(req)
	if err != nil {
		return nil, transportError(ctx, r.op, err)
	}
	a.log.DebugContext(ctx, "sandbox answered", "what", r.op, "status", resp.StatusCode)
	return resp, nil
}

// get sends r and decodes the answer into v.
func (a *api) get(ctx context.Context, r request, v any) error {
	resp, err := a.do(ctx, r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return r.failure(resp)
	}
	return decode(ctx, r.op, resp, v)
}

// decode reads one JSON value, and nothing after it.
func decode(ctx context.Context, op string, resp *http.Response, v any) error {
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return transportError(ctx, op, err)
	}
	// SECURITY: the decoder's own message is dropped, because it quotes the
	// answer.
	if len(body) > maxAnswer || json.Unmarshal(body, v) != nil {
		return &connectors.Error{Op: op, Class: connectors.Transient, Err: errNoJSON}
	}
	return nil
}

// failure returns the error of an answer that is no success, on a request for
// the whole source.
func (r request) failure(resp *http.Response) error {
	switch {
	case insufficientScope(resp):
		return &connectors.Error{Op: r.op, Class: connectors.ScopeDenied, Err: fmt.Errorf("the grant lacks the scope %s: grant again with it ticked", r.scope)}
	case resp.StatusCode == http.StatusBadRequest && r.query.Get("page_token") != "":
		// A page token that this server did not make, such as one from before its
		// state was started over.
		return &connectors.Error{Op: r.op, Class: connectors.CursorExpired, Err: &httpx.StatusError{Code: resp.StatusCode}}
	case resp.StatusCode < 400:
		return &connectors.Error{Op: r.op, Class: connectors.Transient, Err: &httpx.StatusError{Code: resp.StatusCode}}
	default:
		return httpx.CheckStatus(r.op, resp, httpx.RetryHeaders{})
	}
}

// itemFailure returns the error of an answer that is no success, on a request
// for one item: what is not given out is ItemRefused.
func (r request) itemFailure(resp *http.Response, ref connectors.ItemRef) error {
	if refused(resp) {
		return &connectors.Error{Op: r.op, Class: connectors.ItemRefused, Ref: ref, Err: &httpx.StatusError{Code: resp.StatusCode}}
	}
	return r.failure(resp)
}

// refused reports whether the answer is a no to this one item.
func refused(resp *http.Response) bool {
	switch resp.StatusCode {
	case http.StatusForbidden:
		return !insufficientScope(resp) && resp.Header.Get("Retry-After") == ""
	case http.StatusNotFound, http.StatusGone:
		return true
	default:
		return false
	}
}

// insufficientScope reports whether a bearer token lacks a scope (RFC 6750
// §3.1).
func insufficientScope(resp *http.Response) bool {
	return resp.StatusCode == http.StatusForbidden &&
		strings.Contains(resp.Header.Get("WWW-Authenticate"), `error="insufficient_scope"`)
}

// transportError returns the error of a request without a whole answer. The
// client's own class stays.
func transportError(ctx context.Context, op string, err error) error {
	if ctx.Err() != nil {
		return &connectors.Error{Op: op, Class: connectors.Transient, Err: ctx.Err()}
	}
	err = httpx.Redact(err)
	e := &connectors.Error{Op: op, Class: connectors.Transient, RetryAfter: connectors.RetryAfterOf(err), Err: err}
	if c := connectors.ClassOf(err); c != connectors.Unknown {
		e.Class = c
	}
	return e
}

// itemPath is the path of an item's address.
func itemPath(id string) string { return "items/" + url.PathEscape(id) }
