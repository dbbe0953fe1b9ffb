package httpx

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"tributary/connectors"
)

const (
	maxJSON    = 32 << 20 // the largest JSON answer that is decoded
	maxRefusal = 64 << 10 // how much of an answer that is no success is read
)

var (
	errNoJSON    = errors.New("the answer is no complete JSON of the kind that was asked for")
	errElsewhere = errors.New("the address to go on at is not one of this server; where people host it themselves, the address it calls itself by must be the one that was entered")
)

// API sends the requests of one session to one service: it builds addresses, repeats what may be repeated, decodes answers and
// says what failed. It is safe for concurrent use once its fields are set.
type API struct {
	// HTTP carries the authorisation.
	HTTP *http.Client
	// Base is what the paths of calls are relative to, as "https://api.example.com/v3".
	Base string
	// Header is sent with every request.
	Header http.Header
	// Retry says what is repeated; its zero value is ready.
	Retry Retry
	// Judge returns the error of an answer that is no success, or nil where [CheckStatus] knows better. Its errors hold nothing
	// of the answer's body.
	Judge func(Refusal) *connectors.Error
	// Answers keeps those of calls that say so; nil keeps none.
	Answers connectors.Answers
	// Log is told of every answer, without addresses; nil is silent.
	Log *slog.Logger
}

// Call is one GET request.
type Call struct {
	// Op says what is being done: "listing issues".
	Op string
	// Path is relative to Base and escaped by the caller. URL is used instead where a service names the address to go on at; it
	// has to be one of Base's server.
	Path string
	URL  string
	// Query is added to Path.
	Query url.Values
	// Accept asks for a media type.
	Accept string
	// Header is sent besides the API's own.
	Header http.Header
	// Kept asks for an answer only if it differs from the one that these were kept from.
	Kept Validators
	// Again, if not 0, says that the call is for a list which is asked for again and again and mostly is the same: where the API
	// keeps answers, JSON asks only whether the one that it has still holds. It is how many entries a full page has.
	Again int
	// Scope names the permission that the call needs, for Judge.
	Scope string
	// Ref names the item that the call is about, where it is about one: a refusal then concerns the item alone.
	Ref connectors.ItemRef
}

// Refusal is an answer that is no success.
type Refusal struct {
	Call   Call
	Status int
	Header http.Header
	// Body is its start, at most 64 KiB.
	Body []byte
}

// Meta is what an answer says besides its content.
type Meta struct {
	Status int
	Header http.Header
	// Kept is to be sent with the next call for the same.
	Kept Validators
	// NotModified says that the content is the one that Call.Kept names; nothing was decoded.
	NotModified bool
	// Next is the address of the next page (RFC 8288, rel=next), "" on the last.
	Next string
}

// JSON sends c and decodes the answer into v. Where v is nil, what the answer holds does not matter, and nothing (204) is a
// success too.
func (a *API) JSON(ctx context.Context, c Call, v any) (Meta, error) {
	if c.Again > 0 && a.Answers != nil && v != nil && c.Kept == (Validators{}) {
		return a.again(ctx, c, v)
	}
	var m Meta
	err := a.send(ctx, c, func(resp *http.Response) (bool, error) {
		if v == nil && resp.StatusCode == http.StatusNoContent {
			m = a.meta(resp)
			drop(resp.Body)
			return true, nil
		}
		if !usable(c, resp) {
			return false, nil
		}
		defer drop(resp.Body)
		m = a.meta(resp)
		if m.NotModified || v == nil {
			return true, nil
		}
		return true, decode(ctx, c, resp.Body, v)
	})
	if err != nil {
		return Meta{}, err
	}
	return m, nil
}

// Open sends c and returns the answer's content, which the caller closes. Reading it fails with the class of [Failure]; what is
// too large is ItemSkipped and names Call.Ref.
func (a *API) Open(ctx context.Context, c Call) (io.ReadCloser, Meta, error) {
	var content io.ReadCloser
	var m Meta
	err := a.send(ctx, c, func(resp *http.Response) (bool, error) {
		if !usable(c, resp) {
			return false, nil
		}
		content, m = &contents{ReadCloser: resp.Body, ctx: ctx, call: c}, a.meta(resp)
		return true, nil
	})
	return content, m, err
}

