package googledrive

import (
	"context"
	"errors"
	"iter"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"tributary/connectors"
	"tributary/internal/httpx"
)

// Drive and the Directory know people by different ids: Drive by that of their
// permissions, the Directory by that of their account. Who is in a group is
// told by the Directory; its people are principals of their own, and each is a
// member of the principal of their permissions, and the other way round, as
// soon as a permission with one of their addresses is seen.

// directoryPerson is a person as the Directory knows them.
func directoryPerson(id, name string) connectors.Principal {
	return connectors.Principal{Kind: connectors.User, ID: "directory:" + id, Name: name}
}

// customerGroup is everybody in an organisation.
func customerGroup(id string) connectors.Principal {
	return connectors.Principal{Kind: connectors.Group, ID: "customer:" + id}
}

// The types and the status of members of groups.
const (
	memberUser     = "USER"
	memberCustomer = "CUSTOMER"
	memberActive   = "ACTIVE"
)

// grantees are whom the documents of the selection are shared with.
type grantees struct {
	// people are ids of permissions by address, groups addresses by id.
	people  map[string]string
	groups  map[string]string
	names   map[string]string
	domains map[string]bool
	known   map[string]bool
}

func (g *grantees) add(list []permission) {
	for _, p := range list {
		g.known[p.ID] = true
		if p.ID == "" || p.Deleted {
			continue
		}
		switch p.Type {
		case typeUser:
			g.person(p.Email, p.ID)
		case typeGroup:
			g.groups[p.ID], g.names[p.ID] = strings.ToLower(p.Email), p.Name
		case typeDomain:
			g.domains[strings.ToLower(p.Domain)] = true
		}
	}
}

// person notes who has an address. SECURITY: of two who have the same, neither is
// joined to anybody.
func (g *grantees) person(address, id string) {
	address = strings.ToLower(address)
	if old, ok := g.people[address]; ok && old != id {
		id = ""
	}
	g.people[address] = id
}

// Groups yields the members of shared drives and, where the directory is asked,
// of the groups and domains that documents are shared with.
func (s *session) Groups(ctx context.Context) iter.Seq2[connectors.Membership, error] {
	const op = "listing Google groups"
	return func(yield func(connectors.Membership, error) bool) {
		g := &grantees{people: map[string]string{}, groups: map[string]string{}, names: map[string]string{}, domains: map[string]bool{}, known: map[string]bool{}}
		emit := func(m connectors.Membership) bool { return yield(m, nil) }
		more, err := s.driveMembers(ctx, op, g, emit)
		if err == nil && more && s.groups == groupsDirectory {
			err = s.directoryMembers(ctx, op, g, emit)
		}
		if e, ok := errors.AsType[*connectors.Error](err); ok && e.Class == connectors.CursorExpired {
			err = broken(op, e.Err) // the token is of this very listing
		}
		if err != nil {
			yield(connectors.Membership{}, err)
		}
	}
}

// driveMembers emits who is in the shared drives of the selection. A drive that
// does not tell has no members.
func (s *session) driveMembers(ctx context.Context, op string, g *grantees, emit func(connectors.Membership) bool) (more bool, err error) {
	corpora, err := s.corpora(ctx, op)
	if err != nil {
		return false, err
	}
	for _, c := range corpora {
		if c == userCorpus {
			continue
		}
		all, err := s.permissions(ctx, op, string(c))
		if refused(err) {
			s.counts.refused++
			continue
		}
		if err != nil {
			return false, err
		}
		g.add(all.list)
		readers, ok := s.readers(all, scope{})
		for _, r := range readers {
			if ok && !emit(connectors.Membership{Member: r, Group: s.driveGroup(string(c))}) {
				return false, nil
			}
		}
	}
	return true, nil
}

// directoryMembers emits who is in the groups and domains, and who is who.
func (s *session) directoryMembers(ctx context.Context, op string, g *grantees, emit func(connectors.Membership) bool) error {
	me, err := s.about(ctx, op)
	if err != nil {
		return err
	}
	g.person(me.Email, me.PermissionID)
	if err := s.grantees(ctx, op, g); err != nil {
		return err
	}
	d := &directoryReader{s: s, op: op, g: g, emit: emit, told: map[string]bool{}, active: map[string]bool{}, domains: map[string]bool{}, customers: map[string]bool{}}
	users, err := d.users(ctx)
	if err != nil {
		return err
	}
	for _, id := range slices.Sorted(maps.Keys(g.groups)) {
		if err := d.group(ctx, id); err != nil || d.stopped {
			return err
		}
	}
	for _, u := range users {
		if d.customers[u.Customer] {
			d.send(directoryPerson(u.ID, u.Name.Full), customerGroup(u.Customer))
		}
	}
	return nil
}

// grantees reads the permissions of every file of the corpora. In shared drives
// a file names the ids of its permissions, and those that are new are asked
// for.
func (s *session) grantees(ctx context.Context, op string, g *grantees) error {
	const fields = "id,driveId," + accessField + ",permissionIds,permissions(id,type,emailAddress,displayName,domain,deleted)"
	all, err := s.corpora(ctx, op)
	if err != nil {
		return err
	}
	for _, c := range all {
		for token := ""; ; {
			page, _, err := s.files(ctx, op, c, "trashed=false", fields, token)
			if refused(err) && c != userCorpus {
				break
			}
			if err != nil {
				return err
			}
			for i := range page.Files {
				if err := s.granteesOf(ctx, op, &page.Files[i], g); err != nil {
					return err
				}
			}
			if token = page.Next; token == "" {
				break
			}
		}
	}
	return nil
}

