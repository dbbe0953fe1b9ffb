package example

import (
	"context"
	"io"

	"tributary/connectors"
	"tributary/internal/httpx"
)

// ref names the item's revision.
func (it *item) ref() connectors.ItemRef {
	return connectors.ItemRef{ID: it.ID, Revision: it.Revision}
}

// document describes an item; its body is asked for only when it is opened.
func (s *session) document(it *item) *connectors.Document {
	ref := it.ref()
	return &connectors.Document{
		Title: it.Title, URL: it.URL, Path: it.Path, Kind: "item", MediaType: "text/markdown", Size: -1, UpdatedAt: it.Updated,
		Open: func(ctx context.Context) (io.ReadCloser, error) {
			body, _, err := s.api.Open(ctx, httpx.Call{Op: "reading example item", Path: itemPath(ref.ID) + "/text", Ref: ref})
			return body, err
		},
	}
}

// Fetch reads one item again.
func (s *session) Fetch(ctx context.Context, id string) (connectors.Change, error) {
	const op = "reading example item"
	var it item
	if _, err := s.api.JSON(ctx, httpx.Call{Op: op, Path: itemPath(id), Ref: connectors.ItemRef{ID: id}}, &it); err != nil {
		return connectors.Change{}, err
	}
	if it.ID != id || it.Revision == "" {
		return connectors.Change{}, &connectors.Error{Op: op, Class: connectors.Transient, Err: errNoID}
	}
	return connectors.Change{Op: connectors.Upsert, Ref: it.ref(), Document: s.document(&it), ACL: it.acl()}, nil
}
