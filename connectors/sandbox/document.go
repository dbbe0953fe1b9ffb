package sandbox

import (
	"context"
	"errors"
	"io"
	"net/http"

	"tributary/connectors"
	"tributary/internal/httpx"
)

// rootContainer stands for the top of the drive, which has no id.
const rootContainer = "root"

func (it *item) ref() connectors.ItemRef {
	return connectors.ItemRef{ID: it.ID, Revision: it.Revision}
}

func (it *item) container() string {
	if it.ParentID == "" {
		return rootContainer
	}
	return it.ParentID
}

// document describes a file and opens its content.
func (s *session) document(it *item) *connectors.Document {
	ref := it.ref()
	d := &connectors.Document{
		Title: it.title(), URL: it.URL, Path: it.Path, Container: it.container(), Kind: kindFile,
		MediaType: it.MediaType, Size: it.Size, Author: it.Author.Name, CreatedAt: it.CreatedAt, UpdatedAt: it.UpdatedAt,
		Open: func(ctx context.Context) (io.ReadCloser, error) { return s.open(ctx, ref) },
	}
	if it.Description != "" {
		d.Metadata = map[string]string{"description": it.Description}
	}
	return d
}

const opContent = "reading sandbox content"

// open asks for a file's bytes.
func (s *session) open(ctx context.Context, ref connectors.ItemRef) (io.ReadCloser, error) {
	r := request{op: opContent, scope: scopeFiles, path: itemPath(ref.ID) + "/content"}
	resp, err := s.api.do(ctx, r)
	if errors.Is(err, httpx.ErrRedirect) {
		// One item's content lies elsewhere; the others do not.
		return nil, &connectors.Error{Op: opContent, Class: connectors.ItemSkipped, Ref: ref, Err: httpx.ErrRedirect}
	}
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		return nil, r.itemFailure(resp, ref)
	}
	return &body{ctx: ctx, raw: resp.Body, ref: ref}, nil
}

// body reads content and gives its failures a class.
type body struct {
	ctx context.Context //nolint:containedctx // it is the request's, and tells why a read ended
	raw io.ReadCloser
	ref connectors.ItemRef
}

// Read reads on. Content that ends before its announced length is an error, not
// the end.
func (b *body) Read(p []byte) (int, error) {
	n, err := b.raw.Read(p)
	if err == nil || errors.Is(err, io.EOF) {
		return n, err
	}
	err = transportError(b.ctx, opContent, err)
	if e, ok := errors.AsType[*connectors.Error](err); ok && e.Class == connectors.ItemSkipped {
		e.Ref = b.ref
	}
	return n, err
}

// Close ends the request.
func (b *body) Close() error { return b.raw.Close() }

// Fetch reads one file again. What is gone, no file, or not selected is
// ItemRefused.
func (s *session) Fetch(ctx context.Context, id string) (connectors.Change, error) {
	const op = "fetching sandbox item"
	ref := connectors.ItemRef{ID: id}
	r := request{op: op, scope: scopeFiles, path: itemPath(id)}
	resp, err := s.api.do(ctx, r)
	if err != nil {
		return connectors.Change{}, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return connectors.Change{}, r.itemFailure(resp, ref)
	}
	var it item
	if err := decode(ctx, op, resp, &it); err != nil {
		return connectors.Change{}, err
	}
	f := s.newFolders(op)
	chain, whole, err := f.path(ctx, &it)
	if err != nil {
		return connectors.Change{}, err
	}
	if it.ID != id || it.Kind != kindFile || !s.sel.file(&it, chain) {
		return connectors.Change{}, &connectors.Error{Op: op, Class: connectors.ItemRefused, Ref: ref, Err: errors.New("it is not a file of the selection")}
	}
	acl, err := s.acl(ctx, f, chain, whole)
	if err != nil {
		return connectors.Change{}, err
	}
	return connectors.Change{Op: connectors.Upsert, Ref: it.ref(), Document: s.document(&it), ACL: acl}, nil
}
