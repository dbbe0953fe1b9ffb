package googledrive

import (
	"crypto/md5"
	"encoding/hex"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"tributary/connectors/connectortest"
)

func sum(text string) string {
	h := md5.Sum([]byte(text))
	return hex.EncodeToString(h[:])
}

// permissionID is the id of the grantee.
func permissionID(sh share) string {
	switch sh.kind {
	case typeUser:
		return "06" + sh.who
	case typeGroup:
		return "09" + sh.who
	case typeDomain:
		return "14" + sh.who
	default:
		if sh.link {
			return "anyoneWithLink"
		}
		return "anyone"
	}
}

func (s *site) email(sh share) string {
	switch {
	case sh.kind == typeUser && s.people[sh.who] != nil:
		if p := s.people[sh.who]; p.mail != "" {
			return p.mail
		}
		return s.people[sh.who].email
	case sh.kind == typeGroup && sh.who == "outer":
		return "outer@partner.example"
	case sh.kind == typeGroup:
		return sh.who + "@" + domain
	default:
		return ""
	}
}

// effective returns every grant that reaches a node, each grantee's once for
// every origin. A limited folder is still seen by name from above.
func (s *site) effective(n *node) []share {
	if n.id == n.drive {
		return s.drives[n.drive].members
	}
	all := slices.Clone(n.shares)
	if n.owner != "" && n.drive == "" {
		all = append(all, share{kind: typeUser, who: n.owner, role: roleOwner})
	}
	up := s.nodes[n.parent]
	if up == nil {
		return all
	}
	for _, sh := range s.effective(up) {
		if sh.from == "" {
			sh.from = up.id
		}
		if n.limited && sh.role != roleOrganizer && sh.role != roleOwner {
			if n.mime != typeFolder {
				continue
			}
			sh.view = "metadata"
		}
		if sh.view == "" || n.mime == typeFolder {
			all = append(all, sh)
		}
	}
	return all
}

// permissionRows are the grants as the API tells them: one entry a grantee.
func (s *site) permissionRows(n *node) []map[string]any {
	rows, index := []map[string]any{}, map[string]int{}
	for _, sh := range s.effective(n) {
		detail := map[string]any{"inherited": sh.from != "", "permissionType": "file", "role": sh.role}
		if sh.from != "" && n.drive != "" || n.id == n.drive {
			detail["permissionType"] = "member"
		}
		if sh.from != "" {
			detail["inheritedFrom"] = sh.from
		}
		id := permissionID(sh)
		if i, ok := index[id]; ok && rows[i]["view"] == nil && sh.view == "" {
			rows[i]["permissionDetails"] = append(rows[i]["permissionDetails"].([]any), detail)
			continue
		} else if ok && sh.view != "" {
			continue
		}
		index[id] = len(rows)
		row := map[string]any{
			"kind": "drive#permission", "id": id, "type": sh.kind, "role": sh.role, "permissionDetails": []any{detail}, "displayName": strings.ToUpper(sh.who),
		}
		if mail := s.email(sh); mail != "" && !sh.deleted {
			row["emailAddress"] = mail
		}
		if sh.kind == typeUser || sh.kind == typeGroup {
			row["deleted"] = sh.deleted
		} else {
			row["allowFileDiscovery"] = !sh.link
		}
		if sh.kind == typeDomain {
			row["domain"] = sh.who
		}
		if sh.expires != "" {
			row["expirationTime"] = sh.expires
		}
		if sh.view != "" {
			row["view"] = sh.view
		}
		rows = append(rows, row)
	}
	return rows
}

// reads is the rule of Drive: a grant on the file or on what holds it, up to a
// limited folder, above which only organizers and owners count.
func (s *site) reads(who string, n *node) bool {
	limited := false
	for ; n != nil; n = s.nodes[n.parent] {
		grants := n.shares
		if n.id == n.drive {
			grants = s.drives[n.drive].members
		}
		if n.drive == "" && n.owner == who {
			return true
		}
		for _, sh := range grants {
			if s.granted(who, sh) && (!limited || sh.role == roleOrganizer) {
				return true
			}
		}
		limited = limited || n.limited
	}
	return false
}

