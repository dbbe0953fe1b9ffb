package httpx

import (
	"context"
	"errors"
	"iter"
	"net/http"
	"strings"

	"tributary/connectors"
)

// maxPages is how many pages of one list are read; a list without end is the server's mistake.
const maxPages = 100_000

var (
	errRepeats = errors.New("the server repeats its page")
	errEndless = errors.New("the server's list does not end")
)

// NextLink returns the target of the first Link with rel=next (RFC 8288 §3), or "".
func NextLink(h http.Header) string {
	for _, line := range h.Values("Link") {
		for line != "" {
			start := strings.IndexByte(line, '<')
			if start < 0 {
				break
			}
			end := strings.IndexByte(line[start:], '>')
			if end < 0 {
				break
			}
			target := line[start+1 : start+end]
			params := line[start+end+1:]
			line = ""
			if i := strings.Index(params, ",<"); i >= 0 {
				params, line = params[:i], params[i+1:]
			} else if i := strings.Index(params, ", <"); i >= 0 {
				params, line = params[:i], params[i+2:]
			}
			if relNext(params) {
				return target
			}
		}
	}
	return ""
}

// relNext reports whether the parameters of a link say that it is the next page.
func relNext(params string) bool {
	for p := range strings.SplitSeq(params, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(p), "=")
		if !strings.EqualFold(strings.TrimSpace(name), "rel") {
			continue
		}
		for rel := range strings.FieldsSeq(strings.Trim(strings.TrimSpace(value), `"`)) {
			if strings.EqualFold(rel, "next") {
				return true
			}
		}
	}
	return false
}

// Paged yields the entries of all pages of a list. page reads the one that at names, "" being the first, and returns what names
// the next, "" after the last. A server that repeats a page, or does not end, is Transient.
func Paged[T any](ctx context.Context, op string, page func(ctx context.Context, at string) (entries []T, next string, err error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		at := ""
		for range maxPages {
			entries, next, err := page(ctx, at)
			if err == nil && next != "" && next == at {
				err = &connectors.Error{Op: op, Class: connectors.Transient, Err: errRepeats}
			}
			if err != nil {
				yield(none, err)
				return
			}
			for _, e := range entries {
				if !yield(e, nil) {
					return
				}
			}
			if next == "" {
				return
			}
			at = next
		}
		yield(none, &connectors.Error{Op: op, Class: connectors.Transient, Err: errEndless})
	}
}

// Links yields the entries of a list whose pages are linked by rel=next.
func Links[T any](ctx context.Context, a *API, c Call) iter.Seq2[T, error] {
	return Paged(ctx, c.Op, func(ctx context.Context, at string) ([]T, string, error) {
		var entries []T
		step := c
		if at != "" {
			step.URL, step.Kept = at, Validators{}
		}
		m, err := a.JSON(ctx, step, &entries)
		return entries, m.Next, err
	})
}
