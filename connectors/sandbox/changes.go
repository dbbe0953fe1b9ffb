package sandbox

import (
	"context"
	"errors"
	"iter"

	"tributary/connectors"
	"tributary/internal/httpx"
)

// Start returns the feed's position of this moment.
func (s *session) Start(ctx context.Context) (connectors.Cursor, error) {
	const op = "taking the sandbox's feed position"
	var answer struct {
		Token string `json:"page_token"`
	}
	if _, err := s.api.JSON(ctx, httpx.Call{Op: op, Scope: scopeFiles, Path: "changes/start"}, &answer); err != nil {
		return nil, err
	}
	if answer.Token == "" {
		return nil, &connectors.Error{Op: op, Class: connectors.Transient, Err: errors.New("the answer holds no position")}
	}
	return cursor{List: listChanges, Token: answer.Token}.encode(), nil
}

// Changes yields what happened since from. A change of access is an upsert,
// because the account may have gained an item that was never listed; its
// revision says that the text is the same.
func (s *session) Changes(ctx context.Context, from connectors.Cursor) iter.Seq2[connectors.Page, error] {
	const op = "listing sandbox changes"
	return func(yield func(connectors.Page, error) bool) {
		at, err := parseCursor(op, listChanges, from)
		for more := true; more; {
			var page connectors.Page
			token := at.Token
			if err == nil {
				page, at.Token, more, err = s.changes(ctx, op, token)
			}
			if err != nil {
				yield(connectors.Page{}, err)
				return
			}
			if at.Token == token {
				return // nothing happened
			}
			page.Next = at.encode()
			if !yield(page, nil) {
				return
			}
		}
	}
}

// changes reads one page of the feed. Folders are asked for anew on each page:
// the items on it stand as they are now, and so must what they inherit.
func (s *session) changes(ctx context.Context, op, token string) (page connectors.Page, next string, more bool, err error) {
	var answer changesPage
	c := httpx.Call{Op: op, Scope: scopeFiles, Path: "changes", Query: s.paging(token)}
	if _, err := s.api.JSON(ctx, c, &answer); err != nil {
		return page, "", false, err
	}
	if answer.Next == "" || (answer.Next == token && (answer.More || len(answer.Changes) > 0)) {
		return page, "", false, &connectors.Error{Op: op, Class: connectors.Transient, Err: errRepeats}
	}
	f := s.newFolders(op)
	for _, c := range answer.Changes {
		if c.Item != nil {
			f.note(c.Item)
		}
	}
	for _, c := range answer.Changes {
		ours, ok, err := s.change(ctx, f, c)
		if err != nil {
			return page, "", false, err
		}
		if ok {
			page.Changes = append(page.Changes, ours)
		}
	}
	f.tell(&page)
	return page, answer.Next, answer.More, nil
}

// change translates one entry of the feed; ok is false for those of folders,
// whose files have entries of their own.
func (s *session) change(ctx context.Context, f *folders, c change) (connectors.Change, bool, error) {
	gone := connectors.Change{Op: connectors.Delete, Ref: connectors.ItemRef{ID: c.ItemID}}
	switch {
	case c.ItemID == "" || (c.Kind != changeUpsert && c.Kind != changeDelete && c.Kind != changeAC):
		return gone, false, &connectors.Error{Op: f.op, Class: connectors.Transient, Err: errNoID}
	case c.Kind == changeDelete || c.Item == nil:
		return gone, true, nil
	case c.Item.ID != c.ItemID || c.Item.Revision == "":
		return gone, false, &connectors.Error{Op: f.op, Class: connectors.Transient, Err: errNoID}
	case c.Item.Kind != kindFile:
		return gone, false, nil
	}
	chain, whole, err := f.path(ctx, c.Item)
	if err != nil {
		return gone, false, err
	}
	if f.unclear(c.Item, chain) {
		return keep(c.Item), true, nil
	}
	if !s.sel.file(c.Item, chain) || c.Item.Size > connectors.MaxBody {
		return gone, true, nil
	}
	acl, err := s.acl(ctx, f, chain, whole)
	return connectors.Change{Op: connectors.Upsert, Ref: c.Item.ref(), Document: s.document(c.Item), ACL: acl}, true, err
}