func (s *site) granted(who string, sh share) bool {
	p := s.people[who]
	switch {
	case sh.deleted || sh.view != "" || sh.link || sh.expires != "" && sh.expires < "2026":
		return false
	case sh.kind == typeAnyone:
		return true
	case p == nil || !p.active:
		return false
	case sh.kind == typeUser:
		return sh.who == who
	case sh.kind == typeGroup:
		return slices.Contains(s.flat(sh.who), who)
	default:
		return strings.HasSuffix(p.email, "@"+sh.who)
	}
}

// flat returns the people of a group, nested groups included.
func (s *site) flat(id string) []string {
	g := s.groups[id]
	if g == nil || g.status != 0 {
		return nil
	}
	all := slices.Clone(g.users)
	if g.customer {
		for id, p := range s.people {
			if !p.outside {
				all = append(all, id)
			}
		}
	}
	for _, below := range g.groups {
		all = append(all, s.flat(below)...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func (s *site) routeDirectory(rest string) (op, id string, handle func(*exchange)) {
	parts := strings.Split(rest, "/")
	switch {
	case rest == "users":
		return "users.list", "", s.serveUsers
	case len(parts) == 2 && parts[0] == "users":
		return "users.get", parts[1], s.serveUser
	case len(parts) == 3 && parts[0] == "groups" && parts[2] == "members":
		name, _ := url.PathUnescape(parts[1])
		name, _, _ = strings.Cut(name, "@")
		return "members.list", name, s.serveMembers
	}
	return "", "", nil
}

func (s *site) user(id string) map[string]any {
	p := s.people[id]
	row := map[string]any{
		"kind": "admin#directory#user", "id": "1" + id, "primaryEmail": p.email, "customerId": customer,
		"suspended": !p.active, "archived": false, "name": map[string]any{"fullName": strings.ToUpper(id)},
	}
	if len(p.alias) > 0 {
		row["aliases"] = p.alias
	}
	return row
}

func (s *site) serveUsers(x *exchange) {
	if x.get("pageToken") != "" && (s.struck(x, connectortest.OnGroups, "") || s.struck(x, connectortest.OnPeople, "")) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	rows := []any{}
	for _, id := range slices.Sorted(maps.Keys(s.people)) {
		if !s.people[id].outside {
			rows = append(rows, s.user(id))
		}
	}
	s.directoryPage(x, "users", rows)
}

func (s *site) directoryPage(x *exchange, list string, rows []any) {
	from, to, next, ok := s.page(x, list, len(rows), nil)
	if !ok {
		return
	}
	answer := map[string]any{"kind": "admin#directory#" + list, list: rows[from:to]}
	if next != "" {
		answer["nextPageToken"] = next
	}
	s.send(x, answer)
}

func (s *site) serveUser(x *exchange) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, p := range s.people {
		if !p.outside && (p.email == x.id || slices.Contains(p.alias, x.id)) {
			s.send(x, s.user(id))
			return
		}
	}
	fail(x, http.StatusNotFound, "notFound")
}

func (s *site) serveMembers(x *exchange) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.groups[x.id]
	switch {
	case g == nil:
		fail(x, http.StatusNotFound, "notFound")
		return
	case g.status != 0:
		fail(x, g.status, map[int]string{403: "forbidden", 404: "notFound"}[g.status])
		return
	}
	rows := []any{}
	for _, below := range g.groups {
		rows = append(rows, map[string]any{"kind": "admin#directory#member", "id": "g" + below, "email": below + "@" + domain, "type": "GROUP", "role": "MEMBER", "status": "ACTIVE"})
	}
	if g.customer {
		rows = append(rows, map[string]any{"kind": "admin#directory#member", "id": customer, "type": memberCustomer, "role": "MEMBER"})
	}
	people := g.users
	if x.get("includeDerivedMembership") == "true" && !g.customer {
		people = s.flat(x.id)
	}
	for _, id := range people {
		row := map[string]any{"kind": "admin#directory#member", "id": "1" + id, "email": s.people[id].email, "type": memberUser, "role": "MEMBER"}
		if !s.people[id].outside {
			row["status"] = map[bool]string{true: memberActive, false: "SUSPENDED"}[s.people[id].active]
		}
		rows = append(rows, row)
	}
	s.directoryPage(x, "members", rows)
}
