package httpx

import (
	"context"
	"encoding/json"

	"tributary/connectors"
)

// again is JSON for a call whose answer is kept. Meta says nothing of that: the content is decoded whether it was sent or kept.
// A last page that is full is not kept: when another comes behind it, its own content stays the same, and whether its validator
// changes is up to the server.
func (a *API) again(ctx context.Context, c Call, v any) (Meta, error) {
	address, err := a.address(c)
	if err != nil {
		return Meta{}, &connectors.Error{Op: c.Op, Class: connectors.Transient, Err: err}
	}
	key := c.Accept + " " + address
	old := a.Answers.Kept(key)
	if old != nil {
		c.Kept = Validators{ETag: old.ETag}
	}
	full := c.Again
	c.Again = 0
	var body json.RawMessage
	m, err := a.JSON(ctx, c, &body)
	if err != nil {
		return Meta{}, err
	}
	held := m.NotModified && old != nil
	if held {
		body, m.NotModified = old.Body, false
		if m.Header.Get("Link") == "" { // a 304 need not repeat it (RFC 9110 §15.4.5)
			m.Next = old.Next
		}
	}
	if json.Unmarshal(body, v) != nil {
		return Meta{}, &connectors.Error{Op: c.Op, Class: connectors.Transient, Ref: c.Ref, Err: errNoJSON}
	}
	var entries []json.RawMessage
	if !held && m.Kept.ETag != "" && json.Unmarshal(body, &entries) == nil && (m.Next != "" || len(entries) < full) {
		a.Answers.Keep(key, connectors.Answer{ETag: m.Kept.ETag, Next: m.Next, Body: body})
	}
	return m, nil
}
