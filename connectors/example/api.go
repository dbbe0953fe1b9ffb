package example

import (
	"log/slog"
	"net/http"
	"net/url"
	"strings"

	"tributary/connectors"
	"tributary/internal/httpx"
)

// newAPI returns what sends the requests of a session.
func newAPI(client *http.Client, base string, retry httpx.Retry, log *slog.Logger) *httpx.API {
	return &httpx.API{HTTP: client, Base: base, Retry: retry, Judge: judge, Log: log}
}

// judge returns the error of an answer that means something else than its
// status says; nil leaves it to the status. Nothing of the body may stand in an
// error.
func judge(r httpx.Refusal) *connectors.Error {
	// RFC 6750 §3.1
	if r.Status == http.StatusForbidden && strings.Contains(r.Header.Get("WWW-Authenticate"), `error="insufficient_scope"`) {
		return spec().Problem(r.Call.Op, problemScope)
	}
	return nil
}

// itemPath is the path of an item's address.
func itemPath(id string) string { return "items/" + url.PathEscape(id) }
