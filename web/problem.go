package web

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"tributary/store"
)

// ProblemType is the media type of every error answer (RFC 9457).
const ProblemType = "application/problem+json"

// Problem is the body of an error answer.
type Problem struct { //nolint:errname // the word of RFC 9457
	// Title is the status in words.
	Title  string `json:"title"`
	Status int    `json:"status"`
	// Detail says what is wrong and what would help.
	Detail string `json:"detail"`
	// Code is stable and for programs.
	Code string `json:"code"`
	// Field names the part of the request that is wrong.
	Field string `json:"field,omitempty"`
	// RequestID finds the request in the log.
	RequestID string `json:"request_id,omitempty"`

	retryAfter   int
	authenticate string
}

// Error returns the detail.
func (p *Problem) Error() string { return p.Detail }

// The codes of problems. Programs act on them, so they never change.
const (
	codeInvalid        = "invalid_request"
	codeUnauthorized   = "unauthenticated"
	codeAssertion      = "assertion_refused"
	codeScope          = "insufficient_scope"
	codeReader         = "reader_unknown"
	codeRate           = "rate_limited"
	codeNotFound       = "not_found"
	codeMethod         = "method_not_allowed"
	codeConflict       = "conflict"
	codeTooLarge       = "too_large"
	codeMediaType      = "unsupported_media_type"
	codeMisdirected    = "misdirected_request"
	codeForbidden      = "forbidden"
	codeThrottled      = "too_many_attempts"
	codeTimeout        = "query_timeout"
	codeOverloaded     = "overloaded"
	codeDatabase       = "database_unavailable"
	codeEmbedding      = "embedding_unavailable"
	codeMasterKey      = "master_key_unavailable"
	codeInternal       = "internal"
	codeRefused        = "refused"
	codePrecondition   = "precondition_failed"
	codeClientGone     = "client_closed_request"
	statusClientClosed = 499
)

func problem(status int, code, detail string) *Problem {
	title := http.StatusText(status)
	if title == "" {
		title = "Client Closed Request"
	}
	return &Problem{Title: title, Status: status, Code: code, Detail: detail}
}

// invalid is a 400 that names the field.
func invalid(field, detail string) *Problem {
	p := problem(http.StatusBadRequest, codeInvalid, detail)
	p.Field = field
	return p
}

// unauthenticated is the one 401; it never says which part was wrong.
func unauthenticated() *Problem {
	p := problem(http.StatusUnauthorized, codeUnauthorized, "send a valid API key as Authorization: Bearer trib_…")
	p.authenticate = `Bearer realm="tributary"`
	return p
}

// invalidToken is the 401 of a key that was sent and does not count (RFC 6750 §3.1);
// it never says which part was wrong.
func invalidToken() *Problem {
	p := unauthenticated()
	p.authenticate += `, error="invalid_token"`
	return p
}

// insufficientScope is the 403 of a key that may not do this (RFC 6750 §3.1).
func insufficientScope(right, detail string) *Problem {
	p := problem(http.StatusForbidden, codeScope, detail)
	p.authenticate = `Bearer realm="tributary", error="insufficient_scope"`
	if right != "" {
		p.authenticate += `, scope="` + right + `"`
	}
	return p
}

func overloaded() *Problem {
	p := problem(http.StatusServiceUnavailable, codeOverloaded, "every database connection is busy; try again in a moment")
	p.retryAfter = 1
	return p
}

