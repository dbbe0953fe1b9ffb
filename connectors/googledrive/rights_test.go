package googledrive

import (
	"net/http"
	"strings"
	"testing"

	"tributary/connectors"
)

// reader is a grant to read.
func reader(kind, who string) share { return share{kind: kind, who: who, role: roleReader} }

func TestGrants(t *testing.T) {
	t.Parallel()
	with := func(sh share, change func(*share)) share {
		change(&sh)
		return sh
	}
	for _, c := range []struct {
		name, link string
		grant      share
		want       string
	}{
		{name: "person", grant: reader(typeUser, "dave"), want: "user:06dave"},
		{name: "commenter", grant: share{kind: typeUser, who: "dave", role: roleCommenter}, want: "user:06dave"},
		{name: "group", grant: reader(typeGroup, "team"), want: "group:09team"},
		{name: "domain", grant: reader(typeDomain, "Kit.Example"), want: "domain:kit.example"},
		{name: "public", grant: reader(typeAnyone, ""), want: "public:anyone"},
		{name: "open link", grant: with(reader(typeAnyone, ""), func(s *share) { s.link = true })},
		{name: "open link for domains", link: linkDomain, grant: with(reader(typeAnyone, ""), func(s *share) { s.link = true })},
		{name: "open link for anyone", link: linkAnyone, grant: with(reader(typeAnyone, ""), func(s *share) { s.link = true }), want: "anyone:google.com"},
		{name: "link of a domain", grant: with(reader(typeDomain, domain), func(s *share) { s.link = true })},
		{name: "link of a domain that counts", link: linkDomain, grant: with(reader(typeDomain, domain), func(s *share) { s.link = true }), want: "domain:kit.example"},
		{name: "deleted account", grant: with(reader(typeUser, "ghost"), func(s *share) { s.deleted = true })},
		{name: "expired", grant: with(reader(typeUser, "dave"), func(s *share) { s.expires = "2020-01-01T00:00:00.000Z" })},
		{name: "not expired", grant: with(reader(typeUser, "dave"), func(s *share) { s.expires = "2999-01-01T00:00:00.000Z" }), want: "user:06dave"},
		{name: "an end that cannot be read", grant: with(reader(typeUser, "dave"), func(s *share) { s.expires = "soon" })},
		{name: "published copy", grant: share{kind: typeAnyone, role: "publishedReader", view: "published"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := &session{link: c.link, groups: groupsDirectory}
			if c.link == "" {
				s.link = linkNobody
			}
			r := &site{people: map[string]*accountOf{}}
			n := &node{id: "f", shares: []share{c.grant}}
			g := granted{known: true, at: moment("2026-03-01T10:00:00Z")}
			for _, row := range r.permissionRows(n) {
				g.list = append(g.list, decoded(t, row))
			}
			if got := readers(s.aclOf(g, scope{}, nil)); got != c.want {
				t.Errorf("readers %q, want %q", got, c.want)
			}
		})
	}
}

// decoded is a row as the connector reads it.
func decoded(t *testing.T, row map[string]any) permission {
	t.Helper()
	text := func(name string) string {
		v, _ := row[name].(string)
		return v
	}
	flag := func(name string) bool {
		v, _ := row[name].(bool)
		return v
	}
	return permission{
		ID: text("id"), Type: text("type"), Role: text("role"), Domain: text("domain"), Discoverable: flag("allowFileDiscovery"),
		Deleted: flag("deleted"), Expires: text("expirationTime"), View: text("view"),
	}
}

// TestUnknownGrantsAreNobody: a kind of grant that is not known may be a
// restriction.
func TestUnknownGrantsAreNobody(t *testing.T) {
	t.Parallel()
	s := &session{link: linkAnyone, groups: groupsDirectory}
	good := permission{ID: "06dave", Type: typeUser, Role: roleReader}
	for _, bad := range []permission{
		{ID: "1", Type: "robot", Role: roleReader},
		{ID: "1", Type: typeUser, Role: "blocked"},
		{ID: "1", Type: typeUser},
		{Type: typeUser, Role: roleReader},
		{ID: "1", Type: typeDomain, Role: roleReader},
		{},
	} {
		if acl := s.aclOf(granted{list: []permission{good, bad}, known: true}, scope{}, nil); acl.Known() {
			t.Errorf("%+v: %v", bad, acl)
		}
	}
	if acl := s.aclOf(granted{list: []permission{good}, known: true}, scope{}, nil); !acl.Known() {
		t.Error("a plain grant is nobody's")
	}
	if acl := s.aclOf(granted{list: nil, known: true}, scope{}, nil); acl.Known() {
		t.Errorf("no grants: %v", acl)
	}
}