// contents gives the failures of reading an answer a class.
type contents struct {
	io.ReadCloser

	ctx  context.Context //nolint:containedctx // it is the request's, and tells why a read ended
	call Call
}

// Read reads on. Content that ends before its announced length is an error, not the end.
func (b *contents) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == nil || errors.Is(err, io.EOF) {
		return n, err
	}
	err = Failure(b.ctx, b.call.Op, err)
	if e, ok := errors.AsType[*connectors.Error](err); ok && e.Class == connectors.ItemSkipped {
		e.Ref = b.call.Ref
	}
	return n, err
}

// usable reports whether resp is what c asks for: the whole content, or that it is the one that c keeps.
func usable(c Call, resp *http.Response) bool {
	return resp.StatusCode == http.StatusOK || NotModified(resp) && c.Kept != (Validators{})
}

// decode reads one JSON value, and nothing after it. SECURITY: the decoder's own message is dropped, because it quotes the
// answer.
func decode(ctx context.Context, c Call, body io.Reader, v any) error {
	data, err := io.ReadAll(io.LimitReader(body, maxJSON+1))
	if err != nil {
		return Failure(ctx, c.Op, err)
	}
	if len(data) > maxJSON || json.Unmarshal(data, v) != nil {
		return &connectors.Error{Op: c.Op, Class: connectors.Transient, Ref: c.Ref, Err: errNoJSON}
	}
	return nil
}

// send sends c until accept takes an answer without an error, or trying again is of no use. accept closes what it takes, or
// leaves that to the caller of send; what it does not take is judged.
func (a *API) send(ctx context.Context, c Call, accept func(*http.Response) (taken bool, err error)) error {
	req, err := a.request(ctx, c)
	if err != nil {
		return err
	}
	retry := a.Retry.withDefaults()
	for attempt := 1; ; attempt++ {
		err := a.once(ctx, c, req, accept)
		if err == nil {
			return nil
		}
		class, after := connectors.ClassOf(err), connectors.RetryAfterOf(err)
		// A limit that says no time is not known to be short: the job comes back later.
		again := class == connectors.Transient || class == connectors.RateLimited && after > 0
		if !again || errors.Is(err, errNoJSON) || attempt >= retry.Attempts || after > retry.MaxWait || ctx.Err() != nil {
			return err
		}
		if err := wait(ctx, retry.Clock, retry.pause(attempt, after)); err != nil {
			return Failure(ctx, c.Op, err)
		}
	}
}

// once sends req and judges the answer that accept does not take.
func (a *API) once(ctx context.Context, c Call, req *http.Request, accept func(*http.Response) (taken bool, err error)) error {
	resp, err := Do(a.HTTP, req) //nolint:bodyclose // accept closes what it takes, drop the rest
	if err != nil {
		return Failure(ctx, c.Op, err)
	}
	if a.Log != nil {
		a.Log.DebugContext(ctx, "source answered", "what", c.Op, "status", resp.StatusCode)
	}
	if taken, err := accept(resp); taken {
		return err
	}
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxRefusal)) // what cannot be read says nothing
	drop(resp.Body)
	if a.refusedElsewhere(resp) {
		return &connectors.Error{Op: c.Op, Class: connectors.Transient, Ref: c.Ref, Err: &StatusError{Code: resp.StatusCode}}
	}
	if a.Judge != nil {
		if e := a.Judge(Refusal{Call: c, Status: resp.StatusCode, Header: resp.Header, Body: body}); e != nil {
			if e.RetryAfter == 0 && (e.Class == connectors.RateLimited || e.Class == connectors.Transient) {
				e.RetryAfter = a.Retry.Headers.RetryAfter(resp.Header, time.Now())
			}
			return e
		}
	}
	if resp.StatusCode < http.StatusBadRequest {
		return &connectors.Error{Op: c.Op, Class: connectors.Transient, Ref: c.Ref, Err: &StatusError{Code: resp.StatusCode}}
	}
	return a.refused(c, resp)
}

