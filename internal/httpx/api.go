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

	"tributary/connectors"
)

const (
	maxJSON    = 32 << 20 // the largest JSON answer that is decoded
	maxRefusal = 64 << 10 // how much of an answer that is no success is read
)

var (
	errNoJSON    = errors.New("the answer is no complete JSON of the kind that was asked for")
	errElsewhere = errors.New("the address to go on at is not one of this server")
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

// JSON sends c and decodes the answer into v, which may be nil.
func (a *API) JSON(ctx context.Context, c Call, v any) (Meta, error) {
	resp, err := a.send(ctx, c) //nolint:bodyclose // drop closes it
	if err != nil {
		return Meta{}, err
	}
	defer drop(resp.Body)
	m := a.meta(resp)
	if m.NotModified || v == nil {
		return m, nil
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxJSON+1))
	if err != nil {
		return m, Failure(ctx, c.Op, err)
	}
	// SECURITY: the decoder's own message is dropped, because it quotes the answer.
	if len(data) > maxJSON || json.Unmarshal(data, v) != nil {
		return m, &connectors.Error{Op: c.Op, Class: connectors.Transient, Ref: c.Ref, Err: errNoJSON}
	}
	return m, nil
}

// Open sends c and returns the answer's content, which the caller closes. Reading it fails as the client's limits say.
func (a *API) Open(ctx context.Context, c Call) (io.ReadCloser, Meta, error) {
	resp, err := a.send(ctx, c)
	if err != nil {
		return nil, Meta{}, err
	}
	return resp.Body, a.meta(resp), nil
}

// send returns the first answer that is a success or an unchanged one, or the last error.
func (a *API) send(ctx context.Context, c Call) (*http.Response, error) {
	req, err := a.request(ctx, c)
	if err != nil {
		return nil, err
	}
	retry := a.Retry.withDefaults()
	for attempt := 1; ; attempt++ {
		resp, err := a.once(ctx, c, req)
		if err == nil {
			return resp, nil
		}
		class, after := connectors.ClassOf(err), connectors.RetryAfterOf(err)
		// A limit that says no time is not known to be short: the job comes back later.
		again := class == connectors.Transient || class == connectors.RateLimited && after > 0
		if !again || attempt >= retry.Attempts || after > retry.MaxWait || ctx.Err() != nil {
			return nil, err
		}
		if err := wait(ctx, retry.Clock, retry.pause(attempt, after)); err != nil {
			return nil, Failure(ctx, c.Op, err)
		}
	}
}

// once sends req and judges the answer.
func (a *API) once(ctx context.Context, c Call, req *http.Request) (*http.Response, error) {
	resp, err := Do(a.HTTP, req)
	if err != nil {
		return nil, Failure(ctx, c.Op, err)
	}
	if a.Log != nil {
		a.Log.DebugContext(ctx, "source answered", "what", c.Op, "status", resp.StatusCode)
	}
	if resp.StatusCode == http.StatusOK || NotModified(resp) && c.Kept != (Validators{}) {
		return resp, nil
	}
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxRefusal)) // what cannot be read says nothing
	drop(resp.Body)
	if a.Judge != nil {
		if e := a.Judge(Refusal{Call: c, Status: resp.StatusCode, Header: resp.Header, Body: body}); e != nil {
			return nil, e
		}
	}
	if resp.StatusCode < http.StatusBadRequest {
		return nil, &connectors.Error{Op: c.Op, Class: connectors.Transient, Ref: c.Ref, Err: &StatusError{Code: resp.StatusCode}}
	}
	return nil, a.refused(c, resp)
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
	if err != nil || u.Scheme != base.Scheme || !strings.EqualFold(u.Host, base.Host) || u.User != nil {
		return "", errElsewhere
	}
	return u.String(), nil
}

func (a *API) meta(resp *http.Response) Meta {
	return Meta{
		Status: resp.StatusCode, Header: resp.Header, Kept: ValidatorsOf(resp), NotModified: NotModified(resp),
		Next: NextLink(resp.Header),
	}
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