func (s *session) granteesOf(ctx context.Context, op string, f *file, g *grantees) error {
	g.add(f.Permissions)
	if f.DriveID == "" || !slices.ContainsFunc(f.PermissionIDs, func(id string) bool { return !g.known[id] }) {
		return nil
	}
	all, err := s.permissions(ctx, op, f.ID)
	switch {
	case refused(err):
		return nil // another file may tell
	case err != nil:
		return err
	}
	g.add(all.list)
	return nil
}

// directoryReader translates the directory into memberships.
type directoryReader struct {
	s       *session
	op      string
	g       *grantees
	emit    func(connectors.Membership) bool
	stopped bool
	// told are people who were joined to their permissions, active the accounts
	// of the organisation, domains those of their addresses, and customers the
	// organisations that are in a group.
	told, active, domains, customers map[string]bool
}

func (d *directoryReader) send(member, group connectors.Principal) {
	d.stopped = d.stopped || !d.emit(connectors.Membership{Member: member, Group: group})
}

// who joins a person to the permissions with one of their addresses. An address
// belongs to one account at a time, and both sides are Google's word for it.
func (d *directoryReader) who(person connectors.Principal, addresses ...string) {
	for _, a := range addresses {
		id := d.g.people[strings.ToLower(a)]
		if a != "" && id != "" && !d.told[person.ID+" "+id] {
			d.told[person.ID+" "+id] = true
			user := connectors.Principal{Kind: connectors.User, ID: id}
			d.send(user, person)
			d.send(person, user)
		}
	}
}

// users reads the people of the organisation, joins them to their permissions
// and puts them into their domains. Who is suspended can open nothing.
func (d *directoryReader) users(ctx context.Context) ([]directoryUser, error) {
	var all []directoryUser
	for u, err := range d.s.accounts(ctx, d.op) {
		if err != nil {
			return nil, err
		}
		if u.ID == "" {
			return nil, broken(d.op, errNoID)
		}
		_, domain, _ := strings.Cut(strings.ToLower(u.Email), "@")
		d.domains[domain] = true
		d.active[u.ID] = !u.Suspended && !u.Archived
		if !d.active[u.ID] {
			continue
		}
		person := directoryPerson(u.ID, u.Name.Full)
		d.who(person, append([]string{u.Email}, u.Aliases...)...)
		if d.g.domains[domain] {
			d.send(person, domainPrincipal(domain))
		}
		all = append(all, u)
	}
	return all, nil
}

// group emits the members of one group, nested groups included. A group of
// another organisation does not tell, and one that is gone has none.
func (d *directoryReader) group(ctx context.Context, id string) error {
	address := d.g.groups[id]
	if address == "" {
		d.s.counts.opaque++
		return nil
	}
	group := connectors.Principal{Kind: connectors.Group, ID: id, Name: d.g.names[id]}
	query := url.Values{
		"includeDerivedMembership": {"true"}, "maxResults": {strconv.Itoa(min(d.s.pageSize, 200))},
		"fields": {"nextPageToken,members(id,email,type,status)"},
	}
	list := directoryPages(ctx, d.s, d.op, "groups/"+url.PathEscape(address)+"/members", scopeMembers, query, connectors.ItemRef{ID: id},
		func(p membersPage) ([]member, string) { return p.Members, p.Next })
	for m, err := range list {
		switch {
		case refused(err) && notFound(err):
			d.s.counts.gone++
			return nil
		case refused(err):
			if _, domain, _ := strings.Cut(address, "@"); d.domains[domain] {
				return d.s.spec.Problem(d.op, problemAdmin) // it is one of our own
			}
			d.s.counts.opaque++
			return nil
		case err != nil:
			return err
		}
		d.member(m, group)
	}
	return nil
}

// member emits one membership. Accounts of other organisations have no entry
// among the users, and no status there.
func (d *directoryReader) member(m member, group connectors.Principal) {
	active, ours := d.active[m.ID]
	switch {
	case m.ID == "" || (m.Status != "" && m.Status != memberActive):
	case m.Type == memberCustomer:
		d.customers[m.ID] = true
		d.send(customerGroup(m.ID), group)
	case m.Type == memberUser && (active || !ours):
		person := directoryPerson(m.ID, "")
		d.who(person, m.Email)
		d.send(person, group)
	}
}

// directoryPages yields the entries of all pages of a list of the Directory
// API.
func directoryPages[P, T any](ctx context.Context, s *session, op, path, scope string, query url.Values, ref connectors.ItemRef, of func(P) ([]T, string)) iter.Seq2[T, error] {
	return httpx.Paged(ctx, op, func(ctx context.Context, at string) ([]T, string, error) {
		var page P
		q := maps.Clone(query)
		setToken(q, at)
		_, err := s.directory.JSON(ctx, httpx.Call{Op: op, Path: path, Query: q, Scope: scope, Ref: ref}, &page)
		entries, next := of(page)
		return entries, next, err
	})
}
