package sandbox

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"tributary/connectors"
	"tributary/internal/httpx"
)

// judge returns what an answer means where its status alone does not say it.
func judge(r httpx.Refusal) *connectors.Error {
	switch {
	case r.Status == http.StatusForbidden && strings.Contains(r.Header.Get("WWW-Authenticate"), `error="insufficient_scope"`):
		// RFC 6750 §3.1.
		return &connectors.Error{Op: r.Call.Op, Class: connectors.ScopeDenied, Err: fmt.Errorf("the grant lacks the scope %s: grant again with it ticked", r.Call.Scope)}
	case r.Status == http.StatusBadRequest && r.Call.Query.Get("page_token") != "":
		// A page token that this server did not make, such as one from before its state was started over.
		return &connectors.Error{Op: r.Call.Op, Class: connectors.CursorExpired, Err: &httpx.StatusError{Code: r.Status}}
	}
	return nil
}

// forbidden reports whether err is a 403 about the one thing that was asked for:
// it is there, and is not given out.
func forbidden(err error) bool {
	e, ok := errors.AsType[*httpx.StatusError](err)
	return ok && e.Code == http.StatusForbidden && connectors.ClassOf(err) == connectors.ItemRefused
}

// itemPath is the path of an item's address.
func itemPath(id string) string { return "items/" + url.PathEscape(id) }