// TestFoldersOfSharedDrives: who reads a file follows the folders above it,
// which say more than the file.
func TestFoldersOfSharedDrives(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	ids := map[string]string{}
	for _, name := range []string{"a/plain.md", "a/open/in.md", "a/open/x/below.md", "a/shut/in.md", "a/shut/own.md", "a/open/shut/in.md"} {
		ids[name] = r.put(t, name)
	}
	up := func(name string) *node { return r.nodes[r.nodes[ids[name]].parent] }
	up("a/open/in.md").shares = []share{reader(typeUser, "dave")}
	up("a/shut/in.md").limited = true
	up("a/shut/in.md").shares = []share{reader(typeUser, "carol")}
	r.nodes[ids["a/shut/own.md"]].shares = []share{reader(typeUser, "dave")}
	up("a/open/shut/in.md").limited = true
	page := read(t, r.open(t).Snapshot(t.Context(), nil))
	all := "group:drive:" + driveA
	for name, want := range map[string]string{
		"a/plain.md": all, "a/open/in.md": all + " user:06dave", "a/open/x/below.md": all + " user:06dave",
		"a/shut/in.md": "user:06alice user:06carol", "a/shut/own.md": "user:06alice user:06carol user:06dave",
		"a/open/shut/in.md": "user:06alice",
	} {
		if got := readers(find(t, page, ids[name]).ACL); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

// TestLimitedFolderOfMyDrive: what is granted above does not reach it, but for
// the owner.
func TestLimitedFolderOfMyDrive(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.put(t, "b/shut/in.md")
	folder := r.nodes[r.nodes[id].parent]
	folder.limited, folder.shares = true, []share{reader(typeUser, "dave")}
	if got := readers(find(t, read(t, r.open(t).Snapshot(t.Context(), nil)), id).ACL); got != "user:06alice user:06dave" {
		t.Error(got)
	}
}

// TestForeignDrive: a file of a shared drive that the account is no member of,
// shared with it by name.
func TestForeignDrive(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.comeOrGo()
	r.comeOrGo()
	r.nodes["1inB"].shares = []share{reader(typeUser, account)}
	page := read(t, r.open(t).Snapshot(t.Context(), nil))
	c := find(t, page, "1inB")
	if len(page.Changes) != 1 || c.Document.Container != containerShared || readers(c.ACL) != "user:06alice user:06bob" {
		t.Errorf("%d documents, in %s, readers %s", len(page.Changes), c.Document.Container, readers(c.ACL))
	}
	r.nodes["1inB"].hidden = true
	if c := find(t, read(t, r.open(t).Snapshot(t.Context(), nil)), "1inB"); c.ACL.Known() {
		t.Errorf("permissions that are not told: %s", readers(c.ACL))
	}
}

// TestGroupsWithoutDirectory: they grant nobody, and the run says how many.
func TestGroupsWithoutDirectory(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.env.Settings = nil
	r.put(t, "b/doc.md") // by the space
	r.put(t, "c/doc.md") // by the domain
	r.nodes[r.put(t, "b/own.md")].shares = []share{reader(typeGroup, "team")}
	r.nodes[r.put(t, "b/hidden.md")].hidden = true
	s := r.open(t)
	for m, err := range s.Groups(t.Context()) {
		if err != nil || m.Group.ID != containerDrive+driveA {
			t.Errorf("%v in %v, %v", m.Member, m.Group, err)
		}
	}
	read(t, s.Permissions(t.Context(), nil))
	got := s.Counts()
	for name, want := range map[string]int64{"groups_unresolved": 4, "domains_unresolved": 1, "permissions_unreadable": 1} {
		if got[name] != want {
			t.Errorf("%s: %d, want %d", name, got[name], want)
		}
	}
	for _, asked := range r.asked {
		if strings.Contains(asked, "/admin/") {
			t.Errorf("the directory is asked: %s", asked)
		}
	}
}

// TestGroupsOfTheDirectory: nested groups, the whole organisation, aliases,
// people of other organisations, and groups that do not tell.
func TestGroupsOfTheDirectory(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	n := r.nodes[r.put(t, "b/doc.md")]
	n.shares = []share{reader(typeGroup, "team"), reader(typeGroup, "staff"), reader(typeUser, "bob"), reader(typeUser, "former")}
	s := r.open(t)
	got := map[string]bool{}
	for m, err := range s.Groups(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		got[m.Member.ID+" in "+m.Group.ID] = true
	}
	for _, want := range []string{
		"directory:1bob in 09team", "directory:1guest in 09team", "directory:1alice in 09team",
		"06bob in directory:1bob", "directory:1bob in 06bob", "customer:" + customer + " in 09staff", "directory:1dave in customer:" + customer,
		"09space in drive:" + driveA,
	} {
		if !got[want] {
			t.Errorf("%s is missing", want)
		}
	}
	for m := range got {
		if strings.Contains(m, "former") {
			t.Errorf("%s, who is suspended", m)
		}
	}
	if c := s.Counts(); c["groups_opaque"] != 1 || c["groups_gone"] != 1 {
		t.Errorf("counts %v, want one group opaque and one gone", c)
	}
}

// TestDirectoryFails: half of the memberships are never all of them.
func TestDirectoryFails(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.put(t, "b/doc.md")
	for _, op := range []string{"users.list", "members.list", "permissions.list", "files.list", "drives.list", "about.get"} {
		r.refuse = func(at string, _ *http.Request) (int, string) {
			if at == op {
				return http.StatusServiceUnavailable, "backendError"
			}
			return 0, ""
		}
		var last error
		for _, err := range r.open(t).Groups(t.Context()) {
			last = err
		}
		if connectors.ClassOf(last) != connectors.Transient {
			t.Errorf("%s fails, and the groups end with %v", op, last)
		}
	}
}

// TestOneAddressOfTwo: an address that two permissions carry joins nobody.
func TestOneAddressOfTwo(t *testing.T) {
	t.Parallel()
	g := &grantees{people: map[string]string{}}
	g.person("Ada@kit.example", "1")
	g.person("ada@kit.example", "1")
	if g.people["ada@kit.example"] != "1" {
		t.Errorf("the same twice: %v", g.people)
	}
	g.person("ada@kit.example", "2")
	g.person("ada@kit.example", "1")
	d := &directoryReader{g: g, told: map[string]bool{}, emit: func(m connectors.Membership) bool {
		t.Errorf("joined: %v", m)
		return true
	}}
	d.who(directoryPerson("7", ""), "ada@kit.example", "")
}

// TestGroupsForgetTheirPage: a page token that is rejected is no reason to
// start a snapshot.
func TestGroupsForgetTheirPage(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for i := range 5 {
		r.put(t, "b/doc-"+string(rune('a'+i))+".md")
	}
	r.refuse = func(op string, req *http.Request) (int, string) {
		if op == "files.list" && req.URL.Query().Get("pageToken") != "" {
			return http.StatusBadRequest, "invalid"
		}
		return 0, ""
	}
	var last error
	for _, err := range r.open(t).Groups(t.Context()) {
		last = err
	}
	if connectors.ClassOf(last) != connectors.Transient {
		t.Error(last)
	}
}

// TestSelf: who consented, by the id that permissions name.
func TestSelf(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	if self, err := r.open(t).Self(t.Context()); err != nil || self.ID != "06alice" || self.Kind != connectors.User {
		t.Errorf("%v, %v", self, err)
	}
	r.people[account].email = "sync@project.iam.gserviceaccount.com"
	if self, err := r.open(t).Self(t.Context()); connectors.ClassOf(err) != connectors.Invalid {
		t.Errorf("a service account: %v, %v", self, err)
	}
}

// TestMembersThatCount: who is suspended is in no group, whichever of the two
// lists says so.
func TestMembersThatCount(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		member member
		want   string
	}{
		{member{ID: "here", Type: memberUser, Status: memberActive}, "directory:here"},
		{member{ID: "outside", Type: memberUser}, "directory:outside"},
		{member{ID: "here", Type: memberUser, Status: "SUSPENDED"}, ""},
		{member{ID: "left", Type: memberUser}, ""},
		{member{ID: "C1", Type: memberCustomer}, "customer:C1"},
		{member{ID: "nested", Type: "GROUP", Status: memberActive}, ""},
		{member{ID: "new", Type: "ROBOT", Status: memberActive}, ""},
		{member{Type: memberUser, Status: memberActive}, ""},
	} {
		got := ""
		d := &directoryReader{
			g: &grantees{}, active: map[string]bool{"here": true, "left": false}, customers: map[string]bool{}, told: map[string]bool{},
			emit: func(m connectors.Membership) bool {
				got += m.Member.ID
				return true
			},
		}
		d.member(c.member, connectors.Principal{Kind: connectors.Group, ID: "g"})
		if got != c.want {
			t.Errorf("%+v: %q, want %q", c.member, got, c.want)
		}
	}
}
