package googledrive

import (
	"cmp"
	"context"
	"iter"
	"slices"
	"strings"
	"time"

	"tributary/connectors"
)

// The types and roles of permissions. Every role reads,
// https://developers.google.com/workspace/drive/api/guides/ref-roles.
const (
	typeUser, typeGroup, typeDomain, typeAnyone = "user", "group", "domain", "anyone"
	roleOwner, roleOrganizer                    = "owner", "organizer"
	roleFileOrganizer, roleWriter               = "fileOrganizer", "writer"
	roleCommenter, roleReader                   = "commenter", "reader"
)

// Permissions yields the ACL of every document of the selection.
func (s *session) Permissions(ctx context.Context, from connectors.Cursor) iter.Seq2[connectors.Page, error] {
	return s.list(ctx, from, listing{op: "listing Google Drive permissions", fields: aclFields, folders: true, add: setACL})
}

// setACL adds the ACL of a document of the selection.
func setACL(ctx context.Context, t *tree, f *file, at time.Time, page *connectors.Page) error {
	p, err := t.place(ctx, f)
	if err == nil && t.s.sel.unclear(p) && formatOf(f).reason == "" {
		page.Changes = append(page.Changes, keep(f))
		return nil
	}
	if err != nil || !t.s.sel.has(p) || formatOf(f).reason != "" {
		return err
	}
	acl, err := t.acl(ctx, f, p, at)
	page.Changes = append(page.Changes, connectors.Change{Op: connectors.SetACL, Ref: connectors.ItemRef{ID: f.ID}, ACL: acl})
	return err
}

// acl returns who may read f. In My Drive every file carries all its grants; at
// is the time of the answer that they came with. In a shared drive the members
// of the drive are a group, and what is granted besides stands on the nearest
// folder or file that says that it has permissions of its own.
//
// SECURITY: what is not told or not known makes the zero ACL, which is nobody.
func (t *tree) acl(ctx context.Context, f *file, p place, at time.Time) (connectors.ACL, error) {
	if f.DriveID == "" {
		g := granted{list: f.Permissions, at: at, known: f.Permissions != nil}
		return t.s.aclOf(g, scope{limited: f.Limited}, nil), nil
	}
	if !p.whole || !t.s.member(f) {
		// Nothing is known of the folders above: the file's own list has to do.
		g, err := t.permissions(ctx, f.ID)
		return t.s.aclOf(g, scope{limited: f.Limited}, nil), err
	}
	path := append([]*file{f}, p.above...)
	within := scope{drive: f.DriveID}
	if i := slices.IndexFunc(path, func(f *file) bool { return f.Limited }); i >= 0 {
		within.limited = true
		for _, below := range path[:i+1] {
			within.origins = append(within.origins, below.ID)
		}
	}
	var members []connectors.Principal
	if !within.limited {
		members = append(members, t.s.driveGroup(f.DriveID))
	}
	i := slices.IndexFunc(path, func(f *file) bool { return f.Augmented || f.Limited })
	if i < 0 {
		return connectors.ACL{AllOf: [][]connectors.Principal{members}}, nil
	}
	g, err := t.permissions(ctx, path[i].ID)
	return t.s.aclOf(g, within, members), err
}

// scope says which grants of a list count for a file.
type scope struct {
	// drive is the shared drive whose members are a group already.
	drive string
	// limited says that grants from above do not reach the file, but for owners
	// and organizers; origins are the folders from which they do.
	limited bool
	origins []string
}

// aclOf returns the ACL of a list of permissions and further principals.
func (s *session) aclOf(g granted, within scope, more []connectors.Principal) connectors.ACL {
	if !g.known {
		s.counts.unreadable++
		return connectors.ACL{}
	}
	readers, ok := s.readers(g, within)
	readers = canonical(append(readers, more...))
	if !ok || len(readers) == 0 {
		return connectors.ACL{}
	}
	return connectors.ACL{AllOf: [][]connectors.Principal{readers}}
}

// readers returns whom the permissions let read; ok is false where one of them
// is of a kind that is not known here.
func (s *session) readers(g granted, within scope) (readers []connectors.Principal, ok bool) {
	for _, p := range g.list {
		r, kind := s.principal(p)
		if kind == grantUnknown || !knownRole(p) {
			return nil, false
		}
		if kind == grantNobody || !p.counts(within) || !p.stands(g.at) {
			continue
		}
		if s.groups == groupsOff && (r.Kind == connectors.Group || r.Kind == connectors.Domain) {
			s.counts.unresolved(r)
		}
		readers = append(readers, r)
	}
	return readers, true
}

func knownRole(p permission) bool {
	switch p.Role {
	case roleOwner, roleOrganizer, roleFileOrganizer, roleWriter, roleCommenter, roleReader:
		return true
	default:
		// A published copy is no access to the file.
		return p.View != ""
	}
}

// stands reports whether the grant is in force at the source's time of the
// answer.
func (p permission) stands(at time.Time) bool {
	if p.Deleted || p.View != "" {
		return false
	}
	return p.Expires == "" || (!at.IsZero() && moment(p.Expires).After(at))
}

// counts reports whether the grant reaches the file. What only the drive's
// members have is left to their group.
func (p permission) counts(within scope) bool {
	limited := within.limited || p.Limited
	if len(p.Details) == 0 {
		return !limited || p.Role == roleOwner || p.Role == roleOrganizer
	}
	for _, d := range p.Details {
		switch {
		case !d.Inherited, limited && slices.Contains(within.origins, d.From):
			return true
		case limited && (d.Role == roleOrganizer || d.Role == roleOwner):
			return true
		case !limited && (within.drive == "" || d.From != within.drive):
			return true
		}
	}
	return false
}

// grantKind says what a permission's grantee is here.
type grantKind int

const (
	grantUnknown grantKind = iota
	grantKnown
	// grantNobody: a link, which is in nobody's hand in particular.
	grantNobody
)

// principal returns the grantee. Ids are those of permissions: addresses
// change, and what is shared with them does not.
func (s *session) principal(p permission) (connectors.Principal, grantKind) {
	if p.ID == "" {
		return connectors.Principal{}, grantUnknown
	}
	switch p.Type {
	case typeUser:
		return connectors.Principal{Kind: connectors.User, ID: p.ID, Name: p.Name}, grantKnown
	case typeGroup:
		return connectors.Principal{Kind: connectors.Group, ID: p.ID, Name: p.Name}, grantKnown
	case typeDomain:
		switch {
		case p.Domain == "":
			return connectors.Principal{}, grantUnknown
		case !p.Discoverable && s.link == linkNobody:
			return connectors.Principal{}, grantNobody
		}
		return domainPrincipal(p.Domain), grantKnown
	case typeAnyone:
		switch {
		case p.Discoverable:
			return connectors.Principal{Kind: connectors.Public, ID: typeAnyone}, grantKnown
		case s.link == linkAnyone:
			return connectors.Principal{Kind: connectors.Anyone, ID: realm}, grantKnown
		}
		return connectors.Principal{}, grantNobody
	default:
		return connectors.Principal{}, grantUnknown
	}
}

func domainPrincipal(domain string) connectors.Principal {
	return connectors.Principal{Kind: connectors.Domain, ID: strings.ToLower(domain)}
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