// problemOf is the one mapping of errors to answers. What it does not know is a
// generic 500: SECURITY: no error text of ours or of the database leaves here
// unless it was written for the caller.
func problemOf(err error) *Problem {
	var p *Problem
	var input *store.InputError
	var he *echo.HTTPError
	var netErr *net.OpError
	var sqlErr interface{ SQLState() string }
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &input):
		return invalid(input.Field, input.Error())
	case errors.Is(err, store.ErrNotFound):
		return problem(http.StatusNotFound, codeNotFound, "there is no such thing, or this key may not see it")
	case errors.Is(err, store.ErrLastOwner):
		return problem(http.StatusConflict, codeConflict, store.ErrLastOwner.Error())
	case errors.Is(err, store.ErrConflict):
		return problem(http.StatusConflict, codeConflict, "it was changed by somebody else, or the name is taken")
	case errors.Is(err, store.ErrUnauthenticated):
		return unauthenticated()
	case errors.Is(err, store.ErrUnrecorded):
		p = problem(http.StatusServiceUnavailable, codeDatabase, "the read cannot be recorded at the moment, and is not answered without; try again later")
		p.retryAfter = 30
		return p
	case errors.Is(err, store.ErrTimeout), errors.Is(err, context.DeadlineExceeded):
		p = problem(http.StatusServiceUnavailable, codeTimeout, "the query took longer than its time limit; narrow it by filters, or try again")
		p.retryAfter = 5
		return p
	case errors.Is(err, context.Canceled):
		return problem(statusClientClosed, codeClientGone, "the client went away")
	case errors.As(err, &sqlErr) && isUnwritable(sqlErr.SQLState()):
		p = problem(http.StatusServiceUnavailable, codeDatabase, "nothing can be written to the database at the moment; try again later")
		p.retryAfter = 30
		return p
	case errors.As(err, &sqlErr) && isUnstorable(sqlErr.SQLState()):
		return invalid("", "texts must be UTF-8 without NUL characters")
	case errors.As(err, &netErr), errors.Is(err, io.ErrUnexpectedEOF), errors.As(err, &sqlErr) && isUnavailable(sqlErr.SQLState()):
		p = problem(http.StatusServiceUnavailable, codeDatabase, "the database cannot be reached; try again in a moment")
		p.retryAfter = 5
		return p
	case errors.As(err, &he):
		return problemOfHTTP(he)
	}
	return problem(http.StatusInternalServerError, codeInternal, "something went wrong here; the log has the details under the request's id")
}

// isUnwritable reports states of a database that is read-only, has no space left
// or cannot write its files.
func isUnwritable(state string) bool {
	return state == "25006" || state == "53100" || state == "58030"
}

// isUnstorable reports states of a text that PostgreSQL cannot hold.
func isUnstorable(state string) bool { return state == "22021" || state == "22P05" }

// isUnavailable reports states of a database that stops, starts, or has no room
// for another connection (PostgreSQL, appendix A).
func isUnavailable(state string) bool {
	return strings.HasPrefix(state, "57P") || strings.HasPrefix(state, "53") || strings.HasPrefix(state, "08")
}

// problemOfHTTP translates what the router itself answers.
func problemOfHTTP(he *echo.HTTPError) *Problem {
	switch he.Code {
	case http.StatusNotFound:
		return problem(he.Code, codeNotFound, "nothing is served here; look whether the address is whole")
	case http.StatusMethodNotAllowed:
		return problem(he.Code, codeMethod, "this address does not take that method; see the Allow header")
	case http.StatusRequestEntityTooLarge:
		return problem(he.Code, codeTooLarge, "the request is too large")
	default:
		return problem(http.StatusInternalServerError, codeInternal, "something went wrong here; the log has the details under the request's id")
	}
}

// handleError writes err as a problem. Only what is our own fault is logged
// with its text.
func (s *Server) handleError(err error, c echo.Context) {
	if c.Response().Committed {
		return
	}
	p := *problemOf(err)
	p.RequestID = requestID(c)
	if p.Status >= http.StatusInternalServerError {
		s.cfg.Log.ErrorContext(c.Request().Context(), "answering a request", "request_id", p.RequestID, "code", p.Code, "error", err)
	}
	if wantsPage(c.Request()) {
		pageErr := s.writeErrorPage(c, &p)
		if pageErr == nil {
			return
		}
		s.cfg.Log.ErrorContext(c.Request().Context(), "writing an error page", "request_id", p.RequestID, "error", pageErr)
	}
	writeProblem(c.Response(), c.Request().Method, &p)
}

// headers sets what a client acts on.
func (p *Problem) headers(h http.Header) {
	if p.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(p.retryAfter))
	}
	if p.authenticate != "" {
		h.Set("WWW-Authenticate", p.authenticate)
	}
}

func writeProblem(w http.ResponseWriter, method string, p *Problem) {
	h := w.Header()
	h.Set("Content-Type", ProblemType)
	h.Set("Cache-Control", "no-store")
	p.headers(h)
	w.WriteHeader(p.Status)
	if method == http.MethodHead {
		return
	}
	// The client may be gone; there is nobody left to tell.
	_ = json.NewEncoder(w).Encode(p)
}
