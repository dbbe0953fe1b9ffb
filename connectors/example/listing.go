package example

import (
	"context"
	"errors"
	"iter"
	"net/url"
	"strconv"

	"tributary/connectors"
	"tributary/internal/httpx"
)

// Snapshot yields every item of the selection, in the order of ids.
func (s *session) Snapshot(ctx context.Context, from connectors.Cursor) iter.Seq2[connectors.Page, error] {
	return s.list(ctx, "listing example items", from, func(it *item, page *connectors.Page) {
		if it.Size > connectors.MaxBody {
			page.Skipped = append(page.Skipped, connectors.Skip{Ref: it.ref(), Path: it.Path, Reason: "The item is larger than 64 MB."})
			return
		}
		page.Changes = append(page.Changes, connectors.Change{Op: connectors.Upsert, Ref: it.ref(), Document: s.document(it), ACL: it.acl()})
	})
}

// list reads the pages of all items and lets add fill ours with those that are
// selected.
func (s *session) list(
	ctx context.Context, op string, from connectors.Cursor, add func(it *item, page *connectors.Page),
) iter.Seq2[connectors.Page, error] {
	return func(yield func(connectors.Page, error) bool) {
		at, err := parseCursor(op, from)
		for err == nil && !at.End {
			var page connectors.Page
			if at, err = s.next(ctx, op, at, &page, add); err == nil && !yield(page, nil) {
				return
			}
		}
		if err != nil {
			yield(connectors.Page{}, err)
		}
	}
}

var (
	errNoID    = errors.New("the answer holds an item without id or revision")
	errRepeats = errors.New("the server repeats its page token")
)

// next reads one page of items into page and returns the position behind it.
func (s *session) next(
	ctx context.Context, op string, at cursor, page *connectors.Page, add func(it *item, page *connectors.Page),
) (cursor, error) {
	var answer itemsPage
	query := url.Values{"limit": {strconv.Itoa(s.cfg.PageSize)}}
	if at.Token != "" {
		query.Set("page", at.Token)
	}
	if _, err := s.api.JSON(ctx, httpx.Call{Op: op, Path: "items", Query: query}, &answer); err != nil {
		return at, err
	}
	if answer.Next != "" && answer.Next == at.Token {
		return at, &connectors.Error{Op: op, Class: connectors.Transient, Err: errRepeats}
	}
	for i := range answer.Items {
		it := &answer.Items[i]
		if it.ID == "" || it.Revision == "" {
			return at, &connectors.Error{Op: op, Class: connectors.Transient, Err: errNoID}
		}
		if s.paths.Has(it.Path) {
			add(it, page)
		}
	}
	at = cursor{Token: answer.Next, End: answer.Next == ""}
	page.Next, page.Complete = at.encode(), at.End
	return at, nil
}