// refusedElsewhere reports a 401 or 403 of another server, to which the source sent the request without its credentials: a
// link that has expired, of which a new one is asked for. It says nothing of the grant.
func (a *API) refusedElsewhere(resp *http.Response) bool {
	if resp.StatusCode != http.StatusUnauthorized && resp.StatusCode != http.StatusForbidden {
		return false
	}
	base, err := url.Parse(a.Base)
	return err == nil && resp.Request != nil && !sameServer(resp.Request.URL, base)
}

// refused returns the error of a refusal that Judge leaves to its status: for one item, what is not given out is ItemRefused.
func (a *API) refused(c Call, resp *http.Response) error {
	err := CheckStatus(c.Op, resp, a.Retry.Headers)
	e, ok := errors.AsType[*connectors.Error](err)
	if !ok || c.Ref.ID == "" {
		return err
	}
	e.Ref = c.Ref
	switch {
	case e.Class == connectors.ScopeDenied, e.Class == connectors.CursorExpired, resp.StatusCode == http.StatusNotFound:
		e.Class = connectors.ItemRefused
	}
	return e
}

// request builds the request of c.
func (a *API) request(ctx context.Context, c Call) (*http.Request, error) {
	address, err := a.address(c)
	if err != nil {
		return nil, &connectors.Error{Op: c.Op, Class: connectors.Transient, Err: err}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, &connectors.Error{Op: c.Op, Class: connectors.Invalid, Err: Redact(err)}
	}
	for _, h := range []http.Header{a.Header, c.Header} {
		for name, values := range h {
			req.Header[http.CanonicalHeaderKey(name)] = values
		}
	}
	if c.Accept != "" {
		req.Header.Set("Accept", c.Accept)
	}
	c.Kept.Apply(req)
	return req, nil
}

// address returns where c goes. SECURITY: an address that an answer names is used only at the same server, so that no answer
// sends the session elsewhere.
func (a *API) address(c Call) (string, error) {
	if c.URL == "" {
		address := strings.TrimSuffix(a.Base, "/") + "/" + strings.TrimPrefix(c.Path, "/")
		if len(c.Query) > 0 {
			address += "?" + c.Query.Encode()
		}
		return address, nil
	}
	base, err := url.Parse(a.Base)
	if err != nil {
		return "", errElsewhere
	}
	u, err := base.Parse(c.URL)
	if err != nil || u.User != nil || !sameServer(u, base) {
		return "", errElsewhere
	}
	return u.String(), nil
}

// sameServer reports whether scheme, host and port are equal; 443 and 80 are what https and http mean without a port.
func sameServer(a, b *url.URL) bool {
	to, ok := targetOf(a)
	at, known := targetOf(b)
	return ok && known && to == at
}

// meta reads the header. A next page is named relative to the page that names it (RFC 8288 §3.2).
func (a *API) meta(resp *http.Response) Meta {
	m := Meta{
		Status: resp.StatusCode, Header: resp.Header, Kept: ValidatorsOf(resp), NotModified: NotModified(resp),
		Next: NextLink(resp.Header),
	}
	if m.Next != "" && resp.Request != nil {
		if u, err := resp.Request.URL.Parse(m.Next); err == nil {
			m.Next = u.String()
		}
	}
	return m
}

// Failure returns the error of a request without a whole answer: the client's own class and wait stay, and no address, query or
// byte of the answer is in it.
func Failure(ctx context.Context, op string, err error) error {
	if ctx.Err() != nil {
		return &connectors.Error{Op: op, Class: connectors.Transient, Err: ctx.Err()}
	}
	err = Redact(err)
	e := &connectors.Error{Op: op, Class: connectors.Transient, RetryAfter: connectors.RetryAfterOf(err), Err: err}
	if c := connectors.ClassOf(err); c != connectors.Unknown {
		e.Class = c
	}
	return e
}
