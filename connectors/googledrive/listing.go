package googledrive

import (
	"context"
	"iter"
	"maps"
	"slices"
	"time"

	"tributary/connectors"
)

// queryFiles asks for whatever may be a document.
const queryFiles = "trashed=false and mimeType!='" + typeFolder + "'"

// listing is one way of reading all files: what is asked for, whether folders
// are needed to judge it, and what fills a page with a file. At is the time of
// the answer that told the file.
type listing struct {
	op      string
	fields  string
	folders bool
	add     func(ctx context.Context, t *tree, f *file, at time.Time, page *connectors.Page) error
}

// Snapshot yields every document of the selection: those of the account, then
// of each shared drive.
func (s *session) Snapshot(ctx context.Context, from connectors.Cursor) iter.Seq2[connectors.Page, error] {
	return s.list(ctx, from, listing{op: "listing Google Drive files", fields: fileFields, folders: true, add: upsert})
}

// ListIDs yields the ids of the selection.
func (s *session) ListIDs(ctx context.Context, from connectors.Cursor) iter.Seq2[connectors.Page, error] {
	return s.list(ctx, from, listing{op: "listing Google Drive ids", fields: placeFields + ",size", folders: !s.sel.everything(), add: seen})
}

// seen adds the id of a document of the selection.
func seen(ctx context.Context, t *tree, f *file, _ time.Time, page *connectors.Page) error {
	if formatOf(f).reason != "" {
		return nil
	}
	if !t.s.sel.everything() {
		p, err := t.place(ctx, f)
		if err == nil && t.s.sel.unclear(p) {
			page.Changes = append(page.Changes, keep(f))
			return nil
		}
		if err != nil || !t.s.sel.has(p) {
			return err
		}
	}
	page.Changes = append(page.Changes, connectors.Change{Op: connectors.Upsert, Ref: connectors.ItemRef{ID: f.ID}})
	return nil
}

// keep is a change that leaves a document as it is, and lets nobody read it.
func keep(f *file) connectors.Change {
	return connectors.Change{Op: connectors.SetACL, Ref: connectors.ItemRef{ID: f.ID}}
}

// upsert adds a file of the selection: as a document, or as skipped.
func upsert(ctx context.Context, t *tree, f *file, at time.Time, page *connectors.Page) error {
	p, err := t.place(ctx, f)
	if err == nil && t.s.sel.unclear(p) {
		page.Changes = append(page.Changes, keep(f))
		return nil
	}
	if err != nil || !t.s.sel.has(p) {
		return err
	}
	format := formatOf(f)
	if format.reason != "" {
		page.Skipped = append(page.Skipped, connectors.Skip{Ref: f.ref(format), Path: p.path, Reason: format.reason})
		return nil
	}
	acl, err := t.acl(ctx, f, p, at)
	page.Changes = append(page.Changes, connectors.Change{Op: connectors.Upsert, Ref: f.ref(format), Document: t.s.document(f, p, format), ACL: acl})
	return err
}

// list reads the corpora of the selection in turn and fills pages with their
// files.
func (s *session) list(ctx context.Context, from connectors.Cursor, l listing) iter.Seq2[connectors.Page, error] {
	return func(yield func(connectors.Page, error) bool) {
		at, err := parseListCursor(l.op, from)
		if at.End && err == nil {
			return
		}
		var all []corpus
		if err == nil {
			all, err = s.corpora(ctx, l.op)
		}
		t := s.newTree(l.op)
		for err == nil && !at.End {
			var page connectors.Page
			if page, at, err = s.step(ctx, t, all, at, l); err == nil && !yield(page, nil) {
				return
			}
		}
		if err != nil {
			yield(connectors.Page{}, err)
		}
	}
}

// corpora returns what the selection needs to be listed, in a fixed order.
func (s *session) corpora(ctx context.Context, op string) ([]corpus, error) {
	if err := s.knowDrives(ctx, op); err != nil {
		return nil, err
	}
	var all []corpus
	if s.sel.corpus(userCorpus) {
		all = append(all, userCorpus)
	}
	ids := slices.Concat(slices.Collect(maps.Keys(s.driveNames)), s.sel.drives())
	slices.Sort(ids)
	for _, id := range slices.Compact(ids) {
		if s.sel.corpus(corpus(id)) {
			all = append(all, corpus(id))
		}
	}
	return all, nil
}

// step reads one page at a place and returns the place behind it. A shared
// drive that is not given out is blocked, and the next one goes on.
func (s *session) step(ctx context.Context, t *tree, all []corpus, at listCursor, l listing) (connectors.Page, listCursor, error) {
	var page connectors.Page
	i := slices.IndexFunc(all, func(c corpus) bool { return c >= at.At })
	if i < 0 {
		page.Complete, page.Next = true, listCursor{End: true}.encode()
		return page, listCursor{End: true}, nil
	}
	c, token := all[i], at.Token
	if c != at.At {
		token = "" // the drive that it belongs to is gone
	}
	next, err := s.fill(ctx, t, c, token, l, &page)
	if refused(err) && c != userCorpus {
		s.counts.refused++
		page = connectors.Page{Blocked: []connectors.Container{{ID: containerDrive + string(c), Reason: "The shared drive is not given out to this account."}}}
		next, err = "", nil
	}
	if err != nil {
		return page, at, err
	}
	after := listCursor{At: c, Token: next}
	if next == "" {
		if i == len(all)-1 {
			after, page.Complete = listCursor{At: c, End: true}, true
		} else {
			after.At = all[i+1]
		}
	}
	page.Next = after.encode()
	return page, after, nil
}

// fill reads one page of a corpus and returns the token of the next.
func (s *session) fill(ctx context.Context, t *tree, c corpus, token string, l listing, page *connectors.Page) (string, error) {
	if l.folders {
		if err := t.list(ctx, c); err != nil {
			return "", err
		}
	}
	answer, at, err := s.files(ctx, t.op, c, queryFiles, l.fields, token)
	if err != nil {
		return "", err
	}
	for i := range answer.Files {
		f := &answer.Files[i]
		if c == userCorpus && s.member(f) {
			continue // it is listed with its drive
		}
		if f.Trashed || f.MimeType == typeFolder {
			continue
		}
		if err := l.add(ctx, t, f, at, page); err != nil {
			return "", err
		}
	}
	t.tell(page)
	return answer.Next, nil
}
