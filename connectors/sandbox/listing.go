package sandbox

import (
	"context"
	"errors"
	"iter"
	"net/url"
	"strconv"

	"tributary/connectors"
	"tributary/internal/httpx"
)

// Snapshot yields every file of the selection, in the order of ids.
func (s *session) Snapshot(ctx context.Context, from connectors.Cursor) iter.Seq2[connectors.Page, error] {
	const op = "listing sandbox items"
	return s.list(ctx, op, from, func(ctx context.Context, f *folders, it *item, page *connectors.Page) error {
		chain, whole, err := f.path(ctx, it)
		if err == nil && f.unclear(it, chain) {
			page.Changes = append(page.Changes, keep(it))
		}
		if err != nil || !s.sel.file(it, chain) {
			return err
		}
		if it.Size > connectors.MaxBody {
			page.Skipped = append(page.Skipped, connectors.Skip{Ref: it.ref(), Path: it.Path, Reason: "The file is larger than 64 MB."})
			return nil
		}
		acl, err := s.acl(ctx, f, chain, whole)
		page.Changes = append(page.Changes, connectors.Change{Op: connectors.Upsert, Ref: it.ref(), Document: s.document(it), ACL: acl})
		return err
	})
}

// ListIDs yields the ids of the selection.
func (s *session) ListIDs(ctx context.Context, from connectors.Cursor) iter.Seq2[connectors.Page, error] {
	const op = "listing sandbox ids"
	return s.list(ctx, op, from, func(ctx context.Context, f *folders, it *item, page *connectors.Page) error {
		selected, unclear, err := s.selected(ctx, f, it)
		switch {
		case err != nil:
		case unclear:
			page.Changes = append(page.Changes, keep(it))
		case selected:
			page.Changes = append(page.Changes, connectors.Change{Op: connectors.Upsert, Ref: it.ref()})
		}
		return err
	})
}

// list reads the pages of all items and lets add fill ours with its files.
func (s *session) list(
	ctx context.Context, op string, from connectors.Cursor,
	add func(ctx context.Context, f *folders, it *item, page *connectors.Page) error,
) iter.Seq2[connectors.Page, error] {
	return func(yield func(connectors.Page, error) bool) {
		at, err := parseCursor(op, listItems, from)
		if err != nil {
			yield(connectors.Page{}, err)
			return
		}
		f := s.newFolders(op)
		for !at.End {
			var page connectors.Page
			if at, err = s.next(ctx, f, at, &page, add); err != nil {
				yield(connectors.Page{}, err)
				return
			}
			page.Next = at.encode()
			if !yield(page, nil) {
				return
			}
		}
	}
}

// next reads one page of items into page and returns the position behind it.
func (s *session) next(
	ctx context.Context, f *folders, at cursor, page *connectors.Page,
	add func(ctx context.Context, f *folders, it *item, page *connectors.Page) error,
) (cursor, error) {
	answer, err := s.items(ctx, f.op, at.Token)
	if err != nil {
		return at, err
	}
	for i := range answer.Items {
		f.note(&answer.Items[i])
	}
	for i := range answer.Items {
		if it := &answer.Items[i]; it.Kind == kindFile {
			if err := add(ctx, f, it, page); err != nil {
				return at, err
			}
		}
	}
	f.tell(page)
	if answer.Next == "" {
		page.Complete = true
		return cursor{List: listItems, Token: at.Token, End: true}, nil
	}
	return cursor{List: listItems, Token: answer.Next}, nil
}

var (
	errRepeats = errors.New("the server repeats its page token")
	errNoID    = errors.New("the answer holds an item without id or revision")
	errNoEnd   = errors.New("the listing stops without saying that it is complete")
	errBadEnd  = errors.New("the listing says that it is complete, and that there is more")
)

// items asks for one page of items. SECURITY: a page that contradicts itself is
// an error, because an end that is none would delete documents.
func (s *session) items(ctx context.Context, op, token string) (itemsPage, error) {
	var answer itemsPage
	c := httpx.Call{Op: op, Scope: scopeFiles, Path: "items", Query: s.paging(token)}
	if _, err := s.api.JSON(ctx, c, &answer); err != nil {
		return answer, err
	}
	var wrong error
	for _, it := range answer.Items {
		if it.ID == "" || it.Revision == "" {
			wrong = errNoID
		}
	}
	switch {
	case answer.Next == "" && !answer.Complete:
		wrong = errNoEnd
	case answer.Next != "" && answer.Complete:
		wrong = errBadEnd
	case answer.Next != "" && answer.Next == token:
		wrong = errRepeats
	}
	if wrong != nil {
		return answer, &connectors.Error{Op: op, Class: connectors.Transient, Err: wrong}
	}
	return answer, nil
}

func (s *session) paging(token string) url.Values {
	q := url.Values{"page_size": {strconv.Itoa(s.cfg.PageSize)}}
	if token != "" {
		q.Set("page_token", token)
	}
	return q
}
