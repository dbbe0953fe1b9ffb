package example

import (
	"context"
	"iter"

	"tributary/connectors"
)

// Permissions yields the ACL of every item of the selection.
func (s *session) Permissions(ctx context.Context, from connectors.Cursor) iter.Seq2[connectors.Page, error] {
	return s.list(ctx, "listing example permissions", from, func(it *item, page *connectors.Page) {
		if it.Size <= connectors.MaxBody {
			page.Changes = append(page.Changes, connectors.Change{Op: connectors.SetACL, Ref: it.ref(), ACL: it.acl()})
		}
	})
}

// acl returns who may read an item. SECURITY: readers that the API does not
// tell, and kinds that are not known here, make the item readable by nobody:
// a kind that is left out could be one that shuts people out.
func (it *item) acl() connectors.ACL {
	var readers []connectors.Principal
	for _, r := range it.Readers {
		if r.Kind != "user" || r.ID == "" {
			return connectors.ACL{}
		}
		readers = append(readers, connectors.Principal{Kind: connectors.User, ID: r.ID, Name: r.Name})
	}
	if len(readers) == 0 {
		return connectors.ACL{}
	}
	return connectors.ACL{AllOf: [][]connectors.Principal{readers}}
}
