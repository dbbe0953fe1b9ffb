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

// baseURL returns where the document API is, at the sandbox's address.
func baseURL(text string) (string, error) {
	if text == "" {
		return "", errors.New("is missing: enter the address of the sandbox, such as http://localhost:8090")
	}
	u, err := url.Parse(text)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return "", errors.New("is not an address such as http://localhost:8090")
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return "", errors.New("has more than scheme, host, port and path: leave out users, queries and fragments")
	}
	return u.JoinPath("api/v1").String(), nil
}

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

// itemPath is the path of an item's address.
func itemPath(id string) string { return "items/" + url.PathEscape(id) }
