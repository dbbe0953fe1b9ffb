package sandbox

import (
	"context"
	"errors"
	"io"

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
	content, _, err := s.api.Open(ctx, httpx.Call{Op: opContent, Scope: scopeFiles, Path: itemPath(ref.ID) + "/content", Ref: ref})
	if errors.Is(err, httpx.ErrRedirect) {
		// One item's content lies elsewhere; the others do not.
		return nil, &connectors.Error{Op: opContent, Class: connectors.ItemSkipped, Ref: ref, Err: httpx.ErrRedirect}
	}
	return content, err
}

// Fetch reads one file again. What is gone, no file, or not selected is
// ItemRefused.
func (s *session) Fetch(ctx context.Context, id string) (connectors.Change, error) {
	const op = "fetching sandbox item"
	ref := connectors.ItemRef{ID: id}
	var it item
	if _, err := s.api.JSON(ctx, httpx.Call{Op: op, Scope: scopeFiles, Path: itemPath(id), Ref: ref}, &it); err != nil {
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
