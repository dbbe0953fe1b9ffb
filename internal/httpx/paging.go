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

// NextLink returns the target of the first Link with rel=next (RFC 8288 §3), or "". A header that is not of that form ends
// where it stops being so.
func NextLink(h http.Header) string {
	for _, line := range h.Values("Link") {
		for {
			target, rels, rest, ok := cutLink(line)
			if !ok {
				break
			}
			for rel := range strings.FieldsSeq(rels) {
				if strings.EqualFold(rel, "next") {
					return target
				}
			}
			line = rest
		}
	}
	return ""
}

// cutLink reads one link: its target, the value of its first parameter rel, and what follows. A link whose context is another
// page (anchor) has no rel here.
func cutLink(line string) (target, rels, rest string, ok bool) {
	line = strings.TrimLeft(line, ", \t")
	target, rest, ok = strings.Cut(strings.TrimPrefix(line, "<"), ">")
	if !ok || !strings.HasPrefix(line, "<") {
		return "", "", "", false
	}
	seen, elsewhere := false, false
	for {
		rest = strings.TrimLeft(rest, " \t")
		if !strings.HasPrefix(rest, ";") {
			break
		}
		var name, value string
		if name, value, rest, ok = cutParameter(rest[1:]); !ok {
			return "", "", "", false
		}
		switch {
		case strings.EqualFold(name, "rel") && !seen:
			rels, seen = value, true
		case strings.EqualFold(name, "anchor"):
			elsewhere = true
		}
	}
	if elsewhere {
		rels = ""
	}
	return target, rels, rest, rest == "" || rest[0] == ','
}

// cutParameter reads name, name=token or name="quoted" (RFC 9110 §5.6.4).
func cutParameter(s string) (name, value, rest string, ok bool) {
	end := strings.IndexAny(s, "=;,")
	if end < 0 {
		return strings.TrimSpace(s), "", "", true
	}
	name, rest = strings.TrimSpace(s[:end]), s[end:]
	if rest[0] != '=' {
		return name, "", rest, true
	}
	rest = strings.TrimLeft(rest[1:], " \t")
	if !strings.HasPrefix(rest, `"`) {
		end := strings.IndexAny(rest, ";, \t")
		if end < 0 {
			end = len(rest)
		}
		return name, rest[:end], rest[end:], true
	}
	var b strings.Builder
	for i := 1; i < len(rest); i++ {
		switch rest[i] {
		case '"':
			return name, b.String(), rest[i+1:], true
		case '\\':
			if i++; i == len(rest) {
				return "", "", "", false
			}
		}
		b.WriteByte(rest[i])
	}
	return "", "", "", false
}

// Paged yields the entries of all pages of a list. page reads the one that at names, "" being the first, and returns what names
// the next, "" after the last. A server that comes back to a page, or does not end, is Transient.
func Paged[T any](ctx context.Context, op string, page func(ctx context.Context, at string) (entries []T, next string, err error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		at, met, seek := "", "", 1 // met is an earlier page, moved up at every power of two: any circle comes to it (Brent)
		for n := 1; n <= maxPages; n++ {
			entries, next, err := page(ctx, at)
			if n == seek {
				met, seek = at, 2*seek
			}
			if err == nil && next != "" && (next == at || next == met) {
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
