package client

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"

	"tributary/connectors"
	"tributary/internal/httpx"
	"tributary/oauthflow"
)

const (
	// leaveTimeout bounds the report to the gate, which is made even when the caller has gone.
	leaveTimeout = 5 * time.Second
	// maxPeek is how much of a refusal is read for its reason.
	maxPeek = 64 << 10
	// usedUp is why the gate holds back the calls after one that took the last of what the source gives.
	usedUp = "the source's own limit is used up"
)

// leave tells the gate how a call ended. What the caller broke off told nothing about the server: then a probe's place
// becomes free by its own time limit. A report that cannot be written is lost; the calls that follow make theirs.
func (t *transport) leave(ctx context.Context, resp *http.Response, err error) {
	if t.c.Gate == nil || err != nil && ctx.Err() != nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTimeout)
	defer cancel()
	_ = t.c.Gate.Leave(ctx, t.c.GateKey, t.endOf(resp, err))
}

// endOf classifies a call for the gate. A request that never left (class Invalid) is nobody's failure. A success can be the last
// one that the source gives for a while.
func (t *transport) endOf(resp *http.Response, err error) oauthflow.CallEnd {
	headers := t.c.Retry.Headers
	if err == nil {
		err = httpx.CheckStatus(op, resp, headers)
		if connectors.ClassOf(err) == connectors.ScopeDenied && t.limited(resp) {
			err = &connectors.Error{Op: op, Class: connectors.RateLimited, Err: &httpx.StatusError{Code: resp.StatusCode}}
		}
	}
	end := oauthflow.CallEnd{RetryAfter: connectors.RetryAfterOf(err)}
	switch connectors.ClassOf(err) {
	case connectors.Transient, connectors.RateLimited:
		end.Failed = true
	case connectors.Unknown, connectors.GrantLost, connectors.ClientRejected, connectors.ScopeDenied, connectors.CursorExpired,
		connectors.ItemSkipped, connectors.Invalid, connectors.Bug, connectors.ItemRefused:
	}
	switch {
	case end.Failed:
		end.Reason = oauthflow.CleanText(err.Error())
	case resp != nil:
		if end.RetryAfter = headers.UsedUp(resp.Header, time.Now()); end.RetryAfter > 0 {
			end.Reason = usedUp
		}
	}
	return end
}

// limited reports whether the JSON of a 403 gives one of the source's reasons that mean a limit. The caller reads the answer as
// if nobody had.
func (t *transport) limited(resp *http.Response) bool {
	kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" && !strings.HasSuffix(kind, "+json") || len(t.c.Reasons) == 0 {
		return false
	}
	start, _ := io.ReadAll(io.LimitReader(resp.Body, maxPeek)) // reading on fails again
	resp.Body = peeked{io.MultiReader(bytes.NewReader(start), resp.Body), resp.Body}
	var said any
	return json.Unmarshal(start, &said) == nil && t.hasReason(said)
}

// hasReason looks for a member "reason" at any depth.
func (t *transport) hasReason(said any) bool {
	switch v := said.(type) {
	case []any:
		return slices.ContainsFunc(v, t.hasReason)
	case map[string]any:
		for name, member := range v {
			if word, ok := member.(string); ok && name == "reason" && slices.Contains(t.c.Reasons, word) || t.hasReason(member) {
				return true
			}
		}
	}
	return false
}

// peeked is an answer whose start was read.
type peeked struct {
	io.Reader
	io.Closer
}
