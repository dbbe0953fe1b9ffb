package reference

import (
	"context"
	"errors"
	"io"
	"maps"
	"path"
	"strconv"
	"strings"

	"tributary/connectors"
	"tributary/connectors/connectortest"
)

// document describes an entry and opens its body.
func (s *Session) document(e entry, ref connectors.ItemRef) *connectors.Document {
	title := e.Title
	if title == "" {
		title = path.Base(e.Path)
	}
	return &connectors.Document{
		Title: title, URL: "https://reference.example/" + e.ID, Path: e.Path, Container: container(e.Path),
		Kind: "document", MediaType: e.MediaType, Size: int64(len(e.Text)),
		CreatedAt: e.created, UpdatedAt: e.updated, Metadata: maps.Clone(e.Metadata),
		Open: func(ctx context.Context) (io.ReadCloser, error) { return s.open(ctx, ref) },
	}
}

// open asks for the text that the item has at that moment.
func (s *Session) open(ctx context.Context, ref connectors.ItemRef) (io.ReadCloser, error) {
	const op = "reading a body of a world"
	w := s.world
	w.mu.Lock()
	name, text, there := "", "", false
	if e := w.items[ref.ID]; e != nil {
		name, text, there = e.Path, e.Text, true
	}
	w.mu.Unlock()
	struck, err := w.request(ctx, connectortest.OnBody, name)
	if err != nil {
		return nil, &connectors.Error{Op: op, Class: connectors.Transient, Err: err}
	}
	if !there {
		return nil, &connectors.Error{Op: op, Class: connectors.ItemRefused, Ref: ref, Err: errors.New("the world answers 404")}
	}
	if err := failure(op, struck, true, ref); err != nil {
		return nil, err
	}
	b := &body{ctx: ctx, text: strings.NewReader(text), end: io.EOF}
	if struck != nil && struck.Kind == connectortest.Truncated {
		b.text = strings.NewReader(text[:len(text)/2])
		b.end = io.ErrUnexpectedEOF
	}
	return b, nil
}

// body reads a text until its context ends.
type body struct {
	ctx  context.Context //nolint:containedctx // a body lives as long as the request it came from
	text *strings.Reader
	end  error
}

// Read reads on, and ends with io.ErrUnexpectedEOF where the world cut the text
// short.
func (b *body) Read(p []byte) (int, error) {
	if err := b.ctx.Err(); err != nil {
		return 0, &connectors.Error{Op: "reading a body of a world", Class: connectors.Transient, Err: err}
	}
	n, err := b.text.Read(p)
	if errors.Is(err, io.EOF) {
		return n, b.end
	}
	return n, err
}

// Close has nothing to release.
func (b *body) Close() error { return nil }

// Fetch returns one item as a listing would.
func (s *Session) Fetch(ctx context.Context, id string) (connectors.Change, error) {
	const op = "fetching an item of a world"
	w := s.world
	w.mu.Lock()
	var e entry
	found := w.items[id]
	if found != nil {
		e = *found
	}
	w.mu.Unlock()
	ref := connectors.ItemRef{ID: id, Revision: strconv.Itoa(e.revision)}
	if found == nil || e.Skip != "" || !s.selected(e.Path) {
		return connectors.Change{}, &connectors.Error{Op: op, Class: connectors.ItemRefused, Ref: connectors.ItemRef{ID: id}, Err: errors.New("the world answers 404")}
	}
	acl, err := s.acl(ctx, op, e)
	if err != nil {
		return connectors.Change{}, err
	}
	return connectors.Change{Op: connectors.Upsert, Ref: ref, Document: s.document(e, ref), ACL: acl}, nil
}
