package sandbox

import (
	"cmp"
	"context"
	"iter"
	"slices"

	"tributary/connectors"
)

// Permissions yields the ACL of every file of the selection.
func (s *session) Permissions(ctx context.Context, from connectors.Cursor) iter.Seq2[connectors.Page, error] {
	const op = "listing sandbox permissions"
	return s.list(ctx, op, from, func(ctx context.Context, f *folders, it *item, page *connectors.Page) error {
		chain, whole, err := f.path(ctx, it)
		if err == nil && f.unclear(it, chain) {
			page.Changes = append(page.Changes, keep(it))
		}
		if err != nil || !s.sel.file(it, chain) || it.Size > connectors.MaxBody {
			return err
		}
		acl, err := s.acl(ctx, f, chain, whole)
		page.Changes = append(page.Changes, connectors.Change{Op: connectors.SetACL, Ref: it.ref(), ACL: acl})
		return err
	})
}

// acl returns who may read it, of the path from it up to the root.
//
// Readers are those of the item's own entries and, where it inherits, those of
// its folder: every clause of the folder is widened by the own entries. Where
// it is restricted a reader must be in the own entries and a reader of the
// folder: one clause more. Who is blocked anywhere on the path is denied.
// SECURITY: whatever is not told or not known makes the zero ACL, which is
// nobody.
func (s *session) acl(ctx context.Context, f *folders, chain []*item, whole bool) (connectors.ACL, error) {
	if !whole {
		return connectors.ACL{}, nil
	}
	var clauses [][]connectors.Principal
	var deny []connectors.Principal
	for i, it := range slices.Backward(chain) {
		own, blocked, ok, err := s.principals(ctx, f, it)
		if err != nil || !ok {
			return connectors.ACL{}, err
		}
		deny = append(deny, blocked...)
		atRoot := i == len(chain)-1
		switch {
		case !atRoot && *it.Restricted:
			clauses = append(slices.Clone(clauses), own)
		case !atRoot && *it.Inherit:
			clauses = widened(clauses, own)
		default:
			clauses = [][]connectors.Principal{own}
		}
	}
	acl := connectors.ACL{Deny: canonical(deny)}
	for _, c := range clauses {
		acl.AllOf = append(acl.AllOf, canonical(c))
	}
	if !acl.Known() || acl.Validate() != nil {
		return connectors.ACL{}, nil
	}
	return acl, nil
}

// widened returns each clause with more principals.
func widened(clauses [][]connectors.Principal, more []connectors.Principal) [][]connectors.Principal {
	out := make([][]connectors.Principal, len(clauses))
	for i, c := range clauses {
		out[i] = slices.Concat(c, more)
	}
	return out
}

// principals returns whom the item's own entries let read and whom they block;
// ok is false where the sandbox tells no permissions, or such as are not known
// here.
func (s *session) principals(ctx context.Context, f *folders, it *item) (own, blocked []connectors.Principal, ok bool, err error) {
	if it.Entries == nil || it.Restricted == nil || it.Inherit == nil {
		return nil, nil, false, nil
	}
	for _, e := range it.Entries {
		p, kind, err := s.principal(ctx, e.Principal)
		if err != nil || kind == entryUnknown {
			return nil, nil, false, err
		}
		left := false
		if p.Kind == connectors.User {
			if left, err = f.hasLeft(ctx, p.ID); err != nil {
				return nil, nil, false, err
			}
		}
		switch e.Role {
		case roleOwner, roleWriter, roleReader:
			if kind == entryKnown && !left {
				own = append(own, p)
			}
		case roleBlocked:
			if kind == entryKnown {
				blocked = append(blocked, p)
			}
		default:
			return nil, nil, false, nil
		}
	}
	return own, blocked, true, nil
}

// entryMeaning says what an entry's principal is here.
type entryMeaning int

const (
	entryUnknown entryMeaning = iota
	entryKnown
	// entryNobody: a link, which is in nobody's hand in particular.
	entryNobody
)

func (s *session) principal(ctx context.Context, p principal) (connectors.Principal, entryMeaning, error) {
	out := connectors.Principal{ID: p.ID}
	switch p.Kind {
	case entryUser:
		out.Kind, out.Name = connectors.User, p.Name
	case entryGroup:
		out.Kind, out.Name = connectors.Group, p.Name
	case entryDomain:
		out = domainPrincipal(p.ID)
	case entryAnyone:
		out.Kind = connectors.Anyone
	case entryPublic:
		out.Kind, out.ID = connectors.Public, entryPublic
	case entryLink:
		if s.link != linkAnyone {
			return out, entryNobody, nil
		}
		org, err := s.Realm(ctx)
		return anyone(org), entryKnown, err
	default:
		return out, entryUnknown, nil
	}
	if out.ID == "" {
		return out, entryUnknown, nil
	}
	return out, entryKnown, nil
}

// anyone is every person of the organisation.
func anyone(org string) connectors.Principal {
	return connectors.Principal{Kind: connectors.Anyone, ID: org}
}

// canonical returns ps sorted and without repetition, so that equal sets are
// equal lists. Names are kept, the first of each principal's.
func canonical(ps []connectors.Principal) []connectors.Principal {
	ps = slices.Clone(ps)
	slices.SortFunc(ps, func(a, b connectors.Principal) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.ID, b.ID), cmp.Compare(a.Name, b.Name))
	})
	return slices.CompactFunc(ps, func(a, b connectors.Principal) bool { return a.Kind == b.Kind && a.ID == b.ID })
}
